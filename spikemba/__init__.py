"""SpikeMba: from a folder of videos to the moments that a sentence describes."""

__version__ = "0.1.0"

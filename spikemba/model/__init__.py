"""The networks: SpikeMba and its parts."""

from spikemba.model.spikemba import SpikeMba, SpikeMbaConfig

__all__ = ["SpikeMba", "SpikeMbaConfig"]

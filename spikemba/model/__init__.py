"""The networks: SpikeMba and VideoMamba.

In:    batches of padded features with masks; frames for VideoMamba.
Out:   per clip foreground, distances, saliency and spikes; features or class scores.
First: spikemba/network.py, the whole forward on a page; video_mamba/network.py.
"""

from spikemba.model.spikemba.network import SpikeMba, SpikeMbaConfig

__all__ = ["SpikeMba", "SpikeMbaConfig"]

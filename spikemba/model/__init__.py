"""The networks: SpikeMba and its parts."""

from spikemba.model.spikemba.network import SpikeMba, SpikeMbaConfig

__all__ = ["SpikeMba", "SpikeMbaConfig"]

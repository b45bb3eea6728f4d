"""What travels through the network: a modality between two blocks, and videos as they are before any sentence."""

# Shapes: B pairs, V videos, L clips as given, P positions packed, F feature width, D width, R slots.

from dataclasses import dataclass, replace

from torch import Tensor

from spikemba.model.spikemba.packing import Packing


@dataclass(frozen=True)
class Stream:
    """One modality between blocks."""

    x: Tensor
    """(B, P, D), zero at padding."""
    mask: Tensor
    """(B, P) bool, True = real."""
    slots: Tensor
    """(B, R, D)."""

    def rows(self, which: Tensor) -> "Stream":
        """Of the rows that `which`, (B,) int, names; some more than once."""
        return Stream(self.x[which], self.mask[which], self.slots[which])


@dataclass(frozen=True)
class VideoReading:
    """All that the network computes of V videos without a sentence, for as many sentences as there are."""

    packing: Packing
    clips: Tensor
    """(V, P, F): the features, packed."""
    stream: Stream
    """The video's stream, where the first sentence meets it."""
    position: Tensor | None
    """(V, P, D): what later blocks are told of each clip's place."""

    def of_pairs(self, video_of: Tensor | None) -> "VideoReading":
        """With a row per pair. video_of: (B,) int, of `Batch`; None: as it is."""
        if video_of is None:
            return self
        return replace(
            self,
            packing=self.packing.rows(video_of),
            clips=self.clips[video_of],
            stream=self.stream.rows(video_of),
            position=None if self.position is None else self.position[video_of],
        )

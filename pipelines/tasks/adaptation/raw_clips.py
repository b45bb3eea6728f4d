"""Clips of video files in the place of stored features, for an encoder that is still learning."""

# Shapes: L clips, T frames of a clip, H, Wd pixels.

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.features import Array, Manifest
from spikemba.video.clips import ClipRule, into_clips
from spikemba.video.sampling import VideoReader


class RawClips:
    """The frames of each clip, from memory or from the file; to a data set, a stream of rows without features."""

    def __init__(
        self, folder: Path, videos: Mapping[str, Path], rule: ClipRule, clip_s: float, width: int, memory_gb: float
    ) -> None:
        """videos: files by identifier.  rule: the frames of a clip.  width: F, of the features that they are to be.

        memory_gb: of decoded frames, at most.
        """
        self.folder = folder
        self.manifest = Manifest(encoder="raw clips", dim=width, clip_s=clip_s)
        self._videos, self._rule = videos, rule
        self._free = memory_gb * 1e9
        self._kept: dict[str, NDArray[np.uint8]] = {}
        self._lengths: dict[str, int] = {}

    def has_video(self, video_id: str) -> bool:
        """Whether there is such a file."""
        return video_id in self._videos

    def video(self, video_id: str) -> Array:
        """(L, 0): as many rows as there are clips. Raises VideoError."""
        return np.empty((self.n_clips(video_id), 0), dtype=np.float32)

    def n_rows(self, video_id: str) -> int | None:
        """L where the file was read already."""
        return self._lengths.get(video_id)

    def n_clips(self, video_id: str) -> int:
        """L. Raises VideoError."""
        if video_id not in self._lengths:
            self.clips(video_id)
        return self._lengths[video_id]

    def clips(self, video_id: str) -> NDArray[np.uint8]:
        """(L, T, H, Wd, 3) RGB. Raises VideoError."""
        if video_id in self._kept:
            return self._kept[video_id]
        frames = VideoReader(self._videos[video_id]).frames(self._rule.frames)
        found = np.stack(list(into_clips(frames, self._rule.n_frames)))
        self._lengths[video_id] = len(found)
        if found.nbytes <= self._free:
            self._kept[video_id] = found
            self._free -= found.nbytes
        return found


class RawVideoDataset(GroundingDataset):
    """Pairs whose videos have no features yet, (L, 0), but the numbers of their clips."""

    def __init__(self, config: DataConfig, split: Split, clips: RawClips, *, to_train: bool = True) -> None:
        """to_train: see GroundingDataset. Raises what it raises, and VideoError."""
        super().__init__(config, split, [clips], to_train=to_train)
        self._clips = clips

    def clip_numbers(self, index: int) -> NDArray[np.int64]:
        """(L,): which clips of its video a pair's rows are; not each once where they were brought to other lengths."""
        annotation = self.annotations[index]
        n_clips = self._clips.n_clips(annotation.video_id)
        (numbers,) = self.spec.rows([n_clips], len(annotation.labels) or None, annotation.duration_s)
        return (numbers[: self.config.max_clips] if self.to_train else numbers).astype(np.int64)

"""Clips of video files in the place of stored features, for an encoder that is still learning."""

# Shapes: L clips, T frames of a clip, H, Wd pixels.

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikemba.features import Array, Manifest
from spikemba.video.clips import ClipRule, into_clips
from spikemba.video.sampling import VideoReader


class RawClips:
    """A row is the number of its clip; the frames come when they are asked for, from memory or from the file."""

    def __init__(self, folder: Path, videos: Mapping[str, Path], rule: ClipRule, clip_s: float, memory_gb: float):
        """videos: files by identifier.  rule: the frames of a clip.  memory_gb: of decoded frames, at most."""
        self.folder = folder
        self.manifest = Manifest(encoder="raw clips", dim=1, clip_s=clip_s)
        self._videos, self._rule = videos, rule
        self._free = memory_gb * 1e9
        self._kept: dict[str, NDArray[np.uint8]] = {}

    def has_video(self, video_id: str) -> bool:
        """Whether there is such a file."""
        return video_id in self._videos

    def video(self, video_id: str) -> Array:
        """(L, 1): 0, 1, 2, ... Raises VideoError."""
        return np.arange(len(self.clips(video_id)), dtype=np.float32)[:, None]

    def clips(self, video_id: str) -> NDArray[np.uint8]:
        """(L, T, H, Wd, 3) RGB. Raises VideoError."""
        if video_id in self._kept:
            return self._kept[video_id]
        frames = VideoReader(self._videos[video_id]).frames(self._rule.frames)
        found = np.stack(list(into_clips(frames, self._rule.n_frames)))
        if found.nbytes <= self._free:
            self._kept[video_id] = found
            self._free -= found.nbytes
        return found

"""How the frames of a video form the clips that an encoder sees."""

# Shapes: T frames of a clip, H, Wd pixels.

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from spikemba.video.sampling import Frame, FrameRule, Image, VideoInfo, exact

Clip = NDArray[np.uint8]  # (T, H, Wd, 3), RGB


@dataclass(frozen=True)
class ClipRule:
    """Which frames are sampled, and how they form clips.

    A last clip that is at least half full is filled up with its last frame, a shorter rest is dropped, but every video
    has a clip; unless the frame rule fills its groups, then whatever has begun is a clip.
    """

    frames: FrameRule
    n_frames: int
    """Images per clip, as they are sampled."""
    order: tuple[int, ...] | None = None
    """T of these images, in the order in which the encoder sees them, some more than once; None: all, in order."""

    def arrange(self, images: list[Image]) -> Clip:
        """The sampled images of one clip -> (T, H, Wd, 3)."""
        return np.stack(images if self.order is None else [images[k] for k in self.order])


def published_fps(fps: float, source: VideoInfo) -> float:
    """The rate at which the published pipelines read a video: more often when it is hardly longer than one frame.

    Source: clip/video_loader.py of linjieli222/HERO_Video_Feature_Extractor; such a video has two rows a second.
    They know the duration only of files that count their frames, so a WebM or MKV is read like any other.
    """
    duration_s = source.duration_s if source.counts_frames else None
    if duration_s is not None and 0 < duration_s < 1 / fps + 0.1:
        return 2 / max(int(duration_s), 1)
    return fps


def clips_in(duration_s: float, clip_s: float) -> int:
    """Clips of a video: as many as a frame rule of one frame per clip takes frames, a half counting as one more."""
    return max(1, math.floor(exact(duration_s) * exact(1 / clip_s) + Fraction(1, 2)))


def into_clips(frames: Iterable[Frame], frames_per_clip: int) -> Iterator[Clip]:
    """Cut sampled frames into clips, see ClipCutter."""
    cutter = ClipCutter(frames_per_clip)
    for frame in frames:
        yield from map(np.stack, cutter.add(frame.image))
    yield from map(np.stack, cutter.finish())


class ClipCutter:
    """Cuts images into groups of n as they come, see ClipRule for the last one."""

    def __init__(self, n_frames: int) -> None:
        self.n_frames, self.n_clips = n_frames, 0
        self._images: list[Image] = []

    def add(self, image: Image) -> Iterator[list[Image]]:
        """The group that this image completes, if it does."""
        self._images.append(image)
        if len(self._images) == self.n_frames:
            yield self._take()

    def finish(self) -> Iterator[list[Image]]:
        """The last group, if enough of it is there."""
        missing = self.n_frames - len(self._images)
        if self._images and (2 * missing <= self.n_frames or not self.n_clips):
            self._images += [self._images[-1]] * missing
            yield self._take()

    def _take(self) -> list[Image]:
        images, self._images = self._images, []
        self.n_clips += 1
        return images

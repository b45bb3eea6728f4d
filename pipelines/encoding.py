"""One video through one or several encoders, in one decoding pass and in bounded memory."""

# Shapes: L clips, T frames of a clip, H, Wd pixels, F feature width.

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.events import Report, silent
from spikemba.encoders import VideoEncoder
from spikemba.features import Array
from spikemba.video import Frame, Image, VideoReader

Clip = NDArray[np.uint8]  # (T, H, Wd, 3), RGB

BATCH_CLIPS = 32
"""Clips per call of an encoder: what stands in memory, whatever the length of the video."""


@dataclass(frozen=True)
class EncodedVideo:
    """What the encoders made of one video."""

    features: tuple[Array, ...]
    """(L, F) per encoder, in their order."""
    duration_s: float
    """End of the last frame that decoded."""


def encode_video(path: Path, encoders: Sequence[VideoEncoder], clip_s: float, report: Report = silent) -> EncodedVideo:
    """Decode the video once and encode its clips. Raises VideoError when it cannot be read to its end.

    report counts clips; their number is that of the declared duration, where the file declares one.
    """
    reader = VideoReader(path)
    rules = [encoder.frame_rule(clip_s) for encoder in encoders]
    encodings = [_Encoding(encoder) for encoder in encoders]
    declared = reader.info.duration_s
    expected = max(1, round(declared / clip_s)) if declared else None
    for i, frame in reader.frames_for(rules):
        encodings[i].add(frame.image)
        report(encodings[0].cutter.n_clips, expected)
    features = tuple(encoding.finish() for encoding in encodings)
    assert reader.duration_s is not None
    report(len(features[0]), len(features[0]))
    return EncodedVideo(features, reader.duration_s)


def into_clips(frames: Iterable[Frame], frames_per_clip: int) -> Iterator[Clip]:
    """Cut sampled frames into clips, see ClipCutter."""
    cutter = ClipCutter(frames_per_clip)
    for frame in frames:
        yield from cutter.add(frame.image)
    yield from cutter.finish()


class ClipCutter:
    """Cuts frames into clips of T as they come.

    A last clip that is at least half full is filled up with its last frame, a shorter rest is dropped; but every video
    has a clip.
    """

    def __init__(self, frames_per_clip: int) -> None:
        self.frames_per_clip, self.n_clips = frames_per_clip, 0
        self._frames: list[Image] = []

    def add(self, image: Image) -> Iterator[Clip]:
        """The clip that this frame completes, if it does."""
        self._frames.append(image)
        if len(self._frames) == self.frames_per_clip:
            yield self._take()

    def finish(self) -> Iterator[Clip]:
        """The last clip, if enough of it is there."""
        missing = self.frames_per_clip - len(self._frames)
        if self._frames and (2 * missing <= self.frames_per_clip or not self.n_clips):
            self._frames += [self._frames[-1]] * missing
            yield self._take()

    def _take(self) -> Clip:
        clip, self._frames = np.stack(self._frames), []
        self.n_clips += 1
        return clip


class _Encoding:
    """The clips of one video on their way through one encoder."""

    def __init__(self, encoder: VideoEncoder) -> None:
        self.encoder, self.cutter = encoder, ClipCutter(encoder.frames_per_clip)
        self._waiting: list[Clip] = []
        self._done: list[Array] = []

    def add(self, image: Image) -> None:
        """Take the next frame."""
        self._waiting += self.cutter.add(image)
        if len(self._waiting) >= BATCH_CLIPS:
            self._encode()

    def finish(self) -> Array:
        """(L, F) of the whole video."""
        self._waiting += self.cutter.finish()
        if self._waiting:
            self._encode()
        return np.concatenate(self._done)

    def _encode(self) -> None:
        self._done.append(self.encoder.encode_clips(np.stack(self._waiting)))
        self._waiting = []

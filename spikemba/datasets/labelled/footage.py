"""Frames of a labelled video by their number, decoded when they are asked for, or kept in memory."""

# Shapes: T frames asked for, N frames of the video, H, Wd pixels.

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.labelled.frame_choice import Indices
from spikemba.datasets.labelled.videos import LabelledVideo
from spikemba.errors import VideoError
from spikemba.video.decoding import Threads
from spikemba.video.sampling import VideoReader

Frames = NDArray[np.uint8]  # (T, H, Wd, 3), RGB


@dataclass(frozen=True)
class Footage:
    """What a video, or the labelled part of it, has to show."""

    n_frames: int
    """N, at least 1."""
    take: Callable[[Indices], Frames]
    """(T,) ascending numbers from 0 to N - 1 -> the frames, (T, H, Wd, 3)."""
    n_bytes: int
    """Memory that all frames take."""


def on_disk(video: LabelledVideo, short_side_px: int, threads: Threads = "AUTO") -> Footage:
    """Decodes what is taken, each time anew; its frames are counted from the rate and the length that the file claims.

    Raises VideoError when the file cannot be read as a video, or ends before the labelled part begins.
    """
    reader = VideoReader(video.path, threads=threads)
    fps = reader.info.fps
    if not fps:
        return in_memory(video, short_side_px, threads)
    whole_s = duration_s(reader)
    end_s = whole_s if video.end_s is None else min(video.end_s, whole_s)
    if video.start_s >= end_s:
        raise _begins_late(video, end_s)

    def take(indices: Indices) -> Frames:
        # The middle of a frame's time, which rounding cannot move to a neighbour.
        return np.stack(reader.at([video.start_s + (int(k) + 0.5) / fps for k in indices], short_side_px))

    n_frames = max(1, round((end_s - video.start_s) * fps))
    sides = (reader.info.width, reader.info.height)
    pixels = short_side_px**2 * max(sides) / min(sides)
    return Footage(n_frames, take, round(3 * pixels * n_frames))


def in_memory(video: LabelledVideo, short_side_px: int, threads: Threads = "AUTO") -> Footage:
    """Decodes the whole file once and keeps every frame of the labelled part. Raises VideoError as `on_disk` does."""
    reader = VideoReader(video.path, threads=threads)
    images = np.stack(list(reader.source_frames(short_side_px)))
    if video.start_s or video.end_s is not None:
        claimed_s = reader.info.duration_s
        fps = reader.info.fps or (len(images) / claimed_s if claimed_s else 0)
        if not fps:
            raise VideoError(video.path, "does not say how fast it is shown; its parts cannot be found by seconds")
        end = len(images) if video.end_s is None else round(video.end_s * fps)
        if round(video.start_s * fps) >= len(images):
            raise _begins_late(video, len(images) / fps)
        images = images[round(video.start_s * fps) : max(end, round(video.start_s * fps) + 1)]
    return Footage(len(images), lambda indices: images[indices], images.nbytes)


def duration_s(reader: VideoReader) -> float:
    """What the file declares, or what decodes where it declares nothing; 0 where it has no frame rate either."""
    if reader.info.duration_s is not None:
        return reader.info.duration_s
    n_frames = sum(1 for _ in reader.source_frames(16))
    return n_frames / reader.info.fps if reader.info.fps else 0.0


def _begins_late(video: LabelledVideo, end_s: float) -> VideoError:
    return VideoError(
        video.path, f"its labelled part begins at {video.start_s:g} s and the video ends at {end_s:.1f} s"
    )

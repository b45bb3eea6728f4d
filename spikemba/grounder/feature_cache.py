"""Features of videos that were asked about, kept in the user's cache folder so that the next question is quick."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from spikemba.encoders import VideoEncoder
from spikemba.encoding.manifests import video_manifest
from spikemba.encoding.videos import EncodedVideo, encode_video
from spikemba.errors import OutputError
from spikemba.files import writing
from spikemba.progress import Report, silent
from spikemba.reading.arrays import read_arrays
from spikemba.reading.unreadable import Unreadable
from spikemba.user_folders import cache_folder

FRAMES = 2
"""Raised when an encoder takes other frames of the same file than before, or they are turned another way."""


def cached_features(
    video: Path, encoders: Sequence[VideoEncoder], clip_s: float, report: Report = silent
) -> EncodedVideo:
    """What `encode_video` gives, read where an earlier question left it, and left for the next one.

    A file that changed is encoded again. Raises VideoError.
    """
    path = _place(video, encoders, clip_s)
    found = _read(path)
    if found is None:
        found = encode_video(video, encoders, clip_s, report)
        _write(path, found)
    return found


def is_cached(video: Path, encoders: Sequence[VideoEncoder], clip_s: float) -> bool:
    """Whether features of the file as it is now are there. Nothing is opened, so a damaged entry counts, too."""
    return _place(video, encoders, clip_s).is_file()


def _place(video: Path, encoders: Sequence[VideoEncoder], clip_s: float) -> Path:
    return cache_folder() / "features" / f"{_key(video, encoders, clip_s)}.npz"


def _key(video: Path, encoders: Sequence[VideoEncoder], clip_s: float) -> str:
    """Changes when the file changes, or anything that its features depend on."""
    try:
        status = video.stat()
    except OSError:
        return "missing"  # decoding will say what is wrong
    parts: list[object] = [FRAMES, str(video.resolve()), status.st_size, status.st_mtime_ns]
    parts += [video_manifest(encoder, clip_s, "float32").model_dump_json() for encoder in encoders]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> EncodedVideo | None:
    """What an earlier question left, or None; a damaged file counts as none."""
    try:
        arrays = read_arrays(path)
        streams = tuple(arrays[f"stream{i}"] for i in range(len(arrays) - 1))
        return EncodedVideo(streams, float(arrays["duration_s"].item()))
    except (OSError, KeyError, ValueError, Unreadable):
        return None


def _write(path: Path, encoded: EncodedVideo) -> None:
    """Keep the features for the next question. A cache that cannot be written costs time, not the answer."""
    streams = {f"stream{i}": stream for i, stream in enumerate(encoded.features)}
    with suppress(OutputError), writing(path) as temporary:
        np.savez(temporary, duration_s=encoded.duration_s, **streams)  # type: ignore[arg-type]

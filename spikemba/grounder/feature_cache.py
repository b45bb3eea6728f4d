"""Features of videos that were asked about, kept in the user's cache folder so that the next question is quick."""

import hashlib
import stat
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spikemba.encoders import ClipEncoder, SubtitleEncoder
from spikemba.encoding.manifests import video_manifest
from spikemba.encoding.videos import EncodedVideo, encode_video
from spikemba.errors import OutputError
from spikemba.files import file_state, writing
from spikemba.progress import Report, silent
from spikemba.reading.arrays import read_arrays
from spikemba.reading.unreadable import Unreadable
from spikemba.user_folders import cache_folder
from spikemba.video.subtitles import files_beside

FRAMES = 2
"""Raised when an encoder takes other frames of the same file than before, or they are turned another way."""


KEPT_BYTES = 256 * 2**20
"""Of features that the cache folder did not take, kept in memory at most: a full disk costs time, not the answer."""

_TOLD = (None, False, True)
"""`EncodedVideo.nothing` by the number that is kept of it."""
_lock = threading.Lock()
_unwritten: OrderedDict[Path, EncodedVideo] = OrderedDict()
_damaged: set[tuple[Path, int, int, int, int]] = set()
"""Entries that cannot be read, as they were then; they count as none until they are written anew."""


def cached_features(
    video: Path, encoders: Sequence[ClipEncoder], clip_s: float, report: Report = silent
) -> EncodedVideo:
    """What `encode_video` gives, read where an earlier question left it, and left for the next one.

    A file that changed is encoded again. Raises VideoError.
    """
    path = _place(video, encoders, clip_s)
    found = None if path is None else _read(path)
    if found is None:
        found = encode_video(video, encoders, clip_s, report)
        if path is not None:
            _write(path, found)
    return found


def is_cached(video: Path, encoders: Sequence[ClipEncoder], clip_s: float) -> bool:
    """Whether features of the file as it is now are there. Nothing is opened, so an entry that is damaged counts until
    somebody has tried to read it.
    """
    path = _place(video, encoders, clip_s)
    if path is None:
        return False
    with _lock:
        if path in _unwritten:
            return True
        stamp = _stamp(path)
        return stamp is not None and stamp not in _damaged


def _place(video: Path, encoders: Sequence[ClipEncoder], clip_s: float) -> Path | None:
    """Where the features of a file are kept; None where there is no file now, so that nothing is kept of it."""
    key = _key(video, encoders, clip_s)
    return None if key is None else cache_folder() / "features" / f"{key}.npz"


def _key(video: Path, encoders: Sequence[ClipEncoder], clip_s: float) -> str | None:
    """Changes when the file changes, or anything that its features depend on."""
    try:
        status = video.stat()
        reads = any(isinstance(encoder, SubtitleEncoder) for encoder in encoders)
        written = [(str(file), *file_state(file.stat())) for file in files_beside(video)] if reads else []
    except OSError:
        return None  # decoding will say what is wrong
    parts: list[object] = [FRAMES, str(video.resolve()), *file_state(status)]
    parts += [video_manifest(encoder, clip_s, "float32").model_dump_json() for encoder in encoders]
    parts += written
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _read(path: Path) -> EncodedVideo | None:
    """What an earlier question left, or None; a damaged file counts as none."""
    with _lock:
        if path in _unwritten:
            _unwritten.move_to_end(path)
            return _unwritten[path]
    stamp = _stamp(path)
    if stamp is None:
        return None
    try:
        arrays = read_arrays(path)
        nothing = tuple(_TOLD[int(value)] for value in arrays.pop("nothing", ()))
        streams = tuple(arrays[f"stream{i}"] for i in range(len(arrays) - 1))
        return EncodedVideo(streams, float(arrays["duration_s"].item()), nothing)
    except (OSError, LookupError, ValueError, Unreadable):
        with _lock:
            _damaged.add(stamp)
        return None


def _stamp(path: Path) -> tuple[Path, int, int, int, int] | None:
    """An entry as it is now; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (path, *file_state(found)) if stat.S_ISREG(found.st_mode) else None


def _write(path: Path, encoded: EncodedVideo) -> None:
    """Keep the features for the next question. A cache that cannot be written costs time, not the answer."""
    streams = {f"stream{i}": stream for i, stream in enumerate(encoded.features)}
    if any(encoded.nothing):
        streams["nothing"] = np.array([_TOLD.index(one) for one in encoded.nothing], np.uint8)
    try:
        with writing(path) as temporary:
            np.savez(temporary, duration_s=encoded.duration_s, **streams)  # type: ignore[arg-type]
    except OutputError:
        _keep(path, encoded)


def _keep(path: Path, encoded: EncodedVideo) -> None:
    """Keep what the cache folder does not take in memory; what nobody wanted for longest goes."""
    with _lock:
        _unwritten[path] = encoded
        size = sum(map(_size, _unwritten.values()))
        while size > KEPT_BYTES:
            size -= _size(_unwritten.popitem(last=False)[1])


def _size(encoded: EncodedVideo) -> int:
    return sum(stream.nbytes for stream in encoded.features)

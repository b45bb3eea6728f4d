"""incoming/: features on their way into a library, one file per video and encoder, each whole and complete.

Any number of processes and machines put files there, and who changes the library takes them in; see `staging.py`. A
file is named by the video's path, size and time, so what was made of an earlier state of a video is not taken for the
present one.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.extraction.failures import FILE as FAILURES
from pipelines.extraction.job import Job
from pipelines.extraction.sources import FILE as SOURCES
from spikemba.encoders.base import folder_name
from spikemba.errors import ConfigError, FeaturesMismatch, VideoError
from spikemba.feature_arrays import VIDEO_KEY, load_array
from spikemba.features import Array, read_manifest
from spikemba.files import writing
from spikemba.library.digest import file_digest
from spikemba.library.matrix import Half, stored
from spikemba.library.protocol import Writer
from spikemba.library.writer import FileState, NewVideo
from spikemba.video.names import file_about

DURATION_KEY, PATH_KEY = "duration_s", "video"
KEPT_S = 7 * 24 * 3600
"""How long features wait for a video that cannot be found, in case its disk comes back."""
BATCH_BYTES = 32 << 20
"""Of rows, that one transaction takes in, about."""


class IndexJob(Job):
    """An extraction whose files say themselves what they are of."""

    def write(
        self,
        folder: Path,
        video_id: str,
        path: Path,
        rows: Array,
        duration_s: float,
        nothing: bool | None,  # noqa: ARG002
    ) -> None:
        """Store what an encoder made of a video. Raises OutputError, and VideoError for what float16 cannot hold."""
        try:
            half = stored(rows)
        except OverflowError as error:
            raise VideoError(path, str(error)) from None
        name = np.frombuffer(os.fsencode(path.absolute()), np.uint8)
        with writing(file_about(folder, video_id, ".npz")) as temporary:
            arrays = {VIDEO_KEY: half, DURATION_KEY: np.array([duration_s]), PATH_KEY: name}
            np.savez(temporary, **arrays)  # type: ignore[arg-type]


def key_of(path: Path, size: int, mtime_ns: int) -> str:
    """What a video's files in incoming/ are called, as long as it stays as it is."""
    parts = os.fsencode(path), str(size).encode(), str(mtime_ns).encode()
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def state_of(path: Path, digests: Mapping[str, str] | None = None) -> tuple[str, FileState]:
    """A video's key and state. digests: those known already, by key. Raises OSError."""
    status = path.stat()
    key = key_of(path, status.st_size, status.st_mtime_ns)
    digest = (digests or {}).get(key) or file_digest(path)
    return key, FileState(path, status.st_size, status.st_mtime_ns, digest)


@dataclass(frozen=True)
class _Waiting:
    """A file of incoming/ that can be taken in."""

    file: Path
    encoder: str
    key: str
    path: Path
    duration_s: float
    rows: Half


def take_in(incoming: Path, writer: Writer, digests: Mapping[str, str] | None = None) -> list[Path]:
    """Take in what waits, and remove it from incoming/; returns the videos. Raises OutputError, LibraryError.

    What was made of videos that are another file now is removed; what is being written stays.
    """
    taken: dict[Path, None] = {}
    for batch in _batches(_waiting(incoming, writer)):
        videos: dict[str, NewVideo] = {}
        done: list[Path] = []
        for one in batch:
            try:
                key, state = state_of(one.path, digests)
            except OSError:
                continue  # moved or unmounted since; a later run finds it
            done.append(one.file)
            if key != one.key:
                continue
            rows = {**(videos[key].rows if key in videos else {}), one.encoder: one.rows}
            videos[key] = NewVideo(state, one.duration_s, rows)
            taken[one.path] = None
        writer.take_in(list(videos.values()))
        for file in done:
            with suppress(FileNotFoundError):
                file.unlink()
    for name in (SOURCES, FAILURES):  # what extraction notes of a folder of features; the library knows it
        with suppress(OSError):
            (incoming / name).unlink()
    return list(taken)


def _waiting(incoming: Path, writer: Writer) -> Iterator[_Waiting]:
    """Files that can be taken in, those of one video after each other; damaged and outdated ones are removed."""
    places = {folder_name(one.name): one for one in writer.encoders().values()}
    found = []
    for place, encoder in places.items():
        with suppress(ConfigError):
            if read_manifest(incoming / place) == encoder.manifest:
                found += [(file.stem, file, encoder) for file in (incoming / place).glob("[!.]*.npz")]
    for key, file, encoder in sorted(found, key=lambda one: one[0]):
        try:
            rows = load_array(file, VIDEO_KEY, encoder.dim)
            path = Path(os.fsdecode(load_array(file, PATH_KEY, n_axes=1).tobytes()))
            duration_s = float(load_array(file, DURATION_KEY, n_axes=1)[0])
        except FeaturesMismatch:
            with suppress(OSError):
                file.unlink()  # damaged by the disk; the video is encoded again
            continue
        if not _is_outdated(path, key, file):
            yield _Waiting(file, encoder.name, key, path, duration_s, stored(rows))


def _is_outdated(path: Path, key: str, file: Path) -> bool:
    """Whether a video is another one now, and its file of incoming/ removed; or it cannot be found, and that waits."""
    with suppress(OSError):
        try:
            status = path.stat()
            if key_of(path, status.st_size, status.st_mtime_ns) == key:
                return False
        except OSError:
            if time.time() - file.stat().st_mtime < KEPT_S:
                return True
        file.unlink()
    return True


def _batches(waiting: Iterable[_Waiting]) -> Iterator[Sequence[_Waiting]]:
    """Lots that are taken in together, the files of one video in one lot."""
    batch: list[_Waiting] = []
    size = 0
    for one in waiting:
        if size >= BATCH_BYTES and batch[-1].key != one.key:
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.rows.nbytes
    if batch:
        yield batch

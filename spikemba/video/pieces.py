"""A file that no browser plays, as pieces that every one does: made when they are asked for, and kept for a while."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import BoundedSemaphore, Lock

import av

from spikemba.errors import VideoError
from spikemba.user_folders import cache_folder
from spikemba.video.decoding import opened, seekable
from spikemba.video.kept import KeptFiles, identity
from spikemba.video.packets import Packets, even_limits, key_limits, pictures_end, scan
from spikemba.video.piece_reading import CopiedReading, Damaged, EncodedReading, Reading
from spikemba.video.piece_writing import Span
from spikemba.video.playable import Playable, how_to_play
from spikemba.video.stopping import Stop, Stopped, going_on

__all__ = ["PieceMaker", "Playing", "Stopped"]

LENGTH_S = 4
"""Of a piece, about."""
LONGEST_S = 20
"""Of a piece whose pictures are copied; files with rarer key frames are encoded anew."""
AT_ONCE = 2
"""Pieces that are made beside each other."""
KEPT_BYTES = 2 * 2**30
_OPEN = 3
"""Files that are held open at the end of the last piece, at most."""
_KNOWN = 500
"""Files of which it is remembered how they are played."""
_FORMAT = 1
"""Raised when pieces are made in another way, so that no kept one is taken for a new one."""


@dataclass(frozen=True)
class Playing:
    """How a browser plays a file: as it is, or in pieces."""

    path: Path
    how: Playable
    limits: tuple[Span, ...]
    """Where each piece begins and ends, in seconds; the last ends with the last picture. Empty where it has none."""
    packets: Packets | None
    """Of a file that has been read through for it."""
    copied: bool
    """Whether pictures go into the pieces as they are stored."""
    sought: bool
    """Whether a part can be read without what lies before it."""

    @property
    def pieces_s(self) -> list[tuple[float, float]]:
        """`limits` as numbers."""
        return [(float(start), float(end)) for start, end in self.limits]


def playing(path: Path, stop: Stop = going_on) -> Playing:
    """Find out how a file is played; reads all its packets where pieces need it.

    Raises VideoError when it cannot be read as a video, Stopped.
    """
    how = how_to_play(path)
    if how.as_it_is:
        return Playing(path, how, (), None, copied=False, sought=True)
    with opened(path, "NONE") as (container, _):
        sought = seekable(container)
    packets = scan(path, stop) if how.copies or not sought else None
    limits = key_limits(packets, LENGTH_S, LONGEST_S) if packets is not None and how.copies else None
    if limits is not None:
        return Playing(path, how, tuple(limits), packets, True, sought)
    end = pictures_end(path, stop) if packets is None else packets.end
    return Playing(path, how, tuple(even_limits(end, LENGTH_S)), packets, False, sought)


class PieceMaker:
    """Pieces of any files, for any threads; a few are made at a time, and what was made is kept in a folder."""

    def __init__(self, folder: Path | None = None, kept_bytes: int = KEPT_BYTES, at_once: int = AT_ONCE) -> None:
        """folder: where pieces are kept; else one in the user's cache."""
        self._kept = KeptFiles(folder or cache_folder() / "pieces", kept_bytes)
        self._turns, self._lock = BoundedSemaphore(at_once), Lock()
        self._known: OrderedDict[str, Playing] = OrderedDict()
        self._open: OrderedDict[tuple[str, int], Reading] = OrderedDict()
        self._making: dict[str, tuple[Lock, int]] = {}

    def playing(self, path: Path, stop: Stop = going_on) -> Playing:
        """How a file is played, found out once.  Raises VideoError, Stopped."""
        name = _identity(path)
        with self._alone(name):
            with self._lock:
                if name in self._known:
                    self._known.move_to_end(name)
                    return self._known[name]
            found = playing(path, stop)
            with self._lock:
                self._known[name] = found
                while len(self._known) > _KNOWN:
                    self._known.popitem(last=False)
        return found

    def piece(self, path: Path, number: int, stop: Stop = going_on) -> bytes:
        """A piece of a file, a whole MP4 whose times begin at 0.

        stop: asked now and then; where it says so, Stopped is raised.
        Raises VideoError when there is no such piece, or nothing of it can be read.
        """
        found = self.playing(path, stop)
        if not 0 <= number < len(found.limits):
            expected = f"expected 0 to {len(found.limits) - 1}" if found.limits else "it is played as it is"
            raise VideoError(path, f"has no piece {number}; {expected}")
        name = _identity(path)
        kept = f"{_FORMAT}\n{name}\n{number}"
        with self._alone(kept):
            content = self._kept.get(kept)
            if content is None:
                with self._turn(stop):
                    content = self._made(found, name, number, stop)
                self._kept.put(kept, content)
        return content

    def close(self) -> None:
        """Close the files that are held open."""
        with self._lock:
            readings = list(self._open.values())
            self._open.clear()
        for reading in readings:
            reading.close()

    def _made(self, found: Playing, name: str, number: int, stop: Stop) -> bytes:
        with self._lock:
            reading = self._open.pop((name, number), None)
        begin, encoded_alone = found.limits[number][0], False
        try:
            if reading is None:
                reading = _reading(found, begin)
            try:
                content = reading.piece(found.limits[number], stop)
            except Damaged:
                reading.close()
                reading = _encoding(found, begin)
                content = reading.piece(found.limits[number], stop)
                encoded_alone = found.copied
        except BaseException as error:
            if reading is not None:
                reading.close()
            if isinstance(error, av.FFmpegError):
                raise VideoError(
                    found.path, f"its piece at {float(begin):g} s cannot be made: {error.strerror}"
                ) from error
            raise
        self._keep_open(name, number + 1, reading, last=encoded_alone or number + 1 == len(found.limits))
        return content

    def _keep_open(self, name: str, number: int, reading: Reading, last: bool) -> None:
        """Hold a reading for the piece that is likely to be asked for next."""
        closed = [reading] if last else []
        with self._lock:
            if not last:
                closed += [old for old in (self._open.pop((name, number), None),) if old is not None]
                self._open[name, number] = reading
                while len(self._open) > _OPEN:
                    closed.append(self._open.popitem(last=False)[1])
        for one in closed:
            one.close()

    @contextmanager
    def _turn(self, stop: Stop) -> Iterator[None]:
        while not self._turns.acquire(timeout=0.1):
            if stop():
                raise Stopped
        try:
            yield
        finally:
            self._turns.release()

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Only one thread at a time is about a thing; the next one finds what the first made."""
        with self._lock:
            lock, waiting = self._making.get(name, (Lock(), 0))
            self._making[name] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._making[name]
                if waiting == 1:
                    del self._making[name]
                else:
                    self._making[name] = (lock, waiting - 1)


def _reading(found: Playing, begin: Fraction) -> Reading:
    if found.copied and found.packets is not None:
        return CopiedReading(found.path, begin, found.packets)
    return _encoding(found, begin)


def _encoding(found: Playing, begin: Fraction) -> Reading:
    return EncodedReading(found.path, begin, None if found.sought else found.packets)


def _identity(path: Path) -> str:
    try:
        return identity(path)
    except OSError as error:
        raise VideoError(path, f"cannot be opened ({error.strerror}); expected a readable video file") from error

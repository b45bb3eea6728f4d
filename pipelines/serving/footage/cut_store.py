"""Parts that were cut out of videos, kept for as long as somebody may fetch them."""

import shutil
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from pipelines.serving.faults import Busy, NotThere
from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.footage.exports import safe_name
from spikemba.errors import OutputError, SpikeMbaError, VideoError
from spikemba.files import folder_of_ours
from spikemba.reading.printable import printable
from spikemba.video.cuts import CutMode, cut_video

LONGEST_S = 1800.0
"""Seconds of a part."""
AT_ONCE = 2
"""Parts that are cut at once; others wait."""
MOST_WAITING = 16
MOST_KEPT = 50
MOST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class KeptCut:
    """A file that was cut out."""

    id: str
    name: str
    """As it is saved by whoever fetches it."""
    path: Path
    start_s: float
    """Where it really begins in the video."""
    end_s: float
    note: str


class CutStore:
    """Cuts in a folder of their own, which goes when the server does; the oldest go before."""

    def __init__(self) -> None:
        self._folder = folder_of_ours("spikemba-cuts")  # what killed servers left there goes
        self._lock, self._turn = threading.Lock(), threading.Semaphore(AT_ONCE)
        self._kept: OrderedDict[str, KeptCut] = OrderedDict()
        self._begun = 0

    def cut(self, video: ServedVideo, start_s: float, end_s: float, mode: CutMode) -> KeptCut:
        """Cut a part out. Raises SpikeMbaError for a part that is none, VideoError, OutputError, Busy."""
        if not start_s < end_s <= start_s + LONGEST_S:
            raise SpikeMbaError(
                f"a part from {start_s:g} to {end_s:g} s cannot be cut; its end must lie behind its start, by "
                f"{LONGEST_S:g} s at most"
            )
        with self._lock:
            if self._begun >= AT_ONCE + MOST_WAITING:
                raise Busy(f"{self._begun} parts are being cut already; ask again when one is done")
            self._begun += 1
        try:
            with self._turn:
                return self._keep(self._made(video, start_s, end_s, mode))
        finally:
            with self._lock:
                self._begun -= 1

    def get(self, cut_id: str) -> KeptCut:
        """The cut of an id. Raises NotThere."""
        with self._lock:
            found = self._kept.get(cut_id)
        if found is None:
            raise NotThere(f"no cut has the id {printable(cut_id)[:100]!r}; it may be gone: cut it again")
        return found

    def close(self) -> bool:
        """Remove all files; returns whether no more are being made."""
        with self._lock:
            self._kept.clear()
            shutil.rmtree(self._folder, ignore_errors=True)
            return self._begun == 0

    def _made(self, video: ServedVideo, start_s: float, end_s: float, mode: CutMode) -> KeptCut:
        cut_id = uuid.uuid4().hex
        try:
            done = cut_video(video.path, self._folder / f"{cut_id}.mp4", start_s, end_s, mode=mode)
        except VideoError as error:
            raise video.fault(error) from None
        except OutputError as error:
            raise SpikeMbaError(str(error).replace(str(self._folder), "the folder of cuts")) from None
        stem = f"{video.path.stem}_{done.start_s:.2f}-{done.end_s:.2f}s"
        return KeptCut(cut_id, safe_name(stem, done.out.suffix), done.out, done.start_s, done.end_s, done.note)

    def _keep(self, cut: KeptCut) -> KeptCut:
        with self._lock:
            self._kept[cut.id] = cut
            size = sum(_size(one.path) for one in self._kept.values())
            while len(self._kept) > 1 and (len(self._kept) > MOST_KEPT or size > MOST_BYTES):
                _, gone = self._kept.popitem(last=False)
                size -= _size(gone.path)
                gone.path.unlink(missing_ok=True)
        return cut


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

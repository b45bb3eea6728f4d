"""What is known to be true of the videos: windows of annotation files, and what people have said since.

Both name videos as they were called when they were written. Which files these are now is found as `spikemba prepare
custom` finds it, so that what is shown here is what is taught; what is not certain is shown of no video, and said.
"""

import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.serving.corrections_messages import Correction, CorrectionRow
from pipelines.serving.faults import NotNow
from pipelines.serving.footage.catalogue import ServedVideo, ServedVideos
from pipelines.serving.known.corrections_files import Corrections
from pipelines.serving.messages import Truth
from spikemba.datasets import corrections as forms
from spikemba.datasets.annotations import Annotation, read_annotations
from spikemba.datasets.corrected_videos import video_of, with_videos
from spikemba.datasets.corrections import Placed, one_line
from spikemba.datasets.custom import Durations, RowFault
from spikemba.datasets.row_fit import LEAST, MOST
from spikemba.datasets.video_names import NamedVideos, VideoNotFound
from spikemba.errors import VideoError

LengthOf = Callable[[ServedVideo], float]


@dataclass
class _Known:
    """What is known of the videos of one listing. By ids of served videos."""

    named: NamedVideos
    counting: Sequence[Placed]
    annotated: dict[str, list[tuple[Annotation, str]]] = field(default_factory=lambda: defaultdict(list))
    """Rows, with the names of their files."""
    said: dict[str, list[Placed]] = field(default_factory=lambda: defaultdict(list))
    problems: list[str] = field(default_factory=list)


class KnownTruth:
    """True windows by video; threads may ask at once."""

    def __init__(
        self, annotations: Sequence[Path], corrections: Path | None, videos: ServedVideos, length_of: LengthOf
    ) -> None:
        """length_of: seconds of a video; raises VideoError. Raises AnnotationError for a file that cannot be used."""
        self._rows = [
            (row, path.name) for path in annotations for row in read_annotations(path) if row.windows is not None
        ]
        self._said = None if corrections is None else Corrections(corrections)
        self._videos, self._length_of = videos, length_of
        self._nothing: list[Placed] = []
        self._lengths: dict[tuple[str, int, float], float] = {}
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def of(self, video: ServedVideo) -> list[Truth]:
        """What is known of a video: first what files say, then people."""
        now = self._now()
        annotated = now.annotated.get(video.id, [])
        if annotated:
            with suppress(VideoError):  # of what cannot be read nothing better is known
                length_s = self._length(video)
                # else they are about another file of that name
                annotated = [(row, by) for row, by in annotated if LEAST <= length_s / row.duration_s <= MOST]
        found = [
            Truth(query=row.query, windows=_pairs(row.windows or ()), absent=row.is_null, by=by)
            for row, by in annotated
        ]
        for placed in now.said.get(video.id, []):
            one = placed.correction
            if one.windows is not None:
                found.append(Truth(query=one.query, windows=_pairs(one.windows), absent=one.is_null, by=one.by))
        return found

    def videos(self) -> set[str]:
        """Ids of those of which something is known."""
        now = self._now()
        return {*now.annotated, *now.said}

    def counts(self) -> Mapping[str, int]:
        """Id of a video -> how many corrections there are of it."""
        return Counter({video: len(rows) for video, rows in self._now().said.items()})

    def rows(self, video: ServedVideo | None, query: str | None) -> list[CorrectionRow]:
        """What people said. Raises NotNow where nothing is taken."""
        self._open()
        said, wanted = self._now().said, None if query is None else one_line(query)
        some = said.get(video.id, []) if video is not None else [row for rows in said.values() for row in rows]
        return [
            CorrectionRow.model_validate(row.correction.to_row(row.number))
            for row in some
            if wanted is None or row.correction.query == wanted
        ]

    def problems(self) -> list[str]:
        """Lines of corrections that are shown of no video, and files that cannot be read, each in a line."""
        if self._said is None:
            return []
        found = [*self._said.problems(), *self._now().problems]
        # clients on other machines are told this, whom the places of folders do not concern
        places = {f"{self._videos.top}{os.sep}": "", str(self._videos.top): "what is served"}
        places |= {f"{self._said.folder}{os.sep}": ""}
        for place, shown in places.items():
            found = [line.replace(place, shown) for line in found]
        return found

    def add(self, said: Correction, video: ServedVideo) -> CorrectionRow:
        """Keep what somebody says. Raises NotNow, CorrectionError, OutputError, VideoError."""
        folder, duration_s = self._open(), self._length_of(video)
        row: dict[str, Any] = folder.append(
            forms.correction(
                said.name,
                self._name_of(video, duration_s),
                said.query,
                duration_s,
                windows=said.windows,
                wrong=said.wrong,
                absent=said.absent,
                model=said.model or None,
            )
        )
        return CorrectionRow.model_validate(row)

    def _open(self) -> Corrections:
        if self._said is None:
            raise NotNow("this server takes no corrections; start it with --corrections DIR")
        return self._said

    def _now(self) -> _Known:
        """What is known, found anew where the videos or the corrections have changed."""
        counting = self._nothing if self._said is None else self._said.counting()
        with self._lock:
            named, before = self._videos.named(), self._known
            if before is not None and before.named is named and before.counting is counting:
                return before
            now = _Known(named, counting)
            for row, by in self._rows:
                with suppress(VideoNotFound):
                    if (video := self._videos.of_path(named.of_id(row.video_id))) is not None:
                        now.annotated[video.id].append((row, by))
            found, now.problems = with_videos(counting, named, Durations(self._length_at))
            for placed, path in found:
                if (video := self._videos.of_path(path)) is not None:
                    now.said[video.id].append(placed)
            self._known = now
            return now

    def _name_of(self, video: ServedVideo, duration_s: float) -> str:
        """What a row calls a video, so that it is found by it, also beside others of that name."""
        named, lengths = self._videos.named(), Durations(self._length_at)
        above = video.path.absolute().parts[1:]
        longer = ["/".join(above[-n:]) for n in range(1, len(above) + 1)]
        for name in (video.video_id, *longer):
            one = forms.correction("a", name, "a", duration_s, absent=True)
            with suppress(VideoNotFound, RowFault):
                if self._videos.of_path(video_of(Placed(one, Path(name), 1, 1), named, lengths)) == video:
                    return name
        return video.video_id

    def _length_at(self, path: Path) -> float:
        """Seconds of a file. Raises VideoError."""
        video = self._videos.of_path(path)
        if video is None:
            raise RowFault(f"{path.name} is not served any more")
        return self._length(video)

    def _length(self, video: ServedVideo) -> float:
        key = video.id, video.size_bytes, video.changed
        if key not in self._lengths:
            self._lengths[key] = self._length_of(video)
        return self._lengths[key]


def _pairs(windows: Sequence[Any]) -> list[list[float]]:
    return [[window.start_s, window.end_s] for window in windows]

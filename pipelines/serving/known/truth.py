"""What is known to be true of the videos: windows of annotation files, and what people have said since."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.serving.faults import NotNow
from pipelines.serving.known.corrections_files import Corrections
from pipelines.serving.messages import Correction, CorrectionRow, Truth
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.corrections import correction


class KnownTruth:
    """True windows by video, as annotations call it."""

    def __init__(self, annotations: Sequence[Path], corrections: Path | None) -> None:
        """Raises AnnotationError for a file that cannot be used."""
        self._annotated: dict[str, list[Truth]] = defaultdict(list)
        for path in annotations:
            for row in read_annotations(path):
                if row.windows is not None:
                    windows = [[window.start_s, window.end_s] for window in row.windows]
                    known = Truth(query=row.query, windows=windows, absent=row.is_null, by=path.name)
                    self._annotated[row.video_id].append(known)
        self._said = None if corrections is None else Corrections(corrections)

    def of(self, video_id: str) -> list[Truth]:
        """What is known of a video: first what files say, then people."""
        said = [] if self._said is None else self._said.truth(video_id)
        return [*self._annotated.get(video_id, ()), *(Truth.model_validate(one) for one in said)]

    def videos(self) -> set[str]:
        """Those of which something is known."""
        return {*self._annotated, *self.counts()}

    def counts(self) -> Mapping[str, int]:
        """Video -> how many corrections there are of it."""
        return {} if self._said is None else self._said.counts()

    def rows(self, video_id: str | None, query: str | None) -> list[CorrectionRow]:
        """What people said. Raises NotNow where nothing is taken."""
        return [CorrectionRow.model_validate(row) for row in self._open().rows(video_id, query)]

    def add(self, said: Correction, video_id: str, duration_s: float) -> CorrectionRow:
        """Keep what somebody says. Raises NotNow, CorrectionError, OutputError."""
        row: dict[str, Any] = self._open().append(
            correction(
                said.name,
                video_id,
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

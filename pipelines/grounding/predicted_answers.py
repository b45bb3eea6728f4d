"""Rows of predictions as answers, so that everything that is made of answers can be made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.grounding.answer_files import Outputs, write_answers
from pipelines.grounding.conversion_options import Conversion, ConversionOptions
from pipelines.grounding.formats import PER_VIDEO, rendered
from pipelines.grounding.losses import note_of
from pipelines.timelines.forms import TIMELINES
from spikemba.datasets.annotations import PredictedRow
from spikemba.datasets.predictions.predictions import Predictions
from spikemba.datasets.predictions.timelens import SUFFIX
from spikemba.errors import AnnotationError, SpikeMbaError
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.reading.printable import counted


def answer_of(row: PredictedRow, exists: float | None) -> Answer:
    """A row as an answer of which nothing else is known.  exists: that there is such a moment."""
    saliency, none = np.asarray(row.saliency, np.float32), np.zeros(0, np.float32)
    return Answer(row.moments, saliency, none, (), np.zeros((len(saliency), 0), np.bool_), exists)


def groundings(rows: Sequence[PredictedRow], files: Mapping[str, Path], *, named_as_files: bool) -> list[Grounding]:
    """The rows as answers about their videos.

    named_as_files: names of videos that are not at hand get a suffix, so that files about them are named by all of it.
    """
    found = []
    for row in rows:
        end_s = max((one.end_s for one in row.moments), default=0.0)
        duration_s = end_s if row.duration_s is None else row.duration_s
        suffix = SUFFIX if named_as_files and not row.video_id.endswith(SUFFIX) else ""
        found.append(
            Grounding(
                video=files.get(row.video_id, Path(row.video_id + suffix)),
                query=row.query,
                duration_s=duration_s,
                clip_s=row.clip_s or duration_s / max(len(row.saliency), 1),
                answer=answer_of(row, row.exist_score),
                model=row.model or "",
            )
        )
    return found


def inside_videos(rows: Sequence[PredictedRow]) -> tuple[list[PredictedRow], int]:
    """The rows without moments that begin behind the end of their video, and how many those are."""
    kept = [
        row
        if row.duration_s is None
        else replace(row, moments=tuple(one for one in row.moments if one.start_s < row.duration_s))
        for row in rows
    ]
    return kept, sum(len(row.moments) for row in rows) - sum(len(row.moments) for row in kept)


def write_format(found: Predictions, how: ConversionOptions, at_hand: Mapping[str, Path], done: Conversion) -> None:
    """Write what `ground` would write of such answers. Raises AnnotationError, SpikeMbaError, VideoError."""
    videos = {row.video_id for row in found.rows}
    missing = sorted(videos - at_hand.keys())
    if how.to in TIMELINES and missing:
        raise SpikeMbaError(f"{how.to} counts frames of the videos, and {missing[0]!r} is no file; give --videos DIR")
    if how.to in PER_VIDEO and how.out is None and len(videos) > 1:
        raise SpikeMbaError(f"{how.to} is a file per video, and there are {len(videos)}; give --out DIR")
    if "" in videos:
        raise AnnotationError(found.source, ["a row names no video; --video NAME says which it is"])
    rows, n_behind = inside_videos(found.rows)
    if n_behind:
        done.notes.append(f"left out {counted(n_behind, 'moment', 'moments')} behind the video's end")
    answers = groundings(rows, at_hand, named_as_files=how.to in PER_VIDEO)
    if lost := note_of(how.to, answers, how.shape):
        done.notes.append(f"{how.to}: {lost}")
    outputs = Outputs(how.to, how.out, how.shape, how.relative)
    if how.out is None:
        done.text = rendered(how.to, answers, outputs.layout(Path.cwd()))
        return
    made = write_answers(answers, outputs)
    done.written += made.written
    done.failed += made.failed.values()

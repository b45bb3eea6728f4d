"""Which annotation a prediction is about: by its id, or by its video and sentence, or its sentence alone."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.datasets.predictions.form import NO_ID
from spikemba.metrics.retrieval import QueryId
from spikemba.reading.printable import counted
from spikemba.video.folders import VIDEO_SUFFIXES


def with_truth(
    rows: Sequence[tuple[str, PredictedRow]], truth: Sequence[Annotation], *, by_id: bool
) -> tuple[list[PredictedRow], list[str]]:
    """The rows with the ids, durations, videos and true windows of their annotations, and which rows have none.

    rows: place and row.  by_id: their ids are the annotations'; a row that is not annotated stays as it is then.
    """
    if by_id:
        known = {one.query_id: one for one in truth}
        told = [_told(row, known[row.query_id]) if row.query_id in known else row for _, row in rows]
        return told, other_questions(map(_asked, (row for _, row in rows)), map(_asked, truth))
    asked: dict[tuple[str, str], list[Annotation]] = defaultdict(list)
    for one in truth:
        for video in {video_name(one.video_id), ""}:
            asked[video, sentence(one.query)].append(one)
    found, faults = [], []
    for place, row in rows:
        fits = _fitting(row, asked)
        if len(fits) == 1:
            found.append(_told(replace(row, query_id=NO_ID), fits[0]))
            continue
        about = f"{row.query!r}" + (f" of video {row.video_id!r}" if row.video_id else "")
        ids = " and ".join(repr(one.query_id) for one in fits[:2])
        faults.append(f"{place}: " + (f"{about} is both qid {ids}" if fits else f"no annotation asks {about}"))
    return found, faults


Asked = tuple[QueryId, str, str]
"""Id of a query, its sentence, and the name of its video; where a row does not say one of these it is empty."""


def other_questions(rows: Iterable[Asked], truth: Iterable[Asked]) -> list[str]:
    """A line where rows are about another sentence or video than the annotation of their id: they are of another table.

    Sentences are one in any case and with any space, and with or without full stops at their ends, videos with or
    without folder and suffix. What only one side says is held against nothing.
    """
    known, n, others = {one[0]: one for one in truth}, 0, list[str]()
    for row in rows:
        if (of := known.get(row[0])) is None:
            continue
        n += 1
        for what, form, said, annotated in (("sentence", _heard, row[1], of[1]), ("video", video_name, row[2], of[2])):
            if said and annotated and form(said) != form(annotated):
                others.append(f"qid {row[0]!r}: {what} {said!r}, annotated {annotated!r}")
                break
    if not others:
        return []
    rows_said = f"{len(others)} of {counted(n, 'row', 'rows')} {'is' if len(others) == 1 else 'are'}"
    return [f"{rows_said} about another sentence or video than the annotation of the same qid, as {others[0]};"
            " check that predictions and annotations are of the same split"]  # fmt: skip


def _asked(one: PredictedRow | Annotation) -> Asked:
    return one.query_id, one.query, one.video_id


def _heard(query: str) -> str:
    return sentence(query).casefold()


def video_name(video: str) -> str:
    """A video's name without its folder and the suffix of its file."""
    path = PurePosixPath(video.replace("\\", "/"))
    return path.stem if path.suffix.lower() in VIDEO_SUFFIXES else path.name


def sentence(query: str) -> str:
    """A sentence without what TimeLens leaves out: superfluous space and full stops at the ends."""
    return " ".join(query.split()).strip(" .")


def _fitting(row: PredictedRow, asked: Mapping[tuple[str, str], Sequence[Annotation]]) -> Sequence[Annotation]:
    """The annotations that a row may be about; of several those whose window it says to be true."""
    fits = asked.get((video_name(row.video_id) if row.video_id else "", sentence(row.query)), ())
    told = [one for one in fits if row.true_window is not None and row.true_window in (one.windows or ())]
    return told if len(fits) > 1 and told else fits


def _told(row: PredictedRow, one: Annotation) -> PredictedRow:
    return replace(
        row,
        query_id=one.query_id,
        query=row.query or one.query,
        video_id=row.video_id or one.video_id,
        duration_s=row.duration_s or one.duration_s,
        true_window=row.true_window or (one.windows[0] if one.windows else None),
    )

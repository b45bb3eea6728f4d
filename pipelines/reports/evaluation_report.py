"""The page of an evaluation: of a run, or of anybody's predictions beside annotations."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.grounding.predicted_answers import answer_of
from pipelines.reports.case import Case
from pipelines.reports.choice import chosen
from pipelines.reports.report import ReportContent, Table, write_report
from pipelines.scoring.evaluate_files import Evaluation
from pipelines.scoring.outcomes import FOUND_IOU, Outcome, found_by_chance, outcomes, share_found, with_answer
from pipelines.scoring.scores import main_metrics, short_name
from pipelines.scoring.verdict import verdict
from spikemba.errors import SpikeMbaError
from spikemba.features import row_length_s
from spikemba.grounding import Answer
from spikemba.metrics.existence import THRESHOLDS
from spikemba.reading.printable import counted
from spikemba.video.names import named_videos


def report_evaluation(
    path: Path, title: str, result: Evaluation, videos: Path | None = None, intro: str = ""
) -> tuple[Path, list[str]]:
    """Write the page; see `write_report`.

    videos: folder of the videos, of whose frames pictures are made; None: where the evaluation thinks that they lie.
    Raises OutputError, SpikeMbaError where nothing was scored.
    """
    if not result.document:
        raise SpikeMbaError("nothing was scored, so there is nothing to report; expected a split with its truth")
    return write_report(path, replace(content_of(title, result, videos), intro=intro))


def content_of(title: str, result: Evaluation, videos: Path | None = None) -> ReportContent:
    """What the page says. videos: as of `report_evaluation`."""
    found = outcomes(result.rows, result.truth, result.min_exists)
    shown = chosen(found)
    cases, notes = cases_of(shown, result, videos or result.videos)
    return ReportContent(
        title,
        lead=_lead(result, found),
        beside=_beside(found),
        found=found,
        cases=cases,
        brief=result.brief,
        tables=_tables(result),
        notes=[*result.notes, *result.faults, *notes],
    )


def _lead(result: Evaluation, found: Sequence[Outcome]) -> str:
    answered, null = with_answer(found), [one for one in found if one.truth.is_null]
    parts = []
    if answered:
        n = sum(one.fate == "found" for one in answered)
        of = counted(len(answered), "sentence", "sentences")
        parts.append(f"Found {n} of {of} ({100 * n / len(answered):.1f}\u00a0%).")
    if null:
        n = sum(one.fate == "rejected" for one in null)
        parts.append(f"Of {len(null)} about what the videos do not show it said of {n} rightly: no such moment.")
    if not parts:
        said = verdict(result)
        return f"{said[:1].upper()}{said[1:]}."
    return " ".join(parts)


def _beside(found: Sequence[Outcome]) -> list[str]:
    """What found means, how far it would differ for other videos, and what chance finds."""
    share, chance = share_found(found), found_by_chance(found)
    if share is None:
        return []
    said = [
        f"Found means: the first moment of the answer overlaps a true one by at least {FOUND_IOU:g}, as intersection "
        "over union (IoU) of the two."
    ]
    if share.low is not None and share.high is not None:
        said.append(f"95 % interval, over such videos drawn anew: {100 * share.low:.1f} to {100 * share.high:.1f} %.")
    if chance is not None:
        dealt = "By chance: the same first moments, dealt out to sentences of other videos, find"
        said.append(f"{dealt} {100 * chance:.1f} %.")
    return [said[0], " ".join(said[1:])] if said[1:] else said


def cases_of(
    shown: Mapping[str, Sequence[Outcome]], result: Evaluation, videos: Path | None
) -> tuple[dict[str, list[Case]], list[str]]:
    """Fate -> the queries with all that is known of them, and what to say where frames are missing."""
    every = [one for own in shown.values() for one in own]
    wanted = [one.truth.query_id for one in every]
    answers = result.answers(wanted) if result.answers is not None else {}
    files, notes = _files({one.truth.video_id for one in every}, videos)
    return {
        fate: [_case(one, answers.get(one.truth.query_id), files, result.min_exists) for one in own]
        for fate, own in shown.items()
    }, notes


def _files(wanted: set[str], videos: Path | None) -> tuple[dict[str, Path], list[str]]:
    """Identifier -> file, of those that are at hand."""
    if not wanted:
        return {}, []
    if videos is None:
        return {}, ["Without frames: the videos are not at hand; --videos names their folder."]
    named = named_videos([videos])
    files = {video_id: named[video_id] for video_id in wanted if video_id in named}
    if missing := sorted(wanted - set(files)):
        return files, [
            f"Without frames: {len(missing)} of {len(wanted)} videos are not in {videos}, as {missing[0]!r}."
        ]
    return files, []


def _case(one: Outcome, answer: Answer | None, files: Mapping[str, Path], min_exists: float | None) -> Case:
    truth, row = one.truth, one.row
    if min_exists is None and truth.is_null:  # the field's limit is what the outcome was decided by
        min_exists = float(np.nextafter(THRESHOLDS[0], 1))
    if answer is None:
        answer = answer_of(row, row.existence)
    n = len(answer.saliency)
    nominal_s = truth.rating_clip_s if truth.ratings else truth.duration_s / max(n, 1)
    return Case(
        query=truth.query,
        video_id=truth.video_id,
        duration_s=truth.duration_s,
        clip_s=row_length_s(n, truth.duration_s, nominal_s) if n else nominal_s,
        answer=answer,
        truth=truth.windows,
        min_exists=min_exists,
        video=files.get(truth.video_id),
        outcome=one,
    )


def _tables(result: Evaluation) -> dict[str, Table]:
    found: dict[str, Table] = {}
    if kinds := result.document.get("by_kind"):
        names = main_metrics({name: 0.0 for one in kinds.values() for name in one["brief"]}, at_most=5)
        rows = [
            [kind, str(one["n_queries"]), *(f"{one['brief'][n]:.2f}" if n in one["brief"] else "" for n in names)]
            for kind, one in kinds.items()
        ]
        found["By kind of sentence"] = (["kind", "sentences", *map(short_name, names)], rows)
    if classes := result.document.get("per_class"):
        rows = [
            [name, str(one["videos"]), f"{one['top1']:.2f}", one.get("taken_for", "")] for name, one in classes.items()
        ]
        found["By class"] = (["class", "videos", "top1", "most often taken for"], rows)
    return found

"""Any predictions on any benchmark, from the field's own files. Needs no torch, so it starts at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.scoring.answers import read_answers
from pipelines.scoring.by_kind import scores_by_kind
from pipelines.scoring.comparisons import intervals, too_few
from pipelines.scoring.null_queries import null_notes
from pipelines.scoring.prediction_faults import prediction_faults
from pipelines.scoring.scores import brief, has_truth, left_out_faults, protocol_of, score
from spikemba.config import Tree
from spikemba.datasets.annotations import (
    Annotation,
    PredictedRow,
    QueryId,
    read_annotations,
    write_predictions,
)
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.errors import AnnotationError
from spikemba.metrics import NothingToScore
from spikemba.metrics.bootstrap import Interval
from spikemba.progress import Report, silent

if TYPE_CHECKING:
    from spikemba.grounding import Answer


@dataclass(frozen=True)
class EvaluateOptions:
    """What is asked of the evaluation of a run, beside its split."""

    data: Any = None
    """A data section of the run's kind: where annotations and features lie; None: as it was trained."""
    settings: Tree = field(default_factory=dict)
    """Nested settings over the run's: of the data section, and of what else its kind can do otherwise afterwards."""
    out: Path | None = None
    """File for the predictions."""
    benchmark: str | None = None
    """Whose metrics; None: the run's."""
    resamples: int = 0
    """Of the bootstrap, for 95 % intervals; 0: none."""
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """Of the matrix products of a grounding model."""
    report: Report = silent
    """Counts the queries, or videos, that are answered."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    benchmark: str
    document: dict[str, Any]
    """As the official evaluator writes it; with `by_kind` behind it where the annotations name kinds."""
    brief: dict[str, float]
    """The few numbers that stand for it."""
    spread: dict[str, float] = field(default_factory=dict)
    """Standard deviations over seeds, where there are several."""
    intervals: dict[str, Interval] = field(default_factory=dict)
    """95 % intervals of the main numbers, if they were asked for."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with the predictions."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the numbers should know."""
    n_queries: int = 0
    """That were scored."""
    rows: Sequence[PredictedRow] = field(default=(), repr=False)
    """The answers that were scored; of several seeds those of the first, of other kinds than sentences none."""
    truth: Sequence[Annotation] = field(default=(), repr=False)
    """What they were scored against."""
    min_exists: float | None = None
    """Below which an answer says that there is no such moment; None: as the field has it."""
    answers: "Callable[[Sequence[QueryId]], Mapping[QueryId, Answer]] | None" = field(default=None, repr=False)
    """Asks the model again, for all that it says of a few queries; None where no model answered."""
    videos: Path | None = None
    """Folder in which the videos may lie: `videos` beside the annotations."""
    published: str | None = None
    """The benchmark, by name, whose published numbers these may stand beside; None: the data are a person's own."""


def read_truth(path: Path, benchmark: str) -> list[Annotation]:
    """Annotations of a jsonl, or of the test split of the benchmark's official form. Raises AnnotationError."""
    if path.suffix in (".jsonl", ""):
        return read_annotations(path)
    about = find_benchmark(benchmark)
    try:
        found = about.read(path, path.parent, "test")
    except AnnotationError as error:
        others = ", ".join(name for name in benchmark_names() if name != benchmark)
        raise AnnotationError(
            path, [f"{error.faults[0]}, as {about.title} has; of another benchmark, give --dataset: {others}"]
        ) from None
    rows = [row for _, row in found.rows]
    if path.name in about.files.get("all", ()) and about.is_test is not None:
        rows = [row for row in rows if about.is_test(row)]
    if not rows:
        raise AnnotationError(
            path, found.faults or ["no rows; expected one of the forms that `spikemba prepare` reads"]
        )
    return rows


def evaluate_files(
    predictions: Path, annotations: Path, benchmark: str, resamples: int = 0, *, only_check: bool = False
) -> Evaluation:
    """Score a file of predictions, of any form. Raises AnnotationError, UnknownName.

    only_check: look for faults and score nothing, so that missing queries are a fault among others.
    """
    protocol = protocol_of(benchmark)
    truth = read_truth(annotations, benchmark)
    answers = read_answers(predictions, truth)
    rows = answers.rows
    faults = prediction_faults(rows, truth, protocol)
    if only_check:
        return Evaluation(benchmark, {}, {}, faults=faults)
    try:
        document = _document(rows, truth, protocol, str(predictions))
    except NothingToScore:
        if not answers.notes:
            raise
        raise AnnotationError(predictions, [f"nothing to score: {'; '.join(answers.notes)}"]) from None
    found = intervals(rows, truth, protocol, resamples) if resamples else {}
    faults += too_few(truth) if resamples else []
    scored = _evaluation(benchmark, document, (rows, truth), found, faults)
    return replace(scored, notes=[*answers.notes, *scored.notes], videos=videos_beside(annotations))


def videos_beside(annotations: Path | None) -> Path | None:
    """The folder `videos` beside a file of annotations, where there is one."""
    folder = None if annotations is None else annotations.parent / "videos"
    return folder if folder is not None and folder.is_dir() else None


def evaluate_rows(
    rows: Sequence[PredictedRow], truth: Sequence[Annotation], benchmark: str, how: EvaluateOptions
) -> Evaluation:
    """Score what a model answered. The answers are written first, so that a fault in scoring loses none.

    Without a truth, as in a test split that hides it, the answers are all there is: they are written and not scored.
    Raises AnnotationError when there is neither a truth nor a file to write.
    """
    if how.out is not None:
        write_predictions(how.out, rows)
    if not has_truth(truth) and how.out is not None:
        said = f"the split holds no windows, ratings or labels: its {len(rows)} answers are in {how.out}, unscored"
        return Evaluation(benchmark, {}, {}, faults=[said])
    protocol = protocol_of(benchmark)
    document = _document(rows, truth, protocol, "predictions")
    faults = left_out_faults(document)
    found = intervals(rows, truth, protocol, how.resamples) if how.resamples else {}
    faults += too_few(truth) if how.resamples else []
    return _evaluation(benchmark, document, (rows, truth), found, faults)


def _evaluation(
    benchmark: str,
    document: dict[str, Any],
    scored: tuple[Sequence[PredictedRow], Sequence[Annotation]],
    found: dict[str, Interval],
    faults: list[str],
) -> Evaluation:
    return Evaluation(
        benchmark,
        document,
        brief(document),
        intervals=found,
        faults=faults,
        notes=null_notes(scored[1]),
        n_queries=len(scored[1]),
        rows=scored[0],
        truth=scored[1],
    )


def _document(
    rows: Sequence[PredictedRow], truth: Sequence[Annotation], protocol: ScoringProtocol, source: str
) -> dict[str, Any]:
    document = score(rows, truth, source, protocol)
    kinds = scores_by_kind(rows, truth, protocol)
    return document | ({"by_kind": kinds} if kinds else {})

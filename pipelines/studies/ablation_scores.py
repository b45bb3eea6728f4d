"""What a variant reached on the split that is reported, and how far that is from the base on the same queries.

predictions_<split>.jsonl         in each run folder: its answers with the checkpoint that validation chose
predictions_<split>.made.json     marks of the checkpoint, annotations and features that they are of
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.runs.run_dir import RunDir
from pipelines.runs.study_folder import Study, mean_and_spread
from pipelines.scoring.by_kind import by_kind
from pipelines.scoring.comparisons import compare_seeds
from pipelines.scoring.evaluate_files import EvaluateOptions
from pipelines.scoring.scores import brief, has_truth, protocol_of, score
from pipelines.studies.ablations import Variant
from pipelines.tasks.grounding.config import RunConfig
from pipelines.tasks.grounding.evaluate import evaluate_run
from pipelines.training.data_digest import of_files, of_split
from spikemba.checkpoints.grounding import find_checkpoint, load_checkpoint
from spikemba.datasets.annotations import Annotation, PredictedRow, read_predictions
from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.errors import AnnotationError
from spikemba.files import CHECKPOINT_FILES, write_json
from spikemba.metrics import NothingToScore
from spikemba.metrics.bootstrap import Comparison
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

Rows = Sequence[PredictedRow]


@dataclass(frozen=True)
class Reported:
    """The split that the numbers are about."""

    split: Split
    truth: Sequence[Annotation]
    protocol: ScoringProtocol

    @property
    def n_videos(self) -> int:
        """How many videos its queries are about."""
        return len({one.video_id for one in self.truth})

    @property
    def kinds(self) -> dict[str, list[Annotation]]:
        """Its queries by their kind, where they have one."""
        return by_kind(self.truth)


def reported(data: DataConfig) -> Reported | None:
    """The test split if there is one that does not hide its truth, else val; None where there is neither.

    Raises what GroundingDataset raises for annotations and features that are missing or faulty.
    """
    splits: tuple[Split, ...] = ("test", "val")
    for split in splits:
        if getattr(data, split) is None:
            continue
        truth = GroundingDataset(data, split, to_train=False).annotations
        chosen = [one for one in truth if not data.domains or data.domain or one.domain in data.domains]
        if has_truth(chosen):
            return Reported(split, chosen, protocol_of(data.benchmark))
    return None


@dataclass(frozen=True)
class Measured:
    """What the runs of a study answered, and what they took."""

    by_seed: dict[int, list[PredictedRow]]
    """The answers of each seed, of all its domains."""
    n_parameters: int
    """That learn, of one network."""
    seconds: float
    """Of training one seed, without validation, in the mean."""


def measure(root: Path, study: Study, split: Split | None, told: Callable[[str], None] = lambda _: None) -> Measured:
    """Answer the split with every run of the study; what is stored of this checkpoint and these data is read instead.

    told: of answers that are of others, and are made anew.
    """
    by_seed: dict[int, list[PredictedRow]] = {}
    if split is not None:
        for run in study.runs:
            by_seed.setdefault(run.seed, []).extend(_answers(root / run.folder, split, told))
    folders = [root / run.folder for run in study.runs]
    seconds = sum(row.get("seconds", 0.0) for folder in folders for row in RunDir(folder).rows())
    network = load_checkpoint(folders[0]).model
    n_parameters = sum(one.numel() for one in network.parameters() if one.requires_grad)
    return Measured(by_seed, n_parameters, round(seconds / len({run.seed for run in study.runs}), 1))


def _answers(run: Path, split: Split, told: Callable[[str], None]) -> list[PredictedRow]:
    path, data = run / f"predictions_{split}.jsonl", RunDir(run).config(RunConfig).data
    truth = GroundingDataset(data, split, to_train=False).annotations
    made, marks = path.with_suffix(".made.json"), _marks(run, data, truth)
    if path.is_file() and (problem := _of_others(path, made, marks, truth)):
        told(f"{path}: {problem}, so all its queries are answered anew")
    elif path.is_file():
        return read_predictions(path)
    made.unlink(missing_ok=True)  # before the answers change: it says what they are of
    evaluate_run(run, split, EvaluateOptions(out=path))
    write_json(made, marks)
    return read_predictions(path)


def _marks(run: Path, data: DataConfig, truth: Sequence[Annotation]) -> dict[str, str]:
    """Of all that the answers of a run depend on, by what people call it."""
    checkpoint = find_checkpoint(run)
    files = of_files([checkpoint / name for name in CHECKPOINT_FILES])
    return {"checkpoint": files, **of_split(data, truth, "annotations")}


def _of_others(path: Path, made: Path, marks: Mapping[str, str], truth: Sequence[Annotation]) -> str:
    """Why stored answers are not those to be had now; empty when they are."""
    try:
        before = read_json(made)
        changed = [f"the {name} changed" for name in marks if before.get(name) != marks[name]]
        rows = {(row.query_id, row.video_id, row.query) for row in read_predictions(path)}
    except (OSError, Unreadable, AttributeError):
        return "it does not say which annotations and features it is of"
    except AnnotationError:
        return "it is damaged"
    asked = {(one.query_id, one.video_id, one.query) for one in truth}
    return next(iter(changed), "" if rows == asked else "it is of other queries")


@dataclass(frozen=True)
class Numbers:
    """Scores over the seeds, in percent."""

    by_seed: dict[int, dict[str, float]] = field(default_factory=dict)
    """Seed -> metric -> percent."""
    against: dict[str, Comparison] = field(default_factory=dict)
    """Metric -> the variant beside the base; empty for the base, and for a variant that is the same configuration."""

    @property
    def mean(self) -> dict[str, float]:
        """Over the seeds."""
        return mean_and_spread(list(self.by_seed.values()))[0] if self.by_seed else {}

    @property
    def std(self) -> dict[str, float]:
        """Sample standard deviation; empty for one seed."""
        return mean_and_spread(list(self.by_seed.values()))[1] if self.by_seed else {}


@dataclass(frozen=True)
class Outcome:
    """What a variant reached."""

    variant: Variant
    all: Numbers = Numbers()
    """Of all queries."""
    by_kind: dict[str, Numbers] = field(default_factory=dict)
    """Of the queries of each kind."""
    compared: tuple[int, ...] = ()
    """Seeds that the base has, too: those the differences are about."""
    n_parameters: int | None = None
    seconds: float | None = None
    """Of training one seed, without validation, in the mean."""
    problem: str = ""
    """Why there are no numbers."""


def outcome(variant: Variant, measured: Measured, base: Measured | None, about: Reported | None) -> Outcome:
    """The scores of a variant.  base: what to set it beside; None for the base itself, or where that has failed."""
    cost = measured.n_parameters, measured.seconds
    if about is None:
        return Outcome(variant, Numbers(), {}, (), *cost)
    seeds = tuple(seed for seed in measured.by_seed if base is not None and seed in base.by_seed)

    def numbers(truth: Sequence[Annotation]) -> Numbers:
        by_seed = {seed: _brief(rows, truth, about.protocol) for seed, rows in measured.by_seed.items()}
        if base is None or not seeds:
            return Numbers(by_seed)
        first, second = ([one.by_seed[seed] for seed in seeds] for one in (base, measured))
        return Numbers(by_seed, compare_seeds(first, second, truth, about.protocol))

    kinds = {kind: numbers(truth) for kind, truth in about.kinds.items() if has_truth(truth)}
    return Outcome(variant, numbers(about.truth), kinds, seeds, *cost)


def _brief(rows: Rows, truth: Sequence[Annotation], protocol: ScoringProtocol) -> dict[str, float]:
    """Of the queries of the truth alone; empty when none of them is answered."""
    asked = {one.query_id for one in truth}
    try:
        return brief(score([row for row in rows if row.query_id in asked], truth, protocol=protocol))
    except NothingToScore:
        return {}

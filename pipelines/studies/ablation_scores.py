"""What a variant reached on the split that is reported, and how far that is from the base on the same queries.

predictions_<split>.jsonl    in each run folder: its answers with the checkpoint that validation chose
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.runs.run_dir import RunDir
from pipelines.runs.study_folder import Study, mean_and_spread
from pipelines.scoring.by_kind import by_kind
from pipelines.scoring.comparisons import compare_seeds
from pipelines.scoring.evaluate_files import EvaluateOptions
from pipelines.scoring.scores import brief, has_truth, protocol_of, score
from pipelines.studies.ablations import Variant
from pipelines.tasks.grounding.evaluate import evaluate_run
from spikemba.checkpoints.grounding import find_checkpoint, load_checkpoint
from spikemba.datasets.annotations import Annotation, PredictedRow, read_predictions
from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.metrics import NothingToScore
from spikemba.metrics.bootstrap import Comparison

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


def measure(root: Path, study: Study, split: Split | None) -> Measured:
    """Answer the split with every run of the study; what is stored and newer than the checkpoint is read instead."""
    by_seed: dict[int, list[PredictedRow]] = {}
    if split is not None:
        for run in study.runs:
            by_seed.setdefault(run.seed, []).extend(_answers(root / run.folder, split))
    folders = [root / run.folder for run in study.runs]
    seconds = sum(row.get("seconds", 0.0) for folder in folders for row in RunDir(folder).rows())
    network = load_checkpoint(folders[0]).model
    n_parameters = sum(one.numel() for one in network.parameters() if one.requires_grad)
    return Measured(by_seed, n_parameters, round(seconds / len({run.seed for run in study.runs}), 1))


def _answers(run: Path, split: Split) -> list[PredictedRow]:
    path, weights = run / f"predictions_{split}.jsonl", find_checkpoint(run) / "model.safetensors"
    if not path.is_file() or path.stat().st_mtime_ns < weights.stat().st_mtime_ns:
        evaluate_run(run, split, EvaluateOptions(out=path))
    return read_predictions(path)


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

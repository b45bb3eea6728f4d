"""Evaluate a checkpoint on a split: predictions, and the official document of metrics."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from pipelines.runs.run_dir import RunDir, run_around
from pipelines.runs.study_folder import mean_and_spread, read_study, seeds_document
from pipelines.scoring.evaluate_files import EvaluateOptions, Evaluation, evaluate_rows
from pipelines.shards import Shard
from pipelines.tasks.grounding.config import RunConfig
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.grounding import Answer, GroundingConfig, Question, answer_questions
from spikemba.model import SpikeMba


class Questions(Sequence[Question]):
    """The questions of a split, or of a shard of it, read when they are asked for."""

    def __init__(self, dataset: GroundingDataset, shard: Shard | None = None) -> None:
        self.dataset = dataset
        self.indices = (shard or Shard()).indices(len(dataset))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def annotations(self) -> list[Annotation]:
        """Of the questions, in their order."""
        return [self.dataset.annotations[i] for i in self.indices]

    @overload
    def __getitem__(self, index: int) -> Question: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Question]: ...

    def __getitem__(self, index: int | slice) -> Question | Sequence[Question]:
        if isinstance(index, slice):
            return [self.question(i) for i in range(*index.indices(len(self)))]
        return self.question(index)

    def question(self, index: int) -> Question:
        """One of them, with its features."""
        place = self.indices[index]
        pair = self.dataset[place]
        return Question(pair.video, pair.tokens, self.dataset.annotations[place].duration_s)


def predict(
    model: SpikeMba, dataset: GroundingDataset, config: GroundingConfig, shard: Shard | None = None
) -> list[PredictedRow]:
    """What the model answers to every query of a split, or of a shard of it, in the split's order."""
    questions = Questions(dataset, shard)
    return to_rows(questions, answer_questions(model, questions, dataset.config.clip_s, config))


def to_rows(questions: "Questions", answers: Iterable[Answer]) -> list[PredictedRow]:
    """Answers to the questions, in their order, as prediction rows."""
    return [
        PredictedRow(
            query_id=annotation.query_id,
            video_id=annotation.video_id,
            query=annotation.query,
            moments=answer.moments,
            saliency=tuple(answer.saliency.tolist()),
        )
        for annotation, answer in zip(questions.annotations, answers, strict=True)
    ]


def evaluate(
    checkpoint: Path, split: Split = "val", *, data: DataConfig | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Score a run's best checkpoint, or a checkpoint, on a split; also write its predictions when `out` is given.

    data: where annotations and features lie; by default what the run was trained with.
    Raises FeaturesMismatch when the features are not those that the checkpoint was trained on.
    """
    return evaluate_run(checkpoint, split, EvaluateOptions(data=data, out=out)).document


def evaluate_run(checkpoint: Path, split: Split = "val", options: EvaluateOptions | None = None) -> Evaluation:
    """The same for one run, or for all domains and seeds of a study: the mean over the seeds and their spread.

    Intervals are those of the first seed.
    """
    how = options or EvaluateOptions()
    study = read_study(checkpoint)
    seeds = study.by_seed(checkpoint) if study else {"": [checkpoint]}
    found: list[Evaluation] = []
    for seed, runs in seeds.items():
        answered = [_predict_split(run, split, _own_domain(how.data, run) if study else how.data) for run in runs]
        rows = [row for of_run, _ in answered for row in of_run]
        truth = [annotation for _, dataset in answered for annotation in dataset.annotations]
        out = how.out
        if out is not None and len(seeds) > 1:
            out = out.with_name(f"{out.stem}_{seed}{out.suffix}")
        resamples = how.resamples if not found else 0
        name = how.benchmark or answered[0][1].config.benchmark
        found.append(evaluate_rows(rows, truth, name, replace(how, out=out, resamples=resamples)))
    if len(found) == 1 or not found[0].document:
        return replace(found[0], faults=[fault for one in found for fault in one.faults])
    documents = [one.document for one in found]
    mean, spread = mean_and_spread([one.brief for one in found])
    document = seeds_document(documents, mean, spread)
    faults = [fault for one in found for fault in one.faults]
    return Evaluation(name, document, mean, spread, found[0].intervals, faults)


def _own_domain(data: DataConfig | None, run: Path) -> DataConfig | None:
    """Other data for one run of a study: its domain's part of them."""
    return data and data.model_copy(update={"domain": RunDir(run).config(RunConfig).data.domain})


def _predict_split(run: Path, split: Split, data: DataConfig | None) -> tuple[list[PredictedRow], GroundingDataset]:
    loaded = load_checkpoint(run)
    dataset = GroundingDataset(data or run_around(run).config(RunConfig).data, split)
    loaded.features.check(dataset.spec, f"split {split!r}")
    return predict(loaded.model, dataset, loaded.grounding), dataset

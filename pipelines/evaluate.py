"""Evaluate a checkpoint on a split: predictions, and the official document of metrics."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from pipelines.run_dir import RunDir
from pipelines.scoring import score
from spikemba.checkpoint import load_checkpoint
from spikemba.datasets.annotations import PredictedRow, write_predictions
from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.grounding import Answer, GroundingConfig, Question, answer_questions
from spikemba.model import SpikeMba


class Questions(Sequence[Question]):
    """The questions of a split, read when they are asked for."""

    def __init__(self, dataset: GroundingDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    @overload
    def __getitem__(self, index: int) -> Question: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Question]: ...

    def __getitem__(self, index: int | slice) -> Question | Sequence[Question]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        pair = self.dataset[index]
        return Question(pair.video, pair.tokens, self.dataset.annotations[index].duration_s)


def predict(model: SpikeMba, dataset: GroundingDataset, config: GroundingConfig) -> list[PredictedRow]:
    """What the model answers to every query of a split, in the split's order."""
    return to_rows(dataset, answer_questions(model, Questions(dataset), dataset.config.clip_s, config))


def to_rows(dataset: GroundingDataset, answers: Iterable[Answer]) -> list[PredictedRow]:
    """Answers to the queries of a split, in its order, as prediction rows."""
    return [
        PredictedRow(
            query_id=annotation.query_id,
            video_id=annotation.video_id,
            query=annotation.query,
            moments=answer.moments,
            saliency=tuple(answer.saliency.tolist()),
        )
        for annotation, answer in zip(dataset.annotations, answers, strict=True)
    ]


def evaluate(
    checkpoint: Path, split: Split = "val", *, data: DataConfig | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Score a run's best checkpoint, or a checkpoint, on a split; also write its predictions when `out` is given.

    data: where annotations and features lie; by default what the run was trained with.
    Raises FeaturesMismatch when the features are not those that the checkpoint was trained on.
    """
    loaded = load_checkpoint(checkpoint)
    dataset = GroundingDataset(data or RunDir(checkpoint).config().data, split)
    loaded.features.check(dataset.spec, f"split {split!r}")
    rows = predict(loaded.model, dataset, loaded.grounding)
    if out is not None:
        write_predictions(out, rows)
    return score(rows, dataset.annotations)

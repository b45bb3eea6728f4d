"""Evaluate a checkpoint on a split: predictions, and the official document of metrics."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import numpy as np

from pipelines.runs.run_dir import RunDir, run_around
from pipelines.runs.study_folder import mean_and_spread, read_study, seeds_document
from pipelines.scoring.asked_settings import refuse_ignored, refuse_other_sections, refuse_unused, with_settings
from pipelines.scoring.evaluate_files import EvaluateOptions, Evaluation, evaluate_rows, videos_beside
from pipelines.shards import Shard
from pipelines.tasks.grounding.config import RunConfig
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.config import Tree
from spikemba.datasets.annotations import Annotation, PredictedRow, QueryId
from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.datasets.clip_lengths import at_clip_length, whole_clips
from spikemba.datasets.registry import OWN
from spikemba.errors import ConfigError
from spikemba.features import FeatureSpec, row_length_s
from spikemba.grounding import Answer, AnswerPrecision, GroundingConfig, Question, answer_questions
from spikemba.model import SpikeMba
from spikemba.progress import Report, reported, silent


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
    model: SpikeMba,
    dataset: GroundingDataset,
    config: GroundingConfig,
    shard: Shard | None = None,
    precision: AnswerPrecision = "fp32",
    report: Report = silent,
) -> list[PredictedRow]:
    """What the model answers to every query of a split, or of a shard of it, in the split's order."""
    questions = Questions(dataset, shard)
    answers = answer_questions(model, questions, dataset.config.clip_s, config, precision=precision)
    return to_rows(questions, reported(answers, len(questions), report))


def to_rows(questions: "Questions", answers: Iterable[Answer]) -> list[PredictedRow]:
    """Answers to the questions, in their order, as prediction rows.

    Saliency is brought to the length of the clips that were rated, so that a number stands beside its rating.
    """
    data = questions.dataset.config
    return [
        PredictedRow(
            query_id=annotation.query_id,
            video_id=annotation.video_id,
            query=annotation.query,
            moments=answer.moments,
            saliency=_saliency(answer, annotation, data),
            exist_score=answer.exists,
        )
        for annotation, answer in zip(questions.annotations, answers, strict=True)
    ]


def _saliency(answer: Answer, annotation: Annotation, data: DataConfig) -> tuple[float, ...]:
    """A number per clip of the length that was rated; per clip of the features where nobody rated."""
    row_s, wanted_s = row_length_s(len(answer.saliency), annotation.duration_s, data.clip_s), annotation.rating_clip_s
    # QVHighlights hides the ratings of its test split; whoever scores a submission reads clips of their length
    hidden = annotation.windows is None and not annotation.labels and data.published() == OWN
    if not (annotation.ratings or hidden) or row_s == wanted_s:
        return tuple(answer.saliency.tolist())
    n = max(1, whole_clips(annotation.duration_s, wanted_s))
    return tuple(at_clip_length(answer.saliency.astype(np.float64), row_s, wanted_s, n).tolist())


def evaluate(
    checkpoint: Path, split: Split = "val", *, data: DataConfig | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Score a run's best checkpoint, or a checkpoint, on a split; also write its predictions when `out` is given.

    data: where annotations and features lie; by default what the run was trained with. How they are read, from the
    length of clips to the scaling, is the checkpoint's to say.
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
        answered = [_predict_split(run, split, _own_domain(how, run) if study else how) for run in runs]
        rows = [row for one in answered for row in one.rows]
        truth = [annotation for one in answered for annotation in one.dataset.annotations]
        out = how.out
        if out is not None and len(seeds) > 1:
            out = out.with_name(f"{out.stem}_{seed}{out.suffix}")
        resamples = how.resamples if not found else 0
        data = answered[0].dataset.config
        scored = evaluate_rows(rows, truth, how.benchmark or data.benchmark, replace(how, out=out, resamples=resamples))
        found.append(
            replace(
                scored,
                published=how.benchmark or _published(data, runs[0]),
                min_exists=answered[0].config.min_exists,
                answers=partial(_answers_again, answered),
                videos=videos_beside(getattr(data, split)),
            )
        )
    if len(found) == 1 or not found[0].document:
        return replace(found[0], faults=[fault for one in found for fault in one.faults])
    documents = [one.document for one in found]
    mean, spread = mean_and_spread([one.brief for one in found])
    document = seeds_document(documents, mean, spread)
    faults = [fault for one in found for fault in one.faults]
    return replace(found[0], document=document, brief=mean, spread=spread, faults=faults)


def _published(data: DataConfig, run: Path) -> str | None:
    """The benchmark that the data are, if they say so; runs of 0.1.0 say it by their own name alone."""
    folder = run_around(run)
    return data.published(folder.config(RunConfig).name if folder.exists else None)


def _own_domain(how: EvaluateOptions, run: Path) -> EvaluateOptions:
    """What is asked of one run of a study: of other data its domain's part."""
    if "domain" in how.settings.get("data", {}):
        raise ConfigError("--set", ["data.domain: each run of a study has its own; evaluate one of its folders"])
    if how.data is None:
        return how
    domain = RunDir(run).config(RunConfig).data.domain
    return replace(how, data=how.data.model_copy(update={"domain": domain}))


@dataclass(frozen=True)
class _Answered:
    """A split that a model has answered, and how it was asked."""

    model: SpikeMba
    dataset: GroundingDataset
    config: GroundingConfig
    precision: AnswerPrecision
    rows: list[PredictedRow]

    def again(self, wanted: Collection[QueryId]) -> dict[QueryId, Answer]:
        """All that the model says of some of the queries, those of them that are its own."""
        every = self.dataset.annotations
        places = [i for i, annotation in enumerate(every) if annotation.query_id in wanted]
        questions = [Questions(self.dataset).question(i) for i in places]
        clip_s = self.dataset.config.clip_s
        answers = answer_questions(self.model, questions, clip_s, self.config, precision=self.precision)
        return {every[i].query_id: answer for i, answer in zip(places, answers, strict=True)}


def _answers_again(answered: Sequence[_Answered], wanted: Sequence[QueryId]) -> dict[QueryId, Answer]:
    return {query_id: answer for one in answered for query_id, answer in one.again(set(wanted)).items()}


def _predict_split(run: Path, split: Split, how: EvaluateOptions) -> _Answered:
    refuse_other_sections(how.settings, ("data", "grounding"))
    loaded = load_checkpoint(run)
    own = how.data
    if own is None:
        folder = run_around(run)
        own = DataConfig() if how.settings.get("data") and not folder.exists else folder.config(RunConfig).data
    dataset = GroundingDataset(data_as_trained(own, how.settings, loaded.features), split, to_train=False)
    loaded.features.check(dataset.spec, f"split {split!r}")
    config = with_settings(loaded.grounding, how.settings, "grounding")
    rows = predict(loaded.model, dataset, config, precision=how.precision, report=how.report)
    return _Answered(loaded.model, dataset, config, how.precision, rows)


def data_as_trained(data: Any, settings: Tree, spec: FeatureSpec) -> DataConfig:
    """Other data, read as a checkpoint reads its features, whatever their configuration says of that.

    settings: those typed for this evaluation. Raises ConfigError for one that the checkpoint decides otherwise.
    """
    if not isinstance(data, DataConfig):
        raise ConfigError("--config", ["data: is that of another task; expected that of a grounding run"])
    refuse_unused(settings, "data", ("domains",))
    asked = with_settings(data, settings, "data")
    used = asked.read_as(spec)
    refuse_ignored(settings, "data", asked, used)
    return used

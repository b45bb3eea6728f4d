"""Fit what makes probabilities of a checkpoint's answers, on a split with known answers, and store it with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.runs.run_dir import run_around
from pipelines.tasks.grounding.config import RunConfig
from pipelines.tasks.grounding.evaluate import Questions, data_as_trained
from spikemba.checkpoints.grounding import BUNDLED, Checkpoint, find_checkpoint, load_checkpoint, store_grounding
from spikemba.datasets.annotations import Annotation
from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.errors import CheckpointError
from spikemba.grounding import Answer, answer_questions, calibrated, logit_of, raw_numbers
from spikemba.metrics.calibration import Calibration, Method, Scaling, fitted
from spikemba.metrics.existence import calibration_error
from spikemba.moments import iou
from spikemba.progress import Report, reported, silent

MIN_IOU = 0.5
"""A moment is right that overlaps a true one so much."""


@dataclass(frozen=True)
class Fitted:
    """What was fitted, and what it was fitted on."""

    checkpoint: Path
    """The folder in which it was stored."""
    calibration: Calibration
    n_queries: int
    n_nulls: int
    """Of them, those without a moment."""
    said: dict[str, "Said"]
    """`existence`, `score`, `score of the first` -> what was said of the split it was fitted on, and what is right."""
    notes: tuple[str, ...] = ()
    """What could not be fitted, and why."""

    @property
    def errors(self) -> dict[str, tuple[float, float]]:
        """By the keys of `said`: expected calibration error in %, before and after."""
        return {name: (said.error(said.before), said.error(said.after)) for name, said in self.said.items()}


class Said(NamedTuple):
    """Probabilities of one kind, and whether each came true; (N,)."""

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    right: NDArray[np.bool_]

    def error(self, probabilities: NDArray[np.float64]) -> float:
        """Expected calibration error, %."""
        return 100 * (calibration_error(probabilities, self.right) or 0.0)


def calibrate(
    source: str | Path,
    split: Split = "val",
    *,
    data: DataConfig | None = None,
    method: Method = "platt",
    min_exists: float = 0.5,
    report: Report = silent,
) -> Fitted:
    """Fit scale and offset of existence and of the moments' scores, and write them into the checkpoint's config.json.

    source: run folder or checkpoint folder.  data: in place of what it was trained with.  min_exists: below this
    probability `ground` says that there is no such moment.  report: counts the queries that are answered.
    What cannot be fitted keeps what it was calibrated with before.
    Raises CheckpointError for a bundled model and where neither can be fitted, and what reading the split raises.
    """
    folder = find_checkpoint(source)
    _check_own(folder, named_data=data is not None)
    loaded = load_checkpoint(folder)
    config = loaded.grounding.model_copy(update={"calibration": None})
    data = run_around(folder).config(RunConfig).data if data is None else data
    dataset = GroundingDataset(data_as_trained(data, {}, loaded.features), split, to_train=False)
    loaded.features.check(dataset.spec, f"split {split!r}")
    questions = Questions(dataset)
    asked = answer_questions(loaded.model, questions, loaded.features.clip_s, config)
    answers = list(reported(asked, len(questions), report))
    known = [(a, b) for a, b in zip(dataset.annotations, answers, strict=True) if a.windows is not None]
    if not known:
        raise CheckpointError(f"split {split!r} tells of no query whether it has a moment; choose another with --split")
    found = _fit(known, loaded, method, min_exists)
    store_grounding(folder, config.model_copy(update={"calibration": found.calibration}))
    return replace(found, checkpoint=folder)


def _check_own(folder: Path, *, named_data: bool) -> None:
    """Raise CheckpointError for what is not the user's to change, and for one whose data nobody names."""
    for name, bundled in BUNDLED.items():
        if bundled.resolve() == folder.resolve():
            raise CheckpointError(
                f"{name} comes with the package and is calibrated; copy {folder} and calibrate the copy, with --config "
                "DATA.yaml"
            )
    if not named_data and not run_around(folder).exists:
        raise CheckpointError(f"{folder} belongs to no run that names its data; name them with --config DATA.yaml")


def _fit(known: Sequence[tuple[Annotation, Answer]], loaded: Checkpoint, method: Method, min_exists: float) -> Fitted:
    shown = np.array([bool(annotation.windows) for annotation, _ in known], np.bool_)
    told = np.array([answer.exists for _, answer in known], np.float64)  # nan where nothing tells
    notes: list[str] = []
    existence = None
    if loaded.model.config.heads.exists:
        existence = _scaling("existence", logit_of(told)[:, None], shown, method, notes)
    else:
        notes.append("existence is not calibrated: the network does not tell it (model.heads.exists)")
    before = loaded.grounding.calibration
    if existence is None and before is not None and before.existence is not None:
        existence = before.existence
        notes.append("existence keeps the calibration that it had")
    raw = [raw_numbers([m.score for m in answer.moments]) for _, answer in known]
    right = [_right(annotation, answer) for annotation, answer in known]
    # with existence, scores are of moments given that there are any
    fit_on = [i for i in range(len(known)) if shown[i] or existence is None]
    numbers, kept = np.concatenate([raw[i] for i in fit_on]), np.concatenate([right[i] for i in fit_on])
    score = _scaling("score", numbers, kept, method, notes)
    if existence is None and score is None:
        raise CheckpointError("; ".join(notes))
    calibration = Calibration(existence=existence, score=score or (before and before.score), min_exists=min_exists)
    return Fitted(Path(), calibration, len(known), int((~shown).sum()), _said(known, calibration, right), tuple(notes))


def _scaling(
    name: str, raw: NDArray[np.float64], right: NDArray[np.bool_], method: Method, notes: list[str]
) -> Scaling | None:
    """What was fitted, or None with a note that says why it cannot be."""
    try:
        scaling = fitted(raw, right, method)
        if scaling.scale[0] >= 0 > scaling.scale[-1]:  # being the first says nothing: asked without it
            scaling = fitted(raw * (1, 0), right, method)
    except ValueError as error:
        notes.append(f"{name} is not calibrated: {error}")
        return None
    if min(scaling.scale) < 0:  # it would turn the order of the moments round
        notes.append(f"{name} is not calibrated: a higher one is less often right here")
        return None
    return scaling


def _said(
    known: Sequence[tuple[Annotation, Answer]], calibration: Calibration, right: Sequence[NDArray[np.bool_]]
) -> dict[str, Said]:
    """Of what is calibrated, and of the first moments by themselves."""
    said: dict[str, Said] = {}
    before, after = [a for _, a in known], [calibrated(a, calibration) for _, a in known]
    if calibration.existence is not None:
        shown = np.array([bool(annotation.windows) for annotation, _ in known], np.bool_)
        said["existence"] = Said(_array(a.exists for a in before), _array(a.exists for a in after), shown)
    if calibration.score is not None:
        for name, n in {"score": None, "score of the first": 1}.items():
            was, now = (_array(m.score for a in of for m in a.moments[:n]) for of in (before, after))
            said[name] = Said(was, now, np.concatenate([of[:n] for of in right]))
    return said


def _array(probabilities: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array(list(probabilities), np.float64)


def _right(annotation: Annotation, answer: Answer) -> NDArray[np.bool_]:
    """Whether each moment overlaps a true one by half, (M,)."""
    moments = np.array([moment[:2] for moment in answer.moments], np.float64).reshape(-1, 2)
    windows = annotation.window_array
    right: NDArray[np.bool_] = iou(moments, windows).max(1, initial=0.0) >= MIN_IOU
    return right

"""From features and a query to moments: the one path that training's evaluation, `evaluate` and `ground` all take.

Videos longer than a chunk are read in overlapping chunks; each clip is answered by the chunk in which it stands most
central, so that every clip gives one candidate window and one saliency, however long the video.
"""

# Shapes: L clips, W query tokens, F feature width, M moments, S spike steps.

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from spikemba.batch import Batch, Prediction, pad
from spikemba.config import Config
from spikemba.device import resolved_precision, warn_of_slow_precision
from spikemba.errors import ConfigError, UnknownName
from spikemba.features import row_length_s
from spikemba.metrics.calibration import Calibration
from spikemba.model import SpikeMba
from spikemba.moments import Moment, Windows, runs, suppress
from spikemba.ops.precision import autocast, with_products_in
from spikemba.reading.amounts import shown_score

Array = NDArray[np.float32]

AnswerPrecision = Literal["auto", "fp32", "bf16"]
"""Of the matrix products of a model that answers."""


class GroundingConfig(Config):
    """How predictions per clip become moments."""

    score: Literal["foreground", "saliency", "both", "inside", "quality"] = "inside"
    """What ranks the windows. `both` is the mean of foreground and saliency; `inside` saliency times its mean over the
    window; `quality` saliency times how well the window is told to fit (`model.heads.quality`). Preset `paper` trains
    no foreground and ranks by saliency."""
    n_moments: PositiveInt = 10
    """Moments kept per query; the official evaluators read ten."""
    max_iou: float = Field(0.7, ge=0, le=1)
    """Of two moments that overlap more than this, the better one is kept."""
    round_to_s: PositiveFloat | None = None
    """Ends of moments are rounded to multiples of this many seconds, a short one to one step; None: as predicted."""
    clamp_s: PositiveFloat | None = None
    """Moments end here at the latest, as the ancestors cut QVHighlights at 150 s; None: where the video ends."""
    add_proposals: bool = False
    """Also offer the runs of proposed clips as moments, scored by the mean of their clips."""
    chunk_clips: PositiveInt | Literal["whole"] | None = None
    """Clips read at once; None: as many as the longest training video had; `whole`: the video, however long, at a cost
    that grows with its length alone, but further than the network has ever seen in training."""
    chunk_overlap: float = Field(0.5, ge=0, lt=1)
    """Share of a chunk that the next one reads again."""
    calibration: Calibration | None = None
    """What makes probabilities of scores and of existence; `spikemba calibrate` fits it. None: as the network says."""
    batch_size: PositiveInt = 32
    """Chunks per forward pass, at most."""
    clips_per_pass: PositiveInt = 4800
    """Clips per forward pass, at most, summed over its chunks with their padding, so that memory is bounded; a longer
    chunk passes alone. Changes no answer."""

    @property
    def min_exists(self) -> float | None:
        """Below which there is no such moment; None where existence is not calibrated."""
        calibration = self.calibration
        return None if calibration is None or calibration.existence is None else calibration.min_exists


@dataclass(frozen=True)
class Question:
    """One query about one video, as features."""

    video: Array
    """(L, F), joined and normalised; one array for all questions about a video."""
    tokens: Array
    """(W, F), normalised."""
    duration_s: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model says to a question. Printed, it is its moments; two are equal when all their numbers are."""

    moments: tuple[Moment, ...]
    """Best first."""
    saliency: Array = field(repr=False)
    """(L,) in [0, 1]: one per clip of the video."""
    foreground: Array = field(repr=False)
    """(L,) in [0, 1]."""
    proposals: tuple[Moment, ...] = field(repr=False)
    """Runs of clips that the proposal neuron fired for, in order of time; the score is its mean rate."""
    spikes: NDArray[np.bool_] = field(repr=False)
    """(L, S): what the proposal neuron of each clip fired."""
    exists: float | None = None
    """In [0, 1]: that the video shows what is asked at all; a probability where the checkpoint is calibrated. None:
    nothing here tells."""
    ranking: Array = field(default_factory=lambda: np.zeros(0, np.float32), repr=False)
    """(L,): what ranks the window of each clip, before any calibration."""

    def is_there(self, min_exists: float | None) -> bool:
        """Whether there is such a moment. min_exists: from which probability on; None: wherever it is."""
        return self.exists is None or min_exists is None or self.exists >= min_exists

    @property
    def nothing(self) -> str:
        """What to say in place of moments: `no such moment (0.03)`."""
        return nothing_found(self.exists)

    def __eq__(self, other: object) -> bool:
        # the comparison that dataclass writes would ask an array whether it is true
        if not isinstance(other, Answer):
            return NotImplemented
        return all(np.array_equal(getattr(self, one.name), getattr(other, one.name)) for one in fields(self))

    def __hash__(self) -> int:
        return hash(self.moments)


def nothing_found(exists: float | None) -> str:
    """What to say in place of moments.  exists: that what is asked is shown at all; None where nothing tells."""
    return "no moment" if exists is None else f"no such moment ({shown_score(exists, 2)})"


def answer_questions(
    model: SpikeMba,
    questions: Sequence[Question],
    clip_s: float,
    config: GroundingConfig,
    *,
    precision: AnswerPrecision = "fp32",
) -> Iterator[Answer]:
    """Answer the questions in their order, several chunks per forward pass.

    Questions whose `video` is one array share what the model computes of it alone. The model is put into evaluation
    mode and stays on its device.
    precision: of its matrix products, see `in_precision`.
    Raises ConfigError for a score that it has not, UnknownName for a precision.
    """
    if config.score == "quality" and not model.config.heads.quality:
        raise ConfigError("grounding", ["score: 'quality' is told by a head that this model has not; choose another"])
    model, precision = in_precision(model.eval(), precision)
    pending: list[_Chunk] = []
    asked: dict[int, Question] = {}
    collected: dict[int, _Clips] = {}
    following = 0
    for i, question in enumerate(questions):
        asked[i], collected[i] = question, _Clips.empty(len(question.video))
        pending += [_Chunk(i, *limits) for limits in chunk_limits(len(question.video), config)]
        # chunks of different blocks of questions never meet, so each process of several can answer whole blocks
        last = i + 1 == len(questions) or (i + 1) % config.batch_size == 0
        while n := _n_of_a_pass(pending, config, last=last):
            with autocast(next(model.parameters()).device, precision):
                _run(model, asked, pending[:n], collected)
            pending = pending[n:]
        while following in collected and (not pending or pending[0].question > following):
            duration_s = asked.pop(following).duration_s
            yield _answer(collected.pop(following), duration_s, clip_s, model, config)
            following += 1


def check_precision(name: str) -> None:
    """Raise UnknownName for what is no precision of answers."""
    known = get_args(AnswerPrecision)
    if name not in known:
        raise UnknownName("precision", name, list(known))


def in_precision(model: SpikeMba, precision: str) -> tuple[SpikeMba, Literal["fp32", "bf16"]]:
    """A model for answers whose matrix products are in a precision, and that precision's name.

    precision: `fp32`; `bf16`, faster where the processor has products in it; `auto`, which is bf16 there and fp32
    elsewhere. Norms, scans, neurons and the last layers of the heads stay in float32. The copy shares all other tensors
    with the model, which is left as it is. Raises UnknownName; warns once where bf16 is slower than fp32.
    """
    check_precision(precision)
    device = next(model.parameters()).device
    if resolved_precision(precision, device) == "fp32":
        return model, "fp32"
    warn_of_slow_precision("bf16", device)
    return with_products_in("bf16", model), "bf16"


def chunk_limits(n_clips: int, config: GroundingConfig) -> list[tuple[slice, slice]]:
    """Chunks of a video as (clips that are read, clips that it answers for); the second parts tile the video."""
    size = config.chunk_clips if isinstance(config.chunk_clips, int) else n_clips
    if n_clips <= size:
        return [(slice(0, n_clips), slice(0, n_clips))]
    stride = max(1, round(size * (1 - config.chunk_overlap)))
    starts = [*range(0, n_clips - size, stride), n_clips - size]
    # between two chunks' centres, the border is where both centres are equally far
    borders = [0, *((a + b + size) // 2 for a, b in pairwise(starts)), n_clips]
    read = [slice(start, start + size) for start in starts]
    return list(zip(read, [slice(a, b) for a, b in pairwise(borders)], strict=True))


@dataclass(frozen=True)
class _Chunk:
    """Part of a question's video: the clips that are read, and those that are answered for."""

    question: int
    read: slice
    answered: slice


def _n_of_a_pass(pending: Sequence[_Chunk], config: GroundingConfig, *, last: bool) -> int:
    """How many of the pending chunks make a full pass, or the last one; 0 while it is neither."""
    longest = 0
    for n, chunk in enumerate(pending):
        longest = max(longest, chunk.read.stop - chunk.read.start)
        if n == config.batch_size or (n and (n + 1) * longest > config.clips_per_pass):
            return n
    return len(pending) if last or len(pending) == config.batch_size else 0


@dataclass
class _Clips:
    """What was predicted so far for each clip of one video; times are fractions of the video."""

    boundaries: NDArray[np.float64]
    foreground: Array
    saliency: Array
    quality: Array
    """How well the windows are told to fit; zeros where no head tells."""
    spikes: NDArray[np.bool_]
    exists: float | None = None
    """The largest existence logit of the chunks; None where no head tells."""

    @classmethod
    def empty(cls, n_clips: int) -> "_Clips":
        zeros = np.zeros(n_clips, np.float32)
        return cls(np.zeros((n_clips, 2)), zeros, zeros.copy(), zeros.copy(), np.zeros((n_clips, 0), np.bool_))

    def fill(self, chunk: _Chunk, prediction: Prediction, row: int) -> None:
        """Take what row `row` of the prediction says about the chunk's own clips."""
        read, own = chunk.read, chunk.answered
        part = slice(own.start - read.start, own.stop - read.start)
        n_clips, n_read = len(self.foreground), read.stop - read.start
        boundaries = prediction.boundaries[row, part].double().cpu().numpy()
        self.boundaries[own] = (boundaries * n_read + read.start) / n_clips
        self.foreground[own] = prediction.foreground[row, part].float().cpu().numpy()
        self.saliency[own] = prediction.saliency[row, part].float().cpu().numpy()
        if prediction.quality_logits is not None:
            self.quality[own] = prediction.quality_logits[row, part].sigmoid().float().cpu().numpy()
        if prediction.exists_logits is not None:
            logit = float(prediction.exists_logits[row].clamp(-MAX_LOGIT, MAX_LOGIT))
            self.exists = logit if self.exists is None else max(self.exists, logit)
        spikes = (prediction.proposal_spikes[row, part] > 0).cpu().numpy()
        if not self.spikes.size:
            self.spikes = np.zeros((n_clips, spikes.shape[1]), np.bool_)
        self.spikes[own] = spikes


@torch.inference_mode()
def _run(
    model: SpikeMba, asked: Mapping[int, Question], chunks: Sequence[_Chunk], collected: dict[int, _Clips]
) -> None:
    """One forward pass over some chunks. Those that ask the same clips are one video of the batch."""
    rows: dict[tuple[int, int], int] = {}  # an array's identity and where in it -> its place in the batch
    videos: list[Array] = []
    places: list[int] = []
    for chunk in chunks:
        whole = asked[chunk.question].video
        places.append(rows.setdefault((id(whole), chunk.read.start), len(videos)))
        if places[-1] == len(videos):
            videos.append(whole[chunk.read])
    tokens = [asked[chunk.question].tokens for chunk in chunks]
    batch = Batch(*pad(videos), *pad(tokens), video_of=None if len(videos) == len(chunks) else torch.tensor(places))
    prediction = model(batch.to(next(model.parameters()).device))
    for row, chunk in enumerate(chunks):
        collected[chunk.question].fill(chunk, prediction, row)


def _answer(clips: _Clips, duration_s: float, clip_s: float, model: SpikeMba, config: GroundingConfig) -> Answer:
    clip_s = row_length_s(len(clips.foreground), duration_s, clip_s)
    fired = list(_fired(clips.spikes, model, clip_s, duration_s))
    proposals = tuple(_proposal(one, clips.spikes, clip_s, duration_s) for one in fired)
    score = _scores(clips, config)
    windows, scores = clips.boundaries * (len(score) * clip_s), score.astype(np.float64)
    if config.add_proposals and proposals:
        windows = np.concatenate((windows, [[p.start_s, p.end_s] for p in proposals]))
        scores = np.concatenate((scores, [score[start:stop].mean() for start, stop in fired]))
    windows, scores = _inside(windows, scores, config.clamp_s or duration_s)
    if not len(windows):  # all lie behind the video's end: each clip answers with itself, so that no query goes without
        edges = np.arange(len(score) + 1) * clip_s
        own = np.stack((edges[:-1], edges[1:]), axis=1)
        windows, scores = _inside(own, score.astype(np.float64), config.clamp_s or duration_s)
    answer = Answer(
        moments=tuple(_moments(windows, scores, config.clamp_s or duration_s, config)),
        saliency=clips.saliency,
        foreground=clips.foreground,
        proposals=proposals,
        spikes=clips.spikes,
        exists=None if clips.exists is None else 0.5 * (1 + math.tanh(clips.exists / 2)),
        ranking=score,
    )
    return calibrated(answer, config.calibration)


MAX_LOGIT = 20.0
"""Logits are cut to this, so that a probability gives its logit back."""


def logit_of(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logit, of 0 and 1 that of numbers next to them."""
    inside = probability.clip(*(0.5 * (1 + np.tanh(np.array([-1, 1]) * MAX_LOGIT / 2))))
    logit: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return logit


def raw_numbers(scores: Sequence[float]) -> NDArray[np.float64]:
    """What the calibration of moments reads of each: the score's logit, and 1 for the first, 0 for others.

    scores: (M,) in [0, 1], best first -> (M, 2).  The best of many is right more often than its score alone says.
    """
    return np.column_stack((logit_of(np.asarray(scores, np.float64)), np.arange(len(scores)) == 0))


def calibrated(answer: Answer, calibration: Calibration | None) -> Answer:
    """An answer as the network gives it, with probabilities for scores and existence; the order of moments stays."""
    if calibration is None:
        return answer
    exists, moments, told = answer.exists, answer.moments, 1.0
    if calibration.existence is not None and exists is not None:
        exists = told = float(calibration.existence.probability(logit_of(np.array([[exists]])))[0])
    if calibration.score is not None and moments:
        right = calibration.score.probability(raw_numbers([moment.score for moment in moments]))
        moments = tuple(moment._replace(score=told * float(p)) for moment, p in zip(moments, right, strict=True))
    return replace(answer, exists=exists, moments=moments)


def _scores(clips: _Clips, config: GroundingConfig) -> Array:
    """What ranks the window of each clip, (L,)."""
    saliency = clips.saliency
    scores: dict[str, Callable[[], NDArray[np.floating]]] = {
        "foreground": lambda: clips.foreground,
        "saliency": lambda: saliency,
        "both": lambda: (clips.foreground + saliency) / 2,
        "inside": lambda: saliency * _mean_inside(saliency, clips.boundaries),
        "quality": lambda: saliency * clips.quality,
    }
    return scores[config.score]().astype(np.float32)


def _mean_inside(values: Array, boundaries: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the clips' values over each window, clips that it covers in part by that part. boundaries: (L, 2)."""
    edges = boundaries.clip(0, 1) * len(values)
    summed = np.concatenate(([0], values.cumsum(dtype=np.float64)))
    begin, end = (np.interp(edges[:, side], np.arange(len(summed)), summed) for side in (0, 1))
    mean: NDArray[np.float64] = (end - begin) / (edges[:, 1] - edges[:, 0]).clip(min=1e-6)
    return mean


def _inside(windows: Windows, scores: NDArray[np.float64], latest_s: float) -> tuple[Windows, NDArray[np.float64]]:
    """Windows cut to [0, latest_s] with their scores; those of which nothing is left are left out."""
    windows = windows.clip(0, latest_s)
    longer = windows[:, 1] > windows[:, 0]
    return windows[longer], scores[longer]


def _moments(
    windows: Windows, scores: NDArray[np.float64], latest_s: float, config: GroundingConfig
) -> Iterator[Moment]:
    """Candidates within [0, latest_s] -> at most n_moments, best first."""
    if config.round_to_s is not None:
        windows = _rounded(windows, config.round_to_s, latest_s)
    for i in suppress(windows, scores, config.max_iou, config.n_moments):
        yield Moment(float(windows[i, 0]), float(windows[i, 1]), float(scores[i]))


def _rounded(windows: Windows, step_s: float, latest_s: float) -> Windows:
    """Ends at multiples of step_s, or at latest_s; a window that would round to nothing takes the step it lies in."""
    rounded: Windows = np.minimum(np.round(windows / step_s) * step_s, latest_s)
    gone = rounded[:, 1] <= rounded[:, 0]
    first = np.floor(windows[gone].mean(1) / step_s) * step_s
    rounded[gone] = np.stack((first, np.minimum(first + step_s, latest_s)), axis=1)
    return rounded


def _fired(spikes: NDArray[np.bool_], model: SpikeMba, clip_s: float, duration_s: float) -> Iterator[tuple[int, int]]:
    """The proposal set: maximal runs of clips, [first, last + 1), whose proposal neuron fires often enough."""
    config = model.config.proposals
    for start, stop in runs(spikes.mean(1) >= config.min_rate, config.max_gap):
        if start * clip_s < duration_s:
            yield start, stop


def _proposal(run: tuple[int, int], spikes: NDArray[np.bool_], clip_s: float, duration_s: float) -> Moment:
    """A run of clips in seconds, scored by the mean rate of their neurons."""
    start, stop = run
    return Moment(start * clip_s, min(stop * clip_s, duration_s), float(spikes[start:stop].mean(1).mean()))

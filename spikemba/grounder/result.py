"""What comes out of a question: the moments of a video that a sentence describes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.annotations import PredictedRow, QueryId
from spikemba.grounding import Answer, Array
from spikemba.moments import Moment
from spikemba.reading.amounts import MINUTE_S, clock_span, shown_score


@dataclass(frozen=True)
class Grounding:
    """The moments of one video that one sentence describes. Printed, it is a line for each of them."""

    video: Path
    """The file, as it was given."""
    query: str
    """The sentence, without surrounding space."""
    duration_s: float
    """End of the video's last frame."""
    clip_s: float
    """Seconds of video per value of `saliency`."""
    answer: Answer
    """All that the model says, down to the spikes of its proposal neuron."""
    model: str
    """The checkpoint that was asked, or `zero-shot` and the encoder."""
    min_exists: float | None = None
    """Where `exists` is lower, there is no such moment; None: wherever it is, the best moments are the answer."""
    unknown_words: tuple[str, ...] = ()
    """Words of the query that the text encoder does not know, where it can tell."""
    calibrated: bool = False
    """Whether scores are probabilities, so that those of several videos can be compared."""

    @property
    def exists(self) -> float | None:
        """In [0, 1]: that the video shows what is asked at all; None where the model does not tell."""
        return self.answer.exists

    @property
    def is_there(self) -> bool:
        """Whether there is such a moment, as far as the model tells and the question wants to know."""
        return self.answer.is_there(self.min_exists)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Start and end in seconds, and a score in [0, 1]; best first. None where there is no such moment."""
        return self.answer.moments if self.is_there else ()

    @property
    def saliency(self) -> Array:
        """(L,) in [0, 1]: how well each clip of the video fits the sentence."""
        return self.answer.saliency

    def __str__(self) -> str:
        width = len(f"{self.duration_s:.2f}")
        lines = [
            f"{m.start_s:{width}.2f} to {m.end_s:{width}.2f} s"
            + (f" ({clock_span(m.start_s, m.end_s)})" if m.end_s >= MINUTE_S else "")
            + f", score {shown_score(m.score)}"
            for m in self.moments
        ]
        return "\n  ".join([f'{self.video}: "{self.query}"', *(lines or [self.nothing])])

    @property
    def nothing(self) -> str:
        """What to say in place of moments: `no such moment (0.03)`."""
        return self.answer.nothing

    def to_dict(self) -> dict[str, Any]:
        """What `spikemba ground --json` prints: plain values, rounded to a millisecond and to four digits.

        `unknown_words` is there only where there are any.
        """
        unknown = {"unknown_words": [*self.unknown_words]} if self.unknown_words else {}
        return {
            "video": str(self.video),
            "query": self.query,
            "duration_s": round(self.duration_s, 3),
            "clip_s": self.clip_s,
            "exists": None if self.exists is None else round(self.exists, 4),
            "moments": [
                {"start_s": round(m.start_s, 3), "end_s": round(m.end_s, 3), "score": round(m.score, 4)}
                for m in self.moments
            ],
            "saliency": [round(float(value), 4) for value in self.saliency],
            "model": self.model,
            **unknown,
        }

    def to_prediction(self, query_id: QueryId = "") -> PredictedRow:
        """The same as a row of predictions, with all digits; see `spikemba.Predictions`."""
        return PredictedRow(
            query_id=query_id,
            video_id=str(self.video),
            query=self.query,
            moments=self.moments,
            saliency=tuple(self.saliency.tolist()),
            exist_score=self.exists,
            duration_s=self.duration_s,
            clip_s=self.clip_s,
            model=self.model,
        )

    def explained(self) -> dict[str, Any]:
        """What the model saw on the way to its moments, per clip: plain values, rounded for a picture of them.

        saliency and foreground in [0, 1]; spikes: the share of spike steps at which the clip's proposal neuron fired;
        spike_steps: the steps themselves, 0 or 1; proposals: the runs of clips that fired often enough. An encoder
        without training has the same: its neurons, one per gain and direction, stand for the steps, and its foreground
        is its saliency. An hour in clips of one second is less than 300 kB of JSON.
        """
        answer = self.answer
        steps = answer.spikes.astype(int)
        return {
            "clip_s": self.clip_s,
            "saliency": _rounded(answer.saliency),
            "foreground": _rounded(answer.foreground),
            "spikes": _rounded(steps.mean(1)) if steps.size else [0.0] * len(steps),
            "n_spike_steps": steps.shape[1],
            "spike_steps": steps.tolist(),
            "proposals": [
                {"start_s": round(p.start_s, 3), "end_s": round(p.end_s, 3), "score": round(p.score, 3)}
                for p in answer.proposals
            ],
        }


def _rounded(values: NDArray[np.floating]) -> list[float]:
    """To three digits, as Python's numbers."""
    return [round(float(value), 3) for value in values]

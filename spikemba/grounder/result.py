"""What comes out of a question: the moments of a video that a sentence describes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikemba.grounding import Answer, Array
from spikemba.moments import Moment


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

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Start and end in seconds, and a score in [0, 1]; best first."""
        return self.answer.moments

    @property
    def saliency(self) -> Array:
        """(L,) in [0, 1]: how well each clip of the video fits the sentence."""
        return self.answer.saliency

    def __str__(self) -> str:
        width = len(f"{self.duration_s:.2f}")
        lines = [f"{m.start_s:{width}.2f} to {m.end_s:{width}.2f} s, score {m.score:.3f}" for m in self.moments]
        return "\n  ".join([f'{self.video}: "{self.query}"', *(lines or ["no moment"])])

    def to_dict(self) -> dict[str, Any]:
        """What `spikemba ground --json` prints: plain values, rounded to a millisecond and to four digits."""
        return {
            "video": str(self.video),
            "query": self.query,
            "duration_s": round(self.duration_s, 3),
            "clip_s": self.clip_s,
            "moments": [
                {"start_s": round(m.start_s, 3), "end_s": round(m.end_s, 3), "score": round(m.score, 4)}
                for m in self.moments
            ],
            "saliency": [round(float(value), 4) for value in self.saliency],
            "model": self.model,
        }

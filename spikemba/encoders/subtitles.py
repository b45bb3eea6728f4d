"""Subtitles by the text tower of another encoder, as in `subtitles:clip`: a clip is what is said while it lasts."""

# Shapes: n clips, F feature width.

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spikemba.encoders.base import Array, ClipEncoder, EncoderOptions, TextEncoder, TextFeatures, unknown_words
from spikemba.encoders.entry import EncoderEntry
from spikemba.encoders.image_text import TRANSFORMERS_ENTRY
from spikemba.errors import QueryError, SpikeMbaError

EXAMPLE = "subtitles:clip"


class SubtitlesEncoder:
    """The sentence vectors of cues, averaged over each clip; sentences are read by the same tower."""

    def __init__(self, name: str, text: TextEncoder) -> None:
        self.name, self.text = name, text
        self.weights, self.text_dim, self.max_words = text.weights, text.text_dim, text.max_words
        self.dim = len(text.encode_texts(["a"])[0].pooled)
        if placeholder := getattr(text, "placeholder", ""):
            self.placeholder = placeholder

    def encode_cues(self, cues: Sequence[Sequence[str]]) -> Array:
        """cues: of each of n clips, the subtitles that stand while it lasts -> (n, F): the mean of their vectors.

        A clip without any has a row of zeros. A cue that is too long for the tower is cut.
        """
        known = {text: self._vector(text) for text in dict.fromkeys(text for clip in cues for text in clip)}
        rows = np.zeros((len(cues), self.dim), np.float32)
        for row, clip in zip(rows, cues, strict=True):
            vectors = [vector for text in clip if (vector := known[text]) is not None]
            if vectors:
                row[:] = np.mean(vectors, axis=0)
        return rows

    def encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """As the tower does."""
        return self.text.encode_texts(sentences)

    def unknown_words(self, sentence: str) -> list[str]:
        """Words that the tower does not know, where it can tell."""
        return list(unknown_words(self.text, sentence))

    def _vector(self, text: str) -> Array | None:
        """(F,): of as much of a cue as the tower reads; None where it reads nothing of it.

        Words are not tokens, and some scripts have no spaces, so it may take a few tries.
        """
        while text:
            try:
                return self.text.encode_texts([text])[0].pooled
            except QueryError:
                words = text.split()[: self.max_words]
                short = " ".join(words)
                text = short if len(short) < len(text) else short[: len(short) * 3 // 4]
        return None


def of_another(name: str, inner: ClipEncoder) -> SubtitlesEncoder:
    """`subtitles:ENCODER` of that encoder. Raises SpikeMbaError when it reads no text."""
    if not isinstance(inner, TextEncoder) or isinstance(inner, SubtitlesEncoder):
        raise SpikeMbaError(f"{inner.name} reads no text, so it cannot read subtitles; name one that does: {EXAMPLE}")
    return SubtitlesEncoder(name, inner)


def load(name: str, model: str | None, options: EncoderOptions) -> SubtitlesEncoder:  # noqa: ARG001
    """Without an encoder there are none. Raises SpikeMbaError."""
    raise SpikeMbaError(f"subtitles need an encoder that reads them, as in --encoder {EXAMPLE}")


def _save_tiny(folder: Path) -> tuple[str, Path]:
    assert TRANSFORMERS_ENTRY.tiny is not None
    name, weights = TRANSFORMERS_ENTRY.tiny(folder)
    return f"subtitles:{name}", weights


ENTRY = EncoderEntry(
    name="subtitles",
    what="what is said: .srt and .vtt beside a video, by the text tower of another encoder",
    load=load,
    models=("ENCODER",),
    of_another=of_another,
    reads_text=True,
    library="transformers",
    tiny=_save_tiny,
)

"""A library whose clips are planted, and a model that finds exactly those: what is right can be said in advance."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikemba.encoders import TextFeatures
from spikemba.encoding.manifests import video_manifest
from spikemba.grounder.grounder import Grounder
from spikemba.grounding import Answer
from spikemba.library.matrix import stored
from spikemba.library.writer import FileState, NewVideo, changing
from spikemba.moments import Moment, runs
from spikemba.video.sampling import FrameRule

RED, GREEN, BLUE, NOTHING = np.eye(4, dtype=np.float32)
WORDS = {"red": RED, "green": GREEN, "blue": BLUE}


class ColourEncoder:
    """A clip is its mean colour; a sentence the colours that it names."""

    name, dim, text_dim, frames_per_clip, max_words = "colour", 4, 4, 1, 8

    def __init__(self, weights="first"):
        self.weights = weights

    def frame_rule(self, clip_s):
        return FrameRule(fps=1 / clip_s, size_px=16)

    def encode_clips(self, frames):
        mean = frames.astype(np.float32).mean((1, 2, 3)) / 255
        return np.concatenate((mean, np.zeros((len(frames), 1), np.float32)), axis=1)

    def encode_texts(self, sentences):
        return [TextFeatures(v[None], v) for v in map(self._vector, sentences)]

    def _vector(self, sentence):
        return sum((WORDS.get(word, np.zeros(4, np.float32)) for word in sentence.split()), np.zeros(4, np.float32))


@dataclass
class PlantedModel:
    """Runs of clips that hold more than half of the colour are moments; their largest share is score and existence."""

    weights: str = "first"
    calibrated: bool = True
    tells_existence: bool = True
    min_exists: float | None = 0.5
    name: str = "planted"
    clip_s: float = 2.0

    def __post_init__(self):
        self.encoders = [ColourEncoder(self.weights)]
        self.text = self.encoders[0]

    def answers(self, videos, texts, top):
        for video in videos:
            for text in texts:
                yield self._answer(video.features[0] @ text.pooled, top)

    def _answer(self, shares, top):
        found = [Moment(2.0 * a, 2.0 * b, float(shares[a:b].max())) for a, b in runs(shares > 0.25)]
        found = sorted(found, key=lambda moment: -moment.score)[:top]
        exists = float(shares.max()) if self.tells_existence else None
        shares = shares.astype(np.float32)
        return Answer(tuple(found), shares, shares, (), np.zeros((len(shares), 0), np.bool_), exists, shares)


def planted_grounder(**how):
    return Grounder(PlantedModel(**how))


def plant(folder, videos, *, weights="first", digests=None, texts=None):
    """videos: path -> (L, 4) rows, or a list of them. Files that are there keep their size and time."""
    with changing(Path(folder)) as writer:
        writer.add_encoder(video_manifest(ColourEncoder(weights), 2.0, "float16"))
        for path, rows in videos.items():
            size, mtime_ns = (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else (1, 1)
            state = FileState(path, size, mtime_ns, (digests or {}).get(path, str(path)))
            half = stored(np.stack(rows).astype(np.float32))
            writer.take_in([NewVideo(state, 2.0 * len(half), {"colour": half})])
        ids = {one.path: one.id for one in writer.videos()}
        for path, said in (texts or {}).items():
            writer.replace_texts({(ids[path], "subtitles"): said})


__all__ = ["BLUE", "GREEN", "NOTHING", "RED", "ColourEncoder", "plant", "planted_grounder"]

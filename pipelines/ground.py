"""A video file and a sentence to moments."""

import hashlib
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.encoding import EncodedVideo, encode_video
from pipelines.events import Report, silent
from pipelines.extract import text_encoder, text_manifest, video_manifest
from pipelines.places import cache_folder, load_settings
from spikemba.checkpoint import Checkpoint, load_checkpoint
from spikemba.encoders import TextEncoder, VideoEncoder, load_encoders
from spikemba.encoders.base import check_query
from spikemba.errors import OutputError, WeightsMissing
from spikemba.files import writing
from spikemba.grounding import Answer, Question, answer_questions


@dataclass(frozen=True)
class Grounded:
    """The moments of a video that a sentence describes."""

    video: Path
    query: str
    duration_s: float
    clip_s: float
    answer: Answer
    model: str
    """The checkpoint that was asked."""

    def to_json(self) -> dict[str, Any]:
        """What `ground --json` prints."""
        return {
            "video": str(self.video),
            "query": self.query,
            "duration_s": round(self.duration_s, 3),
            "clip_s": self.clip_s,
            "moments": [
                {"start_s": round(m.start_s, 3), "end_s": round(m.end_s, 3), "score": round(m.score, 4)}
                for m in self.answer.moments
            ],
            "saliency": [round(float(value), 4) for value in self.answer.saliency],
            "model": self.model,
        }


class Grounder:
    """A checkpoint and its encoders, ready to be asked."""

    def __init__(self, checkpoint: str | Path | None = None) -> None:
        """checkpoint: as `load_checkpoint` takes it; by default the one in the user's settings.

        Raises CheckpointError, WeightsMissing or FeaturesMismatch when it cannot be used here.
        """
        name = checkpoint or load_settings().checkpoint
        if name is None:
            raise WeightsMissing(
                "no checkpoint was given and zero-shot grounding needs CLIP's weights, which are not on this machine; "
                "use --checkpoint RUN after `spikemba train`, or --checkpoint mini, which is bundled and knows shapes"
            )
        self.name = str(name)
        self.checkpoint: Checkpoint = load_checkpoint(name)
        self.encoders: list[VideoEncoder] = load_encoders(self.checkpoint.features.encoder)
        self.text: TextEncoder = text_encoder(self.encoders)
        self._check_encoders()

    def ground(
        self,
        video: Path,
        queries: Sequence[str],
        *,
        top: int | None = None,
        cache: bool = True,
        report: Report = silent,
    ) -> list[Grounded]:
        """Moments for each query, at most `top` of them; the video is decoded once, or not at all if it is cached.

        Raises VideoError, QueryError.
        """
        sentences = [check_query(query, self.text.max_words) for query in queries]
        spec, config = self.checkpoint.features, self.checkpoint.grounding
        if top is not None:
            config = config.model_copy(update={"n_moments": top})
        encoded = self._encode(video, cache, report)
        clips = spec.join(encoded.features)
        texts = self.text.encode_texts(sentences)
        questions = [Question(clips, spec.tokens(text.tokens), encoded.duration_s) for text in texts]
        answers = answer_questions(self.checkpoint.model, questions, spec.clip_s, config)
        return [
            Grounded(video, sentence, encoded.duration_s, spec.clip_s, answer, self.name)
            for sentence, answer in zip(sentences, answers, strict=True)
        ]

    def _encode(self, video: Path, cache: bool, report: Report) -> EncodedVideo:
        clip_s = self.checkpoint.features.clip_s
        path = cache_folder() / "features" / f"{self._cache_key(video, clip_s)}.npz" if cache else None
        found = _read_cached(path) if path else None
        if found is None:
            found = encode_video(video, self.encoders, clip_s, report)
            if path:
                _write_cached(path, found)
        return found

    def _cache_key(self, video: Path, clip_s: float) -> str:
        """Changes when the file changes, or anything that its features depend on."""
        try:
            status = video.stat()
        except OSError:
            return "missing"  # decoding will say what is wrong
        parts = [str(video.resolve()), status.st_size, status.st_mtime_ns]
        parts += [video_manifest(encoder, clip_s, "float32").model_dump_json() for encoder in self.encoders]
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def _check_encoders(self) -> None:
        """The encoders of this installation must be those that made the training features."""
        spec = self.checkpoint.features
        here = spec.model_copy(
            update={
                "video": tuple(video_manifest(encoder, spec.clip_s, "float32") for encoder in self.encoders),
                "text": text_manifest(self.text, "float32"),
            }
        )
        spec.check(here, "this installation")


def _read_cached(path: Path) -> EncodedVideo | None:
    """What an earlier question left, or None; a damaged file counts as none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            streams = tuple(arrays[f"stream{i}"] for i in range(len(arrays.files) - 1))
            return EncodedVideo(streams, float(arrays["duration_s"]))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write_cached(path: Path, encoded: EncodedVideo) -> None:
    """Keep the features for the next question. A cache that cannot be written costs time, not the answer."""
    streams = {f"stream{i}": stream for i, stream in enumerate(encoded.features)}
    with suppress(OutputError), writing(path) as temporary:
        np.savez(temporary, duration_s=encoded.duration_s, **streams)  # type: ignore[arg-type]

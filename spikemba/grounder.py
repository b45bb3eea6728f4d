"""A video file and a sentence to moments, by a trained checkpoint or without one."""

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.events import Report, silent
from pipelines.extraction.extract import load_encoders_here, text_encoder, text_manifest, video_manifest
from spikemba.checkpoints.grounding import Checkpoint, find_checkpoint, load_checkpoint
from spikemba.encoders import TextEncoder, TextFeatures
from spikemba.encoders.base import EncoderOptions, check_query, folder_name
from spikemba.encoders.registry import find_encoder
from spikemba.encoding import EncodedVideo, encode_video
from spikemba.errors import OutputError, SpikeMbaError, WeightsMissing
from spikemba.features import FeatureSpec
from spikemba.files import ENCODERS_FOLDER, writing
from spikemba.grounding import Answer, Question, answer_questions
from spikemba.user_folders import cache_folder, load_settings
from spikemba.zero_shot import ZeroShotConfig, answer_zero_shot

ZERO_SHOT_ENCODER = "clip"
ZERO_SHOT_CLIP_S = 2.0


@dataclass(frozen=True)
class Grounded:
    """The moments of a video that a sentence describes."""

    video: Path
    query: str
    duration_s: float
    clip_s: float
    answer: Answer
    model: str
    """The checkpoint that was asked, or `zero-shot` and the encoder."""

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
    """A checkpoint and its encoders, or an encoder of sentences and clips alone, ready to be asked."""

    def __init__(
        self,
        checkpoint: str | Path | Checkpoint | None = None,
        *,
        encoder: str | None = None,
        options: EncoderOptions | None = None,
        weights: Mapping[str, Path] | None = None,
    ) -> None:
        """checkpoint: loaded, or as `load_checkpoint` takes it; by default the one in the user's settings. Where there
        is none, or when an encoder is named, sentences are compared with clips as that encoder does, by default CLIP.

        Raises CheckpointError, WeightsMissing or FeaturesMismatch when it cannot be used here.
        """
        name = checkpoint or (None if encoder else load_settings().checkpoint)
        self.model: _Trained | _ZeroShot
        if name is None:
            self.model = _ZeroShot(encoder, options or EncoderOptions(), weights or {})
        else:
            self.model = _Trained(name, options or EncoderOptions(), weights or {})
        self.name, self.encoders, self.text = self.model.name, self.model.encoders, self.model.text
        self.clip_s = self.model.clip_s

    @property
    def trained(self) -> bool:
        """Whether a checkpoint answers."""
        return isinstance(self.model, _Trained)

    def check(self, queries: Sequence[str]) -> list[str]:
        """The queries as they are asked. Raises QueryError."""
        return [check_query(query, self.text.max_words) for query in queries]

    def ground(
        self,
        video: str | Path,
        queries: Sequence[str],
        *,
        top: int | None = None,
        cache: bool = True,
        report: Report = silent,
    ) -> list[Grounded]:
        """Moments for each query, at most `top` of them; the video is decoded once, or not at all if it is cached.

        Raises VideoError, QueryError.
        """
        video = Path(video)
        sentences = self.check(queries)
        texts = self.text.encode_texts(sentences)
        encoded = self._encode(video, cache, report)
        answers = self.model.answers(encoded, texts, top)
        return [
            Grounded(video, sentence, encoded.duration_s, self.clip_s, answer, self.name)
            for sentence, answer in zip(sentences, answers, strict=True)
        ]

    def _encode(self, video: Path, cache: bool, report: Report) -> EncodedVideo:
        clip_s = self.clip_s
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


class _Trained:
    """A checkpoint that answers."""

    def __init__(self, source: str | Path | Checkpoint, options: EncoderOptions, weights: Mapping[str, Path]) -> None:
        if isinstance(source, Checkpoint):
            self.name, self.checkpoint = "checkpoint", source
        else:
            self.name, folder = str(source), find_checkpoint(source)
            self.checkpoint = load_checkpoint(folder)
            weights = {**encoders_of(folder, self.checkpoint.features), **weights}
        spec = self.checkpoint.features
        self.encoders = load_encoders_here(spec.encoder, options, weights)
        readers = self.encoders
        if not any(isinstance(encoder, TextEncoder) for encoder in readers):
            readers = load_encoders_here(spec.text.encoder.removesuffix("_text"), options, weights)
        self.text = text_encoder(readers)
        self.clip_s = self.checkpoint.features.clip_s
        self._check_encoders()

    def answers(self, video: EncodedVideo, texts: Sequence[TextFeatures], top: int | None) -> Iterator[Answer]:
        spec, config = self.checkpoint.features, self.checkpoint.grounding
        if top is not None:
            config = config.model_copy(update={"n_moments": top})
        clips = spec.join(video.features)
        questions = [Question(clips, spec.tokens(text.tokens, text.pooled), video.duration_s) for text in texts]
        return answer_questions(self.checkpoint.model, questions, spec.clip_s, config)

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


def encoders_of(checkpoint: Path, spec: FeatureSpec) -> dict[str, Path]:
    """Weights of encoders that lie in the checkpoint's folder, since they were trained together with it."""
    folders = {stream.encoder: checkpoint / ENCODERS_FOLDER / folder_name(stream.encoder) for stream in spec.video}
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


class _ZeroShot:
    """The two towers of an encoder, without training."""

    def __init__(self, encoder: str | None, options: EncoderOptions, weights: Mapping[str, Path]) -> None:
        name = encoder or ZERO_SHOT_ENCODER
        if "+" in name:
            raise SpikeMbaError(f"zero-shot grounding takes one encoder, not {name}; it must read text, as clip does")
        try:
            self.encoders = load_encoders_here(name, options, weights)
        except WeightsMissing as error:
            if encoder:
                raise
            raise WeightsMissing(
                f"no checkpoint was given, and grounding without one needs CLIP: {error}; or take a checkpoint: "
                "--checkpoint RUN after `spikemba train`, or --checkpoint mini, which is bundled"
            ) from None
        self.text = text_encoder(self.encoders)
        (probe,) = self.text.encode_texts(["a"])
        if len(probe.pooled) != self.encoders[0].dim:
            raise SpikeMbaError(
                f"{name} does not compare sentences with clips; zero-shot grounding needs one that does"
            )
        self.name, self.clip_s = f"zero-shot {name}", ZERO_SHOT_CLIP_S
        self.config = ZeroShotConfig(similarity="product" if find_encoder(name).length_matters else "cosine")

    def answers(self, video: EncodedVideo, texts: Sequence[TextFeatures], top: int | None) -> Iterator[Answer]:
        config = self.config if top is None else self.config.model_copy(update={"n_moments": top})
        (clips,) = video.features
        return (answer_zero_shot(clips, text.pooled, video.duration_s, self.clip_s, config) for text in texts)


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

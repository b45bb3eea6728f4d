"""What answers: a trained checkpoint with its encoders, or an encoder of clips and sentences without any training."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from spikemba.checkpoints.grounding import Checkpoint, find_checkpoint, load_checkpoint
from spikemba.encoders import ClipEncoder, TextEncoder, TextFeatures
from spikemba.encoders.base import EncoderOptions, folder_name
from spikemba.encoders.registry import find_encoder
from spikemba.encoding.encoders_here import load_encoders_here, text_encoder
from spikemba.encoding.manifests import text_manifest, video_manifest
from spikemba.encoding.videos import EncodedVideo
from spikemba.errors import CheckpointError, SpikeMbaError, WeightsMissing, command_line
from spikemba.features import DRAWN, FeatureSpec
from spikemba.files import ENCODERS_FOLDER
from spikemba.grounder.zero_shot import ZeroShotConfig, answer_zero_shot
from spikemba.grounding import Answer, AnswerPrecision, Question, answer_questions, in_precision

ZERO_SHOT_ENCODER = "clip"
ZERO_SHOT_CLIP_S = 2.0


class TrainedModel:
    """A checkpoint that answers."""

    def __init__(
        self,
        source: str | Path | Checkpoint,
        options: EncoderOptions,
        weights: Mapping[str, Path],
        precision: AnswerPrecision = "fp32",
    ) -> None:
        if isinstance(source, Checkpoint):
            self.name, self.checkpoint = "checkpoint", source
        else:
            self.name, folder = str(source), find_checkpoint(source)
            self.checkpoint = load_checkpoint(folder)
            weights = {**encoders_of(folder, self.checkpoint.features), **weights}
        spec = self.checkpoint.features
        if drawn := [stream.encoder for stream in spec.video if (stream.frames or "").startswith(DRAWN)]:
            ask = command_line("spikemba", "evaluate", self.name)
            raise CheckpointError(
                f"{self.name} was trained on features called {drawn[0]!r}, which are drawn without a video, so it "
                f"cannot ground one; `{ask}` asks it about features like them"
            )
        self.encoders = [
            as_of(encoder, stream.weights)
            for encoder, stream in zip(load_encoders_here(spec.encoder, options, weights), spec.video, strict=True)
        ]
        readers = self.encoders
        if not any(isinstance(encoder, TextEncoder) for encoder in readers):
            readers = load_encoders_here(spec.text.encoder.removesuffix("_text"), options, weights)
        self.text = text_encoder(readers)
        self.clip_s = self.checkpoint.features.clip_s
        self._check_encoders()
        self._network, self._precision = in_precision(self.checkpoint.model, precision)

    @property
    def tells_existence(self) -> bool:
        """Whether its answers say that the video shows what is asked."""
        return self.checkpoint.model.config.heads.exists

    @property
    def calibrated(self) -> bool:
        """Whether the scores of its moments are probabilities."""
        calibration = self.checkpoint.grounding.calibration
        return calibration is not None and calibration.score is not None

    @property
    def min_exists(self) -> float | None:
        """Below which there is no such moment; None where it was not calibrated to tell."""
        return self.checkpoint.grounding.min_exists

    def answers(
        self, videos: Sequence[EncodedVideo], texts: Sequence[TextFeatures], top: int | None
    ) -> Iterator[Answer]:
        """An answer per video and sentence, by video, of at most `top` moments."""
        spec, config = self.checkpoint.features, self.checkpoint.grounding
        if top is not None:
            config = config.model_copy(update={"n_moments": top})
        tokens = [spec.tokens(text.tokens, text.pooled) for text in texts]
        joined = [(spec.join(video.features, duration_s=video.duration_s), video.duration_s) for video in videos]
        questions = [Question(clips, one, duration_s) for clips, duration_s in joined for one in tokens]
        return answer_questions(self._network, questions, spec.clip_s, config, precision=self._precision)

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


def as_of(encoder: ClipEncoder, weights: str | None) -> ClipEncoder:
    """The encoder as it was when it had these weights, where it can still be that; else as it is."""
    earlier = getattr(encoder, "as_of", None)
    found: ClipEncoder | None = earlier(weights) if earlier is not None and weights is not None else None
    return encoder if found is None else found


def encoders_of(checkpoint: Path, spec: FeatureSpec) -> dict[str, Path]:
    """Weights of encoders that lie in the checkpoint's folder, since they were trained together with it."""
    folders = {stream.encoder: checkpoint / ENCODERS_FOLDER / folder_name(stream.encoder) for stream in spec.video}
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


class ZeroShotModel:
    """The two towers of an encoder, without training."""

    tells_existence, min_exists, calibrated = False, None, False
    """Some clip of a video always stands out; whether it is what is asked, untrained likeness cannot tell."""

    def __init__(self, encoder: str | None, options: EncoderOptions, weights: Mapping[str, Path]) -> None:
        name = encoder or ZERO_SHOT_ENCODER
        if "+" in name:
            raise SpikeMbaError(f"zero-shot grounding takes one encoder, not {name}; it must read text, as clip does")
        try:
            self.encoders = load_encoders_here(name, options, weights)
        except WeightsMissing as error:
            if encoder:
                raise
            raise WeightsMissing(f"without --checkpoint CLIP answers, and {error}, as does --checkpoint mini") from None
        self.text = text_encoder(self.encoders)
        (probe,) = self.text.encode_texts(["a"])
        if len(probe.pooled) != self.encoders[0].dim:
            raise SpikeMbaError(
                f"{name} does not compare sentences with clips; zero-shot grounding needs one that does"
            )
        self.name, self.clip_s = f"zero-shot {name}", ZERO_SHOT_CLIP_S
        self.config = ZeroShotConfig(similarity="product" if find_encoder(name).length_matters else "cosine")

    def answers(
        self, videos: Sequence[EncodedVideo], texts: Sequence[TextFeatures], top: int | None
    ) -> Iterator[Answer]:
        """An answer per video and sentence, by video, of at most `top` moments."""
        config = self.config if top is None else self.config.model_copy(update={"n_moments": top})
        for video in videos:
            (clips,) = video.features
            for text in texts:
                yield answer_zero_shot(clips, text.pooled, video.duration_s, self.clip_s, config)

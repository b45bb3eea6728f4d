"""Adapting a video encoder as a training task: raw videos -> clips -> encoder -> SpikeMba -> the grounding losses.

A checkpoint of such a run is one of the grounding model, with the adapted encoder in its folder `encoders`; `ground`
finds both.
"""

# Shapes: B pairs, L clips of a pair, C clips of a batch, T frames of a clip, F feature width.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.adaptation_config import AdaptationRunConfig, EncoderConfig
from pipelines.compare import intervals
from pipelines.evaluate import Questions, to_rows
from pipelines.evaluate_files import Evaluation
from pipelines.extract import by_identifier, video_manifest
from pipelines.grounding_task import GroundingTask, Pairs, with_chunk_length
from pipelines.optimizer import decay_groups
from pipelines.parts import Part
from pipelines.raw_clips import RawClips
from pipelines.run_dir import RunDir
from pipelines.scoring import brief, protocol_of, score
from pipelines.shards import Shard
from pipelines.task import Step
from spikemba.batch import Batch, Prediction
from spikemba.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from spikemba.clips import ClipRule
from spikemba.datasets.annotations import PredictedRow, write_predictions
from spikemba.datasets.base import DataConfig, GroundingDataset, Split
from spikemba.encoders.base import ENCODERS_FOLDER, EncoderOptions, folder_name, load_encoder
from spikemba.encoders.several_frames import spread_frames
from spikemba.errors import CheckpointError, FeaturesMismatch
from spikemba.features import FeatureSpec
from spikemba.grounding import Question, answer_questions
from spikemba.model import SpikeMba
from spikemba.model.adaptation import AdaptedVideoMamba, adapt_model, ssp_within
from spikemba.model.video_mamba import VideoMamba
from spikemba.ops.recompute import recomputed
from spikemba.video_checkpoint import (
    Preprocessing,
    VideoCheckpoint,
    initialise_from,
    load_video_checkpoint,
    open_video_model,
    save_video_checkpoint,
)
from spikemba.video_files import find_videos


@dataclass(frozen=True)
class RawPairs:
    """Pairs whose clips are still frames."""

    frames: Tensor
    """(C, T, H, Wd, 3) uint8: the clips of every video of the batch, once."""
    first: Tensor
    """(B,): where each pair's video begins among them."""
    pairs: Pairs
    """Their `video` holds the numbers of clips, (B, L, 1)."""

    def to(self, device: torch.device) -> "RawPairs":
        """The same on `device`."""
        return RawPairs(self.frames.to(device), self.first.to(device), self.pairs.to(device))


class EncoderAndGrounder(nn.Module):
    """What is optimised: the encoder's new parameters, and the grounding model if that is wanted."""

    def __init__(
        self, encoder: AdaptedVideoMamba, grounder: SpikeMba, preprocessing: Preprocessing, config: EncoderConfig
    ) -> None:
        super().__init__()
        self.encoder, self.grounder = encoder, grounder
        self.preprocessing, self.config = preprocessing, config

    def forward(self, batch: Batch) -> Prediction:
        """batch: pairs with the encoder's features."""
        out: Prediction = self.grounder(batch)
        return out

    def features(self, frames: Tensor) -> Tensor:
        """frames: (C, T, H, Wd, 3) uint8 -> (C, F). Clips pass in groups, computed again on the way back."""
        learned = [p for p in self.encoder.parameters() if p.requires_grad] if torch.is_grad_enabled() else []
        if not len(frames):  # a process without a pair of its own still takes part in the exchange of gradients
            none = torch.zeros(0, self.encoder.backbone.config.width, device=frames.device)
            return none + torch.stack([p.sum() * 0 for p in learned]).sum() if learned else none
        groups = frames.split(self.config.clips_at_once)
        return torch.cat([recomputed(self._encode, one) if learned else self._encode(one) for one in groups])

    def _encode(self, frames: Tensor) -> Tensor:
        video = self.preprocessing.normalised(frames)
        return self.encoder.features(video, readout=self.config.readout).float()


class AdaptationTask(GroundingTask):
    """A video encoder and SpikeMba on the raw videos of one data set."""

    def __init__(self, config: AdaptationRunConfig) -> None:
        """Raises what GroundingDataset raises for missing data, VideoError, CheckpointError, ConfigError."""
        encoder, preprocessing = make_encoder(config.encoder)
        self.clips = raw_clips(config, encoder)
        self.run = config
        self.training = self._dataset("train")
        self.config: Any = with_chunk_length(cast(Any, config), self.training)
        self.run = cast(AdaptationRunConfig, self.config)
        wanted: list[Split] = ["val"] if config.data.val is not None else []
        wanted += ["test"] if config.train.watch_test else []
        self.held_out = {split: self._dataset(split) for split in wanted}
        grounder = _grounder(config, encoder, self.training)
        grounder.requires_grad_(config.train_grounder)
        grounder.recompute_blocks = config.train.checkpoint_blocks
        self.module: Any = EncoderAndGrounder(encoder, grounder, preprocessing, config.encoder)

    @property
    def dense(self) -> list[nn.Module]:
        """The patches' projection, and the grounding model's projections and convolutions."""
        grounder = self.module.grounder
        parts = [grounder.video_projection, grounder.query_projection, grounder.heads.foreground]
        return [self.module.encoder.backbone.patch_embed, *parts, grounder.heads.distances]

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """The encoder's, with their own learning rate, and the grounding model's."""
        scale = self.run.encoder.learning_rate_scale
        of_encoder = decay_groups(self.module.encoder, weight_decay)
        return [{**group, "lr_scale": scale} for group in of_encoder] + decay_groups(self.module.grounder, weight_decay)

    def load(self, part: Part) -> Any:
        """The part's pairs, and the frames of their videos."""
        pairs = super().load(part)
        videos = [self.training.annotations[i].video_id for i in part.own]
        frames, first = self._frames(videos)
        return RawPairs(frames, first, pairs)

    def loss(self, pairs: Any) -> Step:
        """The grounding loss of what the encoder sees."""
        features = self.module.features(pairs.frames)
        batch = self._filled(pairs.pairs.batch, features, pairs.first)
        negative = pairs.pairs.negative
        if negative is not None:
            negative = Batch(batch.video, batch.video_mask, negative.query_tokens, negative.query_mask)
        return super().loss(Pairs(batch, negative))

    def predict(self, split: str, shard: Shard) -> list[PredictedRow]:
        """Answers to the shard's queries; each video is encoded once."""
        dataset = self.held_out["test" if split == "test" else "val"]
        self.module.eval()
        return answers(self.module, dataset, self.clips, self.run, shard)

    def save(self, folder: Path, trained: Mapping[str, Any]) -> None:
        """The grounding model's checkpoint, with the encoder's in its folder."""
        name = encoder_name(self.run.encoder)
        place = folder / ENCODERS_FOLDER / folder_name(name)
        about = {**trained, "data": str(self.run.name)}
        c = self.run.encoder
        saved = VideoCheckpoint(
            self.module.encoder, (), self.module.preprocessing, about, backbone=c.backbone, layout=c.layout
        )
        save_video_checkpoint(place, saved)
        encoder = load_encoder(name, EncoderOptions(weights=place, device="cpu"))
        stream = video_manifest(encoder, self.run.data.clip_s, "float32")
        spec = _wanted_spec(self.training.spec, self.run.data).model_copy(update={"video": (stream,)})
        save_checkpoint(folder, Checkpoint(self.module.grounder, spec, self.config.grounding, dict(trained)))

    def _dataset(self, split: Split) -> GroundingDataset:
        """Pairs whose rows are numbers of clips: not to be scaled to unit length."""
        data = self.run.data.model_copy(update={"normalise_video": False})
        return GroundingDataset(data, split, [self.clips])

    def _frames(self, videos: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The clips of all videos, once each, (C, T, H, Wd, 3), and where each of the given ones begins, (B,)."""
        starts: dict[str, int] = {}
        clips: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
        for video_id in videos:
            if video_id not in starts:
                starts[video_id] = sum(map(len, clips))
                clips.append(self.clips.clips(video_id))
        if not clips:
            c = self.module.encoder.backbone.config
            return torch.zeros(0, c.n_frames, c.size_px, c.size_px, 3, dtype=torch.uint8), torch.zeros(0).long()
        return torch.from_numpy(np.concatenate(clips)), torch.tensor([starts[video_id] for video_id in videos])

    def _filled(self, batch: Batch, features: Tensor, first: Tensor) -> Batch:
        """The batch with features in the place of numbers of clips."""
        rows = batch.video[..., 0].long() + first[:, None]
        mask = batch.video_mask
        if len(features):
            video = features[rows * mask]
        else:
            video = features.sum() + features.new_zeros(*rows.shape, features.shape[1])
        if self.run.data.normalise_video:
            video = video / (video.norm(dim=-1, keepdim=True) + 1e-5)
        return replace(batch, video=video * mask[..., None])


class EncodedQuestions(Questions):
    """Questions whose videos are encoded when the first of them comes, and then kept as features."""

    def __init__(
        self, model: EncoderAndGrounder, dataset: GroundingDataset, clips: RawClips, spec: FeatureSpec, shard: Shard
    ) -> None:
        super().__init__(dataset, shard)
        self._model, self._clips, self._spec = model, clips, spec
        self._features: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}

    @overload
    def __getitem__(self, index: int) -> Question: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Question]: ...

    def __getitem__(self, index: int | slice) -> Question | Sequence[Question]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        question = super().__getitem__(index)
        video_id = self.dataset.annotations[self.indices[index]].video_id
        if video_id not in self._features:
            self._features[video_id] = self._encoded(video_id)
        rows = question.video[:, 0].astype(np.intp)
        return replace(question, video=self._spec.join([self._features[video_id][rows]]))

    @torch.no_grad()
    def _encoded(self, video_id: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        device = next(self._model.parameters()).device
        frames = torch.from_numpy(self._clips.clips(video_id)).to(device)
        found: np.ndarray[Any, np.dtype[np.float32]] = self._model.features(frames).cpu().numpy()
        return found


def answers(
    model: EncoderAndGrounder, dataset: GroundingDataset, clips: RawClips, run: AdaptationRunConfig, shard: Shard
) -> list[PredictedRow]:
    """What both models together answer to every query of a split, or of a shard of it."""
    questions = EncodedQuestions(model, dataset, clips, _wanted_spec(dataset.spec, run.data), shard)
    return to_rows(questions, answer_questions(model.grounder, questions, run.data.clip_s, run.grounding))


def make_encoder(config: EncoderConfig) -> tuple[AdaptedVideoMamba, Preprocessing]:
    """The backbone without its head, with what adapts it. Raises CheckpointError, ConfigError."""
    opened = open_video_model(config.backbone, layout=config.layout)
    if isinstance(opened.model, AdaptedVideoMamba):
        raise CheckpointError(
            f"{config.backbone} is adapted already; name the backbone it stands on: {opened.backbone}"
        )
    changes = {"n_frames": config.n_frames, "size_px": config.size_px}
    changes = {name: value for name, value in changes.items() if value not in (None, getattr(opened.config, name))}
    model = opened.model
    model.replace_head(0)
    if changes:
        model = VideoMamba(opened.config.model_copy(update=changes))
        initialise_from(model, config.backbone, layout=config.layout)
    if config.drop_path is not None:
        model.config = model.config.model_copy(update={"drop_path": config.drop_path})
    how = config.adaptation
    if how.method == "ssp" and config.max_share is not None:
        how = how.model_copy(update={"ssp": ssp_within(how.ssp, model.config, config.max_share)})
    return adapt_model(model, how), opened.preprocessing


def raw_clips(config: AdaptationRunConfig, encoder: AdaptedVideoMamba) -> RawClips:
    """The data set's videos, cut into clips as the encoder wants them. Raises VideoError when there are none."""
    sizes, data = encoder.backbone.config, config.data
    rule = ClipRule(spread_frames(sizes.n_frames, sizes.size_px, data.clip_s), sizes.n_frames)
    videos = by_identifier(find_videos([config.videos]))
    return RawClips(config.videos, videos, rule, data.clip_s, data.memory_gb)


def encoder_name(config: EncoderConfig) -> str:
    """As `extract --encoder` takes it."""
    return "videomamba" if config.readout is None else f"videomamba:{config.readout}"


def make_task(config: AdaptationRunConfig) -> AdaptationTask:
    """The task of a configuration; weights are drawn from torch's generator."""
    return AdaptationTask(config)


def evaluate_run(
    checkpoint: Path,
    split: Split = "val",
    *,
    data: DataConfig | None = None,
    out: Path | None = None,
    benchmark: str | None = None,
    resamples: int = 0,
) -> Evaluation:
    """Score a run's best checkpoint on the raw videos of a split; see `pipelines.evaluate.evaluate_run`."""
    run = RunDir(checkpoint if (checkpoint / "config.yaml").is_file() else checkpoint.parent)
    config = cast(AdaptationRunConfig, run.any_config())
    config = config.model_copy(update={"data": data}) if data is not None else config
    folder = checkpoint if (checkpoint / "config.json").is_file() else run.best
    folder = folder if folder.is_dir() else run.last
    loaded = load_checkpoint(folder)
    place = folder / ENCODERS_FOLDER / folder_name(encoder_name(config.encoder))
    opened = load_video_checkpoint(place)
    encoder = opened.model if isinstance(opened.model, AdaptedVideoMamba) else adapt_model(opened.model, "full")
    model = EncoderAndGrounder(encoder, loaded.model, opened.preprocessing, config.encoder).eval()
    clips = raw_clips(config, encoder)
    plain = config.data.model_copy(update={"normalise_video": False})
    dataset = GroundingDataset(plain, split, [clips])
    config = config.model_copy(update={"grounding": loaded.grounding})
    rows = answers(model, dataset, clips, config, Shard())
    protocol = protocol_of(benchmark or config.data.benchmark)
    document = score(rows, dataset.annotations, protocol=protocol)
    if out is not None:
        write_predictions(out, rows)
    found = intervals(rows, dataset.annotations, protocol, resamples) if resamples else {}
    return Evaluation(benchmark or config.data.benchmark, document, brief(document), intervals=found)


def _grounder(config: AdaptationRunConfig, encoder: AdaptedVideoMamba, training: GroundingDataset) -> SpikeMba:
    """A new grounding model, or that of the checkpoint to start from. Raises FeaturesMismatch."""
    width, text = encoder.backbone.config.width, training.spec.text.dim
    if config.start is None:
        return SpikeMba(config.model, width, text)
    model = load_checkpoint(config.start).model
    if (model.n_video_features, model.n_query_features) != (width, text):
        raise FeaturesMismatch(
            f"{config.start} reads {model.n_video_features} numbers per clip and {model.n_query_features} per token; "
            f"this encoder and these queries have {width} and {text}"
        )
    return model


def _wanted_spec(spec: FeatureSpec, data: DataConfig) -> FeatureSpec:
    """How features are scaled once they are features, and no longer numbers of clips."""
    return spec.model_copy(update={"normalise_video": data.normalise_video})

"""Adapting a video encoder as a training task: raw videos -> clips -> encoder -> SpikeMba -> the grounding losses.

A checkpoint of such a run is one of the grounding model, with the adapted encoder in its folder `encoders`; `ground`
finds both.
"""

# Shapes: B pairs, L clips of a pair, C clips of a batch, T frames of a clip, F feature width.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.shards import Shard
from pipelines.tasks.adaptation.config import RunConfig
from pipelines.tasks.adaptation.evaluate import answers
from pipelines.tasks.adaptation.model import (
    EncoderAndGrounder,
    encoder_name,
    make_encoder,
    make_grounder,
    raw_clips,
)
from pipelines.tasks.adaptation.raw_clips import RawVideoDataset
from pipelines.tasks.grounding.task import GroundingTask, Pairs, with_chunk_length
from pipelines.training.batch_plan import MicroBatch
from pipelines.training.optimizer import decay_groups
from pipelines.training.task import LossOutput, held_out_splits
from spikemba.batch import Batch, pad
from spikemba.checkpoints.grounding import Checkpoint, save_checkpoint
from spikemba.datasets.annotations import PredictedRow
from spikemba.datasets.base import Split
from spikemba.encoders.base import EncoderOptions, folder_name
from spikemba.encoders.registry import load_encoder
from spikemba.encoding.manifests import video_manifest
from spikemba.files import ENCODERS_FOLDER
from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, save_video_checkpoint
from spikemba.user_folders import weights_place


@dataclass(frozen=True)
class RawPairs:
    """Pairs whose clips are still frames."""

    frames: Tensor
    """(C, T, H, Wd, 3) uint8: the clips of every video of the batch, once."""
    clips: Tensor
    """(B, L) int64: place among them of each clip of a pair; 0 at padding."""
    pairs: Pairs
    """Their `video` has no features yet, (B, L, 0)."""

    def to(self, device: torch.device) -> "RawPairs":
        """The same on `device`."""
        return RawPairs(self.frames.to(device), self.clips.to(device), self.pairs.to(device))


class AdaptationTask(GroundingTask):
    """A video encoder and SpikeMba on the raw videos of one data set."""

    training: RawVideoDataset
    held_out: Mapping[Split, RawVideoDataset]

    def __init__(self, config: RunConfig) -> None:
        """Raises what GroundingDataset raises for missing data, VideoError, CheckpointError, ConfigError."""
        encoder, preprocessing = make_encoder(config.encoder)
        self.clips = raw_clips(config, encoder)
        self.training = RawVideoDataset(config.data, "train", self.clips)
        wanted = held_out_splits(config.data.val is not None, config.train.watch_test)
        self.held_out = {split: RawVideoDataset(config.data, split, self.clips) for split in wanted}
        self.config: RunConfig = with_chunk_length(config, self.training)
        grounder = make_grounder(config, encoder, self.training)
        grounder.requires_grad_(config.train_grounder)
        grounder.recompute_blocks = config.train.checkpoint_blocks
        self.module: Any = EncoderAndGrounder(encoder, grounder, preprocessing, config.encoder)

    def check_data(self) -> None:
        """Nothing: the videos would have to be decoded, all of them."""

    @property
    def dense(self) -> list[nn.Module]:
        """The patches' projection, and what the grounding model has."""
        return [self.module.encoder.backbone.patch_embed, *self.module.grounder.traceable]

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """The encoder's, with their own learning rate, and the grounding model's."""
        scale = self.config.encoder.learning_rate_scale
        of_encoder = decay_groups(self.module.encoder, weight_decay)
        return [{**group, "lr_scale": scale} for group in of_encoder] + decay_groups(self.module.grounder, weight_decay)

    def load(self, micro_batch: MicroBatch) -> Any:
        """This process's pairs, and the frames of their videos."""
        pairs, own = super().load(micro_batch), micro_batch.own
        frames, first = self._frames([self.training.annotations[i].video_id for i in own])
        if not own:
            return RawPairs(frames, torch.zeros(pairs.batch.video_mask.shape, dtype=torch.int64), pairs)
        clips, _ = pad([begin + self.training.clip_numbers(i) for begin, i in zip(first, own, strict=True)])
        return RawPairs(frames, clips, pairs)

    def loss(self, pairs: Any) -> LossOutput:
        """The grounding loss of what the encoder sees."""
        features = self.module.features(pairs.frames)
        batch = self._filled(pairs.pairs.batch, features, pairs.clips)
        negative = pairs.pairs.negative
        if negative is not None:
            negative = replace(negative, video=batch.video)
        return super().loss(replace(pairs.pairs, batch=batch, negative=negative))

    def predict(self, split: Split, shard: Shard) -> list[PredictedRow]:
        """Answers to the shard's queries; each video is encoded once."""
        self.module.eval()
        return answers(self.module, self.held_out[split], self.clips, self.config, shard)

    def save(self, folder: Path, trained: Mapping[str, Any]) -> None:
        """The grounding model's checkpoint, with the encoder's in its folder."""
        name = encoder_name(self.config.encoder)
        place = folder / ENCODERS_FOLDER / folder_name(name)
        about = {**trained, "data": str(self.config.name)}
        c = self.config.encoder
        saved = VideoCheckpoint(
            self.module.encoder,
            (),
            self.module.preprocessing,
            about,
            backbone=weights_place(c.backbone),
            layout=c.layout,
        )
        save_video_checkpoint(place, saved)
        encoder = load_encoder(name, EncoderOptions(weights=place, device="cpu"))
        stream = video_manifest(encoder, self.config.data.clip_s, "float32")
        spec = self.training.spec.model_copy(update={"video": (stream,)})
        save_checkpoint(folder, Checkpoint(self.module.grounder, spec, self.config.grounding, dict(trained)))

    def _frames(self, videos: Sequence[str]) -> tuple[Tensor, list[int]]:
        """The clips of all videos, once each, (C, T, H, Wd, 3), and where each of the B given ones begins."""
        starts: dict[str, int] = {}
        clips: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
        for video_id in videos:
            if video_id not in starts:
                starts[video_id] = sum(map(len, clips))
                clips.append(self.clips.clips(video_id))
        if not clips:
            c = self.module.encoder.backbone.config
            return torch.zeros(0, c.n_frames, c.size_px, c.size_px, 3, dtype=torch.uint8), []
        return torch.from_numpy(np.concatenate(clips)), [starts[video_id] for video_id in videos]

    def _filled(self, batch: Batch, features: Tensor, clips: Tensor) -> Batch:
        """The batch with the features, (C, F), of its clips, (B, L)."""
        mask = batch.video_mask
        video = features[clips]
        if self.config.data.normalise_video:
            video = video / (video.norm(dim=-1, keepdim=True) + 1e-5)
        return replace(batch, video=video * mask[..., None])


def make_task(config: RunConfig) -> AdaptationTask:
    """The task of a configuration; weights are drawn from torch's generator."""
    return AdaptationTask(config)

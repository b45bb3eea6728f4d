"""Recognition as a training task: clips of labelled videos, VideoMamba or what adapts it, cross entropy, accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from pipelines.shards import Shard
from pipelines.tasks.recognition.config import RunConfig
from pipelines.training.batch_plan import MicroBatch
from pipelines.training.data_digest import of_rows
from pipelines.training.optimizer import decay_groups
from pipelines.training.task import LossOutput, OfSplits, held_out_splits, nothing_learned
from spikemba.datasets.base import Split
from spikemba.datasets.labelled.pairs import VideoBatch, VideoDataConfig, VideoDataset, collate_videos
from spikemba.datasets.labelled.video_augment import MixConfig
from spikemba.libraries import library
from spikemba.metrics.recognition import BRIEF, recognition_document
from spikemba.model.video_mamba.adaptation import AdaptedVideoMamba, adapt_model
from spikemba.model.video_mamba.checkpoint import (
    Preprocessing,
    VideoCheckpoint,
    initialise_from,
    open_video_model,
    save_video_checkpoint,
)
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.progress import Report, silent
from spikemba.recognition import CLIPS_AT_ONCE, Probabilities, averaged, model_input, probabilities
from spikemba.user_folders import weights_place


class RecognitionTask(OfSplits):
    """A recogniser on one data set."""

    training: VideoDataset
    held_out: Mapping[Split, VideoDataset]

    def __init__(self, config: RunConfig) -> None:
        """Raises what VideoDataset raises for missing or faulty lists, CheckpointError for weights that do not fit."""
        self.config = config
        self.training = VideoDataset(config.data, "train")
        wanted = held_out_splits(config.data.val is not None, config.train.watch_test)
        self.held_out = {split: VideoDataset(config.data, split, labels=self.training.labels) for split in wanted}
        self.preprocessing = preprocessing_of(config)
        self.module, self.changes = make_model(config, len(self.training.labels))
        self.module.backbone.recompute_blocks = config.train.checkpoint_blocks

    def data_digests(self) -> dict[str, str]:
        """Of the training list and the classes, not of the videos, which are large."""
        listed = (f"{video.path.name}\t{video.label}" for video in self.training.videos)
        return {"training videos": of_rows(listed), "classes": of_rows(self.training.labels)}

    @property
    def block(self) -> int:
        """Videos whose views go through the network together."""
        return videos_at_once(self.config.data)

    @property
    def dense(self) -> list[nn.Module]:
        """The projection of tubelets and the head; scans have their own kernels."""
        return [self.module.backbone.patch_embed, self.module.backbone.head]

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Weight decay spares biases, norms, tables of positions, tokens, A_log and D."""
        spared = ("A_log", "pos_embed", "temporal_pos_embedding", "cls_token")
        return decay_groups(self.module, weight_decay, spared=spared)

    def load(self, micro_batch: MicroBatch) -> VideoBatch:
        """Random clips of this process's videos; they depend on seed, epoch and video alone."""
        own = micro_batch.own
        seeds = [micro_batch.generator(i).initial_seed() for i in own]
        batch = collate_videos([self.training.drawn(i, seed) for i, seed in zip(own, seeds, strict=True)])
        return replace(batch, weight=1 / (len(micro_batch.indices) * self.config.data.repeats))

    def loss(self, batch: VideoBatch) -> LossOutput:
        """Cross entropy over the clips of all processes; the accuracy on them is a diagnostic."""
        batch.check()
        if not len(batch):
            return LossOutput(nothing_learned(self.module), {}, {"top1": torch.zeros((), device=batch.labels.device)})
        clips = model_input(batch.video, self.preprocessing)
        clips, targets = mixed(clips, batch.labels, self.config.loss.mix, len(self.training.labels))
        logits = self.module(clips).float()
        each = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=self.config.loss.label_smoothing)
        right = (logits.detach().argmax(-1) == batch.labels).float().mean()
        return LossOutput(each * batch.weight, {}, {"top1": right})

    def predict(self, split: Split, shard: Shard) -> list[Probabilities]:
        """Probabilities of the shard's videos, averaged over their views."""
        self.module.eval()
        return predict(self.module, self.held_out[split], self.preprocessing, shard, self.config.train.workers)

    def metrics(self) -> Sequence[str]:
        """Those of every recogniser."""
        return BRIEF if "val" in self.held_out else ()

    def score(self, split: Split, rows: Sequence[Probabilities]) -> dict[str, float]:
        """top1, top5 and mean_class."""
        data = self.held_out[split]
        brief: dict[str, float] = recognition_document(np.stack(rows), np.array(data.numbers), data.labels)["brief"]
        return brief

    def save(self, folder: Path, trained: Mapping[str, Any]) -> None:
        """A video checkpoint; of an adapted model, what was trained."""
        place = None if self.config.weights is None else weights_place(self.config.weights)
        labels = tuple(self.training.labels)
        about = dict(trained), place, self.config.layout
        save_video_checkpoint(folder, VideoCheckpoint(self.module, labels, self.preprocessing, *about))

    def describe(self, diagnostics: Mapping[str, Tensor]) -> dict[str, Any]:
        """Accuracy on the training clips as the network saw them, changed and perhaps mixed; what is trained."""
        top1 = round(100 * float(diagnostics["top1"]), 2)
        return {"train_top1": top1, "parameters": str(self.module.count())}

    def warnings(self, row: Mapping[str, Any]) -> list[str]:
        """Once, what had to be changed in the weights it started from."""
        return self.changes if row["epoch"] == 1 else []


def make_task(config: RunConfig) -> RecognitionTask:
    """The task of a configuration; weights are drawn from torch's generator."""
    return RecognitionTask(config)


def preprocessing_of(config: RunConfig) -> Preprocessing:
    """What a checkpoint says of how its videos are read."""
    frames = config.data.frames
    return Preprocessing(sampling=frames.rule, stride=frames.stride if frames.rule == "dense" else None)


def make_model(config: RunConfig, n_classes: int) -> tuple[AdaptedVideoMamba, list[str]]:
    """The network of a configuration with its first weights, and what had to be changed in them."""
    place = None if config.weights is None else weights_place(config.weights)
    wanted = config.model
    if wanted is None:
        wanted = VideoMambaConfig() if place is None else open_video_model(place, layout=config.layout).config
    sizes = {"n_frames": config.data.frames.n_frames, "size_px": config.data.size_px, "n_classes": n_classes}
    model = VideoMamba(VideoMambaConfig.parse({**wanted.model_dump(), **sizes}, "model"))
    changes = [] if place is None else initialise_from(model, place, layout=config.layout)
    return adapt_model(model, config.adapt), changes


def mixed(clips: Tensor, labels: Tensor, mix: MixConfig, n_classes: int) -> tuple[Tensor, Tensor]:
    """clips: (B, 3, T, S, S), labels: (B,) -> the same mixed, and targets of (B, K); untouched where mixing is off."""
    if not (mix.mixup or mix.cutmix) or len(labels) < 2:
        return clips, labels
    with library("torchvision"):
        from torchvision import tv_tensors
        from torchvision.transforms import v2

    kinds = {v2.MixUp: mix.mixup, v2.CutMix: mix.cutmix}
    on = [kind(alpha=alpha, num_classes=n_classes) for kind, alpha in kinds.items() if alpha]
    chosen = on[int(torch.randint(len(on), ()))]
    # Its videos are (B, T, 3, S, S); what it does is the same for any order of the inner axes.
    video, targets = chosen(tv_tensors.Video(clips), labels)
    return video.as_subclass(Tensor), targets


def videos_at_once(data: VideoDataConfig) -> int:
    """Videos of one forward pass in a test, or one whose views take several."""
    return max(1, CLIPS_AT_ONCE // data.n_views)


def predict(
    model: AdaptedVideoMamba | VideoMamba,
    dataset: VideoDataset,
    preprocessing: Preprocessing,
    shard: Shard | None = None,
    workers: int = 0,
    report: Report = silent,
) -> list[Probabilities]:
    """Probabilities of every video of a split, or of a shard of it, averaged over its views.

    Raises SpikeMbaError for the first video that cannot be read.
    """
    shard = shard or Shard()
    mine = Subset(dataset, shard.indices(len(dataset)))
    n_views = dataset.config.n_views
    loader: DataLoader[VideoBatch] = DataLoader(
        mine,  # type: ignore[arg-type]  # what it yields is what collate makes of it
        batch_size=videos_at_once(dataset.config),
        collate_fn=collate_videos,
        num_workers=workers,
        generator=torch.Generator(),  # else the loader draws from the generator that dropout draws from
    )
    found: list[Probabilities] = []
    report(0, len(mine))
    for batch in loader:
        batch.check()
        of_views = probabilities(model, batch.video, preprocessing)
        found += averaged(of_views, [n_views] * (len(batch) // n_views))
        report(len(found), len(mine))
    return found

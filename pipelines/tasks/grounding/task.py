"""Grounding as a training task: pairs of video and query, SpikeMba, its losses, the benchmark's metrics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipelines.scoring.metric_names import brief_names
from pipelines.scoring.scores import brief, has_truth, protocol_of, score
from pipelines.shards import Shard
from pipelines.tasks.grounding.config import GrounderConfig, RunConfig
from pipelines.tasks.grounding.evaluate import predict
from pipelines.training import firing_rates as firing
from pipelines.training.batch_plan import MicroBatch
from pipelines.training.data_digest import of_split
from pipelines.training.optimizer import decay_groups
from pipelines.training.task import LossOutput, OfSplits, held_out_splits
from spikemba.batch import Batch, pad
from spikemba.checkpoints.grounding import Checkpoint, save_checkpoint
from spikemba.datasets.annotations import PredictedRow
from spikemba.datasets.base import GroundingDataset, Split
from spikemba.datasets.collate import collate
from spikemba.losses import grounding_loss, negative_places
from spikemba.model import SpikeMba
from spikemba.ops.recompute import statistics_kept

C = TypeVar("C", bound=GrounderConfig)


@dataclass(frozen=True)
class Pairs:
    """Pairs to train on, and the same videos under other queries."""

    batch: Batch
    negative: Batch | None = None
    """Each video under another pair's query, see `losses.negative_places`; without targets. None: no pair has one."""
    has_negative: Tensor | None = None
    """(B,) bool, False for pairs that have none: their rows of `negative` have their own query. None: all have one."""

    def to(self, device: torch.device) -> "Pairs":
        """The same on `device`; the videos are moved once."""
        batch = self.batch.to(device)
        if self.negative is None:
            return Pairs(batch)
        queries = self.negative.query_tokens.to(device), self.negative.query_mask.to(device)
        has_negative = None if self.has_negative is None else self.has_negative.to(device)
        return Pairs(batch, Batch(batch.video, batch.video_mask, *queries), has_negative)


class GroundingTask(OfSplits):
    """SpikeMba on one data set."""

    module: Any
    training: GroundingDataset
    held_out: Mapping[Split, GroundingDataset]

    def __init__(self, config: RunConfig) -> None:
        """Raises what GroundingDataset raises for missing or faulty data."""
        self.training = GroundingDataset(config.data, "train")
        wanted = held_out_splits(config.data.val is not None, config.train.watch_test)
        self.held_out = {split: GroundingDataset(config.data, split) for split in wanted}
        self.config: GrounderConfig = with_chunk_length(config, self.training)
        spec = self.training.spec
        self.module = SpikeMba(config.model, spec.n_video_features, spec.text.dim)
        self.module.recompute_blocks = config.train.checkpoint_blocks

    def check_data(self) -> None:
        """Read the features of every split. Raises FeaturesMismatch that names the file and row of a fault."""
        for dataset in (self.training, *self.held_out.values()):
            dataset.check_features()

    def data_digests(self) -> dict[str, str]:
        """Of the training annotations, and of the features of their videos and queries."""
        return of_split(self.config.data, self.training.annotations, "training annotations")

    def metrics(self) -> list[str]:
        """Of a prediction of everything that is true."""
        truth = self.held_out["val"].annotations if "val" in self.held_out else []
        return brief_names(truth, protocol_of(self.config.data.benchmark)) if has_truth(truth) else []

    @property
    def block(self) -> int:
        """Queries that are answered together."""
        return self.config.grounding.batch_size

    @property
    def dense(self) -> list[nn.Module]:
        """What the model has of them."""
        found: list[nn.Module] = self.module.traceable
        return found

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Weight decay spares biases, norms, slots, A_log and D."""
        return decay_groups(self.module, weight_decay)

    def load(self, micro_batch: MicroBatch) -> Pairs:
        """This process's pairs, and their negatives when any pair of all processes has one."""
        pairs = [self.training[i] for i in micro_batch.own]
        batch = collate(pairs or [self.training[micro_batch.indices[0]]]).first(len(pairs))
        tells = self.config.model.heads.exists
        if (
            not self.config.loss.needs_negatives(tells_existence=tells)
            or micro_batch.step % self.config.loss.negatives_every
        ):
            return Pairs(batch)
        data, indices = self.training, micro_batch.indices
        groups = [data.video_groups[i] for i in indices], [data.query_groups[i] for i in indices]
        places = negative_places(*groups, self.config.loss.negatives)
        found = [place != i for i, place in enumerate(places)]
        if not any(found):
            return Pairs(batch)
        own = slice(micro_batch.start, micro_batch.stop)
        has_negative = None if all(found) else torch.tensor(found[own])
        if not pairs:
            return Pairs(batch, replace(batch, targets=None), has_negative)
        others = [data.tokens(indices[place]) for place in places[own]]
        tokens, mask = pad([*others, *(pair.tokens for pair in pairs)])  # to one length
        n = len(pairs)
        batch = replace(batch, query_tokens=tokens[n:], query_mask=mask[n:])
        return Pairs(batch, Batch(batch.video, batch.video_mask, tokens[:n], mask[:n]), has_negative)

    def loss(self, pairs: Pairs) -> LossOutput:
        """The weighted losses; diagnostics are the neurons' firing rates."""
        negative = reading = None
        if pairs.negative is not None and self.config.loss.negatives_read == "once":
            reading = self.module.read(pairs.batch.video, pairs.batch.video_mask)
        prediction = self.module(pairs.batch, reading)
        if pairs.negative is not None:
            with statistics_kept(self.config.loss.negatives_norm == "kept"):
                negative = self.module(pairs.negative, reading)
        total, terms = grounding_loss(prediction, pairs.batch, self.config.loss, negative, pairs.has_negative)
        return LossOutput(total, terms, firing.rates(prediction))

    def predict(self, split: Split, shard: Shard) -> list[PredictedRow]:
        """Answers to the shard's queries."""
        return predict(self.module, self.held_out[split], self.config.grounding, shard)

    def score(self, split: Split, rows: Sequence[PredictedRow]) -> dict[str, float]:
        """The benchmark's brief."""
        annotations = self.held_out[split].annotations
        return brief(score(rows, annotations, protocol=protocol_of(self.config.data.benchmark)))

    def save(self, folder: Path, trained: Mapping[str, Any]) -> None:
        """A checkpoint folder."""
        save_checkpoint(folder, Checkpoint(self.module, self.training.spec, self.config.grounding, dict(trained)))

    def describe(self, diagnostics: Mapping[str, Tensor]) -> dict[str, Any]:
        """Firing rates and dead channels of each layer."""
        return {"firing": firing.summary(diagnostics)}

    def warnings(self, row: Mapping[str, Any]) -> list[str]:
        """About layers that hardly fire, or fire nearly always."""
        return firing.warnings(row["firing"])


def make_task(config: RunConfig) -> GroundingTask:
    """The task of a configuration; weights are drawn from torch's generator."""
    return GroundingTask(config)


def with_chunk_length(config: C, training: GroundingDataset) -> C:
    """The configuration with `grounding.chunk_clips` filled in: as many clips as the longest training video has."""
    if config.grounding.chunk_clips is not None:
        return config
    clip_s = config.data.clip_s
    longest = max(len(one.labels) or math.ceil(one.duration_s / clip_s) for one in training.annotations)
    clips = min(longest, config.data.max_clips or longest)
    return config.model_copy(update={"grounding": config.grounding.model_copy(update={"chunk_clips": clips})})

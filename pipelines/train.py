"""Train SpikeMba on one data set: epochs of optimisation, validation after each, the best checkpoint kept."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from pipelines import firing
from pipelines.config import RunConfig, TrainConfig
from pipelines.evaluate import predict
from pipelines.run_dir import RunDir
from pipelines.scoring import brief, protocol_of, score
from spikemba import __version__
from spikemba.batch import Batch
from spikemba.checkpoint import Checkpoint, save_checkpoint
from spikemba.datasets.base import GroundingDataset
from spikemba.datasets.collate import collate
from spikemba.errors import CheckpointError, ConfigError
from spikemba.losses import grounding_loss, shuffled_queries
from spikemba.model import SpikeMba


class TrainEvents(Protocol):
    """What a caller can be told while training goes on."""

    def step(self, done: int, total: int | None) -> None:
        """`done` of `total` optimiser steps."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch ended; its row of metrics.jsonl."""

    def warn(self, message: str) -> None:
        """Something a person should look at."""


class Quiet:
    """Events that nobody watches."""

    def step(self, done: int, total: int | None) -> None:
        """Do nothing."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Do nothing."""

    def warn(self, message: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class TrainResult:
    """How a training ended."""

    run: Path
    epochs: int
    best_epoch: int | None
    best: dict[str, float] = field(default_factory=dict)
    """The validation's brief at the best epoch."""
    test: dict[str, float] = field(default_factory=dict)
    """The test split's brief at that epoch, if `train.watch_test` is set."""
    best_on_test_epoch: int | None = None
    best_on_test: dict[str, float] = field(default_factory=dict)
    """The same at the epoch that is best on the test split itself, as papers choose it."""


@dataclass
class _Progress:
    """Where a run stands between two epochs."""

    epoch: int = 0
    best_epoch: int | None = None
    best_value: float = -math.inf
    best: dict[str, float] = field(default_factory=dict)
    test: dict[str, float] = field(default_factory=dict)
    best_on_test_epoch: int | None = None
    best_on_test: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def train(config: RunConfig, out: Path, *, resume: bool = False, events: TrainEvents | None = None) -> TrainResult:
    """Train, or go on training, into the run folder `out`.

    With `resume`, a run that was broken off goes on from its last finished epoch to the same weights as one that was
    not (bit for bit on a CPU). Raises SpikeMbaError for missing data, a folder in use, faults in the configuration.
    """
    events = events or Quiet()
    run = RunDir(out)
    device = _device(config.train)
    training, validation, watched = GroundingDataset(config.data, "train"), _validation(config), _watched(config)
    torch.manual_seed(config.train.seed)
    spec = training.spec
    model = SpikeMba(config.model, spec.n_video_features, spec.text.dim).to(device)
    optimizer = make_optimizer(model, config.train)
    n_steps = config.train.epochs * math.ceil(len(training) / config.train.batch_size)
    schedule = LambdaLR(optimizer, learning_rate_factor(config.train, n_steps))
    run.start(config, resume=resume)
    progress = (_resume(run, model, optimizer, schedule) if resume else None) or _Progress()
    config = with_chunk_length(config, training)

    with _board(run) as board:
        for epoch in range(progress.epoch, config.train.epochs):
            batches = _loader(training, config.train, epoch)
            row = _train_epoch(model, batches, optimizer, schedule, config, device, events)
            row = {"epoch": epoch + 1, **row}
            for message in firing.warnings(row["firing"]):
                events.warn(message)
            checkpoint = Checkpoint(model, spec, config.grounding, {"epoch": epoch + 1, "version": __version__})
            if validation is not None and _is_validated(epoch, config.train):
                row["val"] = _validate(model, validation, config)
                if watched is not None:
                    row["test"] = _validate(model, watched, config)
                _keep_best(run, checkpoint, row, config.train.best_metric, progress)
            progress.epoch = epoch + 1
            progress.rows.append(row)
            save_checkpoint(run.last, checkpoint)
            run.write_rows(progress.rows)
            _write_scalars(board, row)
            run.save_state(_state(progress, model, optimizer, schedule))
            events.epoch(row)
    p = progress
    return TrainResult(run.path, p.epoch, p.best_epoch, p.best, p.test, p.best_on_test_epoch, p.best_on_test)


def _keep_best(run: RunDir, checkpoint: Checkpoint, row: dict[str, Any], metric: str, progress: _Progress) -> None:
    """Keep the checkpoint if its validation, or its test if that is watched, is the best so far."""
    epoch, val, test = row["epoch"], row["val"], row.get("test", {})
    if val[metric] > progress.best_value:
        progress.best_epoch, progress.best_value, progress.best, progress.test = epoch, val[metric], val, test
        save_checkpoint(run.best, replace(checkpoint, trained={**checkpoint.trained, "val": val}))
    if test and test[metric] > progress.best_on_test.get(metric, -math.inf):
        progress.best_on_test_epoch, progress.best_on_test = epoch, test
        save_checkpoint(run.best_on_test, replace(checkpoint, trained={**checkpoint.trained, "test": test}))


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """AdamW or Adam; weight decay spares biases, norms, slots, A_log and D."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        spare = parameter.dim() < 2 or name.endswith(("A_log", "_slots"))
        (spared if spare else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
    optimizer: Optimizer = kind(groups, lr=config.learning_rate)
    return optimizer


def learning_rate_factor(config: TrainConfig, n_steps: int) -> Callable[[int], float]:
    """Multiplier of the learning rate by steps done: linear over the warm-up, then as the schedule says."""
    n_warm = round(config.warmup * n_steps)

    def factor(step: int) -> float:
        if step < n_warm:
            return (step + 1) / n_warm
        if config.schedule == "cosine":
            done = (step - n_warm) / max(1, n_steps - n_warm)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        if config.schedule == "step" and config.drop_epoch is not None:
            return 0.1 if step >= config.drop_epoch * n_steps / config.epochs else 1.0
        return 1.0

    return factor


def _train_epoch(
    model: SpikeMba,
    batches: DataLoader[Batch],
    optimizer: Optimizer,
    schedule: LambdaLR,
    config: RunConfig,
    device: torch.device,
    events: TrainEvents,
) -> dict[str, Any]:
    """One pass over the training pairs; returns the averages for metrics.jsonl."""
    model.train()
    meter, sums, n_pairs, started = firing.FiringMeter(), dict[str, float](), 0, time.perf_counter()
    for done, batch in enumerate(batches, start=1):
        batch = batch.to(device)
        prediction = model(batch)
        negative = model(shuffled_queries(batch)) if config.loss.needs_negatives and len(batch) > 1 else None
        loss, terms = grounding_loss(prediction, batch, config.loss, negative)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.train.clip_norm)
        optimizer.step()
        schedule.step()
        meter.update(prediction)
        for name, value in {"loss": loss, "gradient_norm": norm, **terms}.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) * len(batch)
        n_pairs += len(batch)
        events.step(done, len(batches))
    seconds = time.perf_counter() - started
    means = {name: total / n_pairs for name, total in sums.items()}
    return {
        "loss": means.pop("loss"),
        "gradient_norm": means.pop("gradient_norm"),
        "terms": means,
        "learning_rate": schedule.get_last_lr()[0],
        "firing": meter.summary(),
        "seconds": round(seconds, 3),
        "pairs_per_s": round(n_pairs / seconds, 2),
    }


def _loader(dataset: GroundingDataset, config: TrainConfig, epoch: int) -> DataLoader[Batch]:
    """The epoch's batches; the order depends on seed and epoch alone, so resuming needs no sampler state."""
    order = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=config.batch_size,
        shuffle=True,
        generator=order,
        collate_fn=collate,
        num_workers=config.workers,
    )
    return loader


def _validation(config: RunConfig) -> GroundingDataset | None:
    """The validation split, if the configuration names one."""
    return None if config.data.val is None else GroundingDataset(config.data, "val")


def _watched(config: RunConfig) -> GroundingDataset | None:
    """The test split, if it is to be scored beside the validation."""
    if not config.train.watch_test:
        return None
    return GroundingDataset(config.data, "test")


def _is_validated(epoch: int, config: TrainConfig) -> bool:
    return (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs


def _validate(model: SpikeMba, dataset: GroundingDataset, config: RunConfig) -> dict[str, float]:
    """The evaluation's brief on a split. Raises ConfigError when it lacks the metric that chooses."""
    protocol = protocol_of(config.data.benchmark)
    rows = predict(model, dataset, config.grounding)
    found = brief(score(rows, dataset.annotations, protocol=protocol))
    if config.train.best_metric not in found:
        known = ", ".join(found)
        raise ConfigError(
            "train", [f"best_metric: {config.train.best_metric!r} is not measured here; there are {known}"]
        )
    return found


def with_chunk_length(config: RunConfig, training: GroundingDataset) -> RunConfig:
    """The configuration with `grounding.chunk_clips` filled in: as many clips as the longest training video has."""
    if config.grounding.chunk_clips is not None:
        return config
    clip_s = config.data.clip_s
    longest = max(len(one.labels) or math.ceil(one.duration_s / clip_s) for one in training.annotations)
    clips = min(longest, config.data.max_clips or longest)
    return config.model_copy(update={"grounding": config.grounding.model_copy(update={"chunk_clips": clips})})


def _device(config: TrainConfig) -> torch.device:
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train", ["device: 'cuda' was asked for and torch sees no GPU; use 'auto' or 'cpu'"])
    wanted = config.device
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _state(progress: _Progress, model: SpikeMba, optimizer: Optimizer, schedule: LambdaLR) -> dict[str, Any]:
    """All that the next epoch depends on."""
    random: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state_all()
    return {
        "progress": asdict(progress),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "random": random,
    }


def _resume(run: RunDir, model: SpikeMba, optimizer: Optimizer, schedule: LambdaLR) -> _Progress | None:
    """Put everything back as the run's state says; None when the run has no finished epoch."""
    state = run.load_state()
    if state is None:
        return None
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError):
        raise CheckpointError(f"{run.path} holds a run of another model; choose another folder with --out") from None
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"]["cpu"])
    if "cuda" in state["random"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random"]["cuda"])
    return _Progress(**state["progress"])


@contextmanager
def _board(run: RunDir) -> Iterator[Any]:
    """A TensorBoard writer in the run folder."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.path))
    try:
        yield writer
    finally:
        writer.close()


def _write_scalars(board: Any, row: Mapping[str, Any]) -> None:
    flat = {"train/loss": row["loss"], "train/learning_rate": row["learning_rate"]}
    flat |= {f"terms/{name}": value for name, value in row["terms"].items()}
    flat |= {f"{split}/{name}": value for split in ("val", "test") for name, value in row.get(split, {}).items()}
    for layer, values in row["firing"].items():
        flat |= {f"firing/{layer}.{name}": value for name, value in values.items()}
    for name, value in flat.items():
        board.add_scalar(name, value, row["epoch"])

"""The training loop: epochs of optimisation, validation after each, the best checkpoint kept, everything resumable.

It knows neither grounding nor recognition; see task.py for what it asks of a task.
"""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn.parallel import DistributedDataParallel

from pipelines.events import BestYet, Quiet, TrainEvents
from pipelines.runs.config import TrainConfig
from pipelines.runs.run_dir import RunDir
from pipelines.shards import Shard
from pipelines.training.batch_plan import BatchPlan, MicroBatch
from pipelines.training.device_memory import peak_memory_mb
from pipelines.training.distributed import all_reduce_max, gather_shards, on_first, ranks
from pipelines.training.ema import EMA
from pipelines.training.epoch_sums import EpochSums, add
from pipelines.training.loader import load_batches
from pipelines.training.optimizer import learning_rate_factor, make_optimizer, set_learning_rate
from pipelines.training.stopping import Stopped, StopSignal, catching_stop_signals
from pipelines.training.task import BatchLike, LossOutput, Task
from pipelines.training.tensorboard_log import tensorboard_log
from pipelines.training.train_state import TrainState, seed_rank
from spikemba import __version__
from spikemba.errors import ConfigError, SpikeMbaError
from spikemba.ops.precision import autocast
from spikemba.ops.ranks import one_batch_over_ranks

_DUE = 1
"""Why a state is written: time has passed. Greater numbers are signals."""


@dataclass(frozen=True)
class TrainResult:
    """How a training ended."""

    run: Path
    epochs: int
    best_epoch: int | None
    best: dict[str, float] = field(default_factory=dict)
    """The validation's brief at the best epoch."""
    test: dict[str, float] = field(default_factory=dict)
    """The test split's brief at that epoch, if it is watched."""
    best_on_test_epoch: int | None = None
    best_on_test: dict[str, float] = field(default_factory=dict)
    """The same at the epoch that is best on the test split itself, as papers choose it."""
    out_of_patience: bool = False
    """Whether it ended before its last epoch, see `train.patience`."""


def fit(
    task: Task, settings: TrainConfig, run: RunDir, *, resume: bool = False, events: TrainEvents | None = None
) -> TrainResult:
    """Train a task into a run folder that was started, alone or as one of the processes of torch.distributed's group.

    resume: go on from train_state.pt, if there is one: on a CPU, with as many processes as before, to the same weights
    bit for bit. The caller has set the seed before it drew the weights.
    Raises ConfigError, CheckpointError, OutputError; Stopped after SIGINT or SIGTERM, when the state is written.
    """
    return _Loop(task, settings, run, events or Quiet()).run(resume)


class _Loop:
    def __init__(self, task: Task, settings: TrainConfig, run: RunDir, events: TrainEvents) -> None:
        self.task, self.settings, self.folder, self.events = task, settings, run, events
        self.ranks, self.device = ranks(), device_of(settings)
        if settings.patience is not None and not task.splits:
            raise ConfigError("train", ["patience: there is no validation to wait for; name a split to validate on"])
        module = task.module.to(self.device)
        self.parameters = list(module.parameters())
        scaler = GradScaler(self.device.type, enabled=settings.precision == "fp16")
        ema = EMA(module, settings.ema) if settings.ema else None
        optimizer = make_optimizer(task.parameter_groups(settings.weight_decay), settings)
        self.state = TrainState(module, optimizer, scaler, ema)
        here = {"rank": self.ranks.index, "world_size": self.ranks.count}
        self.plan = BatchPlan(task.n_examples, settings.batch_size, settings.accumulate, seed=settings.seed, **here)
        self.factor = learning_rate_factor(settings, settings.epochs * self.plan.n_steps)
        self.loss_module = _LossModule(task)
        self.ddp: DistributedDataParallel | None = None
        if self.ranks.count > 1:
            seed_rank(settings.seed, self.ranks.index)
            self.ddp = DistributedDataParallel(
                self.loss_module, broadcast_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True
            )
        for part in task.dense if settings.compile else ():
            part.compile(dynamic=True)
        self.saved_at = time.monotonic()
        self.data_digests = dict(task.data_digests()) if self.ranks.first else {}

    def run(self, resume: bool) -> TrainResult:
        if resume and (saved := on_first(self.folder.load_state)) is not None:
            self.state.load_state_dict(saved, str(self.folder.path), self.settings.seed)
            self._tell_of_other_data(saved)
        else:
            self._save_state()  # before any result, so that results without a state are known to have lost it
        p = self.state.progress
        opened = tensorboard_log(self.folder.path, p.epoch, self.events, wanted=self.ranks.first)
        if self.ranks.first:
            self.events.epochs(p.epoch, self.settings.epochs)
        with catching_stop_signals() as stop, opened as log:
            while p.epoch < self.settings.epochs and not self._out_of_patience():
                row = self._train_epoch(stop)
                self._validate(row)
                for message in self.task.warnings(row) if self.ranks.first else ():
                    self.events.warn(message)
                p.rows.append(row)
                p.epoch, p.step, p.seconds = p.epoch + 1, 0, 0.0
                self.state.sums = EpochSums()
                self._save_checkpoint(self.folder.last, {"epoch": p.epoch})
                on_first(lambda: self.folder.write_rows(p.rows))
                self._save_state()
                if self.ranks.first:
                    log.write(row)
                    self.events.epoch(row, self._best_yet())
                    self.events.epochs(p.epoch, self.settings.epochs)
                self._save_and_stop_if_asked(stop)
        early = p.epoch < self.settings.epochs
        found = (p.best_epoch, p.best, p.test, p.best_on_test_epoch, p.best_on_test)
        return TrainResult(self.folder.path, p.epoch, *found, out_of_patience=early)

    def _tell_of_other_data(self, saved: dict[str, Any]) -> None:
        """Say what has changed of the training data since the state was written, where it says."""
        for name, digest in saved.get("data", {}).items():
            if self.ranks.first and self.data_digests.get(name, digest) != digest:
                self.events.warn(f"the {name} changed since this run was broken off; its other epochs are of what was")

    def _out_of_patience(self) -> bool:
        return self.settings.patience is not None and self.state.progress.since_best >= self.settings.patience

    def _train_epoch(self, stop: StopSignal) -> dict[str, Any]:
        """The rest of an epoch's optimiser steps; returns its row of metrics.jsonl."""
        self.task.module.train()
        p, steps = self.state.progress, list(self.plan.steps(self.state.progress.epoch))
        left = steps[p.step :]
        batches = self._batches(left)
        started = time.perf_counter() - p.seconds
        for micro_batches in left:
            self._optimizer_step(micro_batches, batches)
            p.step, p.seconds = p.step + 1, time.perf_counter() - started
            if self.ranks.first:
                self.events.step(p.step, len(steps))
            self._save_and_stop_if_asked(stop)
        return self._row()

    def _optimizer_step(self, micro_batches: list[MicroBatch], batches: Iterator[BatchLike]) -> None:
        """One step of the optimiser over the micro-batches of a batch, whose tensors come from `batches`."""
        state, settings = self.state, self.settings
        done = state.progress.epoch * self.plan.n_steps + state.progress.step
        set_learning_rate(state.optimizer, settings.learning_rate * self.factor(done))
        state.optimizer.zero_grad(set_to_none=True)
        n = sum(len(one.indices) for one in micro_batches)
        losses: list[dict[str, Tensor]] = []
        for one in micro_batches:
            batch = next(batches).to(self.device)
            with one_batch_over_ranks(self.ddp is not None), self._gradient_sync(one is micro_batches[-1]):
                with autocast(self.device, settings.precision):
                    loss, terms, diagnostics = (self.ddp or self.loss_module)(batch)
                # torch averages gradients over the processes; the loss is a sum over them
                state.scaler.scale(loss * (self.ranks.count * len(one.indices) / n)).backward()
            losses.append({"loss": loss.detach(), **terms})
            add(state.sums.totals, {"loss": loss}, len(one.indices))
            add(state.sums.terms, terms, len(one.indices))
            add(state.sums.diagnostics, diagnostics, len(one.own))
        state.scaler.unscale_(state.optimizer)
        norm = nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm)
        self._refuse_nonfinite(norm, losses)
        state.scaler.step(state.optimizer)
        state.scaler.update()
        # fp16 skips a step whose gradients overflow, and lowers its scale
        add(state.sums.totals, {"gradient_norm": torch.nan_to_num(norm, posinf=0.0) / self.ranks.count}, n)
        if state.ema is not None:
            state.ema.update()

    def _refuse_nonfinite(self, norm: Tensor, losses: list[dict[str, Tensor]]) -> None:
        """Raise SpikeMbaError at the step whose loss or gradient is no number, before weights and states are spoilt.

        All processes raise together. fp16 is left alone: there a step whose gradients overflow is left out.
        """
        if self.settings.precision == "fp16":
            return
        values = torch.stack([norm.detach().float(), *(of_batch["loss"].float() for of_batch in losses)])
        if not all_reduce_max(int(not bool(values.isfinite().all()))):
            return
        p = self.state.progress
        broken = sorted({name for of in losses for name, value in of.items() if not bool(value.isfinite().all())})
        raise SpikeMbaError(
            f"{' and '.join(broken) or 'the gradient'} became no finite number in epoch {p.epoch + 1}, step "
            f"{p.step + 1}; what was saved before is as it was: start again with a lower train.learning_rate"
        )

    def _gradient_sync(self, now: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged between the processes in the backward pass of a batch's last micro-batch."""
        if now or self.ddp is None:
            return nullcontext()
        waiting: AbstractContextManager[None] = self.ddp.no_sync()
        return waiting

    def _batches(self, steps: list[list[MicroBatch]]) -> Iterator[BatchLike]:
        """The tensors of the micro-batches of these steps, one after another."""
        settings, seed = self.settings, self.settings.seed + self.state.progress.epoch
        return load_batches(self.task, [one for step in steps for one in step], workers=settings.workers, seed=seed)

    def _row(self) -> dict[str, Any]:
        """What the epoch's steps came to; the same on all processes but for the time."""
        p, settings = self.state.progress, self.settings
        means = self.state.sums.means(self.plan.n_examples)
        last = p.epoch * self.plan.n_steps + p.step - 1
        loss = float(means["totals"]["loss"])
        return {
            "epoch": p.epoch + 1,
            "loss": loss,
            "gradient_norm": float(means["totals"]["gradient_norm"]),
            "terms": {name: float(value) for name, value in means["terms"].items()},
            "learning_rate": settings.learning_rate * self.factor(last),
            **self.task.describe(means["diagnostics"]),
            "seconds": round(p.seconds, 3),
            "pairs_per_s": round(self.plan.n_examples / p.seconds, 2),
            "peak_memory_mb": round(peak_memory_mb(self.device)),
            "seconds_left": round(self._seconds_left(), 1),
        }

    def _seconds_left(self) -> float:
        """Until the last epoch's end, if the coming epochs take as long as those that are done."""
        p = self.state.progress
        spent = [row["seconds"] + row.get("validation_seconds", 0.0) for row in p.rows]
        mean: float = (sum(spent) + p.seconds) / (len(spent) + 1)
        return mean * (self.settings.epochs - p.epoch - 1)

    def _validate(self, row: dict[str, Any]) -> None:
        """Score the splits when the epoch's turn has come; keep the checkpoint if it is the best."""
        settings, epoch = self.settings, row["epoch"]
        if not self.task.splits or (epoch % settings.validate_every and epoch != settings.epochs):
            return
        started = time.perf_counter()
        shard = Shard(self.ranks.index, self.ranks.count, self.task.block)
        with self._weights_to_save():
            for split in self.task.splits:
                rows = gather_shards(self.task.predict(split, shard), shard.block)
                row[split] = on_first(lambda split=split, rows=rows: self.task.score(split, rows))  # type: ignore[misc]
                if settings.best_metric not in row[split]:
                    known = ", ".join(row[split])
                    fault = f"best_metric: {settings.best_metric!r} is not measured here; there are {known}"
                    raise ConfigError("train", [fault])
        row["validation_seconds"] = round(time.perf_counter() - started, 3)
        self._keep_best(row)

    def _keep_best(self, row: dict[str, Any]) -> None:
        """Keep the checkpoint if its validation, or its test if that is watched, is the best so far."""
        p, metric, epoch = self.state.progress, self.settings.best_metric, row["epoch"]
        val, test = row["val"], row.get("test", {})
        p.since_best += 1
        if val[metric] > p.best_value:
            p.best_epoch, p.best_value, p.since_best, p.best, p.test = epoch, val[metric], 0, val, test
            self._save_checkpoint(self.folder.best, {"epoch": epoch, "val": val})
        if test and test[metric] > p.best_on_test.get(metric, -math.inf):
            p.best_on_test_epoch, p.best_on_test = epoch, test
            self._save_checkpoint(self.folder.best_on_test, {"epoch": epoch, "test": test})

    def _best_yet(self) -> BestYet:
        p, metric = self.state.progress, self.settings.best_metric
        return BestYet(metric) if p.best_epoch is None else BestYet(metric, p.best_epoch, p.best_value)

    def _weights_to_save(self) -> AbstractContextManager[None]:
        """Within, the module has the weights that are scored and saved: the averaged ones, if there are any."""
        return nullcontext() if self.state.ema is None else self.state.ema.applied()

    def _save_checkpoint(self, folder: Path, trained: dict[str, Any]) -> None:
        with self._weights_to_save():
            on_first(lambda: self.task.save(folder, {**trained, "version": __version__}))

    def _save_state(self) -> None:
        state = {**self.state.state_dict(), "data": self.data_digests}
        on_first(lambda: self.folder.save_state(state))
        self.saved_at = time.monotonic()

    def _save_and_stop_if_asked(self, stop: StopSignal) -> None:
        """Write the state when time has passed, or when a signal came to any process; then raise Stopped."""
        due = time.monotonic() - self.saved_at > 60 * self.settings.save_every_min
        asked = all_reduce_max(stop.signum or _DUE * due)
        if asked:
            self._save_state()
        if asked > _DUE:
            raise Stopped(asked)


class _LossModule(nn.Module):
    """The task's loss as a module, so that one call of it is one forward pass to torch's DistributedDataParallel."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.module = task.module
        self._task = task

    def forward(self, batch: Any) -> LossOutput:
        loss, terms, diagnostics = self._task.loss(batch)
        detached = ({name: value.detach() for name, value in one.items()} for one in (terms, diagnostics))
        return LossOutput(loss, *detached)


def device_of(settings: TrainConfig) -> torch.device:
    """The device that a process trains on. Raises ConfigError when a GPU is asked for and there is none."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("train", ["device: 'cuda' was asked for and torch sees no GPU; use 'auto' or 'cpu'"])
    if settings.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())

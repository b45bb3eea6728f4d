"""What a training would be, before it is begun: settings, shapes, parameters, memory, and one step timed.

How memory is estimated: weights, gradients and the optimiser's state are counted. What the backward pass needs is
what autograd keeps of the forward pass; its bytes are counted for small parts of the first batch, and grow in a
straight line with the examples. Not in it are temporary tensors within one operation, the block that is computed again
under `train.checkpoint_blocks`, what Python and its libraries take (about half a GB), and features that are kept in
memory (`data.memory_gb`). Beside the estimate stands how far memory rose in the step that was timed, which has the
first two.
"""

import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pipelines.runs.config import AnyRunConfig, TrainConfig
from pipelines.studies.study import is_study
from pipelines.tasks.grounding.config import RunConfig
from pipelines.tasks.registry import kind
from pipelines.training.batch_plan import BatchPlan, MicroBatch
from pipelines.training.device_memory import available, rising
from pipelines.training.loop import device_of
from pipelines.training.optimizer import make_optimizer
from pipelines.training.task import BatchLike, Task, held_out_splits
from pipelines.training.tensor_table import shape, shapes_of_parts, tensors, tensors_of
from spikemba.datasets.base import GroundingDataset, Split
from spikemba.device import resolved_precision
from spikemba.errors import SpikeMbaError
from spikemba.ops.precision import autocast

SPARE = 0.8
"""Share of the free memory that the timed step may be expected to take."""
PATIENCE_S = 20.0
"""A first step that takes longer is not done again."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one process."""

    weights: int
    """Also the average of the weights, and buffers."""
    gradients: int
    optimizer: int
    batch: int
    kept_for_backward: int
    available: int | None
    """Free on the device; None when the system does not say."""

    @property
    def total(self) -> int:
        """At the peak, when the backward pass begins."""
        return self.weights + self.gradients + self.optimizer + self.batch + self.kept_for_backward


@dataclass(frozen=True)
class DryRun:
    """What was found."""

    config: AnyRunConfig
    device: str
    n_examples: int
    n_steps: int
    """Optimiser steps of an epoch."""
    shapes: Mapping[str, str]
    """Tensors of the first batch, then of what each part of the network returns for its timed examples."""
    parameters: Mapping[str, tuple[int, int]]
    """Part of the network -> how many parameters, and how many of them learn."""
    memory: Memory
    loading_s: float
    """To read the first batch from disk."""
    first_step_s: float
    """With what is done once only, such as compiling kernels."""
    step_s: float | None
    """The same again; None when the first one took too long to repeat."""
    rise: int | None
    """Bytes by which memory rose in the first steps, measured: all but weights and batch, for the timed examples."""
    timed: int
    """Examples of the timed step: the whole batch where memory allows."""
    of_batch: int
    """Examples of a whole one."""

    @property
    def epoch_s(self) -> float:
        """Of an epoch's steps, in proportion to the timed one; without validation."""
        return (self.step_s or self.first_step_s) / self.timed * self.n_examples

    def to_dict(self) -> dict[str, Any]:
        """What `train --dry-run --json` prints."""
        own = {f.name: getattr(self.memory, f.name) for f in fields(self.memory)}
        counts = {name: {"parameters": n, "learn": learn} for name, (n, learn) in self.parameters.items()}
        return {
            "settings": self.config.model_dump(mode="json"),
            "device": self.device,
            "examples": self.n_examples,
            "steps_per_epoch": self.n_steps,
            "shapes": dict(self.shapes),
            "parameters": counts,
            "memory_bytes": {**own, "total": self.memory.total, "measured_rise": self.rise},
            "loading_s": round(self.loading_s, 4),
            "first_step_s": round(self.first_step_s, 4),
            "step_s": None if self.step_s is None else round(self.step_s, 4),
            "timed_examples": self.timed,
            "batch_examples": self.of_batch,
            "epoch_s": round(self.epoch_s, 1),
        }


def dry_run(config: AnyRunConfig, *, processes: int = 1) -> DryRun:
    """Build everything that `train` would, read all features, do one step on the first batch, and write nothing.

    processes: how many will share a batch; what is said is that of one. Of a study it is the first domain.
    Raises what `train` raises for missing data and faults in the configuration.
    """
    for other in _other_domains(config):
        other.check_features()
    config = _with_precision(_first_of_study(config))
    settings, device = config.train, device_of(config.train)
    torch.manual_seed(settings.seed)
    task: Task = kind(config.task).make_task(config)
    task.check_data()
    module = task.module.to(device).train()
    optimizer = make_optimizer(task.parameter_groups(settings.weight_decay), settings)
    plan = BatchPlan(task.n_examples, settings.batch_size, settings.accumulate, 0, 1, settings.seed)
    indices = next(plan.steps(0))[0].indices
    own = indices[: max(1, -(-len(indices) // processes))]

    started = time.perf_counter()
    batch = task.load(_micro_batch(own))
    loading_s = time.perf_counter() - started
    shapes = dict(tensors(batch))
    few = own[: max(1, min(4, len(own) // 2))]
    kept, one = (_kept_for_backward(task, _micro_batch(few[:n]), settings, device) for n in (len(few), 1))
    per_example = (kept - one) / max(1, len(few) - 1) or kept
    memory = Memory(
        weights=_bytes(module.state_dict().values()) + (_bytes(module.parameters()) if settings.ema else 0),
        gradients=_bytes(p for p in module.parameters() if p.requires_grad),
        optimizer=2 * _bytes(p for p in module.parameters() if p.requires_grad),  # two moments, both optimisers
        batch=_bytes(tensors_of(batch)),
        kept_for_backward=round(kept + per_example * (len(own) - len(few))),
        available=available(device),
    )
    timed = own[: _fitting(memory, len(own))]
    if len(timed) < len(own):
        batch = task.load(_micro_batch(timed))
    with shapes_of_parts(module) as inner, rising(device) as rise:
        times = _time_steps(task, batch, optimizer, settings, device, at_most=1 if settings.compile else 2)
    if settings.compile:
        for part in task.dense:
            part.compile(dynamic=True)
        times = _time_steps(task, batch, optimizer, settings, device)
    return DryRun(
        config=config,
        device=_name(device),
        n_examples=task.n_examples,
        n_steps=plan.n_steps,
        shapes={name: shape(tensor) for name, tensor in shapes.items()} | inner,
        parameters=_parameters(module),
        memory=memory,
        loading_s=loading_s,
        first_step_s=times[0],
        step_s=times[1] if len(times) > 1 else None,
        rise=rise.bytes,
        timed=len(timed),
        of_batch=len(own),
    )


def _with_precision(config: AnyRunConfig) -> AnyRunConfig:
    """The configuration with what `auto` is here."""
    precision = resolved_precision(config.train.precision, device_of(config.train))
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": precision})})


def _first_of_study(config: AnyRunConfig) -> AnyRunConfig:
    if not isinstance(config, RunConfig) or not is_study(config, ()):
        return config
    data = config.data.model_copy(update={"domain": config.data.domains[0]})
    return config.model_copy(update={"data": data})


def _other_domains(config: AnyRunConfig) -> Iterator[GroundingDataset]:
    """The data sets of a study's domains after the first."""
    if not isinstance(config, RunConfig) or not is_study(config, ()):
        return
    splits: list[Split] = ["train", *held_out_splits(config.data.val is not None, config.train.watch_test)]
    for domain in config.data.domains[1:]:
        for split in splits:
            yield GroundingDataset(config.data.model_copy(update={"domain": domain}), split)


def _micro_batch(own: tuple[int, ...]) -> MicroBatch:
    return MicroBatch(epoch=0, indices=own, start=0, stop=len(own))


def _kept_for_backward(task: Task, micro_batch: MicroBatch, settings: TrainConfig, device: torch.device) -> int:
    """Bytes that autograd keeps of the forward pass over a part of the batch."""
    batch = task.load(micro_batch).to(device)
    known = {t.untyped_storage().data_ptr() for t in (*task.module.state_dict().values(), *tensors_of(batch))}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # a graph that held its own results would never be freed

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = _loss(task, batch, settings, device)
    del loss  # until here the graph held every storage, so that no two had one address
    return sum(kept.values())


def _time_steps(
    task: Task, batch: BatchLike, optimizer: Optimizer, settings: TrainConfig, device: torch.device, at_most: int = 2
) -> list[float]:
    """Seconds of one optimiser step, and of the same once more unless the first took long."""
    times: list[float] = []
    while not times or (len(times) < at_most and (times[0] < PATIENCE_S or settings.compile)):
        started = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = _loss(task, batch.to(device), settings, device)
        if not bool(loss.isfinite()) and settings.precision != "fp16":
            raise SpikeMbaError(f"the loss of step {len(times) + 1} is {float(loss)}; lower train.learning_rate")
        loss.backward()
        nn.utils.clip_grad_norm_(task.module.parameters(), settings.clip_norm)
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return times


def _loss(task: Task, batch: BatchLike, settings: TrainConfig, device: torch.device) -> Tensor:
    with autocast(device, settings.precision):
        return task.loss(batch).loss


def _fitting(memory: Memory, n: int) -> int:
    """How many of n examples a step may take."""
    if memory.available is None or memory.total <= SPARE * memory.available:
        return n
    fixed = memory.total - memory.batch - memory.kept_for_backward
    each = (memory.batch + memory.kept_for_backward) / n
    return max(1, min(n, int((SPARE * memory.available - fixed) / each)))


def _parameters(module: nn.Module) -> dict[str, tuple[int, int]]:
    """How many each part has, equal blocks taken together, and in all."""
    count, learn = Counter[str](), Counter[str]()
    for name, parameter in module.named_parameters():
        part = re.sub(r"\.\d+\.", ".*.", name).rsplit(".", 1)[0]
        part = ".".join(part.split(".")[: 3 if ".*." in part else 1])
        count[part] += parameter.numel()
        learn[part] += parameter.numel() * parameter.requires_grad
    parts = {part: (n, learn[part]) for part, n in count.items()}
    return {**parts, "all": (sum(count.values()), sum(learn.values()))}


def _bytes(of: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in of)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"

"""Train what a configuration describes: epochs of optimisation, validation after each, the best checkpoint kept."""

from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import torch

from pipelines.events import Quiet, TrainEvents
from pipelines.runs.config import AnyRunConfig
from pipelines.runs.run_dir import RunDir
from pipelines.runs.run_lock import locked
from pipelines.tasks.registry import kind
from pipelines.training.distributed import joined, on_first, ranks, restarted
from pipelines.training.loop import TrainResult, device_of, fit
from pipelines.training.task import Task
from spikemba.device import resolved_precision, slow_precision

__all__ = ["Quiet", "TrainEvents", "TrainResult", "train"]

C = TypeVar("C", bound=AnyRunConfig)


def train(config: AnyRunConfig, out: Path, *, resume: bool = False, events: TrainEvents | None = None) -> TrainResult:
    """Train, or go on training, into the run folder `out`.

    With `resume`, a run that was broken off goes on from its last state to the same weights as one that was not (bit
    for bit on a CPU). Started by torchrun or `spikemba train --processes`, each process computes its part of every
    batch; a process that was started again goes on. Raises SpikeMbaError for missing data, a folder in use, faults in
    the configuration; Stopped when a signal asked to stop.
    """
    run, told = RunDir(out), events or Quiet()
    with joined(device_of(config.train).type):
        resume = resume or restarted()
        config = _with_precision(config, run if resume else None, told)
        torch.manual_seed(config.train.seed)
        task: Task = kind(config.task).make_task(config)
        with ExitStack() as held:

            def start() -> None:
                held.enter_context(locked(run.path))
                run.start(config, resume=resume)

            on_first(start)
            return fit(task, config.train, run, resume=resume, events=told)


def _with_precision(config: C, going_on: RunDir | None, events: TrainEvents) -> C:
    """The configuration with the precision that the run is in: its own if it goes on, else what `auto` is here.

    The first of several processes decides.
    """
    device, asked = device_of(config.train), config.train.precision
    if asked == "auto":

        def decide() -> tuple[str, str]:
            begun = "auto" if going_on is None or not going_on.exists else going_on.config(type(config)).train.precision
            if begun != "auto":
                return begun, "as the run began"
            return resolved_precision(asked, device), f"which train.precision=auto is on this {device.type}"

        found, why = on_first(decide)
        config = config.model_copy(update={"train": config.train.model_copy(update={"precision": found})})
        if ranks().first:
            events.note(f"matrix products in {found}, {why}")
    if ranks().first and (slow := slow_precision(config.train.precision, device)) is not None:
        events.warn(slow)
    return config

"""Several processes on one machine that train together, started again when one dies, by torch's elastic launcher."""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.training.distributed import launched
from pipelines.training.stopping import Stopped
from spikemba.errors import SpikeMbaError

RESTARTS = 3
"""How often all processes are started again after one of them has died."""


@dataclass(frozen=True)
class Outcome:
    """How the work of one process ended, where it did not die."""

    value: Any = None
    error: str | None = None
    """Of a SpikeMbaError, which starting again would not mend."""
    signum: int = 0
    """Of the signal that asked it to stop."""


def launch(processes: int, work: Callable[..., Any], *args: Any, restarts: int = RESTARTS) -> Any:
    """work(*args) in so many processes, which find each other; returns what the first one returned.

    work: a function of a module, as args are pickled. When a process dies, all are started again.
    Raises SpikeMbaError when one did or when they died too often, Stopped when they were asked to stop.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if launched():
        raise SpikeMbaError("torchrun has started this process as one of several; leave --processes out")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # gloo's greetings, on stdout
    # else restarted processes share the store of those that died, find their addresses in it and wait for them
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    with tempfile.TemporaryDirectory(prefix="spikemba-") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=f"spikemba-{os.getpid()}-{time.monotonic_ns()}",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=restarts,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            outcomes: dict[int, Outcome] = elastic_launch(config, _work)(work, args)
        except SignalException as error:
            raise Stopped(int(error.sigval)) from None
        except ChildFailedError as error:
            _, first = error.get_first_failure()
            tries = f"{restarts + 1} times" if restarts else "once"
            raise SpikeMbaError(
                f"a training process died {tries}, at last of {_cause(first)}; when that is mended, go on with --resume"
            ) from None
    for outcome in outcomes.values():
        if outcome.error is not None:
            raise SpikeMbaError(outcome.error)
        if outcome.signum:
            raise Stopped(outcome.signum)
    return outcomes[0].value


def _work(work: Callable[..., Any], args: tuple[Any, ...]) -> Outcome:
    try:
        return Outcome(value=work(*args))
    except SpikeMbaError as error:
        return Outcome(error=str(error))
    except Stopped as stopped:
        return Outcome(signum=stopped.signum)


def _cause(failure: Any) -> str:
    """One line about how a process died."""
    name = failure.signal_name()
    if name != "<N/A>":
        return f"signal {name}"
    last = [line for line in str(failure.message).splitlines() if line.strip()]
    return last[-1].strip() if last else f"exit code {failure.exitcode}"

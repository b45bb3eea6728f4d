"""What `spikemba train --dry-run` prints."""

import sys
from typing import TYPE_CHECKING

from spikemba_cli.console import print_json, print_note, print_table, print_warning

if TYPE_CHECKING:
    from pipelines.runs.config import AnyRunConfig
    from pipelines.studies.dry_run import DryRun


def show_dry_run(config: "AnyRunConfig", processes: int, as_json: bool) -> None:
    """Do it, and print what was found."""
    from pipelines.studies.dry_run import dry_run

    found = dry_run(config, processes=processes)
    if as_json:
        print_json(found.to_dict())
        return
    from spikemba.config import to_yaml

    sys.stdout.write(to_yaml(found.config) + "\n")
    print_table("tensors", ["tensor", "shape"], [[name, shape] for name, shape in found.shapes.items()])
    _gap()
    rows = [[part, f"{n:,}", f"{learn:,}"] for part, (n, learn) in found.parameters.items()]
    print_table("parameters", ["part", "parameters", "learn"], rows)
    _gap()
    print_table("memory", ["memory of one process", "MB"], _memory(found))
    _gap()
    print_table("time", ["one step", ""], _time(found, processes))
    memory = found.memory
    if memory.available is not None and memory.total > memory.available:
        print_warning(
            f"a step needs {_mb(memory.total)} MB and {_mb(memory.available)} MB are free: try "
            "--set train.accumulate=4, --set train.checkpoint_blocks=true or a smaller train.batch_size"
        )
    print_note("nothing was written")


def _memory(found: "DryRun") -> list[list[str]]:
    m = found.memory
    rows = {"weights": m.weights, "gradients": m.gradients, "optimiser": m.optimizer, "batch": m.batch}
    rows |= {"kept for the backward pass (estimated)": m.kept_for_backward, "together": m.total}
    named = [[name, _mb(size)] for name, size in rows.items()]
    if found.rise is not None:
        named.append([f"rise in a step of {found.timed} (measured)", _mb(found.rise)])
    return [*named, ["free now", "unknown" if m.available is None else _mb(m.available)]]


def _time(found: "DryRun", processes: int) -> list[list[str]]:
    of = "" if processes == 1 else f", one process of {processes}"
    again = "not repeated" if found.step_s is None else f"{found.step_s:.3f} s"
    return [
        ["device", found.device],
        ["examples", f"{found.n_examples:,}, {found.n_steps:,} steps an epoch"],
        ["examples timed", f"{found.timed} of {found.of_batch}{of}"],
        ["reading the batch", f"{found.loading_s:.3f} s"],
        ["first step", f"{found.first_step_s:.3f} s"],
        ["the same again", again],
        ["an epoch, about", f"{found.epoch_s / processes:,.0f} s without validation"],
    ]


def _mb(size: float) -> str:
    return f"{size / 2**20:,.1f}"


def _gap() -> None:
    sys.stdout.write("\n")

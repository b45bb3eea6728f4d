"""Runs the checks of this folder, each kind in a process of its own, and writes one JSON document.

    tests/gpu/check.sh [--out gpu.json] [--only kernels] [--minutes 8] [--device cpu]

A process that dies, as after an illegal address on a GPU, ends its own kind of checks alone. Exits with 1 when a check
fails, with 2 when none can be made.
"""

import argparse
import importlib
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

SECTIONS = ("kernels", "networks", "far", "trainings", "times")
"""Modules of this folder, in the order in which they run."""
NEEDED = {"torch": "torch", "pydantic": "pydantic", "yaml": "pyyaml", "numpy": "numpy"}
"""Import name -> distribution, without which nothing of spikemba can be imported."""
USED = ("safetensors", "spikingjelly")
"""Without which some of the checks are skipped."""
WHEELS = Path(os.environ.get("SPIKEMBA_WHEELS") or Path(__file__).parents[2] / ".whl")
CARRY = f"run tests/gpu/carry.sh {sys.version_info.major}.{sys.version_info.minor} where pip works"
UP = "the time is up; --minutes gives more, --only less to do"
LOOKED_FOR = ("triton", "mamba-ssm", "causal-conv1d", "kernels", "spikingjelly", "safetensors", "numpy")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="where the JSON goes (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="this kind of check; can be given again")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu tries the checks themselves")
    parser.add_argument("--minutes", type=minutes, default=8, help="after which it stops (default: %(default)s)")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.section:
        of_section(arguments.section, arguments.device)
        return
    for stopping in (signal.SIGINT, signal.SIGTERM):  # also where a shell in the background has the first ignored
        signal.signal(stopping, signal.default_int_handler)
    try:
        with carried() as folder:
            os.environ["PYTHONPATH"] = os.pathsep.join((os.environ.get("PYTHONPATH", ""), *folder))
            sys.path += folder
            if missing := [name for module, name in NEEDED.items() if find_spec(module) is None]:
                stop(f"{', '.join(missing)} missing; install what is, or {CARRY} and bring {WHEELS}")
            of_all(arguments)
    except KeyboardInterrupt:
        stop(f"stopped; what was done is in {arguments.out}", 130)


def minutes(text: str) -> float:
    """A number from 0 on."""
    if not 0 <= float(text) < math.inf:
        raise ValueError
    return float(text)


def stop(problem: str, status: int = 2) -> NoReturn:
    """End where no check can be made, or no other one."""
    print(f"error: {problem}", file=sys.stderr)
    sys.exit(status)


@contextmanager
def carried() -> Iterator[list[str]]:
    """The folder of the wheels that were brought, installed; none where nothing is missing or none were."""
    brought = sorted(WHEELS.glob("*.whl"))
    if not brought or all(find_spec(module) for module in (*NEEDED, *USED)):
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="spikemba-wheels-") as folder:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        done = subprocess.run([*pip, "--target", folder, *brought], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[0].removeprefix("ERROR: ")
            stop(f"{WHEELS} cannot be installed ({reason}); {CARRY}")
        yield [folder]


def of_all(arguments: argparse.Namespace) -> None:
    """Every section in a process; its lines as they come, and the document with all of them after each section."""
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        stop("torch sees no GPU; --device cpu tries the checks themselves")
    started, found = time.monotonic(), list[dict[str, Any]]()
    about, end = machine(arguments.device), started + 60 * arguments.minutes
    for section in ("", *(arguments.only or SECTIONS)):
        for line in in_a_process(section, arguments.device, end) if section else ():
            found.append({"section": section, **line})
            show(found[-1])
        try:  # the first time before anything is done
            write(arguments.out, {"machine": about, "seconds": round(time.monotonic() - started, 1), "checks": found})
        except OSError as error:
            stop(f"{arguments.out} cannot be written ({error.strerror or error}); name another file with --out")
    counts = {state: sum(one["state"] == state for one in found) for state in ("ok", "failed", "skipped")}
    print(f"{', '.join(f'{n} {state}' for state, n in counts.items())} -> {arguments.out}")
    sys.exit(1 if counts["failed"] else 0 if counts["ok"] else 2)


def in_a_process(section: str, device: str, end: float) -> Iterator[dict[str, Any]]:
    """What a section says, line by line, until the time is up."""
    left = end - time.monotonic()
    if left <= 0:
        yield {"name": section, "state": "skipped", "detail": UP}
        return
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **({"TRITON_INTERPRET": "1"} if device == "cpu" else {})}
    command = [sys.executable, "-m", "gpu.check", "--section", section, "--device", device]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        timer = threading.Timer(left, process.kill)
        timer.start()
        try:
            yield from (
                json.loads(line) for line in process.stdout or () if line.startswith("{") and line.endswith("}\n")
            )
            ended = process.wait()
        finally:
            timer.cancel()
            process.kill()
    if ended:
        late = time.monotonic() >= end
        state, detail = ("skipped", UP) if late else ("failed", f"its process ended with {ended}")
        yield {"name": section, "state": state, "detail": detail}


def of_section(section: str, device: str) -> None:
    """Run one, and print a line of JSON for each of its checks."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # ten bits are no float32
    with told({"name": section}) as line:
        module = importlib.import_module(f"gpu.{section}")
    if line["state"] != "ok":
        print(json.dumps(line))
        return
    for check in module.checks(torch.device(device)):
        started = time.monotonic()
        with told({"name": check.name}) as line:
            line |= check.run()
        print(json.dumps({**line, "seconds": round(time.monotonic() - started, 2)}), flush=True)


@contextmanager
def told(line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Put into a line how what is done within ended: nothing is raised, and what is not installed is no failure."""
    from gpu.checking import Skipped
    from spikemba.errors import LibraryBroken, PackageMissing

    try:
        yield line
    except Exception as fault:
        own = isinstance(fault, Skipped | PackageMissing | ModuleNotFoundError)
        absent = own or (isinstance(fault, LibraryBroken) and "is not installed" in str(fault))
        message = " ".join(str(fault).split())[:600]
        detail = message if absent else f"{type(fault).__name__}: {message}"
        line |= {"state": "skipped" if absent else "failed", "detail": detail}
    else:
        line |= {"state": "ok"}


def show(line: dict[str, Any]) -> None:
    """One check as a person reads it."""
    words = ("name", "state", "seconds", "section", "detail")
    figures = [f"{name} {value:.3g}" for name, value in line.items() if name not in words]
    print(f"{line['state']:8}{line['name']}: {line.get('detail') or ', '.join(figures)}", flush=True)


def machine(device: str) -> dict[str, Any]:
    """On what the figures were measured."""
    import torch

    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    about = {"gpu": gpu, "cuda": torch.version.cuda, "python": platform.python_version(), "processors": os.cpu_count()}
    from spikemba.libraries import version

    others = {name: found for name in LOOKED_FOR if (found := version(name))}
    return about | {"packages": {"torch": str(torch.__version__), **others}}


def write(path: Path, document: dict[str, Any]) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    temporary.replace(path)


if __name__ == "__main__":
    main()

"""What the kernels of a wheel are worth: beside those compiled here, such without threads, and plain PyTorch.

    python benchmarks/bench_wheel.py [--shape 8,512,200,16] [--rounds 12]

Prints, per library, milliseconds of the scan forward and of forward and backward: medians of rounds in which all take
turns, on as many threads as torch has. The wheel's library is compiled as hatch_build.py does it, in a folder that goes
away; the one without threads by the same commands without OpenMP.
"""

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from bench_scan import in_turns, inputs
from record import Record, options
from torch import Tensor

from spikemba.ops.native import build, bundled, compilers, library
from spikemba.ops.selective_scan import selective_scan


def compiled(folder: Path, *, threads: bool) -> library.Native:
    """A wheel's library, with OpenMP or without."""
    out = str(folder / f"kernels-{threads}{compilers.system_of(sys.platform).suffix}")
    source, compiler = str(build.SOURCES / "kernels.c"), build._compiler()
    threads = threads and compilers.wheel_has_threads(sys.platform, build._version(compiler))
    for command in compilers.wheel_commands(sys.platform, platform.machine(), compiler, source, out, threads=threads):
        subprocess.run(command, check=True, cwd=folder)
    return library.Native(library.opened(out), out)


def scanning(kernels: library.Native | None, given: list[Tensor], *, backward: bool) -> Callable[[], None]:
    """The scan with a library, or in plain PyTorch."""
    backend = "chunked" if kernels is None else "native"

    def run() -> None:
        library._loaded = kernels
        with torch.set_grad_enabled(backward):
            y = selective_scan(*given, backend=backend)
            if backward:
                torch.autograd.grad(y.sum(), given)

    return run


def main() -> None:
    """Print a line of JSON per library."""
    parser = options(__doc__)
    parser.add_argument("--shape", default="8,512,200,16", help="pairs, channels, positions, states")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    record, given = Record(arguments), inputs(*map(int, arguments.shape.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        own = library.load()
        bundled._share_openmp()
        libraries = {"compiled here": own, "of a wheel": compiled(Path(folder), threads=True)}
        libraries |= {"of a wheel without threads": compiled(Path(folder), threads=False), "plain PyTorch": None}
        ways = {"forward_ms": False, "both_ms": True}
        runs = {
            (name, way): scanning(one, given, backward=backward)
            for name, one in libraries.items()
            for way, backward in ways.items()
        }
        found = in_turns(runs, arguments.rounds)
    for name in libraries:
        figures = {way: round(found[name, way], 2) for way in ways}
        print(json.dumps({"kernels": name, **figures}), flush=True)
        record.speed(f"({arguments.shape}) kernels {name}", figures)
    record.keep()


if __name__ == "__main__":
    main()

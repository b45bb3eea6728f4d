"""The benchmarks there are: every module of `spikemba.datasets.benchmarks` is one and declares it as BENCHMARK.

To add one, put a file there and a configuration of its name into `configs/`; nothing else lists them. The names are
those of the files, so that asking for them, as every command line does, loads no benchmark.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from spikemba.datasets import benchmarks
from spikemba.errors import UnknownName

if TYPE_CHECKING:
    from spikemba.datasets.benchmark import Benchmark

OWN = "qvhighlights"
"""The benchmark whose form a person's own annotations have, and which scores them."""


def benchmark_names() -> list[str]:
    """Names of all benchmarks, in the order of the alphabet."""
    return sorted(module.name for module in iter_modules(benchmarks.__path__))


def find_benchmark(name: str) -> "Benchmark":
    """All about one benchmark. Raises UnknownName with the list of names."""
    if name not in benchmark_names():
        raise UnknownName("benchmark", name, benchmark_names())
    found: Benchmark = import_module(f"{benchmarks.__name__}.{name}").BENCHMARK
    assert found.name == name, f"{name}.py declares {found.name!r}"
    return found

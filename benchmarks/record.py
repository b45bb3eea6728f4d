"""Results as rows: what a script measured, appended to results/quality.csv or results/speed.csv by `--record`.

A row is one figure: when, of which commit, where and by which command it was measured, of what (case), which metric
with its unit in the name (`_ms`, `_mb`; percent where there is none), and the value. `low` and `high` are the interval
or the range over rounds, empty where there is none. A script takes its options from `options`, notes figures in a
`Record` and ends with `keep`: what breaks off adds no row.
"""

import argparse
import csv
import importlib.metadata
import io
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import date
from pathlib import Path

try:
    import fcntl
except ImportError:  # no POSIX system
    fcntl = None  # type: ignore[assignment]

from spikemba.errors import SpikeMbaError
from spikemba.files import write_text

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(os.environ.get("SPIKEMBA_RESULTS", ROOT / "results"))
"""SPIKEMBA_RESULTS names another folder for the sheets."""
SHEETS = ("quality", "speed")
RENDERED = ("results", "docs/results.md", "README.md")
"""What recording and rendering change: no change of what is measured."""
PACKAGES = ("torch", "numpy", "av")
"""Whose versions every row has; a script names what else matters to it."""

Figure = float | int | bool | Sequence[float] | None
"""A value; a value with its low and high end as a tuple; or a list of rounds, whose median and range count."""


class ResultsError(SpikeMbaError):
    """A sheet of results cannot be read."""


@dataclass(frozen=True)
class Row:
    """One figure, as it lies in a sheet."""

    date: str
    commit: str
    machine: str
    threads: str
    versions: str
    script: str
    case: str
    metric: str
    value: str
    low: str = ""
    high: str = ""

    @property
    def number(self) -> float:
        """The value."""
        return float(self.value)


COLUMNS = tuple(one.name for one in fields(Row))


class Record:
    """The figures of one run; `keep` appends them where `--record` was given."""

    def __init__(self, arguments: argparse.Namespace, also: Sequence[str] = (), results: Path = RESULTS) -> None:
        """also: packages whose versions matter beside torch, numpy and PyAV. A damaged sheet ends the script here."""
        self.arguments, self.also, self.results = arguments, also, results
        self.figures: dict[str, list[tuple[str, str, Figure]]] = {sheet: [] for sheet in SHEETS}
        if arguments.record:
            with one_line():
                for sheet in SHEETS:
                    read(sheet, results)  # better found before hours of measuring

    def quality(self, case: str, figures: Mapping[str, Figure]) -> None:
        """What was found: metric -> figure."""
        self.figures["quality"] += [(case, metric, one) for metric, one in figures.items() if one is not None]

    def speed(self, case: str, figures: Mapping[str, Figure]) -> None:
        """What it took: metric with its unit -> figure."""
        self.figures["speed"] += [(case, metric, one) for metric, one in figures.items() if one is not None]

    def keep(self) -> None:
        """Append all rows, when everything has been measured. Ends the script where that cannot be."""
        if not self.arguments.record:
            return
        threads = str(getattr(self.arguments, "threads", None) or n_threads())
        where = (date.today().isoformat(), commit(), machine(), threads, versions((*PACKAGES, *self.also)))
        for sheet, figures in self.figures.items():
            rows = [Row(*where, command(sys.argv), case, metric, *texts(figure)) for case, metric, figure in figures]
            with one_line():
                append(sheet, rows, self.results)
            print(f"{len(rows)} rows -> results/{sheet}.csv", file=sys.stderr)


@contextmanager
def one_line() -> Iterator[None]:
    """Within, an error that people can mend ends the script with its message alone."""
    try:
        yield
    except SpikeMbaError as error:
        sys.exit(f"error: {error}")


def options(description: str | None) -> argparse.ArgumentParser:
    """The parser of a script, with `--record`; description: its opening docstring, which holds its command."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_record(parser)
    return parser


def add_record(parser: argparse.ArgumentParser) -> None:
    """Let a parser, or that of a part, know `--record`."""
    parser.add_argument("--record", action="store_true", help="append what was measured to results/*.csv")


def texts(figure: Figure) -> tuple[str, str, str]:
    """Value, low and high as cells."""
    if isinstance(figure, tuple):
        value, low, high = figure
    elif isinstance(figure, list):
        value, low, high = statistics.median(figure), min(figure), max(figure)
        low, high = (low, high) if len(figure) > 1 else (None, None)
    else:
        value, low, high = figure, None, None
    value, low, high = (None if one is None else _text(one) for one in (value, low, high))
    assert value is not None
    return value, low or "", high or ""


def _text(number: float) -> str:
    """Six digits, no more than any of our measurements has; whole numbers whole."""
    if isinstance(number, int) or float(number).is_integer():
        return str(int(number))
    assert math.isfinite(number), number
    digits = max(0, 5 - math.floor(math.log10(abs(number))))
    return f"{number:.{digits}f}".rstrip("0").rstrip(".")


def append(sheet: str, rows: Sequence[Row], results: Path = RESULTS) -> None:
    """Add rows to a sheet, all or none. Raises ResultsError, OutputError."""
    if rows:
        with _alone(results):
            write(sheet, [*read(sheet, results), *rows], results)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within, others who append wait, where files can be locked."""
    folder.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write(sheet: str, rows: Sequence[Row], results: Path = RESULTS) -> None:
    """Write a sheet whole."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(row) for row in rows)
    write_text(results / f"{sheet}.csv", text.getvalue())


def read(sheet: str, results: Path = RESULTS) -> list[Row]:
    """The rows of a sheet, oldest first; none where there is no file.

    Raises ResultsError naming the first line that is no row.
    """
    path = results / f"{sheet}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.reader(file, strict=True)
        if tuple(next(lines, ())) != COLUMNS:
            raise ResultsError(f"{path}: line 1 is not {','.join(COLUMNS)}")
        rows = []
        for cells in lines:
            try:
                row = Row(*cells)
                date.fromisoformat(row.date)
                numbers = [float(one) for one in (row.low or row.value, row.value, row.high or row.value)]
                if numbers != sorted(numbers) or not (row.script and row.case and row.metric):
                    raise ValueError("a low end above the value, a high end below it, or no script, case or metric")
            except (TypeError, ValueError) as error:
                raise ResultsError(f"{path}: line {lines.line_num}: {error}; expected {','.join(COLUMNS)}") from None
            rows.append(row)
    return rows


def command(argv: Sequence[str]) -> str:
    """The command as somebody else would type it: without --record, and without folders of this machine."""
    words = [_portable(word) for word in argv[1:] if word != "--record"]
    return shlex.join(["python", f"benchmarks/{Path(argv[0]).name}", *words])


def _portable(word: str) -> str:
    name, sign, value = word.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return word
    inside = path.is_relative_to(ROOT)
    return f"{name}{sign}{path.relative_to(ROOT).as_posix() if inside else path.name}"


def commit() -> str:
    """What is checked out, with "+changes" where files differ from it; empty outside a checkout."""
    try:
        found = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in RENDERED))
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found + ("+changes" if changed else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def machine() -> str:
    """Processor, cores that may be used, and vector instructions; no name of a host."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = cpu_of(Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else []
    name, *vectors = told or [platform.processor() or platform.machine()]
    return ", ".join([name, f"{cores} core{'s' if cores > 1 else ''}", *vectors])


def cpu_of(cpuinfo: str) -> list[str]:
    """The processor's name, then those of AVX2, AVX-512, its bfloat16 and AMX that it has; [] where no name is told."""
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in cpuinfo.splitlines())}
    if "model name" not in facts:
        return []
    flags = set(facts.get("flags", "").split())
    known = {"avx512f": "AVX-512", "avx512_bf16": "AVX512_BF16", "amx_tile": "AMX"}
    vectors = [text for flag, text in known.items() if flag in flags]
    return [facts["model name"], *(vectors or (["AVX2"] if "avx2" in flags else []))]


def n_threads() -> int:
    """That PyTorch computes with, where it is loaded; else as the environment says."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    return int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1


def versions(packages: Sequence[str]) -> str:
    """Python's, and those of the packages that are installed."""
    found = [f"python {platform.python_version()}"]
    for name in dict.fromkeys(packages):
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)

"""Small trials of other people's code, each in a process of its own: it may raise, crash, leave, hang or be slow.

Where processes can be forked, one of them imports what many trials need, and the trials are its children, which is as
far apart and saves each the imports. When it does not get that far, every trial starts from nothing.

    python -c "from pipelines.doctor.processes import main; main()" FOLDER together|alone PLACE...
"""

import faulthandler
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal, Protocol

from pipelines.doctor.patience import LIMIT_S, Patience, computed_s
from spikemba.progress import Report, silent

TICK_S = 0.02
"""Between two looks at what runs."""

FEW = 6
"""So few trials are done sooner when each starts from nothing."""

IMPORTED = ("torch", "transformers", "open_clip")
"""What the forking process imports first."""

IMPORTING = "common imports"
"""What stands for the forking process among the places of trials."""

SLOW_ENOUGH, SHORTER = 3, 6
"""When so many gave no answer, the others get a part of the time: what hangs once hangs in all that use it."""

State = Literal["ok", "absent", "slow", "fault"]
"""`slow`: it gave no answer, which on a busy machine says nothing of what was tried."""


@dataclass(frozen=True)
class Outcome:
    """What a trial came to."""

    state: State
    detail: str
    """What it did, or why it could not."""
    broken: str = ""
    """The import name of the library at fault, where the error shows it."""
    said: bool = False
    """Whether `detail` is an error of ours, which names its cure where there is one."""


class Absent(Exception):
    """A trial's own word that there is nothing to try: something optional is not there."""


class Blamed(Exception):
    """Raised by a trial from an error that is no import's, to say which library it lies with."""

    def __init__(self, library: str) -> None:
        """library: import name; empty: the one that the trial is of."""
        super().__init__(library)
        self.library = library


def try_all(places: Sequence[str], limit_s: float = LIMIT_S, report: Report = silent) -> dict[str, Outcome]:
    """Call functions, each in a process of its own, several at once: `module:function` or `module:function(argument)`.

    A function returns what it did, in words; it raises Absent, or what is wrong.
    limit_s: of computing, or of doing nothing, after which one is given up (see `patience`).
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def tell() -> None:
            report(sum(_file(folder, place).exists() for place in places), len(places))

        if sys.platform == "linux" and len(places) > FEW:  # elsewhere forking after such imports is unsafe or not there
            _fork_all(folder, places, limit_s, tell)
        left = [place for place in places if not _file(folder, place).exists()]
        _run(folder, left, limit_s, lambda place: _python(folder, "alone", [place], limit_s), tell)
        tell()
        return {place: Outcome(**json.loads(_file(folder, place).read_text("utf-8"))) for place in places}


class _Running(Protocol):
    """A process, as both ways of starting one give it."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def kill(self) -> None:
        """End it."""

    def wait(self) -> object:
        """Until it has ended."""


def _fork_all(folder: Path, places: Sequence[str], limit_s: float, tell: Callable[[], None]) -> None:
    """Let one process import what is common and fork the trials; what it leaves out has to start from nothing."""
    with _python(folder, "together", places, limit_s) as server:
        patience = Patience(limit_s, partial(computed_s, server.pid))
        while server.poll() is None:
            time.sleep(TICK_S)
            tell()
            if not _file(folder, IMPORTING).exists() and patience.is_over():
                server.kill()


def _run(
    folder: Path,
    places: Iterable[str],
    limit_s: float,
    start: Callable[[str], _Running],
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Start one process per place, a few at once, and write the outcome of those that cannot do so themselves."""
    waiting, n_slow = list(places), 0
    running: dict[str, tuple[_Running, Patience]] = {}
    while waiting or running:
        while waiting and len(running) < _at_once():
            place = waiting.pop(0)
            process = start(place)
            allowed_s = limit_s / SHORTER if n_slow >= SLOW_ENOUGH else limit_s
            running[place] = process, Patience(allowed_s, partial(computed_s, process.pid))
        time.sleep(TICK_S)
        tell()
        for place, (process, patience) in list(running.items()):
            code = process.poll()
            if code is None and not patience.is_over():
                continue
            if code is None:
                process.kill()
                process.wait()
                n_slow += 1
            if not _file(folder, place).exists():
                failed = Outcome("slow", str(patience)) if code is None else _died(code, _log(folder, place))
                _write(folder, place, failed)
            del running[place]


def _at_once() -> int:
    return min(4, os.cpu_count() or 1)


def _died(code: int, log: Path) -> Outcome:
    return Outcome("fault", _death(code, log))


def _death(code: int, log: Path) -> str:
    """How a process ended that left no outcome, and its last words."""
    with suppress(ValueError):
        name = signal.Signals(-code).name
        fatal = [line for line in _lines(log) if line.startswith("Fatal Python error")]
        return f"killed its process by {name}{f' ({fatal[0]})' if fatal else ''}"
    last = [line for line in _lines(log) if line.strip()][-1:]
    return f"ended its process with exit code {code}{f' ({last[0].strip()[:160]})' if last else ''}"


def _lines(log: Path) -> list[str]:
    return log.read_text("utf-8", errors="replace").splitlines() if log.exists() else []


def _python(folder: Path, how: str, places: Sequence[str], limit_s: float) -> subprocess.Popen[bytes]:
    """A fresh interpreter that looks for packages where this one does, and asks no hub."""
    code = "from pipelines.doctor.processes import main; main()"
    command = [sys.executable, "-P", "-c", code, str(folder), how, str(limit_s), *places]
    path = os.pathsep.join(os.path.abspath(place) for place in sys.path)  # noqa: PTH100  # "" is this folder
    own = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "agg"}
    own |= {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}  # else asking for a GPU spoils it for the forked children
    with _log(folder, places[0] if how == "alone" else "server").open("wb") as log:
        return subprocess.Popen(
            command, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


def main() -> None:
    """What a fresh interpreter runs."""
    folder, how, limit_s, *places = sys.argv[1:]
    if how == "alone":
        _try(Path(folder), places[0])
        return
    for name in IMPORTED:  # one that hangs is ended from outside, and the trials then start from nothing
        importlib.import_module(name)
    _write(Path(folder), IMPORTING, Outcome("ok", "imported"))
    _run(Path(folder), places, float(limit_s), partial(_Forked, Path(folder)))


class _Forked:
    """A trial in a child of this process."""

    def __init__(self, folder: Path, place: str) -> None:
        self.process = multiprocessing.get_context("fork").Process(target=_try_forked, args=(folder, place))
        self.process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid or 0

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self.process.exitcode

    def kill(self) -> None:
        """End it."""
        self.process.kill()

    def wait(self) -> None:
        """Until it has ended."""
        self.process.join()


def _try_forked(folder: Path, place: str) -> None:
    with _log(folder, place).open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    _try(folder, place)


def _try(folder: Path, place: str) -> None:
    """Call the function and write its outcome."""
    faulthandler.enable(all_threads=False)
    _write(folder, place, _outcome(place))


def _outcome(place: str) -> Outcome:
    name, _, argument = place.rstrip(")").partition("(")
    try:
        work: Callable[..., Any] = resolve_name(name)
        return Outcome("ok", work(argument) if argument else work())
    except Absent as reason:
        return Outcome("absent", str(reason))
    except BaseException as error:  # also SystemExit: a library that leaves is broken
        from spikemba.errors import SpikeMbaError
        from spikemba.libraries import at_fault, cause

        if isinstance(error, SpikeMbaError):
            return Outcome("fault", str(error), said=True)
        blamed = error.library if isinstance(error, Blamed) else ""
        return Outcome("fault", cause(error), at_fault(error) or blamed)


def _write(folder: Path, place: str, outcome: Outcome) -> None:
    """Whole or not at all, so that a process that dies while writing has left nothing."""
    path = _file(folder, place)
    path.with_suffix(".part").write_text(json.dumps(asdict(outcome)), "utf-8")
    path.with_suffix(".part").replace(path)


def _file(folder: Path, place: str) -> Path:
    return folder / f"{place.replace(':', '.')}.json"


def _log(folder: Path, place: str) -> Path:
    return folder / f"{place.replace(':', '.')}.log"

"""Small trials of other people's code, each in a process of its own: it may raise, crash, leave or hang.

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

TIMEOUT_S = 60.0
"""How long one trial may take; a sound one takes seconds."""

FEW = 6
"""So few trials are done sooner when each starts from nothing."""

IMPORTED = ("torch", "transformers", "open_clip")
"""What the forking process imports first."""

State = Literal["ok", "absent", "fault"]


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


def try_all(places: Sequence[str], timeout_s: float = TIMEOUT_S) -> dict[str, Outcome]:
    """Call functions, each in a process of its own, several at once: `module:function` or `module:function(argument)`.

    A function returns what it did, in words; it raises Absent, or what is wrong.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if sys.platform == "linux" and len(places) > FEW:  # elsewhere forking after such imports is unsafe or not there
            with _python(folder, "together", places, timeout_s) as server:
                server.wait()
        left = [place for place in places if not _file(folder, place).exists()]
        _run(folder, left, timeout_s, lambda place: _python(folder, "alone", [place], timeout_s))
        return {place: Outcome(**json.loads(_file(folder, place).read_text("utf-8"))) for place in places}


class _Running(Protocol):
    """A process, as both ways of starting one give it."""

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""

    def kill(self) -> None:
        """End it."""

    def wait(self) -> object:
        """Until it has ended."""


def _run(folder: Path, places: Iterable[str], timeout_s: float, start: Callable[[str], _Running]) -> None:
    """Start one process per place, a few at once, and write the outcome of those that cannot do so themselves."""
    waiting, running = list(places), dict[str, tuple[_Running, float]]()
    while waiting or running:
        while waiting and len(running) < _at_once():
            place = waiting.pop(0)
            running[place] = start(place), time.monotonic() + timeout_s
        time.sleep(0.01)
        for place, (process, end) in list(running.items()):
            code, late = process.poll(), time.monotonic() > end
            if code is None and not late:
                continue
            if code is None:
                process.kill()
                process.wait()
                _write(folder, place, Outcome("fault", f"gave no answer in {timeout_s:g} s"))
            elif not _file(folder, place).exists():
                _write(folder, place, Outcome("fault", _death(code, _log(folder, place))))
            del running[place]


def _at_once() -> int:
    return min(4, os.cpu_count() or 1)


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


def _python(folder: Path, how: str, places: Sequence[str], timeout_s: float) -> subprocess.Popen[bytes]:
    """A fresh interpreter that looks for packages where this one does, and asks no hub."""
    code = "from pipelines.doctor.processes import main; main()"
    command = [sys.executable, "-P", "-c", code, str(folder), how, str(timeout_s), *places]
    path = os.pathsep.join(os.path.abspath(place) for place in sys.path)  # noqa: PTH100  # "" is this folder
    own = {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "agg"}
    own |= {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}  # else asking for a GPU spoils it for the forked children
    with _log(folder, places[0] if how == "alone" else "server").open("wb") as log:
        return subprocess.Popen(
            command, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )


def main() -> None:
    """What a fresh interpreter runs."""
    folder, how, timeout_s, *places = sys.argv[1:]
    if how == "alone":
        _try(Path(folder), places[0])
        return
    # a library that hangs must not keep the trials waiting for ever; they then start from nothing
    faulthandler.dump_traceback_later(float(timeout_s), exit=True)
    for name in IMPORTED:
        importlib.import_module(name)
    faulthandler.cancel_dump_traceback_later()
    _run(Path(folder), places, float(timeout_s), partial(_Forked, Path(folder)))


class _Forked:
    """A trial in a child of this process."""

    def __init__(self, folder: Path, place: str) -> None:
        self.process = multiprocessing.get_context("fork").Process(target=_try_forked, args=(folder, place))
        self.process.start()

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
        from spikemba.libraries import cause, importing

        if isinstance(error, SpikeMbaError):
            return Outcome("fault", str(error), said=True)
        blamed = error.library if isinstance(error, Blamed) else ""
        return Outcome("fault", cause(error), importing(error) or blamed)


def _write(folder: Path, place: str, outcome: Outcome) -> None:
    """Whole or not at all, so that a process that dies while writing has left nothing."""
    path = _file(folder, place)
    path.with_suffix(".part").write_text(json.dumps(asdict(outcome)), "utf-8")
    path.with_suffix(".part").replace(path)


def _file(folder: Path, place: str) -> Path:
    return folder / f"{place.replace(':', '.')}.json"


def _log(folder: Path, place: str) -> Path:
    return folder / f"{place.replace(':', '.')}.log"

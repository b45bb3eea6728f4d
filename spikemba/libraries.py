"""Other people's libraries: one that is absent or broken says so, with its cause and the command that mends it.

transformers looks whether torchaudio is installed and then imports it, for sound that nothing here needs. A torchaudio
that was built for another torch fails there, so every import of a library that may lead to transformers goes through
`library`, which hides such a torchaudio first.
"""

import importlib.metadata
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from spikemba.errors import LibraryBroken, SpikeMbaError, command_line

DISTRIBUTIONS = {
    "PIL": "pillow",
    "causal_conv1d": "causal-conv1d",
    "mamba_ssm": "mamba-ssm",
    "open_clip": "open_clip_torch",
    "yaml": "pyyaml",
}
"""Import name -> name to install, where they differ."""

WITH_SOUND = ("mamba_ssm", "open_clip", "transformers")
"""Libraries that are, or import, transformers."""


@contextmanager
def library(name: str) -> Iterator[None]:
    """A block that imports a library, and does nothing else:

        with library("transformers"):
            from transformers import AutoModel

    Raises LibraryBroken when that fails, for whatever reason.
    """
    if name in WITH_SOUND:
        hide_broken_torchaudio()
    try:
        yield
    except SpikeMbaError:
        raise
    except Exception as error:  # a missing symbol is an OSError, an operator that was not registered a RuntimeError
        raise broken(name, error) from error


def broken(name: str, error: BaseException) -> LibraryBroken:
    """What to say of a library that could not be imported."""
    root = root_cause(error)
    missing = root.name.partition(".")[0] if isinstance(root, ModuleNotFoundError) and root.name else ""
    if missing and not is_installed(missing):
        within = "" if missing == name else f", which {name} needs,"
        return LibraryBroken(f"{distribution(missing)}{within} is not installed; run `{cure(missing, absent=True)}`")
    culprit = importing(root) or name
    by = "" if culprit in (name, "spikemba") else f" because of {versioned(culprit)}"
    mend = cure(name if culprit == "spikemba" else culprit)
    return LibraryBroken(f"{versioned(name)} is installed and cannot be imported{by} ({cause(root)}); run `{mend}`")


def is_installed(name: str) -> bool:
    """Whether there is a library of that import name, sound or not."""
    try:
        return find_spec(name) is not None
    except ValueError:  # imported by other means, so that Python does not know from where
        return True


def distribution(name: str) -> str:
    """What pip calls a library."""
    return DISTRIBUTIONS.get(name, name)


def version(name: str) -> str:
    """The installed version of a library; empty when its metadata are not there."""
    try:
        return importlib.metadata.version(distribution(name))
    except importlib.metadata.PackageNotFoundError:
        return ""


def versioned(name: str) -> str:
    """`transformers 5.24.0`."""
    return f"{distribution(name)} {version(name)}".rstrip()


def cure(name: str, *, absent: bool = False) -> str:
    """The command that mends a library."""
    if name == "torchaudio":
        return command_line("pip", "uninstall", "-y", "torchaudio")
    if name == "torchvision" and not absent:
        return "pip install --upgrade --force-reinstall torch torchvision"  # each is built for one of the other
    return command_line("pip", "install", *([] if absent else ["--force-reinstall"]), distribution(name))


def root_cause(error: BaseException) -> BaseException:
    """The error that others were raised from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def cause(error: BaseException) -> str:
    """The last line of a traceback, cut: what the root of an error says."""
    root = root_cause(error)
    return f"{type(root).__name__}: {one_line(root)}"[:200].rstrip(": ")


def one_line(error: BaseException) -> str:
    """The message of an error, without its line ends, cut; empty when it has none."""
    return " ".join(str(error).split())[:200]


def importing(error: BaseException) -> str:
    """The package whose import raised the error; empty when no import did.

    A frame that runs the body of a module is one of an import; frames above the one that caught the error are no part
    of its traceback.
    """
    names = [
        str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        for step in _steps(root_cause(error).__traceback__)
        if step.tb_frame.f_code.co_name == "<module>"
    ]
    return names[-1] if names else ""


OWN = ("spikemba", "pipelines", "spikemba_cli")
"""Packages that this distribution brings."""


def at_fault(error: BaseException) -> str:
    """The package with which an error lies that came up in an import: one that is not installed, one of ours that
    cannot be imported, or else the one whose import raised it; empty when no import did.
    """
    root = root_cause(error)
    named = (root.name or "").partition(".")[0] if isinstance(root, ImportError) else ""
    if named in OWN or (named and isinstance(root, ModuleNotFoundError) and not is_installed(named)):
        return named
    if isinstance(root, SyntaxError) and root.filename:  # no module ran, so that no frame tells
        above = Path(__file__).parents[1]
        return next((name for name in OWN if Path(root.filename).is_relative_to(above / name)), "") or importing(error)
    return importing(error)


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


@cache
def hide_broken_torchaudio() -> None:
    """Let a torchaudio that cannot be imported look as if it were not installed, and warn; once per process."""
    if "torchaudio" in sys.modules or not is_installed("torchaudio"):
        return
    try:
        import_module("torchaudio")
    except Exception as error:
        # None is Python's own mark of a module that must not be imported: find_spec calls it absent
        sys.modules["torchaudio"] = None  # type: ignore[assignment]
        _let_transformers_look_again()
        logging.getLogger("spikemba").warning("%s; everything here goes on without it", torchaudio_problem(error))


def torchaudio_problem(error: BaseException) -> str:
    """What is wrong with torchaudio, beside which torch, and the commands that mend it."""
    torch = version("torch").partition("+")[0]
    other = command_line("pip", "install", f"torchaudio=={torch}")
    return (
        f"torchaudio {version('torchaudio')} cannot be imported beside torch {torch} ({cause(error)}); nothing here "
        f"needs it: run `{cure('torchaudio')}`, or `{other}` if there is one for this torch"
    )


def _let_transformers_look_again() -> None:
    """transformers remembers what is installed, and may have been asked before."""
    asked = sys.modules.get("transformers.utils.import_utils")
    for name in ("is_torchaudio_available", "is_speech_available"):
        forget = getattr(getattr(asked, name, None), "cache_clear", None)
        if forget is not None:
            forget()

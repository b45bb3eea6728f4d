"""Every error a user can mend: the command line prints the message alone and exits 1.

Any other exception is a bug and keeps its traceback. A command in a message stands between back quotes, is made by
`command_line` where it holds a value, and works when it is pasted; what only the user knows stands in it in CAPITALS.
"""

import difflib
import re
import shlex
from collections.abc import Collection
from pathlib import Path


def command_line(*words: str | Path) -> str:
    """A command as a shell takes it: every word quoted that has a blank or a sign in it."""
    return shlex.join(map(str, words))


def extract_command(folder: Path) -> str:
    """What makes the features in an encoder's folder anew, of sentences where its name ends in `_text`."""
    source = ("--queries", "ANNOTATIONS") if folder.name.endswith("_text") else ("VIDEOS",)
    encoder = folder.name.removesuffix("_text")
    return command_line("spikemba", "extract", *source, "--encoder", encoder, "--out", folder.parent)


def index_command(folder: Path | str) -> str:
    """What makes a library of which nothing is known."""
    return command_line("spikemba", "index", "VIDEOS", "--encoder", "ENCODER", "--library", folder)


MOST_NAMES = 12
"""Names that a message lists; of more it gives the closest."""


def closest(name: str, known: Collection[str]) -> list[str]:
    """Up to three of the known names that somebody may have meant, the likeliest first.

    Upper and lower case are one, and a word of a name may stand for it.
    """
    lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), lower, n=3)
    if not found:
        words = {one: re.split(r"[\W_]+", one) for one in lower}
        found = [one for one in lower if difflib.get_close_matches(name.lower(), words[one], n=1, cutoff=0.75)][:3]
    return [lower[one] for one in found]


def names_like(name: str, known: Collection[str]) -> str:
    """What to say of a name that there is not, in one line: `there are: clip, mini; did you mean 'clip'?`

    Of a long list the closest are given, or its beginning where none is close.
    """
    if not known:
        return "there are none"
    close, names = closest(name, known), list(known)
    if len(names) <= MOST_NAMES:
        return f"there are: {', '.join(names)}{f'; did you mean {close[0]!r}?' if close else ''}"
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {len(names)}: {', '.join(names[:MOST_NAMES])}, ..."


class SpikeMbaError(Exception):
    """Root of the errors that the user can mend; its message is one line that says how."""


class ShapeError(SpikeMbaError):
    """A tensor's shape does not fit its neighbours."""


class ConfigError(SpikeMbaError):
    """A configuration has faults; all of them are listed together."""

    def __init__(self, source: str, faults: list[str]) -> None:
        head = f"{source} has {len(faults)} fault{'s' if len(faults) != 1 else ''}"
        lines = [_cut(fault) for fault in faults]
        super().__init__(f"{head}: {lines[0]}" if len(faults) == 1 else "\n  ".join([head + ":", *lines]))
        self.faults = faults


class VideoError(SpikeMbaError):
    """A file cannot be read as a video."""

    def __init__(self, path: Path | str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


def problem_with(path: Path | str, error: Exception) -> str:
    """One line about a file that failed among others, whatever was raised; a bug says that it is one."""
    if isinstance(error, SpikeMbaError):
        return str(error)
    reason = " ".join(str(error).split()) or "no reason given"
    return f"{path}: failed unexpectedly ({type(error).__name__}: {reason}); alone, it shows where: please report that"


_ROW = r"([^:]*\b)?(line|row|entry) \d|qid "
"""How a fault begins that is one row's."""


class AnnotationError(SpikeMbaError):
    """Rows of an annotation or prediction file cannot be used; each is named by its line."""

    def __init__(self, path: Path | str, faults: list[str], shown: int = 10) -> None:
        more = [f"... and {len(faults) - shown} more"] if len(faults) > shown else []
        in_rows = any(re.match(_ROW, fault) for fault in faults)  # that there is no file is no row
        head = f"{path}: {len(faults)} {'bad row' if in_rows else 'fault'}{'s' if len(faults) != 1 else ''}"
        head = f"{path}" if len(faults) == 1 and not in_rows else head
        lines = [_cut(fault) for fault in faults[:shown]]
        body = f"{head}: {lines[0]}" if len(faults) == 1 else "\n  ".join([head + ":", *lines, *more])
        super().__init__(body)
        self.faults = faults


class CorrectionError(SpikeMbaError):
    """What somebody says of an answer cannot be kept as it is."""


class FeaturesMissing(SpikeMbaError):
    """A video or query has no extracted features."""

    def __init__(self, item: str, folder: Path | str, command: str | None = None) -> None:
        """folder: of one encoder, by its name; of sentences with `_text`.  command: another one that makes them."""
        usual = extract_command(Path(folder))
        if Path(folder).is_file():  # a pack of somebody else's
            usual = command_line("spikemba", "features", "show", folder, "--annotations", "ANNOTATIONS")
        super().__init__(f"no features for {item} in {folder}; run `{command or usual}`")


class FeaturesMismatch(SpikeMbaError):
    """Features are not the ones that a checkpoint was trained on."""


class CheckpointError(SpikeMbaError):
    """A checkpoint folder is missing, incomplete or damaged."""


class UnknownName(SpikeMbaError):
    """A name is not in a fixed list; the message holds the closest, and the list where it is short."""

    def __init__(self, kind: str, name: str, known: Collection[str], also: str = "") -> None:
        """also: a clause behind the names, such as the command that lists all."""
        super().__init__(f"no {kind} is called {name!r}; {names_like(name, known)}{also and f'; {also}'}")


class WeightsMissing(SpikeMbaError):
    """Pretrained weights are needed and not on this machine."""


class PackageMissing(SpikeMbaError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        cure = command_line("pip", "install", f"spikemba[{extra}]")
        super().__init__(f"{purpose} needs {package}, which is not installed; run `{cure}`")


class LibraryBroken(SpikeMbaError):
    """A library is installed and cannot be imported, or another one that it needs cannot."""


class DownloadError(SpikeMbaError):
    """A public file cannot be fetched, or is not the file that is meant."""

    def __init__(self, address: str, problem: str, path: Path) -> None:
        super().__init__(f"{address} {problem}; run the same command again, or put the file at {path} yourself")


class ShareError(SpikeMbaError):
    """A model cannot be given away as it was asked for."""

    def __init__(self, to: Path | str, problem: str) -> None:
        super().__init__(f"cannot share to {to}: {problem}")


class QueryError(SpikeMbaError):
    """A sentence cannot be used as a query."""


class OutputError(SpikeMbaError):
    """A result cannot be written."""

    def __init__(self, path: Path | str, problem: str, cure: str = "choose another folder with --out") -> None:
        super().__init__(f"cannot write {path}: {problem}; {cure}")


class LibraryError(SpikeMbaError):
    """A library of videos cannot be read or changed as it was asked for."""

    def __init__(self, folder: Path | str, problem: str, cure: str) -> None:
        super().__init__(f"library {folder}: {problem}; {cure}")


class NoLibrary(LibraryError):
    """There is no library where one is to be read."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(folder, "there is no library", f"run `{index_command(folder)}`")


LONGEST_FAULT = 500
"""Characters of a fault in a message."""


def _cut(fault: str) -> str:
    """A fault that quotes a value of thousands of characters, without most of them."""
    if len(fault) <= LONGEST_FAULT:
        return fault
    return f"{fault[: LONGEST_FAULT - 100]} ... ({len(fault):,} characters) ... {fault[-50:]}"

"""Golden files: written so that equal numbers are equal bytes, and compared number by number."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
VERSION = FOLDER / "version_0_1_0"
BUNDLED_BEFORE = FOLDER / "bundled_0_1_0"
EVALUATORS = FOLDER / "evaluators"
SUMS = FOLDER / "SHA256SUMS"
DIGITS = 7
"""Significant digits of a number in a file that is made: a float32 has no more."""


@dataclass(frozen=True)
class Tolerance:
    """Two numbers are the same when they differ by no more than absolute + relative * |golden|."""

    relative: float = 0.0
    absolute: float = 0.0


EXACT = Tolerance()
"""For what no arithmetic has touched."""
NETWORK = Tolerance(1e-4, 1e-4)
"""One pass through a network; processors and kernels were seen to differ by 4e-6."""
ANSWER = Tolerance(absolute=2e-3)
"""Seconds and probabilities of an answer: the decoder's last bit is in it too."""
PREDICTIONS = Tolerance(absolute=2e-5)
"""The same from stored features, without a decoder; processors were seen to differ by less than 1e-6."""
SCORES = Tolerance(absolute=0.5)
"""Percent of a metric that ranks clips of a hardly trained network: some differ by so little that last bits order them,
which was seen to move a score by 0.2."""
TRAINING = Tolerance(2e-4, 1e-6)
"""Losses over a few steps; noise of 1e-6 in the features was seen to move them by 3e-6."""


def read(path: Path) -> Any:
    """A JSON document, or the arrays of an npz by name."""
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def write(path: Path, content: Mapping[str, Any], tolerance: Tolerance = EXACT) -> None:
    """Write JSON with sorted keys, or an npz without times; no more digits than the tolerance has a use for."""
    if path.suffix == ".json":
        shown = content if tolerance == EXACT else _rounded(content)
        text = json.dumps(shown, indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
        return
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(content):
            data = io.BytesIO()
            np.lib.format.write_array(data, _short(content[name]), version=(1, 0))
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, data.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9)


def differences(found: Any, golden: Any, tolerance: Tolerance = EXACT, place: str = "") -> list[str]:
    """One line per place where two documents, or dictionaries of arrays, are not the same; only golden keys count."""
    if isinstance(golden, Mapping) and isinstance(found, Mapping):
        missing = [f"{place}{key}: is missing" for key in golden if key not in found]
        both = [key for key in golden if key in found]
        return missing + [
            line for key in both for line in differences(found[key], golden[key], tolerance, f"{place}{key}.")
        ]
    if isinstance(golden, list) and isinstance(found, list) and len(golden) == len(found):
        pairs = enumerate(zip(found, golden, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, tolerance, f"{place}{i}.")]
    if _is_number(golden) and _is_number(found):
        return _far(np.asarray(found), np.asarray(golden), tolerance, place)
    return [] if type(found) is type(golden) and found == golden else [f"{place[:-1]}: {found!r}; golden: {golden!r}"]


def _far(found: NDArray[Any], golden: NDArray[Any], tolerance: Tolerance, place: str) -> list[str]:
    """A line when two arrays are not the same."""
    if found.shape != golden.shape:
        return [f"{place[:-1]}: has shape {found.shape}; golden: {golden.shape}"]
    difference = np.abs(found.astype(np.float64) - golden.astype(np.float64))
    allowed = tolerance.absolute + tolerance.relative * np.abs(golden.astype(np.float64))
    wrong = ~(difference <= allowed)  # also where one of the two is no number
    if not wrong.any():
        return []
    worst = np.unravel_index(
        np.argmax(np.where(wrong, np.nan_to_num(difference - allowed, nan=np.inf), 0)), wrong.shape
    )
    where = f" at {tuple(map(int, worst))}, {int(wrong.sum())} of {wrong.size} differ" if wrong.shape else ""
    return [f"{place[:-1]}: {found[worst]}; golden: {golden[worst]}{where}"]


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys as `section.key`."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def static_files() -> Iterator[Path]:
    """The files that nothing makes again."""
    for folder in (EVALUATORS, VERSION, BUNDLED_BEFORE):
        yield from sorted(path for path in folder.rglob("*") if path.is_file())


def digest(path: Path) -> str:
    """SHA-256 of a file, as sha256sum prints it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.ndarray | np.generic) and not isinstance(value, bool)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {str(key): _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _short(array: NDArray[Any]) -> NDArray[Any]:
    """The array with spikes as bytes, and with numbers of six decimals: they take half the room."""
    if np.isin(array, (0, 1)).all():
        return array.astype(np.uint8)
    return (np.round(array.astype(np.float64), 6) + 0.0).astype(np.float32)

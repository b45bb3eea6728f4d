"""The arrays of feature files: finite numbers, of the shape that they should have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch, extract_command
from spikemba.reading.arrays import array_names, array_shape, read_array
from spikemba.reading.unreadable import Unreadable

VIDEO_KEY = "features"
"""Name of a video's array in an npz."""


def has_array(path: Path, key: str) -> bool:
    """Whether an npz has an array of that name. True, too, of one that cannot be read: reading it will say why."""
    try:
        return key in array_names(path)
    except (OSError, Unreadable):
        return True


def load_video(files: Sequence[Path], dim: int | None = None) -> NDArray[Any]:
    """(L, F) of a video's one file, or of its streams' files beside each other. Raises FeaturesMismatch."""
    if len(files) == 1:
        return load_array(files[0], VIDEO_KEY, dim)
    parts = [load_array(path, VIDEO_KEY) for path in files]
    length = min(map(len, parts))
    joined = np.concatenate([part[:length] for part in parts], axis=1)
    if dim is not None and joined.shape[1] != dim:
        raise FeaturesMismatch(f"{files[0]} holds rows of {joined.shape[1]} numbers; expected {dim}")
    return joined


def load_array(path: Path, key: str, dim: int | None = None, n_axes: int = 2) -> NDArray[Any]:
    """An array of an npz by its key, or the one of an npy. Raises FeaturesMismatch."""
    try:
        found = read_array(path, key)
    except KeyError:
        raise FeaturesMismatch(f"{path} has no array {key!r}") from None
    except OSError as error:
        raise FeaturesMismatch(f"{path} cannot be read ({error.strerror or error})") from None
    except Unreadable as fault:
        again = extract_command(path.parent)
        raise FeaturesMismatch(f"{path} is damaged ({fault}); delete it and run `{again}`") from None
    if found.dtype.kind not in "fiu":
        raise FeaturesMismatch(f"{path} holds {key} of type {found.dtype}; expected numbers")
    if found.ndim != n_axes or not len(found) or (dim is not None and found.shape[-1] != dim):
        expected = f"(n, {dim or 'F'}) with n >= 1" if n_axes == 2 else "(F,)"
        raise FeaturesMismatch(f"{path} holds {key} of shape {found.shape}; expected {expected}")
    _check_finite(path, found)
    return found


LARGEST = 1e18
"""Of a feature: of greater ones the squares, which scaling sums, pass what float32 can hold."""


def _check_finite(path: Path, found: NDArray[Any]) -> None:
    """Raise FeaturesMismatch that names the first row with NaN, infinity or a number that scaling cannot take."""
    fine = np.isfinite(found)
    if found.dtype.itemsize > 2:
        fine &= np.abs(found) <= LARGEST
    if fine.all():
        return
    bad = np.flatnonzero(~fine.reshape(len(found), -1).all(1))
    row = int(bad[0])
    value = found[row][~fine[row]].ravel()[0]
    raise FeaturesMismatch(
        f"{path} holds {value:g} in row {row} ({len(bad)} of {len(found)} rows hold such); expected finite numbers; "
        "extract it again, or leave its rows out of the annotations"
    )


def n_rows(path: Path) -> int:
    """Rows of a video's array, by the head of its file. Raises FeaturesMismatch."""
    try:
        shape = array_shape(path, VIDEO_KEY)
    except (OSError, KeyError, Unreadable):
        shape = ()
    if len(shape) == 2 and shape[0]:
        return shape[0]
    return len(load_array(path, VIDEO_KEY))  # whatever is wrong with it, reading it whole says what

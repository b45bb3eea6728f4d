"""An array of a feature file of our own: finite numbers, of the shape that they should have."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch, extract_command
from spikemba.packs.rows import VIDEO_KEYS, check_finite
from spikemba.reading.arrays import read_array
from spikemba.reading.unreadable import NotRead, Unreadable

(VIDEO_KEY,) = VIDEO_KEYS
"""Name of a video's array in an npz."""


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
        what = "of a form that is not read" if isinstance(fault, NotRead) else "damaged"
        raise FeaturesMismatch(f"{path} is {what} ({fault}); delete it and run `{again}`") from None
    if found.dtype.kind not in "fiu":
        raise FeaturesMismatch(f"{path} holds {key} of type {found.dtype}; expected numbers")
    if found.ndim != n_axes or not len(found) or (dim is not None and found.shape[-1] != dim):
        expected = f"(n, {dim or 'F'}) with n >= 1" if n_axes == 2 else "(F,)"
        raise FeaturesMismatch(f"{path} holds {key} of shape {found.shape}; expected {expected}")
    check_finite(path, found)
    return found

"""Which form a pack has, by looking at what its path names."""

from dataclasses import dataclass, replace
from pathlib import Path

from spikemba.errors import FeaturesMismatch
from spikemba.packs.folder_store import ENDINGS, FolderStore
from spikemba.packs.hdf5_store import Hdf5Store
from spikemba.packs.masks import MASK_KEYS, PADDING_KEYS
from spikemba.packs.npz_store import NpzStore
from spikemba.packs.rows import POOLED_KEY, SENTENCE_KEY, TOKEN_KEYS, VIDEO_KEYS
from spikemba.packs.store import ONLY, Store
from spikemba.packs.widths import Order
from spikemba.reading.unreadable import Unreadable

HDF5 = (".h5", ".hdf5", ".hdf")
FILES = (*HDF5, ".npz")
"""Endings of files that hold a whole pack."""
ORDERS: tuple[Order, ...] = ("nF", "Fn")
"""What may be said of axes: rows first, as everywhere here, or last."""
EXPECTED = "a folder of .npz, .npy or .pt files, or one .h5 or .npz whose keys are the identifiers"


@dataclass(frozen=True)
class Place:
    """Where a pack lies."""

    path: Path
    key: str = ""
    """The array or group that is meant, where there are several."""
    axes: Order = ""
    """How its arrays lie, where it is said."""


def pack_place(path: Path) -> Place:
    """A path as it stands in a configuration: `PACK`, or `PACK:KEY` where no file is called so.

    Either may end in `:axes=nF` or `:axes=Fn`, which says how the arrays lie.
    """
    before, colon, last = str(path).rpartition(":")
    if not colon or not last or not before or path.exists():
        return Place(path)
    for order in ORDERS:
        if last == f"axes={order}" and (place := pack_place(Path(before))).path.exists():
            return replace(place, axes=order)
    return Place(Path(before), last) if Path(before).exists() else Place(path)


def is_pack_file(path: Path) -> bool:
    """Whether a path names a file that holds a whole pack."""
    place = pack_place(path).path
    return place.is_file() and place.suffix.lower() in FILES


def open_store(path: Path) -> tuple[Store, str]:
    """The items of a pack, and the key of the array that is meant; empty where it was not said.

    Raises FeaturesMismatch for a file of another form or a damaged one.
    """
    place = pack_place(path)
    if not place.path.is_file():
        return FolderStore(place.path), place.key
    suffix = place.path.suffix.lower()
    if suffix not in FILES:
        cure = "; its folder is one, where each is of one item" if suffix in ENDINGS else ""
        raise FeaturesMismatch(f"{place.path} is no pack of features; expected {EXPECTED}{cure}")
    try:
        return (NpzStore(place.path), place.key) if suffix == ".npz" else _open_hdf5(place)
    except OSError as error:
        raise FeaturesMismatch(f"{place.path} cannot be read ({error.strerror or error})") from None
    except Unreadable as fault:
        raise FeaturesMismatch(f"{place.path} is damaged ({fault}); expected {EXPECTED}: fetch it again") from None


def _open_hdf5(place: Place) -> tuple[Store, str]:
    """The group that the key names, if it names one; the only group, where that is all there is."""
    store = Hdf5Store(place.path)
    names = store.names()
    inside = store.shapes(place.key) if place.key and store.has(place.key) else None
    if inside == {}:
        raise FeaturesMismatch(f"{place.path} holds nothing below {place.key!r}")
    if inside is not None and ONLY in inside:
        one = f"one array, {inside[ONLY]}, and no group of them"
        raise FeaturesMismatch(f"{place.path}:{place.key} is {one}; name the file alone: {place.path}")
    if place.key and store.has(place.key) and len(names) <= MOST_GROUPS:
        return Hdf5Store(place.path, place.key), ""
    only = set(store.shapes(names[0])) if len(names) == 1 and not place.key else set()
    if len(only) > 1 and not only & ARRAYS_OF_ONE:
        return Hdf5Store(place.path, names[0]), ""
    if 1 < len(names) <= MOST_GROUPS and not place.key:
        _check_groups(store, names)
    return store, place.key


def _check_groups(store: Hdf5Store, names: list[str]) -> None:
    """Raise FeaturesMismatch for groups that sort arrays by what they are: each has more than there are groups."""
    inside = [store.shapes(name).keys() for name in names]
    if all(len(keys) > len(names) and ONLY not in keys and not keys & ARRAYS_OF_ONE for keys in inside):
        listed = ", ".join(f"{name} ({len(keys)} arrays)" for name, keys in zip(names, inside, strict=True))
        raise FeaturesMismatch(f"{store.path} holds groups: {listed}; say which, as in {store.path}:{names[0]}")


MOST_GROUPS = 16
"""Groups of a file that sorts its arrays by what they are; with more of them, they are videos."""
ARRAYS_OF_ONE = {*VIDEO_KEYS, *TOKEN_KEYS, *MASK_KEYS, *PADDING_KEYS, POOLED_KEY, SENTENCE_KEY}
"""What one video or query may hold; a single group without any of them is one of videos."""

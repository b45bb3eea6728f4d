"""How close two folders of features are, encoder by encoder, and what may make them differ."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMissing, SpikeMbaError
from spikemba.features import MANIFEST, FeatureFolder, Manifest
from spikemba.packs.folder_store import ENDINGS
from spikemba.packs.opening import EXPECTED, pack_place

Rows = NDArray[np.float64]

SHIFT_GAIN = 0.02
"""How much closer rows must come when they are moved by one clip, for that to be the likely cause."""


@dataclass(frozen=True)
class Comparison:
    """Two folders of one encoder's features."""

    encoder: str
    n_common: int
    """Videos or queries that are in both."""
    only_a: int
    only_b: int
    n_lengths: int
    """Of the common ones, those with another number of rows."""
    cosine_mean: float
    """Over all rows that have a partner."""
    cosine_min: float
    worst: str
    """The video or query with the smallest cosine."""
    norm_ratio: float
    """Mean length of B's rows over that of A's."""
    reasons: tuple[str, ...] = field(default=())
    """What may make them differ, the likeliest first."""

    def to_dict(self) -> dict[str, Any]:
        """What `features compare --json` prints."""
        return {**self.__dict__, "reasons": list(self.reasons)}


def compare_features(a: Path, b: Path) -> list[Comparison]:
    """Compare the encoders that two folders share: each a folder of one encoder's files, or of several such.

    Names of published packs match ours: `clip_features` is `clip`. Raises FeaturesMissing when nothing is in both, and
    SpikeMbaError for a folder without features.
    """
    ours, theirs = _streams(a), _streams(b)
    for path, streams in ((a, ours), (b, theirs)):
        if not streams:  # what would have made them is not known
            raise SpikeMbaError(f"{path}: the folder holds no feature files; expected {EXPECTED}, or several such")
    names = [name for name in ours if name in theirs]
    if not names and len(ours) == len(theirs) == 1:  # two folders of one encoder, whatever they are called
        ((name, mine),), (other,) = ours.items(), theirs.values()
        return [_compare(name, FeatureFolder(mine), FeatureFolder(other))]
    if not names:
        raise FeaturesMissing(f"any encoder of {a} ({', '.join(ours) or 'none'})", b / "ENCODER")
    return [_compare(name, FeatureFolder(ours[name]), FeatureFolder(theirs[name])) for name in names]


def _streams(folder: Path) -> dict[str, Path]:
    """Encoder -> its pack."""
    if (folder / MANIFEST).is_file() or not folder.is_dir() or any(map(_is_item, folder.glob("*"))):
        return {_plain(pack_place(folder).path.stem if not folder.is_dir() else folder.name): folder}
    inner = sorted(path for path in folder.glob("*") if path.is_dir() and any(map(_is_item, path.rglob("*"))))
    return {_plain(path.name): path for path in inner}


def _is_item(path: Path) -> bool:
    return path.suffix in ENDINGS


def _plain(name: str) -> str:
    return name.removesuffix("_features").removeprefix("vid_").removeprefix("txt_") or name


def _compare(name: str, a: FeatureFolder, b: FeatureFolder) -> Comparison:
    items_a, items_b = _items(a), _items(b)
    common = sorted(items_a & items_b)
    if not common:
        raise FeaturesMissing(f"any of the {len(items_a)} items of {a.folder}", b.folder)
    pairs = {item: (_read(a, item), _read(b, item)) for item in common}
    found = {item: _cosines(x, y) for item, (x, y) in pairs.items()}
    joined = np.concatenate(list(found.values()))
    norms = [(np.linalg.norm(x, axis=1).mean(), np.linalg.norm(y, axis=1).mean()) for x, y in pairs.values()]
    norm_a, norm_b = np.mean(norms, axis=0)
    lengths = [len(y) - len(x) for x, y in pairs.values()]
    reasons = [*_declared(a.manifest, b.manifest), *_seen(pairs, float(joined.mean()), lengths, (norm_a, norm_b))]
    return Comparison(
        encoder=name,
        n_common=len(common),
        only_a=len(items_a - items_b),
        only_b=len(items_b - items_a),
        n_lengths=sum(length != 0 for length in lengths),
        cosine_mean=float(joined.mean()),
        cosine_min=float(joined.min()),
        worst=min(found, key=lambda item: float(found[item].min())),
        norm_ratio=float(norm_b / max(norm_a, 1e-12)),
        reasons=tuple(reasons),
    )


def _items(folder: FeatureFolder) -> set[str]:
    return set(folder.items())


def _read(folder: FeatureFolder, item: str) -> Rows:
    rows = folder.text(item) if folder.manifest.kind == "text" else folder.video(item)
    return rows.astype(np.float64)


def _cosines(x: Rows, y: Rows) -> Rows:
    """Cosine of every row with its partner; 0 when the two are not of one width."""
    n = min(len(x), len(y))
    if x.shape[1] != y.shape[1]:
        return np.zeros(n)
    norms = np.linalg.norm(x[:n], axis=1) * np.linalg.norm(y[:n], axis=1)
    cosine: Rows = (x[:n] * y[:n]).sum(1) / np.maximum(norms, 1e-12)
    return cosine


def _declared(a: Manifest, b: Manifest) -> Iterator[str]:
    """What the manifests say."""
    names = {"dim": "width", "weights": "weights", "clip_s": "clip length", "frames": "frames", "dtype": "stored type"}
    for key, name in names.items():
        mine, theirs = getattr(a, key), getattr(b, key)
        if mine is not None and theirs is not None and mine != theirs:
            short = [value[:12] if key == "weights" else value for value in (mine, theirs)]
            yield f"{name} {short[0]} and {short[1]}"


def _seen(pairs: dict[str, tuple[Rows, Rows]], cosine: float, lengths: list[int], norms: Any) -> Iterator[str]:
    """What the numbers suggest."""
    if any(x.shape[1] != y.shape[1] for x, y in pairs.values()):
        yield "another model: the widths differ"
        return
    if abs(norms[0] - 1) < 1e-2 < abs(norms[1] - 1) or abs(norms[1] - 1) < 1e-2 < abs(norms[0] - 1):
        yield f"{'A' if abs(norms[0] - 1) < 1e-2 else 'B'} is normalised to length 1 and the other is not"
    if (set(lengths) <= {0, 1} and any(lengths)) or (set(lengths) <= {0, -1} and any(lengths)):
        yield "one row more or less: another rule for the last clip (rounded, or whatever has begun)"
    elif any(lengths):
        yield "other numbers of rows: another clip length or frame rate"
    if cosine > 0.99999:
        return
    for shift in (1, -1):
        moved = [
            _cosines(x[max(0, shift) :], y[max(0, -shift) :]) for x, y in pairs.values() if min(len(x), len(y)) > 1
        ]
        if moved and np.concatenate(moved).mean() > cosine + SHIFT_GAIN:
            yield f"rows of {'A' if shift > 0 else 'B'} come one clip late"
    width = next(iter(pairs.values()))[0].shape[1]
    if width == 2304:
        swapped = [_cosines(x, np.concatenate((y[:, 256:], y[:, :256]), axis=1)) for x, y in pairs.values()]
        if np.concatenate(swapped).mean() > cosine + SHIFT_GAIN:
            yield "the slow and the fast pathway are joined in the other order"
    if cosine > 0.9995:
        yield "rounding: half precision, bfloat16, or another machine"
    elif cosine > 0.98:
        yield "the same frames resized, cropped or decoded otherwise"
    elif cosine > 0.6:
        yield "other frames of the clip (cosine about 0.85 is known from SlowFast), or another preprocessing"
    else:
        yield "other weights"

"""A pack: what its files are, read as what they mean, with what had to be guessed said once."""

# Shapes: L clips, W query tokens, F feature width.

import hashlib
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMismatch, FeaturesMissing
from spikemba.packs.folder_store import PAIR
from spikemba.packs.masks import MASK_KEYS, PADDING_KEYS
from spikemba.packs.masks import true_tokens as _true_tokens
from spikemba.packs.opening import EXPECTED, FILES, open_store, pack_place
from spikemba.packs.rows import TOKEN_KEYS, VIDEO_KEYS, as_rows, check_finite, chosen_key, squeezed
from spikemba.packs.samples import Sample, agreed_widths
from spikemba.packs.widths import Undecided, Width, turned
from spikemba.reading.unreadable import NotRead, Unreadable

_log = logging.getLogger(__name__)

Kind = Literal["video", "text"]
T = TypeVar("T")

N_SAMPLED = 6
"""Items by which a pack is known: those whose names have the smallest digests, so that they stay as it grows."""
MOST_ASKED = 200
"""Items whose shapes are looked at where the first few do not tell how they lie."""
ROWS_APART = 2
"""Rows by which the two files of a pair may differ; the longer one is cut."""
_SUFFIXES = re.compile(r"\.(mp4|mkv|webm|avi|mov|m4v|mpg|mpeg|flv|wmv)$", re.IGNORECASE)
_SAID: set[tuple[str, str]] = set()


class Pack:
    """The features of one encoder."""

    def __init__(
        self,
        path: Path,
        *,
        dim: int | None = None,
        kind: Kind | None = None,
        clips: Mapping[str, float] | None = None,
    ) -> None:
        """path: as `spikemba.packs.opening.pack_place` reads it.

        dim: F where a manifest says it; nothing is guessed then.  kind: what is asked for, guessed by default.
        clips: rows that videos should have by their durations.
        Raises FeaturesMissing for an empty folder or none, FeaturesMismatch for what cannot be used.
        """
        self.path = path
        self.store, self.key = open_store(path)
        self.said = pack_place(path).axes
        self.loose = dim is None
        self._claims: dict[str, str] = {}
        self._spelt: dict[str, list[str]] | None = None
        self._sample: list[str] = []
        if dim is not None:
            self.kind: Kind = kind or "video"
            self.width = Width(dim, self.said == "Fn", said=bool(self.said))
            self._of_pair = [replace(self.width, dim=dim // 2)] * 2
        else:
            names = self._names()
            self._sample = names[:N_SAMPLED]
            self.kind = kind or self._guessed_kind()
            self._of_pair = list[Width]()
            self.width = self._guessed_width(names, clips or {})

    def item(self, identifier: str | int) -> str | None:
        """The item of a video or query, by its own name or, in a pack without a manifest, one that is spelt otherwise.

        Videos may begin with `v_` or end as files do, queries begin with `qid` or not; None where there is none.
        """
        wanted = str(identifier)
        names = (f"qid{wanted}", wanted) if self.kind == "text" else (wanted,)
        exact = next((name for name in names if self.store.has(name)), None)
        if exact is not None or not self.loose:
            self._claims.setdefault(exact or "", wanted)
            return exact
        if self._spelt is None:
            self._spelt = {}
            for name in self.store.names():
                self._spelt.setdefault(_plain(name, self.kind), []).append(name)
        found = [name for name in self._spelt.get(_plain(wanted, self.kind), []) if self.store.has(name)]
        if len(found) != 1 or self._claims.setdefault(found[0], wanted) != wanted:
            return None
        self._say("spelt", f"its names are not spelt as in the annotations: {found[0]!r} is read for {wanted!r}")
        return found[0]

    def rows(self, item: str) -> NDArray[Any]:
        """(L, F) rows of a video's item as stored. Raises FeaturesMismatch."""
        place, shapes = self.store.place(item), self.shapes(item)
        keys = _keys_of_pair(shapes) or (self._key(item, shapes, VIDEO_KEYS),)
        parts = [
            self._oriented(self._read(item, key), width, place)
            for key, width in zip(keys, self._widths(len(keys)), strict=True)
        ]
        lengths = [len(part) for part in parts]
        if max(lengths) - min(lengths) > ROWS_APART:
            said = " and ".join(f"{n} in {item}{key}" for n, key in zip(lengths, keys, strict=True))
            raise FeaturesMismatch(f"{place} has other rows than the file beside it: {said}; expected as many")
        found = np.concatenate([part[: min(lengths)] for part in parts], axis=1) if len(parts) > 1 else parts[0]
        check_finite(place, found)
        return found

    def tokens(self, item: str) -> NDArray[Any]:
        """(W, F) states of a query's real tokens as stored. Raises FeaturesMismatch."""
        place = self.store.place(item)
        shapes = self.shapes(item)
        found = self._read(item, self._key(item, shapes, TOKEN_KEYS))
        if found.ndim == 1:
            self._say("pooled", "has one embedding for a sentence and none for its words: each is read as one token")
            found = found[None]
        states = self._oriented(found, self.width, place)
        check_finite(place, states)
        masked = _mask_key(shapes)
        mask = None if masked is None else self._read(item, masked)
        return _true_tokens(states, mask, place, marks_padding=masked in PADDING_KEYS)

    def n_rows(self, item: str) -> int:
        """L of a video's item, by the head of its file. Raises FeaturesMismatch."""
        found = self._axes(item)
        lengths = list[int]()
        for axes, width in zip(found, self._widths(len(found)), strict=True):
            if len(axes) == 2 and all(axes):
                rows, dim = axes[::-1] if self._turned(item, axes, width) else axes
                lengths += [rows] if dim == width.dim else []
        if len(lengths) == len(found) and max(lengths) - min(lengths) <= ROWS_APART:
            return min(lengths)
        return len(self.rows(item))  # whatever is wrong with it, reading it whole says what

    def is_turned(self, item: str) -> bool:
        """Whether an item's arrays lie as (F, n). Raises FeaturesMismatch."""
        found = self._axes(item)
        return any(self._turned(item, *one) for one in zip(found, self._widths(len(found)), strict=True))

    def array(self, item: str, key: str) -> NDArray[Any] | None:
        """Another array of an item, of finite numbers as stored; None where it has none. Raises FeaturesMismatch."""
        if key not in self.shapes(item):
            return None
        found, place = self._read(item, key), self.store.place(item)
        if found.dtype.kind not in "fiu" or not found.size:
            raise FeaturesMismatch(f"{place} holds {key} of {found.shape} {found.dtype}; expected numbers")
        check_finite(place, found)
        return found

    def shapes(self, item: str) -> dict[str, tuple[int, ...]]:
        """Key -> shape of an item's arrays. Raises FeaturesMismatch."""
        return self._of_store(item, lambda: self.store.shapes(item))

    def sample_digests(self) -> dict[str, str]:
        """Item -> mark of its numbers, of a few items; of those that cannot be read there is none.

        Raises FeaturesMismatch where that is all of them.
        """
        read = self.tokens if self.kind == "text" else self.rows
        found: dict[str, str] = {}
        faults: list[FeaturesMismatch] = []
        for item in self._sample:
            try:
                found[item] = digest_of(read(item))
            except FeaturesMismatch as fault:
                faults.append(fault)
        if faults and not found:
            raise faults[0]
        return found

    # --- what is guessed

    def _names(self) -> list[str]:
        """All items, those first by which the pack is known."""
        names, path = self.store.names(), self.store.path
        if path.is_file() and not names:
            raise FeaturesMismatch(f"{path} is empty; expected {EXPECTED}")
        if not path.is_file():
            _check_whole(path)
        if not names:
            raise FeaturesMissing("any video or query", path)
        if all("/" in name for name in names) and not path.is_file():
            folders = ", ".join(sorted({name.partition("/")[0] for name in names})[:10])
            raise FeaturesMismatch(f"{path} holds no features itself, but folders: {folders}; name one of them")
        return sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())

    def _guessed_kind(self) -> Kind:
        first = self._sample[0]
        keys = set(self.shapes(first))
        if keys & set(TOKEN_KEYS) or re.match(r"qid_?\d", first):
            return "text"
        called = self.path.name.lower()
        named = any(word in called for word in ("text", "txt", "query"))
        return "text" if named and not keys & set(VIDEO_KEYS) else "video"

    def _guessed_width(self, names: list[str], clips: Mapping[str, float]) -> Width:
        """By a few items, or by more of them where those do not tell. Raises FeaturesMismatch."""
        by_name = {_plain(name, self.kind): n for name, n in clips.items()}
        for n_asked in (N_SAMPLED, MOST_ASKED):
            samples, faults = list[Sample](), list[FeaturesMismatch]()
            for item in names[:n_asked]:
                try:
                    samples += self._sample_of(item, by_name.get(_plain(item, self.kind)))
                except FeaturesMismatch as fault:
                    faults.append(fault)
            if not samples:
                if faults:
                    raise faults[0]
                return Width(0)  # reading any of them says what is wrong
            try:
                width, self._of_pair = agreed_widths(samples, self.kind, self.said)
            except Undecided as open_question:
                undecided = open_question
                continue
            if width.transposed and not self.said:
                self._say("transposed", f"its arrays are (F, n), as {samples[0].axes}: they are read as rows")
            return width
        base = str(self.path)
        raise FeaturesMismatch(
            f"arrays of {base} {undecided.seen}; say which: {base}:axes=nF for rows first, {base}:axes=Fn for rows last"
        )

    def _sample_of(self, item: str, clips: float | None) -> list[Sample]:
        """What an item's arrays tell of how they lie; nothing for those of other axes."""
        shapes, found = self.shapes(item), list[Sample]()
        for part, axes in enumerate(self._axes(item)):
            axes = (1, *axes) if len(axes) == 1 and self.kind == "text" else axes
            if len(axes) != 2 or not all(axes):
                continue
            pair = len(_keys_of_pair(shapes)) > 0
            key = "" if pair else self._key(item, shapes, self._usual())
            sample = Sample((axes[0], axes[1]), part if pair else None, clips, by_name=key in TOKEN_KEYS)
            if self.kind == "text" and not self.said:
                masked = _mask_key(shapes)
                n = None if masked is None else math.prod(shapes[masked])
                sample = sample.with_mask(n) if n is not None else sample.with_numbers(self._read(item, key))
            found.append(sample)
        return found

    # --- reading

    def _key(self, item: str, shapes: Mapping[str, tuple[int, ...]], usual: tuple[str, ...]) -> str:
        return chosen_key(shapes, usual, self.key, lambda: self.store.place(item), str(self.store.path), self._if_items)

    def _if_items(self) -> str:
        """What to do where the arrays of a folder's only file are items themselves."""
        names = self.store.names() if self.store.path.is_dir() else []
        if len(names) != 1 or self.store.path.is_file():
            return ""
        (file, *_) = self.store.files(names[0])
        if file.suffix == ".npz":
            return f"; or, if these are videos or queries, name the file: {file}"
        return "; or, if these are videos or queries, save them as one .npz whose keys they are, and name that file"

    def _usual(self) -> tuple[str, ...]:
        return TOKEN_KEYS if self.kind == "text" else VIDEO_KEYS

    def _axes(self, item: str) -> list[tuple[int, ...]]:
        """The shapes of an item's array, or of the two that are joined, without axes of length 1 that are too many."""
        shapes = self.shapes(item)
        keys = _keys_of_pair(shapes) or (self._key(item, shapes, self._usual()),)
        return [squeezed(shapes[key]) for key in keys]

    def _widths(self, n_parts: int) -> list[Width]:
        """How each of an item's arrays lies."""
        if n_parts == 1:
            return [self.width]
        return self._of_pair or [replace(self.width, dim=self.width.dim // n_parts)] * n_parts

    def _turned(self, item: str, axes: tuple[int, ...], width: Width) -> bool:
        try:
            return turned(axes, width, self.kind)
        except Undecided as undecided:
            raise FeaturesMismatch(f"{self.store.place(item)} {undecided.seen}; fetch it again, or turn it") from None

    def _oriented(self, found: NDArray[Any], width: Width, place: str) -> NDArray[Any]:
        try:
            rows, exchanged = as_rows(found, width, kind=self.kind, what=f"{place} holds an array")
        except Undecided as undecided:
            raise FeaturesMismatch(f"{place} {undecided.seen}; fetch it again, or turn it") from None
        if exchanged and not width.transposed:
            self._say("turned", f"some arrays are (F, n), as {found.shape} of {place}: they are read as rows")
        return rows

    def _read(self, item: str, key: str) -> NDArray[Any]:
        return self._of_store(item, lambda: self.store.read(item, key))

    def _of_store(self, item: str, ask: Callable[[], T]) -> T:
        """What the store answers. Raises FeaturesMismatch for what it raises."""
        try:
            return ask()
        except KeyError:
            raise FeaturesMismatch(f"{self.store.place(item)} has no {item!r}") from None
        except OSError as error:
            raise FeaturesMismatch(f"{self.store.place(item)} cannot be read ({error.strerror or error})") from None
        except NotRead as fault:
            cure = "save its numbers as float16 or float32, (n, F), in an .npz"
            raise FeaturesMismatch(
                f"{self.store.place(item)} is of a form that is not read ({fault}); {cure}"
            ) from None
        except Unreadable as fault:
            cure = "delete it and run `spikemba extract` again, or fetch the pack again"
            raise FeaturesMismatch(f"{self.store.place(item)} is damaged; {cure} ({fault})") from None

    def _say(self, what: str, sentence: str) -> None:
        """Warn of something that was guessed, once for all that read this pack."""
        if (str(self.path), what) not in _SAID:
            _SAID.add((str(self.path), what))
            _log.warning("%s: %s", self.path, sentence)


def _keys_of_pair(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """The keys of two files that are joined; empty for anything else."""
    return PAIR if shapes.keys() == set(PAIR) else ()


def _mask_key(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    return next((key for key in (*MASK_KEYS, *PADDING_KEYS) if key in shapes), None)


def _check_whole(folder: Path) -> None:
    """Raise FeaturesMismatch for a folder of nothing but one file that is a whole pack itself."""
    files = [path for path in folder.glob("*") if path.suffix.lower() in FILES]
    if len(files) == 1 and (files[0].suffix.lower() != ".npz" or len(open_store(files[0])[0].names()) > MOST_ARRAYS):
        raise FeaturesMismatch(f"{folder} holds {files[0].name}, whose keys are its items; name the file: {files[0]}")


MOST_ARRAYS = 8
"""Of one video or query; a single npz of more is one of many videos."""


def digest_of(rows: NDArray[Any]) -> str:
    """A mark of (n, F) numbers that is the same for them in half precision."""
    with np.errstate(over="ignore"):
        halves = np.ascontiguousarray(rows.astype(np.float32).astype(np.float16))
    return hashlib.sha256(repr(halves.shape).encode() + halves.tobytes()).hexdigest()[:16]


def _plain(name: str, kind: Kind) -> str:
    """A name without what packs put around it."""
    if kind == "text":
        return re.sub(r"^qid_?", "", name)
    return _SUFFIXES.sub("", name.removeprefix("v_"))

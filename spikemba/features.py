"""Feature files: where they lie, what made them, how they are normalised and joined.

    <root>/<encoder>/<video_id>.npz["features"]                  (n_clips, F); a slash in the id is a folder
    <root>/<encoder>_text/qid<query_id>.npz["last_hidden_state"] (n_tokens, F), ["pooler_output"] (F,)
    <root>/<encoder>/manifest.json                               what made them

This is the field's public layout, so published packs load and what is written here trains other toolkits. What else
packs are, `spikemba.packs` reads. Everything that reads features goes through `FeatureSpec.join` and `tokens`, so that
training and querying cannot drift apart.
"""

# Shapes: L clips, W query tokens, F feature width.

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from spikemba.config import Config
from spikemba.errors import ConfigError, FeaturesMismatch, FeaturesMissing, QueryError
from spikemba.files import write_json, writing
from spikemba.libraries import one_line
from spikemba.packs.opening import pack_place
from spikemba.packs.pack import Pack
from spikemba.packs.rows import POOLED_KEY, SENTENCE_KEY, TOKEN_KEYS
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable
from spikemba.video.names import file_about

Array = NDArray[np.float32]
Dtype = Literal["float16", "float32"]

MANIFEST = "manifest.json"
NOTHING_KEY = "nothing"
"""Beside features of sound or subtitles: 1 where the video has none, so that its rows are zeros, else 0."""


ClipLength = Annotated[float, Field(ge=0.01, le=3600)]
"""Seconds of video per row: at least one frame of the fastest cameras, at most an hour."""


DRAWN = "no pictures"
"""How `Manifest.frames` begins for features that were drawn without any video."""


SOUND, SUBTITLES = "sound", "subtitles"
"""How it begins for features of what is heard, and of what is said."""


class Manifest(Config):
    """What made one folder of features; a checkpoint keeps a copy and refuses features that differ."""

    encoder: str
    """Name of the encoder, as `extract --encoder` takes it; for published packs the folder's name."""
    kind: Literal["video", "text"] = "video"
    dim: PositiveInt
    """F, numbers per clip or token."""
    weights: str | None = None
    """SHA-256 of the encoder's weights; None when it is not known, as for published packs."""
    clip_s: ClipLength | None = None
    """Seconds of video per row; None for text."""
    frames: str | None = None
    """Which frames were taken and how they were resized, in words."""
    dtype: Dtype = "float32"
    """Type of the stored numbers."""
    content: dict[str, str] | None = None
    """Of a pack without a manifest: a few of its items, each with a mark of its numbers, by which it is known."""


class FeatureSpec(Config):
    """The features a model reads: the video streams in the order they are joined, and the text."""

    video: tuple[Manifest, ...]
    text: Manifest
    clip_s: ClipLength
    """Seconds of video per clip."""
    normalise_video: bool = True
    """Scale each stream's rows to length 1 before joining."""
    normalise_text: bool = True
    """Scale each token to length 1."""
    max_tokens: PositiveInt | None = None
    """Longer queries are cut to this many tokens."""
    sentence_token: bool = False
    """The sentence's own embedding follows its tokens as one more."""
    max_clips: PositiveInt | None = None
    """Longer videos were cut to this many clips in training."""
    lengths: Literal["cut", "stretch"] = "cut"
    """Streams of unequal length: cut to the shortest, or stretched by repeating and leaving out rows."""

    def join(
        self, streams: Sequence[NDArray[Any]], n_labels: int | None = None, duration_s: float | None = None
    ) -> Array:
        """Streams of (L_i, F_i) as stored -> (L, F) as the model reads them: brought to one length, joined in order.

        n_labels: L of a video whose clips are labelled.  duration_s: of the video, where it is known.
        Raises FeaturesMismatch when too few rows are left for the labels.
        """
        rows = self.rows([len(stream) for stream in streams], n_labels, duration_s)
        parts = [stream[chosen].astype(np.float32) for stream, chosen in zip(streams, rows, strict=True)]
        return np.concatenate([_normalise_rows(part) if self.normalise_video else part for part in parts], axis=1)

    def rows(
        self, lengths: Sequence[int], n_labels: int | None = None, duration_s: float | None = None
    ) -> list[NDArray[np.intp]]:
        """Which rows of streams of these lengths `join` puts beside each other, (L,) each. Raises FeaturesMismatch."""
        if self.lengths == "stretch":
            longest = max(lengths)
            clips = longest if duration_s is None else duration_s / self.clip_s
            fits = abs(longest - clips) <= 1 or row_length_s(longest, duration_s or 0.0, self.clip_s) != self.clip_s
            return [_stretched(n, n_labels or (longest if fits else max(1, int(clips + 0.5)))) for n in lengths]
        shortest = min(lengths)
        return [_cut(shortest, shortest if n_labels is None else n_labels)] * len(lengths)

    def tokens(self, states: NDArray[Any], pooled: NDArray[Any] | None = None) -> Array:
        """(W, F) token states and the (F,) sentence embedding, as stored -> tokens as the model reads them.

        Raises FeaturesMismatch when `sentence_token` is set and the sentence has no embedding as wide as its tokens.
        """
        rows = states[: self.max_tokens].astype(np.float32)
        if self.sentence_token:
            if pooled is None or len(pooled) != rows.shape[1]:
                found = "no embedding of the sentence" if pooled is None else f"one of {len(pooled)} numbers"
                raise FeaturesMismatch(
                    f"{self.text.encoder} has {found} beside tokens of {rows.shape[1]}; set data.sentence_token=false"
                )
            rows = np.concatenate((rows, pooled[None].astype(np.float32)))
        return _normalise_rows(rows) if self.normalise_text else rows

    @property
    def n_video_features(self) -> int:
        """Width of a joined clip."""
        return sum(stream.dim for stream in self.video)

    @property
    def encoder(self) -> str:
        """Names of the video encoders, joined by +."""
        return "+".join(stream.encoder for stream in self.video)

    def check(self, other: "FeatureSpec", what: str) -> None:
        """Raise FeaturesMismatch when `other`, the features of `what`, are not the ones described here."""
        wanted, found = [[_describe(stream) for stream in spec.video] for spec in (self, other)]
        pairs = [*zip(self.video, other.video, strict=False), (self.text, other.text)]
        if len(wanted) != len(found) or any(not _same(mine, theirs) for mine, theirs in pairs):
            raise FeaturesMismatch(
                f"{what} has features {' + '.join(found)} and text {_describe(other.text)}; the checkpoint was trained"
                f" on {' + '.join(wanted)} and text {_describe(self.text)}, in that order"
            )
        for mine, theirs in pairs:
            if differing := _other_numbers(mine, theirs):
                raise FeaturesMismatch(
                    f"{what} has other numbers for {differing!r} in {theirs.encoder} than {mine.encoder}, on which the "
                    "checkpoint was trained; name that pack, or train on this one"
                )
        if other.clip_s != self.clip_s:
            raise FeaturesMismatch(f"{what} has clips of {other.clip_s:g} s; the checkpoint expects {self.clip_s:g} s")
        for name in RULES:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise FeaturesMismatch(f"{what} has {name} {theirs!r}; the checkpoint was trained with {mine!r}")
        for mine, theirs in pairs:
            if None not in (mine.frames, theirs.frames) and mine.frames != theirs.frames:
                raise FeaturesMismatch(
                    f"{what} has {theirs.encoder} of other frames ({theirs.frames}); the checkpoint was trained on "
                    f"{mine.frames}"
                )


RULES = ("normalise_video", "normalise_text", "max_tokens", "sentence_token", "max_clips", "lengths")
"""Fields of a FeatureSpec that say how stored features are read, as the data section of a configuration does, too."""


SHORT_VIDEO_S = 0.1
"""A video that lasts at most this much longer than one clip is read more often by the published pipelines."""


def row_length_s(n_rows: int, duration_s: float, clip_s: float) -> float:
    """Seconds of video that a row stands for, in a video of n_rows rows.

    That is clip_s, except where a video hardly longer than one clip has several rows, as published CLIP features have
    (`spikemba.video.clips.published_fps`): they share its duration.
    """
    short = n_rows > 1 and duration_s < clip_s + SHORT_VIDEO_S
    return duration_s / n_rows if short else clip_s


MAX_MISSING_ROWS = 2
"""Labelled clips at a video's end that may lack a row: encoders drop a started clip that annotators counted."""


def _cut(n_rows: int, length: int) -> NDArray[np.intp]:
    """The first `length` rows; the last one again where a few are missing."""
    if length - n_rows > MAX_MISSING_ROWS:
        raise FeaturesMismatch(
            f"a video has {n_rows} rows of features for {length} labelled clips; extract them with the clip length of "
            "the labels, or use --set data.lengths=stretch"
        )
    return np.minimum(np.arange(length), n_rows - 1)


def _stretched(n_rows: int, length: int) -> NDArray[np.intp]:
    """For each of `length` clips, the row at the same fraction of the video."""
    return np.minimum(((np.arange(length) + 0.5) * n_rows / length).astype(np.intp), n_rows - 1)


def _describe(stream: Manifest) -> str:
    weights = f", weights {stream.weights[:12]}" if stream.weights else ""
    return f"{stream.encoder} ({stream.dim}{weights})"


def _same(mine: Manifest, theirs: Manifest) -> bool:
    """Same width, and the same weights where both are known; names of folders may differ between machines."""
    known = mine.weights is not None and theirs.weights is not None
    return mine.dim == theirs.dim and (mine.weights == theirs.weights if known else True)


def _other_numbers(mine: Manifest, theirs: Manifest) -> str | None:
    """An item by which two packs without manifests differ; None where they agree or have none of these in common."""
    marks = theirs.content or {}
    return next((item for item, mark in (mine.content or {}).items() if marks.get(item, mark) != mark), None)


def _normalise_rows(x: Array) -> Array:
    """x / (|x| + 1e-5) per row, as the Moment-DETR family does."""
    scaled: Array = x / (np.linalg.norm(x, axis=-1, keepdims=True) + np.float32(1e-5))
    return scaled


class FeatureFolder:
    """One pack of features, of one encoder: a folder, or a file of another form."""

    def __init__(
        self,
        folder: Path,
        kind: Literal["video", "text"] | None = None,
        clips: Mapping[str, float] | None = None,
    ) -> None:
        """kind: what it is read for; found out by default.  clips: rows that videos should have by their durations.

        Raises FeaturesMissing when there is no such folder or nothing in it.
        """
        self.folder = folder
        known = read_manifest(pack_place(folder).path)
        kind = known.kind if known else kind
        self.pack = Pack(folder, dim=known.dim if known else None, kind=kind, clips=clips)
        self.manifest = known or self._guess()

    def video(self, video_id: str) -> NDArray[Any]:
        """(L, F) clip features as stored. Raises FeaturesMissing, FeaturesMismatch."""
        return self.pack.rows(self._item(video_id, "video"))

    def n_rows(self, video_id: str) -> int:
        """L of a video, without reading its features. Raises FeaturesMissing, FeaturesMismatch."""
        return self.pack.n_rows(self._item(video_id, "video"))

    def text(self, query_id: str | int) -> NDArray[Any]:
        """(W, F) token states as stored. Raises FeaturesMissing, FeaturesMismatch."""
        return self.pack.tokens(self._item(query_id, "query"))

    def sentence(self, query_id: str | int) -> NDArray[Any] | None:
        """(F,) embedding of the sentence as stored, None where the file has none. Raises FeaturesMismatch."""
        found = self._beside(query_id, POOLED_KEY)
        return None if found is None else found.reshape(-1)

    def asked(self, query_id: str | int) -> str | None:
        """The sentence that the query's features were made of; None where the file does not say, as in published packs.

        Raises FeaturesMismatch.
        """
        found = self._beside(query_id, SENTENCE_KEY)
        return None if found is None else found.tobytes().decode("utf-8", "surrogatepass")

    def has_video(self, video_id: str) -> bool:
        """Whether the video's features are there."""
        return self.pack.item(video_id) is not None

    def has_text(self, query_id: str | int) -> bool:
        """Whether the query's features are there."""
        return self.pack.item(checked_query_id(query_id)) is not None

    def has_nothing(self, video_id: str) -> bool:
        """Whether the video's file says that it has no sound, or no subtitles, so that its rows are zeros.

        Raises FeaturesMissing, FeaturesMismatch.
        """
        found = self.pack.array(self._item(video_id, "video"), NOTHING_KEY)
        return found is not None and bool(found.any())

    def files(self, *, videos: Iterable[str] = (), queries: Iterable[str | int] = ()) -> list[Path]:
        """The files of these, in their order and each once, without those that are not there."""
        items = (self.pack.item(identifier) for identifier in (*videos, *queries))
        return list(dict.fromkeys(path for item in items if item for path in self.pack.store.files(item)))

    def items(self) -> list[str]:
        """Identifiers of all that is there, queries without `qid`."""
        names = self.pack.store.names()
        return [name.removeprefix("qid") for name in names] if self.manifest.kind == "text" else names

    def _item(self, identifier: str | int, what: str) -> str:
        item = self.pack.item(checked_query_id(identifier) if what == "query" else identifier)
        if item is None:
            raise FeaturesMissing(f"{what} {identifier!r}", self.folder)
        return item

    def _beside(self, query_id: str | int, key: str) -> NDArray[Any] | None:
        item = self.pack.item(checked_query_id(query_id))
        return None if item is None else self.pack.array(item, key)

    def _guess(self) -> Manifest:
        """A published pack has no manifest: its name, the width of a few arrays, and their numbers say what it is."""
        pack, sample = self.pack, self.pack.sample_digests()
        return Manifest(encoder=_name_of(self.folder), kind=pack.kind, dim=pack.width.dim, content=sample)


def _name_of(path: Path) -> str:
    place = pack_place(path)
    name = place.path.resolve().stem if place.path.is_file() else place.path.resolve().name
    return f"{name}:{place.key}" if place.key else name


LONGEST_ID = 200
"""Bytes of a query's identifier, so that file systems take its file's name."""


def checked_query_id(query_id: str | int) -> str:
    """The identifier as text. Raises QueryError for one that cannot name a file, such as a path."""
    text = str(query_id)
    if not text or set(text) & set("/\\\0") or len(text.encode("utf-8", "surrogatepass")) > LONGEST_ID:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise QueryError(
            f"qid {shown!r} cannot name a file of features; expected 1 to {LONGEST_ID} bytes without / and \\: "
            "give it another qid in the annotations"
        )
    return text


def query_file(folder: Path, query_id: str | int) -> Path:
    """The file of a query in a folder. Raises QueryError as `checked_query_id` does."""
    return folder / f"qid{checked_query_id(query_id)}.npz"


def write_video_features(
    folder: Path, video_id: str, features: Array, dtype: str = "float32", nothing: bool | None = None
) -> None:
    """Store (L, F) clip features, whole or not at all. Raises OutputError.

    nothing: of sound and subtitles, whether the video has none.
    """
    arrays = {"features": features.astype(dtype)}
    if nothing is not None:
        arrays[NOTHING_KEY] = np.array([nothing], np.uint8)
    with writing(file_about(folder, video_id, ".npz")) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def write_query_features(
    folder: Path, query_id: str | int, tokens: Array, pooled: Array, dtype: str = "float32", query: str | None = None
) -> None:
    """Store (W, F) token states and the (F,) sentence embedding, whole or not at all. Raises OutputError.

    query: the sentence, so that features can be told from those of another one that has the same identifier later.
    """
    arrays = {TOKEN_KEYS[0]: tokens.astype(dtype), POOLED_KEY: pooled.astype(dtype)}
    if query is not None:
        arrays[SENTENCE_KEY] = np.frombuffer(query.encode("utf-8", "surrogatepass"), np.uint8)
    with writing(query_file(folder, query_id)) as temporary:
        np.savez(temporary, **arrays)  # type: ignore[arg-type]


def read_manifest(folder: Path) -> Manifest | None:
    """The folder's manifest, or None when it has none. Raises ConfigError when it is damaged."""
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        tree = read_json(path)
    except (OSError, Unreadable) as error:
        raise ConfigError(str(path), [one_line(error)]) from None
    return Manifest.parse(tree, str(path))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the folder's manifest. Raises FeaturesMismatch when the folder holds features of another making."""
    old = read_manifest(folder)
    if old == manifest:
        return
    if old is not None:
        changed = [name for name in Manifest.model_fields if getattr(old, name) != getattr(manifest, name)]
        seen = ", ".join(f"{name} {getattr(old, name)} (now {getattr(manifest, name)})" for name in changed)
        raise FeaturesMismatch(f"{folder} holds features made otherwise: {seen}; choose another folder with --out")
    write_json(folder / MANIFEST, manifest.model_dump(mode="json", exclude={"content"}))

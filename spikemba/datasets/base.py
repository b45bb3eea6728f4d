"""A benchmark as training sees it: annotations joined with feature files, one video-query pair at a time."""

# Shapes: L clips, W query tokens, F feature width, K true windows.

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, NonNegativeFloat, PositiveInt
from torch.utils.data import Dataset

from spikemba.config import Config
from spikemba.datasets.annotations import Annotation, QueryId, read_annotations
from spikemba.datasets.registry import OWN, benchmark_names
from spikemba.datasets.word_vectors import WordVectors
from spikemba.errors import ConfigError, FeaturesMismatch, FeaturesMissing
from spikemba.features import Array, ClipLength, FeatureFolder, FeatureSpec, Manifest

Split = Literal["train", "val", "test"]


def _known(name: str) -> str:
    if name not in benchmark_names():
        raise ValueError(f"is no benchmark; there are: {', '.join(benchmark_names())}")
    return name


class DataConfig(Config):
    """Annotations and features: any QVHighlights-style jsonl with any feature folders."""

    benchmark: Annotated[str, AfterValidator(_known)] = OWN
    """Whose metrics are used; a set of your own in the QVHighlights form is scored as QVHighlights is."""
    domains: tuple[str, ...] = ()
    """Highlight sets: the domains, each of which gets a model of its own; empty trains one model on everything."""
    domain: str | None = None
    """Only the videos of this domain; None takes all."""
    train: Path | None = None
    """Annotations to train on, jsonl."""
    val: Path | None = None
    """Annotations that choose the best epoch, jsonl."""
    test: Path | None = None
    """Annotations of the test split, jsonl."""
    video_features: tuple[Path, ...] = ()
    """Folders of clip features, in the order in which they are joined."""
    text_features: Path | None = None
    """Folder of query features, or a text file of word vectors such as glove.6B.300d.txt."""
    clip_s: ClipLength = 2.0
    """Seconds of video per clip."""
    max_clips: PositiveInt | None = None
    """Longer videos are cut to this many clips in training; None keeps all. Evaluation reads long videos in chunks."""
    max_tokens: PositiveInt | None = 32
    """Longer queries are cut to this many tokens."""
    sentence_token: bool = False
    """Append the sentence's own embedding to its tokens; both must be equally wide, as those of mini and CLIP are."""
    normalise_video: bool = True
    """Scale each feature stream to unit length per clip."""
    normalise_text: bool = True
    """Scale each token to unit length."""
    lengths: Literal["cut", "stretch"] = "cut"
    """Streams of unequal length are cut to the shortest and to the labelled clips, or stretched to them."""
    memory_gb: NonNegativeFloat = 4.0
    """Features kept in memory after they were first read, at most; 0 reads them from disk every time."""


@dataclass(frozen=True)
class ClipTargets:
    """What a true answer says about each clip; times are fractions of n_clips * clip_s."""

    foreground: NDArray[np.bool_]
    """(L,): the clip's centre lies in a true window."""
    boundaries: Array
    """(L, 2): begin and end of the true window around the clip, or of the nearest."""
    relevance: Array
    """(L,): 0 for clips that do not matter."""
    has_windows: bool


@dataclass(frozen=True)
class Pair:
    """One video-query pair with its features."""

    query_id: QueryId
    video: Array
    """(L, F)."""
    tokens: Array
    """(W, F)."""
    targets: ClipTargets | None
    video_group: int
    """Equal for pairs whose videos come from one source."""
    query_group: int
    """Equal for pairs with the same sentence."""
    n_ranks: int
    """Relevance levels of the data set."""


class ClipStream(Protocol):
    """Where rows of clips come from: a folder of features, or what stands in its place."""

    folder: Path
    manifest: Manifest

    def video(self, video_id: str) -> NDArray[Any]:
        """(L, F) rows of a video's clips."""
        ...

    def has_video(self, video_id: str) -> bool:
        """Whether the video is there."""
        ...


class GroundingDataset(Dataset[Pair]):
    """The pairs of one split, in the order of its annotation file."""

    def __init__(self, config: DataConfig, split: Split, streams: Sequence[ClipStream] | None = None) -> None:
        """streams: in place of the folders that the configuration names.

        Raises AnnotationError, FeaturesMissing or ConfigError, each naming what is missing and how to make it.
        """
        self.config, self.split = config, split
        self.annotations = _of_domain(read_annotations(_required(getattr(config, split), split)), config)
        folders = (FeatureFolder(folder) for folder in config.video_features)
        self._streams: list[ClipStream] = [*folders] if streams is None else [*streams]
        self._text = text_source(_required(config.text_features, "text_features"))
        _check_present(self.annotations, self._streams, self._text)
        _check_clip_length(self._streams, config)
        self.spec = FeatureSpec(
            video=tuple(stream.manifest for stream in self._streams),
            text=self._text.manifest,
            clip_s=config.clip_s,
            normalise_video=config.normalise_video,
            normalise_text=config.normalise_text,
            max_tokens=config.max_tokens,
            sentence_token=config.sentence_token,
            max_clips=config.max_clips,
            lengths=config.lengths,
        )
        self.n_ranks = N_GRADES if any(map(_is_graded, self.annotations)) else 1
        self.video_groups = _groups([source_video(a.video_id) for a in self.annotations])
        self.query_groups = _groups([a.query.lower().strip(" .") for a in self.annotations])
        self._memory: dict[str, Array] = {}
        self._memory_bytes = 0.0

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, index: int) -> Pair:
        annotation = self.annotations[index]
        video = self._remember(f"video {annotation.video_id}", lambda: self._video(annotation))
        known = annotation.windows is not None or annotation.ratings or annotation.labels
        return Pair(
            query_id=annotation.query_id,
            video=video,
            tokens=self.tokens(index),
            targets=clip_targets(annotation, len(video), self.config.clip_s) if known else None,
            video_group=self.video_groups[index],
            query_group=self.query_groups[index],
            n_ranks=self.n_ranks,
        )

    def tokens(self, index: int) -> Array:
        """(W, F): those of a pair, without its video."""
        annotation = self.annotations[index]
        return self._remember(f"query {annotation.query_id}", lambda: self._tokens(annotation))

    def _video(self, annotation: Annotation) -> Array:
        stored = [stream.video(annotation.video_id) for stream in self._streams]
        try:
            joined = self.spec.join(stored, len(annotation.labels) or None)
        except FeaturesMismatch as error:
            raise FeaturesMismatch(f"{annotation.video_id}: {error}") from None
        return joined[: self.config.max_clips] if self.split == "train" else joined

    def _tokens(self, annotation: Annotation) -> Array:
        if isinstance(self._text, WordVectors):
            return self.spec.tokens(self._text.of(annotation.query))
        stored = self._text.text(annotation.query_id)
        pooled = self._text.sentence(annotation.query_id) if self.config.sentence_token else None
        return self.spec.tokens(stored, pooled)

    def _remember(self, key: str, load: Callable[[], Array]) -> Array:
        """The array from memory, or loaded and remembered while the budget lasts."""
        if key in self._memory:
            return self._memory[key]
        array = load()
        if self._memory_bytes + array.nbytes <= self.config.memory_gb * 1e9:
            self._memory[key] = array
            self._memory_bytes += array.nbytes
        return array


def clip_targets(annotation: Annotation, n_clips: int, clip_s: float) -> ClipTargets:
    """What the annotation says about each of the first n_clips clips of its video.

    A window that holds no clip's centre claims the clip at its own centre, so that short moments are learned too.
    Windows beyond the last clip are left out.
    """
    if annotation.labels:
        return _label_targets(annotation.label_array[:n_clips])
    total_s = n_clips * clip_s
    centres = (np.arange(n_clips) + 0.5) * clip_s
    windows = annotation.window_array
    windows = windows[windows[:, 0] < total_s].clip(0, total_s)
    foreground = np.zeros(n_clips, dtype=np.bool_)
    boundaries = np.zeros((n_clips, 2), dtype=np.float32)
    if len(windows):
        before, after = windows[None, :, 0] - centres[:, None], centres[:, None] - windows[None, :, 1]
        distance = np.maximum(np.maximum(before, after), 0)  # (L, K), 0 inside
        foreground = (distance == 0).any(1)
        boundaries = (windows[distance.argmin(1)] / total_s).astype(np.float32)
        for k in np.flatnonzero(~(distance == 0).any(0)):
            clip = min(int(windows[k].mean() / clip_s), n_clips - 1)
            foreground[clip], boundaries[clip] = True, windows[k] / total_s
    relevance = foreground.astype(np.float32)
    if annotation.ratings:
        relevance = np.zeros(n_clips, dtype=np.float32)
        for clip, ratings in zip(annotation.relevant_clips, annotation.ratings, strict=True):
            if clip < n_clips:
                relevance[clip] = (
                    N_GRADES / 4 * np.mean(ratings)
                )  # the sum of QVHighlights' three ratings, for any number
    return ClipTargets(foreground, boundaries, relevance, has_windows=bool(len(windows)))


N_GRADES = 12
"""Ranks of graded relevance: the sum of three ratings 0-4, to which other scales are brought."""


def _label_targets(labels: NDArray[np.float64]) -> ClipTargets:
    """Targets of a highlight set, which marks clips and has no windows. labels: (L, A).

    Twenty importances 1-5 become their mean on the scale of summed ratings, and clips above its lower median are
    foreground, as the metric takes them; a 0 or 1 is itself.
    """
    mean = labels.mean(1)
    if labels.shape[1] > 1:
        foreground = mean > np.sort(mean)[(len(mean) - 1) // 2]
        relevance = N_GRADES * (mean - 1) / 4
    else:
        foreground, relevance = mean > 0, (mean > 0).astype(np.float64)
    boundaries = np.zeros((len(mean), 2), np.float32)
    return ClipTargets(foreground, boundaries, relevance.astype(np.float32), has_windows=False)


def _is_graded(annotation: Annotation) -> bool:
    return bool(annotation.ratings) or (bool(annotation.labels) and len(annotation.labels[0]) > 1)


def _of_domain(annotations: list[Annotation], config: DataConfig) -> list[Annotation]:
    """The annotations of the configured domain. Raises ConfigError when there are none."""
    if config.domain is None:
        return annotations
    chosen = [annotation for annotation in annotations if annotation.domain == config.domain]
    if not chosen:
        known = ", ".join(sorted({a.domain for a in annotations if a.domain})) or "none"
        raise ConfigError("data", [f"domain: {config.domain!r} has no annotations; there are {known}"])
    return chosen


def text_source(path: Path) -> FeatureFolder | WordVectors:
    """A folder of query features, or a file of word vectors. Raises FeaturesMissing, FeaturesMismatch."""
    return WordVectors(path) if path.is_file() else FeatureFolder(path)


def source_video(video_id: str) -> str:
    """The video that a clip was cut from: QVHighlights names clips `<source>_<start>_<end>`."""
    return re.sub(r"_\d+\.\d+_\d+\.\d+$", "", video_id)


def _groups(keys: Sequence[str]) -> list[int]:
    """A number per key, equal for equal keys."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _required(path: Path | None, name: str) -> Path:
    if path is None:
        raise ConfigError("data", [f"{name}: is required and was not given"])
    return path


def _check_present(
    annotations: Sequence[Annotation], streams: Sequence[ClipStream], text: FeatureFolder | WordVectors
) -> None:
    """Raise FeaturesMissing for the first missing file, saying how many are missing."""
    if not streams:
        raise ConfigError("data", ["video_features: is empty; name at least one folder of clip features"])
    for stream in streams:
        if missing := missing_videos(annotations, stream):
            raise FeaturesMissing(_some("video", missing), stream.folder)
    if isinstance(text, FeatureFolder) and (missing := missing_queries(annotations, text)):
        raise FeaturesMissing(_some("query", missing), text.folder)


def _check_clip_length(streams: Sequence[ClipStream], config: DataConfig) -> None:
    """Raise FeaturesMismatch when rows are known to be of another length; stretched rows need not be of any."""
    for stream in streams:
        found = stream.manifest.clip_s
        if config.lengths == "cut" and found is not None and abs(found - config.clip_s) > 1e-6:
            raise FeaturesMismatch(
                f"{stream.folder} has rows of {found:g} s and data.clip_s is {config.clip_s:g}; set it to {found:g}, "
                f"or run `spikemba extract VIDEOS --clip-length {config.clip_s:g} --out OTHER`"
            )


def missing_videos(annotations: Sequence[Annotation], stream: ClipStream) -> list[str]:
    """Videos of the annotations that have no features there."""
    return [name for name in sorted({a.video_id for a in annotations}) if not stream.has_video(name)]


def missing_queries(annotations: Sequence[Annotation], text: FeatureFolder) -> list[str]:
    """Queries of the annotations that have no features there."""
    return [str(a.query_id) for a in annotations if not text.has_text(a.query_id)]


def _some(kind: str, names: Sequence[str]) -> str:
    return f"{kind} {names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")

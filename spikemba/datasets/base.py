"""A benchmark as training sees it: annotations joined with feature files, one video-query pair at a time."""

# Shapes: L clips, W query tokens, F feature width, K true windows.

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar, get_args

from pydantic import AfterValidator, NonNegativeFloat, PositiveInt
from torch.utils.data import Dataset

from spikemba.config import Config
from spikemba.datasets.annotations import Annotation, QueryId, read_annotations
from spikemba.datasets.clip_streams import ClipStream, sound_packs
from spikemba.datasets.raw_rows import read_checked
from spikemba.datasets.registry import OWN, benchmark_names, find_benchmark
from spikemba.datasets.row_fit import check_rows, videos_with_rows
from spikemba.datasets.targets import N_GRADES, ClipTargets, clip_targets, is_graded
from spikemba.datasets.word_vectors import WordVectors
from spikemba.errors import (
    AnnotationError,
    ConfigError,
    FeaturesMismatch,
    FeaturesMissing,
    command_line,
    extract_command,
    names_like,
)
from spikemba.features import RULES, Array, ClipLength, FeatureFolder, FeatureSpec, row_length_s
from spikemba.files import is_file
from spikemba.packs.opening import is_pack_file
from spikemba.progress import Report, silent

_log = logging.getLogger(__name__)

Split = Literal["train", "val", "test"]


def _known(name: str) -> str:
    if name not in benchmark_names():
        raise ValueError(f"is no benchmark; {names_like(name, benchmark_names())}")
    return name


class DataConfig(Config):
    """Annotations and features: any QVHighlights-style jsonl with any feature folders."""

    benchmark: Annotated[str, AfterValidator(_known)] = OWN
    """Whose metrics are used; a set of your own in the QVHighlights form is scored as QVHighlights is."""
    name: str | None = None
    """What the data are called in tables and on model cards, such as Charades-STA; None: own data, as the run is."""
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
    train_nulls: Path | None = None
    """More training queries, about things that their videos do not show: jsonl with `relevant_windows: []`."""
    val_nulls: Path | None = None
    """The same for validation."""
    test_nulls: Path | None = None
    """The same for the test split."""
    video_features: tuple[Path, ...] = ()
    """Packs of clip features, in the order in which they are joined: folders, or files whose keys are video ids."""
    sound_features: tuple[Path, ...] = ()
    """More packs, of the videos' sound, joined behind those: a video that one lacks is silent, and has zeros in it."""
    text_features: Path | None = None
    """Pack of query features, or a text file of word vectors such as glove.6B.300d.txt."""
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
    accept_misfit: bool = False
    """Warn where rows do not fit a video's duration or each other, instead of refusing: windows may be misplaced."""
    drop_faulty: bool = False
    """Leave out rows of the annotations that have faults, with a warning, instead of refusing them."""
    memory_gb: NonNegativeFloat = 4.0
    """Features and targets kept in memory after they were first read, at most; 0 reads them from disk every time."""

    def read_as(self, spec: FeatureSpec) -> "DataConfig":
        """The same places, splits and names, read as a checkpoint reads its features."""
        return self.model_copy(update={name: getattr(spec, name) for name in ("clip_s", *RULES)})

    def published(self, run: str | None = None) -> str | None:
        """The benchmark, by name, that these data say they are; None for own data, whatever metrics they use.

        run: name of a run, which says it for runs of configurations that had no `name` yet.
        """
        is_it = run == self.benchmark if self.name is None else self.name == find_benchmark(self.benchmark).title
        return self.benchmark if is_it else None


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


class _Sized(Protocol):
    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""


T = TypeVar("T", bound=_Sized)


class GroundingDataset(Dataset[Pair]):
    """The pairs of one split, in the order of its annotation file."""

    def __init__(
        self, config: DataConfig, split: Split, streams: Sequence[ClipStream] | None = None, *, to_train: bool = True
    ) -> None:
        """streams: in place of the folders that the configuration names.

        to_train: the training split is learned from: long videos are cut, rows without truth are faults.

        Raises AnnotationError, FeaturesMissing or ConfigError, each naming what is missing and how to make it.
        """
        self.config, self.split, self.to_train = config, split, to_train and split == "train"
        self.annotations = _of_domain(_usable_rows(config, split, to_train=self.to_train), config)
        clips = {one.video_id: one.duration_s / config.clip_s for one in self.annotations}
        folders = (FeatureFolder(folder, "video", clips) for folder in config.video_features)
        self._streams: list[ClipStream] = [*folders] if streams is None else [*streams]
        self._streams += sound_packs(
            config.sound_features, self._streams, clips, f"split {split!r}", partial(_videos_of_others, config, split)
        )
        self._text = text_source(_required(config.text_features, "text_features"))
        _check_present(self.annotations, self._streams, self._text)
        _check_clip_length(self._streams, config)
        self._check_rows()
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
        self.n_ranks = N_GRADES if any(map(is_graded, self.annotations)) else 1
        self.video_groups = _groups([source_video(a.video_id) for a in self.annotations])
        self.query_groups = _groups([a.query.lower().strip(" .") for a in self.annotations])
        self._memory: dict[str, Any] = {}
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
            targets=self._targets(index, len(video)) if known else None,
            video_group=self.video_groups[index],
            query_group=self.query_groups[index],
            n_ranks=self.n_ranks,
        )

    def tokens(self, index: int) -> Array:
        """(W, F): those of a pair, without its video."""
        annotation = self.annotations[index]
        return self._remember(f"query {annotation.query_id}", lambda: self._tokens(annotation))

    def _targets(self, index: int, n_clips: int) -> ClipTargets:
        annotation = self.annotations[index]
        clip_s = self._row_s(annotation, n_clips)
        return self._remember(f"targets {index}", lambda: clip_targets(annotation, n_clips, clip_s))

    def check_features(self, report: Report = silent) -> None:
        """Read the features of every pair once. Raises FeaturesMismatch that names the file and row of a fault."""
        for done in range(len(self)):
            self._video(self.annotations[done])
            self._tokens(self.annotations[done])
            report(done + 1, len(self))

    def _row_s(self, annotation: Annotation, n_rows: int) -> float:
        """Seconds of a row of a video of n_rows."""
        return row_length_s(n_rows, annotation.duration_s, self.config.clip_s)

    def _check_rows(self) -> None:
        """Warn of rows that do not fit their videos. Raises FeaturesMismatch where they cannot be theirs."""
        if self.config.lengths == "stretch":
            return
        names = dict.fromkeys(one.video_id for one in self.annotations)
        lengths = [
            (stream.folder.name, {name: n for name in names if (n := stream.n_rows(name)) is not None})
            for stream in self._streams
        ]
        videos = list(videos_with_rows(self.annotations, lengths, self.config.clip_s))
        if warning := check_rows(videos, self.config.clip_s, accept=self.config.accept_misfit):
            _log.warning("split %r: %s", self.split, warning)

    def _video(self, annotation: Annotation) -> Array:
        stored = [stream.video(annotation.video_id) for stream in self._streams]
        try:
            joined = self.spec.join(stored, len(annotation.labels) or None, annotation.duration_s)
        except FeaturesMismatch as error:
            raise FeaturesMismatch(f"{annotation.video_id}: {error}") from None
        return joined[: self.config.max_clips] if self.to_train else joined

    def _tokens(self, annotation: Annotation) -> Array:
        if isinstance(self._text, WordVectors):
            return self.spec.tokens(self._text.of(annotation.query))
        stored = self._text.text(annotation.query_id)
        pooled = self._text.sentence(annotation.query_id) if self.config.sentence_token else None
        return self.spec.tokens(stored, pooled)

    def _remember(self, key: str, load: Callable[[], T]) -> T:
        """What has `nbytes`, from memory, or loaded and remembered while the budget lasts."""
        if key in self._memory:
            found: T = self._memory[key]
            return found
        loaded = load()
        if self._memory_bytes + loaded.nbytes <= self.config.memory_gb * 1e9:
            self._memory[key] = loaded
            self._memory_bytes += loaded.nbytes
        return loaded


def _videos_of_others(config: DataConfig, split: Split) -> Iterator[str]:
    """The videos of the other splits, as far as their annotations are here."""
    for other in get_args(Split):
        path: Path | None = getattr(config, other)
        if other != split and path is not None and is_file(path):
            with suppress(AnnotationError):  # of a split that is not asked for
                yield from (one.video_id for one in read_annotations(path))


def _usable_rows(config: DataConfig, split: Split, *, to_train: bool) -> list[Annotation]:
    """The rows of a split's file, and of its file of null queries. Raises AnnotationError, ConfigError."""
    path = _required(getattr(config, split), split)
    rows = _without_faults(path, config, to_train=to_train)
    nulls: Path | None = getattr(config, f"{split}_nulls")
    if nulls is None:
        return rows
    found, known = _without_faults(nulls, config, to_train=to_train), {row.query_id for row in rows}
    faults = [
        f"query {row.query_id!r} has a moment; expected relevant_windows: []" for row in found if row.windows != ()
    ]
    faults += [f"query {row.query_id!r} is in {path} too" for row in found if row.query_id in known]
    if faults:
        raise AnnotationError(nulls, faults, shown=30)
    return [*rows, *found]


def _without_faults(path: Path, config: DataConfig, *, to_train: bool) -> list[Annotation]:
    """The rows of a file, checked as `spikemba prepare` checks them. Raises AnnotationError."""
    rows, faults = read_checked(path, to_train=to_train)
    if faults and not (config.drop_faulty and rows):
        cure = "; mend such rows, or leave them out with --set data.drop_faulty=true" if rows else ""
        raise AnnotationError(path, [faults[0] + cure, *faults[1:]], shown=30)
    if faults:
        _log.warning("%s: %d rows with faults are left out, as %s", path, len(faults), faults[0])
    if not rows:
        raise AnnotationError(path, ["no rows; expected one JSON object per line"])
    return rows


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
    """A pack of query features, or a file of word vectors. Raises FeaturesMissing, FeaturesMismatch."""
    return WordVectors(path) if path.is_file() and not is_pack_file(path) else FeatureFolder(path, "text")


def source_video(video_id: str) -> str:
    """The video that a clip was cut from: QVHighlights names clips `<source>_<start>_<end>`."""
    return re.sub(r"_\d+\.\d+_\d+\.\d+$", "", video_id)


def _groups(keys: Sequence[str]) -> list[int]:
    """A number per key, equal for equal keys."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _required(path: Path | None, name: str) -> Path:
    if path is None:
        raise ConfigError(
            "data",
            [f"{name}: is required and was not given; name it, or give a prepared folder with --data DIR"],
        )
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
    if isinstance(text, FeatureFolder):
        if missing := missing_queries(annotations, text):
            raise FeaturesMissing(_some("query", missing), text.folder)
        _check_sentences(annotations, text)


def _check_sentences(annotations: Sequence[Annotation], text: FeatureFolder) -> None:
    """Raise FeaturesMismatch where features are those of another sentence that had the same identifier."""
    others = [(one, said) for one in annotations if (said := text.asked(one.query_id)) not in (None, one.query)]
    if others:
        one, said = others[0]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        anew = extract_command(text.folder)
        raise FeaturesMismatch(
            f"query {one.query_id!r}{more} in {text.folder}: features of {said!r}, and the annotations say "
            f"{one.query!r}; encode the sentences anew: run `{anew}` with these annotations"
        )


def _check_clip_length(streams: Sequence[ClipStream], config: DataConfig) -> None:
    """Raise FeaturesMismatch when rows are known to be of another length; stretched rows need not be of any."""
    for stream in streams:
        found = stream.manifest.clip_s
        if config.lengths == "cut" and found is not None and abs(found - config.clip_s) > 1e-6:
            length = ("--clip-length", f"{config.clip_s:g}")
            other = command_line("spikemba", "extract", "VIDEOS", *length, "--out", "OTHER")
            raise FeaturesMismatch(
                f"{stream.folder} has rows of {found:g} s and data.clip_s is {config.clip_s:g}; set it to {found:g}, "
                f"or run `{other}`"
            )


def missing_videos(annotations: Sequence[Annotation], stream: ClipStream) -> list[str]:
    """Videos of the annotations that have no features there."""
    return [name for name in sorted({a.video_id for a in annotations}) if not stream.has_video(name)]


def missing_queries(annotations: Sequence[Annotation], text: FeatureFolder) -> list[str]:
    """Queries of the annotations that have no features there."""
    return [str(a.query_id) for a in annotations if not text.has_text(a.query_id)]


def _some(kind: str, names: Sequence[str]) -> str:
    return f"{kind} {names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")

"""Videos and queries to feature files."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pipelines.events import unheard
from pipelines.extraction.failures import Failures
from pipelines.shards import Shard
from spikemba import features
from spikemba.datasets.annotations import read_annotations
from spikemba.encoders import TextEncoder, VideoEncoder
from spikemba.encoders.base import EncoderOptions, folder_name
from spikemba.encoding.encoders_here import load_encoders_here, text_encoder
from spikemba.encoding.manifests import text_manifest, video_manifest
from spikemba.encoding.videos import encode_videos
from spikemba.errors import AnnotationError, QueryError, VideoError
from spikemba.features import Dtype, FeatureFolder, Manifest
from spikemba.files import clear_abandoned
from spikemba.progress import Report, silent
from spikemba.video.files import find_videos

Outcome = tuple[str, Path, str | None]
"""A video's identifier and file, and why it could not be encoded, if so."""


@dataclass
class ExtractResult:
    """What an extraction did."""

    out: Path
    encoded: list[str] = field(default_factory=list)
    """Identifiers of the videos that were encoded now."""
    kept: list[str] = field(default_factory=list)
    """Those whose features were there already."""
    failed: dict[Path, str] = field(default_factory=dict)
    """Videos that could not be read, and why."""
    n_queries: int = 0
    """Queries encoded now."""


@dataclass(frozen=True)
class RunOptions:
    """How an extraction is run; none of it but `options` changes the features."""

    options: EncoderOptions = field(default_factory=EncoderOptions)
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Files of weights, by encoder."""
    shard: Shard = field(default_factory=Shard)
    """The part of the videos that is this process's own."""
    retry_failed: bool = False
    """Try again what failed before."""
    engine: Literal["local", "ray"] = "local"
    """Here, or on the workers of a Ray cluster."""
    decoders: int | None = None
    """Videos decoded at once, in threads; None: one per processor, at most four."""


@dataclass(frozen=True)
class ExtractEvents:
    """What a caller can be told."""

    videos: Report = silent
    clips: Report = silent
    """Clips of the first encoder, over all videos."""
    failed: Callable[[Path, str], None] = unheard
    """A video could not be read, and why."""


def extract(
    inputs: Sequence[Path],
    encoder: str,
    out: Path,
    *,
    clip_s: float = 2.0,
    queries: Sequence[Path] = (),
    text: str | None = None,
    dtype: Dtype = "float32",
    run: RunOptions | None = None,
    events: ExtractEvents | None = None,
) -> ExtractResult:
    """Encode videos (files, or folders that are searched) and the queries of annotation files.

    encoder: a name, or several as in `clip+slowfast`; each gets a folder below `out`. Videos that have all their
    features are left alone, so a broken-off extraction goes on where it stopped; one bad video does not stop the rest,
    and is not tried again until it changes or `run.retry_failed` asks for it.
    text: the encoder of the queries; by default the first of the encoders that reads text.
    Raises SpikeMbaError when nothing can start: no videos, unknown encoder, no permission, a folder of other features.
    """
    run, events = run or RunOptions(), events or ExtractEvents()
    videos = by_identifier(find_videos(inputs)) if inputs else {}
    job = Job(encoder, out, clip_s, dtype, run)
    encoders = job.encoders()
    job.prepare(encoders)
    result = ExtractResult(out)
    if queries:
        readers = encoders if text is None else load_encoders_here(text, run.options, run.weights)
        result.n_queries = extract_queries(queries, text_encoder(readers), out, dtype)
    todo = _choose(videos, job, encoders, result, events)
    done = len(videos) - len(todo)
    events.videos(done, len(videos))
    for video_id, path, problem in job.engine()(job, todo, encoders, events):
        done += 1
        if problem is None:
            result.encoded.append(video_id)
        else:
            result.failed[path] = problem
            events.failed(path, problem)
        events.videos(done, len(videos))
    events.videos(len(videos), len(videos))
    return result


class Engine(Protocol):
    """Encodes and stores videos, and yields each with what became of it."""

    def __call__(
        self, job: "Job", todo: Mapping[str, Path], encoders: Sequence[VideoEncoder], events: ExtractEvents
    ) -> Iterator[Outcome]: ...


@dataclass(frozen=True)
class Job:
    """What is to be done to each video; small enough to be sent to another machine."""

    encoder: str
    out: Path
    clip_s: float
    dtype: Dtype
    run: RunOptions

    def encoders(self) -> list[VideoEncoder]:
        """Load them. Raises UnknownName, WeightsMissing."""
        return load_encoders_here(self.encoder, self.run.options, self.run.weights)

    def prepare(self, encoders: Sequence[VideoEncoder]) -> list[FeatureFolder]:
        """The folders, with their manifests. Raises FeaturesMismatch, OutputError."""
        return [
            prepare_folder(self.out / folder_name(one.name), video_manifest(one, self.clip_s, self.dtype))
            for one in encoders
        ]

    def engine(self) -> Engine:
        """Who does it. Raises PackageMissing."""
        if self.run.engine == "local":
            return encode_here
        from pipelines.extraction.ray_engine import encode_on_ray

        return encode_on_ray


def encode_here(
    job: Job, todo: Mapping[str, Path], encoders: Sequence[VideoEncoder], events: ExtractEvents
) -> Iterator[Outcome]:
    """Encode and store videos in this process. Every engine ends here."""
    folders = job.prepare(encoders)
    failures = Failures(job.out)
    identifiers = {path: video_id for video_id, path in todo.items()}
    decoders = max(1, min(job.run.decoders or min(4, os.cpu_count() or 1), len(todo)))
    found = encode_videos(todo.values(), encoders, job.clip_s, decoders=decoders, report=events.clips)
    with closing(found):
        for path, encoded in found:
            if isinstance(encoded, VideoError):
                failures.add(path, str(encoded))
                yield identifiers[path], path, str(encoded)
                continue
            for folder, rows in zip(folders, encoded.features, strict=True):
                features.write_video_features(folder.folder, identifiers[path], rows, job.dtype)
            yield identifiers[path], path, None


def _choose(
    videos: Mapping[str, Path], job: Job, encoders: Sequence[VideoEncoder], result: ExtractResult, events: ExtractEvents
) -> dict[str, Path]:
    """This process's videos that still have to be done; the others are noted in the result."""
    folders, failures, todo = job.prepare(encoders), Failures(job.out), {}
    for video_id, path in videos.items():
        if not job.run.shard.owns(video_id):
            continue
        problem = None if job.run.retry_failed else failures.known(path)
        if all(folder.has_video(video_id) for folder in folders):
            result.kept.append(video_id)
        elif problem is not None:
            result.failed[path] = f"{problem} (it failed before; --retry-failed tries it again)"
            events.failed(path, result.failed[path])
        else:
            todo[video_id] = path
    return todo


def extract_queries(files: Sequence[Path], encoder: TextEncoder, out: Path, dtype: Dtype = "float32") -> int:
    """Encode the queries of annotation files into `out/<encoder>_text`; returns how many were not there yet.

    Raises AnnotationError that names every query that cannot be encoded.
    """
    folder = prepare_folder(out / f"{folder_name(encoder.name)}_text", text_manifest(encoder, dtype))
    n_new = 0
    for file in files:
        faults = []
        for annotation in read_annotations(file):
            if folder.has_text(annotation.query_id):
                continue
            try:
                (encoded,) = encoder.encode_texts([annotation.query])
            except QueryError as error:
                faults.append(f"qid {annotation.query_id!r}: {error}")
                continue
            features.write_query_features(folder.folder, annotation.query_id, encoded.tokens, encoded.pooled, dtype)
            n_new += 1
        if faults:
            raise AnnotationError(file, faults)
    return n_new


def by_identifier(videos: Sequence[Path]) -> dict[str, Path]:
    """Videos by file name without suffix. Raises VideoError when two have the same: one would overwrite the other."""
    found: dict[str, Path] = {}
    for path in videos:
        if path.stem in found:
            problem = f"has the same name as {found[path.stem]}; features are stored by name, rename one of the two"
            raise VideoError(path, problem)
        found[path.stem] = path
    return found


def prepare_folder(folder: Path, manifest: Manifest) -> FeatureFolder:
    """The folder, with its manifest and without what a killed extraction was writing.

    Raises FeaturesMismatch when it holds features made otherwise, OutputError.
    """
    features.write_manifest(folder, manifest)
    clear_abandoned(folder)
    return FeatureFolder(folder)

"""What is to be done to each video of an extraction, and how one process does it. Every engine ends here."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from pipelines.events import unheard
from pipelines.extraction.failures import Failures
from pipelines.extraction.sources import Sources
from pipelines.shards import Shard
from spikemba import features
from spikemba.encoders import ClipEncoder
from spikemba.encoders.base import EncoderOptions, folder_name
from spikemba.encoding.encoders_here import load_encoders_here
from spikemba.encoding.manifests import video_manifest
from spikemba.encoding.videos import EncodedVideo, encode_videos
from spikemba.errors import OutputError, VideoError, problem_with
from spikemba.features import Array, Dtype, FeatureFolder, Manifest
from spikemba.files import clear_abandoned
from spikemba.progress import Report, silent

Outcome = tuple[str, Path, str | None]
"""A video's identifier and file, and why it could not be encoded, if so."""


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
    """Clips of the first encoder, over all videos; how many there will be is told of a single video only."""
    queries: Report = silent
    """Of the annotation files; they are looked at before the videos."""
    failed: Callable[[Path, str], None] = unheard
    """A video could not be read, and why."""


class Engine(Protocol):
    """Encodes and stores videos, and yields each with what became of it."""

    def __call__(
        self, job: "Job", todo: Mapping[str, Path], encoders: Sequence[ClipEncoder], events: ExtractEvents
    ) -> Iterator[Outcome]: ...


@dataclass(frozen=True)
class Job:
    """What is to be done to each video; small enough to be sent to another machine."""

    encoder: str
    out: Path
    clip_s: float
    dtype: Dtype
    run: RunOptions

    def encoders(self) -> list[ClipEncoder]:
        """Load them. Raises UnknownName, WeightsMissing."""
        return load_encoders_here(self.encoder, self.run.options, self.run.weights)

    def prepare(self, encoders: Sequence[ClipEncoder]) -> list[FeatureFolder]:
        """The folders, with their manifests. Raises FeaturesMismatch, OutputError."""
        return [
            prepare_folder(self.out / folder_name(one.name), video_manifest(one, self.clip_s, self.dtype))
            for one in encoders
        ]

    def write(
        self,
        folder: Path,
        video_id: str,
        path: Path,  # noqa: ARG002
        rows: Array,
        duration_s: float,  # noqa: ARG002
        nothing: bool | None,
    ) -> None:
        """Store what an encoder made of a video, whole or not at all; `nothing` as in `EncodedVideo`.

        Raises OutputError, VideoError.
        """
        features.write_video_features(folder, video_id, rows, self.dtype, nothing)


def encode_here(
    job: Job, todo: Mapping[str, Path], encoders: Sequence[ClipEncoder], events: ExtractEvents
) -> Iterator[Outcome]:
    """Encode and store videos in this process. Every engine ends here."""
    folders = job.prepare(encoders)
    failures, sources = Failures(job.out), Sources(job.out)
    identifiers = {path: video_id for video_id, path in todo.items()}
    decoders = max(1, min(job.run.decoders or min(4, os.cpu_count() or 1), len(todo)))
    clips = events.clips if len(todo) == 1 else lambda done, total: events.clips(done, None)
    found = encode_videos(todo.values(), encoders, job.clip_s, decoders=decoders, report=clips)
    with closing(found):
        for path, encoded in found:
            if not isinstance(encoded, Exception):
                encoded = _stored(job, folders, identifiers[path], path, encoded)
            if isinstance(encoded, VideoError):
                failures.add(path, str(encoded))
            if isinstance(encoded, EncodedVideo):
                sources.add(identifiers[path], path)
            yield identifiers[path], path, problem_with(path, encoded) if isinstance(encoded, Exception) else None


_BAD_NAMES = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ENOTDIR, errno.EISDIR}
"""What a file system says to a name; anything else, as a full disk, would stop every other video, too."""


def _stored(
    job: Job, folders: Sequence[FeatureFolder], video_id: str, path: Path, encoded: EncodedVideo
) -> EncodedVideo | OutputError | VideoError:
    """The video with its features written, or why its name cannot be. Raises OutputError where nothing can."""
    try:
        for folder, rows, nothing in zip(folders, encoded.features, encoded.nothing, strict=True):
            job.write(folder.folder, video_id, path, rows, encoded.duration_s, nothing)
    except VideoError as error:
        return error
    except OutputError as error:
        if getattr(error.__cause__, "errno", None) not in _BAD_NAMES:
            raise
        return error
    return encoded


def prepare_folder(folder: Path, manifest: Manifest) -> FeatureFolder:
    """The folder, with its manifest and without what a killed extraction was writing.

    Raises FeaturesMismatch when it holds features made otherwise, OutputError.
    """
    features.write_manifest(folder, manifest)
    clear_abandoned(folder)
    return FeatureFolder(folder)

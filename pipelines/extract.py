"""Videos and queries to feature files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.encoding import encode_video
from pipelines.events import Report, silent, unheard
from spikemba import features
from spikemba.datasets.annotations import read_annotations
from spikemba.encoders import TextEncoder, VideoEncoder, load_encoders
from spikemba.errors import AnnotationError, QueryError, SpikeMbaError, VideoError
from spikemba.features import FeatureFolder, Manifest
from spikemba.video_files import find_videos

Dtype = Literal["float16", "float32"]


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
class ExtractEvents:
    """What a caller can be told."""

    videos: Report = silent
    clips: Report = silent
    """Clips of the current video."""
    failed: Callable[[Path, str], None] = unheard
    """A video could not be read, and why."""


def extract(
    inputs: Sequence[Path],
    encoder: str,
    out: Path,
    *,
    clip_s: float = 2.0,
    queries: Sequence[Path] = (),
    dtype: Dtype = "float32",
    events: ExtractEvents | None = None,
) -> ExtractResult:
    """Encode videos (files, or folders that are searched) and the queries of annotation files.

    encoder: a name, or several as in `clip+slowfast`; each gets a folder below `out`. Videos that have all their
    features are left alone, so a broken-off extraction goes on where it stopped; one bad video does not stop the rest.
    Raises SpikeMbaError when nothing can start: no videos, unknown encoder, no permission, a folder of other features.
    """
    events = events or ExtractEvents()
    videos = by_identifier(find_videos(inputs)) if inputs else {}
    encoders = load_encoders(encoder)
    folders = [prepare_folder(out / one.name, video_manifest(one, clip_s, dtype)) for one in encoders]
    result = ExtractResult(out)
    if queries:
        result.n_queries = extract_queries(queries, text_encoder(encoders), out, dtype)
    for done, (video_id, path) in enumerate(videos.items()):
        events.videos(done, len(videos))
        if all(folder.has_video(video_id) for folder in folders):
            result.kept.append(video_id)
            continue
        try:
            encoded = encode_video(path, encoders, clip_s, events.clips)
        except VideoError as error:
            result.failed[path] = str(error)
            events.failed(path, str(error))
            continue
        for folder, rows in zip(folders, encoded.features, strict=True):
            features.write_video(folder.folder, video_id, rows, dtype)
        result.encoded.append(video_id)
    events.videos(len(videos), len(videos))
    return result


def extract_queries(files: Sequence[Path], encoder: TextEncoder, out: Path, dtype: Dtype = "float32") -> int:
    """Encode the queries of annotation files into `out/<encoder>_text`; returns how many were not there yet.

    Raises AnnotationError that names every query that cannot be encoded.
    """
    folder = prepare_folder(out / f"{encoder.name}_text", text_manifest(encoder, dtype))
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
            features.write_text(folder.folder, annotation.query_id, encoded.tokens, encoded.pooled, dtype)
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


def text_encoder(encoders: Sequence[VideoEncoder]) -> TextEncoder:
    """The first of the encoders that reads text. Raises SpikeMbaError when none does."""
    for encoder in encoders:
        if isinstance(encoder, TextEncoder):
            return encoder
    names = "+".join(encoder.name for encoder in encoders)
    raise SpikeMbaError(f"no encoder of {names} reads text; add one that does, as in clip+{names}")


def prepare_folder(folder: Path, manifest: Manifest) -> FeatureFolder:
    """The folder, with its manifest. Raises FeaturesMismatch when it holds features made otherwise, OutputError."""
    features.write_manifest(folder, manifest)
    return FeatureFolder(folder)


def video_manifest(encoder: VideoEncoder, clip_s: float, dtype: Dtype) -> Manifest:
    """What says how clip features were made."""
    rule = encoder.frame_rule(clip_s)
    frames = f"{float(rule.fps):g} fps, {rule.resize} {rule.size_px} px"
    return Manifest(
        encoder=encoder.name, dim=encoder.dim, weights=encoder.weights, clip_s=clip_s, frames=frames, dtype=dtype
    )


def text_manifest(encoder: TextEncoder, dtype: Dtype) -> Manifest:
    """What says how query features were made."""
    return Manifest(
        encoder=f"{encoder.name}_text", kind="text", dim=encoder.text_dim, weights=encoder.weights, dtype=dtype
    )

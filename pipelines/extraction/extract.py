"""Videos and queries to feature files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pkgutil import resolve_name

from pipelines.extraction.failures import Failures
from pipelines.extraction.job import Engine, ExtractEvents, Job, RunOptions, prepare_folder
from pipelines.extraction.sources import Sources
from spikemba.datasets.annotations import Annotation, read_annotations
from spikemba.encoders import ClipEncoder, SubtitleEncoder, TextEncoder, VideoEncoder
from spikemba.encoders.base import folder_name
from spikemba.encoding.encoders_here import load_encoders_here, text_encoder
from spikemba.encoding.manifests import text_manifest
from spikemba.encoding.videos import what_it_takes
from spikemba.errors import AnnotationError, QueryError
from spikemba.features import Dtype, FeatureFolder, write_query_features
from spikemba.progress import Report, silent
from spikemba.video.names import named_videos
from spikemba.video.subtitles import files_beside

ENGINES = {
    "local": "pipelines.extraction.job:encode_here",
    "ray": "pipelines.extraction.ray_engine:encode_on_ray",
}
"""`--engine` -> the function; imported when it is asked for."""


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
    lacking: dict[str, list[str]] = field(default_factory=dict)
    """`sound` or `subtitles` -> identifiers of videos without, of those encoded now or before; their rows are zeros."""


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
    videos = named_videos(inputs)
    job = Job(encoder, out, clip_s, dtype, run)
    encoders = job.encoders()
    job.prepare(encoders)
    result = ExtractResult(out)
    if queries:
        readers = encoders if text is None else load_encoders_here(text, run.options, run.weights)
        result.n_queries = extract_queries(queries, text_encoder(readers), out, dtype, events.queries)
    todo = _choose(videos, job, encoders, result, events)
    done = len(videos) - len(todo)
    events.videos(done, len(videos))
    for video_id, path, problem in _engine(run.engine)(job, todo, encoders, events):
        done += 1
        if problem is None:
            result.encoded.append(video_id)
        else:
            result.failed[path] = problem
            events.failed(path, problem)
        events.videos(done, len(videos))
    events.videos(len(videos), len(videos))
    result.lacking = _lacking(job, encoders, [*result.encoded, *result.kept])
    return result


def _lacking(job: Job, encoders: Sequence[ClipEncoder], video_ids: Sequence[str]) -> dict[str, list[str]]:
    """What is asked for and not there, as the files of features say."""
    found: dict[str, list[str]] = {}
    others = [encoder for encoder in encoders if not isinstance(encoder, VideoEncoder)]
    for encoder, folder in zip(others, job.prepare(others), strict=True):
        silent = [video_id for video_id in video_ids if folder.has_nothing(video_id)]
        found.setdefault(what_it_takes(encoder), []).extend(silent)
    return {what: sorted(set(silent)) for what, silent in found.items()}


def _engine(name: str) -> Engine:
    """Who encodes and stores the videos. Raises PackageMissing."""
    engine: Engine = resolve_name(ENGINES[name])
    return engine


def _choose(
    videos: Mapping[str, Path], job: Job, encoders: Sequence[ClipEncoder], result: ExtractResult, events: ExtractEvents
) -> dict[str, Path]:
    """This process's videos that still have to be done; the others are noted in the result."""
    folders, failures, sources, todo = job.prepare(encoders), Failures(job.out), Sources(job.out), {}
    for video_id, path in videos.items():
        if not job.run.shard.owns(video_id):
            continue
        problem = None if job.run.retry_failed else failures.known(path)
        there = all(folder.has_video(video_id) for folder in folders)
        if other := sources.other(video_id, path):
            result.failed[path] = other
            events.failed(path, other)
        elif there and not sources.changed(video_id, path) and not _said_anew(encoders, folders, video_id, path):
            result.kept.append(video_id)
        elif problem is not None:
            result.failed[path] = f"{problem} (it failed before; --retry-failed tries it again)"
            events.failed(path, result.failed[path])
        else:
            todo[video_id] = path
    return todo


def _said_anew(encoders: Sequence[ClipEncoder], folders: Sequence[FeatureFolder], video_id: str, path: Path) -> bool:
    """Whether subtitles were written after the features that were made of them."""
    made = [
        file.stat().st_mtime
        for encoder, folder in zip(encoders, folders, strict=True)
        if isinstance(encoder, SubtitleEncoder)
        for file in folder.files(videos=[video_id])
    ]
    return bool(made) and any(file.stat().st_mtime > min(made) for file in files_beside(path))


def extract_queries(
    files: Sequence[Path], encoder: TextEncoder, out: Path, dtype: Dtype = "float32", report: Report = silent
) -> int:
    """Encode the queries of annotation files into `out/<encoder>_text`; returns how many were not there yet.

    A query whose sentence is another one now is encoded anew; where a file does not tell its sentence, as in published
    packs, it is kept.
    Raises AnnotationError that names every query that cannot be encoded.
    """
    folder = prepare_folder(out / f"{folder_name(encoder.name)}_text", text_manifest(encoder, dtype))
    n_new = done = 0
    given: dict[str, tuple[str, Path]] = {}
    read = {file: read_annotations(file) for file in files}
    total = sum(map(len, read.values()))
    for file, rows in read.items():
        faults = []
        for row in rows:
            report(done, total)
            done += 1
            query, elsewhere = given.setdefault(str(row.query_id), (row.query, file))
            if query != row.query:
                faults.append(_of_two(row, query, elsewhere))
                continue
            try:
                if folder.has_text(row.query_id) and folder.asked(row.query_id) in (None, row.query):
                    continue
                (encoded,) = encoder.encode_texts([row.query])
            except QueryError as error:
                named = str(error).startswith("qid")
                faults.append(str(error) if named else f"qid {row.query_id!r}: {error}")
                continue
            write_query_features(folder.folder, row.query_id, encoded.tokens, encoded.pooled, dtype, row.query)
            n_new += 1
        if faults:
            raise AnnotationError(file, faults)
    report(total, total)
    return n_new


def _of_two(row: Annotation, query: str, elsewhere: Path) -> str:
    """What to say of an identifier with two sentences."""
    return (
        f"qid {row.query_id!r} is {row.query!r} here and {query!r} in {elsewhere}; features are kept by qid, so "
        "extract these files into folders of their own (--out)"
    )

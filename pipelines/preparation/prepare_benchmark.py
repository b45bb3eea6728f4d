"""A benchmark's official files, and the peers' forms of them, to one checked manifest that training reads.

<out>/train.jsonl, val.jsonl, test.jsonl     what is trained on, what chooses the epoch, what is reported
<out>/train_all.jsonl                        the training split as published, where val was held out of it
<out>/config.yaml                            the data section for `train --dataset NAME`
<out>/manifest.json                          source files and their hashes, counts, features, what was left out
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.preparation.data_config import write_data_config
from pipelines.preparation.prepare import null_queries, split_by_video
from pipelines.runs.config import config_names, config_path, config_tree
from spikemba.config import Tree
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.base import missing_queries, missing_videos, text_source
from spikemba.datasets.benchmark import Benchmark, Pack
from spikemba.datasets.raw_rows import RawRows, row_faults
from spikemba.datasets.registry import find_benchmark
from spikemba.datasets.word_vectors import WordVectors
from spikemba.errors import AnnotationError, FeaturesMissing, UnknownName, command_line
from spikemba.features import FeatureFolder, Manifest
from spikemba.files import write_json
from spikemba.packs.opening import FILES

SEED = 0
"""Decides which videos are held out, once and for all."""


@dataclass
class PreparedBenchmark:
    """What a preparation wrote, and what a person should know."""

    out: Path
    title: str
    n_queries: dict[str, int]
    """Queries per annotation file, by its name without suffix."""
    config: Path
    pack: str | None = None
    """Feature pack that was found."""
    left_out: list[str] = field(default_factory=list)
    """Rows that were left out, each with its file and line."""
    notes: list[str] = field(default_factory=list)
    """Counts unlike the published ones, and what is missing and where it comes from."""
    n_null: dict[str, int] = field(default_factory=dict)
    """Null queries per annotation file that has some: those of which the video shows nothing."""


@dataclass(frozen=True)
class Features:
    """Folders of features that fit a pack."""

    pack: Pack
    video: tuple[Path, ...]
    text: Path


@dataclass(frozen=True)
class Opened:
    """The same, opened: reading a pack's names and a sample of its arrays takes long for a large one."""

    of: Features
    streams: list[FeatureFolder]
    """Read as what the durations of all rows say."""
    text: FeatureFolder | WordVectors


def prepare_benchmark(
    name: str,
    source: Path,
    out: Path,
    *,
    features: Path | None = None,
    pack: str | None = None,
    drop_faulty: bool = False,
) -> PreparedBenchmark:
    """Read, check, split and write. `source` is searched for the files by their names.

    features: folder of feature folders, by default `out/features` if it is there.  pack: one of the layouts by name,
    or names of folders joined by +; by default the first layout that is there.  drop_faulty: leave out rows with
    faults and say which.
    Raises AnnotationError with every faulty row of all files, FeaturesMissing, UnknownName.
    """
    about = find_benchmark(name)
    raw = _read(about, source)
    faults, left_out = _faults(raw), list[str]()
    found = _features(about, features or out / "features", pack, required=features is not None or pack is not None)
    rows = {split: [row for place, row in of.rows if place not in faults.get(split, {})] for split, of in raw.items()}
    splits = _splits(about, rows)
    opened = _opened(about, [row for of in splits.values() for row in of], found) if found else None
    lacking = _without_features(splits, opened) if opened else {}
    lines = [f"{raw[split].path.name}, {place}: {what}" for split, of in faults.items() for place, what in of.items()]
    lines += [f"{raw[split].path.name}, {fault}" for split, of_file in raw.items() for fault in of_file.faults]
    lines += [f"qid {query_id!r}: {what}" for query_id, what in lacking.items()]
    if lines and not drop_faulty:
        raise AnnotationError(source, [*lines, "leave these rows out with --drop-faulty"], shown=200)
    left_out = lines
    splits = {split: [row for row in of if row.query_id not in lacking] for split, of in splits.items()}
    notes = _notes(about, splits, found, out, source)
    return _write(about, out, raw, _held_out(about, splits), opened, left_out, notes)


def _read(about: Benchmark, source: Path) -> dict[str, RawRows]:
    """The raw rows by split, or under `all`. Raises AnnotationError that says what is missing and where it is from."""
    if not source.is_dir():
        raise AnnotationError(source, [f"no such folder; put the files of {about.title} there, or add --download"])
    parts = [split for split in about.files if split != "all"]
    order = [["all"], parts] if "all" in about.files and next(iter(about.files)) == "all" else [parts, ["all"]]
    missing: list[str] = []
    for wanted in order:
        found = {split: _find(source, about.files[split]) for split in wanted if split in about.files}
        if found and all(found.values()):
            return {split: about.read(path, source, split) for split, path in found.items() if path}
        missing += [f"no {' or '.join(about.files[split])}" for split, path in found.items() if path is None]
    raise AnnotationError(source, [*missing, f"{about.home}; what is public by direct link, --download fetches"])


def _find(source: Path, names: Sequence[str]) -> Path | None:
    for name in names:
        if found := sorted(source.rglob(name), key=lambda path: (len(path.parts), path)):
            return found[0]
    return None


def _faults(raw: dict[str, RawRows]) -> dict[str, dict[str, str]]:
    """Split -> place -> what is wrong there."""
    return {split: row_faults(of_file.rows) for split, of_file in raw.items()}


def _splits(about: Benchmark, rows: dict[str, list[Annotation]]) -> dict[str, list[Annotation]]:
    """A file with every split becomes a training and a test split."""
    if "all" not in rows:
        return rows
    is_test = about.is_test or (lambda _: False)
    return {
        "train": [row for row in rows["all"] if not is_test(row)],
        "test": [row for row in rows["all"] if is_test(row)],
    }


def _held_out(about: Benchmark, splits: dict[str, list[Annotation]]) -> dict[str, list[Annotation]]:
    """Training videos set aside within each domain to choose the epoch, where there is no split for it."""
    if not about.held_out:
        return splits
    train: list[Annotation] = []
    val: list[Annotation] = []
    for domain in sorted({row.domain or "" for row in splits["train"]}):
        of_domain = [row for row in splits["train"] if (row.domain or "") == domain]
        kept, held = split_by_video(of_domain, about.held_out, SEED)
        train += kept
        val += held
    return {"train": train, "val": val, "test": splits["test"], "train_all": splits["train"]}


def _features(about: Benchmark, root: Path, wanted: str | None, *, required: bool) -> Features | None:
    """The first layout whose folders are there. Raises FeaturesMissing when none is and one is required."""
    known = {pack.name: pack for pack in about.packs}
    packs = list(about.packs)
    if wanted is not None:
        names = wanted.split("+")
        packs = (
            [known[wanted]] if wanted in known else [Pack(wanted, tuple((n,) for n in names), (f"{names[0]}_text",))]
        )
    for pack in packs:
        video = [_folder(root, names) for names in pack.video]
        text = _folder(root, pack.text)
        if all(video) and text is not None:
            return Features(pack, tuple(path for path in video if path), text)
    if not required:
        return None
    if wanted is not None and wanted not in known and not root.is_dir():
        raise UnknownName("feature pack", wanted, sorted(known))
    layouts = "; ".join(f"{one.name}: {', '.join('|'.join(n) for n in (*one.video, one.text))}" for one in packs)
    make = command_line(
        *("spikemba", "extract", "VIDEOS", "--encoder", packs[0].name, "--queries", "ANNOTATIONS", "--out", root)
    )
    raise FeaturesMissing(f"{about.title} (looked for {layouts})", root, make)


def _folder(root: Path, names: Sequence[str]) -> Path | None:
    return next((path for name in names for end in ("", *FILES) if (path := root / (name + end)).exists()), None)


def _opened(about: Benchmark, rows: Sequence[Annotation], found: Features) -> Opened:
    """The video streams, read as what the videos' durations say of their rows, and the text."""
    known = config_tree(config_path(about.name)) if about.name in config_names() else {}
    clip_s = {"clip_s": 2.0, **known.get("data", {}), **found.pack.settings}["clip_s"]
    clips = {row.video_id: row.duration_s / clip_s for row in rows}
    return Opened(found, [FeatureFolder(folder, "video", clips) for folder in found.video], text_source(found.text))


def _without_features(splits: dict[str, list[Annotation]], opened: Opened) -> dict[Any, str]:
    """Query id -> which features it lacks."""
    lacking: dict[Any, str] = {}
    rows = [row for of_split in splits.values() for row in of_split]
    found, videos = opened.of, {row.video_id for row in rows}
    heard = found.video[len(found.video) - found.pack.n_sound :]
    for folder, stream in zip(found.video, opened.streams, strict=True):
        missing = set(missing_videos(rows, stream))
        if folder in heard and (missing != videos or len(videos) == 1):
            continue  # what has no sound is trained on all the same
        for row in rows:
            if row.video_id in missing:
                lacking.setdefault(row.query_id, f"video {row.video_id!r} has no features in {folder}")
    if isinstance(opened.text, FeatureFolder):
        names = set(missing_queries(rows, opened.text))
        for row in rows:
            if str(row.query_id) in names:
                lacking.setdefault(row.query_id, f"it has no features in {found.text}")
    return lacking


def _notes(
    about: Benchmark, splits: dict[str, list[Annotation]], found: Features | None, out: Path, source: Path
) -> list[str]:
    notes = []
    for split, size in about.sizes.items():
        rows = splits.get(split, [])
        seen = len(rows), len({row.video_id for row in rows})
        if seen != (size.rows, size.videos):
            published = f"papers have {size.rows} of {size.videos}"
            notes.append(f"{split} has {seen[0]} queries of {seen[1]} videos; {published}: numbers will not compare")
    trained = {row.domain for row in splits.get("train", [])}
    if lacking := [domain for domain in about.domains if domain not in trained]:
        shown = ",".join(domain for domain in about.domains if domain in trained)
        notes.append(f"train has no video of {', '.join(lacking)}; train the others with --set data.domains=[{shown}]")
    test = splits.get("test", [])
    if not any(row.windows or row.is_null or row.labels for row in test):
        notes.append("test has no truth, so it can be answered and not scored")
    for split, rows in splits.items():
        if rows and all(row.is_null for row in rows):
            notes.append(f"{split} has null queries alone, so nothing can be told from them; {about.home}")
    if found is None:
        queries = [word for split in splits for word in ("--queries", out / f"{split}.jsonl")]
        make = command_line("spikemba", "extract", source, "--out", out / "features", *queries)
        notes.append(
            f"no features in {out / 'features'}: name a pack with --features DIR, or make them with `{make}`. "
            f"{about.home}"
        )
    return notes


def _write(
    about: Benchmark,
    out: Path,
    raw: dict[str, RawRows],
    splits: dict[str, list[Annotation]],
    opened: Opened | None,
    left_out: list[str],
    notes: list[str],
) -> PreparedBenchmark:
    for split, rows in splits.items():
        write_annotations(out / f"{split}.jsonl", rows)
    counts = {split: len(rows) for split, rows in splits.items()}
    data: Tree = {"benchmark": about.name, "name": about.title}
    data |= {split: str(out / f"{split}.jsonl") for split in ("train", "val", "test")}
    manifests: list[Manifest] = []
    if opened:
        manifests = [stream.manifest for stream in opened.streams]
        data |= _feature_settings(about, opened.of, manifests)
    command = command_line("spikemba", "train", "--dataset", about.name, "--data", out)
    config = write_data_config(out, command, data, about.name)
    write_json(
        out / "manifest.json",
        {
            "benchmark": about.name,
            "sources": {path.name: _sha256(path) for of in raw.values() for path in (of.path, *of.others)},
            "queries": counts,
            "null_queries": null_queries(splits),
            "videos": {split: len({row.video_id for row in rows}) for split, rows in splits.items()},
            "features": [manifest.model_dump(mode="json") for manifest in manifests],
            "text": opened.text.manifest.model_dump(mode="json") if opened else None,
            "held_out": {"share": about.held_out, "seed": SEED} if about.held_out else None,
            "left_out": left_out,
            "notes": notes,
        },
    )
    pack = opened.of.pack.name if opened else None
    return PreparedBenchmark(out, about.title, counts, config, pack, left_out, notes, null_queries(splits))


def _feature_settings(about: Benchmark, found: Features, manifests: Sequence[Manifest]) -> Tree:
    """The data section's keys about features: folders, and what their manifests say of clips."""
    paths, n = [str(path) for path in found.video], len(found.video) - found.pack.n_sound
    data: Tree = {"video_features": paths[:n], "text_features": str(found.text)}
    data |= ({"sound_features": paths[n:]} if paths[n:] else {}) | found.pack.settings
    lengths = {manifest.clip_s for manifest in manifests if manifest.clip_s}
    if len(lengths) == 1:
        (data["clip_s"],) = lengths
    return data | about.own_features if lengths else data


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

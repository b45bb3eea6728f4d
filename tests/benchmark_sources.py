"""Tiny made-up sources of the benchmarks in the forms in which they are published, and features in any pack's layout.

What is published as jsonl in the QVHighlights form needs nothing here; another form of a benchmark is drawn in FORMS.
"""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikemba.config import load_yaml
from spikemba.datasets.annotations import Annotation, PredictedRow, write_annotations
from spikemba.datasets.benchmark import Benchmark, Pack
from spikemba.datasets.benchmarks import na_vmr, tvsum, youtube_highlights
from spikemba.datasets.protocol import TOP5_OF_ANNOTATORS
from spikemba.features import Manifest
from spikemba.files import write_jsonl
from spikemba.moments import Moment, Window

N_CLIPS = 12
WIDTH = 512
"""Of a stream: an encoder's, so that no file can be taken for a turned one."""
DURATION_S = 2.0 * N_CLIPS
WINDOW_S = 4.0, 14.0
HIGHLIGHT = range(3, 9)
"""Clips that everybody finds good; the others nobody does."""


def forms(about: Benchmark) -> list[str]:
    """Suffixes of the files that a benchmark is published as."""
    return sorted({Path(name).suffix for names in about.files.values() for name in names})


def write_source(about: Benchmark, form: str, folder: Path) -> None:
    """A whole source of one form. Raises KeyError for a form that nobody has drawn yet."""
    folder.mkdir(parents=True, exist_ok=True)
    if form != ".jsonl" or (about.name, form) in FORMS:
        FORMS[about.name, form](folder)
        return
    for split, names in about.files.items():
        if split != "all":
            write_annotations(folder / next(name for name in names if name.endswith(form)), _rows(about, split))


def _rows(about: Benchmark, split: str) -> list[Annotation]:
    """Four queries of two videos, or two videos of every domain."""
    if about.domains:
        return [_labelled(about, f"{split}_{domain}_{i}", domain) for domain in about.domains for i in range(2)]
    first = {"train": 0, "val": 10, "test": 20}[split]
    rated: dict[str, Any] = {}
    if not about.protocol.with_miou:
        rated = {"relevant_clips": tuple(HIGHLIGHT), "ratings": ((4, 4, 4),) * len(HIGHLIGHT)}
    windows = (Window(*WINDOW_S),)
    rows = [
        Annotation(first + i, f"somebody does thing {i}.", f"{split}{i // 2}", DURATION_S, windows, **rated)
        for i in range(4)
    ]
    return rows + [_absent(row) for row in rows[:2]] if has_null(about) else rows


def has_null(about: Benchmark) -> bool:
    """Whether some of its queries have no moment."""
    return any(column.startswith("GMR-") for column in about.published.columns) if about.published else False


def _absent(row: Annotation) -> Annotation:
    return Annotation(100 + int(row.query_id), f"nobody does {row.query}", row.video_id, row.duration_s, ())


def _labelled(about: Benchmark, video_id: str, domain: str) -> Annotation:
    by_clip = [(1.0, 5.0)[clip in HIGHLIGHT] for clip in range(N_CLIPS)]
    if about.protocol is TOP5_OF_ANNOTATORS:
        labels = tuple((label,) * 20 for label in by_clip)
    else:
        labels = tuple((float(label > 1),) for label in by_clip)
    return Annotation(video_id, f"a video of {domain}", video_id, DURATION_S, labels=labels, domain=domain)


def _charades_text(folder: Path) -> None:
    start_s, end_s = WINDOW_S
    for split in ("train", "test"):
        videos = [f"{split.upper()}{i}" for i in range(2)]
        lines = [f"{video} {start_s} {end_s}##a person does thing {i}." for video in videos for i in range(2)]
        (folder / f"charades_sta_{split}.txt").write_text("\n".join(lines) + "\n")
        with (folder / f"Charades_v1_{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("id", "length"), *((video, DURATION_S) for video in videos)])


def _tacos_json(folder: Path) -> None:
    fps, (start_s, end_s) = 25.0, WINDOW_S
    video = {"timestamps": [[start_s * fps, end_s * fps]] * 2, "sentences": ["He cuts.", "He eats."]}
    for split in ("train", "val", "test"):
        tree = {f"{split}{i}.avi": {**video, "fps": fps, "num_frames": DURATION_S * fps} for i in range(2)}
        (folder / f"{split}.json").write_text(json.dumps(tree))


def _tvsum_matlab(folder: Path) -> None:
    """MATLAB 7.3: a column of references per field."""
    tests = sorted(tvsum.TEST_VIDEOS)
    others = [video for video in tvsum.LENGTH_S if video not in tvsum.TEST_VIDEOS]
    fps = 25
    of_frames = np.repeat([(1, 5)[clip in HIGHLIGHT] for clip in range(N_CLIPS)], int(2 * fps))
    with h5py.File(folder / "ydata-tvsum50.mat", "w") as file:
        domains = tvsum.BENCHMARK.domains
        videos = [*zip(tests, domains, strict=True), *zip(others, 2 * domains, strict=False)]
        columns: dict[str, list[Any]] = {
            "video": [_codes(video) for video, _ in videos],
            "category": [_codes(domain) for _, domain in videos],
            "title": [_codes("a title") for _ in videos],
            "length": [np.array([[DURATION_S]]) for _ in videos],
            "user_anno": [np.tile(of_frames, (20, 1)).astype(float) for _ in videos],
        }
        table = file.create_group("tvsum50")
        for name, values in columns.items():
            references = table.create_dataset(name, (len(values), 1), dtype=h5py.ref_dtype)
            for i, value in enumerate(values):
                references[i, 0] = file.create_dataset(f"refs/{name}{i}", data=value).ref


def _codes(text: str) -> Any:
    return np.array([[ord(letter)] for letter in text], np.uint16)


def _youtube_json(folder: Path) -> None:
    splits = load_yaml(Path(youtube_highlights.__file__).with_name("youtube_splits.yaml"))
    video = {"match": [(-1, 1)[clip in HIGHLIGHT] for clip in range(N_CLIPS)], "duration": DURATION_S}
    names = [name for split in splits.values() for part in ("train", "test") for name in split[part].split()[:2]]
    (folder / "youtube_anno.json").write_text(json.dumps(dict.fromkeys(names, video)))


def _na_vmr(folder: Path) -> None:
    """QVHighlights' own files, and the null queries as they are published: under ids of theirs, as windows [0, 0]."""
    nothing = {"relevant_windows": [[0, 0]], "relevant_clip_ids": [], "saliency_scores": [[]]}
    for split, theirs in na_vmr.THEIRS.items():
        rows = [row for row in _rows(na_vmr.BENCHMARK, split) if not row.is_null]
        write_annotations(folder / f"highlight_{theirs}_release.jsonl", rows)
        null = [{**row.to_row(), **nothing, "vid": other.video_id} for row, other in zip(rows, rows[::-1], strict=True)]
        write_jsonl(folder / f"qvhl_id_neg_{theirs}.jsonl", null)
        invented = [{**row, "qid": 30000 + int(row["qid"]), "query": "An osprey dives."} for row in null[:2]]
        write_jsonl(folder / f"qvhl_ood_neg_{theirs}.jsonl", invented)


FORMS: dict[tuple[str, str], Callable[[Path], None]] = {
    ("charades_sta", ".txt"): _charades_text,
    ("na_vmr", ".jsonl"): _na_vmr,
    ("tacos", ".json"): _tacos_json,
    ("tvsum", ".mat"): _tvsum_matlab,
    ("youtube_highlights", ".json"): _youtube_json,
}


def write_features(pack: Pack, rows: Sequence[Annotation], folder: Path, clip_s: float, *, own: bool = False) -> None:
    """Features of the rows in a pack's layout, a row every clip_s. own: with the manifest that `extract` writes."""
    rng = np.random.default_rng(0)
    for names in pack.video:
        (folder / names[0]).mkdir(parents=True, exist_ok=True)
        for row in rows:
            n_rows = len(row.labels) if row.labels and not own else int(row.duration_s / clip_s)
            np.savez(folder / names[0] / f"{row.video_id}.npz", features=rng.random((n_rows, WIDTH), np.float32))
        if own:
            manifest = Manifest(encoder="ours", dim=WIDTH, clip_s=clip_s)
            (folder / names[0] / "manifest.json").write_text(manifest.model_dump_json())
    text = folder / pack.text[0]
    if text.suffix == ".txt":
        text.write_text("thing 1 2 3\nperson 4 5 6\n")
        return
    text.mkdir(parents=True, exist_ok=True)
    for row in rows:
        np.savez(text / f"qid{row.query_id}.npz", last_hidden_state=rng.random((4, 5), np.float32))


def perfect(row: Annotation) -> PredictedRow:
    """The truth as a prediction."""
    saliency = np.zeros(N_CLIPS)
    saliency[list(row.relevant_clips)] = [sum(ratings) for ratings in row.ratings]
    if row.labels:
        saliency = row.label_array.mean(1)
    moments = tuple(Moment(window.start_s, window.end_s, 1.0) for window in row.windows or ())
    return PredictedRow(row.query_id, row.video_id, row.query, moments, tuple(saliency.tolist()))

"""Each of the five benchmarks from the command line: prepare, one epoch of training, evaluate; on random features.

    python benchmarks/bench_five.py --data ../shared/data --out /some/folder --set model.width=32

The features have the names and shapes of the published packs and say nothing, so the scores are those of chance: this
shows that every path works on the real annotations, and what each step takes. One JSON line per benchmark.
"""

import argparse
import json
import math
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import Record, options

NAMES = ("qvhighlights", "charades_sta", "tacos", "tvsum", "youtube_highlights")

CLIP_S = {"qvhighlights": 2.0, "charades_sta": 1.0, "tacos": 2.0, "tvsum": 2.0, "youtube_highlights": 1.0}

ANNOTATIONS = {
    "qvhighlights": ("highlight_train_release", "highlight_val_release", "highlight_test_with_gt"),
    "charades_sta": ("charades_train_release", "charades_test_release"),
    "tacos": ("tacos_train_release", "tacos_val_release", "tacos_test_release"),
    "tvsum": ("tvsum_train_release", "tvsum_val_release"),
    "youtube_highlights": ("youtube_highlight_train_release", "youtube_highlight_val_release"),
}


def write_slice(name: str, data: Path, out: Path, limit: int | None) -> list[dict[str, Any]]:
    """Copy the first `limit` rows of each annotation file (of each domain, if there are domains); the rows."""
    out.mkdir(parents=True, exist_ok=True)
    kept: list[dict[str, Any]] = []
    for file in ANNOTATIONS[name]:
        seen: dict[str, int] = {}
        rows = []
        for line in (data / "annotations" / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            domain = row.get("domain", "")
            seen[domain] = seen.get(domain, 0) + 1
            if limit is None or seen[domain] <= limit:
                rows.append(row)
        (out / f"{file}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        kept += rows
    return kept


def write_features(name: str, rows: list[dict[str, Any]], out: Path) -> None:
    """Random features in the names and shapes of the published pack."""
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray[Any, np.dtype[np.float16]]:
        return rng.standard_normal(shape, np.float32).astype(np.float16)

    for folder in folders(name):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for video_id in {row["vid"] for row in rows}:
        row = next(row for row in rows if row["vid"] == video_id)
        n = len(row["label"]) if row.get("label") else math.ceil(row["duration"] / CLIP_S[name])
        if name == "tvsum":
            for kind in ("rgb", "opt"):
                np.save(out / "video_features" / f"{video_id}_{kind}.npy", noise(n, 1024))
        else:
            clip, slowfast = folders(name)[:2]
            np.savez(out / clip / f"{video_id}.npz", features=noise(n, 512))
            np.savez(out / slowfast / f"{video_id}.npz", features=noise(n, 2304))
    text, prefix = folders(name)[-1], "qid" if name in ("qvhighlights", "charades_sta") else ""
    key = "token" if name == "tvsum" else "last_hidden_state"
    for row in rows:
        np.savez(out / text / f"{prefix}{row['qid']}.npz", **{key: noise(2 + len(row["query"].split()), 512)})


def folders(name: str) -> tuple[str, ...]:
    """CLIP, SlowFast and text folders, as the pack calls them."""
    if name == "tvsum":
        return "video_features", "query_features"
    if name == "youtube_highlights":
        return "vid_clip", "vid_slowfast", "txt_clip"
    return "clip_features", "slowfast_features", "clip_text_features"


def main() -> None:
    """Run every benchmark in a folder and print what it took."""
    parser = options(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="Folder of the real data.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for everything.")
    parser.add_argument("--limit", type=int, help="Rows per annotation file and domain; by default all.")
    parser.add_argument("--only", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--set", action="append", default=[], help="section.key=value for training; may be repeated.")
    arguments = parser.parse_args()
    record = Record(arguments)
    for name in arguments.only:
        row = _one(name, arguments)
        print(json.dumps(row), flush=True)
        case = f"{name}, features that say nothing"
        shown = {key: row[key] for key in ("MR-full-R1@0.5", "MR-full-mAP", "mAP") if key in row}
        record.quality(case, {"rows": row["rows"], **shown})
        record.speed(case, {f"{step}_s": seconds for step, seconds in row["seconds"].items()})
    record.keep()


def _one(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    raw, out, run = (arguments.out / name / part for part in ("raw", "data", "run"))
    rows = write_slice(name, arguments.data, raw, arguments.limit)
    write_features(name, rows, raw / "features")
    settings = [part for one in ["train.epochs=1", *arguments.set] for part in ("--set", one)]
    seconds: dict[str, float] = {}
    steps = {
        "prepare": ["prepare", name, "--source", raw, "--features", raw / "features", "--out", out],
        "train": ["train", "--dataset", name, "--data", out, "--out", run, *settings],
        "evaluate": ["evaluate", run, "--split", "test", "--json"],
    }
    for step, words in steps.items():
        started = time.perf_counter()
        code = "from spikemba_cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{name}, {step}: {done.stderr[-2000:]}")
        seconds[step] = round(time.perf_counter() - started, 1)
    document = json.loads(done.stdout)
    scores = document["brief"] if "brief" in document else {"mAP": document["mAP"]}
    shown = {key: scores[key] for key in ("MR-full-R1@0.5", "MR-full-mAP", "mAP") if key in scores}
    return {"benchmark": name, "rows": len(rows), "seconds": seconds, **shown, "python": platform.python_version()}


if __name__ == "__main__":
    main()

"""What it takes to open a pack and to count its rows, by its form: 10,000 videos of 75 x 16 each.

    OMP_NUM_THREADS=1 python benchmarks/bench_packs.py

`opened_s` is what a data set does before anything else: the form, the width and the marks of six items are found.
`counted_s` is what it does next: every video is looked for and its rows are counted. `read_ms` is one video. All are
times of the processor, which other programs on it hardly touch.
"""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch
from record import Record, options

from spikemba.features import FeatureFolder

Rows = dict[str, np.ndarray]


def _folder(ending: str, save: Callable[[Path, np.ndarray], object]) -> Callable[[Path, Rows], Path]:
    def write(out: Path, videos: Rows) -> Path:
        for name, rows in videos.items():
            save(out / f"{name}{ending}", rows)
        return out

    return write


def _hdf5(out: Path, videos: Rows) -> Path:
    with h5py.File(out / "pack.h5", "w") as file:
        for name, rows in videos.items():
            file[name] = rows
    return out / "pack.h5"


def _npz(out: Path, videos: Rows) -> Path:
    np.savez(out / "pack.npz", **videos)  # type: ignore[arg-type]
    return out / "pack.npz"


FORMS = {
    "folder of npz": _folder(".npz", lambda path, rows: np.savez(path, features=rows)),
    "folder of npy": _folder(".npy", np.save),
    "folder of pt": _folder(".pt", lambda path, rows: torch.save(torch.from_numpy(rows), path)),
    "one npz": _npz,
    "one h5": _hdf5,
}


def seconds(work: Callable[[], object]) -> float:
    """Time of the processor that one call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measured(path: Path, names: list[str]) -> dict[str, float]:
    """Opening, the middle of five; counting all; reading one."""
    opened = sorted(seconds(lambda: FeatureFolder(path, "video")) for _ in range(5))[2]
    pack = FeatureFolder(path, "video")
    counted = seconds(lambda: [pack.n_rows(name) for name in names if pack.has_video(name)])
    some = names[:: max(1, len(names) // 200)]
    read = seconds(lambda: [pack.video(name) for name in some]) / len(some)
    return {"opened_s": round(opened, 3), "counted_s": round(counted, 2), "read_ms": round(1e3 * read, 3)}


def main() -> None:
    """Print one JSON line per form."""
    parser = options(__doc__)
    parser.add_argument("--videos", type=int, default=10_000)
    arguments = parser.parse_args()
    record = Record(arguments, also=["h5py"])
    rng = np.random.default_rng(0)
    videos = {f"{i:011d}_60.0_210.0": rng.random((75, 16), np.float32) for i in range(arguments.videos)}
    for form, write in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            found = measured(write(Path(folder), videos), list(videos))
        print(json.dumps({"form": form, "videos": len(videos), **found}), flush=True)
        record.speed(f"{form}, {len(videos):,} videos", found)
    record.keep()


if __name__ == "__main__":
    main()

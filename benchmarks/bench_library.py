"""A query over a library: time beside the same product in float32 BLAS, memory, opening, and how they grow with it.

    OMP_NUM_THREADS=1 python benchmarks/bench_library.py --folder /tmp/bench_library
    OMP_NUM_THREADS=1 python benchmarks/bench_library.py --rows 100000 1000000 10000000

Libraries of synthetic clips, 512 numbers each and 75 to a video, are made below the folder, and stay; a row is 1 KB.

`open_ms`: Library.open and its encoders.  `first_ms`: the first query after it.  `query_ms`: the ten best clips over
all, `videos_ms`: the twenty best videos; medians.  `blas_ms`: numpy's product of float32 with float32, in blocks of
65,536 rows that were turned into float32 beforehand and are in memory, 2 GB at most, taken again where there are more
rows.  `half_blas_ms`: of blocks of 2,048 rows that are turned from float16 first.  Queries and products take turns
in one process; `ratio` is of their medians, `cpu_ratio` of processor time, which does not count what other work takes.
`peak_mb`: the peak of resident memory of another process that opens the library and asks five times; `base_mb`: what it
had before, with torch loaded.  A line of JSON per size.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from record import Record, options

DIM, CLIPS, BLOCK, MADE = 512, 75, 65_536, 60_000
HELD = 1_000_000
"""Rows of float32 in memory, at most."""


def make(folder: Path, rows: int) -> None:
    """A library of random clips, where there is none of that size; blocks are shuffles of one another."""
    from spikemba.features import Manifest
    from spikemba.library.reader import Library
    from spikemba.library.writer import FileState, NewVideo, changing

    if (folder / "library.sqlite").exists():
        with Library.open(folder) as library:
            if library.encoders()["clip"].n_rows == rows:
                return
        raise SystemExit(f"{folder} holds something else; remove it")
    random = np.random.default_rng(0)
    block = random.standard_normal((MADE, DIM), dtype=np.float32).astype(np.float16)
    with changing(folder) as writer:
        writer.add_encoder(Manifest(encoder="clip", dim=DIM, weights="0" * 64, clip_s=2.0, dtype="float16"))
        for start in range(0, rows, MADE):
            n = min(MADE, rows - start)
            part = np.roll(block, int(random.integers(DIM)), axis=1)[:n]
            videos = []
            for i in range(0, n, CLIPS):
                path = Path(f"/archive/{(start + i) // CLIPS:07}.mp4")
                own = part[i : i + CLIPS]
                videos.append(NewVideo(FileState(path, start + i, 0, f"{start + i:x}"), 2.0 * len(own), {"clip": own}))
            writer.take_in(videos)


def resident_mb(row: str) -> float:
    """VmRSS or VmHWM of this process."""
    return int(Path("/proc/self/status").read_text().split(f"{row}:")[1].split()[0]) * 1024 / 1e6


def peak(folder: Path) -> dict[str, float]:
    """Memory of a process that opens a library and asks."""
    import torch  # noqa: F401  # what encodes the sentence has it loaded

    from spikemba.library.reader import Library
    from spikemba.ops.native.library import usable

    usable()
    Path("/proc/self/clear_refs").write_text("5")
    base, random = resident_mb("VmRSS"), np.random.default_rng(1)
    started = time.perf_counter()
    with Library.open(folder) as library:
        library.encoders()
        opened = time.perf_counter()
        library.scan("clip", random.standard_normal(DIM), 10)
        first = time.perf_counter()
        for _ in range(4):
            library.scan("clip", random.standard_normal(DIM), 10)
            library.best_videos("clip", random.standard_normal(DIM), 20)
    found = {"open_ms": 1e3 * (opened - started), "first_ms": 1e3 * (first - opened)}
    return {**found, "base_mb": base, "peak_mb": resident_mb("VmHWM")}


def times(folder: Path, rows: int, repeats: int) -> dict[str, float]:
    """Medians in milliseconds, of queries and products that take turns."""
    from spikemba.library.reader import Library

    random = np.random.default_rng(2)
    query = random.standard_normal(DIM).astype(np.float32)
    out = np.empty(BLOCK, np.float32)
    with Library.open(folder) as library:
        half = library.matrix("clip").rows
        held = [half[i : i + BLOCK].astype(np.float32) for i in range(0, min(rows, HELD), BLOCK)]
        n_blocks = -(-rows // BLOCK)
        part = np.empty((2048, DIM), np.float32)

        def blas() -> None:
            for i in range(n_blocks):
                block = held[i % len(held)]
                np.dot(block, query, out=out[: len(block)])

        def half_blas() -> None:
            for i in range(0, rows, 2048):
                n = min(2048, rows - i)
                part[:n] = half[i : i + n]
                np.dot(part[:n], query, out=out[:n])

        cases: dict[str, Callable[[], object]] = {
            "query": lambda: library.scan("clip", query, 10),
            "blas": blas,
            "videos": lambda: library.best_videos("clip", query, 20),
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for turn in range(repeats + 1):  # the first one is not counted
            for name, run in cases.items():
                started, processor = time.perf_counter(), time.process_time()
                run()
                if turn:
                    found[name].append((time.perf_counter() - started, time.process_time() - processor))
        started = time.perf_counter()
        half_blas()
        slow = 1e3 * (time.perf_counter() - started)
    wall, cpu = ({name: 1e3 * statistics.median(t[i] for t in found[name]) for name in cases} for i in (0, 1))
    row = {f"{name}_ms": wall[name] for name in cases} | {f"{name}_cpu_ms": cpu[name] for name in cases}
    ratios = {"ratio": wall["query"] / wall["blas"], "cpu_ratio": cpu["query"] / cpu["blas"]}
    return {**row, "half_blas_ms": slow, **ratios}


def main() -> None:
    """Print a line of JSON per size."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("bench_library"))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak:
        print(json.dumps(peak(given.peak)))
        return
    record = Record(given)
    for rows in given.rows:
        folder = given.folder / str(rows)
        make(folder, rows)
        command = [sys.executable, __file__, "--peak", str(folder)]
        memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        row = {"rows": rows, **memory, **times(folder, rows, given.repeats)}
        print(json.dumps({key: round(value, 3) for key, value in row.items()}), flush=True)
        record.speed(f"{rows} clips of {DIM}", {key: round(value, 3) for key, value in row.items() if key != "rows"})
    record.keep()


if __name__ == "__main__":
    main()

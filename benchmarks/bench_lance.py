"""A library of LanceDB at a million clips: how much of the exact answer its index finds, how fast, and what it costs.

    OMP_NUM_THREADS=1 LANCE_CPU_THREADS=1 python benchmarks/bench_lance.py --folder /tmp/bench_lance
    OMP_NUM_THREADS=1 LANCE_CPU_THREADS=1 python benchmarks/bench_lance.py --data gaussian --rows 200000

Clips of 512 numbers, 75 to a video. `walk`: a video begins near one of 1,000 places, of which some are frequent, and
walks on from clip to clip; a question is a clip with noise. `gaussian`: every clip is drawn alone, so that no two are
near each other: the hard case, which no archive is.

`recall`: of the 20 nearest clips by the exact scan, the share that the index names, over `--questions`, for partitions
looked into (nprobes) and rows looked at (ef).  `query_ms`: median; `exact_ms` of LanceDB comparing all rows.
`build_s`: by the clock, `build_cpu_s` of the processor.  `before_gb`, `peak_gb`: resident memory of this process at
most, before building and in all.  `disk_gb`: of the folder, rows and index.
"""

import json
import resource
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from record import Record, options

DIM, CLIPS, BLOCK, TOP = 512, 75, 30_000, 20
PLACES = 1_000


def blocks(data: str, rows: int) -> Iterator[np.ndarray]:
    """(BLOCK, DIM) float16, until there are so many."""
    random = np.random.default_rng(0)
    places = random.standard_normal((PLACES, DIM), dtype=np.float32)
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        drawn = random.standard_normal((n, DIM), dtype=np.float32)
        if data == "walk":
            n_videos = -(-n // CLIPS)
            begin = places[random.zipf(1.3, n_videos) % PLACES]
            begin = begin + 0.7 * random.standard_normal((n_videos, DIM), dtype=np.float32)
            for i in range(n_videos):
                own = drawn[i * CLIPS : (i + 1) * CLIPS]
                own[:] = begin[i] + 0.15 * own.cumsum(0) + 0.2 * random.standard_normal(own.shape, dtype=np.float32)
        yield drawn.astype(np.float16)


def questions(data: str, rows: int, n: int) -> np.ndarray:
    """(n, DIM): of `walk` near clips that are there, of `gaussian` drawn as they are."""
    random = np.random.default_rng(1)
    drawn = random.standard_normal((n, DIM), dtype=np.float32)
    if data == "walk":
        block = next(blocks(data, rows)).astype(np.float32)
        drawn = block[random.integers(len(block), size=n)] + 0.7 * drawn
    return drawn


def gigabytes() -> float:
    """The peak of this process's resident memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def made(folder: Path, data: str, rows: int):
    """The table, made where there is none of that name."""
    import lancedb

    from spikemba.library.lance.rows import arrow, schema

    database = lancedb.connect(str(folder))
    name = f"{data}-{rows}"
    if name in database.list_tables().tables:
        return database.open_table(name)
    table = database.create_table(name, schema=schema(DIM))
    entry = 0
    for block in blocks(data, rows):
        parts = [block[i : i + CLIPS] for i in range(0, len(block), CLIPS)]
        table.add(arrow([(entry + i, part) for i, part in enumerate(parts)], DIM))
        entry += len(parts)
    return table


def compare_types(folder: Path, rows: int, record: Record) -> None:
    """Processor time of building an index over float32 and over float16."""
    import lancedb
    import pyarrow as pa
    from lancedb.index import HnswFlat

    from spikemba.library.lance.vector_index import EF_CONSTRUCTION, M

    wide = np.concatenate(list(blocks("gaussian", rows)))
    for dtype, kind in ((np.float32, pa.float32()), (np.float16, pa.float16())):
        table = lancedb.connect(str(folder)).create_table(
            "types", schema=pa.schema([("vector", pa.list_(kind, DIM))]), mode="overwrite"
        )
        table.add(pa.table([pa.FixedSizeListArray.from_arrays(pa.array(wide.astype(dtype).ravel()), DIM)], ["vector"]))
        cpu = time.process_time()
        how = {"num_partitions": 1, "m": M, "ef_construction": EF_CONSTRUCTION}
        table.create_index("vector", config=HnswFlat(distance_type="cosine", **how))
        took = round(time.process_time() - cpu, 1)
        print(json.dumps({"rows": rows, "type": np.dtype(dtype).name, "build_cpu_s": took}), flush=True)
        record.speed(f"{rows:,} clips as {np.dtype(dtype).name}", {"build_cpu_s": took})


def named(found: tuple[np.ndarray, np.ndarray]) -> set[tuple[int, int]]:
    return set(zip(found[0].tolist(), found[1].tolist(), strict=True))


def main() -> None:
    from spikemba.library.lance.vector_index import IndexSettings, build, index_state, nearest

    parser = options(__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--data", choices=["walk", "gaussian"], default="walk")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kind", default="IVF_HNSW_FLAT")
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--types", action="store_true", help="Compare float32 with float16 alone.")
    parser.add_argument("--remove", action="store_true", help="Remove the folder at the end.")
    asked = parser.parse_args()
    record = Record(asked, also=["lancedb"])

    if asked.types:
        compare_types(asked.folder, asked.rows, record)
        record.keep()
        return
    name = f"{asked.data}, {asked.rows:,} clips"
    table, case = made(asked.folder, asked.data, asked.rows), {"data": asked.data, "rows": asked.rows}
    if index_state(table).kind is None:
        before, start, cpu = gigabytes(), time.perf_counter(), time.process_time()
        build(table, asked.rows, asked.kind)
        case |= {"build_s": round(time.perf_counter() - start), "build_cpu_s": round(time.process_time() - cpu)}
        case |= {"before_gb": round(before, 2), "peak_gb": round(gigabytes(), 2)}
        record.speed(f"{name}, building", {key: one for key, one in case.items() if isinstance(one, float | int)})
    size = sum(file.stat().st_size for file in asked.folder.rglob("*") if file.is_file())
    print(json.dumps(case | {"kind": index_state(table).kind, "disk_gb": round(size / 1e9, 2)}), flush=True)

    vectors = questions(asked.data, asked.rows, asked.questions)
    truth, exact_ms = [], []
    for vector in vectors:
        start = time.perf_counter()
        truth.append(named(nearest(table, vector, TOP, IndexSettings(), exact=True)))
        exact_ms.append(1e3 * (time.perf_counter() - start))
    print(json.dumps(case | {"exact_ms": round(statistics.median(exact_ms), 1)}), flush=True)
    record.speed(name, {"disk_gb": round(size / 1e9, 2), "exact_ms": exact_ms})
    for nprobes in (4, 8, 16, 32, 64):
        for ef in (50, 100, 200, 400):
            settings, hits, took = IndexSettings(nprobes=nprobes, ef=ef), 0, []
            for vector, right in zip(vectors, truth, strict=True):
                start = time.perf_counter()
                found = nearest(table, vector, TOP, settings)
                took.append(1e3 * (time.perf_counter() - start))
                hits += len(named(found) & right)
            result = {"nprobes": nprobes, "ef": ef, "recall": round(hits / TOP / len(vectors), 4)}
            print(json.dumps(case | result | {"query_ms": round(statistics.median(took), 1)}), flush=True)
            way = f"{name}, nprobes {nprobes}, ef {ef}"
            record.quality(way, {"recall@20": 100 * hits / TOP / len(vectors)})
            record.speed(way, {"query_ms": took})
    record.keep()
    if asked.remove:
        shutil.rmtree(asked.folder)


if __name__ == "__main__":
    main()

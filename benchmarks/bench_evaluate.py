"""How long scoring takes: 1,550 QVHighlights predictions, files to document, in process.

    python benchmarks/bench_evaluate.py --data ../shared/data

The public evaluator takes 3.8 to 5.0 s for the same files on two cores.
"""

import json
import platform
import statistics
import time
from pathlib import Path

import numpy as np
from record import Record, options

from pipelines.scoring.scores import score_files


def main() -> None:
    """Print one JSON line: median and p90 seconds."""
    parser = options(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="Folder of the real data.")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    predictions = arguments.data / "predictions" / "qvhighlights_val_sample_preds.jsonl"
    annotations = arguments.data / "annotations" / "highlight_val_release.jsonl"
    record = Record(arguments)
    wall, processor = [], []
    for _ in range(arguments.repeats + 2):
        started = time.perf_counter(), time.process_time()
        score_files(predictions, annotations)
        wall.append(time.perf_counter() - started[0])
        processor.append(time.process_time() - started[1])
    wall, processor = sorted(wall[2:]), sorted(processor[2:])
    row = {
        "case": "evaluate 1550 QVHighlights predictions",
        "median_s": round(statistics.median(wall), 3),
        "p90_s": round(wall[int(0.9 * (len(wall) - 1))], 3),
        "processor_median_s": round(statistics.median(processor), 3),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    print(json.dumps(row))
    record.speed(row["case"], {key: row[key] for key in ("median_s", "p90_s", "processor_median_s")})
    record.keep()


if __name__ == "__main__":
    main()

"""The rows of an ablation: what `spikemba ablate` left in its folder, as figures of its data.

    python benchmarks/bench_study.py runs/claims-far-ablations --name far      # `--record` appends them

Nothing is trained here: `spikemba ablate` does that and answers the test split. One JSON line per variant: the mean of
the main metrics over the seeds and their standard deviation, and the difference to the base, query by query, with its
95 % interval over videos.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from record import Figure, Record, options

from pipelines.studies.ablation_tables import TABLE

SHOWN = ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP")
BASE = "base"


def rows_of(variant: Mapping[str, Any], name: str) -> dict[str, dict[str, Figure]]:
    """Case -> figures of one variant in the document of an ablation."""
    mean, spread = variant["mean"], variant["std"]
    alone: dict[str, Figure] = {}
    for metric in SHOWN:
        if metric in mean:
            alone[metric] = mean[metric]
            alone |= {f"{metric}_sd": spread[metric]} if metric in spread else {}
    cases = {f"{name}: {variant['name']}, {len(variant['seeds'])} seeds": alone}
    against = {metric: found["difference"] for metric, found in variant["against_base"].items() if metric in SHOWN}
    if variant["name"] != BASE and against:
        cases[f"{name}: {variant['name']} - {BASE}"] = {
            metric: one["mean"] if one["low"] is None else (one["mean"], one["low"], one["high"])
            for metric, one in against.items()
        }
    return cases


def main() -> None:
    """Print a line of JSON per case."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path, help="that `spikemba ablate` wrote")
    parser.add_argument("--name", required=True, help="of the data, as rows call them: outshone, far, scripts, shapes")
    arguments = parser.parse_args()
    record, path = Record(arguments), arguments.folder / TABLE
    if not path.is_file():
        raise SystemExit(f"error: {path} is not there; run `spikemba ablate shapes --out {arguments.folder}` first")
    for variant in json.loads(path.read_text("utf-8"))["variants"]:
        for case, figures in rows_of(variant, arguments.name).items():
            print(json.dumps({"case": case, **figures}), flush=True)
            record.quality(case, figures)
    record.keep()


if __name__ == "__main__":
    main()

"""What the bundled checkpoint finds in held-out shapes videos, and whether it says what is not there.

    python benchmarks/bench_bundled.py build/bundled                  # the 150 test videos of `make weights`
    python benchmarks/bench_bundled.py build/bundled --videos 4       # the first four of them, in half a minute

Draws the videos below the folder, encodes them and their sentences with mini, and scores the answers as `spikemba
evaluate mini` does, beside windows by chance. What is there already is kept.
"""

import json
from pathlib import Path

import numpy as np
from bench_shapes import SHOWN, chance
from record import Figure, Record, options

from pipelines.extraction.extract import extract
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from pipelines.scoring.evaluate_files import EvaluateOptions, Evaluation
from pipelines.scoring.scores import score
from pipelines.tasks.registry import kind_of_run, load_run_config
from spikemba.datasets.annotations import read_annotations, read_predictions
from spikemba.metrics.existence import auroc

NULLS = ("GMR-AUROC", "GMR-Rej-F1@0.4", "GMR-Rej-F1@0.6", "GMR-G-mIoU@1")
ALL = 150
"""Videos of the test split of `make weights`."""
FEWEST_VIDEOS = 6
"""That tell an interval."""


def evaluated(corpus: Path, checkpoint: str, n_videos: int) -> Evaluation:
    """The checkpoint's answers to the test split and its null queries, scored; they stay in `corpus/answers.jsonl`."""
    data = getattr(load_run_config(corpus / "config.yaml"), "data", None)
    resamples = 1000 if n_videos >= FEWEST_VIDEOS else 0
    how = EvaluateOptions(data, out=corpus / "answers.jsonl", resamples=resamples)
    return kind_of_run(Path(checkpoint)).evaluate_run(Path(checkpoint), "test", how)


def nulls_by_kind(corpus: Path) -> dict[str, dict[str, Figure]]:
    """Kind of null query -> how well existence tells those from all sentences that are true."""
    nulls, found = read_annotations(corpus / "test_nulls.jsonl"), {}
    existence = {row.query_id: row.existence for row in read_predictions(corpus / "answers.jsonl")}
    true = [existence[one.query_id] for one in read_annotations(corpus / "test.jsonl")]
    for kind in dict.fromkeys(one.kind for one in nulls):
        null = [existence[one.query_id] for one in nulls if one.kind == kind]
        told = auroc(np.array(true + null), np.array([True] * len(true) + [False] * len(null)))
        found[f"null queries of kind {kind}"] = {"GMR-AUROC": round(100 * told, 2), "queries": len(null)}
    return found


def with_interval(found: Evaluation, name: str) -> Figure:
    """A number, with its 95 % interval where there is one."""
    interval = found.intervals.get(name)
    if interval is None or interval.low is None or interval.high is None:
        return found.brief[name]
    return found.brief[name], interval.low, interval.high


def main() -> None:
    """Print a line of JSON per case."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path, help="for the drawn videos and their features")
    parser.add_argument("--videos", type=int, default=ALL)
    parser.add_argument("--checkpoint", default="mini", help="a bundled one's name, or a checkpoint's folder")
    arguments = parser.parse_args()
    record, corpus = Record(arguments), arguments.folder
    prepared = prepare_shapes(corpus, ShapesConfig(train=0, val=0, test=arguments.videos))
    extract(
        [corpus / "videos"], "mini", corpus / "features", queries=[corpus / f"{k}.jsonl" for k in prepared.n_queries]
    )
    test = read_annotations(corpus / "test.jsonl")
    lengths = [window.end_s - window.start_s for one in test for window in one.windows or ()]
    by_chance = score(chance(test, lengths), test)["brief"]
    record.quality(
        f"{split_of(arguments.videos)}: chance, lengths of its own windows", {n: by_chance[n] for n in SHOWN}
    )

    found = evaluated(corpus, arguments.checkpoint, arguments.videos)
    off = found.document["GMR"]["calibration"]
    errors = {
        "expected_calibration_error_of_existence": off["existence"]["ECE"],
        "expected_calibration_error_of_the_first_moment": off["top1_IoU@0.5"]["ECE"],
    }
    cases = {"": {"queries": len(test), **{name: with_interval(found, name) for name in SHOWN}, **errors}}
    for kind, of_kind in found.document["by_kind"].items():
        if SHOWN[0] in of_kind["brief"]:  # null queries have no moment
            numbers = {name: of_kind["brief"][name] for name in SHOWN}
            cases[kind] = {"queries": of_kind["n_queries"], **numbers}
    cases[f"{prepared.n_queries['test_nulls']} null queries"] = {name: found.brief[name] for name in NULLS}
    cases |= nulls_by_kind(corpus)
    for name, figures in cases.items():
        case = f"{split_of(arguments.videos)}{', ' if name else ''}{name}: {arguments.checkpoint}"
        print(json.dumps({"case": case, **figures}), flush=True)
        record.quality(case, figures)
    record.keep()


def split_of(n_videos: int) -> str:
    """How cases name what was asked."""
    return "shapes, test" + ("" if n_videos == ALL else f" of {n_videos} videos")


if __name__ == "__main__":
    main()

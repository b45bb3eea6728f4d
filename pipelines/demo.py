"""The whole way on one machine, offline: draw videos, extract, train, evaluate on unseen ones, ground, report."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.extraction.extract import extract
from pipelines.extraction.job import ExtractEvents
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from pipelines.reports.report import Case, write_report
from pipelines.runs.config import config_path
from pipelines.scoring.scores import score
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.grounding.evaluate import Questions, to_rows
from pipelines.tasks.train import TrainEvents, train
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.base import GroundingDataset
from spikemba.grounder.grounder import load
from spikemba.grounder.result import Grounding
from spikemba.grounding import answer_questions
from spikemba.progress import Report, silent

CORPUS = ShapesConfig(train=80, val=10, test=25, seed=7)
N_CASES = 5
"""Queries shown in the report."""


@dataclass
class DemoResult:
    """What the demo made."""

    metrics: dict[str, float]
    """Brief of the evaluation on held-out videos."""
    grounded: Grounding
    report: Path
    seconds: dict[str, float] = field(default_factory=dict)
    """Per stage."""


def demo(
    out: Path,
    *,
    sizes: ShapesConfig = CORPUS,
    settings: Sequence[str] = (),
    stage: Callable[[str], None] = lambda _: None,
    report: Report = silent,
    events: TrainEvents | None = None,
) -> DemoResult:
    """Run every stage in `out`; what an earlier demo finished there is kept.

    sizes: of the corpus.  settings: `section.key=value` over configs/demo.yaml.
    stage: told the name of each stage as it begins.  Raises OutputError when `out` cannot be written.
    """
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        stage(name)
        started = time.perf_counter()
        yield
        seconds[name] = time.perf_counter() - started

    corpus = out / "shapes"
    with timed("draw videos"):
        prepared = prepare_shapes(corpus, sizes, report)
    queries = [corpus / f"{split}.jsonl" for split in ("train", "val", "test")]
    with timed("extract features"):
        extract([prepared.videos], "mini", corpus / "features", queries=queries, events=ExtractEvents(videos=report))
    config = _config(corpus, settings)
    with timed("train"):
        run = train(config, out / "run", resume=True, events=events).run
    with timed("evaluate"):
        metrics, cases = _evaluate(run, config, prepared.videos)
    with timed("ground"):
        case = cases[0]
        grounded = load(run).ground(case.video, case.query)
    with timed("report"):
        page = write_report(
            out / "report",
            "SpikeMba on shapes it has not seen",
            "Videos were drawn and encoded, their features extracted, a small model trained for two minutes on a CPU, "
            "and asked about videos of other seeds.",
            {
                "Metrics on held-out videos": (("metric", "%"), [(k, f"{v:.2f}") for k, v in metrics.items()]),
                "Time": (("stage", "seconds"), [(name, f"{s:.1f}") for name, s in seconds.items()]),
            },
            cases,
        )
    return DemoResult(metrics, grounded, page, seconds)


def _config(corpus: Path, settings: Sequence[str]) -> RunConfig:
    """configs/demo.yaml, with the data where this demo has put them."""
    splits = [f"data.{split}={corpus / split}.jsonl" for split in ("train", "val", "test")]
    video, text = corpus / "features" / "mini", corpus / "features" / "mini_text"
    where = [*splits, f"data.video_features=[{video}]", f"data.text_features={text}"]
    return load_config(config_path("demo"), [*where, *settings])


def _evaluate(run: Path, config: RunConfig, videos: Path) -> tuple[dict[str, float], list[Case]]:
    """The brief on the test split, and some of its queries with their answers, for people to look at."""
    checkpoint, dataset = load_checkpoint(run), GroundingDataset(config.data, "test")
    questions = Questions(dataset)
    answers = list(answer_questions(checkpoint.model, questions, checkpoint.features.clip_s, checkpoint.grounding))
    metrics: dict[str, float] = score(to_rows(questions, answers), dataset.annotations)["brief"]
    step = max(1, len(answers) // N_CASES)
    cases = [
        Case(
            name=f"query_{annotation.query_id}",
            video=videos / f"{annotation.video_id}.mp4",
            query=annotation.query,
            duration_s=annotation.duration_s,
            clip_s=checkpoint.features.clip_s,
            answer=answer,
            truth=annotation.windows,
            min_exists=checkpoint.grounding.min_exists,
        )
        for annotation, answer in list(zip(dataset.annotations, answers, strict=True))[::step][:N_CASES]
    ]
    return metrics, cases

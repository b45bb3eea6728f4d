"""The whole way on one machine, offline: draw videos, extract, train, evaluate on unseen ones, ground, report."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.extraction.extract import extract
from pipelines.extraction.job import ExtractEvents
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from pipelines.reports.choice import chosen
from pipelines.reports.evaluation_report import content_of
from pipelines.reports.report import Table, write_report
from pipelines.runs.config import config_path
from pipelines.scoring.evaluate_files import EvaluateOptions
from pipelines.scoring.outcomes import outcomes
from pipelines.scoring.verdict import verdict
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.grounding.evaluate import evaluate_run
from pipelines.tasks.train import TrainEvents, train
from spikemba.grounder.grounder import load
from spikemba.grounder.result import Grounding
from spikemba.progress import Report, silent

CORPUS = ShapesConfig(train=80, val=10, test=25, seed=7)
INTRO = (
    "Videos were drawn and encoded, their features extracted, a small model trained for two minutes on a CPU, and "
    "asked about videos of other seeds."
)


@dataclass
class DemoResult:
    """What the demo made."""

    metrics: dict[str, float]
    """Brief of the evaluation on held-out videos."""
    grounded: Grounding
    report: Path
    verdict: str
    """The evaluation in one line."""
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
        result = evaluate_run(run, "test", EvaluateOptions(data=config.data))
    with timed("ground"):
        best = next(iter(chosen(outcomes(result.rows, result.truth)).values()))[0].truth
        grounded = load(run).ground(prepared.videos / f"{best.video_id}.mp4", best.query)
    with timed("report"):
        content = content_of("SpikeMba on shapes it has not seen", result, prepared.videos)
        times: Table = ("stage", "seconds"), [(name, f"{s:.1f}") for name, s in seconds.items()]
        content = replace(content, intro=INTRO, tables={**content.tables, "Time": times})
        page, _ = write_report(out / "report", content)
    return DemoResult(result.brief, grounded, page, verdict(result), seconds)


def _config(corpus: Path, settings: Sequence[str]) -> RunConfig:
    """configs/demo.yaml, with the data where this demo has put them."""
    splits = [f"data.{split}={corpus / split}.jsonl" for split in ("train", "val", "test")]
    video, text = corpus / "features" / "mini", corpus / "features" / "mini_text"
    where = [*splits, f"data.video_features=[{video}]", f"data.text_features={text}"]
    return load_config(config_path("demo"), [*where, *settings])

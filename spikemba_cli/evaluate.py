"""`spikemba evaluate`."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikemba.datasets.registry import OWN
from spikemba.reading.printable import counted
from spikemba_cli import completion
from spikemba_cli.console import print_json, print_line, print_note, print_table, print_warning, progress

if TYPE_CHECKING:
    from pipelines.scoring.evaluate_files import Evaluation

FEWEST_RESAMPLES = 100
"""Of which the 2.5 % at either end are still some."""


def _enough(n: int) -> int:
    """As many resamples as tell an interval, or 0 for none. Raises typer.BadParameter."""
    if n and n < FEWEST_RESAMPLES:
        raise typer.BadParameter(f"{n} tell no interval; expected {FEWEST_RESAMPLES} or more, or 0 for none")
    return n


Table = Literal["text", "markdown", "csv"]
PrecisionOption = Annotated[
    Literal["auto", "fp32", "bf16"], typer.Option(help="Of the checkpoint's products; auto: bf16 where it is faster.")
]


AnnotationsOption = Annotated[
    Path | None, typer.Option(help="Annotations to score it against: jsonl, or the official file.")
]
ReportOption = Annotated[
    Path | None, typer.Option(help="Also write a page: each sentence with its mark, pictures, numbers.")
]
VideosOption = Annotated[
    Path | None, typer.Option(help="Folder of the videos, for the report's frames; by default videos beside the data.")
]
ResamplesOption = Annotated[
    int,
    typer.Option(help="Also print 95 % intervals over so many resamples of the videos, 100 or more.", callback=_enough),
]
CheckpointArgument = Annotated[
    Path | None,
    typer.Argument(
        help="Run folder, checkpoint folder, or name of a bundled model.", autocompletion=completion.checkpoints
    ),
]
BenchmarkOption = Annotated[
    str | None,
    typer.Option(
        help=f"Benchmark whose metrics to use; by default the run's, or {OWN}.", autocompletion=completion.benchmarks
    ),
]


def evaluate(
    checkpoint: CheckpointArgument = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Split to evaluate on.")] = "val",
    config: Annotated[
        Path | None, typer.Option(help="YAML whose data to use; how they are read stays the checkpoint's.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="data.key=value or grounding.key=value; may be repeated.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Score this file of predictions instead, in any form that `convert` reads.")
    ] = None,
    annotations: AnnotationsOption = None,
    dataset: BenchmarkOption = None,
    corpus: Annotated[
        bool, typer.Option("--corpus", help="The predictions are of all videos together: R@k over a corpus, NDCG.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only look for faults of the predictions file; exit 1 if there are any.")
    ] = False,
    bootstrap: ResamplesOption = 0,
    table: Annotated[
        Table | None, typer.Option(help="Print the numbers beside the published ones: text, markdown or csv.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the checkpoint's predictions to this jsonl.")] = None,
    report: ReportOption = None,
    videos: VideosOption = None,
    precision: PrecisionOption = "fp32",
    as_json: Annotated[bool, typer.Option("--json", help="Print the official evaluator's document.")] = False,
) -> None:
    """Score a checkpoint on a split, or a predictions file against annotations.

    Example: spikemba evaluate runs/shapes --split test
    """
    of_runs = {"--config": config, "--set": settings, "--out": out, "--precision": precision != "fp32"}
    _check_usage(checkpoint, predictions, annotations, check, of_runs)
    _check_report(report, videos, check)
    if corpus:
        _check_corpus(predictions, {"--dataset": dataset, "--table": table})
    if predictions is not None and annotations is not None:
        result = _of_files(predictions, annotations, None if corpus else dataset or OWN, bootstrap, check)
    else:
        assert checkpoint is not None
        result = _run(checkpoint, split, _other_data(config), _parsed(settings), out, dataset, bootstrap, precision)
    for fault in result.faults:
        print_warning(fault)
    for note in result.notes:
        print_note(note)
    if check:
        raise typer.Exit(int(bool(result.faults)))
    if result.document and table:
        _print_table(result, table, "test" if predictions else split, str(checkpoint or predictions))
    elif result.document:  # there is none where answers to a split without truth were written
        _print_numbers(result, as_json=as_json)
    on = annotations.name if annotations else split
    _print_verdict(result, report, videos, f"{predictions.name if predictions else checkpoint} on {on}")


def _check_report(report: Path | None, videos: Path | None, check: bool) -> None:
    """Raise typer.BadParameter, or SpikeMbaError for a name that no page can have."""
    if videos is not None and report is None:
        raise typer.BadParameter("is for the frames of a report; give --report, too", param_hint="--videos")
    if check and report is not None:
        raise typer.BadParameter("--check scores nothing, so there is nothing to report", param_hint="--report")
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        from spikemba.files import refuse_file_name

        refuse_file_name("--report", report, ".html")


def _print_verdict(result: "Evaluation", report: Path | None, videos: Path | None, about: str) -> None:
    """The page, where one was asked for, and last of all the result in one line."""
    from pipelines.scoring.verdict import verdict

    if report is not None:
        from pipelines.reports.evaluation_report import report_evaluation

        page, problems = report_evaluation(report, f"Evaluation of {about}", result, videos)
        for problem in problems:
            print_warning(problem)
        print_note(f"wrote {page}")
    if said := verdict(result):
        print_line(said)


def _print_numbers(result: "Evaluation", *, as_json: bool) -> None:
    """The document, or a table of its brief and those of what stands beside and behind it."""
    if as_json:
        intervals = {"intervals": {name: asdict(one) for name, one in result.intervals.items()}}
        print_json(result.document | (intervals if result.intervals else {}))
    else:
        _print_brief(result.brief, result.spread, result.intervals)
        if null := result.document.get("GMR"):
            _print_beside(null, result.brief)
        if kinds := result.document.get("by_kind"):
            _print_kinds(kinds, result.n_queries)


def _check_usage(
    checkpoint: Path | None, predictions: Path | None, annotations: Path | None, check: bool, of_runs: dict[str, Any]
) -> None:
    """Raise typer.BadParameter for options that do not go together.  of_runs: those that only a checkpoint takes."""
    if (checkpoint is None) == (predictions is None):
        raise typer.BadParameter("give either a checkpoint or --predictions FILE", param_hint="CHECKPOINT")
    if (predictions is None) != (annotations is None):
        raise typer.BadParameter("--predictions and --annotations go together", param_hint="--annotations")
    if check and predictions is None:
        raise typer.BadParameter("--check looks at a predictions file; give --predictions", param_hint="--check")
    for hint, given in of_runs.items():
        if predictions is not None and given:
            raise typer.BadParameter("is for a checkpoint; --predictions brings its own answers", param_hint=hint)


def _check_corpus(predictions: Path | None, of_benchmarks: dict[str, Any]) -> None:
    """Raise typer.BadParameter for what does not go with --corpus.  of_benchmarks: options of published sets."""
    if predictions is None:
        raise typer.BadParameter("scores a file of predictions; give --predictions", param_hint="--corpus")
    for hint, given in of_benchmarks.items():
        if given:
            raise typer.BadParameter("is for a published set; --corpus has none", param_hint=hint)


def _other_data(config: Path | None) -> Any:
    """The data section to use in place of the run's own; None where nothing is given."""
    if config is None:
        return None
    from pipelines.tasks.registry import load_run_config

    return getattr(load_run_config(config), "data", None)


def _parsed(settings: list[str] | None) -> dict[str, Any]:
    """`section.key=value` as nested dictionaries."""
    from spikemba.config import parse_overrides

    return parse_overrides(settings or [])


def _of_files(
    predictions: Path, annotations: Path, dataset: str | None, resamples: int, only_check: bool
) -> "Evaluation":
    """What a file of predictions gives, by the metrics of a benchmark, or with None by those of a corpus. No torch."""
    if dataset is None:
        from pipelines.scoring.corpus_scores import evaluate_corpus

        return evaluate_corpus(predictions, annotations, resamples, only_check=only_check)
    from pipelines.scoring.evaluate_files import evaluate_files

    return replace(
        evaluate_files(predictions, annotations, dataset, resamples, only_check=only_check), published=dataset
    )


def _run(checkpoint: Path, split: str, *asked: Any) -> "Evaluation":
    """What the checkpoint's kind of training makes of a split.  asked: the fields of EvaluateOptions."""
    from pipelines.scoring.evaluate_files import EvaluateOptions
    from pipelines.tasks.registry import kind_of_run

    with progress("answering", "queries") as report:
        return kind_of_run(checkpoint).evaluate_run(checkpoint, split, replace(EvaluateOptions(*asked), report=report))


def _print_table(result: "Evaluation", form: Table, split: str, name: str) -> None:
    """The numbers, beside the published ones where the data are a published set's."""
    from pipelines.scoring.null_queries import beside_brief
    from pipelines.scoring.published_table import render, results_table, size_warning

    if result.published is None:
        print_warning(
            "these are your own data, so no published numbers stand beside them; if they are those of "
            f"{result.benchmark}, say so with --dataset {result.benchmark}"
        )
    elif warning := size_warning(result.published, result.n_queries):
        print_warning(warning)
    table = results_table(
        result.benchmark,
        split,
        result.brief,
        name,
        result.spread,
        alone=result.published != result.benchmark,
        beside=beside_brief(result.document),
    )
    sys.stdout.write(render(table, form))


def _print_brief(brief: dict[str, float], spread: dict[str, float], intervals: dict[str, Any]) -> None:
    columns = ["metric", "%"]
    rows = [[name, f"{value:.2f}"] for name, value in brief.items()]
    if spread:
        columns.append("±")
        rows = [[*row, f"{spread[row[0]]:.2f}" if row[0] in spread else ""] for row in rows]
    if intervals:
        columns += ["low", "high"]
        known = {name: [f"{one.low:.2f}", f"{one.high:.2f}"] for name, one in intervals.items() if one.low is not None}
        rows = [[*row, *known.get(row[0], ["", ""])] for row in rows]
    print_table("", columns, rows)


def _print_beside(null: dict[str, Any], brief: dict[str, float]) -> None:
    """A second table: what rejection decides, beside what needs no model, and the calibration."""
    from pipelines.scoring.null_queries import BESIDE, SHOWN_BESIDE

    own = [f"{brief[f'GMR-{name}']:.2f}" if f"GMR-{name}" in brief else "" for name in SHOWN_BESIDE]
    rows = [["these predictions", *own, str(null["stats"]["num_total"]), own[0]]] if "stats" in null else []
    for name, of_row in null["beside"].items():
        numbers = [f"{of_row[metric]:.2f}" for metric in SHOWN_BESIDE]
        rows.append([BESIDE[name], *numbers, f"{of_row['n_queries']:.0f}", f"{of_row['predictions_AUROC']:.2f}"])
    sys.stdout.write("\n")  # between the tables, also in a pipe
    print_table("is there a moment?", ["answer", *SHOWN_BESIDE, "queries", "predictions' AUROC there"], rows)
    for name, found in null.get("calibration", {}).items():
        error = "no probabilities" if found["ECE"] is None else f"{found['ECE']:.2f} %"
        print_note(f"expected calibration error, {name} of {found['n_queries']} queries: {error}")


def _print_kinds(kinds: dict[str, dict[str, Any]], n_queries: int) -> None:
    """A second table: the main numbers of each kind of query, in percent."""
    from pipelines.scoring.scores import main_metrics, short_name

    names = main_metrics({name: value for one in kinds.values() for name, value in one["brief"].items()}, at_most=7)
    rows = [
        [kind, str(one["n_queries"]), *(f"{one['brief'][name]:.2f}" if name in one["brief"] else "" for name in names)]
        for kind, one in kinds.items()
    ]
    sys.stdout.write("\n")  # between the tables, also in a pipe
    print_table("by kind of query", ["kind", "queries", *map(short_name, names)], rows)
    if without := n_queries - sum(one["n_queries"] for one in kinds.values()):
        print_note(f"{counted(without, 'query', 'queries')} of {n_queries} without a kind")

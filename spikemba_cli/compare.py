"""`spikemba compare`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba.datasets.registry import OWN
from spikemba_cli.console import JsonOption, print_json, print_note, print_table, print_warning

if TYPE_CHECKING:
    from spikemba.metrics.bootstrap import Comparison


def compare(
    a: Annotated[Path, typer.Argument(help="Predictions, in any form that `convert` reads.")],
    b: Annotated[Path, typer.Argument(help="Predictions to hold against them.")],
    annotations: Annotated[Path, typer.Option(help="Annotations (jsonl) of the queries that both answer.")],
    dataset: Annotated[str, typer.Option(help="Benchmark whose metrics to compare.")] = OWN,
    resamples: Annotated[int, typer.Option(min=100, help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    corpus: Annotated[
        bool, typer.Option("--corpus", help="They are of all videos together, as `evaluate --corpus` reads them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say whether B is better than A: differences with 95 % intervals, over resampled videos.

    Example: spikemba compare ours.jsonl theirs.jsonl --annotations val.jsonl
    """
    if corpus and dataset != OWN:
        raise typer.BadParameter("is for a published set; --corpus has none", param_hint="--dataset")
    found = (_of_corpus if corpus else _of_benchmark)(a, b, annotations, dataset, resamples, seed)
    if as_json:
        print_json({name: asdict(one) for name, one in found.items()})
        return
    columns = ["metric", "A", "B", "B - A", "95 % interval", "p", "better", "worse"]
    rows = []
    for name, c in found.items():
        low, high = c.difference.low, c.difference.high
        limits = "" if low is None or high is None else f"{low:+.2f} to {high:+.2f}"
        numbers = [f"{c.a:.2f}", f"{c.b:.2f}", f"{c.difference.mean:+.2f}", limits, f"{c.p:.3f}"]
        rows.append([name, *numbers, str(c.better), str(c.worse)])
    print_table("", columns, rows)


def _of_benchmark(
    a: Path, b: Path, annotations: Path, dataset: str, resamples: int, seed: int
) -> "dict[str, Comparison]":
    from pipelines.scoring.answers import read_answers
    from pipelines.scoring.comparisons import compare_files, not_annotated, too_few  # without torch
    from pipelines.scoring.null_queries import null_notes
    from spikemba.datasets.annotations import read_annotations

    found, truth = compare_files(a, b, annotations, dataset, resamples, seed), read_annotations(annotations)
    for warning in too_few(truth):
        print_warning(warning)
    for path in (a, b):
        answers = read_answers(path, truth)
        for warning in not_annotated(answers.rows, truth):
            print_warning(f"{path}: {warning}; they are left out")
        for note in answers.notes:
            print_note(f"{path}: {note}")
    for note in null_notes(truth):
        print_note(note)
    return found


def _of_corpus(a: Path, b: Path, annotations: Path, _: str, resamples: int, seed: int) -> "dict[str, Comparison]":
    from pipelines.scoring.corpus_scores import compare_corpus, corpus_notes, too_few_corpus  # without torch
    from spikemba.datasets.corpus_rows import read_corpus_truth

    found, truth = compare_corpus(a, b, annotations, resamples, seed), read_corpus_truth(annotations)
    for warning in too_few_corpus(truth):
        print_warning(warning)
    for note in corpus_notes(truth):
        print_note(note)
    return found

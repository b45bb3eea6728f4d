"""`spikemba features`: looking at feature files."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli.console import JsonOption, out, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Compare feature folders.")


@app.callback()
def _group() -> None:
    """Keeps `compare` a command of its own while it is the only one."""


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of features.")],
    b: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Another one.")],
    as_json: JsonOption = False,
) -> None:
    """Say per encoder how close the features of A and B are, and why they might differ.

    Example: spikemba features compare features/ published_features/
    """
    from pipelines.extraction.compare_features import compare_features

    found = compare_features(a, b)
    if as_json:
        print_json([one.to_dict() for one in found])
        return
    columns = ["encoder", "common", "only A", "only B", "other length", "cosine", "smallest", "in", "norm B/A"]
    rows = []
    for one in found:
        counts = [str(count) for count in (one.n_common, one.only_a, one.only_b, one.n_lengths)]
        closeness = [f"{one.cosine_mean:.5f}", f"{one.cosine_min:.5f}", one.worst, f"{one.norm_ratio:.3f}"]
        rows.append([one.encoder, *counts, *closeness])
    print_table("", columns, rows)
    for one in found:
        for reason in one.reasons:
            out.print(f"{one.encoder}: {reason}", markup=False)

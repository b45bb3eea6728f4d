"""`spikemba features`: looking at feature files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba_cli.console import JsonOption, out, print_json, print_table, progress

if TYPE_CHECKING:
    from pipelines.extraction.show_features import PackReport

app = typer.Typer(no_args_is_help=True, help="Look at packs of features.")


@app.command()
def show(
    pack: Annotated[Path, typer.Argument(help="Folder or file of features; PACK:KEY for one of several arrays.")],
    annotations: Annotated[
        list[Path] | None, typer.Option(help="Annotations that it should have features for, jsonl; may be repeated.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what PACK holds, what probably made it, and what of it would stop a training.

    Exits with 1 when something would. Example: spikemba features show features/clip_features --annotations val.jsonl
    """
    from pipelines.extraction.show_features import show_features

    with progress("reading", "items") as report:
        found = show_features(pack, annotations or [], report)
    if as_json:
        print_json(found.to_dict())
    else:
        _print_pack(found)
    if found.stops:
        raise typer.Exit(1)


def _print_pack(found: "PackReport") -> None:
    unit, item = ("rows", "videos") if found.kind == "video" else ("tokens", "queries")
    least, middle, most = found.rows
    lines = [
        ["encoder", found.encoder],
        [item, f"{found.items}" + (f" (annotations: {found.n_annotated})" if found.n_annotated is not None else "")],
        ["width", str(found.width)],
        ["type", ", ".join(found.types) or "unknown"],
        [unit, f"{least} to {most}, median {middle}"],
    ]
    if found.kind == "video":
        lines.append(["seconds of a row", f"{found.clip_s:g}" if found.clip_s else "unknown without --annotations"])
    if found.recipes:
        lines.append(["configuration", ", ".join(found.recipes)])
    print_table("", [found.kind, found.pack], lines)
    for one in found.findings:
        out.print(f"{'stops training' if one.stops else 'note'}: {one.what}" + (f"; {one.cure}" if one.cure else ""))


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Pack of features, or folder of several.")],
    b: Annotated[Path, typer.Argument(help="Another one.")],
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

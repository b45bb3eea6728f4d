"""Our numbers beside the published ones, for the terminal, for Markdown and for a spreadsheet."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from spikemba.datasets.published import PublishedTable
from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.errors import UnknownName

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["text", "markdown", "csv"]


def published() -> dict[str, PublishedTable]:
    """The published results of every benchmark that has any."""
    entries = map(find_benchmark, benchmark_names())
    return {entry.name: entry.published for entry in entries if entry.published}


def results_table(
    benchmark: str,
    split: str,
    ours: Mapping[str, float],
    name: str = "ours",
    spread: Mapping[str, float] | None = None,
    *,
    alone: bool = False,
    beside: Mapping[str, Mapping[str, float]] | None = None,
) -> "pd.DataFrame":
    """Ours first, then the published rows of that split, in the order of the year they came.

    ours: the brief.  spread: standard deviations over seeds, printed behind our numbers; the table holds text then.
    alone: ours are of other data, so the published rows are left out.  beside: of the same data, what needs no model:
    name -> its numbers; those that have any of the table's columns stand between ours and the published ones.
    Raises UnknownName for a benchmark without a table.
    """
    import pandas as pd

    table = find_benchmark(benchmark).published
    if table is None:
        raise UnknownName("benchmark with published results", benchmark, sorted(published()))
    spread = spread or {}
    rows: list[list[object]] = [[name, *(_ours(ours.get(key), spread.get(key)) for key in table.columns), "this run"]]
    for other, numbers in (beside or {}).items():
        if any(key in numbers for key in table.columns):
            rows.append([other, *(_ours(numbers.get(key), None) for key in table.columns), "the same queries"])
    rows += [
        [row.method, *("" if value is None else f"{value:.2f}" for value in row.values), row.source]
        for row in (() if alone else table.val if split == "val" else table.test)
    ]
    return pd.DataFrame(rows, columns=["method", *map(short_name, table.columns), "source"])


def size_warning(benchmark: str, n_queries: int) -> str:
    """What is to be said when no split of the benchmark has so many queries; empty when one has."""
    about = find_benchmark(benchmark)
    sizes = {split: size.rows for split, size in about.sizes.items()}
    if not sizes or n_queries in sizes.values():
        return ""
    known = ", ".join(f"{n} in {split}" for split, n in sizes.items())
    return f"these are {n_queries} queries and {about.title} has {known}: the numbers below them are of other queries"


def render(table: "pd.DataFrame", form: Form) -> str:
    """The table as text that is printed or kept."""
    if form == "csv":
        return table.to_csv(index=False)
    cells = [list(map(str, table.columns)), *table.astype(str).to_numpy().tolist()]
    if form == "markdown":
        lines = [f"| {' | '.join(row)} |" for row in cells]
        rule = "|".join(["---", *["---:"] * (len(cells[0]) - 2), "---"])
        return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + "\n"
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    sides = ["<", *[">"] * (len(widths) - 2), "<"]
    lines = ["  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines) + "\n"


def short_name(key: str) -> str:
    """A column's heading: MR-full-R1@0.5 -> R1@0.5, HL-min-VeryGood-mAP -> HD mAP, mAP-BK -> BK, GMR-AUROC -> AUROC."""
    if key == "GMR-mAP":  # beside the other mAP
        return key
    for long, short in {"GMR-": "", "MR-full-": "", "HL-min-VeryGood-": "HD ", "mAP-": ""}.items():
        key = key.replace(long, short)
    return key


def _ours(value: float | None, spread: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if spread is None else f"{value:.2f} ± {spread:.2f}"

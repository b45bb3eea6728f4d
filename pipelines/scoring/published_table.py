"""Our numbers beside the published ones, for the terminal, for Markdown and for a spreadsheet."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import model_validator

from spikemba.config import Config, load_yaml
from spikemba.errors import UnknownName

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["text", "markdown", "csv"]


class PublishedRow(Config):
    """One method's results as its source prints them."""

    method: str
    values: tuple[float | None, ...]
    """Percent, one per column; None where the source gives none."""
    source: str
    """Where the numbers were read."""


class PublishedTable(Config):
    """The published results of one benchmark."""

    columns: tuple[str, ...]
    """Keys of the brief, in the order of the papers."""
    test: tuple[PublishedRow, ...] = ()
    val: tuple[PublishedRow, ...] = ()

    @model_validator(mode="after")
    def _as_wide_as_its_columns(self) -> "PublishedTable":
        for row in (*self.test, *self.val):
            if len(row.values) != len(self.columns):
                raise ValueError(f"{row.method} has {len(row.values)} values for {len(self.columns)} columns")
        return self


@cache
def published() -> dict[str, PublishedTable]:
    """Every benchmark's published results."""
    path = Path(__file__).with_name("published.yaml")
    return {name: PublishedTable.parse(table, f"{path}, {name}") for name, table in load_yaml(path).items()}


def results_table(
    benchmark: str, split: str, ours: Mapping[str, float], name: str = "ours", spread: Mapping[str, float] | None = None
) -> "pd.DataFrame":
    """Ours first, then the published rows of that split, in the order of the year they came.

    ours: the brief.  spread: standard deviations over seeds, printed behind our numbers; the table holds text then.
    Raises UnknownName for a benchmark without a table.
    """
    import pandas as pd

    if benchmark not in published():
        raise UnknownName("benchmark", benchmark, sorted(published()))
    table = published()[benchmark]
    spread = spread or {}
    rows: list[list[object]] = [[name, *(_ours(ours.get(key), spread.get(key)) for key in table.columns), "this run"]]
    rows += [
        [row.method, *("" if value is None else f"{value:.2f}" for value in row.values), row.source]
        for row in (table.val if split == "val" else table.test)
    ]
    return pd.DataFrame(rows, columns=["method", *map(short_name, table.columns), "source"])


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
    """A column's heading: MR-full-R1@0.5 -> R1@0.5, HL-min-VeryGood-mAP -> HD mAP, mAP-BK -> BK."""
    for long, short in {"MR-full-": "", "HL-min-VeryGood-": "HD ", "mAP-": ""}.items():
        key = key.replace(long, short)
    return key


def _ours(value: float | None, spread: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if spread is None else f"{value:.2f} ± {spread:.2f}"

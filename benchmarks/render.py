"""README's tables and docs/results.md, from the rows of results/*.csv.

    python benchmarks/render.py                     # or: make results
    python benchmarks/render.py --of bench_scan     # every case of a script, its newest figures, to the terminal

What is shown is said in tables.py; a cell is the newest row of its case and metric. README keeps what stands outside
`<!-- results: NAME -->` and `<!-- end of results -->`; docs/results.md is written whole.
"""

import argparse
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from record import RESULTS, ROOT, SHEETS, ResultsError, Row, one_line, read
from tables import INTRODUCTION, THEMES, Cell, Shown, Table

from spikemba.files import write_text

README, PAGE = ROOT / "README.md", ROOT / "docs" / "results.md"
MARKED = re.compile(r"(<!-- results: (?P<name>[\w-]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


class Results:
    """All rows, by what they are of; the newest count."""

    def __init__(self, folder: Path = RESULTS) -> None:
        self.rows = [row for sheet in SHEETS for row in read(sheet, folder)]
        self.newest: dict[tuple[str, str, str], Row] = {}
        for row in sorted(self.rows, key=lambda row: row.date):  # of one day, the last one written
            for threads in {row.threads, ""}:
                self.newest[row.case, row.metric, threads] = row

    def row(self, cell: Cell) -> Row:
        """The newest row of a cell. Raises ResultsError."""
        try:
            return self.newest[cell.case, cell.metric, cell.threads]
        except KeyError:
            raise ResultsError(f"no row of case {cell.case!r} and metric {cell.metric!r} in results/*.csv") from None


def rounded(text: str, shown: Shown) -> str:
    """A cell's text with so many digits behind the point, halves away from zero, as people round."""
    number = Decimal(text).quantize(Decimal(1).scaleb(-shown.digits), ROUND_HALF_UP)
    return f"{number:+,}" if shown.signed else f"{number:,}"


def figure(row: Row, shown: Shown) -> str:
    """A value, with its interval where that is asked for and there is one."""
    text = rounded(row.value, shown)
    if shown.interval and row.low:
        text += f" ({rounded(row.low, shown)} to {rounded(row.high, shown)})"
    return text


def rendered(table: Table, results: Results) -> str:
    """A table in Markdown; cells that nothing was measured for are empty."""
    lines = ["| " + " | ".join(table.head) + " |", "|" + "---|" * len(table.head)]
    for label, *cells in table.rows:
        found = [" / ".join(_shown(one, table, results) for one in _several(cell)) for cell in cells]
        lines.append("| " + " | ".join([*_several(label), *found]) + " |")
    return "\n".join(lines) + "\n"


def _several(cell: object) -> list:
    return list(cell) if isinstance(cell, tuple | list) else [cell]


def _shown(cell: Cell | None, table: Table, results: Results) -> str:
    return "" if cell is None else figure(results.row(cell), cell.shown or table.shown)


def sources(table: Table, results: Results) -> str:
    """By which command, when, of which commit and where a table's rows were measured; newest first."""
    found: dict[str, Row] = {}
    for _, *cells in table.rows:
        for one in (one for cell in cells for one in _several(cell) if one is not None):
            row = results.row(one)
            if row.script not in found or found[row.script].date < row.date:
                found[row.script] = row
    lines = []
    for script, row in sorted(found.items(), key=lambda one: one[1].date, reverse=True):
        threads = f", {row.threads} thread{'s' if row.threads != '1' else ''}" if row.threads else ""
        of = f", commit {row.commit}" if row.commit else ""
        lines.append(f"- {row.date}{of}; {row.machine}{threads}; {row.versions}: `{script}`")
    return "\n".join(lines) + "\n"


def page(results: Results) -> str:
    """docs/results.md."""
    parts = [INTRODUCTION]
    for theme, tables in THEMES.items():
        parts.append(f"## {theme}\n")
        for table in tables:
            parts += [f"### {table.title}\n", *([table.note.strip() + "\n"] if table.note else [])]
            parts += [rendered(table, results), sources(table, results)]
    return "\n".join(parts)


def readme(text: str, results: Results) -> str:
    """README with its tables anew. Raises ResultsError for a name that is no table's."""
    tables = {table.name: table for of_theme in THEMES.values() for table in of_theme}

    def anew(found: re.Match[str]) -> str:
        if found["name"] not in tables:
            raise ResultsError(f"README.md asks for the table {found['name']!r}; expected one of {', '.join(tables)}")
        return found[1] + "\n" + rendered(tables[found["name"]], results) + "\n" + found[3]

    return MARKED.sub(anew, text)


def of_script(name: str, results: Results) -> Sequence[str]:
    """A line per case and metric that a script has rows of, the newest."""
    found = {}
    for row in sorted(results.rows, key=lambda row: row.date):
        if name in row.script:
            found[row.case, row.metric, row.threads] = row
    lines = []
    for row in found.values():
        interval = f" ({row.low} to {row.high})" if row.low else ""
        lines.append("\t".join([row.date, row.commit, row.threads, row.case, row.metric, row.value + interval]))
    return lines


def main() -> None:
    """Write both, or print what a script has measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", metavar="SCRIPT", help="print the newest figures of a script instead, as bench_scan")
    arguments = parser.parse_args()
    results = Results()
    if arguments.of:
        lines = of_script(arguments.of, results)
        if not lines:
            raise ResultsError(f"results/*.csv have no row of {arguments.of}; record one with its --record")
        print("\n".join(lines))
        return
    write_text(PAGE, page(results))
    write_text(README, readme(README.read_text("utf-8"), results))


if __name__ == "__main__":
    with one_line():
        main()

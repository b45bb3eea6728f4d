"""Tables on a terminal: numbers to the right, text to the left, and nothing cut however narrow the window is."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_NUMBER = re.compile(r"[-+±]?\s?[\d.,:]+(/\d+)?\s?(%|±\s?[\d.,]+)?")
_EDGES = 3
"""Signs around a column: a blank on either side, and a line."""


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], width: int
) -> "Table | Text":
    """What rich prints.  styles: the look of each row.  width: of the window, in signs.

    Where the window is too narrow, columns of sentences break between words; names, paths and numbers stay whole, and
    where not even that helps, each row is a block with a line for each of its cells, which only the terminal breaks.
    """
    from rich.text import Text

    widths = _fitting(columns, rows, width - 1)
    if widths is not None:
        return _grid(title, columns, rows, styles, widths)
    name = max(map(_signs, columns))
    blocks: list[Text] = [Text(title, "bold")] if title else []
    for row, style in zip(rows, styles, strict=True):
        blocks.append(Text(row[0] or "-", f"bold {style}".strip()))
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                blocks.append(Text(f"  {column}{' ' * (name - _signs(column))}  {cell}", style))
    return Text("\n").join(blocks)


def _grid(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], widths: Sequence[int]
) -> "Table":
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=Text(title, "italic") if title else None, title_justify="left", header_style="bold")
    for i, (name, width) in enumerate(zip(columns, widths, strict=True)):
        numbers = [row[i] for row in rows if row[i]]
        right = bool(numbers) and all(_NUMBER.fullmatch(cell) for cell in numbers)
        grid.add_column(Text(name), justify="right" if right else "left", width=width, overflow="fold")
    for row, style in zip(rows, styles, strict=True):
        grid.add_row(*map(Text, row), style=style)
    return grid


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """A width per column that cuts and breaks no word; None where there is none."""
    cells = list(zip(columns, *rows, strict=True))
    wanted = [max(map(_signs, of_column)) for of_column in cells]
    room = width - _EDGES * len(columns)
    if sum(wanted) <= room:
        return wanted
    least = [_least(of_column) for of_column in cells]
    spare = room - sum(least)
    if spare < 0:
        return None
    for i in sorted(range(len(columns)), key=lambda i: wanted[i] - least[i]):  # the longest gets what the others leave
        more = min(spare, wanted[i] - least[i])
        least[i], spare = least[i] + more, spare - more
    return least


SENTENCE = 4
"""Words, from which on a cell may break between them; a name with a blank in it stays whole."""
NARROWEST, LONGEST_WORD = 24, 40
"""Signs: of a column of sentences, and of a word in them, such as an address, that is not folded for want of room."""


def _least(cells: Sequence[str]) -> int:
    """The narrowest that a column can be."""
    words = [cell.split() for cell in cells]
    whole = max((_signs(cell) for cell, parts in zip(cells, words, strict=True) if len(parts) < SENTENCE), default=0)
    broken = max((_signs(word) for parts in words if len(parts) >= SENTENCE for word in parts), default=0)
    return max(whole, min(broken, LONGEST_WORD), min(NARROWEST, max(map(_signs, cells))))


def _signs(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)

"""Tables on a terminal: numbers to the right, text to the left, and nothing cut however narrow the window is."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_NUMBER = re.compile(r"[-+±]?\s?[\d.,:]+(/\d+)?\s?(%|±\s?[\d.,]+)?")


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str], width: int
) -> "Table | Text":
    """What rich prints.  styles: the look of each row.  width: of the window, in signs.

    Where the window is too narrow, columns of sentences break between words, then blanks around cells are left out,
    then other cells break between words, too; names, paths and numbers stay whole. Where not even that helps, each row
    is a block with a line for each of its cells, which only the terminal breaks.
    """
    from rich.text import Text

    for blanks, breaks in ((1, SENTENCE), (0, SENTENCE), (0, 2)):
        edges = 1 + (1 + 2 * blanks) * len(columns)
        if (widths := _fitting(columns, rows, width - edges, breaks)) is not None:
            return _grid(title, columns, rows, styles, widths, blanks)
    name = max(map(_signs, columns))
    blocks: list[Text] = [Text(title, "bold")] if title else []
    for row, style in zip(rows, styles, strict=True):
        blocks.append(Text(row[0] or "-", f"bold {style}".strip()))
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                blocks.append(Text(f"  {column}{' ' * (name - _signs(column))}  {cell}", style))
    return Text("\n").join(blocks)


def _grid(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    styles: Sequence[str],
    widths: Sequence[int],
    blanks: int,
) -> "Table":
    """blanks: on either side of a column."""
    from rich.table import Table
    from rich.text import Text

    named = Text(title, "italic") if title else None
    grid = Table(title=named, title_justify="left", header_style="bold", padding=(0, blanks))
    for i, (name, width) in enumerate(zip(columns, widths, strict=True)):
        numbers = [row[i] for row in rows if row[i]]
        right = bool(numbers) and all(_NUMBER.fullmatch(cell) for cell in numbers)
        grid.add_column(Text(name), justify="right" if right else "left", width=width, overflow="fold")
    for row, style in zip(rows, styles, strict=True):
        grid.add_row(*map(Text, row), style=style)
    return grid


def _fitting(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int, breaks: int) -> list[int] | None:
    """A width per column that cuts nothing and breaks cells of so many words only; None where there is none."""
    cells = list(zip(columns, *rows, strict=True))
    wanted = [max(map(_signs, of_column)) for of_column in cells]
    if sum(wanted) <= room:
        return wanted
    least = [_least(of_column, breaks) for of_column in cells]
    spare = room - sum(least)
    if spare < 0:
        return None
    for i in sorted(range(len(columns)), key=lambda i: wanted[i] - least[i]):  # the longest gets what the others leave
        more = min(spare, wanted[i] - least[i])
        least[i], spare = least[i] + more, spare - more
    return least


SENTENCE = 4
"""Words, from which on a cell is a sentence: it needs some room, and long words in it, as addresses, are folded."""
NARROWEST, LONGEST_WORD = 24, 40
"""Signs: of a column of sentences, and of a word in them that is not folded."""


def _least(cells: Sequence[str], breaks: int) -> int:
    """The narrowest that a column can be."""
    least = 0
    for cell in cells:
        words = cell.split()
        longest = max(map(_signs, words), default=0)
        if len(words) >= SENTENCE:
            least = max(least, min(longest, LONGEST_WORD), min(_signs(cell), NARROWEST))
        else:
            least = max(least, longest if len(words) >= breaks else _signs(cell))
    return least


def _signs(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)

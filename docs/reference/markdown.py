"""Markdown of plain text: cells, tables, and text in which only `backticks` mean something."""

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\*_\[\]|#{}])")

_PAGE = re.compile(r"docs/([\w-]+)\.md")


def plain(text: str) -> str:
    """Text as it is, on one line; what stands between backticks is code, and a page of docs/ becomes a link."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(one if one.startswith("`") else _PAGE.sub(r"[\1](../\1.md)", _escaped(one)) for one in parts)


def code(text: object, anchor: str = "") -> str:
    """Text as code. anchor: a name that the place can be linked by."""
    return f"`{text}`" + (f"{{ #{anchor} }}" if anchor else "")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that stands as a list on a narrow page: see `.facts` in site.css."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(["", '<div class="facts" markdown>', "", *map(_row, lines), "", "</div>", ""])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell or " " for cell in cells) + " |"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")

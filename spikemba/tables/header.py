"""The row that names the columns: found below a title, in several languages, with the unit that a name carries."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from spikemba.tables.fault import TableFault
from spikemba.tables.sheet import Cell, Sheet
from spikemba.tables.times import Unit
from spikemba.tables.titles import ALIASES, UNITS

SEARCHED_ROWS = 10
"""Rows above which the names may stand."""

_TIMES = ("start", "end")
Name = Literal["video", "start", "end", "query", "rating", "fps"]


@dataclass(frozen=True)
class Header:
    """Where each wanted column stands."""

    row: int
    """Number of the row that names them."""
    index: int
    """Its place among the rows that are not empty."""
    columns: Mapping[str, int]
    """Name -> place of its cell."""
    units: Mapping[str, Unit | None]
    """Of the times, as their names say; None where they say nothing."""
    titles: Mapping[str, str]
    """Name -> what stands in the file."""
    width: int
    """Cells that have a name, counted to the last one."""
    named: frozenset[int]
    """Places of the cells that have a name."""


def find_header(sheet: Sheet, required: Sequence[str], optional: Sequence[str] = ()) -> Header | None:
    """The first row that names all required columns; None when none of the first rows does.

    Raises TableFault when two columns have equal claims to be one that is wanted.
    """
    for index, (row, cells) in enumerate(sheet.rows[:SEARCHED_ROWS]):
        claims = claims_of(cells)
        if all(claims.get(name) for name in required):
            chosen = {
                name: _choose(name, claims[name], cells, row, sheet.kind)
                for name in (*required, *optional)
                if claims.get(name)
            }
            named = [i for i, cell in enumerate(cells) if cell is not None and str(cell).strip()]
            return Header(
                row,
                index,
                {name: place for name, (place, _) in chosen.items()},
                {name: unit for name, (_, unit) in chosen.items()},
                {name: str(cells[place]).strip() for name, (place, _) in chosen.items()},
                named[-1] + 1,
                frozenset(named),
            )
    return None


def claims_of(cells: Sequence[Cell]) -> dict[str, list[tuple[int, Unit | None]]]:
    """Name -> the cells that may be its column's, each with the unit that it carries."""
    found: dict[str, list[tuple[int, Unit | None]]] = {}
    for place, cell in enumerate(cells):
        if isinstance(cell, str) and (read := meaning(cell)):
            found.setdefault(read[0], []).append((place, read[1]))
    return found


def meaning(title: str) -> tuple[str, Unit | None] | None:
    """What a column's title means: `Start (ms)` is ("start", "ms"), `Von` is ("start", None); None: no wanted one."""
    bracket = re.fullmatch(r"(.*?)\s*[(\[{]([^()\[\]{}]*)[)\]}]\s*", title.strip(), re.DOTALL)
    name, unit = (_plain(bracket[1]), _plain(bracket[2])) if bracket else (_plain(title), "")
    if unit:
        known = _NAMES.get(name)
        if known is None:
            return None
        if known not in _TIMES:
            return known, None
        return (known, UNITS[unit]) if unit in UNITS else None
    if name in _NAMES:
        return _NAMES[name], "frames" if name in ("first frame", "last frame") else None
    words = name.split()
    for n in range(1, min(4, len(words))):
        for rest, unit in ((words[:-n], " ".join(words[-n:])), (words[n:], " ".join(words[:n]))):
            known = _NAMES.get(" ".join(rest))
            if known in _TIMES and unit in UNITS:
                return str(known), UNITS[unit]
    return None


def _choose(
    name: str, claims: Sequence[tuple[int, Unit | None]], cells: Sequence[Cell], row: int, kind: str
) -> tuple[int, Unit | None]:
    """The column of a name: the only one, the one of just that name, or of times the one in seconds."""
    parts = [place for place, unit in claims if unit in ("h", "min", "s", "ms")]
    if len({unit for _, unit in claims if unit in ("h", "min", "s", "ms")}) > 1:
        seen = " and ".join(f"{str(cells[place]).strip()!r}" for place in parts)
        raise TableFault(
            f"{kind} {row}: {seen} are parts of one time, or the same time twice; write one column {name}, in seconds "
            "or as 0:12"
        )
    for better in (
        claims,
        [one for one in claims if _plain(str(cells[one[0]])) == name],
        [one for one in claims if name in _TIMES and one[1] == "s"],
    ):
        if len(better) == 1:
            return better[0]
    seen = " and ".join(f"{str(cells[place]).strip()!r}" for place, _ in claims)
    raise TableFault(f"{kind} {row}: {seen} could both be the column {name}; call the one that is meant {name}")


def _plain(title: str) -> str:
    """A title in small letters without accents, its words apart: `StartTime_ms` is `start time ms`."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title.strip().strip("\"'\ufeff"))
    letters = unicodedata.normalize("NFKD", apart.casefold())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    letters = unicodedata.normalize("NFKC", letters).replace("ł", "l").replace("ø", "o")
    return re.sub(r"[\s_\-–.:;/*#]+", " ", letters).strip()


_NAMES: dict[str, str] = {
    _plain(alias): name for name, aliases in ALIASES.items() for alias in [name, *aliases.split(",")]
}

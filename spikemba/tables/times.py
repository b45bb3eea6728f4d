"""Cells to numbers and to seconds, in the ways that people and their spreadsheets write them.

12.5   12,5   1.234,5   12.5 s   1m 5s       numbers; what the file's other cells say decides what a comma is
0:12   75:10                                 minutes and seconds, always
00:01:02.5   0:01:02,500   12:01:02 AM       hours, minutes and seconds
01:00:02:12   00:01:00;02                    the last number counts frames, ; drop-frame; needs a frame rate
312 (a column of frames)                     needs a frame rate; frame 0 begins at 0 s
"""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Literal

from spikemba.tables.fault import TableFault
from spikemba.tables.sheet import Cell

Mark = Literal[".", ","]
Unit = Literal["s", "ms", "min", "h", "frames", "mm:ss", "hh:mm"]

_CLEAN = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "−": "-", "’": "'", "′": "'", "″": '"'})
_GROUPED = r"\d{1,3}(?:[ ']\d{3})+"
_NUMBER = re.compile(rf"[+-]?(?:{_GROUPED}(?:[.,]\d+)?|[\d.,]*\d[.,]?)(?:[eE][+-]?\d+)?")
_SECONDS = re.compile(r"(?<=[\d.,])\s*(?:s|sec|secs|sek|seconds?|sekunden?|segundos?|secondes?)\.?", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,2})(?:[.,](\d{1,20}))?\s*([AaPp]\.?[Mm]\.?)?")
_FRAMES = re.compile(r"(\d{1,9})[:;](\d{1,2})[:;](\d{1,2})([:;])(\d{2,3})")
_WORDS = re.compile(
    r"(?:(\d+)\s*h(?:r|rs|ours?)?)?[ ,]*(?:(\d+)\s*(?:m|min|minutes?|'(?!\d{3})))?[ ,]*"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:s|sec|seconds?|\"|'')?)?",
    re.IGNORECASE,
)
_NTSC = {base: Fraction(base * 1000, 1001) for base in (24, 30, 48, 60, 120)}


def decimal_mark(cells: Iterable[tuple[int, Cell]], semicolons: bool = False, kind: str = "row") -> Mark:
    """What stands before decimals in a file, of all its cells with numbers.

    A point does, unless commas do: cells such as 12,5 or 1.234,5. Commas that only ever stand before three digits, as
    in 1,234, could part thousands as well; then semicolons between the cells decide, which spreadsheets write where
    commas stand before decimals.
    cells: (row, cell).  kind: what a row is called.  Raises TableFault when the cells do not agree, or say nothing.
    """
    comma: int | None = None
    point: int | None = None
    either: tuple[int, str] | None = None
    for row, cell in cells:
        text = _cleaned(cell) if isinstance(cell, str) else ""
        if not re.fullmatch(r"[+-]?[\d ',.]+", text) or not ({",", "."} & {*text}):
            continue
        text = re.sub(r"[ '+-]", "", text)
        thousands = re.fullmatch(r"[1-9]\d{0,2}(,\d{3})+", text)
        if "," in text and "." in text:
            decimal = max(text.rfind(","), text.rfind("."))
            comma, point = (row, point) if text[decimal] == "," else (comma, row)
        elif "," in text and not thousands:
            comma = row
        elif "," in text and text.count(",") > 1:
            point = row  # 1,234,567
        elif "," in text:
            either = either or (row, text)
        elif text.count(".") > 1:
            comma = row
        elif not re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", text):
            point = row
    if comma and point:
        raise TableFault(f"{kind} {comma} has a decimal comma and {kind} {point} a decimal point; use one of the two")
    if either and not comma and not point:
        if semicolons:
            return ","
        row, text = either
        raise TableFault(
            f"{kind} {row}: {text} is {text.replace(',', '.')} or {text.replace(',', '')}; write it without comma"
        )
    return "," if comma else "."


def number(cell: Cell, mark: Mark) -> float:
    """The number in a cell. Raises TableFault."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell)
    text = _cleaned(cell)
    other = "," if mark == "." else "."
    if _NUMBER.fullmatch(text):
        plain = re.sub(r"[ ']", "", text)
        groups = rf"[+-]?\d{{1,3}}(?:{re.escape(other)}\d{{3}})+(?:{re.escape(mark)}\d*)?"
        if other in plain and not re.fullmatch(groups, plain):
            raise TableFault(f"{str(cell)!r}, which is no number where {_name(mark)} stand before decimals")
        plain = plain.replace(other, "").replace(mark, ".")
        if plain.count(".") <= 1:
            return float(plain)
    raise TableFault(f"{str(cell)!r}; expected a number")


def seconds(cell: Cell, unit: Unit, mark: Mark, fps: Fraction | None) -> float:
    """The time in a cell, in seconds. unit: of a bare number, or how two numbers with a colon are meant.

    Raises TableFault.
    """
    text = _cleaned(cell)
    if ":" in text:
        return _clock(text, unit, fps)
    if isinstance(cell, str) and unit != "frames" and not _NUMBER.fullmatch(_SECONDS.sub("", text)):
        found = _WORDS.fullmatch(text)
        if found and any(found.groups()):
            hours, minutes, rest = (float((part or "0").replace(",", ".")) for part in found.groups())
            return hours * 3600 + minutes * 60 + rest
        raise TableFault(f"{cell!r}; expected seconds, or a time such as 0:12 or 00:01:02.5")
    if isinstance(cell, str) and _SECONDS.sub("", text) != text:
        unit = "s"
    value = number(_SECONDS.sub("", text) if isinstance(cell, str) else cell, mark)
    if unit in ("mm:ss", "hh:mm"):
        raise TableFault(f"{str(cell)!r}; its column is of times such as 0:12")
    if unit == "frames":
        if fps is None:
            raise TableFault(
                f"{_cleaned(cell)}, in frames, and nothing says of which rate; add a column fps, or --fps 25"
            )
        if value != int(value):
            raise TableFault(f"{str(cell)!r}, which counts frames; expected a whole number")
        return float(Fraction(int(value)) / fps)
    return value * {"s": 1.0, "ms": 0.001, "min": 60.0, "h": 3600.0}[unit]


def rate(cell: Cell, mark: Mark = ".") -> Fraction:
    """A frame rate: 25, 29,97 (which is 30000/1001), 30000/1001. Raises TableFault."""
    text = re.sub(r"\s*(fps|hz|p)$", "", _cleaned(cell), flags=re.IGNORECASE)
    ratio = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    found = (
        Fraction(int(ratio[1]), int(ratio[2]) or 1) if ratio else Fraction(number(text, mark)).limit_denominator(100000)
    )
    if not 0.01 <= found <= 1000:
        raise TableFault(f"{str(cell)!r}, which is no frame rate; expected frames per second, as 25 or 29.97")
    return next((exact for exact in _NTSC.values() if abs(found - exact) < Fraction(6, 1000)), found)


def thousands_or_decimals(cells: Sequence[Cell]) -> str | None:
    """A cell such as 1.500, which a table with semicolons may mean as 1500, too."""
    texts = [_cleaned(cell) for cell in cells if isinstance(cell, str)]
    return next((text for text in texts if re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", text)), None)


def parts_of_a_day(cells: Sequence[Cell], mark: Mark) -> str | None:
    """One of the cells where all are parts of a day, as spreadsheets hold times: 0.00144675925925926 is 0:02:05."""
    texts = [_cleaned(cell) for cell in cells if cell is not None]
    values = [text.replace(mark, ".") for text in texts]
    small = r"0(\.\d+)?|\d(\.\d+)?e-\d+"
    if not all(re.fullmatch(small, value, re.IGNORECASE) for value in values):
        return None
    return next((text for text, value in zip(texts, values, strict=True) if len(value) > 9), None)


def looks_like_clock(cells: Sequence[Cell]) -> bool:
    """Whether any cell is a time with a single colon, which needs a rule."""
    return any(isinstance(cell, str) and re.fullmatch(r"\s*\d+:\d{1,2}([.,]\d+)?\s*", cell) for cell in cells)


def _clock(text: str, unit: Unit, fps: Fraction | None) -> float:
    if found := _FRAMES.fullmatch(text):
        return _timecode([int(part) for part in found.group(1, 2, 3, 5)], found[4] == ";", text, fps)
    found = _CLOCK.fullmatch(text)
    if not found:
        raise TableFault(f"{text!r}; expected seconds, or a time such as 0:12 or 00:01:02.5")
    hours, minutes, rest = found[1], int(found[2]), float(f"{found[3]}.{found[4] or 0}")
    if hours is None and found[5]:
        raise TableFault(f"{text!r}, a time of day; format the column as [h]:mm:ss or as text")
    if hours is None and unit == "hh:mm":
        hours, minutes, rest = found[2], int(found[3]), 0.0
    if found[5] and hours is not None:
        if not 1 <= int(hours) <= 12:
            raise TableFault(f"{text!r}, which is no time of day")
        hours = str(int(hours) % 12 + (12 if found[5].lower().startswith("p") else 0))
    if rest >= 60 or (hours is not None and minutes >= 60):
        raise TableFault(f"{text!r}, which is no time: minutes and seconds end at 59")
    return int(hours or 0) * 3600 + minutes * 60 + rest


def _timecode(parts: list[int], dropping: bool, text: str, fps: Fraction | None) -> float:
    """Hours, minutes, seconds and frames; drop-frame codes leave out two frames a minute, save every tenth."""
    if fps is None:
        raise TableFault(f"{text}, which counts frames, and nothing says of which rate; add a column fps, or --fps 25")
    hours, minutes, whole, frame = parts
    base = round(fps)
    if minutes > 59 or whole > 59 or frame >= base:
        raise TableFault(f"{text!r}, which is no time code at {float(fps):g} frames per second")
    count = ((hours * 60 + minutes) * 60 + whole) * base + frame
    if dropping:
        if base not in (30, 60):
            raise TableFault(f"{text!r}, a drop-frame code, which {float(fps):g} frames per second has not")
        if not whole and minutes % 10 and frame < base // 15:
            raise TableFault(f"{text!r}, which drop-frame codes leave out; they begin a minute with {base // 15}")
        gone = hours * 60 + minutes
        count -= base // 15 * (gone - gone // 10)
    return float(count / fps)


def _cleaned(cell: Cell) -> str:
    return str("" if cell is None else cell).translate(_CLEAN).strip()


def _name(mark: Mark) -> str:
    return "commas" if mark == "," else "points"

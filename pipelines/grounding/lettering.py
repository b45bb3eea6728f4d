"""Words in pictures: taken as they are, wrapped, in fonts that have their letters."""

import logging
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_USUAL_FONT = "DejaVu Sans"  # comes with matplotlib
_MOST_LINES = 5
_log = logging.getLogger("spikemba.pictures")


@contextmanager
def lettering(texts: Iterable[str]) -> Iterator[None]:
    """Inside, matplotlib draws these texts letter by letter: a `$` is a dollar, and other scripts have their fonts.

    What no font of this machine has is drawn as a box, and a warning of the library says so once.
    """
    import matplotlib as mpl

    wanted = frozenset("".join(texts)) - frozenset(" \n")
    fonts, missing = _fonts_for(wanted)
    _warn_once(missing)
    with mpl.rc_context({"text.parse_math": False, "font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def on_one_line(text: str) -> str:
    """What can be drawn of a text: no line breaks, no control characters, no halves of characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    shown = (" " if character.isspace() else character for character in whole)
    return " ".join("".join(c for c in shown if unicodedata.category(c) not in ("Cc", "Cs", "Co", "Cn")).split())


def wrapped(text: str, columns: int) -> str:
    """The text in lines of so many columns (letters of East Asia take two), at most 5; then it ends in three dots.

    It breaks between words, and inside one that is longer than a line or of a script without spaces.
    """
    lines, line = [], ""
    for piece in _pieces(on_one_line(text), columns):
        if line and _width(line + piece.rstrip()) > columns:
            lines.append(line.rstrip())
            line = ""
        line += piece
    lines.append(line.rstrip())
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1][: columns // 2] + " …"]
    return "\n".join(lines)


def shortened(name: str, columns: int) -> str:
    """A name without its middle where it is longer than so many columns."""
    name = on_one_line(name)
    if _width(name) <= columns:
        return name
    half = columns // 4 if _width(name) > 1.5 * len(name) else columns // 2
    return f"{name[: half - 1]}…{name[-half + 1 :]}"


def _pieces(text: str, columns: int) -> Iterator[str]:
    """What may not be broken: words with the space behind them, single wide letters, parts of endless words."""
    piece = ""
    for character in text:
        wide = _width(character) == 2
        if piece and (wide or _width(piece) >= columns):
            yield piece
            piece = ""
        piece += character
        if character == " " or wide:
            yield piece
            piece = ""
    yield piece


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


@cache
def _fonts_for(wanted: frozenset[str]) -> tuple[list[str], frozenset[str]]:
    """Names of fonts to look for a letter in, in order, and the letters that none of them has."""
    from matplotlib.font_manager import findfont

    left = {ord(c) for c in wanted if not unicodedata.combining(c) and unicodedata.category(c) != "Cf"}
    left -= {0xFE0E, 0xFE0F}  # say how the letter before is drawn, and are nothing themselves
    fonts, left = [_USUAL_FONT], left - _letters(findfont(_USUAL_FONT))
    for path in _candidates() if left else ():
        found = left & _letters(path)
        if found:
            fonts.append(_known(path))
            left -= found
        if not left:
            break
    return fonts, frozenset(map(chr, left))


@cache
def _candidates() -> list[str]:
    """Fonts of this machine, also those that came after matplotlib made its list; plain ones first."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    paths = {entry.fname for entry in fontManager.ttflist} | set(findSystemFonts())
    styles = ("bold", "italic", "oblique", "black", "light", "thin", "mono", "condensed", "serif")

    def plainness(path: str) -> tuple[int, int, str]:
        name = Path(path).name.lower()
        return (not ("noto" in name or "cjk" in name)), sum(style in name for style in styles), name

    return sorted(paths, key=plainness)


@cache
def _letters(path: str) -> frozenset[int]:
    """The characters of a font that can be drawn; none for fonts of coloured bitmaps."""
    font = _opened(path)
    if font is None or not font.scalable or "last resort" in font.family_name.lower():
        return frozenset()
    return frozenset(font.get_charmap())


def _opened(path: str) -> Any:
    from matplotlib.ft2font import FT2Font

    try:
        return FT2Font(path)
    except (RuntimeError, OSError, ValueError):
        return None


def _known(path: str) -> str:
    """The name by which matplotlib finds a font."""
    from matplotlib.font_manager import fontManager

    for entry in fontManager.ttflist:
        if entry.fname == path:
            return str(entry.name)
    fontManager.addfont(path)
    return str(fontManager.ttflist[-1].name)


@cache
def _warn_once(missing: frozenset[str]) -> None:
    if missing:
        letters = " ".join(sorted(missing)[:10])
        _log.warning("no font of this machine can draw %s; pictures show boxes (Noto fonts have most scripts)", letters)

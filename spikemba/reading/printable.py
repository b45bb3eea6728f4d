"""Text from files and their names, as a terminal may show it: nothing in it moves the cursor or turns text around."""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb]"
)
_HALVES = re.compile("[\ud800-\udfff]")


def printable(text: str) -> str:
    """The text with control characters, marks of direction and halves of characters written out, as `\\\\x1b`.

    Line ends and tabs stay. Bytes of a file name that is not UTF-8, which Python keeps as halves, are written as bytes.
    """
    return _UNSEEN.sub(_written_out, text)


def counted(n: int, one: str, several: str) -> str:
    """A number with what it counts: `1 query has`, `2 queries have`."""
    return f"{n} {one if n == 1 else several}"


def utf8_text(text: str) -> str:
    """The text as a file in UTF-8 can hold it: halves of characters, as of names that are not UTF-8, written out."""
    return _HALVES.sub(_written_out, text)


def one_cell(text: str) -> str:
    """The same for a cell of a table: its line ends and tabs are written out, too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

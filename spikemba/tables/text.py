"""Bytes of a table to text: by their mark, as UTF-8, or as Windows-1252 where no other encoding would look like it."""

import re
import unicodedata
from contextlib import suppress

from spikemba.tables.fault import TableFault

_MARKS = {
    b"\xff\xfe\x00\x00": ("utf-32", "UTF-32"),
    b"\x00\x00\xfe\xff": ("utf-32", "UTF-32"),
    b"\xff\xfe": ("utf-16", "UTF-16"),
    b"\xfe\xff": ("utf-16", "UTF-16"),
    b"\xef\xbb\xbf": ("utf-8-sig", "UTF-8"),
}
_WESTERN = set("äöüÄÖÜßéèêëÉÈÊàâáãåæçÀÂÁÃÅÆÇìíîïÍñÑòóôõøÓÔÕØùúûÚœŒÿ")
"""Letters that Windows-1252 writes in a byte; the bytes of Mac, DOS, Cyrillic or Turkish encodings give others."""
_SIGNS = set("€‚„…‘’“”•–—™¡£§©«°±»¿·´\u00a0\u00ad®½¼¾×²³µ")
_CURE = "save it as UTF-8 (in a spreadsheet: CSV UTF-8)"


_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def as_text(cell: str) -> str:
    """A text as a cell of CSV that spreadsheets do not take for a formula; `from_text` gives the text again."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def from_text(cell: str) -> str:
    """The text of a cell, without the mark of `as_text`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def decode(content: bytes) -> tuple[str, str]:
    """The text and the name of its encoding, with a word to judge it by where it is not certain. Raises TableFault."""
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF", b"\x89PNG", b"\xff\xd8\xff")):
        raise TableFault("it is not a text file, whatever its name says; export the table as CSV")
    for mark, (codec, name) in _MARKS.items():
        if content.startswith(mark):
            return _decoded(content, codec, name), name
    if unmarked := _sixteen_bits(content):
        return _decoded(content, unmarked, "UTF-16"), "UTF-16"
    if b"\x00" in content:
        raise TableFault("it is not a text file; expected CSV, .xlsx or jsonl")
    try:
        return content.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        raise TableFault(f"line {line}: its letters are neither UTF-8 nor Windows-1252; {_CURE}") from None
    for word in re.findall(r"\S*[^\x00-\x7f]\S*", text):
        if not _western(word):
            seen = f"read as Windows-1252 they would be {word[:30]!r}"
            raise TableFault(f"line {line}: its letters are not UTF-8, and {seen}; {_CURE}")
    example = re.findall(r"\w*[^\x00-\x7f]\w*", text)[0]
    return text, f"Windows-1252 (“{example}”)"


def _decoded(content: bytes, codec: str, name: str) -> str:
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        raise TableFault(f"it begins as {name} and breaks off or is damaged; {_CURE}") from None


def _sixteen_bits(content: bytes) -> str | None:
    """UTF-16 without a mark: every second byte of ordinary text is 0."""
    head = content[:2000]
    if len(head) < 4 or len(content) % 2:
        return None
    low, high = head[0::2].count(0), head[1::2].count(0)
    if high > 0.5 * len(head) / 2 and low == 0:
        return "utf-16-le"
    return "utf-16-be" if low > 0.5 * len(head) / 2 and high == 0 else None


def _western(word: str) -> bool:
    """Whether a word looks like one of western Europe: known letters, never three beside each other, no sign inside."""
    foreign = [letter for letter in word if not letter.isascii()]
    if any(letter not in _WESTERN and letter not in _SIGNS for letter in foreign):
        return False
    run = r"[" + "".join(_WESTERN) + r"]"
    if re.search(run + "{3}", word) or (re.fullmatch(run + "{2,}", word)):
        return False
    with suppress(UnicodeError):
        word.encode("cp1252").decode("utf-8")
        return False  # UTF-8 after all, in a file that has other bytes elsewhere
    letter = "[A-Za-z" + "".join(_WESTERN) + "]"
    inside = f"(?<={letter})[" + re.escape("".join(_SIGNS - set("’´·\u00ad\u00a0–—…°"))) + f"](?={letter})"
    if re.search(inside, word):
        return False
    return not any(unicodedata.category(letter) == "Cc" for letter in foreign)

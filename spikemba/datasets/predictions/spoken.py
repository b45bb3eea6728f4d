"""Windows in an answer in words, as video language models give it, by the rules of TimeLens' evaluation.

    The event happens in 18.5 - 23 seconds.          from 00:18 to 00:23
    It starts at 18.5 seconds and ends at 23 seconds.

Times with colons are read where there are any, else numbers joined by a hyphen, else those joined by `to`, else all
numbers; they are taken in pairs, and a last one without a partner is left. Source: arXiv 2512.14698. By these rules a
number with a letter behind it ends where a word does: `5s` is no number, and of `5.2s` only the 5 is one. Such answers
keep the windows that TimeLens gives them, and are counted.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

from spikemba.datasets.annotations import PredictedRow
from spikemba.moments import Moment, Window
from spikemba.reading.printable import counted, printable

_CLOCK = re.compile(r"\b(?:(\d{1,2}):)?(\d{1,2}):(\d{2}(?:\.\d{1,30})?)\b")
_TIME = r"\d{1,15}\.?\d{0,30}"
_JOINED = [re.compile(f"({_TIME}){between}({_TIME})") for between in (r"\s*-\s*", r"\s+to\s+")]
_NUMBER = re.compile(r"\b\d{1,15}(?:\.\d{1,30})?\b")
_GLUED = re.compile(r"(?<=\d)(?=(?:ms|m|min|mins|minutes?|s|sec|secs|seconds?)\b)")
_OTHER_UNIT = re.compile(r"\d\s*(?:m|mins?|minutes?|hours?|frames?|percent\b|%)(?:\b|$|\s|[,.)])|\bframes?\s+\d")
LONGEST_ANSWER = 1 << 16
"""Characters of an answer that are read."""


def windows_in(words: str) -> list[Window]:
    """The windows of an answer, in its order; none where it names no two times."""
    words = words[:LONGEST_ANSWER].lower()
    clocks = [3600 * int(h or 0) + 60 * int(m) + float(s) for h, m, s in _CLOCK.findall(words)]
    if len(clocks) > 1:
        return _pairs(clocks)
    for joined in _JOINED:
        if found := joined.findall(words):
            return [Window(float(start), float(end)) for start, end in found]
    return _pairs(float(number) for number in _NUMBER.findall(words))


def notes_of_words(said: Sequence[tuple[str, PredictedRow]]) -> list[str]:
    """Lines on answers that hold digits and gave no moment, on those whose times were read in part, and on those in
    other units than seconds.

    said: of every row how a message names it, as `qid 3`, and the row.
    """
    spoken = [(name, row.words, [(one.start_s, one.end_s) for one in row.moments])
              for name, row in said if row.words is not None]  # fmt: skip
    silent = [(name, words) for name, words, got in spoken if not got and re.search(r"\d", words)]
    glued = [(name, words) for name, words, got in spoken if got and got == windows_in(words) != _spaced(words)]
    other = [(name, words) for name, words, got in spoken if got and _OTHER_UNIT.search(words[:LONGEST_ANSWER].lower())]
    notes = []
    for found, one, several, why in (
        (silent, "holds", "hold", "digits and no moment: no two times are there by TimeLens' rules"),
        (glued, "has", "have", "units glued to numbers, which TimeLens' rules read in part"),
        (other, "names", "name", "minutes, frames or the like, whose numbers TimeLens' rules take for seconds"),
    ):
        if found:
            name, words = found[0]
            shown = printable(" ".join(words[:LONGEST_ANSWER].split()))
            shown = shown if len(shown) <= 60 else f"{shown[:56].rstrip()} ..."
            of = f"{len(found)} of {counted(len(spoken), 'answer', 'answers')}"
            notes.append(f"{of} {one if len(found) == 1 else several} {why}, as {name}: {shown!r}")
    return notes


def _spaced(words: str) -> list[Window]:
    """The windows of an answer with a space before its units."""
    return windows_in(_GLUED.sub(" ", words[:LONGEST_ANSWER].lower()))


def sentence_of(moments: Iterable[Moment]) -> str:
    """An answer in words that gives these windows again, in the words that TimeLens asks its models for."""
    windows = ", ".join(f"{_digits(one.start_s)} - {_digits(one.end_s)}" for one in moments)
    return f"The event happens in {windows} seconds." if windows else "The video does not show it."


def ranked(windows: Iterable[Window]) -> tuple[Moment, ...]:
    """Windows without scores as moments: 1, 1/2, 1/3 ... stand for their order."""
    return tuple(Moment(*window, 1 / rank) for rank, window in enumerate(windows, start=1))


def _pairs(times: Iterable[float]) -> list[Window]:
    known = list(times)
    return [Window(*pair) for pair in zip(known[::2], known[1::2], strict=False)]


def _digits(seconds: float) -> str:
    """All digits of a number, without an exponent."""
    return format(Decimal(repr(float(seconds))), "f")

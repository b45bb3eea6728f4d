"""What is written about videos, subtitles above all, searched for the words of a sentence."""

import re
import sqlite3
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from spikemba.library.reader import Library

LEAST_SHARE = 0.5
"""Of a sentence's words, those that a text must hold to be found."""
MOST_ROWS = 200
"""Texts that are looked at, the best by BM25."""
NEXT_S = 1.0
"""Texts of one video that follow each other so soon are one hit."""
_LITTLE = (
    "a an and are as at be been but by for from had has have he her him his i in into is it its me my of on or our out "
    "she so that the their them then there they this to up was we were what when where which who will with you your "
    "der die das ein eine einen und ist im in mit von zu den dem des auf für le la les un une des et est de du en el "
    "los las una y es"
)
LITTLE_WORDS = frozenset(_LITTLE.split())
"""Words that say nothing of what a text is about; a sentence of nothing else is searched for as it is."""


@dataclass(frozen=True)
class TextHit:
    """A text that holds words of the sentence."""

    video: int
    source: str
    """Where it was read, such as `subtitles`."""
    start_s: float | None
    """None, and `end_s`, for what is written about the whole video."""
    end_s: float | None
    text: str


def search_texts(library: Library, sentence: str, *, among: Collection[int] | None = None) -> list[TextHit]:
    """Texts that hold at least half of the sentence's words, the best first; neighbouring ones are one hit.

    among: ids of the videos to look at, where not at all.
    """
    wanted = content_words(sentence)
    if not wanted:
        return []
    asked = " OR ".join(f'"{word}"' for word in sorted(wanted))
    found = []
    with library.reading() as connection:
        if not _has_texts(connection):
            return []
        rows = connection.execute(
            "SELECT texts.video, texts.source, texts.start_s, texts.end_s, texts.text FROM texts_found "
            "JOIN texts ON texts.id = texts_found.rowid JOIN videos ON videos.id = texts.video "
            "WHERE texts_found MATCH ? AND videos.problem IS NULL ORDER BY texts_found.rank LIMIT ?",
            (asked, MOST_ROWS if among is None else -1),
        )
        for row in rows:
            hit = TextHit(*row)
            held = len(wanted & words(hit.text)) / len(wanted)
            if held >= LEAST_SHARE and (among is None or hit.video in among):
                found.append(hit)
            if len(found) == MOST_ROWS:
                break
    return _joined(found)


def content_words(sentence: str) -> set[str]:
    """The words that a text is searched for."""
    every = words(sentence)
    return every - LITTLE_WORDS or every


def words(text: str) -> set[str]:
    """Words in lower case without accents, as the full-text index cuts them."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return set(re.findall(r"[^\W_]+", plain.lower()))


def _has_texts(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM texts LIMIT 1").fetchone() is not None


def _joined(hits: Sequence[TextHit]) -> list[TextHit]:
    """Hits of one video that follow each other as one, at the place of the better."""
    found: list[TextHit] = []
    for hit in hits:
        at = next((i for i, other in enumerate(found) if _next_to(hit, other)), None)
        if at is None:
            found.append(hit)
            continue
        first, last = sorted((found[at], hit), key=lambda one: one.start_s or 0.0)
        end_s = max(first.end_s or 0.0, last.end_s or 0.0)
        text = first.text if first.text == last.text else f"{first.text} {last.text}"
        found[at] = TextHit(hit.video, hit.source, first.start_s, end_s, text)
    return found


def _next_to(a: TextHit, b: TextHit) -> bool:
    if (a.video, a.source) != (b.video, b.source):
        return False
    if a.start_s is None or b.start_s is None or a.end_s is None or b.end_s is None:
        return False
    return max(a.start_s, b.start_s) - min(a.end_s, b.end_s) <= NEXT_S

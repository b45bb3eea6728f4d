"""What each word of a sentence contributes to a moment: the question is asked again with the word hidden.

The measure is the moment's share: of what ranks the video's clips (`Answer.ranking`), the part that lies within the
moment. A word's effect is the part of that share that is lost when the word is hidden; where the share grows, minus the
part of the larger one that the word had taken away. The score within the moment
alone would not do: without "red", a red circle is still a circle, and its score stays; what the word does is to keep
other moments down, and that is what a share sees.

A word is hidden by asking another sentence, not by leaving out its state: the states of the other words have read it.
Measured on 120 drawn videos of two events that one of four words tells apart, by how often that word had the largest
effect: mini 31 % by leaving out states, 50 % without the word, 57 % with a placeholder for it, which mini knows from
training; its encoder without training 78 and 90 %. With the score within the moment as measure mini has 26 to 29 %.

Source of the idea: occlusion, Zeiler and Fergus 2014, arXiv 1311.2901; of words, Li et al. 2016, arXiv 1612.08220.
"""

# Shapes: L clips.

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikemba.errors import QueryError, SpikeMbaError
from spikemba.grounder.result import Grounding
from spikemba.grounding import Array

MOST_WORDS = 64
"""Each is one more question, so a sentence of more is refused."""
_FLOOR = 1e-9
"""Added to every clip's score: where all are 0, a window's share is its part of the time."""


@dataclass(frozen=True)
class WordEffect:
    """A word and what it does for a moment."""

    word: str
    first: int
    """Characters of the sentence before it."""
    last: int
    """Characters up to its end: `sentence[first:last]` is the word."""
    effect: float
    """From -1 to 1: by how much the moment's share is larger with the word than without, by the larger of the two."""
    exists: float | None = None
    """By how much `exists` falls without it; None where nothing tells."""


@dataclass(frozen=True)
class WordEffects:
    """A sentence's words, in their order."""

    words: tuple[WordEffect, ...]
    whole: float
    """The moment's share for the whole sentence, in [0, 1]."""
    exists: float | None = None
    """That the video shows what is asked at all; None where nothing tells."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, rounded to four digits."""
        words = [
            {
                "word": one.word,
                "first": one.first,
                "last": one.last,
                "effect": round(one.effect, 4),
                "exists": None if one.exists is None else round(one.exists, 4),
            }
            for one in self.words
        ]
        exists = None if self.exists is None else round(self.exists, 4)
        return {"words": words, "whole": round(self.whole, 4), "exists": exists}


def word_effects(
    ask: Callable[[Sequence[str]], Sequence[Grounding]], sentence: str, start_s: float, end_s: float, placeholder: str
) -> WordEffects:
    """What each word of a sentence does for the moment from start_s to end_s.

    ask: answers about one video to several sentences, which are asked together: the whole one, then one per word.
    placeholder: stands for a hidden word; empty: the word is left out. A sentence whose only word is left out asks
    nothing, and is taken to prefer no part of the video.
    Raises QueryError for more than MOST_WORDS words, SpikeMbaError for a moment that is none.
    """
    if not (math.isfinite(start_s) and math.isfinite(end_s) and 0 <= start_s < end_s):
        raise SpikeMbaError(f"a moment from {start_s:g} to {end_s:g} s is none; expected 0 <= start < end")
    places = words_of(sentence)
    if len(places) > MOST_WORDS:
        raise QueryError(
            f"the sentence has {len(places)} words; what each one does is told of at most {MOST_WORDS}: shorten it"
        )
    alone = len(places) == 1 and not placeholder
    hidden = [] if alone else [without(sentence, place, placeholder) for place in places]
    whole, *others = ask([sentence.strip(), *hidden])
    if start_s >= len(whole.saliency) * whole.clip_s:
        raise SpikeMbaError(f"a moment from {start_s:g} s is behind the video's end, at {whole.duration_s:g} s")

    def share(scores: Array) -> float:
        return share_within(scores, whole.clip_s, start_s, end_s)

    all_of_it = share(whole.answer.ranking)
    shares = [share(one.answer.ranking) for one in others] or [share(np.zeros_like(whole.answer.ranking))] * alone
    exists = [_fall(whole.exists, one.exists) for one in others] or [None] * alone
    effects = [
        WordEffect(sentence[first:last], first, last, (all_of_it - left) / max(all_of_it, left), fall)
        for (first, last), left, fall in zip(places, shares, exists, strict=True)
    ]
    return WordEffects(tuple(effects), all_of_it, whole.exists)


def share_within(scores: Array, clip_s: float, start_s: float, end_s: float) -> float:
    """Of the sum of the clips' scores, the part within a window; a clip that it covers in part counts by that part.

    scores: (L,), none below 0.  Returns a number above 0, at most 1. The window must begin before the last clip ends.
    """
    starts = np.arange(len(scores)) * clip_s
    covered = (np.minimum(starts + clip_s, end_s) - np.maximum(starts, start_s)).clip(0) / clip_s
    values = scores.astype(np.float64) + _FLOOR
    return float(covered @ values / values.sum())


def without(sentence: str, place: tuple[int, int], placeholder: str) -> str:
    """The sentence with the characters at a place hidden, and no space more than before."""
    first, last = place
    before, after = sentence[:first], sentence[last:]
    if not placeholder and (not before or before[-1].isspace()):
        after = after.lstrip()
    return (before + placeholder + after).strip()


def words_of(sentence: str) -> list[tuple[int, int]]:
    """Where the words are, as (first character, character behind the last).

    A word is a run of letters, marks and digits, with apostrophes and hyphens inside. Of scripts that are written
    without spaces, a Chinese character is a word, in Japanese also a run of hiragana or of katakana; a run of Thai,
    Lao, Khmer or Burmese stays whole, as no dictionary is at hand. An emoji is a word.
    """
    return [match.span() for match in _WORD.finditer("".join(map(_kind, sentence)))]


_KINDS = {
    "h": "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",  # Chinese characters
    "r": "\u3041-\u3096\u309d-\u309f",  # hiragana
    "k": "\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f",  # katakana
    "j": "'’\u2010\u2011-",  # within a word: apostrophes, hyphens
    "m": "\U0001f3fb-\U0001f3ff",  # tones of skin, beside the marks
    "z": "\u200c\u200d",  # joiners
}
_OF_KIND = {kind: re.compile(f"[{characters}]") for kind, characters in _KINDS.items()}
_WORD = re.compile("w[wmz]*(?:j[wmz]+)*|hm*|r[rm]*|k[km]*|s(?:m|zs)*")


def _kind(character: str) -> str:
    """What a character is to a word, as a letter: of _KINDS, w in a word, m a mark, s an emoji, a point for others."""
    for kind, of_kind in _OF_KIND.items():
        if of_kind.match(character):
            return kind
    category = unicodedata.category(character)
    return {"L": "w", "N": "w", "M": "m"}.get(category[0], "s" if category == "So" else ".")


def _fall(whole: float | None, left: float | None) -> float | None:
    return None if whole is None or left is None else whole - left

"""Words that an encoder does not know: told where it has a vocabulary."""

from dataclasses import replace

import pytest
from typed import run

import spikemba
from spikemba.encoders.base import unknown_words
from spikemba.encoders.mini import ENTRY, load
from spikemba.grounder import grounder as grounder_module


@pytest.mark.parametrize(
    ("sentence", "unknown"),
    [
        ("a red circle enters", ()),
        ("She cracks a red egg, she cracks it", ("she", "cracks", "egg", "it")),
        ("厨房で卵を割る", ("厨房で卵を割る",)),
        ("a café", ("café",)),
    ],
)
def test_mini_tells_the_words_out_of_its_vocabulary(sentence, unknown):
    assert unknown_words(load(), sentence) == unknown


def test_an_encoder_without_a_vocabulary_tells_none():
    assert unknown_words(object(), "a zyzzyva") == ()


def test_ground_names_them_beside_the_answer():
    asked = ("examples/shapes.mp4", "a zyzzyva enters", "--checkpoint", "mini", "--json")
    printed = run("ground", *asked)
    assert "mini does not know: zyzzyva" in printed.stderr
    assert '"unknown_words": ["zyzzyva"]' in " ".join(printed.stdout.split()).replace("[ ", "[").replace(" ]", "]")


def test_what_little_an_encoder_knows_is_said_of_its_entry_and_of_who_asks_it(monkeypatch):
    grounder = spikemba.load(encoder="mini")
    assert grounder.limits.startswith("mini knows drawn shapes that move, and nothing else of the world")
    monkeypatch.setattr(grounder_module, "find_encoder", lambda name: replace(ENTRY, knows=""))
    assert grounder.limits == ""

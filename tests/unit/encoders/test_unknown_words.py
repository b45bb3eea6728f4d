"""Words that an encoder does not know: told where it has a vocabulary."""

import pytest
from typed import run

from spikemba.encoders.base import unknown_words
from spikemba.encoders.mini import load


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

"""Sentences about what a video of shapes does not show: none is true, whatever the maker thinks."""

import hashlib
import json
import re

import pytest

from spikemba.datasets.synthetic.shapes import COLOURS, annotate, storyboard
from spikemba.datasets.synthetic.shapes_nulls import annotate_nulls

BOARDS = [storyboard(seed, kind) for kind in ("plain", "distractor", "long_range") for seed in range(200)]
ROOM = 10
"""Query ids that a video of the corpus has for itself."""

FORMS = {
    "circle": "circle|disc|ball",
    "square": "square|box",
    "triangle": "triangle",
    "star": "star",
    "cross": "cross|plus sign",
    "ring": "ring|hoop",
}
ACTIONS = {
    "enters": "enters|comes in|moves into view|arrives",
    "leaves": "leaves|goes out|moves out of view|exits",
    "spins": "spins|rotates|turns around",
    "grows": "grows|gets bigger|expands",
    "shrinks": "shrinks|gets smaller|contracts",
    "blinks": "blinks|flickers|disappears and appears again and again",
    "jumps": "jumps|hops up and down|bounces",
    "shakes": "shakes|trembles|wiggles from side to side",
}
"""What words mean, written down anew: the corpus's own tables are what is tested."""


def meant(words):
    """Colour, form and action of a clause that names all three."""
    colour, form, action = re.fullmatch(
        rf"(?:an?|the) ({'|'.join(COLOURS)}) (.+?) ({'|'.join(ACTIONS.values())})", words
    ).groups()
    return (
        colour,
        next(name for name, said in FORMS.items() if form in said.split("|")),
        next(name for name, said in ACTIONS.items() if action in said.split("|")),
    )


def shown(board, words):
    """Events of the storyboard that a clause describes."""
    events = [event for scene in board.scenes for event in scene.events]
    return [event for event in events if (event.actor.colour, event.actor.form, event.action) == meant(words)]


def is_true(board, sentence):
    """Whether anything in the storyboard is what a sentence says; what overlaps counts as before and as after."""
    first, word, second = re.fullmatch(r"(.+?)(?: (before|after) (.+))?", sentence).groups()
    if word is None:
        return bool(shown(board, first))
    pairs = [(a, b) for a in shown(board, first) for b in shown(board, second)]
    return any(a.start_s < b.end_s if word == "before" else a.end_s > b.start_s for a, b in pairs)


def test_the_reader_of_this_test_finds_what_true_sentences_say():
    found = 0
    for board in BOARDS[:60]:
        for row in annotate(board, 0):
            if row.kind in ("plain", "before/after"):
                assert is_true(board, row.query), row.query
                found += 1
    assert found > 60


def test_no_event_of_any_storyboard_fits_a_null_sentence():
    kinds = {"absent": 0, "colour": 0, "action": 0, "order": 0}
    for board in BOARDS:
        for row in annotate_nulls(board, 0):
            assert not is_true(board, row.query), f"{board.video_id}: {row.query}"
            kinds[row.kind] += 1
    assert min(kinds.values()) > len(BOARDS) / 2, kinds


def test_each_kind_is_as_near_to_the_truth_as_it_says():
    for board in BOARDS[:100]:
        actors = {(a.colour, a.form) for scene in board.scenes for a in scene.actors}
        does = {(e.actor.colour, e.actor.form, e.action) for e in board.events}
        for row in annotate_nulls(board, 0):
            if row.kind == "order":
                parts = re.split(" before | after ", row.query)
                assert all(shown(board, part) for part in parts), row.query
                continue
            colour, form, action = meant(row.query)
            if row.kind == "absent":
                assert form not in {known for _, known in actors}
            elif row.kind == "colour":
                assert any((other, form, action) in does for other in COLOURS)
            else:
                assert any((colour, form, other) in does for other in ACTIONS)


def test_null_rows_have_no_window_and_are_of_their_video():
    for board in BOARDS[:50]:
        for row in annotate_nulls(board, 40):
            assert row.is_null
            assert (row.video_id, row.duration_s) == (board.video_id, board.duration_s)
            assert row.to_row()["relevant_windows"] == []


def test_their_ids_are_neither_those_of_true_sentences_nor_of_the_next_video():
    for board in BOARDS:
        true, null = ([row.query_id for row in rows(board, 40)] for rows in (annotate, annotate_nulls))
        assert len({*true, *null}) == len(true) + len(null)
        assert all(40 <= number < 40 + ROOM for number in (*true, *null))


def test_equal_seeds_give_equal_null_sentences():
    assert [annotate_nulls(board, 0) for board in BOARDS[:9]] == [annotate_nulls(board, 0) for board in BOARDS[:9]]
    text = json.dumps([row.to_row() for board in BOARDS[::20] for row in annotate_nulls(board, 0)])
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "7ad6951174e162fb"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train", "9f5e440f34023c50"),
        ("val", "88b2fb674311ae02"),
        ("test", "f051ea7d8cabe777"),
        ("test_distractor", "0bacd7cd5246ba9e"),
        ("test_long_range", "951a5666cc24d2ad"),
    ],
)
def test_the_files_of_true_sentences_are_what_they_were_without_null_sentences(corpus, name, expected):
    assert hashlib.sha256((corpus / f"{name}.jsonl").read_bytes()).hexdigest()[:16] == expected
    assert (corpus / f"{name.partition('_')[0]}_nulls.jsonl").exists()

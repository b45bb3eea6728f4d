"""Where a sentence of shapes is true: its words are read back, and every video is asked."""

import random
from itertools import product

import pytest

from spikemba.datasets.synthetic.shapes import (
    ACTIONS,
    COLOURS,
    FORMS,
    Actor,
    Description,
    Event,
    Scene,
    Storyboard,
    annotate,
    phrase,
    storyboard,
)
from spikemba.datasets.synthetic.shapes_nulls import annotate_nulls
from spikemba.datasets.synthetic.shapes_truth import Meaning, corpus_queries, meaning_of, true_moments
from spikemba.errors import SpikeMbaError
from spikemba.metrics.corpus import TrueMoment

BOARDS = [storyboard(seed, kind) for kind in ("plain", "distractor", "long_range") for seed in range(12)]
STAR, RING = Actor("red", "star", 0.2, 0.3, 0.1), Actor("blue", "ring", 0.8, 0.3, 0.1)


def board(name, *events):
    """A video of 60 s with these (actor, action, start_s, end_s)."""
    acts = tuple(sorted((Event(*event) for event in events), key=lambda event: event.start_s))
    return Storyboard(name, 60.0, (Scene(0, 60, (0, 0, 0), (STAR, RING), acts),), ())


def windows(boards, sentence):
    return [tuple(one[:3]) for one in true_moments(boards, meaning_of(sentence))]


@pytest.mark.parametrize("action", ACTIONS)
def test_whatever_is_said_is_read_back(action):
    rng = random.Random(action)
    for colour, form in product((None, *COLOURS), (None, *FORMS)):
        for _ in range(12):
            said = phrase(rng, Description(colour, form, action))
            assert meaning_of(said) == Meaning(Description(colour, form, action)), said


def test_the_parts_of_a_sentence_are_told_apart():
    spins, leaves = Description("red", "star", "spins"), Description(None, "cross", "leaves")
    assert meaning_of("A red star rotates.") == Meaning(spins)
    assert meaning_of("the red star turns around for the last time") == Meaning(spins, which="last")
    said = "a red star spins after the plus sign moves out of view"
    assert meaning_of(said) == Meaning(spins, relation="after", anchor=leaves)
    assert meaning_of("an orange box jumps").what == Description("orange", "square", "jumps")


@pytest.mark.parametrize("said", ["", "a dog barks", "a red star", "red star spins", "a redd star spins", "spins",
                                  "a red star spins after", "something tall spins", "a red spins"])  # fmt: skip
def test_another_sentence_is_refused_in_a_line(said):
    with pytest.raises(SpikeMbaError, match=r"is no sentence of shapes; expected one as 'a red circle enters'"):
        meaning_of(said)


def test_every_video_is_asked_and_windows_are_whole_clips():
    videos = [
        board("a", (STAR, "spins", 10.2, 16.9), (RING, "spins", 30, 36)),
        board("b", (RING, "jumps", 0, 8)),
        board("c", (STAR, "spins", 0, 4), (STAR, "spins", 40, 44)),
    ]
    assert windows(videos, "the red star spins") == [("a", 10, 16), ("c", 0, 4), ("c", 40, 44)]
    assert windows(videos, "something spins") == [("a", 10, 16), ("a", 30, 36), ("c", 0, 4), ("c", 40, 44)]
    assert windows(videos, "something blue spins") == [("a", 30, 36)]
    assert windows(videos, "a green star spins") == []


def test_first_and_last_are_those_of_each_video():
    videos = [board("a", (STAR, "spins", 0, 4), (STAR, "spins", 20, 24)), board("b", (STAR, "spins", 8, 12))]
    assert windows(videos, "a star spins for the first time") == [("a", 0, 4), ("b", 8, 12)]
    assert windows(videos, "a star spins for the last time") == [("a", 20, 24), ("b", 8, 12)]


def test_before_and_after_need_the_other_event_and_are_strict():
    star = [(STAR, "spins", 0, 4), (STAR, "spins", 10, 14), (STAR, "spins", 30, 34)]
    once = board("once", *star, (STAR, "spins", 18, 24), (RING, "jumps", 13, 20))  # two spins overlap the jump
    never = board("never", *star)
    twice = board("twice", *star, (RING, "jumps", 6, 8), (RING, "jumps", 20, 24))
    assert windows([once, never], "a star spins after a ring jumps") == [("once", 30, 34)]
    assert windows([once, never], "a star spins before a ring jumps") == [("once", 0, 4)]
    assert windows([twice], "a star spins after a ring jumps") == [("twice", 10, 14), ("twice", 30, 34)]
    assert windows([twice], "a star spins before a ring jumps") == [("twice", 0, 4), ("twice", 10, 14)]


def test_in_its_own_video_a_sentence_means_what_is_annotated():
    for one in BOARDS:
        rows = annotate(one, 0)
        for row, query in zip(rows, corpus_queries(BOARDS, rows), strict=True):
            own = tuple((moment.start_s, moment.end_s) for moment in query.truth if moment.video_id == one.video_id)
            assert own == row.windows, row.query
            assert (query.query_id, query.query, query.video_id, query.kind) == (
                row.query_id, row.query, one.video_id, row.kind,
            )  # fmt: skip


def test_a_null_sentence_is_true_of_nothing_in_its_own_video_and_perhaps_elsewhere():
    nulls = [row for one in BOARDS for row in annotate_nulls(one, 0)]
    queries = corpus_queries(BOARDS, nulls)
    for row, query in zip(nulls, queries, strict=True):
        assert row.video_id not in {moment.video_id for moment in query.truth}, row.query
    assert 0 < sum(not query.truth for query in queries) < len(queries)


def test_more_videos_add_windows_and_change_none():
    rows = annotate(BOARDS[0], 0)
    few, all_ = (corpus_queries(boards, rows) for boards in (BOARDS[:3], BOARDS))
    names = {one.video_id for one in BOARDS[:3]}
    for a, b in zip(few, all_, strict=True):
        assert a.truth == tuple(moment for moment in b.truth if moment.video_id in names)
    assert all(isinstance(moment, TrueMoment) and moment.grade == 1 for query in all_ for moment in query.truth)

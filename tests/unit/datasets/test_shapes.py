"""The synthetic corpus: what is drawn is what is said."""

import hashlib
import json
from itertools import pairwise

import numpy as np
import pytest

from spikemba.datasets.synthetic.drawing import pose, render
from spikemba.datasets.synthetic.shapes import (
    ACTIONS,
    CLIP_S,
    COLOURS,
    FORMS,
    FPS,
    SIZE_PX,
    annotate,
    coverage,
    queries,
    storyboard,
    storyboard_of,
)

KINDS = ("plain", "distractor", "long_range")
BOARDS = [storyboard(seed, kind) for kind in KINDS for seed in range(12)]


def names(board):
    return board.video_id


@pytest.mark.parametrize("board", BOARDS, ids=names)
def test_equal_seeds_give_equal_videos(board):
    assert storyboard_of(board.video_id) == board
    assert annotate(storyboard_of(board.video_id), 0) == annotate(board, 0)


@pytest.mark.parametrize("board", BOARDS, ids=names)
def test_scenes_fill_the_video_and_actors_do_one_possible_thing_at_a_time(board):
    assert board.scenes[0].start_s == 0
    assert board.scenes[-1].end_s == board.duration_s
    for before, after in pairwise(board.scenes):
        assert before.end_s == after.start_s
    for scene in board.scenes:
        for actor in scene.actors:
            events = scene.events_of(actor)
            assert all(a.end_s < b.start_s for a, b in pairwise(events))
            assert all(scene.start_s <= e.start_s and e.end_s <= scene.end_s for e in events)
            for a, b in pairwise(events):
                assert (a.action == "leaves") == (b.action == "enters")


@pytest.mark.parametrize("board", BOARDS, ids=names)
def test_windows_are_unions_of_clips_that_the_events_cover(board):
    for query, row in zip(queries(board), annotate(board, 10), strict=True):
        share = coverage(board.duration_s, query.events)
        inside = np.zeros(len(share), bool)
        for start, end in row.windows:
            assert 0 <= start < end <= board.duration_s
            inside[round(start / CLIP_S) : int(np.ceil(end / CLIP_S))] = True
        assert (inside == (share >= 0.5)).all()
        assert list(row.relevant_clips) == np.flatnonzero(inside).tolist()
        assert all(0 <= r <= 4 for rating in row.ratings for r in rating)
        assert len({r.query for r in annotate(board, 10)}) == len(annotate(board, 10))


def test_every_query_has_a_clip_that_everybody_finds_good():
    best = [max(max(rating) for rating in row.ratings) for board in BOARDS for row in annotate(board, 0)]
    assert np.mean(np.array(best) == 4) > 0.98


def test_the_corpus_has_near_misses_repetitions_and_several_windows():
    rows = [row for seed in range(60) for row in annotate(storyboard(seed), 0)]
    share = {
        "several windows": np.mean([len(row.windows) > 1 for row in rows]),
        "first or last": np.mean(["time" in row.query for row in rows]),
        "before or after": np.mean([" after " in row.query or " before " in row.query for row in rows]),
        "not every word": np.mean(["something" in row.query for row in rows]),
    }
    assert share["several windows"] > 0.2
    assert share["first or last"] > 0.2
    assert share["before or after"] > 0.03
    assert share["not every word"] > 0.05


def test_long_range_events_stand_alone():
    for seed in range(20):
        board = storyboard(seed, "long_range")
        (query,) = queries(board)
        (event,) = query.events
        others = [e for e in board.events if e is not event]
        assert min(max(e.start_s - event.end_s, event.start_s - e.end_s) for e in others) > 0.35 * board.duration_s


def test_distractors_flash_and_are_never_meant():
    board = storyboard(3, "distractor")
    assert len(board.flashes) >= 4
    assert all(flash.form not in FORMS for flash in board.flashes)


def test_frames_have_the_size_and_number_that_is_promised():
    board = storyboard(1, duration_s=12)
    frames = list(render(board))
    assert len(frames) == 12 * FPS
    assert frames[0].shape == (SIZE_PX, SIZE_PX, 3)
    assert frames[0].dtype == np.uint8
    assert any((a != b).any() for a, b in pairwise(frames))


def one(action):
    """An event of that action, with its scene."""
    for seed in range(200):
        for scene in storyboard(seed).scenes:
            for event in scene.events:
                if event.action == action:
                    return scene, event
    raise AssertionError(action)


def at(scene, event, share):
    now = event.start_s + share * (event.end_s - event.start_s)
    return pose(event.actor, scene.events_of(event.actor), now)


def test_entering_and_leaving_are_each_other_reversed():
    for action, first, last in (("enters", 0.01, 0.99), ("leaves", 0.99, 0.01)):
        scene, event = one(action)
        outside, home = at(scene, event, first), at(scene, event, last)
        assert not 0 <= outside.x <= 1
        assert home.x == pytest.approx(event.actor.x, abs=0.05)


def test_growing_and_shrinking_change_the_size():
    scene, event = one("grows")
    assert at(scene, event, 0.9).size > 1.5 * at(scene, event, 0.1).size * 0.9
    scene, event = one("shrinks")
    assert at(scene, event, 0.1).size > at(scene, event, 0.9).size


def test_the_other_actions_are_seen_too():
    scene, event = one("spins")
    assert at(scene, event, 0.3).angle != at(scene, event, 0.4).angle
    scene, event = one("jumps")
    assert min(at(scene, event, s).y for s in np.linspace(0, 0.99, 20)) < event.actor.y - 0.1
    scene, event = one("shakes")
    assert np.ptp([at(scene, event, s).x for s in np.linspace(0, 0.99, 40)]) > 0.08
    scene, event = one("blinks")
    assert {at(scene, event, s) is None for s in np.linspace(0, 0.99, 40)} == {True, False}


def test_words_of_the_corpus_cover_all_colours_forms_and_actions():
    seen = {(e.actor.colour, e.actor.form, e.action) for seed in range(300) for e in storyboard(seed).events}
    assert {c for c, _, _ in seen} == set(COLOURS)
    assert {f for _, f, _ in seen} == set(FORMS)
    assert {a for _, _, a in seen} == set(ACTIONS)


@pytest.mark.parametrize("board", BOARDS, ids=names)
def test_the_kind_of_a_query_is_what_its_sentence_shows(board):
    for row in annotate(board, 0):
        named = {word for word in row.query.split() if word in COLOURS}, "something" in row.query
        if row.query.endswith(" time"):
            assert row.kind == "first/last"
        elif " after " in row.query or " before " in row.query:
            assert row.kind == "before/after"
        elif named[1] or not named[0]:  # no form, or no colour
            assert row.kind == "one attribute"
        else:
            assert row.kind == "plain"


def test_naming_kinds_has_left_the_corpus_as_it_was():
    rows = [row.to_row() for board in BOARDS for row in annotate(board, 0)]
    assert {row.pop("kind") for row in rows} == {"plain", "one attribute", "first/last", "before/after"}
    said = "\n".join(map(json.dumps, rows))
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == "b3c1319c12c7f79b"

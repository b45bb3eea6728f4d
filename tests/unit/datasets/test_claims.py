"""The three grammars: what a sentence means is where the storyboard has it, and likeness alone does not tell."""

import json
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spikemba.datasets.annotations import read_annotations, write_annotations
from spikemba.datasets.synthetic.claim_parts import Part, lay_out, loudness, n_shared
from spikemba.datasets.synthetic.claims import GRAMMARS, annotate_claims, claim_video, claim_video_of
from spikemba.datasets.synthetic.far import FAR
from spikemba.datasets.synthetic.planted import Planted
from spikemba.datasets.synthetic.scripts import scripts
from spikemba.datasets.synthetic.shapes import ACTIONS, CLIP_S, COLOURS, FORMS, Description, coverage, describe
from spikemba.errors import AnnotationError, UnknownName

VIDEOS = {grammar: [claim_video(seed, grammar) for seed in range(60)] for grammar in GRAMMARS}
EVERY = [(grammar, video) for grammar in GRAMMARS for video in VIDEOS[grammar]]
KINDS = {
    "outshone": {"outshone"},
    "far": {"first", "second", "last", "before", "after", "between"},
    "scripts": {"hidden"},
}


def clips_between(a, b):
    """Clips between two events, whichever comes first."""
    return max(a.start_s - b.end_s, b.start_s - a.end_s) / CLIP_S


def times_of(video, what):
    return [event for event in video.board.events if what.fits(event)]


def test_equal_seeds_give_equal_videos_and_others_give_others():
    for grammar, video in EVERY:
        again = claim_video_of(video.board.video_id)
        assert again == video
        assert annotate_claims(again, 7) == annotate_claims(video, 7)
        assert video.board.video_id.startswith(f"claims_{grammar}_")
    assert len({video.board.duration_s for _, video in EVERY}) > 10
    assert len({video.claims[0].query.text for _, video in EVERY}) > 100


def test_an_unknown_grammar_is_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match="no grammar is called 'near'; there are: outshone, far, scripts"):
        claim_video(0, "near")


def test_videos_have_60_to_75_clips_and_one_event_at_a_time():
    for _, video in EVERY:
        board = video.board
        assert 60 <= board.duration_s / CLIP_S <= 75
        assert board.scenes[0].start_s == 0
        assert board.scenes[-1].end_s == board.duration_s
        assert all(a.end_s == b.start_s for a, b in pairwise(board.scenes))
        for scene in board.scenes:
            (event,) = scene.events
            assert scene.start_s <= event.start_s < event.end_s <= scene.end_s
        assert all(clips_between(a, b) > 0.5 for a, b in pairwise(board.events))


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_a_video_has_three_or_four_sentences_with_different_answers(grammar):
    counts = []
    for video in VIDEOS[grammar]:
        rows = annotate_claims(video, 0)
        counts.append(len(rows))
        assert len({row.query for row in rows}) == len({row.windows for row in rows}) == len(rows)
    assert set(counts) == ({2, 3} if grammar == "scripts" else {3, 4})


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_rows_carry_their_kind(grammar):
    rows = [row for video in VIDEOS[grammar] for row in annotate_claims(video, 0)]
    assert {row.kind for row in rows} == KINDS[grammar]
    assert all(row.to_row()["kind"] == row.kind for row in rows)


def test_kinds_read_back_as_written_and_anything_but_words_is_refused(tmp_path):
    rows = annotate_claims(VIDEOS["far"][0], 0)
    rows[0] = replace(rows[0], kind=None)
    path = tmp_path / "rows.jsonl"
    write_annotations(path, rows)
    assert read_annotations(path) == rows
    assert '"kind"' not in path.read_text().splitlines()[0]
    path.write_text(json.dumps(rows[0].to_row() | {"kind": 3}) + "\n")
    with pytest.raises(AnnotationError, match="line 1: kind is 3; expected str"):
        read_annotations(path)


def test_windows_are_the_clips_that_the_event_covers_beyond_doubt():
    for _, video in EVERY:
        for row, claim in zip(annotate_claims(video, 0), video.claims, strict=True):
            share = coverage(video.board.duration_s, [claim.event])
            assert ((share < 0.21) | (share > 0.59)).all()  # at both edges of a clip at once: 1 - 2 * 0.2
            (window,) = row.windows
            inside = np.flatnonzero(share >= 0.5)
            assert (inside == np.arange(inside[0], inside[-1] + 1)).all()
            assert window == (inside[0] * CLIP_S, (inside[-1] + 1) * CLIP_S)
            assert list(row.relevant_clips) == inside.tolist()


def test_outshone_answers_happen_once_and_louder_longer_near_misses_resemble_them_more():
    encoder = Planted()
    more_alike = []
    for video in VIDEOS["outshone"]:
        for claim in video.claims:
            assert times_of(video, claim.about) == [claim.event]
            own = encoder.event(claim.about)
            others = [event for event in video.board.events if n_shared(describe(event), claim.about) == 2]
            louder = [event for event in others if loudness(event) > 1.9 * loudness(claim.event)]
            longer = [
                event for event in louder if event.end_s - event.start_s > claim.event.end_s - claim.event.start_s
            ]
            assert len(louder) >= 3
            alike = [
                event
                for event in louder
                if loudness(event) * (encoder.event(describe(event)) @ own) > loudness(claim.event)
            ]
            more_alike.append(len(alike) > 0)
            assert longer
    assert all(more_alike)


def test_being_quiet_is_no_answer_either():
    for video in VIDEOS["outshone"]:
        meant = {claim.event for claim in video.claims}
        assert [event for event in video.board.events if loudness(event) < 1 and event not in meant]


def reading(video, claim):
    """The occurrence that a sentence of `far` means, read off the storyboard."""
    times = times_of(video, claim.about)
    anchors = [times_of(video, clause.about) for clause in claim.clauses[1:] if clause.about]
    if claim.kind == "before":
        return [time for time in times if time.end_s <= anchors[0][0].start_s][-1], [anchors[0][0]]
    if claim.kind == "after":
        return next(time for time in times if time.start_s >= anchors[0][-1].end_s), [anchors[0][-1]]
    if claim.kind == "between":
        (start,), (end,) = anchors
        (time,) = [time for time in times if start.end_s <= time.start_s and time.end_s <= end.start_s]
        return time, [start, end]
    return times[{"first": 0, "second": 1, "last": -1}[claim.kind]], []


def test_far_sentences_mean_the_occurrence_that_they_tell_from_far_away():
    for video in VIDEOS["far"]:
        for claim in video.claims:
            times = times_of(video, claim.about)
            assert 3 <= len(times) <= 5
            assert all(clips_between(a, b) > FAR - 0.5 for a, b in pairwise(times))
            found, anchors = reading(video, claim)
            assert found == claim.event
            for anchor in anchors:
                assert clips_between(anchor, found) > FAR - 0.5
                assert min(times, key=lambda time: clips_between(time, anchor)) != found or len(anchors) == 2


def test_no_occurrence_is_right_for_most_sentences_with_anchors():
    right = {"before": [], "after": [], "between": []}
    for video in VIDEOS["far"]:
        for claim in video.claims:
            if claim.kind in right:
                right[claim.kind].append(times_of(video, claim.about).index(claim.event))
    for kind, indices in right.items():
        assert max(np.bincount(indices)) < 0.6 * len(indices), kind


def test_far_sentences_say_what_tells():
    video = next(video for video in VIDEOS["far"] if {"before", "after"} <= {claim.kind for claim in video.claims})
    texts = {claim.kind: claim.query.text for claim in video.claims}
    assert " for the last time before " in texts["before"]
    assert texts["before"].endswith(" for the first time")
    assert " for the first time after " in texts["after"]
    assert texts["after"].endswith(" for the last time")


def test_scripts_are_eight_of_six_to_eight_steps_that_no_two_share():
    assert len(scripts()) == 8
    assert {len(script) for script in scripts()} == {6, 7, 8}
    steps = [step for script in scripts() for step in script]
    assert len(steps) == len(set(steps))
    assert scripts()[0][0] == Description("orange", "triangle", "jumps")  # models were trained on these


def test_a_hidden_step_is_nowhere_to_be_seen_and_its_window_lies_between_its_neighbours():
    for video in VIDEOS["scripts"]:
        events = video.board.events
        for claim in video.claims:
            assert not times_of(video, claim.about)
            script = next(script for script in scripts() if claim.about in script)
            at = script.index(claim.about)
            (before,), (after,) = times_of(video, script[at - 1]), times_of(video, script[at + 1])
            assert (claim.event.start_s, claim.event.end_s) == (before.end_s, after.start_s)
            assert all(event.end_s <= before.end_s or event.start_s >= after.start_s for event in events)
            assert clips_between(before, after) > 3.5
            seen = [script.index(describe(event)) for event in events if describe(event) in script]
            assert seen == sorted(set(seen))
            assert len(seen) + len(video.claims) == len(script)
            strangers = [event for event in events if describe(event) not in script]
            known = {step for one in scripts() for step in one}
            assert 2 <= len(strangers) <= 4
            assert not known & {describe(event) for event in strangers}


def test_the_longest_silence_is_seldom_the_hidden_step():
    right = []
    for video in VIDEOS["scripts"]:
        edges = [(0, 0), *((e.start_s, e.end_s) for e in video.board.events), (video.board.duration_s,) * 2]
        longest = max(((a[1], b[0]) for a, b in pairwise(edges)), key=lambda gap: gap[1] - gap[0])
        right += [longest == (claim.event.start_s, claim.event.end_s) for claim in video.claims]
    assert np.mean(right) < 0.4


def test_every_script_and_every_colour_form_and_action_is_used():
    seen = {scripts_of(video) for video in VIDEOS["scripts"]}
    assert len(seen) == 8
    events = [event for _, video in EVERY for event in video.board.events]
    assert {event.actor.colour for event in events} == set(COLOURS)
    assert {event.actor.form for event in events} == set(FORMS)
    assert {event.action for event in events} == set(ACTIONS)


def scripts_of(video):
    return next(i for i, script in enumerate(scripts()) if video.claims[0].about in script)


def test_parts_that_do_not_fit_are_not_laid_out():
    parts = [Part(Description("red", "star", "spins"), 4, 1.0)] * 2
    assert lay_out(random.Random(0), parts, 8) is None
    first, second = lay_out(random.Random(0), parts, 9)
    assert first.start_s < 0.5
    assert second.end_s > 17.5

"""The motions corpus: only the order of the frames tells the classes of a pair apart."""

import numpy as np
import pytest

from spikemba.datasets.synthetic.motion_drawing import render
from spikemba.datasets.synthetic.motions import N_FRAMES, motion_labels, reversed_label, storyboard
from spikemba.errors import UnknownName

ALL = [(which, label) for which in ("moves", "orders") for label in motion_labels(which)]


def frames(which, label, seed=3, **how):
    return np.stack(list(render(storyboard(which, label, seed), size_px=32, **how)))


def test_there_are_twelve_moves_and_eight_orders():
    assert [len(set(motion_labels(which))) for which in ("moves", "orders")] == [12, 8]
    with pytest.raises(UnknownName, match="there are: moves, orders"):
        motion_labels("dances")


@pytest.mark.parametrize(("which", "label"), ALL)
def test_a_motion_backwards_is_its_partner_frame_by_frame(which, label):
    assert reversed_label(reversed_label(label)) == label != reversed_label(label)
    assert (frames(which, label)[::-1] == frames(which, reversed_label(label))).all()


@pytest.mark.parametrize(("which", "label"), ALL)
def test_every_video_shows_motion_and_keeps_its_stage(which, label):
    shown = frames(which, label)
    assert shown.shape == (N_FRAMES, 32, 32, 3)
    changed = (shown[1:] != shown[:-1]).any(-1)
    assert changed.any((1, 2)).sum() >= N_FRAMES - 4  # a slow growth rounds to nothing at times
    assert changed.any(0).mean() < 0.7  # elsewhere nothing moves


def test_all_orders_show_the_same_frames():
    bags = {frozenset(frame.tobytes() for frame in frames("orders", label)) for label in motion_labels("orders")}
    assert len(bags) == 1


@pytest.mark.parametrize("which", ["moves", "orders"])
def test_no_class_has_a_place_size_or_turn_of_its_own_in_any_frame(which):
    """The mean direction on the circle is zero for what is equally likely everywhere; 400 draws lie within 0.15."""
    for label in motion_labels(which):
        for done in (0.03, 0.97):
            poses = [storyboard(which, label, seed).pose(done) for seed in range(400)]
            turns = np.array([[p.x, p.y, p.growth, p.angle / (2 * np.pi)] for p in poses])
            assert (np.abs(np.exp(2j * np.pi * turns).mean(0)) < 0.15).all(), label


def test_another_look_is_another_world():
    dark, light = (storyboard("moves", "grows", 1, look) for look in ("dark", "light"))
    assert max(dark.background) <= 70 < 95 <= min(light.background)


def test_what_leaves_on_one_side_comes_in_on_the_other():
    board = next(b for b in (storyboard("moves", "moves_right", seed) for seed in range(99)) if b.bystander is None)
    shown = np.stack(list(render(board, size_px=32)))
    still = np.median(shown, axis=0)
    seen = (np.abs(shown - still) > 40).any((1, 2, 3))
    assert seen.all()

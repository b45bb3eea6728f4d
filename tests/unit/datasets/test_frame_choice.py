"""Which frames a recogniser sees."""

import numpy as np
import pytest

from spikemba.datasets.labelled.frame_choice import FrameChoice, training_frames, viewed_frames

UNIFORM = FrameChoice(n_frames=8)
DENSE = FrameChoice(n_frames=8, rule="dense", stride=2)


@pytest.mark.parametrize("choice", [UNIFORM, DENSE])
@pytest.mark.parametrize("n_source", [1, 3, 8, 15, 16, 100])
def test_frames_are_there_and_in_order(choice, n_source):
    rng = np.random.default_rng(0)
    for frames in [training_frames(choice, n_source, rng), *viewed_frames(choice, n_source, 3)]:
        assert frames.shape == (8,)
        assert (np.diff(frames) >= 0).all()
        assert frames[0] >= 0
        assert frames[-1] < n_source


def test_one_view_takes_the_middle():
    assert viewed_frames(UNIFORM, 16, 1)[0].tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
    assert viewed_frames(DENSE, 25, 1)[0].tolist() == [5, 7, 9, 11, 13, 15, 17, 19]


def test_views_reach_from_the_beginning_to_the_end():
    dense = viewed_frames(DENSE, 100, 3)
    assert [(view[0], view[-1]) for view in dense] == [(0, 14), (42, 56), (85, 99)]
    uniform = viewed_frames(FrameChoice(n_frames=2), 8, 4)
    assert [view.tolist() for view in uniform] == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_training_takes_one_frame_of_every_part_and_in_time_each_of_them():
    rng = np.random.default_rng(0)
    drawn = np.stack([training_frames(UNIFORM, 80, rng) for _ in range(200)])
    assert (drawn // 10 == np.arange(8)).all()
    assert len(np.unique(drawn[:, 3])) == 10


def test_training_stretches_begin_anywhere():
    rng = np.random.default_rng(0)
    starts = {int(training_frames(DENSE, 20, rng)[0]) for _ in range(200)}
    assert starts == set(range(6))


def test_a_short_video_ends_with_its_last_frame():
    assert viewed_frames(DENSE, 5, 2)[1].tolist() == [0, 2, 4, 4, 4, 4, 4, 4]
    assert viewed_frames(UNIFORM, 2, 1)[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]

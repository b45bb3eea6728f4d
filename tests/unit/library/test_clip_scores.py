"""How clips of several videos are compared."""

import numpy as np
import pytest

from spikemba.errors import UnknownName
from spikemba.library.clip_scores import PRIOR_CLIPS, ClipScores, merged_hits, peaks


def clip_scores(*videos):
    n_clips = np.array([len(video) for video in videos], np.int64)
    scores = np.concatenate([np.asarray(video, np.float32) for video in videos] or [np.empty(0, np.float32)])
    return ClipScores(np.arange(len(videos), dtype=np.int64), n_clips, np.full(len(videos), 2.0), scores)


def test_videos_are_ranked_by_their_nearest_clip():
    found = clip_scores([0.1, 0.9], [0.5, 0.5, 0.5], [0.95])
    np.testing.assert_allclose(found.best(), [0.9, 0.5, 0.95], rtol=1e-6)
    assert found.ranked().tolist() == [2, 0, 1]
    np.testing.assert_allclose(found.of(1), [0.5, 0.5, 0.5])


def test_centred_takes_the_videos_mean_mixed_with_that_of_all():
    found = clip_scores([1.0, 3.0], [0.0, 0.0])
    mean = (4.0 + PRIOR_CLIPS * 1.0) / (2 + PRIOR_CLIPS)
    np.testing.assert_allclose(found.levelled("centred").of(0), [1 - mean, 3 - mean], rtol=1e-6)


def test_a_video_of_one_clip_still_stands_out_when_centred():
    found = clip_scores([5.0], [0.0] * 20).levelled("centred")
    assert found.of(0)[0] > 2


def test_standardised_scores_do_not_change_with_the_scale_of_all():
    found = clip_scores([0.1, 0.4, 0.2], [0.3, 0.9])
    tenfold = clip_scores([1.0, 4.0, 2.0], [3.0, 9.0])
    a, b = (one.levelled("standardised").scores for one in (found, tenfold))
    np.testing.assert_allclose(a, b, rtol=1e-4)


def test_plain_scores_stay_and_another_name_is_refused():
    found = clip_scores([0.1, 0.4])
    assert found.levelled("plain") is found
    with pytest.raises(UnknownName, match="plain, centred, standardised"):
        found.levelled("odd")


@pytest.mark.parametrize("level", ["plain", "centred", "standardised"])
def test_scores_that_are_all_the_same_and_none_at_all_give_no_odd_numbers(level):
    assert np.isfinite(clip_scores([0.5, 0.5], [0.5]).levelled(level).scores).all()
    assert clip_scores().levelled(level).ranked().tolist() == []


def test_neighbours_above_the_threshold_are_one_hit_with_the_best_score():
    found = clip_scores([0.9, 0.0, 0.7, 0.0, 0.0, 0.8], [0.75])
    hits = [(hit.place, hit.start, hit.stop, round(hit.score, 3)) for hit in merged_hits(found, 0.6, max_gap=1)]
    assert hits == [(0, 0, 3, 0.9), (0, 5, 6, 0.8), (1, 0, 1, 0.75)]


def test_hits_never_reach_into_the_next_video():
    hits = merged_hits(clip_scores([0.0, 0.9], [0.9, 0.0]), 0.5)
    assert [(hit.place, hit.start, hit.stop) for hit in hits] == [(0, 1, 2), (1, 0, 1)]


def test_a_peak_takes_the_neighbours_that_keep_half_of_its_rise_above_the_mean():
    scores = np.array([0, 0, 0.6, 1.0, 0.4, 0, 0, 0, 0, 0.5], np.float32)  # mean 0.25, half of the rise at 0.625
    assert peaks(scores, 1) == [(3, 4, 1.0)]
    wider = np.array([0, 0, 0.7, 1.0, 0.7, 0, 0, 0, 0, 0.6], np.float32)  # mean 0.3, half at 0.65, then at 0.45
    assert [peak[:2] for peak in peaks(wider, 2)] == [(2, 5), (9, 10)]


def test_a_video_that_is_alike_all_over_is_one_peak_and_what_is_left_out_is_none():
    assert peaks(np.ones(5, np.float32), 3) == [(0, 5, 1.0)]
    assert peaks(np.array([-np.inf, 1, -np.inf], np.float32), 3) == [(1, 2, 1.0)]
    assert peaks(np.array([-np.inf], np.float32), 3) == []


def test_parts_are_found_until_no_clip_is_left_also_below_the_mean():
    scores = np.array([0.9, -np.inf, 0.2, 0.1, 0.85], np.float32)
    found = peaks(scores, 99)
    assert [(start, stop) for start, stop, _ in found] == [(0, 1), (4, 5), (2, 3), (3, 4)]
    assert [score for *_, score in found] == pytest.approx([0.9, 0.85, 0.2, 0.1])

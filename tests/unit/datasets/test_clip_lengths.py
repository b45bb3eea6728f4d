"""Numbers per clip at other lengths of clips: nothing is lost, nothing moves."""

import numpy as np
import pytest

from spikemba.datasets.annotations import Annotation, read_annotations, write_annotations
from spikemba.datasets.clip_lengths import at_clip_length, whole_clips
from spikemba.datasets.targets import clip_targets
from spikemba.errors import AnnotationError
from spikemba.moments import Window

LENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 1 / 3)


@pytest.mark.parametrize("clip_s", LENGTHS)
@pytest.mark.parametrize("wanted_s", LENGTHS)
def test_the_integral_over_the_video_stays(clip_s, wanted_s):
    values = np.random.default_rng(0).random(24)
    n = round(24 * clip_s / wanted_s)
    found = at_clip_length(values, clip_s, wanted_s, n)
    covered = min(24 * clip_s, n * wanted_s)
    fine = np.repeat(values, 600)[: round(covered * 600 / clip_s)]
    rest = max(0.0, n * wanted_s - 24 * clip_s) * values[-1]
    assert found.sum() * wanted_s == pytest.approx(fine.mean() * covered + rest, abs=0.05 * clip_s)


def test_equal_lengths_change_no_bit_and_halves_and_doubles_are_what_they_are():
    values = np.random.default_rng(0).random(7)
    np.testing.assert_array_equal(at_clip_length(values, 2.0, 2.0, 7), values)
    np.testing.assert_allclose(at_clip_length(values, 2.0, 1.0, 14), np.repeat(values, 2))
    np.testing.assert_allclose(at_clip_length(values, 1.0, 2.0, 3), (values[0:6:2] + values[1:7:2]) / 2)
    assert at_clip_length(values, 1.0, 2.0, 5)[4] == pytest.approx(values[-1])  # past the last clip


@pytest.mark.parametrize(("duration_s", "clip_s", "n"), [(150, 2, 75), (149.99, 2, 74), (0.3, 0.1, 3), (1.9, 2, 0)])
def test_whole_clips_are_counted_as_the_official_evaluator_counts_them(duration_s, clip_s, n):
    assert whole_clips(duration_s, clip_s) == n


@pytest.mark.parametrize("rating_clip_s", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("clip_s", [0.5, 1.0, 2.0, 4.0])
def test_ratings_stand_where_their_seconds_are_whatever_the_length_of_clips(rating_clip_s, clip_s):
    """The rated clips are those of the window [8, 16] s."""
    rated = tuple(range(int(8 / rating_clip_s), int(16 / rating_clip_s)))
    row = Annotation(0, "q", "v", 24.0, (Window(8, 16),), rated, ((4, 4, 4),) * len(rated), rating_clip_s)
    targets = clip_targets(row, int(24 / clip_s), clip_s)
    np.testing.assert_array_equal(targets.relevance, 12.0 * targets.foreground)


def test_a_true_window_that_nobody_rated_is_as_relevant_as_the_rated_ones():
    windows = Window(2, 8), Window(12, 16)
    row = Annotation(0, "q", "v", 20.0, windows, (1, 2, 3), ((4, 4, 4), (2, 2, 2), (3, 3, 3)))
    relevance = clip_targets(row, 10, 2.0).relevance
    assert relevance.tolist() == [0, 12, 6, 9, 0, 0, 9, 9, 0, 0]
    low = Annotation(0, "q", "v", 20.0, windows, (1, 2, 3), ((0, 0, 0),) * 3)
    assert clip_targets(low, 10, 2.0).relevance.tolist() == [0, 0, 0, 0, 0, 0, 1, 1, 0, 0]


def test_the_length_of_rated_clips_is_written_and_read(tmp_path):
    rows = [
        Annotation(i, "q", "v", 20.0, (Window(0, 4),), (0, 1), ((4, 4, 4), (1, 2, 3)), clip_s)
        for i, clip_s in enumerate((2.0, 1.0, 0.5))
    ]
    write_annotations(tmp_path / "a.jsonl", rows)
    assert read_annotations(tmp_path / "a.jsonl") == rows
    assert "clip_s" not in (tmp_path / "a.jsonl").read_text().splitlines()[0]  # as QVHighlights writes it


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('"relevant_clip_ids": [0.5], "saliency_scores": [[1, 1, 1]]', "expected a list of whole numbers"),
        ('"relevant_clip_ids": [0], "saliency_scores": [[1, 1, 3.5]]', "whole numbers from 0 to 4"),
        ('"relevant_clip_ids": [0], "saliency_scores": [[1, 1, 5]]', "whole numbers from 0 to 4"),
        ('"relevant_clip_ids": [0], "saliency_scores": [[1, 1, 1]], "clip_s": 0', "not a positive number of seconds"),
        ('"relevant_clip_ids": [0], "saliency_scores": [[1, 1, 1]], "clip_s": "2"', "clip_s is '2'"),
    ],
)
def test_ratings_that_would_be_cut_to_others_are_refused(tmp_path, more, problem):
    path = tmp_path / "a.jsonl"
    path.write_text('{"qid": 0, "query": "q", "vid": "v", "duration": 20, ' + more + "}\n")
    with pytest.raises(AnnotationError, match=problem):
        read_annotations(path)

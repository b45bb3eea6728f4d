"""Rows of features that cannot be of their video are refused, and what is a little off is counted."""

import logging
import random

import numpy as np
import pytest

from spikemba import features
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.base import DataConfig, GroundingDataset
from spikemba.datasets.row_fit import check_rows, videos_with_rows
from spikemba.errors import AnnotationError, FeaturesMismatch
from spikemba.features import Manifest
from spikemba.moments import Window


@pytest.fixture
def make(tmp_path):
    """A function that writes rows and features, and returns the configuration of them."""

    def made(rows, n_rows, **settings):
        """n_rows: of each video, per stream."""
        write_annotations(tmp_path / "train.jsonl", rows)
        for stream in range(len(n_rows[0])):
            features.write_manifest(tmp_path / f"stream{stream}", Manifest(encoder="e", dim=3))
            for row, of_video in zip(rows, n_rows, strict=True):
                values = np.ones((of_video[stream], 3))
                features.write_video_features(tmp_path / f"stream{stream}", row.video_id, values)
        features.write_manifest(tmp_path / "text", Manifest(encoder="t", kind="text", dim=2))
        for row in rows:
            features.write_query_features(tmp_path / "text", row.query_id, np.ones((2, 2)), np.ones(2))
        folders = tuple(tmp_path / f"stream{stream}" for stream in range(len(n_rows[0])))
        return DataConfig(
            train=tmp_path / "train.jsonl", video_features=folders, text_features=tmp_path / "text", **settings
        )

    return made


def row(i, duration_s=20.0, windows=((2, 8),), **more):
    found = None if windows is None else tuple(Window(*one) for one in windows)
    return Annotation(i, "q", f"v{i}", duration_s, found, **more)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_read_without_a_word_has_its_windows_within_a_clip_of_their_seconds(seed):
    draw = random.Random(seed)
    clip_s, duration_s = draw.choice([0.5, 1, 2, 5]), draw.uniform(2, 300)
    lengths = [draw.randint(1, 400) for _ in range(draw.randint(1, 3))]
    if draw.random() < 0.5:
        lengths = [max(1, round(duration_s / clip_s) + draw.randint(-1, 1)) for _ in lengths]
    streams = [(str(i), {"v0": n}) for i, n in enumerate(lengths)]
    videos = list(videos_with_rows([row(0, duration_s)], streams, clip_s))
    try:
        said = check_rows(videos, clip_s, accept=False)
    except FeaturesMismatch:
        assert any(
            abs(a - b) > 1 and not 0.8 <= a / b <= 1.25 for a in lengths for b in [*lengths, duration_s / clip_s]
        )
        return
    within = [abs(n - duration_s / clip_s) <= 1 for n in lengths]
    short = duration_s < clip_s + 0.1
    assert said or short or (all(within) and max(lengths) - min(lengths) <= 1)
    assert check_rows(videos, clip_s, accept=True) == said


def test_rows_of_a_second_under_clips_of_two_are_refused_with_both_cures(make):
    config = make([row(0, 150.0, [(100, 120)]), row(1, 60.0)], [(150,), (60,)])
    with pytest.raises(FeaturesMismatch, match=r"2 of 2 videos .* 'v0': 150 rows in stream0, and it lasts 150 s"):
        GroundingDataset(config, "train")
    with pytest.raises(FeaturesMismatch, match=r"lasts 1 s, say so with --set data.clip_s.*data.accept_misfit=true"):
        GroundingDataset(config, "train")
    right = GroundingDataset(config.model_copy(update={"clip_s": 1.0}), "train")
    assert np.flatnonzero(right[0].targets.foreground).tolist() == list(range(100, 120))


def test_stretched_rows_of_any_length_put_windows_where_they_are(make):
    config = make([row(0, 150.0, [(100, 120)])], [(150, 40)], lengths="stretch")
    pair = GroundingDataset(config, "train")[0]
    assert len(pair.video) == 75
    assert np.flatnonzero(pair.targets.foreground).tolist() == list(range(50, 60))


def test_streams_of_unequal_length_are_refused_and_may_be_accepted(make, caplog):
    config = make([row(0, 100.0)], [(59, 33)])
    with pytest.raises(FeaturesMismatch, match="'v0': 59 rows in stream0 and 33 rows in stream1"):
        GroundingDataset(config, "train")
    with caplog.at_level(logging.WARNING, logger="spikemba"):
        GroundingDataset(config.model_copy(update={"accept_misfit": True}), "train")
    assert "split 'train': 1 of 1 videos have features whose rows do not fit" in caplog.text


def test_a_little_off_is_a_counted_warning_and_a_started_clip_is_nothing(make, caplog):
    with caplog.at_level(logging.WARNING, logger="spikemba"):
        GroundingDataset(make([row(0), row(1, 19.0), row(2, 21.0)], [(10, 10), (9, 10), (11, 10)]), "train")
    assert not caplog.records
    with caplog.at_level(logging.WARNING, logger="spikemba"):
        GroundingDataset(make([row(0), row(1, 30.0)], [(10,), (13,)]), "train")
    assert "1 of 2 videos have features whose rows do not fit, as 'v1': 13 rows in stream0" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (row(1, windows=[(8, 2)]), "line 2: window .8, 2. ends before it starts"),
        (row(1, windows=[(5, 5)]), "line 2: window .5, 5. has zero length"),
        (row(1, windows=[(-4, 3)]), "line 2: window .-4, 3. starts before the video"),
        (row(1, windows=[(30, 80)]), "line 2: window .30, 80. ends past the video, which lasts 20 s"),
        (row(1, windows=None), "line 2: has no relevant_windows, saliency_scores or label"),
        (row(1, relevant_clips=(-1,), ratings=((1, 1, 1),)), "line 2: relevant_clip_ids holds -1; clips count from 0"),
        (row(1, relevant_clips=(10,), ratings=((1, 1, 1),)), "line 2: relevant_clip_ids holds 10, past the end"),
        (row(1, relevant_clips=(1, 1), ratings=((1, 1, 1),) * 2), "line 2: relevant_clip_ids holds 1 twice"),
    ],
)
def test_training_on_any_jsonl_checks_what_prepare_checks(make, caplog, wrong, problem):
    config = make([row(0), wrong], [(10,), (10,)])
    with pytest.raises(AnnotationError, match=problem):
        GroundingDataset(config, "train")
    with caplog.at_level(logging.WARNING, logger="spikemba"):
        left = GroundingDataset(config.model_copy(update={"drop_faulty": True}), "train")
    assert [one.query_id for one in left.annotations] == [0]
    assert "1 rows with faults are left out, as line 2" in caplog.text


def test_a_split_without_truth_can_be_answered_and_not_trained_on(make):
    config = make([row(0, windows=None)], [(10,)])
    assert GroundingDataset(config.model_copy(update={"test": config.train}), "test")[0].targets is None
    with pytest.raises(AnnotationError, match="has no relevant_windows"):
        GroundingDataset(config, "train")


def test_streams_that_fit_the_video_and_not_each_other_are_refused(make):
    with pytest.raises(FeaturesMismatch, match="'v0': 58 rows in stream0 and 42 rows in stream1"):
        GroundingDataset(make([row(0, 100.0)], [(58, 42)]), "train")

import numpy as np
import pytest
import torch

from spikemba import features
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.base import DataConfig, GroundingDataset, source_video
from spikemba.datasets.collate import collate
from spikemba.datasets.targets import clip_targets
from spikemba.errors import AnnotationError, ConfigError, FeaturesMismatch, FeaturesMissing
from spikemba.features import Manifest
from spikemba.moments import Window


def annotation(windows, n_clips=10, **more):
    found = None if windows is None else tuple(Window(*w) for w in windows)
    return Annotation(0, "q", "v", 2.0 * n_clips, found, **more)


def test_clips_whose_centre_lies_in_a_window_are_foreground():
    targets = clip_targets(annotation([(4, 8), (15, 20)]), 10, 2.0)
    assert np.flatnonzero(targets.foreground).tolist() == [2, 3, 7, 8, 9]
    np.testing.assert_allclose(targets.boundaries[2], [0.2, 0.4])
    np.testing.assert_allclose(targets.boundaries[9], [0.75, 1.0])
    np.testing.assert_allclose(targets.boundaries[0], [0.2, 0.4])  # the nearest window
    np.testing.assert_allclose(targets.boundaries[6], [0.75, 1.0])
    assert targets.relevance.tolist() == targets.foreground.tolist()


def test_a_window_without_a_centre_claims_the_clip_around_its_own():
    targets = clip_targets(annotation([(4.1, 4.7)]), 10, 2.0)
    assert np.flatnonzero(targets.foreground).tolist() == [2]
    np.testing.assert_allclose(targets.boundaries[2], [0.205, 0.235])


def test_windows_beyond_the_last_clip_are_cut_or_left_out():
    targets = clip_targets(annotation([(6, 30), (30, 40)], n_clips=20), 5, 2.0)
    assert np.flatnonzero(targets.foreground).tolist() == [3, 4]
    np.testing.assert_allclose(targets.boundaries[4], [0.6, 1.0])
    beyond = clip_targets(annotation([(30, 40)], n_clips=20), 5, 2.0)
    assert not beyond.foreground.any()
    assert not beyond.has_windows


def test_ratings_become_summed_relevance():
    row = annotation([(2, 6)], relevant_clips=(1, 2, 12), ratings=((4, 4, 4), (1, 0, 2), (1, 1, 1)))
    targets = clip_targets(row, 10, 2.0)
    assert targets.relevance[:4].tolist() == [0, 12, 3, 0]


def test_clips_of_one_source_video_are_recognised():
    assert source_video("RoripwjYFp8_60.0_210.0") == "RoripwjYFp8"
    assert source_video("-Xa_y_1.5_3.0") == "-Xa_y"
    assert source_video("s17-d69") == "s17-d69"


@pytest.fixture
def config(tmp_path):
    """Three pairs about two videos, with two video streams of unequal length."""
    rng = np.random.default_rng(0)
    rows = [
        Annotation(0, "A dog enters.", "a_0.0_10.0", 10.0, (Window(0, 4),)),
        Annotation(1, "it leaves", "a_10.0_20.0", 10.0, (Window(2, 6),)),
        Annotation(2, "a dog enters", "b", 14.0, (Window(8, 14),)),
    ]
    write_annotations(tmp_path / "train.jsonl", rows)
    for name, extra in {"one": 0, "two": 1}.items():
        features.write_manifest(tmp_path / name, Manifest(encoder=name, dim=3 + extra, clip_s=2.0))
        for row in rows:
            n = round(row.duration_s / 2) + extra
            features.write_video_features(tmp_path / name, row.video_id, rng.normal(size=(n, 3 + extra)))
    features.write_manifest(tmp_path / "text", Manifest(encoder="t", kind="text", dim=5))
    for row in rows:
        features.write_query_features(
            tmp_path / "text", row.query_id, rng.normal(size=(4 + row.query_id, 5)), np.zeros(5)
        )
    return DataConfig(
        train=tmp_path / "train.jsonl",
        test=tmp_path / "train.jsonl",
        video_features=(tmp_path / "one", tmp_path / "two"),
        text_features=tmp_path / "text",
        max_clips=6,
        max_tokens=5,
    )


def test_features_of_another_sentence_are_refused(config):
    tokens, pooled = np.zeros((4, 5)), np.zeros(5)
    features.write_query_features(config.text_features, 1, tokens, pooled, query="it leaves")
    assert len(GroundingDataset(config, "train")) == 3  # two files tell no sentence
    features.write_query_features(config.text_features, 1, tokens, pooled, query="it enters")
    with pytest.raises(
        FeaturesMismatch, match=r"query 1 in .*: features of 'it enters', and .* say 'it leaves'; .*extract"
    ):
        GroundingDataset(config, "train")


def with_nulls(config, tmp_path, *rows):
    """The configuration with more training queries, of a file of their own."""
    write_annotations(tmp_path / "nulls.jsonl", rows)
    return config.model_copy(update={"train_nulls": tmp_path / "nulls.jsonl"})


def test_null_queries_of_a_file_of_their_own_follow_the_others(config, tmp_path):
    features.write_query_features(tmp_path / "text", 7, np.zeros((4, 5)), np.zeros(5))
    dataset = GroundingDataset(with_nulls(config, tmp_path, Annotation(7, "a cat", "b", 14.0, ())), "train")
    assert [row.query_id for row in dataset.annotations] == [0, 1, 2, 7]
    assert not dataset[3].targets.foreground.any()
    assert len(GroundingDataset(dataset.config, "test")) == 3  # each split has its own


def test_faults_of_null_queries_are_told_together(config, tmp_path):
    rows = [
        Annotation(7, "a cat", "b", 14.0, (Window(0, 4),)),
        Annotation(2, "a fox", "b", 14.0, ()),
        Annotation(8, "a cow", "b", 14.0, ()),
    ]
    with pytest.raises(AnnotationError) as caught:
        GroundingDataset(with_nulls(config, tmp_path, *rows), "train")
    said = str(caught.value)
    assert "nulls.jsonl" in said
    assert "query 7 has a moment; expected relevant_windows: []" in said
    assert f"query 2 is in {tmp_path / 'train.jsonl'} too" in said
    assert "query 8" not in said


def test_pairs_have_joined_features_and_targets(config):
    dataset = GroundingDataset(config, "train")
    assert [len(pair.video) for pair in map(dataset.__getitem__, range(3))] == [5, 5, 6]  # the last one is cut
    assert dataset[0].video.shape == (5, 7)
    assert dataset[2].tokens.shape == (5, 5)
    assert dataset.spec.encoder == "one+two"
    assert [dataset[i].video_group for i in range(3)] == [0, 0, 1]
    assert [dataset[i].query_group for i in range(3)] == [0, 1, 0]
    assert GroundingDataset(config, "test")[2].video.shape[0] == 7  # only training cuts


def test_memory_is_an_optimisation_only(config):
    kept, read = (
        GroundingDataset(config, "train"),
        GroundingDataset(config.model_copy(update={"memory_gb": 0}), "train"),
    )
    for i in (0, 1, 0):
        np.testing.assert_array_equal(kept[i].video, read[i].video)
    assert kept._memory
    assert not read._memory


def test_a_batch_is_padded_on_the_right(config):
    dataset = GroundingDataset(config, "train")
    batch = collate([dataset[0], dataset[2]])
    assert batch.video.shape == (2, 6, 7)
    assert batch.video_mask.sum(1).tolist() == [5, 6]
    assert (batch.video[0, 5:] == 0).all()
    torch.testing.assert_close(batch.video[1], torch.from_numpy(dataset[2].video))
    assert batch.query_mask.sum(1).tolist() == [4, 5]
    assert batch.query_ids == (0, 2)
    assert batch.targets is not None
    assert batch.targets.foreground[0].tolist() == [True, True, False, False, False, False]
    moved = batch.to("cpu")
    assert torch.equal(moved.targets.boundaries, batch.targets.boundaries)


def test_missing_features_are_counted_before_training_begins(config, tmp_path):
    (tmp_path / "two" / "b.npz").unlink()
    with pytest.raises(FeaturesMissing, match=r"no features for video 'b' in .*two"):
        GroundingDataset(config, "train")
    for i in range(3):
        (tmp_path / "text" / f"qid{i}.npz").unlink()
    (tmp_path / "two" / "a_0.0_10.0.npz").unlink()
    with pytest.raises(FeaturesMissing, match=r"video 'a_0.0_10.0' and 1 more"):
        GroundingDataset(config, "train")


def test_sections_that_name_nothing_are_refused(config):
    with pytest.raises(ConfigError, match="val: is required"):
        GroundingDataset(config, "val")
    with pytest.raises(ConfigError, match="video_features: is empty"):
        GroundingDataset(config.model_copy(update={"video_features": ()}), "train")

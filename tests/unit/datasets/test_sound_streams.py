"""`data.sound_features`: packs of sound beside packs of pictures, which silent videos lack."""

import numpy as np
import pytest

from pipelines.training.data_digest import of_split
from spikemba import features
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.base import DataConfig, GroundingDataset
from spikemba.errors import ConfigError, FeaturesMismatch, FeaturesMissing
from spikemba.features import Manifest
from spikemba.moments import Window

N_CLIPS = {"a": 5, "b": 7, "c": 6}


@pytest.fixture
def config(tmp_path):
    """Three videos with pictures; of two there is sound, in the form that PANNs' embeddings have, one row less of b."""
    rng = np.random.default_rng(0)
    rows = [Annotation(i, "a bell", name, 2.0 * n, (Window(0, 4),)) for i, (name, n) in enumerate(N_CLIPS.items())]
    write_annotations(tmp_path / "train.jsonl", rows)
    features.write_manifest(tmp_path / "mini", Manifest(encoder="mini", dim=3, clip_s=2.0))
    for row in rows:
        features.write_video_features(tmp_path / "mini", row.video_id, rng.normal(size=(N_CLIPS[row.video_id], 3)))
        features.write_query_features(tmp_path / "text", row.query_id, rng.normal(size=(4, 5)), np.zeros(5))
    features.write_manifest(tmp_path / "text", Manifest(encoder="t", kind="text", dim=5))
    (tmp_path / "panns").mkdir()
    np.save(tmp_path / "panns/a.npy", rng.normal(size=(5, 2048)).astype(np.float32))
    np.savez(tmp_path / "panns/b.npz", rng.normal(size=(6, 2048)).astype(np.float32))
    return DataConfig(
        train=tmp_path / "train.jsonl",
        video_features=(tmp_path / "mini",),
        sound_features=(tmp_path / "panns",),
        text_features=tmp_path / "text",
    )


def test_a_video_without_sound_has_zeros_in_place_of_it_and_that_is_said_once_with_the_count(config, caplog):
    dataset = GroundingDataset(config, "train")
    assert [pair.video.shape for pair in map(dataset.__getitem__, range(3))] == [(5, 2051), (6, 2051), (6, 2051)]
    assert dataset.spec.encoder == "mini+panns"
    for i, is_heard in enumerate([True, True, False]):
        sound = dataset[i].video[:, 3:]
        np.testing.assert_allclose(np.linalg.norm(sound, axis=1), float(is_heard), atol=1e-4)
    dataset.check_features()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"split 'train': 1 of 3 videos has no sound in {config.sound_features[0]}, such as c: zeros stand for it"
    ]


def test_the_rows_of_a_sounding_video_are_those_of_its_file(config, tmp_path):
    stored = np.load(tmp_path / "panns/a.npy")
    found = GroundingDataset(config.model_copy(update={"normalise_video": False}), "train")[0].video
    np.testing.assert_array_equal(found[:, 3:], stored)


@pytest.mark.parametrize("lengths", ["cut", "stretch"])
def test_silence_shortens_no_video(config, lengths):
    dataset = GroundingDataset(config.model_copy(update={"lengths": lengths}), "train")
    assert len(dataset[2].video) == N_CLIPS["c"]


def test_a_pack_of_which_all_videos_lack_their_sound_is_refused(config, tmp_path):
    (tmp_path / "others").mkdir()
    np.save(tmp_path / "others/x.npy", np.ones((5, 2048), np.float32))
    others = config.model_copy(update={"sound_features": (tmp_path / "panns", tmp_path / "others")})
    with pytest.raises(FeaturesMissing) as caught:
        GroundingDataset(others, "train")
    assert str(caught.value) == (
        f"no features for any of 3 videos of split 'train' in {tmp_path / 'others'}; "
        f"run `spikemba features show {tmp_path / 'others'} --annotations ANNOTATIONS`"
    )


def silent_split(tmp_path, config, names):
    """A validation split of videos of which the pack has no sound, beside the training split, of which it has some."""
    rng = np.random.default_rng(1)
    rows = [Annotation(f"v{name}", "a bell", name, 10.0, (Window(0, 4),)) for name in names]
    write_annotations(tmp_path / "val.jsonl", rows)
    for row in rows:
        features.write_video_features(tmp_path / "mini", row.video_id, rng.normal(size=(5, 3)))
        features.write_query_features(tmp_path / "text", row.query_id, rng.normal(size=(4, 5)), np.zeros(5))
    return config.model_copy(update={"val": tmp_path / "val.jsonl"})


@pytest.mark.parametrize("names", [["c"], ["d", "e"]])
def test_a_split_of_silent_videos_alone_is_read_where_the_pack_has_others_of_the_same_data(config, tmp_path, names):
    dataset = GroundingDataset(silent_split(tmp_path, config, names), "val")
    assert not any(dataset[i].video[:, 3:].any() for i in range(len(names)))


def test_of_one_video_nobody_can_tell_that_its_sound_is_missing(config, tmp_path):
    alone = silent_split(tmp_path, config, ["d"]).model_copy(update={"train": None})
    assert not GroundingDataset(alone, "val")[0].video[:, 3:].any()
    two = silent_split(tmp_path, config, ["d", "e"]).model_copy(update={"train": None})
    with pytest.raises(FeaturesMissing, match="any of 2 videos of split 'val'"):
        GroundingDataset(two, "val")


def test_a_pack_that_is_not_there_or_stands_alone_is_refused(config, tmp_path):
    with pytest.raises(FeaturesMissing, match="nowhere"):
        GroundingDataset(config.model_copy(update={"sound_features": (tmp_path / "nowhere",)}), "train")
    with pytest.raises(ConfigError, match="video_features: is empty"):
        GroundingDataset(config.model_copy(update={"video_features": ()}), "train")


def test_sound_of_another_length_than_the_video_is_refused_as_other_rows_are(config, tmp_path):
    np.save(tmp_path / "panns/a.npy", np.ones((50, 2048), np.float32))
    with pytest.raises(FeaturesMismatch, match=r"as 'a': 5 rows in mini and 50 rows in panns"):
        GroundingDataset(config, "train")


def test_a_change_of_the_sound_is_a_change_of_the_data(config, tmp_path):
    rows = GroundingDataset(config, "train").annotations
    before = of_split(config, rows, "train")
    np.save(tmp_path / "panns/a.npy", np.zeros((5, 2048), np.float32))
    after = of_split(config, rows, "train")
    assert [name for name in before if before[name] != after[name]] == [f"features in {tmp_path / 'panns'}"]

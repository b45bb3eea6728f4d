"""Layouts of published feature packs, and how streams of unequal length are brought together."""

import json

import numpy as np
import pytest

from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.base import DataConfig, GroundingDataset
from spikemba.datasets.targets import clip_targets
from spikemba.datasets.word_vectors import WordVectors
from spikemba.errors import ConfigError, FeaturesMismatch, FeaturesMissing
from spikemba.features import FeatureFolder, FeatureSpec, Manifest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_flow_and_colour_of_i3d_are_one_stream(tmp_path, rng):
    rgb, opt = rng.random((5, 1024)), rng.random((4, 1024))
    np.save(tmp_path / "v_rgb.npy", rgb)
    np.save(tmp_path / "v_opt.npy", opt)
    folder = FeatureFolder(tmp_path)
    assert folder.manifest.dim == 2048
    np.testing.assert_array_equal(folder.video("v"), np.concatenate([rgb[:4], opt], axis=1))
    assert not folder.has_video("v_rgb_missing")
    (tmp_path / "v_opt.npy").unlink()
    assert not folder.has_video("v")


def test_plain_arrays_of_vgg_and_panns_are_read(tmp_path, rng):
    np.save(tmp_path / "v.npy", rng.random((6, 4096)).astype(np.float16))
    folder = FeatureFolder(tmp_path)
    assert (folder.manifest.kind, folder.manifest.dim) == ("video", 4096)
    assert folder.video("v").shape == (6, 4096)


@pytest.mark.parametrize("name", ["qid7.npz", "7.npz"])
@pytest.mark.parametrize("key", ["last_hidden_state", "token"])
def test_both_names_and_both_keys_of_query_features_are_read(tmp_path, rng, name, key):
    states = rng.random((4, 3))
    np.savez(tmp_path / name, **{key: states, "pooler_output": states[0], "text": states[0]})
    folder = FeatureFolder(tmp_path)
    assert folder.manifest.kind == "text"
    np.testing.assert_array_equal(folder.text(7), states)
    assert folder.has_text(7)


def test_pickled_arrays_are_not_loaded(tmp_path):
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FeaturesMismatch, match=r"v.npy is of a form that is not read"):
        FeatureFolder(tmp_path)


# Words


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text("dog 1 0 2\nthe 0.5 0.5 0\nruns 0 1 0\n")
    return path


def test_words_are_looked_up_in_lower_case_and_unknown_ones_are_zero(glove):
    vectors = WordVectors(glove)
    np.testing.assert_array_equal(vectors.of("The dog runs."), [[0.5, 0.5, 0], [1, 0, 2], [0, 0, 0]])
    assert vectors.manifest.dim == 3
    assert len(vectors.manifest.weights) == 64
    assert vectors.of("").shape == (1, 3)


def test_files_that_are_no_word_vectors_are_named_by_line(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("dog 1 0\nthe 1\n")
    with pytest.raises(FeaturesMismatch, match="line 2 is not a word and 2 numbers"):
        WordVectors(path)
    path.write_text("")
    with pytest.raises(FeaturesMismatch, match="is empty"):
        WordVectors(path)
    with pytest.raises(FeaturesMissing):
        WordVectors(tmp_path / "none.txt")


# Lengths


def spec(lengths):
    one, two = Manifest(encoder="a", dim=1), Manifest(encoder="b", dim=1)
    text = Manifest(encoder="t", kind="text", dim=1)
    return FeatureSpec(video=(one, two), text=text, clip_s=2, normalise_video=False, lengths=lengths)


def column(n):
    return np.arange(n, dtype=float)[:, None]


def test_cutting_takes_the_shortest_stream_and_then_the_labels():
    assert spec("cut").join([column(6), column(5)])[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert spec("cut").join([column(6), column(5)], 3)[:, 1].tolist() == [0, 1, 2]


def test_up_to_two_missing_rows_repeat_the_last_and_more_are_refused():
    assert spec("cut").join([column(6), column(5)], 7)[:, 0].tolist() == [0, 1, 2, 3, 4, 4, 4]
    with pytest.raises(FeaturesMismatch, match=r"5 rows of features for 8 labelled clips.*data.lengths=stretch"):
        spec("cut").join([column(6), column(5)], 8)


def test_stretching_takes_the_row_at_the_same_place_of_the_video():
    joined = spec("stretch").join([column(8), column(2)], 4)
    assert joined.tolist() == [[1, 0], [3, 0], [5, 1], [7, 1]]
    assert spec("stretch").join([column(3), column(6)]).tolist() == [[0, 0], [0, 1], [1, 2], [1, 3], [2, 4], [2, 5]]


# Highlight sets


def labelled(labels, domain="BK", video_id="v"):
    return Annotation(video_id, "title", video_id, 2.0 * len(labels), labels=labels, domain=domain)


def test_importances_become_summed_ratings_and_clips_above_the_median_are_foreground():
    targets = clip_targets(labelled(((1, 1), (2, 4), (5, 5), (1, 3))), 4, 2.0)
    assert targets.relevance.tolist() == [0, 6, 12, 3]
    assert targets.foreground.tolist() == [False, True, True, False]  # above 2, the lower of the middle two
    assert not targets.has_windows


def test_yes_and_no_labels_are_what_they_are():
    targets = clip_targets(labelled(((0,), (1,), (1,))), 3, 2.0)
    assert targets.relevance.tolist() == [0, 1, 1]
    assert targets.foreground.tolist() == [False, True, True]


@pytest.fixture
def config(tmp_path, rng):
    rows = [labelled(((1.0, 2.0),) * 4, "BK", "a"), labelled(((3.0, 2.0),) * 5, "PK", "b")]
    write_annotations(tmp_path / "train.jsonl", rows)
    (tmp_path / "video").mkdir()
    (tmp_path / "text").mkdir()
    for row, n in zip(rows, (5, 4), strict=True):
        np.save(tmp_path / "video" / f"{row.video_id}.npy", rng.random((n, 512)))
        np.savez(tmp_path / "text" / f"{row.query_id}.npz", token=rng.random((2, 4)))
    video, text = (tmp_path / "video",), tmp_path / "text"
    return DataConfig(benchmark="tvsum", train=tmp_path / "train.jsonl", video_features=video, text_features=text)


def test_a_labelled_video_has_one_row_per_label(config):
    dataset = GroundingDataset(config, "train")
    assert [len(dataset[i].video) for i in range(2)] == [4, 5]
    assert dataset.n_ranks == 12
    assert dataset.spec.lengths == "cut"


def test_rows_of_another_length_than_the_clips_are_refused(config, tmp_path):
    manifest = Manifest(encoder="x", dim=512, clip_s=1.0)
    (tmp_path / "video" / "manifest.json").write_text(manifest.model_dump_json())
    with pytest.raises(FeaturesMismatch, match=r"video has rows of 1 s and data.clip_s is 2; set it to 1"):
        GroundingDataset(config, "train")
    GroundingDataset(config.model_copy(update={"lengths": "stretch"}), "train")


def test_a_domain_is_trained_alone(config):
    one = GroundingDataset(config.model_copy(update={"domain": "PK"}), "train")
    assert [row.video_id for row in one.annotations] == ["b"]
    with pytest.raises(ConfigError, match="domain: 'XX' has no annotations; there are BK, PK"):
        GroundingDataset(config.model_copy(update={"domain": "XX"}), "train")


def test_a_video_with_far_too_few_rows_is_named(config, tmp_path):
    np.save(tmp_path / "video" / "b.npy", np.ones((2, 512)))
    with pytest.raises(FeaturesMismatch, match="'b': 2 rows in video, and it has 5 labelled clips"):
        GroundingDataset(config, "train")
    accepted = GroundingDataset(config.model_copy(update={"accept_misfit": True}), "train")
    with pytest.raises(FeaturesMismatch, match="b: a video has 2 rows of features for 5 labelled clips"):
        accepted[1]


def test_word_vectors_stand_for_query_features(config, glove):
    dataset = GroundingDataset(config.model_copy(update={"text_features": glove}), "train")
    assert dataset[0].tokens.shape == (1, 3)
    assert dataset.spec.text.encoder == "glove"


def test_older_checkpoints_have_no_rule_of_lengths_and_are_cut():
    old = json.loads(spec("cut").model_dump_json())
    for name in ("lengths", "max_clips"):
        del old[name]
    assert FeatureSpec.parse(old) == spec("cut")

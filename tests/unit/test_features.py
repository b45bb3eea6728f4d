import re

import numpy as np
import pytest

from spikemba import features
from spikemba.errors import ConfigError, FeaturesMismatch, FeaturesMissing
from spikemba.features import FeatureFolder, FeatureSpec, Manifest, write_query_features

RNG = np.random.default_rng(0)
CLIP = Manifest(encoder="clip", dim=6, weights="a" * 64, clip_s=2.0)
SLOWFAST = Manifest(encoder="slowfast", dim=4, weights="b" * 64, clip_s=2.0)
TEXT = Manifest(encoder="clip_text", kind="text", dim=5, weights="a" * 64)
SPEC = FeatureSpec(video=(SLOWFAST, CLIP), text=TEXT, clip_s=2.0, max_tokens=3)


def test_streams_are_scaled_cut_to_the_shortest_and_joined_in_order():
    slowfast, clip = RNG.normal(size=(5, 4)), 7 * RNG.normal(size=(6, 6))
    joined = SPEC.join([slowfast, clip])
    assert joined.shape == (5, 10)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(joined[:, :4], slowfast / np.linalg.norm(slowfast, axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(joined[:, 4:], axis=1), 1, rtol=1e-4)


def test_scaling_can_be_switched_off():
    raw = SPEC.model_copy(update={"normalise_video": False, "normalise_text": False, "max_tokens": None})
    x = RNG.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(raw.join([x]), x)
    np.testing.assert_array_equal(raw.tokens(x), x)


def test_tokens_are_cut_and_scaled_and_a_zero_row_stays_zero():
    tokens = RNG.normal(size=(8, 5))
    tokens[1] = 0
    found = SPEC.tokens(tokens)
    assert found.shape == (3, 5)
    assert (found[1] == 0).all()
    assert np.linalg.norm(found[0]) == pytest.approx(1, rel=1e-4)


def test_the_sentence_follows_its_tokens_where_it_is_asked_for():
    spec = SPEC.model_copy(update={"sentence_token": True, "max_tokens": 2})
    tokens, pooled = np.arange(12.0).reshape(4, 3), np.array([0.0, 0.0, 2.0])
    found = spec.tokens(tokens, pooled)
    assert found.shape == (3, 3)
    np.testing.assert_allclose(found[2], [0, 0, 1], atol=1e-4)
    for wrong, problem in ((None, "has no embedding of the sentence"), (np.ones(5), "has one of 5 numbers")):
        with pytest.raises(FeaturesMismatch, match=problem):
            spec.tokens(tokens, wrong)


def test_the_sentence_is_read_back_or_absent(tmp_path):
    write_query_features(tmp_path, 3, np.ones((4, 8)), np.arange(8.0))
    np.savez(tmp_path / "qid4.npz", last_hidden_state=np.ones((2, 8)))
    folder = FeatureFolder(tmp_path)
    np.testing.assert_array_equal(folder.sentence(3), np.arange(8.0))
    assert folder.sentence(4) is None


def test_what_is_written_reads_back_and_files_have_the_public_names(tmp_path):
    video, tokens, pooled = RNG.normal(size=(5, 6)), RNG.normal(size=(4, 5)), RNG.normal(size=5)
    features.write_manifest(tmp_path / "clip", CLIP)
    features.write_video_features(tmp_path / "clip", "abc_0.0_150.0", video)
    features.write_manifest(tmp_path / "clip_text", TEXT)
    features.write_query_features(tmp_path / "clip_text", 7, tokens, pooled)
    np.testing.assert_allclose(FeatureFolder(tmp_path / "clip").video("abc_0.0_150.0"), video, rtol=1e-6)
    np.testing.assert_allclose(FeatureFolder(tmp_path / "clip_text").text(7), tokens, rtol=1e-6)
    with np.load(tmp_path / "clip_text" / "qid7.npz") as arrays:
        assert set(arrays.files) == {"last_hidden_state", "pooler_output"}
    with np.load(tmp_path / "clip" / "abc_0.0_150.0.npz") as arrays:
        assert arrays.files == ["features"]


def test_a_published_pack_without_a_manifest_is_described_by_its_files(tmp_path):
    features.write_video_features(tmp_path / "slowfast_features", "v", RNG.normal(size=(3, 2304)), "float16")
    np.savez(tmp_path / "text.npz")
    folder = FeatureFolder(tmp_path / "slowfast_features")
    assert folder.manifest.content.keys() == {"v"}
    known = folder.manifest.model_copy(update={"content": None})
    assert known == Manifest(encoder="slowfast_features", dim=2304)
    text = tmp_path / "t"
    text.mkdir()
    np.savez(text / "s17-d69_0.npz", last_hidden_state=RNG.normal(size=(4, 512)))
    assert FeatureFolder(text).manifest.kind == "text"
    assert FeatureFolder(text).has_text("s17-d69_0")
    assert FeatureFolder(text).text("s17-d69_0").shape == (4, 512)


def test_missing_features_name_the_video_and_the_command(tmp_path):
    features.write_manifest(tmp_path / "clip", CLIP)
    with pytest.raises(FeaturesMissing, match=r"no features for video 'v' in .*clip; run `spikemba extract VIDEO"):
        FeatureFolder(tmp_path / "clip").video("v")
    with pytest.raises(FeaturesMissing, match="any video or query"):
        FeatureFolder(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda p: p.write_bytes(b"PK\x03\x04 cut short"), "is damaged; delete it"),
        (lambda p: p.write_bytes(b""), "is damaged; delete it"),
        (lambda p: np.savez(p, other=np.zeros(6)), "has no array 'features'"),
        (lambda p: np.savez(p, features=np.zeros((2, 7))), r"shape \(2, 7\); expected \(n, 6\)"),
        (lambda p: np.savez(p, features=np.zeros((0, 6))), r"expected \(n, 6\) with n >= 1"),
        (lambda p: np.savez(p, features=np.array([{"a": 1}])), "is of a form that is not read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, write, problem):
    features.write_manifest(tmp_path, CLIP)
    write(tmp_path / "v.npz")
    with pytest.raises(FeaturesMismatch, match=problem):
        FeatureFolder(tmp_path).video("v")


def test_a_folder_keeps_to_one_making(tmp_path):
    features.write_manifest(tmp_path, CLIP)
    features.write_manifest(tmp_path, CLIP)
    with pytest.raises(FeaturesMismatch, match=r"made otherwise: clip_s 2.0 \(now 1.0\); choose another folder"):
        features.write_manifest(tmp_path, CLIP.model_copy(update={"clip_s": 1.0}))


def test_a_damaged_manifest_is_named(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ConfigError, match=r"manifest.json has 1 fault: not JSON"):
        features.read_manifest(tmp_path)


def test_features_in_another_order_or_of_other_weights_are_refused():
    SPEC.check(SPEC, "here")
    swapped = SPEC.model_copy(update={"video": (CLIP, SLOWFAST)})
    with pytest.raises(
        FeaturesMismatch, match=r"here has features clip .* \+ slowfast .*trained on slowfast .* in that order"
    ):
        SPEC.check(swapped, "here")
    other = SPEC.model_copy(update={"video": (SLOWFAST, CLIP.model_copy(update={"weights": "c" * 64}))})
    with pytest.raises(FeaturesMismatch, match="weights cccccccccccc"):
        SPEC.check(other, "here")
    with pytest.raises(FeaturesMismatch, match="clips of 1 s; the checkpoint expects 2 s"):
        SPEC.check(SPEC.model_copy(update={"clip_s": 1.0}), "here")


def test_unknown_weights_are_trusted_when_the_width_fits():
    published = SPEC.model_copy(
        update={"video": (Manifest(encoder="slowfast_features", dim=4), Manifest(encoder="clip_features", dim=6))}
    )
    SPEC.check(published, "here")


def test_packs_without_manifests_are_known_by_the_numbers_of_items_that_both_have():
    def of(**content):
        return SPEC.model_copy(update={"video": (SLOWFAST, Manifest(encoder="pack", dim=6, content=content))})

    trained = of(a="1", b="2")
    for there in (of(b="2", c="3"), of(c="3"), of(), SPEC):
        trained.check(there, "here")
        there.check(trained, "here")
    with pytest.raises(FeaturesMismatch, match="here has other numbers for 'b' in pack than pack, on which"):
        trained.check(of(a="1", b="9"), "here")
    text = SPEC.model_copy(update={"text": TEXT.model_copy(update={"content": {"qid1": "1"}})})
    with pytest.raises(FeaturesMismatch, match="other numbers for 'qid1'"):
        text.check(text.model_copy(update={"text": TEXT.model_copy(update={"content": {"qid1": "2"}})}), "here")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("kind", ["npz", "npy", "text", "pooled"])
def test_a_feature_that_is_no_finite_number_is_named_with_its_file_and_row(tmp_path, kind, value):
    x = RNG.normal(size=(7, 6)).astype(np.float32)
    x[3, 2] = value
    features.write_manifest(tmp_path, CLIP)
    with pytest.raises(FeaturesMismatch, match=r"v\.\w+ holds .* in row \d .*; expected finite numbers"):
        if kind == "npz":
            np.savez(tmp_path / "v.npz", features=x)
            FeatureFolder(tmp_path).video("v")
        elif kind == "npy":
            np.save(tmp_path / "v.npy", x)
            FeatureFolder(tmp_path).video("v")
        elif kind == "text":
            np.savez(tmp_path / "v.npz", last_hidden_state=x)
            FeatureFolder(tmp_path).text("v")
        else:
            np.savez(tmp_path / "v.npz", last_hidden_state=x[:2], pooler_output=x[3])
            FeatureFolder(tmp_path).sentence("v")


def test_an_overflow_in_float16_is_named(tmp_path):
    features.write_manifest(tmp_path, CLIP)
    with np.errstate(over="ignore"):
        np.savez(tmp_path / "v.npz", features=np.full((4, 6), 1e6).astype(np.float16))
    with pytest.raises(FeaturesMismatch, match=r"holds inf in row 0 \(4 of 4 rows hold such\)"):
        FeatureFolder(tmp_path).video("v")


@pytest.mark.parametrize("dtype", [complex, bool, "U3"])
def test_features_that_are_no_numbers_are_refused(tmp_path, dtype):
    features.write_manifest(tmp_path, CLIP)
    np.savez(tmp_path / "v.npz", features=np.ones((4, 6)).astype(dtype))
    with pytest.raises(FeaturesMismatch, match="expected (one of )?numbers"):
        FeatureFolder(tmp_path).video("v")


@pytest.mark.parametrize("shape", [(0, 6), (2, 7, 6), (6,)])
def test_rows_of_no_table_are_not_counted_but_refused_with_the_shape(tmp_path, shape):
    features.write_manifest(tmp_path, CLIP)
    np.savez(tmp_path / "v.npz", features=np.ones(shape))
    with pytest.raises(FeaturesMismatch, match=re.escape(f"of shape {shape}; expected (n, 6) with n >= 1")):
        FeatureFolder(tmp_path).n_rows("v")


def test_rows_are_counted_without_reading_them(tmp_path):
    features.write_manifest(tmp_path, CLIP)
    np.savez(tmp_path / "a.npz", features=np.ones((5, 6)))
    np.savez_compressed(tmp_path / "b.npz", features=np.ones((6, 6)))
    np.save(tmp_path / "c.npy", np.ones((7, 6)))
    np.save(tmp_path / "d_rgb.npy", np.ones((8, 3)))
    np.save(tmp_path / "d_opt.npy", np.ones((9, 3)))
    folder = FeatureFolder(tmp_path)
    assert [folder.n_rows(name) for name in "abcd"] == [5, 6, 7, 8]
    assert all(folder.n_rows(name) == len(folder.video(name)) for name in "abcd")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("normalise_video", False),
        ("normalise_text", False),
        ("max_tokens", 7),
        ("sentence_token", True),
        ("max_clips", 9),
        ("lengths", "stretch"),
    ],
)
def test_every_rule_of_reading_is_compared_and_both_values_are_named(name, other):
    assert {name} <= set(features.RULES)
    with pytest.raises(FeaturesMismatch, match=rf"here has {name} {other!r}; the checkpoint was trained with "):
        SPEC.check(SPEC.model_copy(update={name: other}), "here")


def test_every_field_of_a_spec_is_compared():
    assert set(FeatureSpec.model_fields) == {"video", "text", "clip_s", *features.RULES}


def test_frames_taken_otherwise_are_refused():
    taken = [CLIP.model_copy(update={"frames": words}) for words in ("one per clip", "eight per clip")]
    mine, theirs = (SPEC.model_copy(update={"video": (SLOWFAST, clip)}) for clip in taken)
    with pytest.raises(FeaturesMismatch, match=r"other frames \(eight per clip\).*trained on one per clip"):
        mine.check(theirs, "here")


def test_missing_features_name_the_command_that_makes_them(tmp_path):
    """For sentences another one than for videos: the same for both would lead in a circle."""
    for name, command in {
        "mini": f"spikemba extract VIDEOS --encoder mini --out {tmp_path}",
        "mini_text": f"spikemba extract --queries ANNOTATIONS --encoder mini --out {tmp_path}",
    }.items():
        (tmp_path / name).mkdir()
        with pytest.raises(FeaturesMissing) as raised:
            FeatureFolder(tmp_path / name)
        assert f"run `{command}`" in str(raised.value)

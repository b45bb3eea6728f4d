"""What every encoder of the registry promises, on small random weights in its published layout.

An encoder is covered by being registered. LEFT_OUT names a promise that one of them need not keep, with the reason.
"""

import ast
import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.doctor.tiny_encoders import load_tiny
from spikemba.encoders.base import (
    ClipEncoder,
    ClipPicker,
    SoundEncoder,
    SubtitleEncoder,
    TextEncoder,
    VideoEncoder,
    clip_rule,
)
from spikemba.encoders.registry import OWN, find_encoder
from spikemba.encoding.videos import encode_video
from spikemba.errors import QueryError, ShapeError
from spikemba.video.sampling import VideoReader

ROOT = Path(__file__).parents[3]
NAMES = list(OWN)
READERS = [name for name in NAMES if find_encoder(name).reads_text]

LEFT_OUT = {
    ("mini", "random weights"): "its own are in the package, and as small",
    ("subtitles", "clips of another form"): "a text that it cannot read is a clip without any",
}
"""(encoder, promise) -> why."""

SENTENCES = ["a dog enters", "a dog", "dog"]

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
"""float32; kernels are chosen by the number of clips."""

pytestmark = pytest.mark.filterwarnings("error:The given NumPy array is not writable")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A function that gives the small model of an encoder, made once."""
    made = {}

    def make(name):
        if name not in made:
            torch.manual_seed(0)
            made[name] = load_tiny(name, tmp_path_factory.mktemp(name))
        return made[name]

    return make


@pytest.fixture(params=NAMES)
def encoder(request, tiny):
    return tiny(request.param)


@pytest.fixture(params=READERS)
def reader(request, tiny):
    return tiny(request.param)


def clips(encoder, n):
    """What an encoder takes of n clips."""
    if isinstance(encoder, SubtitleEncoder):
        return [["a dog"], ["dog", "a dog enters"], ["enters"]][:n]
    if isinstance(encoder, SoundEncoder):
        return np.random.default_rng(0).uniform(-1, 1, (n, encoder.rate_hz)).astype(np.float32)
    size_px = encoder.frame_rule(2.0).size_px
    shape = (n, encoder.frames_per_clip, size_px, size_px, 3)
    return np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)


def encode(encoder, given):
    """Its rows of these."""
    if isinstance(encoder, SubtitleEncoder):
        return encoder.encode_cues(given)
    return encoder.encode_sounds(given) if isinstance(encoder, SoundEncoder) else encoder.encode_clips(given)


def is_features(found, *shape):
    return found.shape == shape and found.dtype == np.float32 and bool(np.isfinite(found).all())


def test_what_is_left_out_is_registered():
    assert {name for name, _ in LEFT_OUT} <= set(OWN)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_tried_with_random_weights(name):
    assert find_encoder(name).name == name
    assert (find_encoder(name).tiny is None) == ((name, "random weights") in LEFT_OUT)


def test_it_has_the_attributes_of_what_its_entry_says(encoder):
    entry = find_encoder(encoder.name)
    assert isinstance(encoder, ClipEncoder)
    assert sum(isinstance(encoder, kind) for kind in (VideoEncoder, SoundEncoder, SubtitleEncoder)) == 1
    assert isinstance(encoder, TextEncoder) == entry.reads_text
    assert encoder.name.partition(":")[0] == entry.name
    assert re.fullmatch("[0-9a-f]{64}", encoder.weights)


@pytest.mark.parametrize("name", NAMES)
def test_equal_weights_have_equal_digests_and_others_have_another(name, tmp_path):
    digests = []
    for seed, place in ((0, "a"), (0, "b"), (1, "c")):
        torch.manual_seed(seed)
        (tmp_path / place).mkdir()
        digests.append(load_tiny(name, tmp_path / place).weights)
    assert digests[0] == digests[1]
    assert (digests[0] != digests[2]) or (name, "random weights") in LEFT_OUT


@pytest.mark.parametrize("n", [0, 1, 3])
def test_clips_become_finite_rows_of_its_width(encoder, n):
    assert is_features(encode(encoder, clips(encoder, n)), n, encoder.dim)


def test_a_clips_row_is_the_same_alone_and_among_others_and_differs_from_theirs(encoder):
    given = clips(encoder, 3)
    before = deepcopy(given)
    together = encode(encoder, given)
    np.testing.assert_allclose(encode(encoder, given[1:2]), together[1:2], **TOLERANCE)
    np.testing.assert_allclose(encode(encoder, given[::-1].copy()), together[::-1], **TOLERANCE)
    np.testing.assert_array_equal(encode(encoder, given), together)
    assert all(np.array_equal(one, other) for one, other in zip(given, before, strict=True))
    assert np.abs(together[0] - together[1]).max() > 1e-4


def test_clips_of_another_form_or_type_are_refused(encoder):
    if (encoder.name.partition(":")[0], "clips of another form") in LEFT_OUT:
        return
    given = clips(encoder, 2)
    if isinstance(encoder, SoundEncoder):
        for wrong in (given[0], given.astype(np.float64), given[:, :0], given[..., None]):
            with pytest.raises(ShapeError, match=rf"sounds for {encoder.name} are .*; expected \(n, samples\) float32"):
                encoder.encode_sounds(wrong)
        return
    said = rf"clips for {encoder.name} are .*; expected \(n, {encoder.frames_per_clip}, height, width, 3\) uint8"
    for wrong in (np.concatenate([given, given[:, :1]], axis=1), given.astype(np.float32) / 255, given[0]):
        with pytest.raises(ShapeError, match=said):
            encoder.encode_clips(wrong)


def test_a_video_of_odd_length_has_a_row_per_clip(encoder, make_video):
    images = np.random.default_rng(0).integers(0, 255, (13, 48, 50, 3), dtype=np.uint8)
    video = make_video("odd.mp4", images, fps=5, audio_s=2.6)
    found = encode_video(video, [encoder], 1.0)
    (rows,) = found.features
    n = 3  # 2.6 s: more than half of the last clip is there
    assert is_features(rows, n, encoder.dim)
    if not isinstance(encoder, VideoEncoder):
        return
    rule = clip_rule(encoder, 1.0, VideoReader(video).info)
    assert rule.frames.size_px == encoder.frame_rule(1.0).size_px
    assert rule.n_frames == encoder.frames_per_clip or isinstance(encoder, ClipPicker)


def test_sentences_become_a_row_per_token_and_a_vector(reader):
    for sentence, found in zip(SENTENCES, reader.encode_texts(SENTENCES), strict=True):
        n_words = len(sentence.split())
        assert is_features(found.tokens, len(found.tokens), reader.text_dim)
        assert n_words <= len(found.tokens) <= n_words + 2  # nothing but the words, and marks at the ends
        assert is_features(found.pooled, *found.pooled.shape)
        assert found.pooled.ndim == 1


def test_a_sentence_is_the_same_alone_and_among_others_and_differs_from_theirs(reader):
    long, short, _ = reader.encode_texts(SENTENCES)
    (alone,) = reader.encode_texts(["  a dog "])
    np.testing.assert_array_equal(alone.tokens, short.tokens)
    np.testing.assert_array_equal(alone.pooled, short.pooled)
    assert np.abs(long.pooled - short.pooled).max() > 1e-4
    assert reader.encode_texts([]) == []


def test_the_longest_sentence_is_read_and_a_longer_or_empty_one_refused(reader):
    (longest,) = reader.encode_texts(["a " * reader.max_words])
    assert is_features(longest.tokens, len(longest.tokens), reader.text_dim)
    assert len(longest.tokens) >= reader.max_words
    with pytest.raises(QueryError, match=rf"has {reader.max_words + 1} words"):
        reader.encode_texts(["a dog", "a " * (reader.max_words + 1)])
    with pytest.raises(QueryError, match="the query is empty"):
        reader.encode_texts(["a dog", "  "])


FORBIDDEN = ("spikemba.features", "spikemba.files", "spikemba.encoding", "spikemba.datasets", "av", "PIL")
OF_VIDEO = {
    "spikemba.video.clips": {"ClipRule", "published_fps"},
    "spikemba.video.sampling": {"FrameRule", "VideoInfo"},
}
"""What an encoder may know of videos: the rules that say which frames it wants."""


@pytest.mark.parametrize("path", sorted((ROOT / "spikemba/encoders").glob("*.py")), ids=lambda path: path.stem)
def test_it_reads_no_video_and_writes_no_features(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        modules = [node.module] if isinstance(node, ast.ImportFrom) else names
        for module in modules:
            assert not any(module == part or module.startswith(f"{part}.") for part in FORBIDDEN), module
            if module.startswith("spikemba.video"):
                assert isinstance(node, ast.ImportFrom), module
                assert set(names) <= OF_VIDEO.get(module, set()), module

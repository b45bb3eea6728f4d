"""`subtitles:ENCODER`: a clip is the mean of what is said in it, by the text tower of another encoder."""

import numpy as np
import pytest

from spikemba.encoders import load_encoder, load_encoders
from spikemba.encoders.base import EncoderOptions, TextFeatures, unknown_words
from spikemba.encoders.registry import find_encoder
from spikemba.encoders.subtitles import SubtitlesEncoder
from spikemba.errors import QueryError, SpikeMbaError
from spikemba.video.subtitles import Subtitle, in_clips, subtitles_of


class Letters:
    """A tower whose vector of a sentence is how many letters it has; four words and twenty letters at most."""

    name, text_dim, weights, max_words = "letters", 1, "none", 4

    def encode_texts(self, sentences):
        if any(len(one.split()) > 4 or len(one) > 20 or not one.isascii() for one in sentences):
            raise QueryError("too much")
        return [TextFeatures(np.ones((1, 1), np.float32), np.float32([len(one), 1])) for one in sentences]


def test_a_clip_is_the_mean_of_its_cues_and_zeros_without_any():
    encoder = SubtitlesEncoder("subtitles:letters", Letters())
    rows = encoder.encode_cues([["ab", "abcd"], [], ["abc"]])
    np.testing.assert_array_equal(rows, np.float32([[3, 1], [0, 0], [3, 1]]))
    assert rows.dtype == np.float32
    assert (encoder.dim, encoder.text_dim, encoder.max_words) == (2, 1, 4)
    assert encoder.encode_cues([]).shape == (0, 2)


def test_a_cue_that_is_too_long_is_cut_and_one_that_cannot_be_read_counts_for_nothing():
    encoder = SubtitlesEncoder("subtitles:letters", Letters())
    assert encoder.encode_cues([["a b c d e f"]])[0, 0] == len("a b c d")
    assert encoder.encode_cues([["a" * 30]])[0, 0] == 16  # three quarters of 30, and of 22
    np.testing.assert_array_equal(encoder.encode_cues([["♪"], ["♪", "ab"]]), np.float32([[0, 0], [2, 1]]))


def test_it_is_the_tower_of_the_encoder_that_it_names(tmp_path):
    inner, encoder = load_encoder("mini"), load_encoder("subtitles:mini")
    assert (encoder.name, encoder.weights, encoder.dim) == ("subtitles:mini", inner.weights, inner.dim)
    sentence = "a red circle enters"
    expected = inner.encode_texts([sentence])[0].pooled
    np.testing.assert_array_equal(encoder.encode_cues([[sentence]])[0], expected)
    np.testing.assert_array_equal(encoder.encode_texts([sentence])[0].pooled, expected)
    assert unknown_words(encoder, "a zebra enters") == unknown_words(inner, "a zebra enters") == ("zebra",)


def test_weights_may_be_named_for_the_tower_or_for_the_subtitles(tmp_path):
    _, folder = find_encoder("transformers").tiny(tmp_path)
    options = EncoderOptions(device="cpu")
    for name in ("transformers", "subtitles", "subtitles:transformers"):
        (encoder,) = load_encoders("subtitles:transformers", options, {name: folder})
        assert encoder.dim == 16


@pytest.mark.parametrize("name", ["subtitles", "subtitles:"])
def test_without_an_encoder_it_says_how_to_name_one(name):
    with pytest.raises(SpikeMbaError, match="subtitles need an encoder that reads them, as in --encoder subtitles:cl"):
        load_encoder(name)


def test_an_encoder_that_reads_nothing_and_subtitles_of_subtitles_are_refused(tmp_path):
    _, folder = find_encoder("videomae").tiny(tmp_path)
    with pytest.raises(SpikeMbaError, match="videomae reads no text, so it cannot read subtitles"):
        load_encoder("subtitles:videomae", EncoderOptions(weights=folder, device="cpu"))
    with pytest.raises(SpikeMbaError, match="subtitles:mini reads no text, so it cannot"):
        load_encoder("subtitles:subtitles:mini")


def test_cues_are_those_of_the_clips_in_which_they_stand():
    cues = [Subtitle(0.5, 2.0, "a"), Subtitle(1.9, 4.1, "b"), Subtitle(3.0, 3.0, "c"), Subtitle(3.5, 3.9, "b")]
    cues += [Subtitle(9.0, 99.0, "d")]
    assert in_clips(cues, 2.0, 6) == [["a", "b"], ["b", "c"], ["b"], [], ["d"], ["d"]]
    assert in_clips([Subtitle(0.6, 0.8, "a")], 0.2, 5) == [[], [], [], ["a"], []]


def test_all_files_beside_a_video_are_read_in_the_order_of_time(tmp_path):
    (tmp_path / "a.srt").write_text("1\n00:00:03,000 --> 00:00:04,000\nlater\n")
    (tmp_path / "a.en.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.000\n<i>sooner</i>\n")
    (tmp_path / "b.srt").write_text("1\n00:00:00,000 --> 00:00:04,000\nanother\n")
    assert [one.text for one in subtitles_of(tmp_path / "a.mp4")] == ["sooner", "later"]
    assert subtitles_of(tmp_path / "c.mp4") == []

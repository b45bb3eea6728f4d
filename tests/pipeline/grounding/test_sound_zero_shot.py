"""Moments that are heard or said, without training: tones at known seconds, and subtitles beside a video."""

import sys
from types import ModuleType

import numpy as np
import pytest
from sound_files import tone, write_sound_video

import spikemba
from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from pipelines.extraction.show_features import show_features
from pipelines.library.alike import VideoPart, search_image, search_like
from pipelines.library.index import index
from pipelines.library.search import search
from spikemba.encoders import load_encoder
from spikemba.encoders.base import TextFeatures
from spikemba.encoders.entry import EncoderEntry
from spikemba.encoders.registry import OWN, find_encoder
from spikemba.errors import QueryError
from spikemba.features import FeatureFolder
from spikemba.library import open_library

RATE_HZ = 16000
PITCHES = {"horn": 440, "bell": 1000, "whistle": 3000}


class TonesEncoder:
    """A clip is how loud each pitch is in it, beside a little of none; a sentence the pitches that it names."""

    name, dim, text_dim, weights, max_words, rate_hz = "tones", 4, 4, "0" * 64, 8, RATE_HZ

    def encode_sounds(self, windows):
        spectrum = np.abs(np.fft.rfft(windows, axis=1)) / windows.shape[1]
        places = [round(hz * windows.shape[1] / self.rate_hz) for hz in PITCHES.values()]
        heard = [spectrum[:, k - 3 : k + 4].max(1) for k in places]
        return np.stack([*heard, np.full(len(windows), 0.02)], axis=1).astype(np.float32)

    def encode_texts(self, sentences):
        vectors = [np.float32([*(pitch in sentence for pitch in PITCHES), 0]) for sentence in sentences]
        return [TextFeatures(vector[None], vector) for vector in vectors]


ENTRY = EncoderEntry("tones", "pitches", load=lambda *_: TonesEncoder(), reads_text=True)


@pytest.fixture
def tones(monkeypatch):
    """A Grounder of the planted encoder, which is known by its name here."""
    module = ModuleType("planted_tones")
    module.ENTRY = ENTRY
    monkeypatch.setitem(sys.modules, "planted_tones", module)
    monkeypatch.setitem(OWN, "tones", "planted_tones:ENTRY")
    return spikemba.load(encoder="tones")


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    """What `load` takes to ground by a small random CLAP."""
    name, folder = find_encoder("clap").tiny(tmp_path_factory.mktemp("clap"))
    return {"encoder": name, "weights": {name: folder}}


def ringing(path, **how):
    """30 s: a horn from 4 to 8 s, a bell from 12 to 18 s, nothing else."""
    samples = tone(440, RATE_HZ, 30, [(4, 8)]) + tone(1000, RATE_HZ, 30, [(12, 18)])
    return write_sound_video(path, samples, seconds=30, **how)


def test_a_tone_is_found_to_the_clip(tones, tmp_path):
    video = ringing(tmp_path / "bells.mov")
    for query, start_s, end_s in (("a bell rings", 12, 18), ("a horn", 4, 8)):
        best = tones.ground(video, query).moments[0]
        assert (best.start_s, best.end_s) == (start_s, end_s), query


def test_a_tone_is_found_where_the_clock_of_the_video_has_it(tones, tmp_path):
    """The track begins 5 s behind the pictures; the windows are those of the pictures' time."""
    for ending in ("mov", "mkv"):
        video = ringing(tmp_path / f"late.{ending}", sound_at_s=5.0)
        best = tones.ground(video, "a bell rings").moments[0]
        assert (best.start_s, best.end_s) == (16, 24)  # the clips of 2 s that hold 17 to 23 s


def test_a_silent_video_is_answered_without_an_error_and_says_so(tones, tmp_path, caplog):
    video = write_sound_video(tmp_path / "silent.mov", seconds=6)
    for _ in range(2):  # decoded, and from the cache
        caplog.clear()
        found = tones.ground(video, "a bell rings")
        assert len(found.saliency) == 3
        assert np.ptp(found.saliency) == 0
        said = f"{video}: has no sound; its clips have zeros there"
        assert [record.getMessage() for record in caplog.records] == [said]


def test_clap_with_random_weights_grounds_a_video(clap, tmp_path):
    video = ringing(tmp_path / "bells.mov")
    grounder = spikemba.load(**clap)
    found = grounder.ground(video, "a dog enters")
    assert found.model == "zero-shot clap"
    assert len(found.saliency) == 15
    assert found.moments
    assert np.isfinite(found.saliency).all()
    assert grounder.ground(video, "a dog enters").moments == found.moments


def test_a_library_of_sound_is_searched_by_sentence_and_by_sound(tones, tmp_path):
    loud, other = ringing(tmp_path / "videos/loud.mov"), tmp_path / "videos/other.mov"
    write_sound_video(other, tone(3000, RATE_HZ, 10, [(4, 8)]), seconds=10)
    write_sound_video(tmp_path / "videos/silent.mov", seconds=6)
    assert len(index([tmp_path / "videos"], "tones", tmp_path / "library").added) == 3
    with open_library(tmp_path / "library") as library:
        best = search(library, tones, "a whistle").moments[0]
        assert best.video == other
        assert (best.start_s, best.end_s) == pytest.approx((4, 8), abs=2)
        alike = search_like(library, tones, VideoPart(loud, 12, 16)).moments[0]
        assert alike.video == loud
        assert 12 <= alike.start_s < alike.end_s <= 18
        assert search(library, tones, "a whistle").n_videos == 3
        silent = VideoPart(tmp_path / "videos/silent.mov", 0, 2)
        with pytest.raises(QueryError, match=r"silent\.mov@0-2 has no sound, so nothing is like it"):
            search_like(library, tones, silent)


def test_clap_is_indexed_and_searched_and_asked_for_no_picture(clap, tmp_path):
    ringing(tmp_path / "videos/loud.mov")
    write_sound_video(tmp_path / "videos/silent.mov", seconds=6)
    done = index([tmp_path / "videos"], "clap", tmp_path / "library", run=RunOptions(weights=clap["weights"]))
    assert len(done.added) == 2
    with open_library(tmp_path / "library") as library:
        grounder = spikemba.load(**clap)
        found = search(library, grounder, "a dog enters")
        assert {one.video.name for one in found.moments} == {"loud.mov", "silent.mov"}
        assert all(np.isfinite(one.score) for one in found.moments)
        with pytest.raises(
            QueryError, match=r"^clap takes sound and no pictures; ask with a part of a video: `spikemba"
        ):
            search_image(library, grounder, tmp_path / "picture.png")


def test_what_is_said_is_found_in_the_subtitles(tmp_path):
    video = write_sound_video(tmp_path / "said.mov", seconds=20)
    spins, enters = (
        "00:00:02,000 --> 00:00:05,500\na blue square spins",
        "00:00:10,000 --> 00:00:14,000\na red circle enters",
    )
    (tmp_path / "said.srt").write_text(f"1\n{spins}\n\n2\n{enters}\n")
    grounder = spikemba.load(encoder="subtitles:mini")
    assert grounder.limits.startswith("subtitles:mini knows drawn shapes that move, and nothing else")
    best = grounder.ground(video, "a red circle enters").moments[0]
    assert (best.start_s, best.end_s) == pytest.approx((10, 14), abs=2)


def test_subtitles_become_a_stream_whose_silent_clips_are_zeros(tmp_path):
    for name in ("said", "unsaid"):
        write_sound_video(tmp_path / f"videos/{name}.mov", seconds=8)
    (tmp_path / "videos/said.vtt").write_text("WEBVTT\n\n00:02.000 --> 00:04.000\na red circle enters\n")
    done = extract([tmp_path / "videos"], "subtitles:mini", tmp_path / "features")
    assert done.lacking == {"subtitles": ["unsaid"]}
    folder = FeatureFolder(tmp_path / "features/subtitles_mini")
    (sentence,) = load_encoder("mini").encode_texts(["a red circle enters"])
    rows = folder.video("said")
    np.testing.assert_array_equal(rows[1], sentence.pooled)
    assert rows.any(axis=1).tolist() == [False, True, False, False]
    assert folder.video("unsaid").shape == rows.shape
    assert not folder.video("unsaid").any()
    found = show_features(tmp_path / "features/subtitles_mini")
    assert [one.what for one in found.findings] == ["1 of 2 have no subtitles: unsaid"]

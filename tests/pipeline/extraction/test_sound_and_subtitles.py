"""Sound and subtitles as streams: as many rows as clips, zeros and a flag where there are none, never an error."""

import json
import os

import numpy as np
import pytest
from sound_files import tone, write_sound_video
from typer.testing import CliRunner

import spikemba
from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from pipelines.extraction.show_features import show_features
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.encoders import load_encoder
from spikemba.encoders.registry import find_encoder
from spikemba.encoding.videos import encode_video, encode_videos
from spikemba.features import NOTHING_KEY, FeatureFolder, read_manifest
from spikemba.moments import Window
from spikemba.video.clips import clips_in
from spikemba_cli.main import app

RATE_HZ = 8000


class Loudness:
    """A clip is how loud it is, and 1; so that silence that was heard can be told from nothing."""

    name, dim, weights, rate_hz, batch_clips = "loudness", 2, "0" * 64, RATE_HZ, 3

    def encode_sounds(self, windows):
        assert windows.dtype == np.float32
        assert windows.shape[1] > 0
        return np.stack([np.sqrt((windows**2).mean(1)), np.ones(len(windows))], axis=1).astype(np.float32)


def said(path, *cues):
    """A .srt beside a video of (start_s, end_s, text)."""
    lines = [f"{k}\n00:00:{a:06.3f} --> 00:00:{b:06.3f}\n{text}\n" for k, (a, b, text) in enumerate(cues, start=1)]
    path.with_suffix(".srt").write_text("\n".join(lines).replace(".", ","))


@pytest.fixture
def videos(tmp_path):
    """a: a tone from 2 to 4 s, and something said from 3 to 5 s; b: neither. 7 s each."""
    for name, samples in (("a", tone(440, RATE_HZ, 7, [(2, 4)])), ("b", None)):
        write_sound_video(tmp_path / f"videos/{name}.mov", samples, rate_hz=RATE_HZ, seconds=7)
    said(tmp_path / "videos/a.mov", (3, 5, "a red circle enters"))
    return tmp_path / "videos"


def rows_of(path, clip_s=2.0):
    return encode_video(path, [Loudness(), load_encoder("mini")], clip_s)


def test_a_row_is_the_sound_of_its_clip_and_a_video_without_any_has_zeros(videos):
    found = rows_of(videos / "a.mov")
    wanted = [[0, 1], [0.5 / np.sqrt(2), 1], [0, 1], [0, 1]]
    np.testing.assert_allclose(found.features[0], wanted, atol=1e-3)
    assert found.nothing == (False, None)
    silent = rows_of(videos / "b.mov")
    np.testing.assert_array_equal(silent.features[0], np.zeros((4, 2), np.float32))
    assert silent.nothing == (True, None)
    assert silent.lacks([Loudness(), load_encoder("mini")]) == ("sound",)


@pytest.mark.parametrize(("seconds", "clip_s"), [(7.3, 2.0), (0.4, 2.0), (2.9, 1.0), (3.0, 2.0), (5.0, 0.3)])
def test_sound_and_subtitles_have_as_many_rows_as_pictures_alone_or_together(tmp_path, seconds, clip_s):
    path = write_sound_video(tmp_path / "a.mov", tone(440, RATE_HZ, 9, [(0, 9)]), rate_hz=RATE_HZ, seconds=seconds)
    together = encode_video(path, [Loudness(), load_encoder("mini"), load_encoder("subtitles:mini")], clip_s)
    n = clips_in(seconds, clip_s)
    assert [len(rows) for rows in together.features] == [n, n, n]
    alone = encode_video(path, [Loudness()], clip_s)
    assert alone.duration_s == together.duration_s == pytest.approx(seconds)
    np.testing.assert_array_equal(alone.features[0], together.features[0])


def test_many_videos_at_once_have_the_rows_that_each_has_alone(tmp_path):
    paths = []
    for k, seconds in enumerate((4, 7, 5, 2)):
        sound = None if k == 2 else tone(440, RATE_HZ, seconds, [(0, 1 + k)])
        path = write_sound_video(tmp_path / f"{k}.mov", sound, rate_hz=RATE_HZ, seconds=seconds)
        paths.append(path)
    found = dict(encode_videos(paths, [Loudness()], 1.0, decoders=3))
    assert [found[path].nothing for path in paths] == [(False,), (False,), (True,), (False,)]
    for path in paths:
        np.testing.assert_allclose(found[path].features[0], encode_video(path, [Loudness()], 1.0).features[0])


def test_sound_of_joined_broadcasts_follows_the_clock_of_the_pictures(tmp_path):
    parts = []
    for name, at in (("a", (1, 2)), ("b", (3, 4))):
        sound = tone(440, 48000, 6, [at])
        parts.append(
            write_sound_video(tmp_path / f"{name}.ts", sound, rate_hz=48000, codec="mp2", seconds=6).read_bytes()
        )
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    together, alone = rows_of(joined, 1.0), encode_video(joined, [Loudness()], 1.0)
    np.testing.assert_allclose(together.features[0], alone.features[0])
    loud = np.flatnonzero(alone.features[0][:, 0] > 0.2)
    assert loud.tolist() == [1, 9]


def test_extract_flags_and_counts_what_has_no_subtitles(videos, tmp_path):
    out = tmp_path / "features"
    result = extract([videos], "mini+subtitles:mini", out)
    assert (sorted(result.encoded), result.lacking) == (["a", "b"], {"subtitles": ["b"]})
    folder = FeatureFolder(out / "subtitles_mini")
    rows, mini = folder.video("a"), load_encoder("mini")
    vector = mini.encode_texts(["a red circle enters"])[0].pooled
    np.testing.assert_allclose(rows, [0 * vector, vector, vector, 0 * vector], atol=1e-6)
    assert not folder.video("b").any()
    assert [folder.has_nothing(name) for name in "ab"] == [False, True]
    with np.load(out / "subtitles_mini/b.npz") as file:
        assert (sorted(file.files), file[NOTHING_KEY].tolist()) == (["features", NOTHING_KEY], [1])
    with np.load(out / "mini/b.npz") as file:
        assert file.files == ["features"]
    manifest = read_manifest(out / "subtitles_mini")
    assert (manifest.encoder, manifest.dim, manifest.clip_s) == ("subtitles:mini", mini.dim, 2.0)
    assert (manifest.weights, manifest.frames) == (mini.weights, "subtitles, the mean of those of a clip")
    (finding,) = show_features(out / "subtitles_mini").findings
    assert (finding.what, finding.cure, finding.stops) == ("1 of 2 have no subtitles: b", "", False)
    again = extract([videos], "mini+subtitles:mini", out)
    assert (sorted(again.kept), again.lacking) == (["a", "b"], {"subtitles": ["b"]})


def test_subtitles_that_were_written_later_are_encoded_anew(videos, tmp_path):
    out = tmp_path / "features"
    extract([videos], "subtitles:mini", out)
    said(videos / "b.mov", (0, 1, "a dog"))
    later = (out / "subtitles_mini/b.npz").stat().st_mtime + 10
    os.utime(videos / "b.srt", (later, later))
    result = extract([videos], "subtitles:mini", out)
    assert (result.encoded, result.kept, result.lacking) == (["b"], ["a"], {"subtitles": []})
    assert FeatureFolder(out / "subtitles_mini").video("b")[0].any()


def test_subtitles_that_cannot_be_read_are_named_and_stop_no_other_video(videos, tmp_path):
    (videos / "a.srt").write_bytes(b"\0" * 40)
    result = extract([videos], "subtitles:mini", tmp_path / "features")
    assert result.encoded == ["b"]
    ((path, problem),) = result.failed.items()
    assert path.name == "a.mov"
    assert str(videos / "a.srt") in problem


def test_clap_reads_the_queries_into_the_space_of_its_clips(videos, tmp_path):
    name, folder = find_encoder("clap").tiny(tmp_path)
    rows = tmp_path / "rows.jsonl"
    write_annotations(rows, [Annotation(7, "a dog enters", "a", 7.0, (Window(2, 4),))])
    run = RunOptions(weights={name: folder})
    result = extract([videos / "b.mov"], "clap", tmp_path / "features", queries=[rows], run=run)
    assert (result.encoded, result.n_queries, result.lacking) == (["b"], 1, {"sound": ["b"]})
    text = FeatureFolder(tmp_path / "features/clap_text")
    clip, sentence = FeatureFolder(tmp_path / "features/clap").video("b"), text.sentence(7)
    assert (clip.shape, sentence.shape, text.text(7).shape) == ((4, 16), (16,), (5, 32))
    assert np.linalg.norm(sentence) == pytest.approx(1, abs=1e-5)
    assert read_manifest(tmp_path / "features/clap").frames == "sound, 48000 Hz, the mean of its channels"


def test_the_command_says_how_many_have_none(videos, tmp_path):
    asked = ["extract", str(videos), "--encoder", "subtitles:mini", "--out", str(tmp_path / "features")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0
    assert "2 videos encoded, 1 without subtitles -> " in done.stderr.replace("\n", " ")
    document = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert (document["kept"], document["without_subtitles"]) == (["a", "b"], ["b"])


def test_an_answer_from_the_cache_is_of_the_subtitles_as_they_are_now(videos):
    grounder = spikemba.load(encoder="subtitles:mini")
    found = []
    for start_s in (1, 5):
        said(videos / "b.mov", (start_s, start_s + 1, "a red circle enters"))
        found.append(int(grounder.ground(videos / "b.mov", "a red circle enters").saliency.argmax()))
        assert grounder.has_features(videos / "b.mov")
    assert found == [0, 2]

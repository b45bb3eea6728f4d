"""Subtitles beside a video."""

from pathlib import Path

import pytest

from spikemba.errors import VideoError
from spikemba.video.subtitles import Subtitle, beside, read_subtitles

SRT = """1
00:00:01,500 --> 00:00:04,000
<i>We need</i>
{\\an8}two eggs

2
00:01:05,000 --> 00:01:06,000
salt &amp; oil
"""
VTT = """WEBVTT

00:01.500 --> 00:04.000
<v Ann>We need two eggs</v>

00:01:05.000 --> 00:01:06.000 align:start
salt &amp; oil
"""


@pytest.mark.parametrize(("name", "content"), [("clip.srt", SRT), ("clip.VTT", VTT)])
def test_both_forms_give_times_and_words_without_marks(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, "utf-8")
    assert read_subtitles(path) == [Subtitle(1.5, 4.0, "We need two eggs"), Subtitle(65.0, 66.0, "salt & oil")]


def test_other_encodings_are_read(tmp_path):
    path = tmp_path / "clip.srt"
    path.write_bytes(SRT.replace("oil", "Öl").encode("utf-16"))
    assert read_subtitles(path)[1].text == "salt & Öl"


def test_an_empty_file_has_none_and_what_is_no_text_is_refused(tmp_path):
    path = tmp_path / "clip.srt"
    path.write_text("")
    assert read_subtitles(path) == []
    path.write_bytes(b"\x00\x01\x02")
    with pytest.raises(VideoError, match=r"clip\.srt: holds no subtitles"):
        read_subtitles(path)
    with pytest.raises(VideoError, match="cannot be read"):
        read_subtitles(tmp_path / "gone.srt")


def test_files_named_as_the_video_with_or_without_a_language_are_beside_it():
    names = ["clip.srt", "clip.en.srt", "clip.de-DE.VTT", "clip2.srt", "clips.vtt", "clip.mp4", "other.clip.srt"]
    found = beside(Path("/films/clip.mp4"), names)
    assert [path.name for path in found] == ["clip.de-DE.VTT", "clip.en.srt", "clip.srt"]

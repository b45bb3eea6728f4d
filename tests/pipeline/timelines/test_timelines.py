"""What timelines hold besides times: names, addresses, the better of two moments, the order that editors ask for."""

import csv
import io
import os
import sys
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import unquote_to_bytes, urljoin, urlsplit
from xml.etree import ElementTree

import opentimelineio
import pytest
from footage_files import answered, write_footage
from timeline_readers import READERS, rational

from pipelines.timelines.forms import TIMELINES, as_timeline, check_form
from pipelines.timelines.plan import Layout, Mark, apart, plain, plan
from pipelines.timelines.references import file_url, reference
from spikemba.errors import PackageMissing, SpikeMbaError, VideoError
from spikemba.libraries import is_installed

SHAPES = ("cut", "markers")
ODD = "a\r\nred\u2028<b>\x00\x1b[1m & \"c\"; d, e | f\x85'g' \ud800 ]]> é 犬 🐕"
SHOWN = "a red <b>[1m & \"c\"; d, e | f 'g' \ufffd ]]> é 犬 🐕"


@pytest.fixture
def video(tmp_path):
    return write_footage(tmp_path / "a b" / "é&#100%;犬.mov", 25, channels=2, timecode="01:00:00:00")


def addresses(form, text):
    """Of the sources that a timeline names."""
    if form == "otio":
        timeline = opentimelineio.adapters.read_from_string(text, "otio_json")
        return {clip.media_reference.target_url for clip in timeline.find_clips()}
    if form == "edl":
        return {line.removeprefix("* FROM CLIP: ") for line in text.splitlines() if line.startswith("* FROM CLIP: ")}
    if form == "markers.csv":
        return {row["Source"] for row in csv.DictReader(io.StringIO(text))}
    root = ElementTree.fromstring(text)
    return {asset.get("src") for asset in root.iter("asset")} | {url.text for url in root.iter("pathurl")}


@pytest.mark.parametrize("form", TIMELINES)
def test_sources_are_named_by_percent_encoded_addresses(form, video):
    (url,) = addresses(form, as_timeline(form, [answered(video, "q", 6, (1, 2, 0.5))], Layout("cut")))
    assert url.isascii()
    assert url.startswith("file:///")
    assert Path(os.fsdecode(unquote_to_bytes(urlsplit(url).path))) == video


@pytest.mark.parametrize("form", TIMELINES)
def test_relative_addresses_lead_from_the_timelines_folder_to_the_source(form, video, tmp_path):
    layout = Layout("cut", relative_to=tmp_path / "lists" / "today")
    (url,) = addresses(form, as_timeline(form, [answered(video, "q", 6, (1, 2, 0.5))], layout))
    assert url.startswith("../../a%20b/")
    whole = urljoin((tmp_path / "lists" / "today" / "x.otio").as_uri(), url)
    assert Path(os.fsdecode(unquote_to_bytes(urlsplit(whole).path))) == video


def test_addresses_of_windows_and_of_names_that_are_not_utf8(tmp_path):
    assert file_url(PureWindowsPath(r"C:\my clips\a#1.mp4")) == "file:///C:/my%20clips/a%231.mp4"
    assert file_url(PureWindowsPath(r"\\server\share\é.mp4")) == "file://server/share/%C3%A9.mp4"
    assert file_url(PurePosixPath("/a:b/c?.mp4")) == "file:///a%3Ab/c%3F.mp4"
    assert file_url(PurePosixPath(os.fsdecode(b"/\xff.mp4"))) == "file:///%FF.mp4"
    assert reference(tmp_path / "a:b.mp4", tmp_path) == "a%3Ab.mp4"  # not a scheme


def test_relative_addresses_lead_the_way_that_links_do_not_hide(tmp_path):
    (tmp_path / "disk" / "deep" / "lists").mkdir(parents=True)
    (tmp_path / "footage").mkdir()
    (tmp_path / "lists").symlink_to(tmp_path / "disk" / "deep" / "lists")
    url = reference(tmp_path / "footage" / "a.mp4", tmp_path / "lists")
    assert (tmp_path / "lists" / url).resolve() == tmp_path.resolve() / "footage" / "a.mp4"
    (tmp_path / "disk" / "a.mp4").write_text("")
    (tmp_path / "footage" / "link.mp4").symlink_to(tmp_path / "disk" / "a.mp4")
    assert reference(tmp_path / "footage" / "link.mp4").endswith("/footage/link.mp4")
    up = reference(tmp_path / "lists" / ".." / "a.mp4")  # which is not beside the link
    assert up.endswith("/disk/deep/a.mp4")


def test_no_way_between_drives_is_said(tmp_path, monkeypatch):
    def two_drives(*_):
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", two_drives)
    with pytest.raises(SpikeMbaError, match="different drives.*leave out --relative"):
        reference(tmp_path / "a.mp4", tmp_path)


def test_words_stand_in_one_line_without_what_no_file_may_hold():
    assert plain(ODD) == SHOWN
    assert plain("a\tb\n\nc\v\fd\x1c\x1d\x1ee") == "a b c d e"


@pytest.mark.parametrize("form", TIMELINES)
@pytest.mark.parametrize("shape", SHAPES)
def test_odd_words_split_no_event_and_come_back_whole(form, shape, tmp_path):
    source = write_footage(tmp_path / os.fsdecode(b"new\nline \xff &.mov"), 25)
    text = as_timeline(form, [answered(source, ODD, 6, (1, 2, 0.5), (3, 4, 0.25))], Layout(shape))
    text.encode()
    assert len(READERS[form](text, shape, None)) == 2
    if form == "otio":
        timeline = opentimelineio.adapters.read_from_string(text, "otio_json")
        clips = list(timeline.find_clips())
        assert (clips[0].name if shape == "cut" else clips[0].markers[0].name) == f"{SHOWN} (0.50)"
    elif form == "edl":
        assert (SHOWN if shape == "cut" else SHOWN.replace("|", "/")) + " (0.50)" in text
        assert len(text.splitlines()) == (13 if shape == "cut" else 8)
    elif form == "markers.csv":
        assert [row["Marker Name"] for row in csv.DictReader(io.StringIO(text))] == [SHOWN, SHOWN]
    else:
        root = ElementTree.fromstring(text)
        shown = {value for one in root.iter() for value in (*one.attrib.values(), one.text)}
        assert shown & {SHOWN, f"{SHOWN} (0.50)"}
        assert "new line \ufffd &.mov" in shown


def test_of_moments_that_overlap_the_better_is_kept(video):
    marks = [
        Mark(0, 10, 0.5, "a"),
        Mark(5, 10, 0.9, "b"),
        Mark(14, 6, 0.4, "c"),
        Mark(15, 5, 0.3, "d"),
        Mark(20, 1, 0.1, "e"),
    ]
    assert [mark.query for mark in apart(marks)] == ["b", "d", "e"]
    two = [answered(video, "first", 6, (1, 3, 0.6)), answered(video, "second", 6, (2, 4, 0.7), (4, 5, 0.1))]
    assert [clip.moment.query for clip in plan(two, Layout("cut")).clips] == ["second", "second"]
    (clip,) = plan(two, Layout("markers")).clips
    assert [mark.query for mark in clip.marks] == ["first", "second", "second"]


def test_a_moment_has_a_frame_at_least_and_lies_in_its_source(video):
    found = [answered(video, "q", 6, (2.0, 2.001, 0.5), (5.99, 6.0, 0.4), (-0.1, 0.01, 0.3))]
    clips = plan(found, Layout("cut")).clips
    assert [(clip.start, clip.n_frames) for clip in clips] == [(0, 1), (50, 1), (149, 1)]


@pytest.mark.parametrize("form", TIMELINES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_moment_gives_a_timeline_without_moments(form, shape, video):
    assert READERS[form](as_timeline(form, [answered(video, "q", 6)], Layout(shape)), shape, "01:00:00:00") == []
    assert as_timeline(form, [], Layout(shape))


def test_picture_and_sound_lie_beside_each_other(tmp_path):
    stereo = write_footage(tmp_path / "stereo.mov", 25, channels=2)
    mono = write_footage(tmp_path / "mono.mov", 25, channels=1)
    silent = write_footage(tmp_path / "silent.mov", 25)
    found = [answered(path, "q", 6, (1, 2, 0.5), (3, 4, 0.4)) for path in (stereo, silent, mono)]
    events = [line.split()[2] for line in as_timeline("edl", found).splitlines() if line[:1].isdigit()]
    assert events == ["AA/V", "AA/V", "V", "V", "B", "B"]
    root = ElementTree.fromstring(as_timeline("xml", found))
    picture, *sound = [track.findall("clipitem") for track in root.iter("track")]
    assert [len(track) for track in (picture, *sound)] == [6, 4, 2]
    names = {item.get("id"): item for track in (picture, *sound) for item in track}
    assert len(names) == 12
    for track in (picture, *sound):
        for item in track:
            for link in item.findall("link"):
                other = names[link.findtext("linkclipref")]
                assert (other.findtext("start"), other.findtext("in")) == (item.findtext("start"), item.findtext("in"))
                of_kind = (
                    picture if link.findtext("mediatype") == "video" else sound[int(link.findtext("trackindex")) - 1]
                )
                assert of_kind[int(link.findtext("clipindex")) - 1] is other
    marked = [
        (m.findtext("in"), m.findtext("out"), m.findtext("name")) for m in root.find("sequence").findall("marker")
    ]
    assert marked == [(item.findtext("start"), item.findtext("end"), "q") for item in picture]
    timeline = opentimelineio.adapters.read_from_string(as_timeline("otio", found), "otio_json")
    video, audio = timeline.tracks
    assert [audio.trimmed_range_of_child(one) for one in audio] == [video.trimmed_range_of_child(one) for one in video]
    assert [type(one).__name__ for one in audio] == ["Clip", "Clip", "Gap", "Gap", "Clip", "Clip"]


ORDER = {
    "fcpxml": ["resources", "event"],
    "resources": ["format", "asset"],
    "event": ["project"],
    "project": ["sequence"],
    "sequence": ["spine"],
    "spine": ["asset-clip"],
    "asset-clip": ["note", "conform-rate", "marker"],
}
"""Elements of Final Cut's XML that may lie in each, in the order in which they have to come; resources mix."""
NEEDED = {
    "format": {"id"},
    "asset": {"id", "src"},
    "sequence": {"format"},
    "asset-clip": {"ref"},
    "marker": {"start", "value"},
    "conform-rate": set(),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_final_cuts_xml_keeps_the_rules_of_its_definition(shape, tmp_path):
    rates = ((Fraction(30000, 1001), "01:00:00;00"), (25, None), (Fraction(25, 2), None))
    videos = [write_footage(tmp_path / f"{k}.mov", fps, timecode=c, channels=k) for k, (fps, c) in enumerate(rates)]
    text = as_timeline("fcpxml", [answered(path, "q", 6, (1, 2, 0.5), (3, 4, 0.4)) for path in videos], Layout(shape))
    assert "<!DOCTYPE fcpxml>" in text
    root = ElementTree.fromstring(text)
    names = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(set(names)) == len(names)
    for one in root.iter():
        kinds = [child.tag for child in one]
        assert set(kinds) <= set(ORDER.get(one.tag, ())), one.tag
        if one.tag != "resources":
            assert kinds == sorted(kinds, key=ORDER.get(one.tag, []).index), one.tag
        assert NEEDED.get(one.tag, set()) <= set(one.attrib), one.tag
        for key in ("ref", "format"):
            assert one.get(key) is None or one.get(key) in names
    formats = {one.get("id"): rational(one.get("frameDuration")) for one in root.iter("format")}
    sequence = next(root.iter("sequence"))
    assert sequence.get("audioLayout") in ("mono", "stereo", "surround")
    assert sequence.get("audioRate") in ("32k", "44.1k", "48k", "88.2k", "96k", "176.4k", "192k")
    assert sequence.get("tcFormat") == "DF"
    frame = formats[sequence.get("format")]
    for clip in root.iter("asset-clip"):
        assert (rational(clip.get("offset")) / frame).denominator == 1
        assert (rational(clip.get("duration")) / frame).denominator == 1
        assert (rational(clip.get("start")) / formats[clip.get("format")]).denominator == 1
        conform = clip.find("conform-rate")
        assert (conform is None) == (formats[clip.get("format")] == frame)
        assert conform is None or conform.get("srcFrameRate") in (
            "23.98",
            "24",
            "25",
            "29.97",
            "30",
            "50",
            "59.94",
            "60",
        )


def test_a_timeline_starts_at_zero_and_markers_at_the_files_clock(video):
    found = [answered(video, "q", 6, (1, 2, 0.5))]
    assert str(plan(found, Layout("cut")).start) == "00:00:00:00"
    assert str(plan(found, Layout("markers")).start) == "01:00:00:00"
    lines = as_timeline("edl", found, Layout("markers")).splitlines()
    assert lines[3].split()[4:] == ["01:00:01:00", "01:00:01:01", "01:00:01:00", "01:00:01:01"]


def test_without_the_library_one_form_says_what_to_install(video, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    assert not is_installed("opentimelineio")
    found = [answered(video, "q", 6, (1, 2, 0.5))]
    for attempt in (lambda: check_form("otio"), lambda: as_timeline("otio", found)):
        with pytest.raises(
            PackageMissing, match=r"--format otio needs opentimelineio.*pip install 'spikemba\[timelines\]'"
        ):
            attempt()
    for form in set(TIMELINES) - {"otio"}:
        check_form(form)
        assert as_timeline(form, found)


def test_a_video_that_went_away_is_said(tmp_path):
    with pytest.raises(VideoError, match="no such file"):
        as_timeline("edl", [answered(tmp_path / "gone.mov", "q", 6, (1, 2, 0.5))])


def test_no_cell_of_the_table_of_markers_is_a_formula(tmp_path):
    source = write_footage(tmp_path / "=1+1.mov", 25)
    layout = Layout("markers", relative_to=tmp_path)
    text = as_timeline("markers.csv", [answered(source, "-2+3", 6, (1, 2, 0.5))], layout)
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["Marker Name"], row["Description"]) == ("'-2+3", "'=1+1.mov")
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())

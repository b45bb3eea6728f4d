"""Every form, shape, rate and start timecode: read back by another program, each moment is the one asked for."""

from fractions import Fraction
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from footage_files import answered, write_footage
from timeline_readers import READERS, fps_of, rational

from pipelines.timelines.forms import TIMELINES, as_timeline
from pipelines.timelines.plan import Layout, plan
from spikemba.video.footage import footage

N24, N30, N60 = (Fraction(base * 1000, 1001) for base in (24, 30, 60))
EVEN = (N24, 24, 25, N30, 30, 50, N60, 60, Fraction(25, 2), 15, Fraction(15, 2), Fraction(1, 2))
NO_CLOCK, ONE, DROP, MIDNIGHT = None, "01:00:00:00", "00:59:58;20", "23:59:57:00"
PHONE = [Fraction(k, 30) + (Fraction(k % 7, 900)) for k in range(360) if k % 11]
"""Times of pictures that come 27 times a second, unevenly."""
KINDS = [(fps, clock, None) for fps in EVEN for clock in (NO_CLOCK, ONE)]
KINDS += [(N30, DROP, None), (N60, DROP, None), (30, NO_CLOCK, PHONE), (30, ONE, PHONE)]
KINDS += [(24, MIDNIGHT, None), (N30, MIDNIGHT, None)]
SECONDS = 12
MOMENTS = ((0.413, 2.204, 0.9), (2.0, 4.5, 0.4), (4.504, 8.009, 0.7), (11.1, 12.0, 0.2))
"""The second overlaps the better first."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A function that makes each kind of file once."""
    folder, made = tmp_path_factory.mktemp("footage"), {}

    def file(fps, clock, times):
        key = (fps, clock, times is None)
        if key not in made:
            path = folder / f"{len(made)}.{'mov' if len(made) % 2 else 'mkv'}"
            made[key] = write_footage(path, fps, seconds=SECONDS, timecode=clock, channels=len(made) % 3, times=times)
        return made[key]

    return file


@pytest.mark.parametrize(("fps", "clock", "times"), KINDS, ids=lambda value: str(value)[:16])
def test_each_form_and_shape_gives_the_moments_to_a_frame(files, fps, clock, times):
    video = files(fps, clock, times)
    assert str(footage(video).start) == (clock or "00:00:00:00")
    found = [answered(video, "a\nred\u2028circle", SECONDS, *MOMENTS)]
    for shape, expected in (("cut", [MOMENTS[k] for k in (0, 2, 3)]), ("markers", MOMENTS)):
        timeline = plan(found, Layout(shape))
        for form, known in TIMELINES.items():
            read = READERS[form](known.written(timeline), shape, clock)
            assert len(read) == len(expected), (form, shape)
            # nearest frame: half a frame, and a millisecond where times stand in milliseconds
            near = 1 / (2 * timeline.rate.fps) + Fraction(1, 1000)
            for (start, end), moment in zip(read, expected, strict=True):
                assert abs(start - Fraction(moment[0])) <= near, (form, shape)
                assert abs(end - Fraction(moment[1])) <= near, (form, shape)


@pytest.mark.parametrize("fps", EVEN, ids=str)
def test_a_timeline_counts_at_the_files_rate_or_at_a_multiple_of_it(files, fps):
    counted = footage(files(fps, NO_CLOCK, None)).rate.fps
    assert (counted / fps).denominator == 1
    assert counted in (N24, 24, 25, N30, 30, 50, N60, 60)


@pytest.mark.parametrize("form", TIMELINES)
def test_a_rough_cut_takes_sources_of_several_rates_clocks_and_sounds(files, form):
    videos = [
        files(25, ONE, None),
        files(N30, DROP, None),
        files(Fraction(25, 2), NO_CLOCK, None),
        files(60, ONE, None),
    ]
    found = [answered(video, f"sentence {k}", SECONDS, *MOMENTS) for k, video in enumerate(videos)]
    text = as_timeline(form, found, Layout("cut"))
    if form == "edl":  # it has one rate for all: each from its own clock, by what the list says
        labels = [ONE, DROP.replace(";", ":"), NO_CLOCK, ONE]
        events = text.split("\n\n")
        head, comments = "TITLE: x\n\n", "\n* FRAME RATE: 25"
        parts = [head + "\n\n".join(events[1 + 3 * k : 4 + 3 * k]) + comments for k in range(4)]
        labels[1] = "00:59:58:16"  # 20 thirtieths of a second at 25
        read = [time for part, label in zip(parts, labels, strict=True) for time in READERS[form](part, "cut", label)]
    else:
        read = READERS[form](text, "cut", None)
    expected = [MOMENTS[k] for _ in videos for k in (0, 2, 3)]
    for (start, end), moment in zip(read, expected, strict=True):
        assert abs(start - Fraction(moment[0])) <= Fraction(1, 25), form
        assert abs(end - Fraction(moment[1])) <= Fraction(2, 25), form


def test_clips_follow_each_other_without_gaps_on_frames_of_the_timeline(files):
    videos = [files(N30, DROP, None), files(25, ONE, None)]
    found = [answered(video, "a sentence", SECONDS, *MOMENTS) for video in videos]
    root = ElementTree.fromstring(as_timeline("fcpxml", found, Layout("cut")))
    due = Fraction(0)
    for clip in root.iter("asset-clip"):
        assert rational(clip.get("offset")) == due
        due += rational(clip.get("duration"))
        assert (due * N30).denominator == 1
    assert rational(next(root.iter("sequence")).get("duration")) == due
    items = ElementTree.fromstring(as_timeline("xml", found, Layout("cut"))).findall(".//video/track/clipitem")
    edges = [(int(item.findtext("start")), int(item.findtext("end"))) for item in items]
    assert edges[0][0] == 0
    assert all(a[1] == b[0] for a, b in pairwise(edges))
    assert edges[-1][1] / fps_of(29.97) == due


def test_markers_of_several_videos_stand_on_whole_videos_one_after_the_other(files):
    videos = [files(25, ONE, None), files(N30, DROP, None)]
    timeline = plan([answered(video, "a sentence", SECONDS, *MOMENTS) for video in videos], Layout("markers"))
    first, second = timeline.clips
    assert (first.at, first.length, second.at, str(timeline.start)) == (0, 300, 300, "00:00:00:00")
    rows = TIMELINES["markers.csv"].written(timeline).splitlines()[1:]
    starts = [Fraction(int(row.split(",")[8]), 25) for row in rows]
    expected = [Fraction(start) + 12 * k for k in range(2) for start, _, _ in MOMENTS]
    assert all(abs(a - b) <= Fraction(1, 25) for a, b in zip(starts, expected, strict=True))
    events = [line.split() for line in TIMELINES["edl"].written(timeline).splitlines() if line[:1].isdigit()]
    assert [event[4][:8] for event in events[::4]] == ["01:00:00", "00:59:59"]
    assert [event[6][:8] for event in events[::4]] == ["00:00:00", "00:00:12"]

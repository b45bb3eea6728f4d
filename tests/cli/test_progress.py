"""How far long work is: by a clock that the test turns, so that nothing waits."""

import re

import pytest

from spikemba.progress import reported
from spikemba_cli import console
from spikemba_cli import pace as module
from spikemba_cli.pace import Lines, Pace, Progress


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 60.0)
    return Clock()


def test_the_rest_takes_as_long_as_what_was_done(clock):
    pace = Pace("videos", clock=clock)
    pace.count(0, 10)
    assert pace.seconds_left is None
    clock.now += 30
    pace.count(3, 10)
    assert pace.seconds_left == pytest.approx(70)
    assert str(pace) == "3 of 10 videos, 6.0 videos/min, 0:01:10 left"


def test_what_was_there_before_makes_nothing_look_faster(clock):
    pace = Pace("videos", clock=clock)
    pace.count(900, 1000)
    clock.now += 10
    pace.count(901, 1000)
    assert pace.seconds_left == pytest.approx(990)


def test_half_a_unit_counts_half(clock):
    """Two of four epochs and 50 of 100 steps in 50 s: 1.5 epochs are left, at 2.5 in 50 s."""
    pace = Pace("epochs", "steps", clock)
    pace.count(0, 4)
    pace.count_part(0, 100)
    for epoch in (1, 2):
        clock.now += 20
        pace.count_part(100, 100)
        pace.count(epoch, 4)
    clock.now += 10
    pace.count_part(50, 100)
    assert pace.seconds_left == pytest.approx(50 / 2.5 * 1.5)
    assert str(pace) == "2 of 4 epochs, 50 of 100 steps, 5.0 steps/s, 0:00:30 left"


def test_a_single_video_is_told_by_its_clips(clock):
    pace = Pace("videos", "clips", clock)
    pace.count(0, 1)
    pace.count_part(1, 100)
    clock.now += 4
    pace.count_part(21, 100)
    assert str(pace) == "21 of 100 clips, 5.0 clips/s, 0:00:16 left"


def test_clips_over_all_videos_tell_the_rate_and_videos_the_time_left(clock):
    pace = Pace("videos", "clips", clock)
    pace.count(0, 4)
    pace.count_part(0, None)
    clock.now += 100
    pace.count_part(2000, None)
    pace.count(1, 4)
    assert str(pace) == "1 of 4 videos, 20 clips/s, 0:05:00 left"


def test_parts_that_nobody_tells_of_leave_the_rate_to_the_units(clock):
    pace = Pace("videos", "clips", clock)
    pace.count(0, 4)
    clock.now += 1800
    pace.count(1, 4)
    assert str(pace) == "1 of 4 videos, 2.0 videos/h, 1:30:00 left"


def test_fewer_than_before_are_of_other_work(clock):
    pace = Pace("clips", clock=clock)
    pace.count(0, 100)
    clock.now += 1000
    pace.count(100, 100)
    pace.count(0, 50)
    clock.now += 10
    pace.count(25, 50)
    assert pace.seconds_left == pytest.approx(10)


def test_a_download_is_told_in_megabytes(clock):
    pace = Pace("bytes", clock=clock)
    pace.count(0, 45_000_000)
    clock.now += 4
    pace.count(12_300_000, 45_000_000)
    assert str(pace) == "12 of 45 MB, 3.1 MB/s, 0:00:11 left"


def test_work_whose_end_nobody_knows_tells_its_rate_alone(clock):
    pace = Pace("videos", clock=clock)
    pace.count(0, None)
    clock.now += 2
    pace.count(8, None)
    assert str(pace) == "8 videos, 4.0 videos/s"


def lines_of(clock, steps):
    """What is said of work that counts one unit per so many seconds."""
    said = []
    report = Progress(Lines(said.append, clock), "encoding", "videos")
    report.pace = Pace("videos", clock=clock)
    report(0, len(steps))
    for done, seconds in enumerate(steps, start=1):
        clock.now += seconds
        report(done, len(steps))
    return said


def test_a_line_a_minute_and_the_first_after_one(clock):
    said = lines_of(clock, [10] * 18)
    assert said == [
        "encoding: 6 of 18 videos, 6.0 videos/min, 0:02:00 left",
        "encoding: 12 of 18 videos, 6.0 videos/min, 0:01:00 left",
    ]


def test_short_work_and_the_end_of_long_work_say_nothing(clock):
    assert lines_of(clock, [5] * 11) == []
    assert lines_of(clock, [100]) == []


def test_stages_of_a_command_are_counted_each_for_itself(clock):
    shown = []
    report = Progress(lambda title, pace: shown.append(f"{title}: {pace}"), "encoding", "videos")
    sentences, videos = report.of("encoding sentences", "queries"), report.of("encoding", "videos")
    sentences(3, 3)
    videos(0, 2)
    assert shown == ["encoding sentences: 3 of 3 queries", "encoding: 0 of 2 videos"]


def test_each_item_is_counted_once_it_is_dealt_with():
    told = []
    assert [told.append("used") or one for one in reported("ab", 2, lambda *a: told.append(a))] == ["a", "b"]
    assert told == [(0, 2), "used", (1, 2), "used", (2, 2)]


def test_nothing_is_drawn_where_no_terminal_is(capfd):
    with console.progress("encoding", "videos") as report:
        report(1, 2)
    assert capfd.readouterr() == ("", "")


def test_on_a_terminal_the_bar_shows_what_is_counted(monkeypatch, capfd):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(console.err, "_force_terminal", True)
    monkeypatch.setattr(console.err, "is_interactive", True)
    monkeypatch.setattr(console.err, "_width", 100)
    with console.progress("encoding [x]", "videos", "clips") as report:
        report(1, 4)
        report.of_unit(30, 60)
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", capfd.readouterr().err)
    assert "encoding [x]" in shown
    assert "1 of 4 videos, 30 of 60 clips" in shown

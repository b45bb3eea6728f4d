"""Rates and timecodes as editors count them; OpenTimelineIO counts along."""

from fractions import Fraction

import pytest
from opentimelineio.opentime import RationalTime, to_timecode

from spikemba.video.timecode import EditRate, Timecode, edit_rate, own_count

N30, N60 = EditRate(30, ntsc=True), EditRate(60, ntsc=True)


@pytest.mark.parametrize(
    ("measured", "counted"),
    [
        ("24000/1001", "23.976"),
        ("24", "24"),
        ("25", "25"),
        ("30000/1001", "29.97"),
        ("2997/100", "29.97"),
        ("30", "30"),
        ("48000/1001", "47.952"),
        ("48", "48"),
        ("50", "50"),
        ("60000/1001", "59.9401"),
        ("60", "60"),
        # slower ones at the smallest multiple, faster ones at the largest divisor
        ("25/2", "25"),
        ("15", "30"),
        ("15000/1001", "29.97"),
        ("12000/1001", "23.976"),
        ("15/2", "30"),
        ("1/2", "24"),
        ("1/3", "24"),
        ("100", "50"),
        ("120000/1001", "59.9401"),
        ("240", "60"),
        # no relation to any: the next base above
        ("59/2", "30"),
        ("49/2", "25"),
        ("2953/100", "30"),
        ("18", "24"),
        ("77", "60"),
    ],
)
def test_a_rate_is_counted_exactly_or_by_seconds(measured, counted):
    assert str(edit_rate([Fraction(measured)])) == counted


def test_of_what_a_file_says_the_average_comes_first_then_a_known_rate():
    assert edit_rate([Fraction(25), Fraction(90_000)]) == EditRate(25)
    assert edit_rate([Fraction(2951, 100), Fraction(30000, 1001)]) == N30
    assert edit_rate([Fraction(2951, 100), Fraction(777, 10)]) == EditRate(30)


@pytest.mark.parametrize("rate", [N30, N60], ids=str)
def test_drop_frame_counts_as_opentimelineio_counts(rate):
    hour = 107_892 * rate.base // 30
    around = [*range(1790, 1810), *range(17_970, 17_990), *range(hour - 10, hour + 10)]
    for frame in (*range(0, 36_000, 97), *around, *(2 * k for k in around), 24 * hour - 1):
        label = str(Timecode(frame, rate, drop=True))
        assert label == to_timecode(RationalTime(frame, float(rate.fps)), float(rate.fps), True)
        assert Timecode.read(label, rate) == Timecode(frame, rate, drop=True)


@pytest.mark.parametrize("base", [24, 25, 30, 48, 50, 60])
@pytest.mark.parametrize("ntsc", [False, True])
def test_other_counts_leave_nothing_out(base, ntsc):
    rate = EditRate(base, ntsc)
    for frame in (0, 1, base - 1, 61 * base, 3600 * base, 86_399 * base + 5):
        assert Timecode.read(str(Timecode(frame, rate)), rate) == Timecode(frame, rate)


def test_the_clock_begins_anew_after_a_day():
    assert str(Timecode.read("23:59:59:20", EditRate(25)).plus(10)) == "00:00:00:05"
    assert str(Timecode.read("23:59:59;29", N30).plus(1)) == "00:00:00;00"


@pytest.mark.parametrize(
    "label", ["", "1:2", "00:00:00:25", "00:60:00:00", "00:00:61:00", "aa:bb:cc:dd", "00:00:00:0:0"]
)
def test_what_is_no_timecode_is_none(label):
    assert Timecode.read(label, EditRate(25)) is None


def test_a_drop_frame_label_at_another_rate_is_taken_as_it_is_written():
    assert str(Timecode.read("10:00:00;00", EditRate(30))) == "10:00:00:00"
    with pytest.raises(ValueError, match="no drop-frame count of 25 fps"):
        Timecode(0, EditRate(25), drop=True)


def test_a_timecode_at_another_rate_keeps_its_second():
    assert str(Timecode.read("01:00:00:07", EditRate(15)).at_rate(EditRate(30), drop=False)) == "01:00:00:14"
    assert str(Timecode.read("01:00:00;40", N60).at_rate(N30, drop=True)) == "01:00:00;20"
    assert str(Timecode.read("01:00:00;20", N30).at_rate(EditRate(25), drop=True)) == "01:00:00:16"


@pytest.mark.parametrize(
    ("measured", "base"),
    [("15", 15), ("120", 120), ("120000/1001", 120), ("30000/1001", 30), ("25/2", 25), ("59/2", 30)],
)
def test_a_files_own_timecode_counts_every_picture(measured, base):
    assert own_count([Fraction(measured)]).base == base

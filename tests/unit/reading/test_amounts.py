"""Scores and times as people read them."""

import pytest

from spikemba.reading.amounts import clock, clock_span, seconds_span, shown_score


@pytest.mark.parametrize(
    ("score", "shown"),
    [(0.939, "0.939"), (0.0005, "0.001"), (0.00049, "<0.001"), (1e-9, "<0.001"), (0.0, "0.000"), (1.0, "1.000")],
)
def test_a_score_that_is_not_nothing_is_not_shown_as_nothing(score, shown):
    assert shown_score(score) == shown


def test_digits_say_from_where_on_a_score_is_small():
    assert [shown_score(score, 2) for score in (0.03, 0.004)] == ["0.03", "<0.01"]


@pytest.mark.parametrize(
    ("seconds", "read"),
    [
        (0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (725, "12:05"),
        (3599.9, "1:00:00"),
        (3723.4, "1:02:03"),
        (-1, "0:00"),
    ],
)
def test_a_clock_carries_into_minutes_and_hours(seconds, read):
    assert clock(seconds) == read


def test_the_clock_stands_beside_seconds_from_a_minute_on():
    assert clock_span(725, 731.2) == "12:05-12:11"
    assert seconds_span(21.3, 25.84) == "21.3 to 25.8 s"
    assert seconds_span(55, 60) == "55.0 to 60.0 s (0:55-1:00)"

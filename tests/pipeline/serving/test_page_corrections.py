"""Corrections on the page, as far as they draw nothing: times that are typed, people who disagree. Run by node."""

import json
from pathlib import Path

import pytest
from page_modules import evaluated

from spikemba.datasets.agreement import agreed
from spikemba.datasets.corrections import Placed, correction

WINDOW = {"start_s": 10.0, "end_s": 14.0}
LASTS_S = 60.375


def typed(text, part="start"):
    given = ", ".join(json.dumps(one) for one in (text, part, WINDOW, LASTS_S))
    return evaluated(f"m.typedEdge({given})", "correct/typed.js")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3.5", 3.5),
        ("3,5", 3.5),
        (" 0:03.5 ", 3.5),
        ("0:03,5", 3.5),
        ("62:03", 3723),
        ("1:02:03.4", 3723.4),
        (".5", 0.5),
    ],
)
def test_a_time_is_read_with_a_point_or_a_comma(text, seconds):
    assert evaluated(f"m.parsed({json.dumps(text)})", "times.js") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "banana", "-3", "3 s", "1e3", "1:75", "1.5:03", "1:2:3:4", "1,000,5", ":"])
def test_what_is_no_time_is_refused_with_the_words_that_were_typed(text):
    assert evaluated(f"m.parsed({json.dumps(text)})", "times.js") is None
    assert typed(text)["problem"] == f"“{text}” is no time; expected seconds, or minutes and seconds as 1:02.5"


def test_an_edge_is_taken_up_to_a_tenth_of_a_second_from_the_other():
    assert typed("13.9") == {"seconds": 13.9}
    assert typed("10.1", "end") == {"seconds": 10.1}
    assert typed("1:00.38", "end") == {"seconds": LASTS_S}  # as a field shows the video's end


@pytest.mark.parametrize(
    ("text", "part", "said"),
    [
        ("99:00", "start", "1:39:00.00 lies behind the end of the video, 01:00.38"),
        ("1:01", "end", "01:01.00 lies behind the end of the video, 01:00.38"),
        ("14", "start", "00:14.00 is no start before the window’s end, 00:14.00; change its end first"),
        ("3", "end", "00:03.00 is no end behind the window’s start, 00:10.00; change its start first"),
    ],
)
def test_an_edge_that_the_window_cannot_have_is_refused_and_no_other_edge_is_moved(text, part, said):
    assert typed(text, part) == {"problem": said}


def row(by, windows=None, wrong=()):
    return {"by": by, "relevant_windows": windows, "wrong_windows": [*wrong]}


def placed(said):
    windows = said["relevant_windows"]
    told = correction(
        *(said["by"], "v", "a dog", LASTS_S),
        windows=windows or [],
        wrong=said["wrong_windows"],
        absent=windows == [],
    )
    return Placed(told, Path(f"{said['by']}.jsonl"), 1, 1)


NOWHERE = row("Ana", [])
THERE = row("Bob", [[3, 5]])
NOT_THERE = row("Cem", None, [[3, 5.5]])
OTHER_EDGES = row("Dee", [[3.5, 5.5]], [[3, 5]])
ELSEWHERE = row("Eve", [[20, 30]])


@pytest.mark.parametrize(
    ("rows", "pairs"),
    [
        ([THERE], []),
        ([NOWHERE, THERE], [["Ana", "Bob"]]),
        ([THERE, NOT_THERE], [["Bob", "Cem"]]),
        ([THERE, OTHER_EDGES], []),  # who moves a window's edges says the same moment
        ([THERE, ELSEWHERE], []),  # both can be true
        ([NOWHERE, NOT_THERE], []),
        ([NOWHERE, THERE, NOT_THERE, ELSEWHERE], [["Ana", "Bob"], ["Ana", "Eve"], ["Bob", "Cem"]]),
    ],
)
def test_people_disagree_on_the_page_where_prepare_refuses_their_rows(rows, pairs):
    found = evaluated(f"m.disagreements({json.dumps(rows)})", "correct/agreement.js")
    assert [one["names"] for one in found] == pairs
    _, faults = agreed([placed(one) for one in rows])
    assert len(faults) == len(pairs)


def test_a_disagreement_names_who_says_what():
    found = evaluated(f"m.disagreements({json.dumps([THERE, NOWHERE])})", "correct/agreement.js")
    assert found[0]["text"] == "Ana says that it is not in this video, Bob that it is at 00:03.0 – 00:05.0"

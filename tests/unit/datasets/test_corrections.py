"""Corrections: what is kept of what somebody says, what is refused, and what several persons say together."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest

from spikemba.datasets import agreement
from spikemba.datasets.agreement import agreed
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.corrections import (
    Placed,
    checked_name,
    correction,
    is_corrections,
    latest,
    parse_corrections,
    read_corrections,
)
from spikemba.errors import CorrectionError
from spikemba.files import write_jsonl
from spikemba.moments import Window, iou

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def said(
    by="Ana", windows=(), wrong=(), absent=False, line=1, video="kitchen", query="she cracks eggs", path=None, at=NOON
):
    one = correction(by, video, query, 60.0, windows=windows, wrong=wrong, absent=absent, at=at)
    return Placed(one, path or Path(f"{by}.jsonl"), line, line)


def test_a_row_is_that_of_qvhighlights_and_reads_back_as_it_was(tmp_path):
    one = correction(
        "Ana", "A/kitchen", "  she\ncracks eggs ", 19.5, windows=[(8, 9.1234), (2, 8.5)], at=NOON, model="m"
    )
    row = one.to_row(3)
    assert row == {
        "qid": "Ana-3",
        "query": "she cracks eggs",
        "vid": "A/kitchen",
        "duration": 19.5,
        "relevant_windows": [[2.0, 8.5], [8.0, 9.123]],
        "wrong_windows": [],
        "by": "Ana",
        "at": "2026-11-30T12:00:00Z",
        "model": "m",
    }
    write_jsonl(tmp_path / "Ana.jsonl", [row])
    rows, faults, notes = read_corrections(tmp_path / "Ana.jsonl")
    assert ([row.correction for row in rows], faults, notes) == ([one], [], [])
    (as_annotation,) = read_annotations(tmp_path / "Ana.jsonl")
    assert as_annotation.windows == one.windows


@pytest.mark.parametrize(
    ("how", "windows", "null"),
    [({"absent": True}, [], True), ({"wrong": [(1, 2)]}, None, False), ({"absent": True, "wrong": [(1, 2)]}, [], True)],
)
def test_absent_is_a_null_query_and_wrong_alone_leaves_the_windows_unknown(how, windows, null):
    one = said(**how).correction
    assert one.to_row(1).get("relevant_windows") == windows
    assert one.is_null == null


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({}, "it says nothing; expected windows, wrong windows, or absent as true"),
        ({"windows": [(1, 2)], "absent": True}, "it is absent and has 1 window; expected one of the two"),
        (
            {"windows": [(2, 1)]},
            r"windows holds \[2, 1\], which is no window; expected \[start, end\] in seconds, 0 <= st",
        ),
        ({"windows": [(1, 1.0001)]}, "which is no window"),
        ({"windows": [(-1, 1)]}, "which is no window"),
        ({"windows": [(0, math.nan)]}, "holds .*nan"),
        ({"windows": [(0, math.inf)]}, "holds .*inf"),
        ({"windows": [(0, 10**400)]}, "windows holds"),
        ({"windows": [(0, True)]}, "windows holds"),
        ({"windows": [("0", "1")]}, "windows holds"),
        ({"windows": [(0, 1, 2)]}, "windows holds"),
        ({"windows": [3]}, "windows holds 3"),
        ({"wrong": [(0, 60.6)]}, r"wrong holds \[0, 60.6\], and the video ends at 60 s"),
        ({"windows": [(60, 60.4)]}, "and the video ends at 60 s"),
        ({"windows": [(1, 2)], "wrong": [(1, 2)]}, r"the window \[1, 2\] is given as right and as wrong"),
        ({"windows": [(i, i + 1) for i in range(59)] * 4}, "236 windows; expected 200 at most"),
        ({"query": "  ", "absent": True}, "query is '  '; expected a text"),
        ({"query": "\ud800", "absent": True}, "half of a character"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_value_seen(how, why):
    with pytest.raises(CorrectionError, match=why):
        said(**how)


def test_an_end_that_is_rounded_up_is_cut_to_the_video():
    assert said(windows=[(50, 60.5)]).correction.windows == (Window(50, 60),)


@pytest.mark.parametrize("name", ["Ana", "ana maria", "Jörg-2", "李雷", "नमस्ते", "a.b_c", "Ñandú", "Ά", "x" * 64])
def test_names_of_any_script_are_names(name):
    assert checked_name(f"  {name} ") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "x" * 65,
        "../x",
        "a/b",
        "a\\b",
        "a\0b",
        "a\nb",
        ".hidden",
        "end.",
        "CON",
        "nul.x",
        "a:b",
        "😀",
        "-",
        "\u202eabc",
        "a*",
        7,
        None,
        "𒀀" * 63,
    ],
)
def test_what_is_no_safe_file_name_is_refused(name):
    with pytest.raises(CorrectionError, match="expected|device"):
        checked_name(name)


def test_the_last_row_of_a_person_about_a_video_and_query_counts():
    first, other, second = said(windows=[(1, 2)]), said(query="x", absent=True, line=2), said(absent=True, line=3)
    assert latest([first, other, second]) == [second, other]
    assert latest([first, said("ANA", absent=True, line=9, path=first.path)])[0].line == 9
    assert len(latest([first, said("Bo", absent=True)])) == 2


def test_in_a_file_the_later_line_counts_and_of_two_files_the_later_time():
    early = NOON.replace(year=2025)
    first, clock_put_back = said(absent=True), said(absent=True, line=2, at=early)
    assert latest([first, clock_put_back]) == [clock_put_back]
    elsewhere = said(absent=True, path=Path("copy/Ana.jsonl"), at=early)
    assert latest([first, elsewhere]) == latest([elsewhere, first]) == [first]


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_a_damaged_line_is_named_and_one_that_was_never_finished_is_left_out():
    row = said(windows=[(1, 2)]).correction.to_row(1)
    whole = lines(row)
    for cut in range(1, len(whole) - 1):
        rows, faults, notes = parse_corrections(Path("a/Ana.jsonl"), whole + whole[:cut])
        assert (len(rows), faults) == (1, [])
        assert notes == ["a/Ana.jsonl line 2 breaks off in its middle, as it was never saved; it is left out"]
    rows, faults, notes = parse_corrections(
        Path("Ana.jsonl"), whole + b'{"qid"\n' + b"\xff\n" + lines({**row, "at": "?"}, [])
    )
    assert len(rows) == 1
    assert [fault.split(":")[0] for fault in faults] == ["line 2", "line 3", "line 4", "line 5"]
    assert "at is '?'; expected a time as" in faults[2]
    assert len(parse_corrections(Path("Ana.jsonl"), whole[:-1])[0]) == 1  # an editor that ends no line


def test_a_file_is_known_as_corrections_by_its_keys(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [said(absent=True).correction.to_row(1)])
    write_jsonl(tmp_path / "b.jsonl", [{"video": "a.mp4", "start": 0, "end": 1, "query": "x", "by": "Ana"}])
    (tmp_path / "c.jsonl").write_bytes(b"")
    (tmp_path / "d.csv").write_bytes((tmp_path / "a.jsonl").read_bytes())
    known = {path.name: is_corrections(path) for path in tmp_path.iterdir()}
    assert known == {"a.jsonl": True, "b.jsonl": False, "c.jsonl": False, "d.csv": False}
    assert is_corrections(tmp_path)
    assert not is_corrections(tmp_path / "nothing.jsonl")


def test_persons_who_agree_give_the_mean_and_what_one_alone_gives_is_kept():
    ana, bo = said(windows=[(10, 20), (40, 50)]), said("Bo", windows=[(12, 22)])
    together, faults = agreed([ana, bo])
    assert faults == []
    assert together.windows == (Window(11, 21), Window(40, 50))  # IoU of 10-20 and 12-22: 8 / 12
    assert together.n_merged == 1


def test_overlaps_below_a_half_are_two_moments():
    together, _ = agreed([said(windows=[(0, 10)]), said("Bo", windows=[(5, 15)])])  # 5 / 15
    assert together.windows == (Window(0, 10), Window(5, 15))
    together, _ = agreed([said(windows=[(0, 10)]), said("Bo", windows=[(0, 5)])])  # 5 / 10
    assert together.windows == (Window(0, 7.5),)


def test_the_order_of_three_persons_decides_nothing_and_each_gives_one_window_to_a_moment():
    ana, bo, cy = (
        said(windows=[(10, 20), (11, 21)]),
        said("Bo", windows=[(11, 21)]),
        said("Cy", windows=[(12, 22)]),
    )
    answers = {agreed(rows)[0].windows for rows in ([ana, bo, cy], [cy, bo, ana], [bo, cy, ana], [cy, ana, bo])}
    assert answers == {(Window(10, 20), Window(11.333, 21.333))}


@pytest.mark.parametrize(
    ("ana", "bo", "what"),
    [
        (
            {"absent": True},
            {"windows": [(1, 2)]},
            "Ana.jsonl line 1 (Ana) says that 'she cracks eggs' of 'kitchen' is not in the video, and Bo.jsonl line 7 "
            "(Bo) gives [1, 2]; agree",
        ),
        (
            {"wrong": [(10, 20)]},
            {"windows": [(11, 20)]},
            "Ana.jsonl line 1 (Ana) says that [10, 20] is wrong for 'she cracks eggs' of 'kitchen', and Bo.jsonl line "
            "7 (Bo) gives [11, 20]; agree",
        ),
    ],
)
def test_persons_who_contradict_each_other_are_named_both(ana, bo, what):
    a, b = said(**ana), said("Bo", line=7, **bo)
    for rows in ([a, b], [b, a]):
        together, (fault,) = agreed(rows)
        assert together is None
        assert fault.startswith(what)


def test_an_answer_that_both_replaced_by_their_own_edges_is_no_contradiction():
    ana, bo = said(wrong=[(10, 20)], windows=[(13, 20)]), said("Bo", windows=[(12, 20)])
    assert agreed([ana, bo])[0].windows == (Window(12.5, 20),)


def test_wrong_answers_alone_teach_nothing_and_absent_needs_no_windows():
    assert agreed([said(wrong=[(1, 2)])]) == (None, [])
    assert agreed([said(wrong=[(1, 2)]), said("Bo", absent=True)])[0].windows == ()


def test_many_windows_of_many_persons_are_compared_by_person_and_not_by_window(monkeypatch):
    calls = []

    def counting(*windows):
        calls.append(1)
        return iou(*windows)

    monkeypatch.setattr(agreement, "iou", counting)
    n = 100
    windows = [(k / 2, k / 2 + 0.25) for k in range(n)]
    wrong = [(k / 2 + 0.25, k / 2 + 0.5) for k in range(n)]
    rows = [said(f"p{k}", windows=windows, wrong=wrong) for k in range(8)]
    together, faults = agreed(rows)
    assert faults == []
    assert together.windows == tuple(Window(*one) for one in windows)
    assert together.n_merged == n
    assert len(calls) <= 8 * 7 * 2 + 1  # two tables for each ordered pair of persons, and one of all windows

"""Predictions of every form: there and back, seen by what stands in a file, and refused where they are broken."""

import json
from dataclasses import replace
from itertools import permutations

import pytest

from spikemba import Predictions
from spikemba.datasets.annotations import Annotation, PredictedRow
from spikemba.datasets.predictions.form import LEFT_OUT
from spikemba.datasets.predictions.forms import FORMS, find_form, form_names
from spikemba.datasets.predictions.spoken import sentence_of, windows_in
from spikemba.datasets.predictions.units import in_seconds, looks_like
from spikemba.errors import AnnotationError, UnknownName
from spikemba.moments import Moment, Window
from spikemba.video.folders import VIDEO_SUFFIXES

THIRD = 1 / 3
FULL = (
    PredictedRow(
        7,
        "v_10.0_20.0",
        "a dog enters. Then it >>> leaves",
        (Moment(THIRD, 2.5, 0.1 + 0.2), Moment(3.0, 1e-5 + 4, 1e-9)),
        (0.1, -2.0),
        exist_score=THIRD,
        duration_s=150.24,
        clip_s=2.0,
        model="m",
    ),
    PredictedRow("b", "folder/w.mkv", "„ein Hund“", (), (), duration_s=4.0),
)
"""Digits that rounding would take, and signs that forms use themselves."""
TIMELENS = {
    "v.mp4>>>a dog enters>>>[10.0, 20.5]": {
        "timestamps": [[9.5, 21.0]],
        "answers": "The event happens in 9.7 - 21.2 seconds.",
        "duration": 30.0,
    },
    "w.mp4>>>a cat sits>>>(0, 2)": {"answers": "From 0:01 to 0:03.", "duration": 9.0},
}


def file_of(tmp_path, content, name="p.jsonl"):
    path = tmp_path / name
    rows = content if isinstance(content, list) else [content]
    path.write_text(content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def read(tmp_path, content, form=None, name="p.jsonl"):
    return Predictions.from_file(file_of(tmp_path, content, name), form)


def windows(rows):
    return [[(one.start_s, one.end_s) for one in row.moments] for row in rows]


def with_videos(found, form):
    """What can be written in a form: of which video an answer is, lighthouse's predictors do not say."""
    if "video" not in FORMS[form].needs or found.rows[0].video_id:
        return found
    return found.matched([Annotation(row.query_id, row.query, row.video_id, row.duration_s) for row in FULL])


@pytest.mark.parametrize("suffix", [".jsonl", ".json"])
@pytest.mark.parametrize(("there", "back"), [*permutations(FORMS, 2), *((name, name) for name in FORMS)])
def test_there_and_back_gives_the_same_moments_and_all_that_both_forms_hold(there, back, suffix, tmp_path):
    first, second, third = (tmp_path / f"{i}{suffix}" for i in range(3))
    Predictions(FULL).to_file(first, back)
    one = with_videos(Predictions.from_file(first), there)
    one.to_file(second, there)
    two = with_videos(Predictions.from_file(second), back)
    two.to_file(third, back)
    again = Predictions.from_file(third)
    assert (one.form, two.form, again.form) == (back, there, back)
    assert windows(again) == windows(two) == windows(one) == windows(FULL)
    both = FORMS[there].holds & FORMS[back].holds
    fields = {"scores": "moments", "saliency": "saliency", "exists": "exist_score", "durations": "duration_s"}
    fields |= {"videos": "video_id", "clips": "clip_s", "models": "model", "truth": "true_window"}
    fields |= {"ids": "query_id"} if not one.numbered else {}
    for what, name in fields.items():
        if what in both:
            assert [getattr(row, name) for row in again] == [getattr(row, name) for row in one], what
    assert [row.query for row in again] == [row.query for row in FULL]


@pytest.mark.parametrize("form", FORMS)
def test_numbers_are_kept_to_the_last_digit(form, tmp_path):
    Predictions(FULL).to_file(tmp_path / "p.jsonl", form)
    assert windows(Predictions.from_file(tmp_path / "p.jsonl")) == windows(FULL)


def test_what_a_form_has_no_place_for_is_said_once_by_kind():
    said = Predictions(FULL).left_out("timelens")
    assert said == [
        "1 row's scores left out: TimeLens has none",
        "1 saliency list left out: TimeLens has none",
        "1 existence score left out: TimeLens has none",
    ]
    assert Predictions(FULL).left_out("gmr") == []
    assert "2 query ids left out: lighthouse has none" in Predictions(FULL).left_out("lighthouse")
    assert set().union(*(form.holds for form in FORMS.values())) == set(LEFT_OUT)


def test_files_of_timelens_are_read_as_its_evaluation_reads_them(tmp_path):
    one_per_line = [{key: value} for key, value in TIMELENS.items()]
    for content, name in (
        (one_per_line, "p.jsonl"),
        (json.dumps(TIMELENS, indent=1), "p.json"),
        (one_per_line[:1], "q"),
    ):
        found = read(tmp_path, content, name=name)
        first = found.rows[0]
        assert (found.form, found.numbered) == ("timelens", True)
        assert (first.video_id, first.query, first.true_window, first.duration_s) == (
            "v",
            "a dog enters",
            (10, 20.5),
            30,
        )
        assert first.moments == (Moment(9.5, 21.0, 1.0),)  # of both, what it rounded
    assert windows(read(tmp_path, TIMELENS)) == [[(9.5, 21.0)], [(1.0, 3.0)]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("The event happens in 18.5 - 23 seconds.", [(18.5, 23)]),
        ("from 18.5 to 23.25 seconds", [(18.5, 23.25)]),
        ("From 00:01:02.5 to 1:03, I think of 7 things", [(62.5, 63)]),
        ("Starting time: 0.8 seconds. Ending time: 1.1 seconds", [(0.8, 1.1)]),
        ("1 - 2 and 3-4", [(1, 2), (3, 4)]),
        ("it begins at 0:05", [(0, 5)]),
        ("it is never shown", []),
        ("at 5 seconds", []),
    ],
)
def test_times_in_an_answer_in_words(words, expected):
    assert windows_in(words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("from 5s to 9s", []),
        ("5sec-9sec", []),
        ("from 5.2s to 9.9s", [(5, 9)]),
        ("00:05s to 00:09s", [(0, 0)]),
        ("the 2nd dog, from 5 to 9", [(5, 9)]),
    ],
)
def test_units_glued_to_numbers_are_read_as_timelens_reads_them(words, expected):
    """Its patterns end a number where a word ends."""
    assert windows_in(words) == expected


def test_answers_whose_digits_are_not_read_are_counted_and_the_first_is_said(tmp_path):
    long = "at 5s, " + "and then the dog runs on " * 9
    said = ["from 5 to 9", long, "from 5s to 9s", "from 5.2s to 9.9s", "I do not see it", "the 2nd, from 1 to 2"]
    rows = [{"vid": "v", "query": str(i), "answer": words, "qid": i + 3} for i, words in enumerate(said)]
    assert read(tmp_path, rows).notes == [
        "2 of 6 answers hold digits and no moment: no two times are there by TimeLens' rules, as qid 4:"
        " 'at 5s, and then the dog runs on and then the dog runs on ...'",
        "1 of 6 answers has units glued to numbers, which TimeLens' rules read in part, as qid 6: 'from 5.2s to 9.9s'",
    ]
    without = [{key: value for key, value in row.items() if key != "qid"} for row in rows[2:3]]
    assert read(tmp_path, without).notes[0].endswith("as line 1: 'from 5s to 9s'")
    assert read(tmp_path, [rows[0], rows[4], rows[5]]).notes == []


@pytest.mark.parametrize(
    ("words", "noted"),
    [
        ("from 1 minute 5 seconds to 1 minute 20 seconds", True),
        ("from frame 5 to frame 9", True),
        ("5% to 9% of the video", True),
        ("from 5 s to 9 min", True),
        ("from 5.0 to 9.5 seconds, where 5 men run", False),
        ("18.5 - 23.0 seconds. the man moves", False),
    ],
)
def test_answers_in_other_units_than_seconds_are_said(words, noted, tmp_path):
    notes = read(tmp_path, [{"vid": "v", "query": "a", "answer": words, "qid": 1}]).notes
    said = "1 of 1 answer names minutes, frames or the like, whose numbers TimeLens' rules take for seconds"
    assert [one for one in notes if "there are no scores" not in one] == [f"{said}, as qid 1: {words!r}"] * noted


def test_a_sentence_says_its_windows_without_losing_a_digit():
    moments = (Moment(1e-7, 1 / 3, 1.0), Moment(100.0, 12345.678, 0.5))
    assert windows_in(sentence_of(moments)) == [(one.start_s, one.end_s) for one in moments]
    assert windows_in(sentence_of(())) == []


def test_an_answer_whose_times_were_changed_is_said_in_other_words(tmp_path):
    found = read(tmp_path, [{key: value} for key, value in TIMELENS.items()])
    found.to_file(tmp_path / "t.jsonl", "text")
    first, second = (json.loads(line)["answer"] for line in (tmp_path / "t.jsonl").read_text().splitlines())
    assert first == "The event happens in 9.5 - 21.0 seconds."
    assert second == "From 0:01 to 0:03."


def test_what_lighthouse_returns_of_one_question_is_a_file(tmp_path):
    answer = {"query": "a dog", "pred_relevant_windows": [[0, 2, 0.5]], "pred_saliency_scores": [1.0, 2.0]}
    for content in (json.dumps(answer, indent=2), json.dumps([answer, answer | {"query": "x"}]), json.dumps(answer)):
        found = read(tmp_path, content, name="p.json")
        assert found.form == "lighthouse"
        assert found.rows[0] == PredictedRow(1, "", "a dog", (Moment(0, 2, 0.5),), (1.0, 2.0))


GOOD = {"qid": 1, "query": "a", "vid": "v", "pred_relevant_windows": [[0, 2, 0.5]]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no rows"),
        ("[1]", "entry 1: expected an object, found int"),
        ("3", "found int"),
        ([GOOD, GOOD], "line 2: qid 1 stands on line 1 already"),
        ([GOOD | {"pred_relevant_windows": [[0, float("nan"), 1]]}], "line 1: pred_relevant_windows holds [0, nan, 1]"),
        ([GOOD | {"pred_relevant_windows": [[0, 2]]}], "expected lists of 3 finite numbers"),
        ([GOOD | {"moments": [], "video": "v"}], "could be of the forms jsonl and json"),
        ([{"qid": 1, "query": "x", "pred_corpus_moments": []}], "give --corpus"),
        ([{"a": 1}], 'line 1: holds "a", as no known form'),
        (
            [{"video": "v", "query": "a", "moments": [{"start_s": 0}]}],
            "expected finite numbers under start_s, end_s, score",
        ),
        ([{"v>>>a": {"timestamps": []}}], "expected VIDEO>>>QUERY>>>WINDOW"),
        ([{"v>>>a>>>[1, 2]": {}}], "neither `timestamps` nor `answers`"),
        ([{"v>>>a>>>[1, 2]": {"timestamps": [[1, 2, 3]]}}], "expected lists of 2 finite numbers"),
        ([{"v>>>a>>>__import__('os')": {"timestamps": []}}], "as true window; expected [start, end]"),
        ([{"v>>>a>>>[1, 2]": {"timestamps": []}}] * 2, "line 2: 'a' of video 'v' stands on line 1 already"),
        (
            [{"v>>>a>>>[1, 2]": {"timestamps": [], "qid": 1}}, {"v>>>b>>>[1, 2]": {"timestamps": []}}],
            "line 2: has no 'qid'",
        ),
        ("{'query': 'a'}", "what Python prints"),
        ([{"query": "a", "answer": 3}], "answer is 3; expected str"),
        ([{"query": "a", "answer": "x", "response": "y"}], "has 'answer' and 'response'"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_place(content, said, tmp_path):
    with pytest.raises(AnnotationError) as error:
        read(tmp_path, content)
    assert said in str(error.value)


def test_a_broken_json_document_is_refused_as_one(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be read as JSON"):
        read(tmp_path, '[{"query": "a",\n}', name="p.json")


def test_forms_have_the_names_of_the_projects_that_write_them():
    assert find_form("qd_detr") == find_form("univtg") == "jsonl"
    assert len(set(form_names())) == len(form_names())
    with pytest.raises(UnknownName, match="did you mean 'timelens'"):
        find_form("timelense")


def test_several_files_are_one_unless_a_query_stands_in_two(tmp_path):
    parts = [read(tmp_path, [{key: value}], name=f"p_{i}.jsonl") for i, (key, value) in enumerate(TIMELENS.items())]
    whole = Predictions.joined(parts)
    assert windows(whole) == windows(read(tmp_path, TIMELENS))
    assert [row.query_id for row in whole] == [1, 2]
    with pytest.raises(AnnotationError, match=r"p_0.jsonl, line 1: .* stands on .*p_0.jsonl, line 1 already"):
        Predictions.joined([parts[0], parts[0]])
    with pytest.raises(AnnotationError, match="some have none"):
        Predictions.joined([parts[0], Predictions(FULL, ("line 1", "line 2"))])


TRUTH = [
    Annotation(31, "A dog enters.", "v", 30.0, (Window(1, 2),)),
    Annotation(32, "a cat  sits", "w", 9.0, (Window(0, 2),)),
    Annotation(33, "a cat sits", "w", 9.0, (Window(4, 6),)),
]


def test_rows_without_ids_get_those_of_their_annotations(tmp_path):
    rows = [
        {"a/v.mp4>>>A dog enters>>>[1, 2]": {"timestamps": [[1, 2]]}},
        {"w.mp4>>>a cat sits>>>[4, 6]": {"timestamps": []}},
    ]
    found = read(tmp_path, rows).matched(TRUTH)
    assert [(row.query_id, row.duration_s) for row in found] == [(31, 30.0), (33, 9.0)]
    bare = read(tmp_path, [{"query": "A dog enters", "pred_relevant_windows": []}]).matched(TRUTH)
    assert [(row.query_id, row.video_id) for row in bare] == [(31, "v")]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("w.mp4>>>a cat sits>>>[5, 6]", "line 1: 'a cat sits' of video 'w' is both qid 32 and 33"),
        ("u.mp4>>>a cat sits>>>[4, 6]", "line 1: no annotation asks 'a cat sits' of video 'u'"),
    ],
)
def test_a_row_that_fits_no_annotation_or_two_is_refused(key, said, tmp_path):
    with pytest.raises(AnnotationError) as error:
        read(tmp_path, [{key: {"timestamps": []}}]).matched(TRUTH)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, None),
        ({"query": "A CAT sits .", "vid": "folder/w.mp4"}, None),
        ({"query": "", "vid": None}, None),
        *(({"vid": f"w{suffix}"}, None) for suffix in (*VIDEO_SUFFIXES, ".FLV")),
        ({"query": "a cat runs"}, "qid 33: sentence 'a cat runs', annotated 'a cat sits'"),
        ({"vid": "v"}, "qid 33: video 'v', annotated 'w'"),
        ({"vid": "w.json"}, "qid 33: video 'w.json', annotated 'w'"),
    ],
)
def test_a_row_about_another_sentence_or_video_than_its_annotation_is_refused(said, fault, tmp_path):
    rows = [{"qid": 31, "query": "a dog enters", "vid": "v", "pred_relevant_windows": []}]
    rows.append({"qid": 33, "query": "a cat sits", "vid": "w", "pred_relevant_windows": []} | said)
    found = read(tmp_path, [*rows, rows[0] | {"qid": 99}])
    if fault is None:
        assert [row.duration_s for row in found.matched(TRUTH)] == [30.0, 9.0, None]
        return
    with pytest.raises(AnnotationError) as error:
        found.matched(TRUTH)
    whole = "1 of 2 rows is about another sentence or video than the annotation of the same qid, as "
    assert f"p.jsonl: {whole}{fault}; check that" in str(error.value)


def test_moments_that_no_file_should_hold_are_named_and_can_be_left_out():
    rows = [replace(FULL[0], moments=(Moment(5, 4, 1.0), Moment(-1, 4, 0.5), Moment(3, 3, 0.2)))]
    found = Predictions(tuple(rows), ("line 9",))
    assert found.faults() == [
        "line 9: moment [5, 4] ends before it begins",
        "line 9: moment [-1, 4] begins before the video",
    ]
    assert windows(found.without_faults()) == [[(3, 3)]]


@pytest.mark.parametrize(
    ("unit", "factor"), [("seconds", 1.0), ("milliseconds", 1000.0), ("fractions", 1 / 150.24), ("frames", 25.0)]
)
def test_times_in_other_units_become_seconds(unit, factor):
    stored = [
        replace(row, moments=tuple(Moment(m.start_s * factor, m.end_s * factor, m.score) for m in row.moments))
        for row in FULL
    ]
    rows, faults = in_seconds(stored, unit, 25.0)
    assert not faults
    assert windows(rows)[0] == [pytest.approx(pair) for pair in windows(FULL)[0]]


def test_times_that_are_no_seconds_look_like_it():
    def rows(*ends, duration=150.0):
        return [replace(FULL[0], moments=(Moment(0, end, 1.0),), duration_s=duration) for end in ends]

    assert looks_like(rows(10, 20, 149.9)) is None
    assert looks_like(rows(0.5, 0.9)) is None  # too few to say
    assert "fractions" in looks_like(rows(0.5, 0.9, 1.0))
    assert "frames" in looks_like(rows(3000, 3500, 100))
    assert looks_like(rows(3000, 3500, 100, duration=None)) is None
    assert in_seconds(rows(1, duration=None), "fractions")[1][0].startswith("1 row has no duration")
    assert "--fps" in in_seconds(rows(1), "frames")[1][0]

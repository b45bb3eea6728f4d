"""Modules of the page that draw nothing: the command that is copied, orders, rows, names, links. Run by node."""

import json
import shlex
from itertools import permutations
from pathlib import Path

import pytest
from page_modules import evaluated
from typer.main import get_command

from spikemba_cli.main import app

VIDEOS = [
    {"id": "kitchen-1", "name": "kitchen.mp4", "folder": ""},
    {"id": "long-2", "name": "05/it's $HOME.mp4", "folder": "2026/05"},
    {"id": "dash-3", "name": "-v.mp4", "folder": ""},
]
CHECKPOINTS = [{"name": "runs/my run", "trained": True}, {"name": "zero-shot clip", "trained": False}]


def typed(**question):
    """Options and arguments of `spikemba ground`, for each line that the page copies."""
    asked = {"query": "a dog", "scope": "video", "videos": ["kitchen-1"], "checkpoints": ["runs/my run"]} | question
    given = ", ".join(json.dumps(one) for one in (asked, VIDEOS, CHECKPOINTS))
    for line in evaluated(f"m.groundCommand({given})", "command.js").splitlines():
        program, name, *words = shlex.split(line)
        assert (program, name) == ("spikemba", "ground")
        yield get_command(app).commands["ground"].make_context("ground", words).params


@pytest.mark.parametrize(
    "query",
    ["she cracks two eggs", "it's", '"; rm -rf ~', "$(id) `id` $HOME !!", "-x", "--all", "厨房で卵を割る", "a\\b", "*"],
)
def test_a_sentence_comes_through_the_shell_as_it_is(query):
    (params,) = typed(query=query)
    assert params["text"] == query
    assert params["video"] == Path("kitchen.mp4")
    assert params["checkpoint"] == "runs/my run"


@pytest.mark.parametrize(
    ("video", "path"), [("long-2", "2026/05/it's $HOME.mp4"), ("dash-3", "-v.mp4"), ("kitchen-1", "kitchen.mp4")]
)
def test_a_video_is_named_from_the_served_folder(video, path):
    (params,) = typed(videos=[video])
    assert params["video"] == Path(path)


def test_all_videos_are_the_folder():
    (params,) = typed(scope="all", videos=None)
    assert params["video"] == Path()


def test_what_was_set_is_set():
    (params,) = typed(top=3, min_exists=0.25)
    assert (params["top"], params["min_exists"], params["show_all"]) == (3, 0.25, False)
    (params,) = typed(show_all=True, min_exists=None)
    assert (params["top"], params["min_exists"], params["show_all"]) == (5, None, True)


def test_each_checkpoint_has_its_line_and_an_untrained_encoder_is_named_as_one():
    first, second = typed(checkpoints=["runs/my run", "zero-shot clip"])
    assert (first["checkpoint"], first["encoder"]) == ("runs/my run", None)
    assert (second["checkpoint"], second["encoder"]) == (None, "clip")


def test_a_strip_spans_the_moment_and_a_little_more_and_stays_in_the_video():
    strip = evaluated("m.stripOf({start_s: 10, end_s: 20}, 100)", "filmstrip.js")
    assert (strip["fromS"], strip["toS"]) == (7, 23)  # 0.3 seconds beside it for each of its seconds
    assert strip["times"] == pytest.approx([7 + 16 * (k + 0.5) / 7 for k in range(7)], abs=0.005)
    at_the_edge = evaluated("m.stripOf({start_s: 0, end_s: 4}, 4)", "filmstrip.js")
    assert (at_the_edge["fromS"], at_the_edge["toS"]) == (0, 4)


def in_order(*lists):
    """The ids of the answers of each list."""
    sort = "(answers) => answers.sort(m.bestFirst(answers)).map((one) => one.id)"
    return evaluated(f"{json.dumps(lists)}.map({sort})", "results.js")


def test_answers_are_ordered_as_ground_orders_them():
    answers = [
        {"id": "nothing", "moments": [], "exists": 0.1},
        {"id": "maybe", "moments": [{"score": 0.9}], "exists": 0.6},
        {"id": "sure", "moments": [{"score": 0.2}], "exists": 0.9},
        {"id": "surer", "moments": [{"score": 0.8}], "exists": 0.9},
    ]
    assert in_order(answers) == [["surer", "sure", "maybe", "nothing"]]
    answers = [answer | {"calibrated": True} for answer in answers]
    assert in_order(answers) == [["maybe", "surer", "sure", "nothing"]]


def test_a_score_is_not_compared_with_the_existence_of_another_checkpoint():
    answers = [
        {"id": "raw", "moments": [{"score": 0.1}], "exists": 0.7, "calibrated": False},
        {"id": "low", "moments": [{"score": 0.2}], "exists": 0.9, "calibrated": True},
        {"id": "high", "moments": [{"score": 0.8}], "exists": 0.5, "calibrated": True},
        {"id": "untold", "moments": [{"score": 0.95}], "exists": None, "calibrated": False},
        {"id": "headless", "moments": [{"score": 0.3}], "exists": None, "calibrated": True},
    ]
    assert in_order(*permutations(answers)) == [["low", "raw", "high", "headless", "untold"]] * 120
    assert in_order([one for one in answers if one["calibrated"]]) == [["high", "headless", "low"]]


def test_answers_that_nothing_compares_stay_as_they_came():
    answers = [{"id": k, "moments": [{"score": score}], "exists": None} for k, score in enumerate([0.1, 0.9, 0.5])]
    assert in_order(answers) == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ["a.mp4", "Café 2.mp4", "café 10.mp4"]), ("CAFE 1", ["café 10.mp4"]), ("b/ caf", ["Café 2.mp4"]), ("x", [])],
)
def test_the_list_is_sorted_by_number_and_filtered_by_every_word(text, names):
    videos = [
        {"name": "café 10.mp4", "folder": "c"},
        {"name": "Café 2.mp4", "folder": "b"},
        {"name": "a.mp4", "folder": ""},
    ]
    shown = f"m.matching(m.inOrder({json.dumps(videos)}), {json.dumps(text)}).map(({{video}}) => video.name)"
    assert evaluated(shown, "video_rows.js") == names


def test_rows_stand_below_their_headings_and_are_found_by_height():
    entries = json.dumps([{"video": {"folder": "a"}}, {"video": {"folder": "a"}}, {"video": {"folder": "b"}}])
    laid = evaluated(f"m.laidOut({entries}, 20, 50)", "video_rows.js")
    assert laid["tops"] == [0, 20, 70, 120, 140, 190]
    assert laid["indices"] == [1, 2, 4]
    rows = evaluated(f"[0, 19, 20, 119, 120, 999].map((y) => m.rowAt({laid['tops']}, y))", "video_rows.js")
    assert rows == [0, 0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="a b.csv"', "a b.csv"),
        ("attachment; filename*=UTF-8''%E5%8E%A8.srt; filename=\"_.srt\"", "厨.srt"),
        ("attachment; filename=x.edl", "x.edl"),
        ("attachment", None),
        (None, None),
    ],
)
def test_a_saved_file_has_the_name_that_the_server_says(header, name):
    assert evaluated(f"m.fileName({json.dumps(header)})", "file_names.js") == name


def test_a_link_to_a_moment_holds_it_and_no_token():
    address = "http://127.0.0.1:8765/?query=a+dog&token=secret#x"
    link = evaluated(f"m.linkTo({json.dumps(address)}, 'kitchen-1', {{start_s: 1.25, end_s: 9}})", "moment_link.js")
    assert link == "http://127.0.0.1:8765/?query=a+dog&video=kitchen-1&t=1.25%2C9"
    assert evaluated(f"m.linkedMoment({json.dumps(link)})", "moment_link.js") == {"start_s": 1.25, "end_s": 9}
    for wrong in ("t=5", "t=9,1", "t=a,b", "t=-1,2", ""):
        assert evaluated(f"m.linkedMoment('http://h/?{wrong}')", "moment_link.js") is None


def test_the_sum_of_a_question_has_every_video_and_names_the_model_that_cannot_tell():
    def answer(video, checkpoint, exists):
        return {"video_id": video, "checkpoint": checkpoint, "exists": exists}

    found = [answer("a", "mini", 0.9), answer("a", "zero-shot clip", None), answer("b", "zero-shot clip", None)]
    absent = [answer("b", "mini", 0.1)]
    failed = [{"video": "c", "problem": "mini"}, {"video": "c", "problem": "clip"}]
    given = ", ".join(json.dumps(one) for one in (found, absent, failed))
    assert evaluated(f"m.summary({given})", "results.js") == (
        "3 answers with a moment, 1 without (2 videos, 2 models), 1 video not asked; "
        "scores of zero-shot clip do not compare between videos"
    )
    assert evaluated(f"m.summary({json.dumps(found[:1])}, [], [])", "results.js") == (
        "1 answer with a moment, 0 without"
    )


def searched(**question):
    """Options and arguments of the `spikemba search` that the page copies."""
    asked = {"query": "a dog", "scope": "library", "videos": None, "checkpoints": ["runs/my run"], "top": 10} | question
    server = {"checkpoints": [{**CHECKPOINTS[0], "given": "/home/me/runs/my run"}], "library": {"given": "/disk/lib"}}
    given = ", ".join(json.dumps(one) for one in (asked, VIDEOS, server))
    program, name, *words = shlex.split(evaluated(f"m.searchCommand({given})", "command.js"))
    assert (program, name) == ("spikemba", "search")
    return get_command(app).commands["search"].make_context("search", words).params


def test_the_command_of_the_library_asks_the_same():
    params = searched(query="-x", show_all=True, only="it's Sunny", top=3)
    assert (params["text"], params["library"], params["checkpoint"]) == (
        "-x",
        "/disk/lib",
        "/home/me/runs/my run",
    )
    assert (params["top"], params["show_all"]) == (3, True)
    assert params["where"] == "instr(lower(path), 'it''s') AND instr(lower(path), 'sunny')"
    params = searched(query="", like={"video": "long-2", "start_s": 2, "end_s": 4.5})
    assert (params["text"], params["like"]) == (None, "2026/05/it's $HOME.mp4@2-4.5")


def test_a_run_folder_is_named_as_any_folder_finds_it():
    given = ", ".join(
        json.dumps(one)
        for one in (
            {"query": "a dog", "scope": "all", "videos": None, "checkpoints": ["runs/my run"]},
            VIDEOS,
            [{**CHECKPOINTS[0], "given": "/home/me/runs/my run"}],
        )
    )
    assert "--checkpoint '/home/me/runs/my run'" in evaluated(f"m.groundCommand({given})", "command.js")

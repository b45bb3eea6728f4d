"""Whatever a sentence holds, what is written is read back, and what is read is written again as it was."""

import json
import random
from contextlib import suppress
from functools import partial

import pytest

from pipelines.extraction.failures import Failures
from pipelines.grounding.queries import read_queries
from spikemba.config import load_yaml, parse_overrides
from spikemba.datasets.annotations import (
    Annotation,
    PredictedRow,
    read_annotations,
    read_predictions,
    write_annotations,
    write_predictions,
)
from spikemba.datasets.labelled.videos import LabelledVideo, read_labelled_videos, read_labels, write_labelled_videos
from spikemba.errors import AnnotationError, ConfigError, SpikeMbaError
from spikemba.files import read_jsonl, write_json, write_jsonl, write_text
from spikemba.reading.lines import split_lines, table_records
from spikemba.reading.trees import parse_json, parse_yaml, read_json
from spikemba.reading.unreadable import Unreadable

SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Where str.splitlines splits and no file's line ends."""
ODD = [
    *SEPARATORS,
    *"\t\"'\\,;{}[]:#&*!|>%@`\x00\x07\x1b\x7f\x9b\xa0\ufeff\u200b\u202eé中🎬",
    " ",
    "a",
    "b",
    "null",
    "1e3",
    "- ",
]


def texts(n, seed=0):
    """Random texts of odd characters, and each odd character alone between letters."""
    chance = random.Random(seed)
    return [f"x{mark}y" for mark in ODD] + ["".join(chance.choices(ODD, k=chance.randrange(1, 12))) for _ in range(n)]


def twice(path, write, read, value):
    """Written, read, written again and read: the same value and the same bytes."""
    write(path, value)
    found, content = read(path), path.read_bytes()
    write(path, found)
    assert path.read_bytes() == content
    assert read(path) == found
    return found


def test_any_text_goes_through_json_lines(tmp_path):
    rows = [{"text": text, text: i} for i, text in enumerate(texts(300))]
    found = twice(tmp_path / "a.jsonl", write_jsonl, lambda path: [row for _, row in read_jsonl(path)], rows)
    assert found == rows
    for reader in (str.splitlines, lambda text: text.split("\n")[:-1]):  # other tools' readers find the same lines
        assert [json.loads(line) for line in reader((tmp_path / "a.jsonl").read_text("utf-8"))] == rows


def test_any_text_goes_through_json_and_yaml(tmp_path):
    tree = {f"k{i}": text for i, text in enumerate(texts(300))}
    assert twice(tmp_path / "a.json", write_json, read_json, tree) == tree


def test_any_sentence_goes_through_annotations_and_predictions(tmp_path):
    chosen = [text for text in texts(300) if text.strip()]
    truth = [Annotation(i, text, text, 9.0, ((0.0, 2.0),), domain=text) for i, text in enumerate(chosen)]
    answers = [PredictedRow(text + str(i), text, text, (), ()) for i, text in enumerate(chosen)]
    assert twice(tmp_path / "a.jsonl", write_annotations, read_annotations, truth) == truth
    assert twice(tmp_path / "p.jsonl", write_predictions, read_predictions, answers) == answers


def test_any_class_goes_through_a_list_of_videos(tmp_path):
    names = [text for text in texts(60) if text == text.strip() and not set("\x00/") & set(text)]
    videos = [LabelledVideo(tmp_path / f"{i} {name}.mp4", name) for i, name in enumerate(names)]
    for video in videos:
        video.path.touch()
    write = partial(write_labelled_videos, root=tmp_path)
    assert twice(tmp_path / "l.csv", write, read_labelled_videos, videos) == videos


def test_any_sentence_on_a_line_of_its_own_is_one_query(tmp_path):
    writable = (text.strip() for text in texts(100) if not text.startswith("\ufeff") and "\0" not in text)
    chosen = list(dict.fromkeys(filter(None, writable)))
    write_text(tmp_path / "q.txt", "\n".join(chosen))
    assert read_queries(tmp_path / "q.txt") == chosen
    write_text(tmp_path / "l.txt", "\r\n".join(chosen))
    assert read_labels(tmp_path / "l.txt") == chosen


def test_any_file_name_is_remembered_as_failed(tmp_path):
    names = [text.replace("/", "").replace("\x00", "") + "\udcff" for text in texts(20)]
    for name in names:
        (tmp_path / name).write_text("no video")
        Failures(tmp_path).add(tmp_path / name, f"{name}: no video")
    with (tmp_path / "failures.jsonl").open("ab") as file:
        file.write(b'{"video": "cut off')
    again = Failures(tmp_path)
    again.add(tmp_path / "later", "no such file")
    for name in names:
        assert again.known(tmp_path / name) == f"{name}: no video"
    assert Failures(tmp_path)._rows.keys() == again._rows.keys()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_files_lines_do(end):
    assert split_lines(end.join(["a\u2028b", "", "c"]) + end) == ["a\u2028b", "", "c"]
    assert split_lines("") == []


def test_a_byte_order_mark_is_no_part_of_any_file(tmp_path):
    for name, content in {"q.jsonl": '{"query": "a"}', "q.csv": "query\na", "q.txt": "a"}.items():
        (tmp_path / name).write_text(content + "\n", encoding="utf-8-sig")
        assert read_queries(tmp_path / name) == ["a"], name
    (tmp_path / "c.yaml").write_text("a: 1", encoding="utf-8-sig")
    assert load_yaml(tmp_path / "c.yaml") == {"a": 1}


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_text_in_another_encoding_is_called_that(tmp_path, encoding):
    (tmp_path / "a.jsonl").write_text('{"query": "Café"}', encoding=encoding)
    with pytest.raises(AnnotationError, match=r"a.jsonl: .*UTF-.*; save it as UTF-8"):
        read_jsonl(tmp_path / "a.jsonl")


def test_a_quoted_cell_may_hold_line_ends():
    assert list(table_records('a, b\n"1\n2",x\n\n3\n')) == [(2, {"a": "1\n2", "b": "x"}), (5, {"a": "3", "b": ""})]


DEEP = ["[" * 60 + "]" * 60, "[" * 5000, '{"a":' * 60 + "1" + "}" * 60]
LONG = ["9" * 20, "9" * 5000, "-" + "9" * 30]


@pytest.mark.parametrize("text", [*DEEP, *LONG])
def test_json_beyond_bounds_is_one_line(text):
    with pytest.raises(Unreadable, match=r"nests deeper|whole number of|not JSON"):
        parse_json(text)


def test_long_fractions_and_the_largest_number_are_read():
    text = "[0.12345678901234567890123, 9223372036854775807, -9223372036854775808]"
    assert parse_json(text)[1:] == [2**63 - 1, -(2**63)]


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


NONE = ["d: 2001-99-99", "a: !!int x", "a: !!float []", "a: !!timestamp x", "? [a]\n: b", "a: !!set 1"]


@pytest.mark.parametrize(
    "text",
    [LAUGHS, "a: &a [*a]", *DEEP[:2], *(f"n: {n}" for n in LONG), *NONE, "!!python/object/apply:os.system [x]"],
)
def test_yaml_beyond_bounds_is_one_line(text, tmp_path):
    with pytest.raises(Unreadable) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load_yaml(tmp_path / "a.yaml")
    with suppress(SpikeMbaError):
        parse_overrides([f"a.b={text}"])


def test_merges_of_merges_end():
    """Older PyYAML doubles what each merges, newer does not."""
    with suppress(Unreadable):
        assert parse_yaml(MERGES)["a39"] == {"x": 1}


ROW = {"qid": 1, "query": "a", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]]}
RATED = ROW | {"relevant_clip_ids": [0], "saliency_scores": [[1, 2, 3]]}


@pytest.mark.parametrize(
    "change",
    [
        {"relevant_clip_ids": 5},
        {"relevant_clip_ids": ["x"]},
        {"relevant_clip_ids": [[1]]},
        {"relevant_clip_ids": [float("inf")]},
        {"relevant_clip_ids": [float("nan")]},
        {"saliency_scores": {"a": 1}},
        {"saliency_scores": 3},
        {"relevant_windows": 7},
        {"label": "x"},
        {"duration": "9"},
        {"qid": None},
        {"query": "\ud800"},
    ],
)
def test_a_row_of_other_kinds_of_values_is_named_by_its_line(tmp_path, change):
    write_jsonl(tmp_path / "a.jsonl", [ROW, RATED | {"qid": 2} | change])
    with pytest.raises(AnnotationError, match=r"a.jsonl: 1 bad row: line 2: "):
        read_annotations(tmp_path / "a.jsonl")

"""Labelled videos: folders per class, lists in their forms, and every fault of a list at once."""

from pathlib import Path

import pytest

from spikemba.datasets.labelled.videos import (
    LabelledVideo,
    label_names,
    numbered,
    read_labelled_videos,
    read_labels,
    write_labelled_videos,
)
from spikemba.errors import AnnotationError


@pytest.fixture
def footage(tmp_path):
    """A folder per class with empty files: lists do not open videos."""
    for name in ("run/a.mp4", "run/b c.mp4", "jump/d.avi", "jump/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_folders_are_classes(footage):
    found = read_labelled_videos(footage)
    assert [(v.path.name, v.label) for v in found] == [("d.avi", "jump"), ("a.mp4", "run"), ("b c.mp4", "run")]


@pytest.mark.parametrize(
    "text",
    [
        "video,label,start,end\nrun/a.mp4,run,,\njump/d.avi,jump,1.5,2\n",
        "label,video\nrun,run/a.mp4\njump,jump/d.avi\n",
        "run/a.mp4 run\njump/d.avi jump\n",
        "run/a.mp4,run\njump/d.avi,jump\n",
        "\ufeffrun/a.mp4\trun\n\njump/d.avi\tjump\n",
    ],
)
def test_every_form_of_a_list_says_the_same(footage, text):
    (footage / "list.csv").write_text(text)
    found = read_labelled_videos(footage / "list.csv")
    assert [(v.path.relative_to(footage), v.label) for v in found] == [
        (Path("run/a.mp4"), "run"),
        (Path("jump/d.avi"), "jump"),
    ]
    assert (found[1].start_s, found[1].end_s) == ((1.5, 2.0) if "1.5" in text else (0.0, None))


def test_a_path_may_hold_spaces(footage):
    (footage / "list.txt").write_text("run/b c.mp4 0\n")
    assert read_labelled_videos(footage / "list.txt")[0].path == footage / "run/b c.mp4"


def test_all_faults_of_a_list_are_named_by_their_lines(footage):
    (footage / "list.csv").write_text(
        "video,label,start,end\nrun/a.mp4,run,,\nrun/none.mp4,run,,\nrun/a.mp4,,,\nrun/a.mp4,run,,\n"
        "jump/d.avi,jump,2,1\njump/d.avi,jump,soon,\n"
    )
    with pytest.raises(AnnotationError) as raised:
        read_labelled_videos(footage / "list.csv")
    faults = raised.value.faults
    assert [fault.split(":")[0] for fault in faults] == ["line 3", "line 4", "line 5", "line 6", "line 7"]
    assert "there is no" in faults[0]
    assert "stands in line 2 already" in faults[2]
    assert "'soon'; expected a number of seconds" in faults[4]


def test_what_was_written_reads_the_same(footage):
    videos = [
        LabelledVideo(footage / "run/b c.mp4", 'a "quoted", class'),
        LabelledVideo(footage / "jump/d.avi", "jump", 0.5, 2.25),
    ]
    write_labelled_videos(footage / "list.csv", videos, footage)
    assert read_labelled_videos(footage / "list.csv") == videos
    assert str(footage) not in (footage / "list.csv").read_text()


def test_classes_are_sorted_and_numbers_by_value():
    videos = [LabelledVideo(Path(), label) for label in ("10", "9", "b", "a", "9")]
    assert label_names(videos) == ["9", "10", "a", "b"]
    assert numbered(videos[2:4], ["a", "b"], Path()) == [1, 0]
    assert numbered([LabelledVideo(Path(), "1")], ["a", "b"], Path()) == [1]
    with pytest.raises(AnnotationError, match="no class is called 'b'; 1 classes are known: a"):
        numbered(videos[2:], ["a"], Path("list.csv"))


def test_a_list_of_classes_names_each_once(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("b\na\n\n")
    assert read_labels(path) == ["b", "a"]
    path.write_text("b\nb\n")
    with pytest.raises(AnnotationError, match="line 2: 'b' is there already"):
        read_labels(path)

"""The published split lists, in small: what is read, and what is wrong with a row."""

import json

import pytest

from spikemba.datasets.labelled.video_lists import VIDEO_SETS, video_set
from spikemba.datasets.labelled.videos import numbered, read_labelled_videos, sorted_classes
from spikemba.errors import AnnotationError, UnknownName


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def said(lists, split, root):
    return [(video.path.relative_to(root).as_posix(), video.label) for _, video in lists.splits[split]]


def test_hmdb51_marks_training_and_test_by_numbers(tmp_path):
    (tmp_path / "run_test_split2.txt").write_text("a_run_1.avi 1 \na_run_2.avi 0\nb_run_0.avi 2\nc.avi 7\n")
    (tmp_path / "run_test_split1.txt").write_text("a_run_1.avi 2\n")
    (tmp_path / "brush_hair_test_split2.txt").write_text("d_3.avi 1\n")
    lists = video_set("hmdb51").read(tmp_path, tmp_path / "v", 2)
    assert lists.labels == ["brush_hair", "run"]
    assert said(lists, "train", tmp_path / "v") == [("brush_hair/d_3.avi", "brush_hair"), ("run/a_run_1.avi", "run")]
    assert said(lists, "test", tmp_path / "v") == [("run/b_run_0.avi", "run")]
    assert lists.faults == ["run_test_split2.txt, line 4: '7' is neither 1 (train), 2 (test) nor 0"]
    assert lists.splits["train"][1][1].group == "a_run"


def test_ucf101_counts_classes_from_one_and_tests_without_numbers(tmp_path):
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Biking\n")
    (tmp_path / "trainlist01.txt").write_text("Biking/v_Biking_g08_c01.avi 2\nArchery/v_Archery_g08_c02.avi 2\n")
    (tmp_path / "testlist01.txt").write_text("Archery/v_Archery_g01_c01.avi\r\n")
    lists = video_set("ucf101").read(tmp_path, tmp_path, 1)
    assert lists.labels == ["Archery", "Biking"]
    assert said(lists, "train", tmp_path) == [("Biking/v_Biking_g08_c01.avi", "Biking")]
    assert said(lists, "test", tmp_path) == [("Archery/v_Archery_g01_c01.avi", "Archery")]
    assert lists.splits["train"][0][1].group == "Biking/v_Biking_g08"
    assert len(lists.faults) == 1
    assert "trainlist01.txt, line 2" in lists.faults[0]


def test_ssv2_finds_templates_without_their_brackets(tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps({"Holding something": "1", "Closing something": "0"}))
    (tmp_path / "train.json").write_text(
        json.dumps([{"id": "7", "label": "holding a cup", "template": "Holding [something]"}, {"id": "8"}])
    )
    (tmp_path / "validation.json").write_text(json.dumps([{"id": "9", "template": "Closing [something]"}]))
    (tmp_path / "9.mp4").touch()
    lists = video_set("ssv2").read(tmp_path, tmp_path, 1)
    assert lists.labels == ["Closing something", "Holding something"]
    assert said(lists, "train", tmp_path) == [("7.webm", "Holding something")]
    assert said(lists, "val", tmp_path) == [("9.mp4", "Closing something")]
    assert lists.faults == ["train.json, entry 2: has no id or its template '' is not among the labels"]


def test_kinetics_videos_are_found_by_id_and_seconds(tmp_path):
    head = "label,youtube_id,time_start,time_end,split\n"
    (tmp_path / "train.csv").write_text(head + "abseiling,-3B32lodo2M,59,69,train\nyoga,x,a,b,train\n")
    (tmp_path / "validate.csv").write_text(head + "yoga,abc,0,10,validate\n")
    (tmp_path / "v" / "deep").mkdir(parents=True)
    (tmp_path / "v" / "deep" / "-3B32lodo2M_000059_000069.mp4").touch()
    lists = video_set("kinetics400").read(tmp_path, tmp_path / "v", 1)
    assert said(lists, "train", tmp_path / "v") == [("deep/-3B32lodo2M_000059_000069.mp4", "abseiling")]
    assert said(lists, "val", tmp_path / "v") == [("yoga/abc_000000_000010.mp4", "yoga")]
    assert lists.labels == ["abseiling", "yoga"]
    assert lists.faults == ["train.csv, line 3: expected label, youtube_id, time_start and time_end"]


def test_kinetics_lists_of_paths_and_numbers_are_read_too(tmp_path):
    (tmp_path / "train.csv").write_text("a/b.mp4 3\nc.mp4 0\n")
    lists = video_set("kinetics400").read(tmp_path, tmp_path, 1)
    assert said(lists, "train", tmp_path) == [("a/b.mp4", "3"), ("c.mp4", "0")]


def test_a_class_that_is_a_number_is_that_output_of_a_published_head(tmp_path):
    rows = [f"c/{i}.mp4 {k}" for i, k in enumerate((11, 2, 0, 10, 9, 2))]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    (tmp_path / "val.csv").write_text("d.mp4 13\n")
    lists = video_set("kinetics400").read(tmp_path, tmp_path, 1)
    assert lists.labels == [str(k) for k in range(14)]  # also those without a video
    videos = [video for rows in lists.splits.values() for _, video in rows]
    assert numbered(videos, lists.labels, tmp_path) == [int(video.label) for video in videos]


@pytest.mark.parametrize("names", [["400", "3"], ["03", "10"], ["2", "b"]])
def test_numbers_that_are_no_outputs_are_names_in_their_order(tmp_path, names):
    (tmp_path / "train.csv").write_text("".join(f"{i}.mp4 {name}\n" for i, name in enumerate(names)))
    assert video_set("kinetics400").read(tmp_path, tmp_path, 1).labels == sorted_classes(names)


@pytest.mark.parametrize(
    "line",
    [
        "riding a bike/x y.mp4 riding a bike",
        "riding a bike/x y.mp4,riding a bike",
        "riding a bike/x y.mp4\triding a bike",
        '"riding a bike/x y.mp4","riding a bike"',
        'riding a bike/x y.mp4,"riding a bike"',
        "riding a bike/x y.mp4 ,  riding a bike ",
    ],
)
def test_classes_and_folders_may_hold_spaces(tmp_path, line):
    (tmp_path / "train.csv").write_text(line + "\n")
    lists = video_set("kinetics400").read(tmp_path, tmp_path, 1)
    assert said(lists, "train", tmp_path) == [("riding a bike/x y.mp4", "riding a bike")]
    (tmp_path / "riding a bike").mkdir()
    (tmp_path / "riding a bike" / "x y.mp4").touch()
    (video,) = read_labelled_videos(tmp_path / "train.csv")
    assert (video.path, video.label) == (tmp_path / "riding a bike/x y.mp4", "riding a bike")


@pytest.mark.parametrize("line", ["x.mp4", "x.mp4 1 2", "x.mp4 0.5 7.25 3", "x"])
def test_a_line_without_one_class_is_a_fault(tmp_path, line):
    (tmp_path / "train.csv").write_text(f"a.mp4 0\n{line}\n")
    (tmp_path / "a.mp4").touch()
    (tmp_path / "x.mp4").touch()
    lists = video_set("kinetics400").read(tmp_path, tmp_path, 1)
    assert lists.faults == [f"train.csv, line 2: {line!r} is not a path and a class; expected as in folder/video.mp4 0"]
    with pytest.raises(AnnotationError, match="line 2: has"):
        read_labelled_videos(tmp_path / "train.csv")


def test_classes_of_all_sets_stand_in_the_order_of_published_heads(tmp_path):
    for label in ("kick_ball", "kick", "climb", "climb_stairs"):
        (tmp_path / f"{label}_test_split1.txt").write_text("a b_1.avi 1\n")
    hmdb = video_set("hmdb51").read(tmp_path, tmp_path, 1)
    assert hmdb.labels == ["climb", "climb_stairs", "kick", "kick_ball"]  # as folders are sorted
    (tmp_path / "classInd.txt").write_text("10 Apply Lipstick\n2 Biking\n1\tArchery\n")
    (tmp_path / "trainlist01.txt").write_text("Apply Lipstick/v_a_g08_c01.avi 10\n")
    (tmp_path / "testlist01.txt").write_text("Apply Lipstick/v_b_g01_c01.avi\n")
    ucf = video_set("ucf101").read(tmp_path, tmp_path, 1)
    assert (ucf.labels, ucf.faults) == (["Archery", "Biking", "Apply Lipstick"], [])
    assert said(ucf, "test", tmp_path) == [("Apply Lipstick/v_b_g01_c01.avi", "Apply Lipstick")]


def test_breakfast_splits_by_person(tmp_path):
    for name in ("P03/cam01/P03_cereals.avi", "P16/stereo/P16_milk_ch0.avi", "P42/webcam01/P42_tea.avi", "x/odd.avi"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    lists = video_set("breakfast").read(tmp_path, tmp_path, 2)
    assert said(lists, "test", tmp_path) == [("P16/stereo/P16_milk_ch0.avi", "milk")]
    assert [label for _, label in said(lists, "train", tmp_path)] == ["cereals", "tea"]
    assert lists.faults == ["x/odd.avi: its name says no person and activity; expected one as P03_cereals.avi"]


@pytest.mark.parametrize("name", VIDEO_SETS)
def test_missing_lists_are_named(tmp_path, name):
    if name != "breakfast":  # which has none
        with pytest.raises(AnnotationError, match="there"):
            video_set(name).read(tmp_path, tmp_path, 1)


def test_unknown_sets_list_the_known_ones():
    with pytest.raises(UnknownName, match="there are: breakfast, hmdb51, kinetics400, ssv2, ucf101"):
        video_set("hmdb")

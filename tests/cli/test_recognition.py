"""Recognition as a person types it: prepare, train, evaluate, recognize."""

import json
import shutil

import numpy as np
import pytest
from typed import fails_in_one_line, run

TINY = ["model.width=16", "model.n_blocks=1", "train.epochs=2", "train.batch_size=8"]


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """A very small motions corpus, as the command draws it."""
    out = tmp_path_factory.mktemp("motions")
    result = run("prepare", "motions", "--set", "orders", "--train", 2, "--val", 1, "--test", 1, "--out", out)
    assert result.exit_code == 0, result.output
    assert "8 classes, videos train 16, val 8, test 8" in result.stderr
    assert f"next: spikemba train --dataset motions --data {out}" in result.stderr
    return out


@pytest.fixture(scope="module")
def trained(motions, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "motions"
    settings = [part for setting in TINY for part in ("--set", setting)]
    result = run("train", "--dataset", "motions", "--data", motions, *settings, "--out", out)
    assert result.exit_code == 0, result.output
    assert "parameters are trained" in result.stderr
    assert "top1" in result.stderr
    return out


def test_what_was_drawn_is_kept_and_real(motions):
    from spikemba.video.sampling import probe

    videos = sorted(motions.glob("videos/*/*.mp4"))
    assert len(videos) == 32
    info = probe(videos[0])
    assert (info.codec, info.width, info.height, info.duration_s) == ("h264", 64, 64, 2.0)
    before = videos[0].stat().st_mtime_ns
    document = json.loads(
        run(
            "prepare", "motions", "--set", "orders", "--train", 2, "--val", 1, "--test", 1, "--out", motions, "--json"
        ).stdout
    )
    assert document["videos"] == {"train": 16, "val": 8, "test": 8}
    assert videos[0].stat().st_mtime_ns == before


def test_evaluate_prints_accuracy_and_takes_other_views(trained):
    lines = run("evaluate", trained, "--split", "test").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["metric", "top1", "top5", "mean_class"]
    document = json.loads(run("evaluate", trained, "--set", "data.test_segments=2", "--json").stdout)
    assert set(document["brief"]) == {"top1", "top5", "mean_class"}
    assert len(document["per_class"]) == 8


def test_recognize_prints_classes_and_their_probabilities(trained, motions):
    video = next(motions.glob("videos/*/*.mp4"))
    lines = [line.split("\t") for line in run("recognize", video, "--checkpoint", trained).stdout.splitlines()]
    assert lines[0] == ["start_s", "end_s", "label", "probability"]
    assert len(lines) == 6
    chances = [float(line[3]) for line in lines[1:]]
    assert chances == sorted(chances, reverse=True)


def test_recognize_prints_one_json_document_also_over_time(trained, make_video):
    rng = np.random.default_rng(0)
    video = make_video("long.mp4", rng.integers(0, 255, (60, 48, 64, 3), dtype=np.uint8), fps=5)
    document = json.loads(run("recognize", video, "--checkpoint", trained, "--window", 4, "--top", 2, "--json").stdout)
    assert set(document) == {"video", "duration_s", "top", "over_time", "model"}
    assert [(part["start_s"], part["end_s"]) for part in document["over_time"]] == [(0, 4), (4, 8), (8, 12)]
    assert all(len(part["top"]) == 2 for part in document["over_time"])
    once = json.loads(run("recognize", video, "--checkpoint", trained, "--window", 0, "--json").stdout)
    assert once["over_time"] == []


def test_one_bad_video_does_not_stop_the_others(trained, motions, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    shutil.copy(next(motions.glob("videos/*/*.mp4")), tmp_path / "good.mp4")
    result = run("recognize", tmp_path, "--checkpoint", trained, "--json")
    assert result.exit_code == 1
    assert "bad.mp4: is not a video" in result.stderr
    assert len(json.loads(result.stdout)) == 1


def test_recognize_looks_at_every_real_video(trained, shared):
    result = run("recognize", shared / "videos", "--checkpoint", trained, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len(found) == len(list((shared / "videos").iterdir()))
    for one in found:
        assert 0 < one["top"][0]["probability"] <= 1
        assert bool(one["over_time"]) == (one["duration_s"] >= 15)


def test_what_is_not_a_recogniser_is_one_line(tmp_path, motions):
    video = next(motions.glob("videos/*/*.mp4"))
    assert "no video checkpoint in" in fails_in_one_line("recognize", video, "--checkpoint", tmp_path / "none")
    assert "no such file or folder" in fails_in_one_line("recognize", tmp_path / "no.mp4", "--checkpoint", tmp_path)


def test_own_videos_are_split_class_by_class(motions, tmp_path):
    result = run("prepare", "videos", "--source", motions / "videos", "--out", tmp_path / "mine", "--json")
    document = json.loads(result.stdout)
    assert document["videos"] == {"train": 16, "val": 8, "test": 8}
    assert run("config", "check", document["config"]).exit_code == 0
    few = tmp_path / "few" / "a"
    few.mkdir(parents=True)
    shutil.copy(next(motions.glob("videos/*/*.mp4")), few)
    line = fails_in_one_line("prepare", "videos", "--source", few.parent, "--out", tmp_path / "x")
    assert "class 'a' has 1 videos; 3 are needed to split them" in line


def hmdb(folder, names):
    """Lists of two classes, and the videos of some rows as empty files."""
    for label in ("run", "jump"):
        rows = [f"{label}_{film}_{i}.avi {1 if film < 5 else 2}" for film in range(6) for i in range(3)]
        (folder / f"{label}_test_split1.txt").write_text("\n".join(rows) + "\n")
        for row in rows[: names or None]:
            path = folder / "v" / label / row.split()[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_published_lists_are_checked_and_a_share_of_films_is_held_out(tmp_path):
    hmdb(tmp_path, None)
    out = tmp_path / "out"
    arguments = ("prepare", "hmdb51", "--source", tmp_path, "--videos", tmp_path / "v", "--out", out)
    result = run(*arguments, "--json")
    document = json.loads(result.stdout)
    assert document["videos"] == {"train": 24, "val": 6, "test": 6}
    assert "2 classes were found and HMDB51 has 51" in result.stderr
    films = {
        split: {line.rsplit("_", 1)[0] for line in (out / f"{split}.csv").read_text().splitlines()[1:]}
        for split in document["videos"]
    }
    assert not films["train"] & films["val"]
    shown = run("config", "show", document["config"]).stdout
    assert "task: recognition" in shown


def test_missing_videos_are_named_or_left_out(tmp_path):
    hmdb(tmp_path, 16)
    arguments = ("prepare", "hmdb51", "--source", tmp_path, "--videos", tmp_path / "v", "--out", tmp_path / "out")
    result = run(*arguments)
    assert result.exit_code == 1
    assert "jump_test_split1.txt, line 17: there is no" in result.stderr
    assert "leave these rows out with --drop-faulty" in result.stderr
    dropped = run(*arguments, "--drop-faulty", "--json")
    assert json.loads(dropped.stdout)["videos"] == {"train": 24, "val": 6, "test": 2}
    assert dropped.stderr.count("left out: ") == 4


def test_a_recogniser_cannot_ground(trained, motions):
    video = next(motions.glob("videos/*/*.mp4"))
    line = fails_in_one_line("ground", video, "a shape turns", "--checkpoint", trained)
    assert (
        "is a video encoder, not a grounding model; what it knows asks `spikemba recognize VIDEO --checkpoint" in line
    )


def test_a_checkpoint_away_from_its_run_needs_to_be_told_its_videos(trained, motions, tmp_path):
    shutil.copytree(trained / "best", tmp_path / "copy")
    line = fails_in_one_line("evaluate", tmp_path / "copy")
    assert "lies in no run folder; name its videos with --config FILE" in line
    result = run("evaluate", tmp_path / "copy", "--config", motions / "config.yaml")
    assert result.stdout == run("evaluate", trained).stdout

"""The command line as a person types it: exit code, stdout, stderr, files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import broken_packages
import numpy as np
import pytest
from typed import fails_in_one_line, run

from spikemba import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture
def video(make_video):
    rng = np.random.default_rng(0)
    return make_video("clip.mp4", rng.integers(0, 255, (40, 64, 64, 3), dtype=np.uint8), fps=5)


def test_help_lists_the_commands_in_the_order_of_use():
    text = run("--help").stdout
    names = ("demo", "extract", "prepare", "train", "ablate", "runs", "evaluate", "ground", "share", "doctor")
    places = [text.index(f"│ {name} ") for name in names]
    assert places == sorted(places)


@pytest.mark.parametrize(
    "command",
    [
        *(["demo"], ["extract"], ["prepare", "shapes"], ["prepare", "custom"], ["train"], ["ablate"], ["runs"]),
        *(["prepare", "claims"], ["evaluate"], ["ground"], ["share"], ["index"], ["library", "check"]),
    ],
)
def test_every_command_explains_itself_with_an_example(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Example: spikemba " in result.stdout


def test_the_version_is_printed():
    assert run("--version").stdout.strip() == __version__


def test_wrong_usage_exits_with_two():
    for arguments in (
        ["ground", "a.mp4"],
        ["train"],
        ["evaluate"],
        ["nothing"],
        ["train", "--dataset", "a", "--config", "b"],
    ):
        assert run(*arguments).exit_code == 2, arguments


def test_results_go_to_stdout_and_the_rest_to_stderr(video, trained):
    result = run("ground", video, "a red circle enters", "--checkpoint", trained, "--top", 2)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "start_s\tend_s\tscore"
    assert 2 <= len(result.stdout.splitlines()) <= 3
    assert " ".join(result.stderr.split()).startswith("mini knows drawn shapes that move")


def test_ground_prints_one_json_document(video, trained):
    result = run("ground", video, "a red circle enters", "--checkpoint", trained, "--top", 5, "--json")
    document = json.loads(result.stdout)
    assert set(document) == {"video", "query", "duration_s", "clip_s", "exists", "moments", "saliency", "model"}
    assert document["exists"] is None  # this checkpoint has no head that tells
    assert document["duration_s"] == 8.0
    assert document["query"] == "a red circle enters"
    assert len(document["saliency"]) == 4


BAD_VIDEOS = {
    "missing": (lambda p: None, "no such file"),
    "empty": (lambda p: p.touch(), "is empty"),
    "text": (lambda p: p.write_text("hello\n" * 100), "is not a video"),
    "folder": (lambda p: p.mkdir(), "holds no videos"),
}


@pytest.mark.parametrize("kind", BAD_VIDEOS)
def test_a_bad_video_is_one_line(kind, tmp_path, trained):
    make, problem = BAD_VIDEOS[kind]
    path = tmp_path / "bad.mp4"
    make(path)
    assert problem in fails_in_one_line("ground", path, "a red circle enters", "--checkpoint", trained)
    if kind not in ("folder",):
        result = run("extract", path, "--encoder", "mini", "--out", tmp_path / "f")
        assert result.exit_code == 1
        assert problem in result.stderr
        assert not list((tmp_path / "f").rglob("*.npz"))


def test_a_truncated_video_and_one_with_sound_only_are_one_line(make_video, tmp_path, trained):
    images = np.random.default_rng(0).integers(0, 255, (100, 64, 64, 3), dtype=np.uint8)
    whole = make_video("whole.mp4", images, fps=5, container={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    line = fails_in_one_line("ground", cut, "a red circle enters", "--checkpoint", trained)
    assert "of 20.0 s could be read" in line
    headless = tmp_path / "headless.mp4"
    plain = make_video("plain.mp4", images, fps=5)
    headless.write_bytes(plain.read_bytes()[:5000])
    assert "without its index" in fails_in_one_line("ground", headless, "a red circle enters", "--checkpoint", trained)
    sound = sound_only(tmp_path / "sound.mp4")
    assert "has no video stream, only audio" in fails_in_one_line(
        "ground", sound, "a red circle", "--checkpoint", trained
    )


def sound_only(path):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for k in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 16000, 1024 * k
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_queries_that_cannot_be_asked_are_one_line(video, trained):
    assert "the query is empty" in fails_in_one_line("ground", video, " ", "--checkpoint", trained)
    long = "word " * 10_000
    assert "the query has 10000 words" in fails_in_one_line("ground", video, long, "--checkpoint", trained)


def test_checkpoints_that_cannot_be_used_are_one_line(video, trained, tmp_path):
    asked = ("ground", video, "a red circle enters", "--checkpoint")
    assert "no checkpoint 'nowhere'" in fails_in_one_line(*asked, "nowhere")
    shutil.copytree(trained / "best", tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"rubbish")
    assert "is damaged" in fails_in_one_line(*asked, tmp_path / "broken")
    shutil.copytree(trained / "best", tmp_path / "other")
    config = tmp_path / "other" / "config.json"
    config.write_text(config.read_text().replace('"weights": "', '"weights": "0'))
    assert "the checkpoint was trained on" in fails_in_one_line(*asked, tmp_path / "other")
    assert "--checkpoint mini" in fails_in_one_line("ground", video, "a dog enters")


def test_a_folder_of_ten_with_two_bad_extracts_eight_and_names_the_two(make_video, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), dtype=np.uint8)
    for i in range(8):
        make_video(f"videos/{i}.mp4", images, fps=5)
    (tmp_path / "videos" / "bad.mp4").write_text("x")
    (tmp_path / "videos" / "worse.mp4").touch()
    result = run("extract", tmp_path / "videos", "--encoder", "mini", "--out", tmp_path / "f")
    assert result.exit_code == 1
    assert sorted(p.stem for p in (tmp_path / "f" / "mini").glob("*.npz")) == [str(i) for i in range(8)]
    assert "bad.mp4" in result.stderr
    assert "worse.mp4" in result.stderr
    assert "8 videos encoded, 2 failed" in result.stderr


def test_a_folder_without_videos_and_an_unknown_encoder_are_one_line(tmp_path, video):
    (tmp_path / "bare").mkdir()
    assert "holds no videos" in fails_in_one_line(
        "extract", tmp_path / "bare", "--encoder", "mini", "--out", tmp_path / "f"
    )
    line = fails_in_one_line("extract", video, "--encoder", "minni", "--out", tmp_path / "f")
    assert "no encoder is called 'minni'; did you mean 'mini'?; `spikemba config encoders` lists all" in line


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, video, corpus, tiny):
    (tmp_path / "file").touch()
    line = fails_in_one_line("extract", video, "--encoder", "mini", "--out", tmp_path / "file" / "f")
    assert "cannot write" in line
    settings = [part for setting in tiny for part in ("--set", setting)]
    line = fails_in_one_line("train", "--config", corpus / "config.yaml", "--out", tmp_path / "file" / "run", *settings)
    assert "cannot write" in line


def test_more_memory_than_there_is_is_one_line(corpus, tiny, tmp_path):
    sets = [part for setting in tiny for part in ("--set", setting)]
    wide = ("--set", "model.width=100000000", "--set", "model.spiking_saliency.n_heads=2")
    said = fails_in_one_line("train", "--config", corpus / "config.yaml", *sets, *wide, "--out", tmp_path / "r")
    assert "not enough memory for this, which asked for" in said


def test_all_faults_of_a_configuration_are_reported_together(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("train: {epochs: 0, lr: 1}\nmodel: {width: x}\n")
    for command in (["config", "check", path], ["train", "--config", path]):
        result = run(*command)
        assert result.exit_code == 1
        assert "has 3 faults" in result.stderr
        for key in ("train.epochs", "train.lr", "model.width"):
            assert key in result.stderr
        assert "Traceback" not in result.stderr


def test_configurations_are_listed_shown_and_checked(tmp_path):
    names = run("config", "list").stdout.split()
    assert {"shapes", "demo"} <= set(names)
    shown = run("config", "show", "shapes", "--set", "train.epochs=3").stdout
    path = tmp_path / "mine.yaml"
    path.write_text(shown)
    assert "epochs: 3" in shown
    assert run("config", "check", path).exit_code == 0
    assert "no dataset is called 'shape'" in fails_in_one_line("config", "show", "shape")


def test_doctor_finds_this_installation_sound():
    result = run("doctor", "--json")
    findings = {finding["topic"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == 0, result.stdout
    assert findings["torch"]["state"] == "ok"
    assert "chunked" in findings["scan"]["detail"]


def test_training_evaluating_and_grounding_from_the_command_line(corpus, tiny, tmp_path):
    settings = [part for setting in tiny for part in ("--set", setting)]
    command = ("train", "--config", corpus / "config.yaml", "--out", tmp_path / "run", *settings)
    result = run(*command, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["epochs"] == 2
    assert "epoch 2/2  loss" in result.stderr
    assert "it holds a run already; go on with --resume" in fails_in_one_line(*command)
    assert run(*command, "--resume").exit_code == 0
    table = run("evaluate", tmp_path / "run", "--split", "test", "--out", tmp_path / "p.jsonl")
    assert table.stdout.splitlines()[0] == "metric\t%"
    again = run("evaluate", "--predictions", tmp_path / "p.jsonl", "--annotations", corpus / "test.jsonl")
    assert again.stdout == table.stdout
    video = next((corpus / "videos").glob("*.mp4"))
    assert run("ground", video, "a red circle enters", "--checkpoint", tmp_path / "run").exit_code == 0


def test_predictions_of_other_queries_are_refused(corpus, trained, tmp_path):
    run("evaluate", trained, "--split", "test", "--out", tmp_path / "p.jsonl")
    result = run("evaluate", "--predictions", tmp_path / "p.jsonl", "--annotations", corpus / "val.jsonl")
    assert result.exit_code == 1
    assert "annotated queries have no prediction, as qid" in result.stderr
    assert "predicted queries are not annotated, as qid" in result.stderr


def test_a_persons_own_csv_leads_to_moments(corpus, tiny, tmp_path):
    videos = sorted((corpus / "videos").glob("shapes_plain*.mp4"))[:4]
    table = tmp_path / "mine.csv"
    lines = [f"{path.name},{3 * i + 1},{3 * i + 9.5},a red circle enters,{i}" for i, path in enumerate(videos)]
    table.write_text(
        "video,start,end,query,rating\n" + "\n".join(lines) + f"\n{videos[0].name},40,44,a red circle enters,\n"
    )
    out = tmp_path / "data"
    common = ("--videos", corpus / "videos", "--encoder", "mini")
    prepared = run("prepare", "custom", "--source", table, "--out", out, *common)
    assert prepared.exit_code == 0, prepared.output
    following = [line.split(": ", 1)[1] for line in prepared.stderr.splitlines() if "spikemba" in line]
    assert len(following) == 2
    for command in following:  # what it says to type next is typed
        words = command.split()[1:]
        extra = [part for setting in tiny for part in ("--set", setting)] if words[0] == "train" else []
        where = ["--out", str(tmp_path / "run")] if words[0] == "train" else []
        result = run(*words, *where, *extra)
        assert result.exit_code == 0, result.output
    found = run("ground", videos[0], "a red circle enters", "--checkpoint", tmp_path / "run", "--json")
    assert json.loads(found.stdout)["moments"]


def test_faults_of_a_persons_own_csv_are_named_by_line(corpus, tmp_path):
    video = sorted((corpus / "videos").glob("*.mp4"))[0].name
    table = tmp_path / "mine.csv"
    table.write_text(
        f"video,start,end,query\n{video},5,3,x\nnone.mp4,1,2,x\n{video},1,9999,x\n{video},a,2,x\n{video},1,2,\n"
    )
    result = run("prepare", "custom", "--source", table, "--out", tmp_path / "d", "--videos", corpus / "videos")
    assert result.exit_code == 1
    for expected in (
        "line 2: start 5 and end 3",
        "line 3: ",
        "no such file",
        "line 4: the window ends at 9999 s",
        "line 5: start is 'a'",
        "line 6: has no query",
    ):
        assert expected in result.stderr
    assert not (tmp_path / "d").exists()
    table.write_text("a,b\n1,2\n")
    assert "no column video, start, end, query; found a, b" in fails_in_one_line(
        "prepare", "custom", "--source", table, "--out", tmp_path / "d"
    )


def test_the_stored_metrics_of_the_public_evaluator_are_reproduced(shared):
    predictions = shared / "predictions" / "qvhighlights_val_sample_preds.jsonl"
    annotations = shared / "annotations" / "highlight_val_release.jsonl"
    result = run("evaluate", "--predictions", predictions, "--annotations", annotations, "--json")
    stored = json.loads((shared / "predictions" / "qvhighlights_val_sample_preds_metrics.json").read_text())
    assert json.loads(result.stdout) == stored


def test_every_real_video_grounds(shared, trained):
    for path in sorted((shared / "videos").iterdir()):
        result = run("ground", path, "a person opens a door", "--checkpoint", trained, "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["moments"]


def spikemba(*arguments, **environment):
    """Run the installed command in a process of its own."""
    code = "from spikemba_cli.main import main; main()"
    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=env, check=False
    )


def test_an_interrupt_exits_with_130_and_keeps_what_was_finished(corpus, tmp_path):
    code = "import pipelines.extraction.job as e\ndef stop(*a, **how): raise KeyboardInterrupt\n"
    code += "e.encode_videos = stop\n"
    code += "from spikemba_cli.main import main; main()"
    command = [sys.executable, "-c", code, "extract", corpus / "videos", "--encoder", "mini", "--out", tmp_path / "f"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert result.returncode == 130
    assert result.stderr.count("\n") == 1
    assert "interrupted" in result.stderr


def test_a_long_error_stays_one_line_in_a_pipe(tmp_path):
    result = spikemba("extract", tmp_path / ("long" * 40), "--encoder", "mini", COLUMNS="40")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1


def test_square_brackets_in_a_name_are_printed_as_they_are(tmp_path):
    result = spikemba("config", "check", tmp_path / "[red]a.yaml")
    assert "[red]a.yaml" in result.stderr


@pytest.mark.parametrize(("option", "name"), [("--plot", "x.html"), ("--plot", "x.eps"), ("--cut", "x.mp4")])
def test_a_file_that_cannot_be_made_is_refused_before_torch_loads(option, name, tmp_path):
    broken_packages.put_package(tmp_path, "torch", "raise ImportError('not to be loaded')")
    done = broken_packages.spikemba(tmp_path, "ground", __file__, "a dog", option, name)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {option} {name} is named like a file that ends in {Path(name).suffix}")

"""Preparing the five benchmarks and training on them, from the command line."""

import json
import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from spikemba.features import FeatureFolder
from spikemba_cli.main import app

FIVE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "bench_five.py"))


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def sources(shared, tmp_path):
    """A function that makes a folder of the first rows of a benchmark's real annotations, with random features."""

    def make(name, limit):
        rows = FIVE["write_slice"](name, shared, tmp_path / "raw", limit)
        FIVE["write_features"](name, rows, tmp_path / "raw" / "features")
        return tmp_path / "raw"

    return make


def prepare(name, source, out, *options):
    result = run("prepare", name, "--source", source, "--out", out, *options)
    assert result.exit_code == 0, result.output
    return result


SETTINGS = {
    "tvsum": ["data.domains=[BK,PK]"],
    "youtube_highlights": ["data.domains=[dog,skating]"],
}


@pytest.mark.parametrize("name", FIVE["NAMES"])
def test_prepare_train_and_evaluate_on_a_slice_of_the_real_annotations(sources, tiny, tmp_path, name):
    source = sources(name, 4)
    prepared = prepare(name, source, tmp_path / "data", "--features", source / "features")
    assert f"next: spikemba train --dataset {name} --data {tmp_path / 'data'}" in prepared.stderr
    assert ("numbers will not compare" in prepared.stderr) == (name != "tvsum")  # whose domains have four videos
    changes = [*tiny, "train.epochs=1", *SETTINGS.get(name, [])]
    settings = [part for one in changes for part in ("--set", one)]
    common = ("train", "--dataset", name, "--data", tmp_path / "data", "--out", tmp_path / "run", *settings, "--json")
    trained = run(*common)
    assert trained.exit_code == 0, trained.output
    document = json.loads(trained.stdout)
    scored = run("evaluate", tmp_path / "run", "--split", "test", "--json", "--out", tmp_path / "p.jsonl")
    found = json.loads(scored.stdout)
    if name in SETTINGS:
        assert set(found) == {"mAP", "domains"}
        assert len(found["domains"]) == 2
        assert found["mAP"] == pytest.approx(document["test"]["mAP"]["mean"], abs=0.002)
        assert document["runs"] == 2
        again = run(*common, "--resume")
        assert json.loads(again.stdout) == document
    elif name != "qvhighlights":  # QVHighlights selects on its own validation split
        assert found["brief"] == document["test"]
        assert document["best_on_test"]["MR-full-mAP"] >= document["test"]["MR-full-mAP"]
        assert "MR-full-R1@0.3" in found["brief"]
    if name == "qvhighlights":
        assert "HL-min-VeryGood-mAP" in found["brief"]
    files = ("--predictions", tmp_path / "p.jsonl", "--annotations", tmp_path / "data" / "test.jsonl")
    if name not in SETTINGS:
        assert json.loads(run("evaluate", *files, "--dataset", name, "--json").stdout) == found


def test_seeds_give_a_mean_and_a_spread(sources, tiny, tmp_path):
    source = sources("tvsum", 4)
    prepare("tvsum", source, tmp_path / "data", "--features", source / "features")
    settings = [part for one in [*tiny, "train.epochs=1", "data.domains=[BK]"] for part in ("--set", one)]
    options = ("--dataset", "tvsum", "--data", tmp_path / "data", "--out", tmp_path / "run", *settings)
    result = run("train", *options, "--seeds", "0,1")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split("\t") == ["metric", "held out", "test", "test, chosen on test"]
    assert all(" ± " in cell for cell in result.stdout.splitlines()[1].split("\t")[1:])
    found = json.loads(run("evaluate", tmp_path / "run", "--split", "test", "--json").stdout)
    values = [one["mAP"] for one in found["seeds"]]
    assert found["mAP"] == pytest.approx(np.mean(values), abs=0.001)
    assert found["std"]["mAP"] == pytest.approx(np.std(values, ddof=1), abs=0.001)
    assert "±" in run("evaluate", tmp_path / "run", "--split", "test", "--table", "markdown").stdout
    assert run("train", *options, "--seeds", "0,x").exit_code == 2


def test_both_forms_of_tvsum_give_the_same_labels_and_true_seconds(shared, tmp_path):
    jsonl, mat = tmp_path / "jsonl", tmp_path / "mat"
    FIVE["write_slice"]("tvsum", shared, jsonl, None)
    mat.mkdir()
    (mat / "ydata-tvsum50.mat").write_bytes((shared / "annotations" / "ydata-tvsum50.mat").read_bytes())
    for source in (jsonl, mat):
        prepare("tvsum", source, source / "out")
    for split in ("train", "val", "test", "train_all"):
        ours, theirs = ({r["vid"]: r for r in rows_of(form / "out" / f"{split}.jsonl")} for form in (mat, jsonl))
        assert ours.keys() == theirs.keys()
        for video in ours:
            assert ours[video] == {**theirs[video], "duration": pytest.approx(theirs[video]["duration"], abs=5e-4)}
    longest = max(row["duration"] for row in rows_of(mat / "out" / "test.jsonl"))
    assert longest == pytest.approx(647.535, abs=1e-3)
    assert sum(len(rows_of(mat / "out" / f"{split}.jsonl")) for split in ("train_all", "test")) == 50


def test_videos_are_held_out_of_every_domain_and_none_is_in_two_splits(shared, tmp_path):
    FIVE["write_slice"]("youtube_highlights", shared, tmp_path / "raw", None)
    result = prepare("youtube_highlights", tmp_path / "raw", tmp_path / "out")
    assert "numbers will not compare" not in result.stderr
    train, val, test, every = (
        {row["vid"]: row["domain"] for row in rows_of(tmp_path / "out" / f"{split}.jsonl")}
        for split in ("train", "val", "test", "train_all")
    )
    assert {**train, **val} == every
    assert not train.keys() & val.keys()
    assert not every.keys() & test.keys()
    assert set(val.values()) == set(train.values())
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["queries"]["train_all"] == 233
    assert len(manifest["sources"]["youtube_highlight_val_release.jsonl"]) == 64


# Small files of our own in the raw forms


def write_jsonl(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def charades(tmp_path):
    """The official text with a few dirty lines, and the file of lengths."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "Charades_v1_train.csv").write_text("id,subject,length\nAAAAA,X,30.5\nBBBBB,Y,20.0\n")
    lines = ["AAAAA 1.0 9.5##a person sits down.", "AAAAA 8.0 2.0##backwards", "BBBBB 3.0 21.2##a light goes on."]
    (folder / "charades_sta_train.txt").write_text("\n".join([*lines, "CCCCC 1 2##no length", "AAAAA##x"]) + "\n")
    (folder / "charades_sta_test.txt").write_text("BBBBB 4.0 4.0##nothing\nBBBBB 1.0 5.0##a door opens.\n")
    return folder


def test_every_dirty_line_of_every_file_is_reported_at_once(charades, tmp_path):
    result = run("prepare", "charades_sta", "--source", charades, "--out", tmp_path / "out")
    assert result.exit_code == 1
    for line in (
        "charades_sta_train.txt, line 2: window [8, 2] ends before it starts",
        "charades_sta_train.txt, line 4: video 'CCCCC' has no length",
        "charades_sta_train.txt, line 5: 'AAAAA##x' is not of the form",
        "charades_sta_test.txt, line 1: window [4, 4] has zero length",
        "--drop-faulty",
    ):
        assert line in result.stderr
    assert not (tmp_path / "out").exists()


def test_faulty_lines_are_left_out_when_asked_and_ids_count_as_the_published_ones_do(charades, tmp_path):
    result = run("prepare", "charades_sta", "--source", charades, "--out", tmp_path / "out", "--drop-faulty", "--json")
    assert len(json.loads(result.stdout)["left_out"]) == 4
    every = rows_of(tmp_path / "out" / "train_all.jsonl")
    assert [(row["qid"], row["relevant_windows"]) for row in every] == [(0, [[1.0, 9.5]]), (1, [[3.0, 20.0]])]
    assert [row["qid"] for row in rows_of(tmp_path / "out" / "test.jsonl")] == [12405]


def test_text_without_lengths_says_where_they_are(charades, tmp_path):
    (charades / "Charades_v1_train.csv").unlink()
    result = run("prepare", "charades_sta", "--source", charades, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "it holds no video lengths, and there is no Charades_v1_train.csv" in result.stderr


def test_frames_of_tacos_become_seconds(tmp_path):
    video = {"timestamps": [[147, 294], [5, 3]], "sentences": ["He cuts.", "no"], "fps": 29.4, "num_frames": 588}
    for split in ("train", "val", "test"):
        path = tmp_path / "raw" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({f"s1-{split}.avi": video, "broken.avi": {"fps": 1}}))
    result = prepare("tacos", tmp_path / "raw", tmp_path / "out", "--drop-faulty")
    assert "left out: train.json, s1-train.avi, sentence 1: window" in result.stderr
    assert "left out: val.json, broken.avi: has no usable 'sentences'" in result.stderr
    (row,) = rows_of(tmp_path / "out" / "train.jsonl")
    assert (row["qid"], row["vid"], row["duration"]) == ("s1-train_0", "s1-train", pytest.approx(20))
    np.testing.assert_allclose(row["relevant_windows"], [[5, 10]])


def test_the_raw_dictionary_of_youtube_highlights_has_the_published_split(shared, tmp_path):
    tree = {}
    for row in FIVE["write_slice"]("youtube_highlights", shared, tmp_path / "peers", None):
        tree[row["vid"]] = {key: row[key] for key in ("frames", "fps", "clip", "match")} | {"info": [], "mturk": []}
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "youtube_anno.json").write_text(json.dumps(tree | {"of no split": {}}))
    for form in ("raw", "peers"):
        prepare("youtube_highlights", tmp_path / form, tmp_path / form / "out")
    for split in ("train_all", "test"):
        ours, theirs = (
            {r["vid"]: (r["label"], r["domain"], pytest.approx(r["duration"])) for r in rows_of(path)}
            for path in (tmp_path / form / "out" / f"{split}.jsonl" for form in ("raw", "peers"))
        )
        assert ours == theirs


def test_what_is_missing_is_named_with_where_it_comes_from(tmp_path):
    (tmp_path / "raw").mkdir()
    result = run("prepare", "qvhighlights", "--source", tmp_path / "raw", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "no highlight_val_release.jsonl" in result.stderr
    assert "github.com/jayleicn/moment_detr" in result.stderr
    result = run("prepare", "tvsum", "--source", tmp_path / "nowhere")
    assert "no such folder; put the files of TVSum there, or add --download" in result.stderr


def test_rows_without_features_are_named_and_can_be_left_out(sources, tmp_path):
    source = sources("qvhighlights", 3)
    features = source / "features"
    victim = rows_of(source / "highlight_val_release.jsonl")[0]
    (features / "clip_features" / f"{victim['vid']}.npz").unlink()
    common = ("prepare", "qvhighlights", "--source", source, "--out", tmp_path / "out", "--features", features)
    result = run(*common)
    assert result.exit_code == 1
    assert f"qid {victim['qid']}: video {victim['vid']!r} has no features in" in result.stderr
    assert "left out:" in prepare(*common[1:2], source, tmp_path / "out", *common[6:], "--drop-faulty").stderr
    assert len(rows_of(tmp_path / "out" / "val.jsonl")) == 2
    missing = run(*common[:-1], tmp_path)
    assert missing.exit_code == 1
    assert "slowfast+clip: slowfast_features|vid_slowfast|slowfast, clip_features" in missing.stderr


def test_a_pack_is_chosen_by_name_and_any_folders_will_do(sources, tmp_path, monkeypatch):
    source, opened = sources("qvhighlights", 3), Counter()
    opening = FeatureFolder.__init__
    monkeypatch.setattr(
        FeatureFolder,
        "__init__",
        lambda self, folder, *how: opened.update([folder.name]) or opening(self, folder, *how),
    )
    (source / "features" / "clip_features").rename(source / "features" / "mine")
    (source / "features" / "clip_text_features").rename(source / "features" / "mine_text")
    options = ("--features", source / "features", "--pack")
    result = prepare("qvhighlights", source, tmp_path / "out", *options, "mine", "--json")
    assert json.loads(result.stdout)["pack"] == "mine"
    assert opened == {"mine": 1, "mine_text": 1}
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [one["dim"] for one in manifest["features"]] == [512]
    unknown = run("prepare", "qvhighlights", "--source", source, "--out", tmp_path / "out", *options, "theirs")
    assert unknown.exit_code == 1
    assert "looked for theirs" in unknown.stderr


def test_download_fetches_what_is_missing_and_prepares_it(sources, tmp_path, monkeypatch):
    from dataclasses import replace

    from pipelines.preparation import download
    from spikemba.datasets.benchmark import Download
    from spikemba.datasets.benchmarks import charades_sta

    source = sources("charades_sta", 3)
    asked = []

    def fetch(wanted, folder, report):
        asked.append(wanted.url)
        target = folder / wanted.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((source / wanted.name).read_bytes())
        return target

    monkeypatch.setattr(download, "fetch", fetch)
    big = Download("https://example.org/videos.tgz", "videos.tgz", large=True)
    about = charades_sta.BENCHMARK
    monkeypatch.setattr(charades_sta, "BENCHMARK", replace(about, downloads=(*about.downloads, big)))
    result = prepare("charades_sta", tmp_path / "new", tmp_path / "out", "--download")
    assert [url.rsplit("/", 1)[1] for url in asked] == ["charades_train_release.jsonl", "charades_test_release.jsonl"]
    assert "not fetched without --with-videos: https://example.org/videos.tgz" in result.stderr
    assert len(rows_of(tmp_path / "out" / "train_all.jsonl")) == 3


@pytest.mark.parametrize("command", [["prepare", name] for name in FIVE["NAMES"]] + [["compare"]])
def test_the_commands_explain_themselves_with_an_example(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert f"Example: spikemba {' '.join(command)}" in result.stdout


def test_a_checkpoint_inside_a_run_is_evaluated_on_the_runs_data(sources, tiny, tmp_path):
    source = sources("tacos", 2)
    prepare("tacos", source, tmp_path / "data", "--features", source / "features")
    settings = [part for one in [*tiny, "train.epochs=1"] for part in ("--set", one)]
    run("train", "--dataset", "tacos", "--data", tmp_path / "data", "--out", tmp_path / "run", *settings)
    found = [run("evaluate", tmp_path / "run" / part, "--split", "test").stdout for part in ("best", "best_on_test")]
    assert found[0] == found[1]  # there is one epoch to choose
    assert found[0].startswith("metric\t%")


def test_training_what_was_not_prepared_says_how_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("train", "--dataset", "tvsum")
    assert result.exit_code == 1
    assert "there is no data/tvsum/train.jsonl; make it with `spikemba prepare tvsum --source DIR`" in result.stderr


def test_vgg_features_go_with_word_vectors(sources, tiny, tmp_path):
    source = sources("charades_sta", 4)
    features, rng = tmp_path / "vgg", np.random.default_rng(0)
    (features / "vgg_features" / "rgb_features").mkdir(parents=True)
    for name in ("train", "test"):
        for row in rows_of(source / f"charades_{name}_release.jsonl"):
            rows = rng.standard_normal((round(6 * row["duration"]), 8))
            np.save(features / "vgg_features" / "rgb_features" / f"{row['vid']}.npy", rows)
    (features / "glove.6B.300d.txt").write_text("person 0.5 1 2\na 1 0 0\n")
    prepare("charades_sta", source, tmp_path / "data", "--features", features, "--pack", "vgg+glove")
    settings = [part for one in [*tiny, "train.epochs=1"] for part in ("--set", one)]
    where = ("--data", tmp_path / "data", "--out", tmp_path / "run")
    assert run("train", "--dataset", "charades_sta", *where, *settings).exit_code == 0
    stored = json.loads((tmp_path / "run" / "best" / "config.json").read_text())["features"]
    assert stored["clip_s"] == pytest.approx(1 / 6)
    assert (stored["video"][0]["dim"], stored["text"]["encoder"]) == (8, "glove.6B.300d")


def test_a_study_is_evaluated_on_other_data_domain_by_domain(sources, tiny, tmp_path):
    source = sources("tvsum", 4)
    prepare("tvsum", source, tmp_path / "data", "--features", source / "features")
    settings = [part for one in [*tiny, "train.epochs=1", "data.domains=[BK,GA]"] for part in ("--set", one)]
    where = ("--data", tmp_path / "data", "--out", tmp_path / "run")
    run("train", "--dataset", "tvsum", *where, *settings)
    own = run("evaluate", tmp_path / "run", "--split", "test", "--json").stdout
    other = tmp_path / "other.yaml"
    other.write_text((tmp_path / "data" / "config.yaml").read_text())
    rules = ["data.benchmark=tvsum", "data.normalise_text=false", "data.max_tokens=100", "data.max_clips=1000"]
    changes = [part for one in rules for part in ("--set", one)]
    again = run("evaluate", tmp_path / "run", "--split", "test", "--json", "--config", other, *changes)
    assert again.stdout == own


# Sets with null queries


NOTHING = {"relevant_windows": [[0, 0]], "relevant_clip_ids": [], "saliency_scores": [[]]}


def na_row(qid, vid, query, **more):
    return {"qid": qid, "query": query, "duration": 150, "vid": vid, **more}


@pytest.fixture
def na_source(tmp_path):
    """NA-VMR as it is published, in its folders: ids are those of the sentences' own rows, on other videos."""
    shown = {"relevant_windows": [[0, 4]], "relevant_clip_ids": [0, 1], "saliency_scores": [[4, 4, 4], [2, 2, 2]]}
    for split, first in {"train": 0, "val": 40}.items():
        ids = range(first, first + 20)
        positive = [na_row(i, f"{split}{i}", f"thing {i}", **shown) for i in ids]
        absent = [na_row(i, f"{split}{(i + 1) % 20 + first}", f"thing {i}", **NOTHING) for i in ids]
        invented = [na_row(30000 + i, f"{split}{i}", "an osprey dives", **NOTHING) for i in ids]
        root = tmp_path / "raw"
        write_jsonl(root / f"highlight_{split}_release.jsonl", positive)
        write_jsonl(root / "dataset" / "indomain" / f"qvhl_id_neg_{split}.jsonl", absent)
        write_jsonl(root / "dataset" / "indomain" / f"qvhl_id_pos_neg_{split}.jsonl", positive + absent)
        write_jsonl(root / "dataset" / "outofdomain" / f"qvhl_ood_neg_{split}.jsonl", invented)
    return tmp_path / "raw"


def test_null_queries_of_na_vmr_get_no_window_and_ids_of_their_own(na_source, tmp_path):
    said = prepare("na_vmr", na_source, tmp_path / "out").stderr
    assert "test 60 (40 null)" in said
    rows = rows_of(tmp_path / "out" / "test.jsonl")
    assert [row["qid"] for row in rows[:2]] == [40, 41]  # those of QVHighlights keep theirs, and their features
    assert len({row["qid"] for row in rows}) == 60
    null = {row["qid"]: row for row in rows if row["relevant_windows"] == []}
    assert null["na_id_40"] == na_row("na_id_40", "val41", "thing 40", relevant_windows=[], kind="in-domain")
    assert null["na_ood_30040"]["kind"] == "out-of-domain"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["null_queries"] == {"train": 36, "val": 4, "test": 40, "train_all": 40}
    assert set(manifest["sources"]) == {
        *(f"highlight_{split}_release.jsonl" for split in ("train", "val")),
        *(f"qvhl_{kind}_neg_{split}.jsonl" for kind in ("id", "ood") for split in ("train", "val")),
    }


def test_the_mixed_files_of_na_vmr_bring_their_own_positives(na_source, tmp_path):
    for path in [*na_source.rglob("highlight_*"), *na_source.rglob("qvhl_id_neg_*")]:
        path.unlink()
    prepare("na_vmr", na_source, tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "test.jsonl")
    assert sum(row["relevant_windows"] != [] for row in rows) == 20
    assert len({row["qid"] for row in rows}) == len(rows) == 60


def test_null_queries_alone_are_said_to_be_alone(na_source, tmp_path):
    for path in [*na_source.rglob("highlight_*"), *na_source.rglob("qvhl_id_pos_neg_*")]:
        path.unlink()
    said = " ".join(prepare("na_vmr", na_source, tmp_path / "out").stderr.split())
    assert "test has null queries alone" in said


def test_rows_of_na_vmr_that_nobody_prepared_are_refused_with_the_cure(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [na_row(1, "v", "q", **NOTHING)])
    result = run("evaluate", "--predictions", tmp_path / "a.jsonl", "--annotations", tmp_path / "a.jsonl")
    assert result.exit_code == 1
    assert "`spikemba prepare na_vmr --source DIR` reads such rows" in " ".join(result.stderr.split())


def test_the_real_null_queries_of_na_vmr_are_read(shared, tmp_path):
    real = shared / "annotations"
    (tmp_path / "raw").mkdir()
    for name in ("qvhl_id_neg_val.jsonl", "highlight_val_release.jsonl"):
        (tmp_path / "raw" / name).write_bytes((real / name).read_bytes())
    for name in ("qvhl_id_neg_val.jsonl", "highlight_val_release.jsonl"):  # no training rows are here: those serve
        text = (real / name).read_text()
        (tmp_path / "raw" / name.replace("val", "train")).write_text(text)
    result = prepare("na_vmr", tmp_path / "raw", tmp_path / "out")
    assert "test 3100 (1550 null)" in result.stderr


def test_the_benchmark_folder_of_soccer_gmr_is_read_and_not_the_full_one(tmp_path):
    for folder, n in {"Full": 9, "Standard": 3}.items():
        for split in ("train", "val", "test"):
            rows = [
                na_row(f"{split}{i}", f"{split}{i}", "a goal", relevant_windows=[[0, 4]] * (i % 3)) for i in range(n)
            ]
            rows = [row | {"action_type": "goal", "moment": {"type": "clips"}} for row in rows]
            write_jsonl(tmp_path / "raw" / "label" / folder / f"{split}.jsonl", rows)
    said = prepare("gmr", tmp_path / "raw", tmp_path / "out").stderr
    assert "train 3 (1 null), val 3 (1 null), test 3 (1 null)" in said
    assert [len(row["relevant_windows"]) for row in rows_of(tmp_path / "out" / "test.jsonl")] == [0, 1, 2]

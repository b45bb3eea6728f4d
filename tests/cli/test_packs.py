"""Packs from the command line: what `features show` tells of them, and recipes on packs in their published layout."""

import json
import os
import re
import shutil

import h5py
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipelines.runs.config import config_names, config_path
from pipelines.tasks.grounding.config import load_config
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.base import GroundingDataset
from spikemba.datasets.benchmarks.qvhighlights import BENCHMARK
from spikemba.features import FeatureFolder
from spikemba.moments import Window
from spikemba_cli.main import app

RNG = np.random.default_rng(0)
RECIPES = [name for name in config_names() if name.startswith("qvhighlights_")]
SPLITS = {"train": 8, "val": 2, "test": 2}


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def rows_of(split):
    first = 100 * [*SPLITS].index(split)
    rated = {"relevant_clips": tuple(range(10, 20)), "ratings": ((4, 4, 4),) * 10}
    return [
        Annotation(first + i, f"thing {i}", f"{split}{i}_60.0_210.0", 150.0, (Window(20, 40),), **rated)
        for i in range(SPLITS[split])
    ]


ROWS = [row for split in SPLITS for row in rows_of(split)]


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def write_pt(folder, name, rows):
    torch.save(torch.from_numpy(rows).half(), folder / f"{name}.pt")


def write_npz(folder, name, rows):
    np.savez_compressed(folder / f"{name}.npz", features=rows)


def write_query(folder, name, rows):
    np.savez_compressed(folder / f"{name}.npz", last_hidden_state=rows, pooler_output=rows[0])


LAYOUTS = {
    "qvhighlights_internvideo2": ([768], write_pt, 4096, write_pt),
    "qvhighlights_blip2": ([2304, 512, 768], write_npz, 768, write_query),
    "qvhighlights_pe_core": ([1024], write_npz, 1024, write_query),
}
"""Recipe -> widths of its streams, how a video is stored, width of a token, how a query is stored."""


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A function that writes a recipe's data and features as they are published, where its configuration looks."""
    monkeypatch.chdir(tmp_path)

    def write(recipe):
        for split in SPLITS:
            write_annotations(tmp_path / "data" / "qvhighlights" / f"{split}.jsonl", rows_of(split))
        data = load_config(config_path(recipe)).data
        widths, write_video, width, write_text = LAYOUTS[recipe]
        for folder, dim in zip(data.video_features, widths, strict=True):
            folder.mkdir(parents=True)
            for row in ROWS:
                write_video(folder, row.video_id, normal(75, dim))
        data.text_features.mkdir(parents=True)
        for row in ROWS:
            write_text(data.text_features, f"qid{row.query_id}", normal(6 + int(row.query_id) % 5, width))
        return data

    return write


def test_every_recipe_has_a_layout_and_is_a_pack_of_the_benchmark():
    assert set(RECIPES) == set(LAYOUTS)
    for recipe in RECIPES:
        data = load_config(config_path(recipe)).data
        names = [path.name for path in data.video_features]
        packs = [pack for pack in BENCHMARK.packs if [of[0] for of in pack.video] == names]
        assert [pack.text[0] for pack in packs] == [data.text_features.name]
        assert data.max_tokens == packs[0].settings.get("max_tokens", 32)
        assert data.published() == "qvhighlights"


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_reads_the_published_layout(recipe, prepared):
    data = prepared(recipe)
    dataset = GroundingDataset(data, "train")
    pair = dataset[1]
    widths, _, width, _ = LAYOUTS[recipe]
    assert pair.video.shape == (75, sum(widths))
    assert pair.tokens.shape == (7, width)
    for folder in (*data.video_features, data.text_features):
        shown = json.loads(run("features", "show", folder, "--annotations", data.train, "--json").stdout)
        assert recipe in shown["recipes"] or "qvhighlights" in shown["recipes"]
        assert not shown["stops"]
        assert (shown["items"], shown["n_annotated"]) == (12, 8)


def test_a_recipe_trains_and_evaluates_and_refuses_other_numbers(prepared, tiny, tmp_path):
    data = prepared("qvhighlights_internvideo2")
    settings = [word for one in (*tiny, "train.epochs=1") for word in ("--set", one)]
    trained = run("train", "--dataset", "qvhighlights_internvideo2", *settings, "--out", "run")
    assert trained.exit_code == 0, trained.output
    found = json.loads(run("evaluate", "run", "--split", "test", "--json").stdout)
    assert {"MR-full-mAP", "HL-min-VeryGood-mAP"} <= set(found["brief"])
    (folder,) = data.video_features
    for path in folder.glob("*.pt"):
        write_pt(folder, path.stem, normal(75, 768))
    said = failing("evaluate", "run", "--split", "test")
    assert re.search(r"has other numbers for '.*_210\.0' in qvhighlight_internvideo2_videoclip", said), said
    shutil.rmtree(folder)
    with h5py.File(tmp_path / "one.h5", "w") as file:  # of other videos and in another form nothing is known to differ
        for row in rows_of("test"):
            file[row.video_id.replace("test", "v_test")] = normal(75, 768).T
    moved = "data.video_features=[one.h5]"
    assert run("evaluate", "run", "--split", "test", "--set", moved, "--json").exit_code == 0


def test_a_recipe_without_data_says_how_to_prepare_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "spikemba prepare qvhighlights --source DIR`" in failing("train", "--dataset", "qvhighlights_blip2")


def failing(*arguments):
    """What a command says that exits with 1."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    return result.stderr


# features show


def shown(*arguments, code=0):
    result = run("features", "show", *arguments)
    assert result.exit_code == code, result.output
    return result.stdout


def videos(folder, **changed):
    folder.mkdir()
    for row in rows_of("train"):
        np.save(folder / f"{row.video_id}.npy", normal(75, 512))
    for name, rows in changed.items():
        np.save(folder / f"{name}_60.0_210.0.npy", rows)
    write_annotations(folder.parent / "train.jsonl", rows_of("train"))
    return folder


def test_what_would_stop_a_training_is_shown_with_what_mends_it(tmp_path):
    broken = normal(75, 512)
    broken[3, 1] = np.nan
    pack = videos(tmp_path / "p", train1=broken, train2=normal(40, 512), train3=normal(75, 300))
    (pack / "train0_60.0_210.0.npy").unlink()
    text = shown(pack, "--annotations", tmp_path / "train.jsonl", code=1)
    for said in (
        "videos\t7 (annotations: 8)",
        "width\t512",
        "stops training: 1 of 8 videos are missing: train0_60.0_210.0; fetch the rest, or leave them out",
        "train1_60.0_210.0.npy holds nan in row 3 (1 of 75 rows hold such)",
        "rows that cannot be theirs: train2_60.0_210.0 (40 rows, 75.0 clips); --set data.lengths=stretch",
        "train3_60.0_210.0.npy holds an array of shape (75, 300); expected (n, 512)",
    ):
        assert said in text, text


def test_what_is_odd_is_shown_and_stops_nothing(tmp_path):
    zeros, some, same = np.zeros((75, 512), np.float32), normal(75, 512), normal(75, 512)
    some[5] = 0
    changed = {"train0": zeros, "train1": some, "train2": same, "train3": same, "train4": normal(512, 75)}
    pack = videos(
        tmp_path / "p", **changed, train5=normal(72, 512), train6=np.tile(normal(1, 512), (75, 1)), other=same
    )
    text = shown(pack, "--annotations", tmp_path / "train.jsonl")
    for said in (
        "encoder\tprobably CLIP ViT-B/32 (video); guessed by the width alone; also fits CLIP ViT-B/32 (text)",
        "seconds of a row\t2",
        "note: nothing but zeros: train0_60.0_210.0",
        "note: rows of zeros among others: train1_60.0_210.0",
        "note: the same numbers: other_60.0_210.0, train2_60.0_210.0, train3_60.0_210.0",
        "note: stored as (F, n): 1 of 9, as train4_60.0_210.0",
        "note: more than 2 rows off: train5_60.0_210.0 (72 rows, 75.0 clips)",
        "note: all rows are alike: train6_60.0_210.0",
        "note: 1 more than the annotations have: other_60.0_210.0",
    ):
        assert said in text, text


@pytest.mark.parametrize(("n", "clip_s"), [(150, 1.0), (100, 1.5), (56, 8 / 3), (43, 3.488)])
def test_the_length_of_a_row_is_told_from_the_durations(tmp_path, n, clip_s):
    pack = tmp_path / "p.npz"
    np.savez(pack, **{row.video_id: normal(n, 768) for row in rows_of("val")})
    write_annotations(tmp_path / "val.jsonl", rows_of("val"))
    text = shown(pack, "--annotations", tmp_path / "val.jsonl")
    assert f"seconds of a row\t{clip_s:g}\n" in text
    assert f"note: a row lasts {clip_s:g} s; --set data.clip_s={clip_s:g}" in text


def test_sentences_are_told_from_videos_and_held_against_the_annotations(tmp_path):
    folder = tmp_path / "sentences"
    folder.mkdir()
    for row in rows_of("val"):
        said = np.frombuffer(row.query.replace("thing 1", "other").encode(), np.uint8)
        np.savez(folder / f"{row.query_id}.npz", states=normal(4, 300), query=said)
    write_annotations(tmp_path / "val.jsonl", rows_of("val"))
    text = shown(folder, "--annotations", tmp_path / "val.jsonl", code=1)
    assert "encoder\tprobably word vectors of GloVe; guessed by the width alone\n" in text
    assert "tokens\t4 to 4, median 4" in text
    assert "1 are of other sentences: qid 101 is of 'other', and the annotations say 'thing 1'" in text


def test_a_pack_that_cannot_be_opened_is_an_error(tmp_path):
    (tmp_path / "p.npz").write_bytes(b"PK\x03\x04")
    assert "p.npz is damaged" in failing("features", "show", tmp_path / "p.npz")
    np.savez(tmp_path / "q.npz", **{f"v{i}": normal(3, 4) for i in range(9)})
    (tmp_path / "folder").mkdir()
    (tmp_path / "q.npz").rename(tmp_path / "folder" / "q.npz")
    assert "holds q.npz, whose keys are its items; name the file" in failing("features", "show", tmp_path / "folder")


def test_where_no_features_are_none_are_invented(tmp_path):
    said = failing("features", "show", tmp_path / "nothere")
    assert "nothere: no such file or folder" in said
    os.mkfifo(tmp_path / "pipe.npy")
    assert "pipe.npy: neither a file nor a folder" in failing("features", "show", tmp_path / "pipe.npy")
    (tmp_path / "empty").mkdir()
    empty = failing("features", "show", tmp_path / "empty")
    assert "empty: the folder holds no feature files" in empty
    assert "--encoder" not in said + empty


def test_packs_of_two_forms_are_compared(tmp_path):
    pack = videos(tmp_path / "clip_features")
    folder = FeatureFolder(pack)
    with h5py.File(tmp_path / "clip.h5", "w") as file:
        for name in folder.items():
            file[name] = folder.video(name)
    found = json.loads(run("features", "compare", pack, tmp_path / "clip.h5", "--json").stdout)
    assert [(one["n_common"], one["cosine_min"] > 0.999999) for one in found] == [(8, True)]


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.array([{"a": 1}]), "an array of '|O'; expected one of numbers"),
        (np.ones((4, 512), np.complex64), "an array of '<c8'; expected one of numbers"),
        (np.zeros(3, [("a", "f4")]), "an array of records; expected one of numbers"),
    ],
)
def test_a_form_that_is_not_read_is_no_damage(array, why, tmp_path):
    (tmp_path / "p").mkdir()
    np.save(tmp_path / "p" / "v.npy", array)
    said = failing("features", "show", tmp_path / "p")
    cure = "save its numbers as float16 or float32, (n, F), in an .npz"
    assert f"v.npy is of a form that is not read ({why}); {cure}" in said
    assert "delete" not in said


def test_a_folder_without_features_says_what_is_expected_and_not_how_an_encoder_of_its_name_would_make_them(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "v.csv").write_text("1,2")
    said = failing("features", "show", tmp_path / "p")
    assert "the folder holds no feature files, but 1 other file, as v.csv; expected a folder of .npz" in said
    compared = failing("features", "compare", tmp_path / "p", tmp_path / "p")
    assert "p: the folder holds no feature files; expected a folder of .npz" in compared
    assert "spikemba extract" not in said + compared


def test_no_rows_and_the_name_of_one_array_are_said_as_what_they_are(tmp_path):
    (tmp_path / "p").mkdir()
    np.savez(tmp_path / "p" / "v.npz", features=np.zeros((0, 512), np.float32))
    said = failing("features", "show", tmp_path / "p")
    assert "v.npz holds an array of shape (0, 512); expected (n, F) with n >= 1" in said
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["v0"] = file["v1"] = np.ones((3, 512), np.float32)
    said = failing("features", "show", f"{tmp_path / 'a.h5'}:v0")
    assert f"a.h5:v0 is one array, (3, 512), and no group of them; name the file alone: {tmp_path / 'a.h5'}" in said

"""A folder of a drawn corpus holds one making: another is refused before anything changes."""

import json
import os

import pytest
from typer.testing import CliRunner

from pipelines.preparation.making import begin, draw_all
from pipelines.preparation.motions_corpus import MotionsConfig, draw_motions
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from spikemba.errors import OutputError, SpikeMbaError
from spikemba.progress import silent
from spikemba_cli.main import app

SIZES = {"train": 1, "val": 1, "test": 1}


def written(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("more", [{"seed": 1}, {"test": 2}])
def test_shapes_of_another_making_are_refused_also_where_the_folder_says_nothing(tmp_path, more):
    prepare_shapes(tmp_path, ShapesConfig(**SIZES))
    before = written(tmp_path)
    with pytest.raises(OutputError, match=r"it holds shapes made otherwise: \w+ \d \(now \d\); choose another folder"):
        prepare_shapes(tmp_path, ShapesConfig(**SIZES | more))
    assert written(tmp_path) == before
    (tmp_path / "made.json").unlink()
    with pytest.raises(OutputError, match=r"\.jsonl of another making lies? there"):
        prepare_shapes(tmp_path, ShapesConfig(**SIZES | more))
    prepare_shapes(tmp_path, ShapesConfig(**SIZES))
    assert written(tmp_path) == before


@pytest.mark.parametrize("more", [{"which": "orders"}, {"n_frames": 8}, {"look": "light"}])
def test_motions_of_another_making_are_refused(tmp_path, more):
    sizes = {**SIZES, "n_frames": 4, "size_px": 16}
    draw_motions(tmp_path, MotionsConfig(**sizes))
    before = written(tmp_path)
    with pytest.raises(OutputError, match=f"made otherwise: {next(iter(more))} "):
        draw_motions(tmp_path, MotionsConfig(**sizes | more))
    assert written(tmp_path) == before
    (tmp_path / "made.json").unlink()
    if "n_frames" not in more:  # of which no list says anything
        with pytest.raises(OutputError, match="of another making"):
            draw_motions(tmp_path, MotionsConfig(**sizes | more))


def test_a_damaged_record_is_one_line(tmp_path):
    (tmp_path / "made.json").write_text("{")
    with pytest.raises(OutputError, match=r"its made.json is damaged \("):
        prepare_shapes(tmp_path, ShapesConfig(**SIZES))


@pytest.mark.parametrize("corpus", ["shapes", "motions"])
@pytest.mark.parametrize(("option", "most"), [("--seed", 10**9), ("--train", 100_000)])
def test_sizes_and_seeds_have_bounds(tmp_path, corpus, option, most):
    done = CliRunner().invoke(app, ["prepare", corpus, "--out", str(tmp_path / "out"), option, str(10**23)])
    assert (done.exit_code, done.stdout) == (1, "")
    said = f"prepare {corpus} has 1 fault: {option[2:]}: {10**23}: input should be less than or equal to {most}"
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_in_which_nothing_was_finished_takes_another_size(tmp_path):
    begin(tmp_path, "shapes", ShapesConfig(**SIZES), [])
    (tmp_path / "videos").mkdir()
    begin(tmp_path, "shapes", ShapesConfig(**SIZES | {"test": 2}), [])
    assert json.loads((tmp_path / "made.json").read_text())["test"] == 2
    (tmp_path / "videos" / "a.mp4").touch()
    with pytest.raises(OutputError, match=r"made otherwise: test 2 \(now 1\)"):
        begin(tmp_path, "shapes", ShapesConfig(**SIZES), [])


def test_a_process_that_is_killed_is_one_line_that_says_how_to_go_on():
    with pytest.raises(SpikeMbaError, match=r"was ended from outside.*the same command goes on from there"):
        draw_all(os._exit, [(9,)], silent, at_once=1)


def test_the_record_says_all_settings(tmp_path):
    prepare_shapes(tmp_path, ShapesConfig(**SIZES))
    assert json.loads((tmp_path / "made.json").read_text()) == {"corpus": "shapes", **SIZES, "seed": 0}

"""The Tab key, as bash and zsh ask: names of what there is, quickly."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spikemba.checkpoints.grounding import BUNDLED
from spikemba.datasets.registry import benchmark_names
from spikemba.encoders.registry import encoder_names
from spikemba_cli import completion
from spikemba_cli.main import STAGES, app

ROOT = Path(__file__).parents[2]


def completed(line, shell="bash"):
    """What the shell is told of a line whose last word is being typed."""
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
    }[shell]
    env = {"_SPIKEMBA_COMPLETE": f"complete_{shell}", **asked}
    return CliRunner().invoke(app, [], env=env, prog_name="spikemba").stdout.split()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three runs, one of them elsewhere, and what is none."""
    for run in ("runs/shapes", "runs/study/seed0", "old/kitchen", "runs/with a blank"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "config.yaml").touch()
    (tmp_path / "runs/not_a_run").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_those_of_groups():
    assert set(completed("spikemba ")) >= {name for commands in STAGES.values() for name in commands}
    assert completed("spikemba prepare qv") == ["qvhighlights"]


@pytest.mark.parametrize("command", ["extract v --encoder ", "index v --encoder ", "ground v x --encoder "])
def test_encoders(command):
    assert completed(f"spikemba {command}") == encoder_names()


def test_forms_of_predictions_and_what_they_are_converted_to():
    assert completed("spikemba convert p.jsonl --from time") == ["timelens"]
    assert completed("spikemba convert p.jsonl --to fc") == ["fcpxml"]


def test_the_last_of_several_encoders():
    assert completed("spikemba extract v --encoder clip+slow") == ["clip+slowfast"]


def test_a_file_of_weights_comes_behind_its_encoder():
    assert completed("spikemba ground v x --weights slow") == ["slowfast="]


@pytest.mark.parametrize("command", ["ground v x --checkpoint ", "serve --checkpoint ", "evaluate ", "share "])
def test_bundled_models_and_runs(folder, command):
    assert completed(f"spikemba {command}") == ["mini", "runs/shapes", "runs/study/seed0"]


@pytest.mark.parametrize("command", ["runs ", "calibrate ", "recognize v --checkpoint "])
def test_runs_where_no_bundled_model_will_do(folder, command):
    assert completed(f"spikemba {command}") == ["runs/shapes", "runs/study/seed0"]


def test_runs_in_the_folder_that_is_being_typed(folder):
    assert completed("spikemba evaluate old/k") == ["old/kitchen"]
    assert completed("spikemba evaluate elsewhere/") == []


@pytest.mark.parametrize("command", ["train --dataset ", "adapt --dataset ", "ablate ", "config show "])
def test_configurations(command):
    known = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))
    assert completed(f"spikemba {command}") == known


def test_benchmarks_splits_and_formats():
    assert completed("spikemba evaluate --dataset ") == benchmark_names()
    assert completed("spikemba evaluate runs/a --split t") == ["train", "test"]
    assert completed("spikemba share mini --split v") == ["val"]
    assert completed("spikemba ground v x --format f") == ["fcpxml"]


def test_zsh_is_told_the_same(folder):
    told = " ".join(completed("spikemba ground v x --checkpoint ", "zsh"))
    for name in ("mini", "runs/shapes", "runs/study/seed0"):
        assert f'"{name}"' in told


def test_the_names_of_bundled_models_are_those_that_load():
    assert completion.bundled() == sorted(BUNDLED)


def test_completing_imports_no_torch():
    names = "checkpoints encoders weights runs configurations benchmarks splits"
    code = (
        "import sys\nfrom spikemba_cli import completion, main\n"
        f"for name in {names.split()}: getattr(completion, name)('')\n"
        "print(sorted({'torch', 'pandas', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr

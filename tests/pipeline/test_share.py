"""Giving models away: a folder in the layout of the hub, and a hub of our own on 127.0.0.1."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_hub import serving

from pipelines.runs.study_folder import Study, StudyRun, write_study
from pipelines.share import is_repository, share
from spikemba import PretrainedSpikeMba, load
from spikemba.errors import CheckpointError, ShareError

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "shapes.mp4"


def python(code, *arguments, environment=None, folder=None):
    """Python code in a process of its own."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    own = {**os.environ, "PYTHONPATH": path, **(environment or {})}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=own, cwd=folder, capture_output=True, text=True, check=False)


COMMANDS = """
import json, os, sys
from typer.testing import CliRunner
from spikemba_cli.main import app
for environment, arguments in json.loads(sys.argv[1]):
    os.environ |= environment
    result = CliRunner().invoke(app, arguments)
    print(json.dumps([result.exit_code, result.stdout, result.stderr]))
"""


def spikemba(*commands, environment):
    """Exit code, stdout and stderr of each (more environment, arguments), in one process of their own."""
    done = python(COMMANDS, json.dumps(commands, default=str), environment=environment)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_python_of_a_shared_model_card_grounds_a_video_in_a_fresh_process(trained, tmp_path):
    share(trained, str(tmp_path / "given"), splits=("test",), licence="apache-2.0")
    assert sorted(p.name for p in (tmp_path / "given").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "given" / "README.md").read_text(), re.DOTALL)
    shutil.copy(EXAMPLE, tmp_path / "video.mp4")
    found = python(f"{code}\nprint(model.features.encoder)", folder=tmp_path)
    assert found.returncode == 0, found.stderr
    expected = load(trained).ground(EXAMPLE, "what to look for", cache=False)
    head, *moments = str(expected).splitlines()
    assert found.stdout.splitlines() == [head.replace(str(EXAMPLE), "video.mp4"), *moments, "mini"]


@pytest.mark.parametrize("part", [".", "best"])
def test_the_card_of_a_run_holds_data_metrics_and_settings_and_no_path(trained, tmp_path, corpus, part):
    share(trained / part, str(tmp_path / "given"), splits=("test",), licence="mit")
    card = (tmp_path / "given" / "README.md").read_text()
    for part in (
        "license: mit",
        "| % | validation | test |",
        "`model.width` | `16`",
        "pairs of train.jsonl",
        "| date |",
    ):
        assert part in card, part
    everything = card + (tmp_path / "given" / "config.json").read_text()
    assert str(corpus) not in everything
    assert str(trained.parent) not in everything


def test_sharing_again_keeps_a_card_unless_a_new_one_is_wanted(trained, tmp_path):
    target = tmp_path / "given"
    assert not share(trained, str(target)).kept_card
    (target / "README.md").write_text("by hand")
    assert share(trained, str(target)).kept_card
    assert (target / "README.md").read_text() == "by hand"
    assert not share(trained, str(target), new_card=True).kept_card
    assert "SpikeMba" in (target / "README.md").read_text()


def test_what_cannot_be_shared_is_said(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ShareError, match="the model comes from there"):
        share(trained, str(trained / "best"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(ShareError, match="it holds other files and no checkpoint"):
        share(trained, str(tmp_path / "full"))
    with pytest.raises(ShareError, match=r"it may be a folder here or a repository; write ./full/model"):
        share(trained, "full/model")
    write_study(tmp_path / "study", Study(benchmark="tvsum", runs=(StudyRun(folder="BK", seed=1),)))
    with pytest.raises(CheckpointError, match=r"holds 1 runs; share one of them, such as .*study/BK"):
        share(tmp_path / "study", str(tmp_path / "given"))
    with pytest.raises(ShareError, match="cannot reach huggingface.co"):
        share(trained, "me/model")


def test_targets_are_folders_unless_they_name_an_owner():
    assert is_repository("me/model")
    assert not any(map(is_repository, ("model", "./me/model", "/me/model", "~/model", "a/b/c")))


def test_a_pushed_model_is_found_by_its_name_and_later_in_the_cache(trained, tmp_path):
    push = ["share", trained, "--to", "me/model", "--json"]
    ask = ["ground", EXAMPLE, "a red circle enters", "--json", "--checkpoint"]
    beside = {"pytorch_model.bin": b"\x80\x04", "modeling.py": b"raise SystemExit(3)"}
    with serving(beside) as hub:
        cache = hub.environment(str(tmp_path / "cache"))
        login = {"HF_TOKEN": cache["HF_TOKEN"]}
        nobody, pushed, again, online, absent, old = spikemba(
            ({"HF_TOKEN": "hf_wrong"}, push),
            (login, push),
            (login, push),
            ({}, [*ask, "me/model"]),
            ({}, [*ask, "me/other"]),
            ({}, [*ask, "me/model@v9"]),
            environment=cache,
        )
        (repository,) = hub.repositories.values()
        asked = list(hub.asked)

    assert nobody[0] == 1
    assert "log in with `hf auth login`" in nobody[2]
    assert pushed[0] == again[0] == 0
    assert json.loads(pushed[1]) == {"place": f"{hub.address}/me/model", "kept_card": False}
    assert json.loads(again[1])["kept_card"]
    assert repository.private
    assert sorted(set(repository.files) - set(beside)) == ["README.md", "config.json", "model.safetensors"]

    assert online[0] == 0
    assert online[2].startswith("mini knows drawn shapes")  # and no bars in a pipe
    assert online[2].count("\n") == 1
    assert not [request for request in asked if "pytorch_model" in request or "modeling" in request]
    assert (absent[0], old[0]) == (1, 1)
    assert "the hub has no such repository" in absent[2]
    assert "the repository has no revision 'v9'" in old[2]

    (unplugged,) = spikemba(({}, [*ask, "me/model"]), environment=cache)  # the server is gone
    assert (unplugged[0], unplugged[2]) == (0, online[2])
    assert json.loads(unplugged[1])["moments"] == json.loads(online[1])["moments"]


def test_a_loaded_checkpoint_can_be_asked_directly(trained):
    model = PretrainedSpikeMba.from_pretrained(trained)
    found = load(model.checkpoint).ground(EXAMPLE, "a red circle enters", top=2, cache=False)
    expected = load(str(trained)).ground(EXAMPLE, "a red circle enters", top=2, cache=False)
    assert found.answer == expected.answer


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "kitchens"),
        ({"name": "Kitchens of Rome"}, "Kitchens of Rome"),
        ({"name": "Charades-STA", "benchmark": "charades_sta"}, "Charades-STA"),
        ({"benchmark": "charades_sta"}, "kitchens"),
    ],
)
def test_a_card_names_the_data_and_no_benchmark_that_they_are_not(trained, tmp_path, settings, named):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree["name"] = "kitchens"
    tree["data"] |= settings
    (run / "config.yaml").write_text(yaml.safe_dump(tree))
    share(run, str(tmp_path / "given"))
    card = (tmp_path / "given" / "README.md").read_text()
    (result, *_) = yaml.safe_load(card.split("---")[1])["model-index"][0]["results"]
    assert result["dataset"]["name"] == named
    assert f"| data set | {named} |" in card
    assert "qvhighlights" not in card.lower()
    assert ("charades" in card.lower()) == (named == "Charades-STA")

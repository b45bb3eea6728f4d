"""What README and docs/ show holds: commands can be typed, paths are there, Python runs on the library alone."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.checkpoints.model_card import model_card
from spikemba_cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def commands(page):
    """Arguments of the `spikemba` lines in a page's code blocks."""
    blocks = re.findall(r"```(?:console|sh)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    typed = [line.removeprefix("$ ") for line in lines]
    return [shlex.split(line, comments=True)[1:] for line in typed if line.startswith("spikemba ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_understood(page):
    for arguments in commands(page):
        command, name, rest = get_command(app), "spikemba", list(arguments)
        while hasattr(command, "resolve_command"):
            context = command.make_context(name, rest)
            name, command, rest = command.resolve_command(context, rest)
        command.make_context(name, rest)  # raises on an unknown option, a missing argument, a value out of range


def test_readme_shows_the_two_commands_and_every_stage():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make demo" in text
    assert "make test" in text
    shown = {arguments[0] for arguments in commands(ROOT / "README.md")}
    assert {"extract", "prepare", "train", "evaluate", "ground", "config", "doctor"} <= shown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def python_blocks(text):
    return [
        textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    ]


def copied():
    """All Python that a user copies, by where it stands."""
    pages = [(page.name, python_blocks(page.read_text(encoding="utf-8"))) for page in PAGES]
    found = {f"{name}, block {i}": block for name, blocks in pages for i, block in enumerate(blocks, start=1)}
    found |= {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")}
    (card,) = python_blocks(model_card(load_checkpoint("mini"), name="me/model"))
    return {**found, "the model card": card}


def test_what_a_user_copies_imports_of_ours_the_library_alone_and_names_that_are_there():
    for place, code in copied().items():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Import):
                assert not {"pipelines", "spikemba_cli"} & {one.name.partition(".")[0] for one in node.names}, place
            elif isinstance(node, ast.ImportFrom):
                package = node.module.partition(".")[0]
                assert package not in ("pipelines", "spikemba_cli"), place
                names = [one.name for one in node.names] if package == "spikemba" else []
                assert [name for name in names if not hasattr(import_module(node.module), name)] == [], place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_leads_past_the_library(page):
    assert not re.search(r"(from|import) (pipelines|spikemba_cli)\b", page.read_text(encoding="utf-8"))


def numbers(text):
    return [float(number) for number in re.findall(r"[\d.]*\d", text)]


def test_the_python_of_readme_prints_what_readme_shows():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = python_blocks(text)
    shown = text.partition(code)[2].partition("```text\n")[2].partition("```")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"\d", "0", done.stdout) == re.sub(r"\d", "0", shown)
    assert numbers(done.stdout) == pytest.approx(numbers(shown), abs=0.002)  # the last digits are the processor's


def test_the_python_of_the_page_on_grounding_runs_as_it_stands(trained, tmp_path, monkeypatch, capsys):
    (code,) = python_blocks((ROOT / "docs" / "grounding.md").read_text(encoding="utf-8"))
    shutil.copytree(trained, tmp_path / "runs" / "my")
    for name in ("clip.mp4", "one.mp4", "two.mp4"):
        shutil.copy(ROOT / "examples" / "shapes.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    variables = {}
    exec(code, variables)
    printed = capsys.readouterr().out.splitlines()
    n_moments = len(variables["found"].moments)
    assert printed[0] == 'clip.mp4: "a dog enters"'
    assert len(printed) == 1 + 2 * n_moments
    assert [(one.video.name, one.query) for one in variables["results"]] == [
        (video, query) for video in ("one.mp4", "two.mp4") for query in ("a dog enters", "a dog leaves")
    ]

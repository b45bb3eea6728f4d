"""Every command that README and docs/ show can be typed as it stands, and every path they name is there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from spikemba_cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


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

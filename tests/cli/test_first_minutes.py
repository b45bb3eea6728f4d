"""What a newcomer sees first: `spikemba` alone, the example video, and lines that can be copied."""

import shlex
import shutil
from pathlib import Path

import pytest
from typed import fails_in_one_line, run
from typer.main import get_command

from spikemba_cli.first_screen import FIRST
from spikemba_cli.main import STAGES, app

ROOT = Path(__file__).parents[2]
EXAMPLE, README = ROOT / "examples" / "shapes.mp4", ROOT / "README.md"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_alone_it_shows_four_commands_and_where_to_go_on():
    said = run()
    assert said.exit_code == 0
    assert said.stderr == ""
    lines = [line.strip() for line in said.stdout.splitlines()]
    assert len(FIRST) == 4
    assert [line for line in lines if line in FIRST] == list(FIRST)
    assert "spikemba --help" in lines
    assert max(map(len, said.stdout.splitlines())) <= 100
    assert len(lines) <= 24


def test_the_first_commands_are_understood():
    for line in FIRST:
        program, name, *rest = shlex.split(line)
        assert program == "spikemba"
        get_command(app).commands[name].make_context(name, rest)


def test_the_first_two_are_those_of_the_readme():
    """They are run as they stand by the tests of the installed package."""
    shown = README.read_text("utf-8").partition("```console\n")[2].partition("```")[0].splitlines()
    assert [line.removeprefix("$ ") for line in shown if line.startswith("$ ")] == list(FIRST)[:2]


def test_help_groups_all_commands_by_stage():
    text = run("--help").stdout
    places = [text.index(f"─ {stage} ─") for stage in STAGES]
    assert places == sorted(places)
    assert set(get_command(app).commands) == {name for commands in STAGES.values() for name in commands}


def test_the_example_is_copied_whole_and_named_in_a_line_to_type(here):
    said = run("examples", "my videos")
    copy = here / "my videos" / "shapes.mp4"
    assert copy.read_bytes() == EXAMPLE.read_bytes()
    assert [path.name for path in copy.parent.iterdir()] == ["shapes.mp4"]
    assert said.stdout == "my videos/shapes.mp4\n"
    command = said.stderr.strip().removeprefix("next: ")
    assert shlex.split(command)[:3] == ["spikemba", "ground", "my videos/shapes.mp4"]


def test_copying_it_again_changes_nothing(here):
    run("examples")
    before = (here / "examples/shapes.mp4").stat().st_mtime_ns
    assert run("examples").exit_code == 0
    assert (here / "examples/shapes.mp4").stat().st_mtime_ns == before


def test_what_else_is_there_is_not_replaced(here):
    (here / "examples").mkdir()
    (here / "examples/shapes.mp4").write_bytes(b"mine")
    assert "something else is there already" in fails_in_one_line("examples")
    assert (here / "examples/shapes.mp4").read_bytes() == b"mine"
    (here / "file").touch()
    assert "cannot write file/shapes.mp4" in fails_in_one_line("examples", "file")


def test_lines_to_type_next_have_their_names_quoted(here):
    folder = "my model; rm x"
    said = run("share", "mini", "--to", f"./{folder}").stderr.splitlines()[-1]
    assert shlex.split(said)[-2:] == ["--checkpoint", folder]
    out = "a b & c"
    said = run("prepare", "claims", "--grammar", "far", "--out", out, "--train", 2, "--val", 1, "--test", 1)
    assert shlex.split(said.stderr.splitlines()[-1].removeprefix("next: "))[-1] == out
    first = (here / out / "config.yaml").read_text().splitlines()[0]
    assert shlex.split(first.removeprefix("# "))[-1] == out


def test_the_command_in_a_configuration_trains_from_where_it_lies(here):
    shutil.copy(EXAMPLE, here / "one.mp4")
    (here / "my.csv").write_text("video,start,end,query\none.mp4,1,5,a red circle enters\n")
    run("prepare", "custom", "--source", "my.csv", "--out", "my data", "--encoder", "mini")
    first = (here / "my data" / "config.yaml").read_text().splitlines()[0]
    assert shlex.split(first.removeprefix("# ")) == ["spikemba", "train", "--config", "my data/config.yaml"]

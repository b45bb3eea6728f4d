"""The plan of the house, kept: spikemba_cli -> pipelines -> spikemba, low to high inside each, and no circles.

Imports inside functions and `"module:name"` strings count like any other; what only a type checker sees does too.
"""

import ast
import re
import runpy
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("spikemba", "pipelines", "spikemba_cli")

ROOMS = {
    "spikemba": [
        {"errors"},
        {"config", "moments", "batch", "files", "device", "libraries", "hub_problem", "user_folders"}
        | {"progress", "metrics", "reading"},
        {"ops", "video", "packs", "features", "feature_arrays", "weight_files", "tables"},
        {"model", "losses", "datasets"},
        {"encoders"},
        {"checkpoints", "grounding", "recognition"},
        {"encoding", "exporting", "grounder", "library"},
        {"__init__"},
    ],
    "pipelines": [
        {"__init__", "events", "shards"},
        {"runs", "scoring", "timelines"},
        {"preparation", "extraction"},
        {"training"},
        {"tasks"},
        {"grounding", "recognition", "library"},
        {"studies", "reports"},
        {"bundled", "demo", "doctor", "serving", "share"},
    ],
}
"""Rooms and single files, low to high; each may import its own floor and those below."""

FORBIDDEN_PAIRS = [
    ("model", "datasets"),  # a model never sees a dataset
    ("losses", "model"),
    ("encoders", "features"),  # an encoder writes no files
    ("encoders", "video.files"),  # and reads none
    ("encoders", "video.decoding"),
    ("metrics", "ops"),
]

NAME = re.compile(r"((?:spikemba|pipelines|spikemba_cli)(?:\.\w+)+)(?::\w+)?")
"""`module:name`, or a module alone."""
MOST_FILES = {"spikemba": 18, "pipelines": 20}
"""Entries that lie loose in a package: files of spikemba, files and rooms of pipelines."""
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
"""Lines."""


@cache
def modules():
    """Dotted name -> file of every module."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def imported(name):
    """Modules of this repository that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {known(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: relative import"
            found |= {known(f"{node.module}.{alias.name}") for alias in node.names}
        elif isinstance(node, ast.Constant) and (match := NAME.fullmatch(str(node.value))):
            found.add(known(match[1]))
    return found - {None, name}


def known(dotted):
    """The module that a dotted name is or lies in; None: not of this repository."""
    while dotted:
        if dotted in modules():
            return dotted
        dotted = dotted.rpartition(".")[0]
    return None


def place(name):
    """A module's package, and its room or file in it."""
    package, _, rest = name.partition(".")
    return package, rest.partition(".")[0] or "__init__"


def floor(package, room):
    found = [i for i, rooms in enumerate(ROOMS[package]) if room in rooms]
    assert found, f"{package}/{room} has no floor in ROOMS"
    return found[0]


@pytest.mark.parametrize("name", modules())
def test_a_module_imports_only_what_lies_below_it(name):
    package, room = place(name)
    for other in imported(name):
        other_package, other_room = place(other)
        assert PACKAGES.index(other_package) <= PACKAGES.index(package), other
        if package == other_package and package in ROOMS:
            assert floor(package, other_room) <= floor(package, room), other
        for above, below in FORBIDDEN_PAIRS:
            inside = f"{name}.".startswith(f"spikemba.{above}.")
            assert not (inside and f"{other}.".startswith(f"spikemba.{below}.")), other


def test_no_modules_import_each_other_in_a_circle():
    # a package's __init__ that shows names of its modules is no part of a circle: they do not import it
    graph = {name: {other for other in imported(name) if not name.startswith(f"{other}.")} for name in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_click_is_not_imported():
    """Typer carries its own."""
    for path in modules().values():
        assert not re.search(r"^\s*(import click|from click)\b", path.read_text("utf-8"), re.MULTILINE), path


def test_no_room_is_crowded_and_nothing_is_long():
    entries = [
        path for path in (ROOT / "pipelines").iterdir() if path.name not in ("__pycache__", "configs", "py.typed")
    ]
    assert len(entries) <= MOST_FILES["pipelines"]
    assert len(list((ROOT / "spikemba").glob("*.py"))) <= MOST_FILES["spikemba"]
    for path in modules().values():
        text = path.read_text("utf-8")
        assert text.count("\n") <= LONGEST_FILE, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < LONGEST_FUNCTION, f"{path}: {node.name}"


def test_every_room_says_what_enters_what_leaves_and_what_to_open_first():
    rooms = [name for name, path in modules().items() if path.name == "__init__.py" and name.count(".") == 1]
    for name in rooms:
        text = ast.get_docstring(ast.parse(modules()[name].read_text("utf-8")))
        assert text, name
        for word in ("In:", "Out:", "First:"):
            assert word in text, f"{name} does not say {word}"


def test_the_picture_of_the_rooms_is_what_the_code_gives():
    drawn = runpy.run_path(str(ROOT / "docs" / "draw_architecture.py"))["draw"]()
    assert (ROOT / "docs" / "architecture.svg").read_text("utf-8") == drawn, "run `python docs/draw_architecture.py`"


@pytest.mark.parametrize(
    "module",
    [
        "spikemba",
        "spikemba_cli.main",
        "pipelines.scoring.scores",
        "pipelines.scoring.evaluate_files",
        "pipelines.scoring.published_table",
        "pipelines.runs.overview",
        "pipelines.studies.curves",
        "spikemba.library",
        "spikemba.metrics",
        "spikemba.video.sampling",
        "spikemba.datasets.synthetic.shapes",
    ],
)
def test_what_must_start_at_once_does_not_load_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

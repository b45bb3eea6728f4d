"""The layers of the code, kept: spikemba_cli -> pipelines -> spikemba, and low to high inside spikemba."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("spikemba", "pipelines", "spikemba_cli")

LAYERS = [
    {"errors"},
    {"config", "device", "moments", "ops", "files", "libraries", "hub_problem"},
    {"batch", "decoding", "video", "video_files", "video_cuts", "clips", "features", "word_vectors"},
    {"model", "encoders", "losses", "metrics", "datasets", "video_checkpoint"},
    {"grounding", "recognition", "zero_shot"},
    {"hub"},
    {"checkpoint"},
    {"model_card"},
    {"pretrained"},
    {"__init__"},
]
"""Parts of spikemba, low to high; a part may import its own layer and those below."""

FORBIDDEN_PAIRS = [
    ("model", "datasets"),  # a model never sees a dataset
    ("losses", "model"),
    ("encoders", "features"),  # an encoder writes no files
    ("encoders", "video_files"),
]


def modules():
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported(path):
    """Dotted names that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name):
    """The part of spikemba that a module name belongs to, or None."""
    pieces = name.split(".")
    if pieces[0] != "spikemba" or len(pieces) < 2:
        return None
    return pieces[1]


def layer_of(part_name):
    return next((i for i, names in enumerate(LAYERS) if part_name in names), None)


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_lies_below_it(path):
    package = path.relative_to(ROOT).parts[0]
    allowed = PACKAGES[: PACKAGES.index(package) + 1]
    names = list(imported(path))
    assert "click" not in {name.split(".")[0] for name in names}, "typer carries its own click"
    above = [name for name in names if name.split(".")[0] in PACKAGES and name.split(".")[0] not in allowed]
    assert not above
    if package == "spikemba":
        own = path.relative_to(ROOT).parts[1].removesuffix(".py")
        assert layer_of(own) is not None, f"{own} has no layer"
        used = {p for name in names if (p := part(name)) and layer_of(p) is not None}
        assert not [p for p in used if layer_of(p) > layer_of(own)]
        assert not [p for p in used if (own, p) in FORBIDDEN_PAIRS]


@pytest.mark.parametrize(
    "module",
    [
        "spikemba_cli.main",
        "pipelines.doctor.report",
        "pipelines.scoring.scores",
        "pipelines.scoring.evaluate_files",
        "pipelines.scoring.published_table",
        "pipelines.runs.overview",
        "pipelines.studies.curves",
        "spikemba.metrics",
        "spikemba.video.sampling",
        "spikemba.datasets.synthetic.shapes",
    ],
)
def test_what_must_start_at_once_does_not_load_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

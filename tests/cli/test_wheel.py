"""The package as people install it: built, installed without the checkout, used from an empty folder."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import torch

from spikemba import __version__
from spikemba.ops.native import compilers

ROOT = Path(__file__).parents[2]


def run(*command, cwd, **environment):
    """A command in a folder, with nothing of this checkout on the path."""
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(command, cwd=cwd, env=outside | environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the source distribution and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def python(built, tmp_path_factory):
    """The Python of an environment that holds the wheel, and its packages from this one's."""
    (wheel,) = built.glob("*.whl")
    return environment_with(wheel, tmp_path_factory.mktemp("installed"))


def environment_with(wheel, home):
    """The Python of an environment that is made in a folder, with a wheel and this environment's packages."""
    venv.create(home, with_pip=False)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    here = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    assert done.returncode == 0, done.stdout + done.stderr
    # A line of a .pth adds a folder to the path and not what the .pth files in that folder name, so the packages
    # are seen and the checkout is not.
    (Path(here) / "packages.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.fixture(scope="module")
def spikemba(python, tmp_path_factory):
    """A function that runs the installed `spikemba` in an empty folder."""
    empty = tmp_path_factory.mktemp("empty")
    program = python.with_name("spikemba")
    return lambda *args: run(program, *args, cwd=empty, SPIKEMBA_HOME=str(empty), SPIKEMBA_CACHE=str(empty / "cache"))


def test_the_wheel_holds_the_code_the_configurations_and_what_is_bundled(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("spikemba", "pipelines", "spikemba_cli"):
        wanted = {p.relative_to(ROOT).as_posix() for p in (ROOT / package).rglob("*") if p.is_file()}
        assert {name for name in wanted if "__pycache__" not in name} <= names
    assert {f"pipelines/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")} <= names
    assert "spikemba/weights/shapes.mp4" in names
    assert wheel.name == f"spikemba-{__version__}-py3-none-any.whl"  # one source of the version, and for every machine
    assert not any(name.endswith((".so", ".dylib", ".dll")) for name in names)
    assert not any(name.startswith(("tests", "docs", "examples")) for name in names)


def test_the_source_distribution_holds_what_the_tests_need(built):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    assert {"pyproject.toml", "constraints.txt", "Makefile", "README.md", "LICENSE", "tests/conftest.py"} <= names
    assert "examples/shapes.mp4" in names


def test_the_first_commands_of_the_readme_work_from_an_empty_folder(spikemba, tmp_path):
    shown = (ROOT / "README.md").read_text("utf-8").partition("```console\n$ spikemba ")[2].partition("```")[0]
    first, second = shown.split("$ spikemba ")
    command, _, answer = second.partition("\n")
    assert "the copy that comes with the package" in spikemba(*shlex.split(command)).stderr
    assert spikemba(*shlex.split(first.splitlines()[0])).stdout == "\n".join(first.splitlines()[1:]) + "\n"
    grounded = spikemba(*shlex.split(command))
    assert grounded.stdout.splitlines()[0] == answer.splitlines()[0]
    start, end = (float(number) for number in grounded.stdout.splitlines()[1].split("\t")[:2])
    assert max(0.0, min(end, 25.8) - max(start, 21.3)) > 0, grounded.stdout  # when the red circle enters
    (note,) = grounded.stderr.splitlines()
    assert note.startswith("mini knows drawn shapes")
    assert spikemba("--version").stdout.strip() == __version__
    assert "qvhighlights" in spikemba("config", "list").stdout
    assert spikemba("config", "show", "shapes").stdout.startswith("task: grounding")
    assert spikemba("ground", tmp_path / "none.mp4", "a dog", "--checkpoint", "mini").returncode == 1


SCRIPT = """\
from pathlib import Path

import spikemba
from spikemba.library import Library
from spikemba.metrics import retrieval_metrics

found: spikemba.Grounding = spikemba.load("mini").ground("clip.mp4", "a red circle enters", top=3)
print([f"{moment.start_s:.2f} to {moment.end_s:.2f} s: {moment.score:.3f}" for moment in found.moments])
several: list[spikemba.Grounding] = spikemba.load("mini").ground(["a.mp4", Path("b.mp4")], "a red circle enters")
with Library.open("library") as library:
    paths: list[Path] = [video.path for video in library.videos() if "mini" in library.encoders()]
scores = {name: row["MR-mAP"]["average"] for name, row in retrieval_metrics({}, {}).items()}
"""
"""What a user writes; run by nobody, since the types are what is asked about."""
SETTINGS = """\
[mypy]
strict = True
[mypy-torch.*,pandas.*,huggingface_hub.*,transformers.*]
follow_imports = skip
"""
"""`mypy --strict` reads these, too, and takes four times as long to say the same."""


def test_a_users_script_has_no_fault_of_types_and_a_wrong_one_has(python, tmp_path):
    (tmp_path / "mypy.ini").write_text(SETTINGS)
    (tmp_path / "asks.py").write_text(SCRIPT)
    wrong = 'spikemba.load("mini").ground("a.mp4", "a dog").moments[0].begin_s'
    (tmp_path / "wrong.py").write_text(f"import spikemba\n{wrong}\n")
    done = run(sys.executable, "-m", "mypy", "--python-executable", python, "asks.py", "wrong.py", cwd=tmp_path)
    assert "asks.py" not in done.stdout, done.stdout
    assert 'wrong.py:2: error: "Moment" has no attribute "begin_s"' in done.stdout, done.stdout + done.stderr


def test_the_module_is_the_command(python, tmp_path):
    done = run(python, "-m", "spikemba", "--version", cwd=tmp_path)
    assert done.stdout.strip() == __version__, done.stderr
    assert run(python, "-m", "spikemba", "config", "shwo", cwd=tmp_path).returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler here")
def test_a_wheel_with_compiled_kernels_needs_no_compiler(tmp_path):
    needs, has = compilers.needs_of(platform.machine()), torch.cpu.get_capabilities()
    if lacking := [name for name in needs if not has.get(name)]:
        pytest.skip(f"this processor lacks {', '.join(lacking)}")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, ROOT]
    done = run(*command, cwd=tmp_path, SPIKEMBA_WHEEL_KERNELS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(rf"spikemba-{re.escape(__version__)}-py3-none-(linux|macosx|win)_\w+\.whl", wheel.name)
    home = tmp_path / "installed"
    python = environment_with(wheel, home)
    alone = {"CC": "no-such-compiler", "SPIKEMBA_CACHE": str(tmp_path / "cache"), "SPIKEMBA_NATIVE": "1"}
    done = run(python, ROOT / "tests" / "try_wheel.py", cwd=tmp_path, **alone)
    said, _, path = done.stdout.strip().partition(": ")
    assert said == "kernels of the wheel", done.stdout + done.stderr
    assert Path(path).resolve().is_relative_to(home.resolve())
    assert not (tmp_path / "cache").exists()

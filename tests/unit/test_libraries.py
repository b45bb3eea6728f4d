"""Libraries that are absent or broken: what is said of them, and that a broken torchaudio breaks nothing else."""

import importlib
import sys

import pytest
from broken_packages import ROOT, put_package, python, spikemba

from spikemba.encoders.registry import OWN, find_encoder
from spikemba.errors import LibraryBroken
from spikemba.libraries import is_installed, library

SYMBOL = "libtorchaudio.so: undefined symbol: torch_exception_get_what_without_backtrace"
WARNING = "torchaudio 2.11.1 cannot be imported beside torch "

RUN_ALL = """
import sys
from spikemba_cli.console import show_warnings
from pipelines.doctor.tiny_encoders import run_tiny
show_warnings()
for kind in sys.argv[1:]:
    print(kind, run_tiny(kind))
from pipelines.doctor.package_trials import try_spikingjelly, try_torchvision
try_spikingjelly(), try_torchvision()
"""

ASKED_BEFORE = """
from transformers.utils import is_torchaudio_available
assert is_torchaudio_available()
from spikemba.libraries import library
for _ in range(2):
    with library("transformers"):
        from transformers import CLIPModel
        from transformers.image_processing_utils import BaseImageProcessor
assert not is_torchaudio_available()
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A function that puts a package into a folder that is first on the path of this process."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name, body, version=""):
        put_package(tmp_path, name, body, version)
        importlib.invalidate_caches()

    before = set(sys.modules)
    yield put
    for name in set(sys.modules) - before:
        del sys.modules[name]


def fails(name):
    """What is said of a library that cannot be imported."""
    with pytest.raises(LibraryBroken) as caught, library(name):
        importlib.import_module(name)
    return str(caught.value)


def test_every_encoder_runs_beside_a_torchaudio_that_cannot_be_imported(tmp_path):
    put_package(tmp_path, "torchaudio", f"raise OSError({SYMBOL!r})", "2.11.1")
    done = python(tmp_path, RUN_ALL, *OWN)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(OWN)
    assert done.stderr.count(WARNING) == 1
    (warning,) = [line for line in done.stderr.splitlines() if WARNING in line]
    assert warning.startswith("warning: ")
    assert f"(OSError: {SYMBOL}); nothing here needs it: run `pip uninstall -y torchaudio`" in warning


def test_extraction_goes_on_beside_it_and_says_so_once(tmp_path):
    put_package(tmp_path / "first", "torchaudio", f"raise OSError({SYMBOL!r})", "2.11.1")
    (tmp_path / "vjepa2").mkdir()
    find_encoder("vjepa2").tiny(tmp_path / "vjepa2")
    where = ("--weights", f"vjepa2={tmp_path / 'vjepa2'}", "--out", tmp_path / "out")
    done = spikemba(tmp_path / "first", "extract", ROOT / "examples" / "shapes.mp4", "--encoder", "vjepa2", *where)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(WARNING) == 1
    assert list((tmp_path / "out").rglob("shapes.npz"))


@pytest.mark.parametrize("error", ["ImportError('no sox')", "RuntimeError('operator exists')"])
def test_it_makes_no_difference_how_it_fails_or_that_transformers_was_asked_before(tmp_path, error):
    put_package(tmp_path, "torchaudio", f"raise {error}", "2.11.1")
    done = python(tmp_path, ASKED_BEFORE)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(WARNING) == 1
    assert error.partition("(")[0] in done.stderr


def test_a_library_that_is_absent_is_named_with_the_command_that_installs_it():
    assert not is_installed("no_such_library")
    assert fails("no_such_library") == "no_such_library is not installed; run `pip install no_such_library`"


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("raise OSError('libx.so: no such file')", "OSError: libx.so: no such file"),
        ("from os import no_such_name", "ImportError: cannot import name 'no_such_name' from 'os'"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
    ],
)
def test_a_library_that_cannot_be_imported_is_named_with_its_version_cause_and_cure(packages, body, cause):
    packages("broken_one", body, "1.2")
    said = fails("broken_one")
    assert said.startswith(f"broken_one 1.2 is installed and cannot be imported ({cause}")
    assert said.endswith("); run `pip install --force-reinstall broken_one`")


def test_the_one_at_fault_is_named_and_not_the_one_that_was_asked_for(packages):
    packages("inner_one", "raise OSError('built for another')", "3.0")
    body = "try:\n    import inner_one\nexcept OSError as error:\n    raise RuntimeError('no') from error"
    packages("outer_one", body, "1.0")
    assert fails("outer_one") == (
        "outer_one 1.0 is installed and cannot be imported because of inner_one 3.0 (OSError: built for another); "
        "run `pip install --force-reinstall inner_one`"
    )
    packages("hungry_one", "import no_such_library", "1.0")
    assert fails("hungry_one").startswith("no_such_library, which hungry_one needs, is not installed; run `pip install")

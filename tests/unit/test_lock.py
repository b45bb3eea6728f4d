"""constraints.txt: one version of everything that pyproject.toml asks for, on every Python and system."""

import itertools
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from what_moved import moved, pinned, pins

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "constraints.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NOT_LOCKED = {"cuda"}
"""Built against the PyTorch and the CUDA that a machine has."""
SYSTEMS = {"linux": ("Linux", "posix"), "darwin": ("Darwin", "posix"), "win32": ("Windows", "nt")}
STALE = "constraints.txt is older than pyproject.toml; run `make lock`"


def asked():
    """The requirements of the package and of its extras, without what refers to itself."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *itertools.chain(*(v for k, v in extras.items() if k not in NOT_LOCKED))]
    return [r for r in map(Requirement, lines) if canonicalize_name(r.name) != PROJECT["name"]]


def machine(python, system):
    """What markers see on CPython of that version on a usual machine of that system."""
    name, os_name = SYSTEMS[system]
    return {
        **{"python_version": python, "python_full_version": f"{python}.9", "implementation_version": f"{python}.9"},
        **{"sys_platform": system, "platform_system": name, "os_name": os_name, "platform_machine": "x86_64"},
        **{"implementation_name": "cpython", "platform_python_implementation": "CPython", "extra": ""},
    }


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def test_the_lock_has_one_version_of_all_that_is_asked_for(python, system):
    here = machine(python, system)
    versions = {}
    for pin in pins(LOCK):
        if pin.marker is None or pin.marker.evaluate(here):
            assert versions.setdefault(canonicalize_name(pin.name), pinned(pin)) == pinned(pin), pin.name
    for wanted in asked():
        if wanted.marker is None or wanted.marker.evaluate(here):
            version = versions.get(canonicalize_name(wanted.name))
            assert version is not None, f"{wanted.name} is not locked: {STALE}"
            assert wanted.specifier.contains(version, prereleases=True), f"{wanted} but {version}: {STALE}"


def test_the_lock_has_nothing_that_is_no_longer_asked_for():
    blocks = re.split(r"(?m)^(?=\S)", LOCK.read_text("utf-8"))
    direct = {b.partition("==")[0] for b in blocks if f"{PROJECT['name']} (pyproject.toml)" in b}
    assert direct == {canonicalize_name(r.name) for r in asked()}, STALE


def test_the_lock_names_no_address():
    assert not re.search(r"://|--(extra-)?index|--find-links|@ file|\+cpu", LOCK.read_text("utf-8"))


def test_what_moved_names_the_versions_and_passes_over_what_is_absent():
    lines = ["pytest==1.0", f"pytest=={pytest.__version__}", "no-such-package==1.0", "pytest==2.0 ; os_name == 'x'"]
    assert list(moved(map(Requirement, lines))) == [f"pytest 1.0 -> {pytest.__version__}"]

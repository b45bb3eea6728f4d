"""Where the official kernels are looked for: the packages, then the hub's builds, as far as a CPU can show."""

import json
import logging
import sys
from types import ModuleType

import pytest
import torch

from spikemba.errors import LibraryBroken
from spikemba.ops import official_kernels, selective_scan_fn
from spikemba.ops.official_kernels import CONVOLUTION, SCAN, Kernel, Place, find

BUILT = "from spikemba.ops import selective_scan_fn\n"
PACKAGE = Place("mamba_ssm", "mamba_ssm.ops.selective_scan_interface")
ON_THE_HUB = Place("kernels", "kernels-community/mamba-ssm@5")


def run(function):
    """What `attempt` does, on a CPU: one position, one state."""
    one = torch.ones(1, 1, 1)
    official_kernels._expect(function(one, one, -one[0], one, one), 1)


@pytest.fixture
def on_a_gpu(monkeypatch):
    find.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    yield
    find.cache_clear()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A copy of the hub's repository on this machine, where `kernels` looks for it first: a build for any backend."""
    pytest.importorskip("kernels")
    build = tmp_path / "build" / "torch-universal"
    build.mkdir(parents=True)
    about = {"id": f"mamba_ssm_{tmp_path.name}", "name": "mamba-ssm", "version": 5, "license": "Apache-2.0"}
    about |= {"python-depends": [], "backend": {"type": "cpu"}}
    (build / "metadata.json").write_text(json.dumps(about), "utf-8")
    (build / "__init__.py").write_text(BUILT, "utf-8")
    monkeypatch.setenv("LOCAL_KERNELS", f"kernels-community/mamba-ssm={tmp_path}")
    return build / "__init__.py"


@pytest.fixture
def package(monkeypatch):
    """A function that puts a package called mamba_ssm in place."""

    def put(scan):
        modules = {name: ModuleType(name) for name in ("mamba_ssm", "mamba_ssm.ops", PACKAGE.module)}
        modules[PACKAGE.module].selective_scan_fn = scan
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)

    return put


def test_without_a_gpu_nothing_is_looked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    find.cache_clear()
    found = find(Kernel("selective_scan_fn", (PACKAGE, ON_THE_HUB), pytest.fail))
    assert (found.function, found.problem) == (None, "torch sees no GPU")
    find.cache_clear()


def test_the_hubs_build_is_used_where_no_package_is_installed(on_a_gpu, hub):
    found = find(Kernel("selective_scan_fn", (PACKAGE, ON_THE_HUB), run))
    assert (found.function, found.place, found.problem) == (selective_scan_fn, "kernels-community/mamba-ssm@5", "")


def test_the_package_goes_first(on_a_gpu, hub, package):
    package(lambda *given: selective_scan_fn(*given))
    found = find(Kernel("selective_scan_fn", (PACKAGE, ON_THE_HUB), run))
    assert (found.place, found.problem) == ("mamba-ssm", "")
    assert find(Kernel("selective_scan_fn", (PACKAGE, ON_THE_HUB), run), "kernels").place == ON_THE_HUB.module


def test_a_package_that_computes_nonsense_gives_way_and_is_named(on_a_gpu, hub, package, caplog):
    package(lambda u, *others: 3 * u)
    with caplog.at_level(logging.DEBUG, "spikemba"):
        found = find(Kernel("selective_scan_fn", (PACKAGE, ON_THE_HUB), run))
    assert found.function is selective_scan_fn
    assert found.problem == "mamba-ssm: it gives 3.0 where 1 is right"
    assert "3.0 where 1 is right" in caplog.text


def test_a_build_without_the_function_is_named(on_a_gpu, hub):
    hub.write_text("", "utf-8")
    found = find(Kernel("selective_scan_fn", (ON_THE_HUB,), run))
    assert found.function is None
    assert found.problem == "kernels-community/mamba-ssm@5: it has no selective_scan_fn"


def test_a_hub_that_does_not_answer_is_asked_once(on_a_gpu, monkeypatch):
    kernels, asked = pytest.importorskip("kernels"), []

    def unanswered(repository, version):
        asked.append(version)
        raise ValueError(f"Kernel repository '{repository}' could not verify publisher trust status. Set trust_...")

    monkeypatch.setattr(kernels, "get_kernel", unanswered)
    found = find(Kernel("selective_scan_fn", SCAN.places, run))
    assert (found.function, asked) == (None, [5])
    assert found.problem == (
        "kernels-community/mamba-ssm@5: the hub cannot be asked; with HF_HUB_OFFLINE=1 what was fetched before is used"
    )


def test_a_version_that_is_not_built_for_this_torch_gives_way_to_an_older_one(on_a_gpu, hub, monkeypatch):
    kernels = pytest.importorskip("kernels")
    fetch = kernels.get_kernel

    def get_kernel(repository, version):
        if version == 5:
            raise FileNotFoundError("Cannot find a build variant")
        return fetch(repository, version=version)

    monkeypatch.setattr(kernels, "get_kernel", get_kernel)
    found = find(Kernel("selective_scan_fn", SCAN.places, run))
    assert (found.function, found.place) == (selective_scan_fn, "kernels-community/mamba-ssm@2")
    assert found.problem.startswith("kernels-community/mamba-ssm@5: FileNotFoundError: ")


def test_both_kernels_have_a_package_and_the_hub_as_places():
    for kernel in (SCAN, CONVOLUTION):
        assert {place.package == "kernels" for place in kernel.places} == {False, True}
        assert kernel.places[0].package != "kernels"


def test_the_attempts_ask_for_the_right_numbers(monkeypatch):
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape))
    SCAN.attempt(selective_scan_fn)
    CONVOLUTION.attempt(lambda x, weight, bias, activation: torch.nn.functional.silu(x * weight[0, -1] + bias[0]))
    with pytest.raises(LibraryBroken, match="it gives 1.0 where 8 is right"):
        SCAN.attempt(lambda u, *others: u)

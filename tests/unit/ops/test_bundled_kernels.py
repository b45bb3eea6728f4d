"""The library of a wheel: used where nothing can be compiled, by the sources and processors that it was built for."""

import json
import platform
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from pipelines.doctor.report import machine
from spikemba.ops.native import build, bundled, compilers, library
from spikemba.ops.native.build import BuildError
from spikemba.ops.selective_scan import selective_scan, selective_scan_reference

HOOK_FILE = Path(__file__).parents[3] / "hatch_build.py"
HOOK = runpy.run_path(str(HOOK_FILE))

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler here"),
    pytest.mark.skipif(sys.platform == "win32", reason="cc is looked for"),
]

NEEDED = compilers.needs_of(platform.machine())
LACKING = [name for name in NEEDED if not torch.cpu.get_capabilities().get(name)]
needs_the_processor = pytest.mark.skipif(bool(LACKING), reason=f"this processor lacks {', '.join(LACKING)}")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files that the build of a wheel makes."""
    folder = tmp_path_factory.mktemp("compiled")
    HOOK["compiled"](build.SOURCES, folder)
    return folder


@pytest.fixture
def of_wheel(made, monkeypatch, tmp_path):
    """A copy of them where they are looked for, and no compiler."""
    folder = Path(shutil.copytree(made, tmp_path / "compiled"))
    monkeypatch.setattr(bundled, "FOLDER", folder)
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.setenv("SPIKEMBA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(library.ENVIRONMENT, raising=False)
    library.forget()
    yield folder
    library.forget()


def tell(folder, **changes):
    """Change what is said of the library."""
    path = folder / "built.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


@pytest.fixture(params=[1, 2], ids=lambda n: f"{n} threads")
def _threads(request):
    """How many threads each kernel runs on."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@needs_the_processor
@pytest.mark.usefixtures("_threads")
def test_without_a_compiler_the_scan_and_its_gradients_are_those_of_the_wheels_kernels(of_wheel):
    check_the_scan()
    assert library.load().detail == str(of_wheel / f"kernels{compilers.system_of(sys.platform).suffix}")


def check_the_scan():
    """That the kernels give what the plain recurrence does."""
    g = torch.Generator().manual_seed(0)
    x, delta = torch.randn(2, 40, 33, generator=g), torch.rand(2, 40, 33, generator=g)
    tensors = [x, delta, -torch.rand(33, 5, generator=g), *torch.randn(2, 2, 40, 5, generator=g)]
    found = []
    for scan, how in ((selective_scan, {"backend": "native"}), (selective_scan_reference, {})):
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        scan(*leaves, **how).square().sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for ours, right in zip(*found, strict=True):
        torch.testing.assert_close(ours, right, rtol=1e-4, atol=1e-4)


@needs_the_processor
@pytest.mark.usefixtures("_threads")
@pytest.mark.skipif(shutil.which("clang") is None, reason="no clang here")
def test_a_wheel_of_a_cc_that_is_clang_has_kernels_that_load(of_wheel, monkeypatch, capsys, tmp_path):
    """Its OpenMP is not the one that torch brings."""
    cc = tmp_path / "cc"
    cc.symlink_to(shutil.which("clang"))
    monkeypatch.setenv("CC", str(cc))
    HOOK["compiled"](build.SOURCES, of_wheel)
    monkeypatch.setenv("CC", "no-such-compiler")
    assert "clang" in json.loads((of_wheel / "built.json").read_text("utf-8"))["compiler"]
    assert (f"{cc} is not gcc: the wheel's kernels run on one thread" in capsys.readouterr().err) == (
        sys.platform != "darwin"
    )
    assert library.load().library, library.load().detail
    check_the_scan()


def test_a_wheel_has_threads_where_gcc_compiles_for_linux():
    gcc = "cc (Debian 12.2.0) 12.2.0\nCopyright (C) 2022 Free Software Foundation, Inc.\n"
    assert compilers.wheel_has_threads("linux", gcc)
    assert not compilers.wheel_has_threads("win32", gcc)
    for other in ("Debian clang version 14.0.6\n", "Intel(R) oneAPI DPC++/C++ Compiler 2025.0.0\n"):
        assert not compilers.wheel_has_threads("linux", other)
    for threads in (True, False):
        commands = compilers.wheel_commands("linux", "x86_64", "cc", "kernels.c", "out", threads=threads)
        assert ("-fopenmp" in next(commands)) == threads


def test_a_build_that_fails_leaves_no_folder_and_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv(HOOK["WANTED"], "1")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    hook = HOOK["KernelsHook"](str(HOOK_FILE.parent), {}, None, None, str(tmp_path), "wheel")
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(RuntimeError, match=r"WHEEL_KERNELS is set, and no C compiler \(no-such-compiler\) was found"):
        hook.initialize("standard", {"force_include": {}})
    broken = tmp_path / "cc"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] || { echo no room >&2; exit 1; }\n')
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(RuntimeError, match=r"(?s)could not be compiled: .*no room"):
        hook.initialize("standard", {"force_include": {}})
    assert [path.name for path in tmp_path.iterdir()] == ["cc"]


@needs_the_processor
def test_what_is_compiled_here_comes_before_them(of_wheel, monkeypatch):
    monkeypatch.delenv("CC")
    assert Path(library.load().detail).parent == build.kernels_folder()
    assert library.load().instead == ""


@needs_the_processor
def test_doctor_says_that_they_are_the_wheels_and_why(of_wheel):
    (said,) = [one for one in machine() if one.topic == "cpu kernels"]
    assert said.detail.startswith(f"of the wheel: {of_wheel}")
    assert said.detail.endswith("; not compiled here: no C compiler (no-such-compiler) was found")


def test_sources_that_differ_are_refused_and_the_scan_runs_in_plain_pytorch(of_wheel, monkeypatch, tmp_path):
    others = Path(shutil.copytree(build.SOURCES, tmp_path / "native"))
    (others / "vector.h").write_text((others / "vector.h").read_text("utf-8") + "\n", "utf-8")
    monkeypatch.setattr(bundled, "SOURCES", others)
    found = library.load()
    assert found.library is None
    assert "no C compiler (no-such-compiler) was found; " in found.detail
    assert "was built from other sources than those beside it; run `pip install --force-reinstall" in found.detail


def test_a_changed_library_is_not_loaded(of_wheel):
    path = of_wheel / f"kernels{compilers.system_of(sys.platform).suffix}"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BuildError, match="is not what was built; run `pip install"):
        bundled.find_bundled()


def test_a_processor_that_lacks_something_does_not_get_it(of_wheel, monkeypatch):
    tell(of_wheel, needs=["avx2", "fma3"])
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "fma3": False})
    with pytest.raises(BuildError, match=r"needs a processor with fma3$"):
        bundled.find_bundled()
    tell(of_wheel, needs=["avx1024"])  # what this torch does not know of is not there
    with pytest.raises(BuildError, match="needs a processor with avx1024"):
        bundled.find_bundled()


def test_a_torch_that_tells_nothing_of_the_processor_is_a_plain_reason(of_wheel, monkeypatch):
    tell(of_wheel, needs=["avx2", "fma3"])
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    with pytest.raises(BuildError, match=r"does not tell whether the processor has avx2, fma3; run `pip install"):
        bundled.find_bundled()
    tell(of_wheel, needs=[])
    assert bundled.find_bundled().is_file()


@pytest.mark.parametrize("needs", [5, "avx2", [5], {"avx2": True}, None])
def test_needs_that_are_no_list_of_names_are_refused(of_wheel, needs):
    tell(of_wheel, needs=needs)
    with pytest.raises(BuildError, match=r"built.json holds no list of what the processor needs \(.*\); run `pip"):
        bundled.find_bundled()
    assert "holds no list" in library.load().detail


@pytest.mark.parametrize("changes", [{"system": "beos"}, {"machine": "vax"}])
def test_one_for_another_machine_is_not_loaded(of_wheel, changes):
    tell(of_wheel, **changes)
    with pytest.raises(BuildError, match=f"is for .*{next(iter(changes.values()))}.*, and this is "):
        bundled.find_bundled()


@pytest.mark.parametrize("text", ["", "[]", None])
def test_one_of_which_nothing_is_said_is_not_loaded(of_wheel, text):
    (of_wheel / "built.json").unlink()
    if text is not None:
        (of_wheel / "built.json").write_text(text)
    with pytest.raises(BuildError, match=r"built.json (cannot be read|holds no table)"):
        bundled.find_bundled()


def test_the_flags_of_a_wheel_are_those_it_asks_the_processor_for():
    for system, machine_name in (("linux", "x86_64"), ("win32", "AMD64")):
        commands = list(compilers.wheel_commands(system, machine_name, "cc", "kernels.c", "out", threads=True))
        flags = {flag for flag in commands[0] if flag.startswith("-m")}
        assert flags == {compilers.NEEDED_ON_X86[name] for name in compilers.needs_of(machine_name)}
    for system, machine_name in (("linux", "aarch64"), ("darwin", "arm64")):
        commands = list(compilers.wheel_commands(system, machine_name, "cc", "kernels.c", "out", threads=True))
        assert not any(flag.startswith(("-march=", "-mcpu=", "-mavx")) for one in commands for flag in one)
        assert compilers.needs_of(machine_name) == ()
    link = list(compilers.wheel_commands("linux", "x86_64", "cc", "kernels.c", "out", threads=True))[-1]
    assert not any("omp" in word for word in link)  # torch brings it

"""The compiled kernels: they are built once, trusted only when they are ours, and never needed."""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PureWindowsPath

import pytest
import torch

from pipelines.doctor.report import machine
from spikemba.ops.native import build, compilers, library, privacy
from spikemba.ops.native.build import BuildError
from spikemba.ops.selective_scan import best_backend, selective_scan, selective_scan_reference

needs_kernels = pytest.mark.skipif(library.load().library is None, reason=library.load().detail)

SCAN = """
import torch
from spikemba.ops.selective_scan import best_backend, selective_scan
ones = torch.ones(1, 5, 1)
y = selective_scan(ones, ones, -torch.ones(1, 1), ones, ones)
torch.testing.assert_close(y[0, :, 0], torch.exp(-torch.arange(5.0)).cumsum(0))
print(best_backend(ones, 1))
"""


def inputs(seed=0):
    g = torch.Generator().manual_seed(seed)
    x, delta = torch.randn(2, 40, 33, generator=g), torch.rand(2, 40, 33, generator=g)
    return x, delta, -torch.rand(33, 5, generator=g), *torch.randn(2, 2, 40, 5, generator=g)


def scan_in_a_new_process(**environment):
    """The backend that a fresh process picked for a scan that came out right."""
    done = subprocess.run(
        [sys.executable, "-c", SCAN], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    """The kernels are tested also where the environment forbids them elsewhere."""
    monkeypatch.delenv(library.ENVIRONMENT, raising=False)


@pytest.fixture(params=[1, 2], ids=lambda n: f"{n} OpenMP threads")
def openmp_threads(request):
    """How many threads each kernel runs on."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def own_kernels(monkeypatch, tmp_path):
    """A cache without kernels: those that all tests share are not to be damaged, and processes have them mapped."""
    monkeypatch.setenv("SPIKEMBA_CACHE", str(tmp_path / "own"))


@pytest.fixture
def forgotten():
    """Lets a test load the library anew, and the tests after it too."""
    library.forget()
    yield
    library.forget()


@needs_kernels
def test_ten_threads_at_once_get_what_one_gets(openmp_threads):
    expected = [selective_scan_reference(*inputs(seed)) for seed in range(10)]

    def run(seed):
        tensors = [tensor.requires_grad_() for tensor in inputs(seed)]
        for _ in range(20):
            y = selective_scan(*tensors, backend="native")
            y.sum().backward()
        return y.detach()

    with ThreadPoolExecutor(10) as pool:
        for found, right in zip(pool.map(run, range(10)), expected, strict=True):
            torch.testing.assert_close(found, right, rtol=1e-5, atol=1e-5)


def _scan_into(queue):
    queue.put(selective_scan(*inputs(), backend="native").tolist())


@needs_kernels
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked there")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_scans_after_its_parent_did(openmp_threads):
    """OpenMP's threads do not follow into the child; a kernel that waited for them would never end."""
    expected = selective_scan(*inputs(), backend="native")
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_scan_into, args=(queue,))
    child.start()
    found = torch.tensor(queue.get(timeout=60))
    child.join(60)
    assert child.exitcode == 0
    assert torch.equal(found, expected)


def test_without_a_compiler_the_scan_runs_in_plain_pytorch(tmp_path):
    assert scan_in_a_new_process(SPIKEMBA_CACHE=str(tmp_path), CC="no-such-compiler") == "chunked"
    assert list(tmp_path.rglob("kernels-*")) == []


def test_a_compiler_that_fails_is_no_fault(tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    assert scan_in_a_new_process(SPIKEMBA_CACHE=str(tmp_path / "cache"), CC=str(broken)) == "chunked"


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()  # also stops root, unlike permissions
    assert scan_in_a_new_process(SPIKEMBA_CACHE=str(blocked)) == "chunked"
    read_only = tmp_path / "read-only"
    read_only.mkdir(mode=0o500)
    if sys.platform != "win32" and os.getuid() != 0:
        assert scan_in_a_new_process(SPIKEMBA_CACHE=str(read_only)) == "chunked"


@needs_kernels
def test_the_variable_forbids_and_forces(monkeypatch, forgotten):
    x = torch.ones(1, 1, 1)
    monkeypatch.setenv(library.ENVIRONMENT, "0")
    assert best_backend(x, 1) == "chunked"
    with pytest.raises(BuildError, match="cannot be used"):
        selective_scan(x, x, -x[0], x, x, backend="native")
    monkeypatch.setenv(library.ENVIRONMENT, "1")
    assert best_backend(x, 1) == "native"
    monkeypatch.setenv("CC", "no-such-compiler")
    library.forget()
    with pytest.raises(BuildError, match=r"SPIKEMBA_NATIVE is 1 .* no C compiler \(no-such-compiler\) was found"):
        best_backend(x, 1)


@needs_kernels
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"x" * len(data), lambda _: b""])
def test_a_damaged_library_is_built_again(own_kernels, damage):
    path = build.find_or_build()
    whole = path.read_bytes()
    path.chmod(0o700)
    path.write_bytes(damage(whole))
    again = build.find_or_build()
    assert build._digest(again) == again.stem.rsplit("-", 1)[1]
    assert len(again.read_bytes()) == len(whole)
    assert len(list(again.parent.glob("kernels-*"))) == 1


@needs_kernels
def test_a_library_is_built_once_and_only_for_its_owner(own_kernels):
    path = build.find_or_build()
    built = path.stat().st_mtime_ns
    assert build.find_or_build() == path
    assert path.stat().st_mtime_ns == built
    assert sys.platform == "win32" or path.parent.stat().st_mode & 0o077 == 0
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="modes tell nothing there")
def test_a_folder_that_others_can_write_is_refused(own_kernels):
    folder = build.kernels_folder()
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(BuildError, match=r"can be written by others; run `chmod go-w "):
        build.find_or_build()
    folder.chmod(0o700)
    folder.parent.chmod(0o777)
    with pytest.raises(BuildError, match="can be written by others"):
        build.find_or_build()


@needs_kernels
def test_processes_that_build_at_the_same_time_all_get_a_library(tmp_path):
    def run(_):
        return scan_in_a_new_process(SPIKEMBA_CACHE=str(tmp_path))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == ["native"] * 3


@needs_kernels
def test_another_compiler_flag_processor_or_source_is_another_library(monkeypatch, tmp_path):
    compiler = build._compiler()
    keys = {build._key(compiler)}
    monkeypatch.setattr(compilers, "OPTIMISED", (*compilers.OPTIMISED, "-g"))
    keys.add(build._key(compiler))
    monkeypatch.setattr(build, "_processor", lambda: "another processor")
    keys.add(build._key(compiler))
    shutil.copytree(build.SOURCES, tmp_path / "native")
    monkeypatch.setattr(build, "SOURCES", tmp_path / "native")
    assert build._key(compiler) in keys  # the same sources elsewhere
    (tmp_path / "native" / "vector.h").write_text("// other\n")
    keys.add(build._key(compiler))
    monkeypatch.setattr(build, "_version", lambda _: "another compiler")
    keys.add(build._key(compiler))
    assert len(keys) == 5


@needs_kernels
def test_a_compiler_without_openmp_or_native_code_builds_what_scans_on_one_thread(
    monkeypatch, own_kernels, forgotten, openmp_threads
):
    poor = [compilers.Plan(("-fno-such-flag",)), compilers.Plan(())]
    monkeypatch.setattr(compilers, "plans", lambda *_: poor)
    assert not hasattr(library.load().library, "omp_get_max_threads")
    found = selective_scan(*inputs(), backend="native")
    torch.testing.assert_close(found, selective_scan_reference(*inputs()), rtol=1e-5, atol=1e-5)


@needs_kernels
def test_what_is_on_trial_counts_only_where_another_process_can_use_it(monkeypatch, own_kernels):
    """As on macOS, where the library of OpenMP may not be found, or be a second one that ends the process."""
    works = compilers.plans(sys.platform, build._compiler(), None)[1:]
    monkeypatch.setattr(compilers, "plans", lambda *_: [works[0]._replace(on_trial=True)])
    assert library.opened(str(build.find_or_build()))
    unloadable = compilers.Plan(("-Dscan_forward=another_name",), on_trial=True)
    monkeypatch.setattr(compilers, "plans", lambda *_: [unloadable, works[0]])
    assert library.opened(str(build.find_or_build()))
    monkeypatch.setattr(compilers, "plans", lambda *_: [unloadable])
    with pytest.raises(BuildError, match="could not compile the kernels"):
        build.find_or_build()


@needs_kernels
def test_a_trial_that_hangs_is_one_that_failed_and_what_runs_on_one_thread_is_kept(monkeypatch, own_kernels):
    works = compilers.plans(sys.platform, build._compiler(), None)[1]
    run, tried = subprocess.run, []

    def hang(command, **how):
        if command[0] != sys.executable:
            return run(command, **how)
        tried.append(how["timeout"])
        raise subprocess.TimeoutExpired(command, how["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    monkeypatch.setattr(compilers, "plans", lambda *_: [works._replace(on_trial=True), works])
    kept = build.find_or_build()
    assert build.find_or_build() == kept
    assert tried == [build.TRIAL_TIMEOUT_S]  # once, not in every process
    monkeypatch.setattr(compilers, "plans", lambda *_: [works._replace(on_trial=True)])
    with pytest.raises(BuildError, match=rf"kernels \(on trial it did not answer in {build.TRIAL_TIMEOUT_S} s\)$"):
        build.find_or_build()


def test_why_a_trial_failed_is_its_last_line_and_the_signal_that_ended_it(monkeypatch, tmp_path):
    assert re.fullmatch(r"on trial: OSError: .*no-kernels.*", build._try_apart(tmp_path / "no-kernels"))
    for code, stderr, told in (
        (-6, "OMP: Hint\nOMP: Error #15\n", "on trial: ended by SIGABRT: OMP: Error #15"),
        (-11, "", "on trial: ended by SIGSEGV"),
        (-300, "", "on trial: ended by signal 300"),
        (1, "", "on trial: no message"),
        (0, "a warning", ""),
    ):
        done = subprocess.CompletedProcess([], code, "", stderr)
        monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **__: done)
        assert build._try_apart(tmp_path) == told


@pytest.mark.parametrize(
    "compiler", ["/usr/bin/cc", r"C:\LLVM\bin\clang.exe", r"C:\LLVM\bin\clang-cl.exe", r"C:\bin\gcc.exe"]
)
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_what_is_run_on_each_system(platform, compiler):
    runtime = "/torch/lib/libomp.dylib" if platform == "darwin" else None
    found = [
        compilers.command(platform, compiler, plan, "kernels.c", "out", ["-g"])
        for plan in compilers.plans(platform, compiler, runtime)
    ]
    for one in found:
        assert one[0] == compiler
        assert one[-2:] == ["-o", "out"]
        assert {"-shared", "-O3", "-std=gnu11", "-g", "kernels.c"} <= set(one)
        assert not {"-ffast-math", "-Ofast"} & set(one)
        assert ("-fPIC" in one) == (platform != "win32")  # which clang for Windows refuses
        assert ("--driver-mode=gcc" in one) == (platform == "win32" and "clang-cl" in compiler)
        assert any(flag.startswith(("-march=", "-mcpu=")) for flag in one) or one is found[-1]
    threads = [[flag for flag in one if "openmp" in flag] for one in found]
    if platform == "win32":
        assert threads == [[]] * len(found)
    else:
        assert threads == [["-fopenmp"]] + [[]] * (len(found) - 1)
    if platform == "win32" and "gcc" in compiler:
        assert "-mno-avx" in found[0]  # whose vectors it does not align on the stack
    if platform == "darwin":
        assert found[0][found[0].index("-fopenmp") - 1] == "-Xclang"  # Apple's refuses the flag itself
        assert found[0][-4:-2] == [runtime, "-Wl,-rpath,/torch/lib"]


def test_on_a_mac_without_torchs_openmp_one_thread_is_all_there_is():
    assert not any("-fopenmp" in plan.flags for plan in compilers.plans("darwin", "cc", None))
    assert [plan.on_trial for plan in compilers.plans("darwin", "cc", "/lib/libomp.dylib")][:2] == [True, False]


def test_compilers_for_windows_are_looked_for_where_their_installer_puts_them():
    environment = {"ProgramFiles": r"C:\Program Files", "ProgramW6432": r"C:\Program Files"}
    assert compilers.places_of_compilers("win32", environment) == [r"C:\Program Files\LLVM\bin"]
    assert compilers.places_of_compilers("linux", environment) == []
    assert compilers.system_of("win32").suffix == ".dll"


def test_the_compiler_that_is_named_comes_alone_and_else_the_first_that_is_there(tmp_path):
    for name in ("gcc", "clang"):
        (tmp_path / name).touch(mode=0o755)
    on_path = {"PATH": str(tmp_path)}
    assert compilers.find_compiler("linux", on_path) == str(tmp_path / "gcc")
    assert compilers.find_compiler("darwin", on_path | {"CC": ""}) == str(tmp_path / "clang")
    assert compilers.find_compiler("linux", on_path | {"CC": "clang"}) == str(tmp_path / "clang")
    with pytest.raises(LookupError, match=r"no C compiler \(icc\) was found"):
        compilers.find_compiler("linux", on_path | {"CC": "icc"})
    with pytest.raises(LookupError, match=r"no C compiler \(cc, gcc or clang\) was found"):
        compilers.find_compiler("linux", {"PATH": str(tmp_path / "empty")})


def test_what_lies_in_the_folder_of_work_is_no_compiler_unless_it_is_named_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("gcc").touch(mode=0o755)
    with pytest.raises(LookupError, match="no C compiler"):
        compilers.find_compiler("linux", {"PATH": os.curdir})
    assert compilers.find_compiler("linux", {"PATH": "", "CC": f"{os.curdir}{os.sep}gcc"}) == str(tmp_path / "gcc")
    with pytest.raises(LookupError, match=r"\(gcc -m64\) was found; CC is the name of a program alone"):
        compilers.find_compiler("linux", {"PATH": str(tmp_path), "CC": "gcc -m64"})


def test_flags_whose_quotes_are_not_closed_are_named(monkeypatch):
    monkeypatch.setenv(build.MORE_FLAGS, "'-O2")
    with pytest.raises(BuildError, match=r"SPIKEMBA_KERNEL_FLAGS is \"'-O2\" \(no closing quotation\)"):
        build.more_flags()


@needs_kernels
def test_a_folder_in_the_place_of_a_library_is_passed_over(own_kernels):
    path = build.find_or_build()
    beside = f"{path.stem.rpartition('-')[0]}-"
    path.with_name(f"{beside}00{path.suffix}").mkdir()
    path.with_name(f"{beside}01{path.suffix}").symlink_to("nowhere")
    assert build.find_or_build() == path


def test_on_windows_the_cache_must_lie_in_the_users_own_folder():
    home = PureWindowsPath(r"C:\Users\Ana")
    assert privacy.problem_of_place(home / ".cache" / "spikemba", home) is None
    told = privacy.problem_of_place(PureWindowsPath(r"C:\Temp\kernels"), home)
    assert told.startswith(
        r"C:\Temp\kernels is outside of C:\Users\Ana, and others may write there; set SPIKEMBA_CACHE"
    )


def test_where_no_home_is_known_the_kernels_are_passed_over(monkeypatch, tmp_path, forgotten):
    """As for a service."""

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    with monkeypatch.context() as there:
        there.setattr(Path, "home", unknown)
        there.setattr(sys, "platform", "win32")
        told = privacy.problem_of(tmp_path)
    assert told == f"no home folder of this user is known, and others may write to {tmp_path}; set USERPROFILE to one"
    monkeypatch.setattr(Path, "home", unknown)
    for name in ("SPIKEMBA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert library.load().detail.startswith(
        "no home folder of this user is known; set SPIKEMBA_CACHE to a folder; the package brings none"
    )


@needs_kernels
def test_a_library_that_is_in_use_is_not_replaced_and_its_equal_is_taken(monkeypatch, own_kernels, tmp_path):
    there, built = build.find_or_build(), tmp_path / "built"
    built.write_bytes(there.read_bytes())

    def refuse(*_):
        raise PermissionError("in use")

    monkeypatch.setattr(Path, "replace", refuse)
    assert build._keep(built, there) == there
    built.write_bytes(b"another")
    with pytest.raises(PermissionError):
        build._keep(built, there)


def findings():
    return {finding.topic: finding for finding in machine()}


@needs_kernels
def test_doctor_says_which_scan_runs_and_why(monkeypatch, forgotten):
    found = findings()
    assert found["cpu kernels"].detail.startswith("compiled: ")
    assert found["scan"].detail.startswith("native on this CPU")
    monkeypatch.setenv(library.ENVIRONMENT, "0")
    found = findings()
    assert found["cpu kernels"].detail == "SPIKEMBA_NATIVE=0 forbids them; the scan runs in plain PyTorch"
    assert found["scan"].detail.startswith("chunked on this CPU")
    monkeypatch.setenv("CC", "no-such-compiler")
    library.forget()
    for value, state in {"": "absent", "1": "fault"}.items():
        monkeypatch.setenv(library.ENVIRONMENT, value)
        assert findings()["cpu kernels"].state == state
        assert "no C compiler (no-such-compiler) was found" in findings()["cpu kernels"].detail


def test_the_sources_travel_with_the_package():
    assert {path.name for path in build.SOURCES.glob("*.[ch]")} >= {"kernels.c", "scan.c", "vector.h"}

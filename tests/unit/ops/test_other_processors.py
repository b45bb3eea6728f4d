"""The kernels on processors that this machine has not: their own tests, with every call of C run as there."""

import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from emulated import processor
from emulated.processor import PROCESSORS, Emulated, Processor

from spikemba.ops.native import compilers
from spikemba.ops.native.build import SOURCES
from spikemba.ops.native.kernels import KERNELS, LIMITS

TESTS = Path(__file__).parents[2]
OF_KERNELS = (
    *("selective_scan", "official_scan", "causal_conv", "spiking", "spiking_attention", "streaming"),
    "axes_of_one",
)


LIMIT_S = 600
"""For the tests of all kernels as on one processor, which take half a minute."""


def run_as_on(name, *of_kernels, **environment):
    """The tests of some kernels, run as on a processor."""
    files = [str(TESTS / "unit" / "ops" / f"test_{one}.py") for one in of_kernels]
    paths = os.pathsep.join([str(TESTS), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-qx", "-p", "emulated.processor", "-p", "no:cacheprovider", *files],
        env={**os.environ, "SPIKEMBA_TEST_PROCESSOR": name, "PYTHONPATH": paths, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # so that it ends what it started
        try:
            stdout, _ = process.communicate(timeout=4 * processor.END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, _ = process.communicate()
        pytest.fail(f"the tests as on {name} took more than {LIMIT_S} s:\n{stdout[-4000:]}")
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROCESSORS)
def test_the_tests_of_the_kernels_hold_there(name):
    if lacking := PROCESSORS[name].lacks:
        pytest.skip(
            f"no {' and no '.join(lacking)} here; Debian's qemu-user, gcc-aarch64-linux-gnu, clang, wine, wine64 and"
            " gcc-mingw-w64-x86-64-win32 bring them"
        )
    done = run_as_on(name, *OF_KERNELS)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    (calls,) = re.findall(rf"(\d+) calls of kernels ran as on {name}", done.stdout)
    assert int(calls) > 1000


@pytest.mark.skipif(bool(PROCESSORS["x86-64"].lacks), reason="no gcc here")
def test_a_kernel_that_computes_something_else_there_is_noticed(tmp_path):
    for path in SOURCES.glob("*.[ch]"):
        (tmp_path / path.name).write_text(path.read_text("utf-8").replace("#define LN_2 0.69", "#define LN_2 0.59"))
    done = run_as_on("x86-64", "selective_scan", SPIKEMBA_TEST_SOURCES=str(tmp_path))
    assert done.returncode == 1
    assert "recurrence" in done.stdout.partition("FAILURES")[2]  # whose gradients are compared


SILENT = "import sys, time; sys.stdout.buffer.write(bytes(8)); sys.stdout.flush(); time.sleep(600)"


@pytest.mark.skipif(bool(PROCESSORS["x86-64"].lacks), reason="no gcc here")
@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (Processor(("gcc", "-fno-such-flag"), ()), subprocess.CalledProcessError),
        (Processor(("gcc",), ("no-such-program",)), FileNotFoundError),
        (Processor(("gcc",), (sys.executable, "-c", "pass")), RuntimeError),
        (Processor(("gcc",), (sys.executable, "-c", SILENT)), ValueError),
    ],
    ids=["not compiled", "not started", "ended", "without an end"],
)
def test_what_cannot_start_leaves_no_folder_and_no_process(monkeypatch, tmp_path, broken, error):
    started, popen = [], subprocess.Popen
    monkeypatch.setattr(processor, "END_S", 1)
    monkeypatch.setattr(processor, "OPTIMISED", ("-std=gnu11", "-O0"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **how: started.append(popen(*args, **how)) or started[-1])
    with pytest.raises(error):
        Emulated(broken)
    assert list(tmp_path.iterdir()) == []
    assert all(one.returncode is not None for one in started)


ZIG = (sys.executable, "-m", "ziglang", "cc", "-target")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("platform", "target", "begins"),
    [
        ("darwin", "aarch64-macos", struct.pack("<2I", 0xFEEDFACF, 0x0100000C)),
        ("win32", "aarch64-windows-gnu", b"MZ"),
        ("win32", "x86_64-windows-gnu", b"MZ"),
    ],
)
def test_a_library_for_machines_that_are_not_here_shows_every_kernel(tmp_path, platform, target, begins):
    """A whole library, linked as there; nothing runs it here."""
    pytest.importorskip("ziglang", reason="the package ziglang compiles for macOS and for Windows on ARM")
    out = tmp_path / f"kernels{compilers.system_of(platform).suffix}"
    _, *command = compilers.command(platform, "cc", compilers.Plan(()), str(SOURCES / "kernels.c"), str(out))
    done = subprocess.run([*ZIG, target, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = out.read_bytes()
    assert built.startswith(begins)
    start = b"\0_" if platform == "darwin" else b"\0"  # a whole name, and not the end of another
    for name in (*KERNELS, *(f"size_of_{name}" for name in KERNELS), *(f"limit_{name}" for name in LIMITS)):
        assert start + name.encode() + b"\0" in built, name

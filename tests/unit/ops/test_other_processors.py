"""The kernels on processors that this machine has not: their own tests, with every call of C run as there."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from emulated.processor import PROCESSORS

from spikemba.ops.native import compilers
from spikemba.ops.native.build import SOURCES
from spikemba.ops.native.kernels import KERNELS, LIMITS

TESTS = Path(__file__).parents[2]
OF_KERNELS = (
    *("selective_scan", "official_scan", "causal_conv", "spiking", "spiking_attention", "streaming"),
    "axes_of_one",
)


def run_as_on(name, *of_kernels, **environment):
    """The tests of some kernels, run as on a processor."""
    files = [str(TESTS / "unit" / "ops" / f"test_{one}.py") for one in of_kernels]
    paths = os.pathsep.join([str(TESTS), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-qx", "-p", "emulated.processor", "-p", "no:cacheprovider", *files],
        env={**os.environ, "SPIKEMBA_TEST_PROCESSOR": name, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


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
    for name in (*KERNELS, *(f"size_of_{name}" for name in KERNELS), *(f"limit_{name}" for name in LIMITS)):
        assert name.encode() + b"\0" in built

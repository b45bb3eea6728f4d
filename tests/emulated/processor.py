"""The compiled kernels as another processor computes them, in place of this one's.

    SPIKEMBA_TEST_PROCESSOR=aarch64 PYTHONPATH=tests python -m pytest -p emulated.processor tests/unit/ops

The kernels are compiled for it into a program of its own, which QEMU runs where this machine cannot. Every call takes
its arrays there and back, so that the tests of the kernels are tests of that processor. For Windows they are compiled
into a library, as they are there, which the program loads, and Wine runs it.
"""

import contextlib
import ctypes
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from spikemba.ops.native import library
from spikemba.ops.native.build import SOURCES
from spikemba.ops.native.compilers import OPTIMISED, Plan, command, plans
from spikemba.ops.native.kernels import FOLLOWING, KERNELS, LIMITS


class Processor(NamedTuple):
    """What compiles for it, and what runs that."""

    compiler: tuple[str, ...]
    runner: tuple[str, ...]
    library: Plan | None = None
    """How that system compiles the library that the program loads; None: the kernels are a part of the program."""
    linker: tuple[str, ...] = ()
    """What makes a library of the object that the plan compiles; nothing where the plan makes the library itself."""

    @property
    def lacks(self):
        """Programs that are not here."""
        needed = (self.compiler[0], *self.runner[:1], *(("clang", "x86_64-w64-mingw32-gcc") if self.library else ()))
        return [one for one in needed if shutil.which(one) is None]


def _mingw():
    """Flags with which clang compiles for Windows, with the headers and libraries of MinGW."""
    asked = ["x86_64-w64-mingw32-gcc", "-print-libgcc-file-name"]
    if shutil.which(asked[0]) is None:
        return ("--target=x86_64-w64-mingw32",)
    folder = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()).parent
    return "--target=x86_64-w64-mingw32", f"-L{folder}", "-static-libgcc"


_MICROSOFTS = ("--target=x86_64-pc-windows-msvc", "-ffreestanding", f"-I{Path(__file__).with_name('headers')}")
"""Code as clang-cl and LLVM's clang for Windows make it. Microsoft's own headers are not here."""
_LINKED = ("-shared", "-static-libgcc", "-Wl,--defsym,__chkstk=___chkstk_ms", "-Wl,--defsym,_fltused=0")
"""Nor are its libraries, so MinGW's are linked, with what Microsoft calls the check of the stack."""

PROCESSORS = {
    "aarch64": Processor(("aarch64-linux-gnu-gcc", "-march=armv8-a"), ("qemu-aarch64",)),
    "x86-64": Processor(("gcc", "-march=x86-64"), ()),  # neither AVX nor fused products
    "x86-64 of clang": Processor(("clang", "-march=x86-64-v3"), ()),  # as clang-cl and Apple's compiler read them
    "Windows": Processor(("clang", *_mingw()), ("wine",), Plan(("-march=x86-64-v3", *_mingw()))),
    "Windows with clang-cl": Processor(
        ("x86_64-w64-mingw32-gcc",), ("wine",), Plan(("-march=x86-64-v3", *_MICROSOFTS, "-c")), _LINKED
    ),
    "Windows with gcc": Processor(
        ("x86_64-w64-mingw32-gcc",),
        ("wine",),
        Plan(("-march=x86-64-v3", *(one for one in plans("win32", "gcc", None)[0].flags if one != "-march=native"))),
    ),
}
"""All of 64 bits, low bytes first: addresses and numbers lie in a structure as they do here."""

END_S = 20
"""How long a program may take to end when its input has; Wine's server, too."""


class Emulated:
    """Stands in place of the loaded library: its functions run elsewhere."""

    def __init__(self, processor):
        self._folder = Path(tempfile.mkdtemp(prefix="spikemba-emulated-"))
        self._program, self._process = self._folder / "driver.exe", None
        own = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        quiet = {"WINEDEBUG": "-all", "WINEDLLOVERRIDES": "mscoree,mshtml="}  # it asks nobody whether to install them
        self._environment = {**quiet, **own, "WINEPREFIX": str(self._folder / "wine")}
        self.n_calls = 0
        try:
            self.constants = self._start(processor)
        except BaseException:
            self.close()
            raise

    def _start(self, processor):
        """Compile it and let it run. Returns its constants."""
        names = [f"size_of_{name}" for name in KERNELS] + [f"limit_{name}" for name in LIMITS]
        called = " ".join(f"{'F' if one.fallible else 'S'}({name})" for name, one in KERNELS.items())
        table = [f"-DCALLED={called}", f"-DCONSTANTS={' '.join(f'C({name})' for name in names)}"]
        sources = os.environ.get("SPIKEMBA_TEST_SOURCES", SOURCES)
        source = [f"-I{sources}", str(Path(__file__).with_name("driver.c")), "-o", str(self._program), "-lm"]
        subprocess.run([*processor.compiler, *OPTIMISED, "-static", *table, *source], check=True)
        loaded = []
        if processor.library:
            dll = str(self._folder / "kernels.dll")
            self._build_library(processor, f"{sources}/kernels.c", dll)
            loaded = [f"Z:{dll}"]  # where Wine has the root of this machine
        self._process = subprocess.Popen(
            [*processor.runner, str(self._program), *loaded],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment,
        )
        (count,) = struct.unpack("<q", self._read(8))
        return dict(zip(names, struct.unpack(f"<{count}q", self._read(8 * count)), strict=True))

    def __getattr__(self, name):
        if name not in KERNELS:
            raise AttributeError(name)
        return lambda pointer: self._call(KERNELS[name], pointer._obj)

    def _build_library(self, processor, kernels, dll):
        if not processor.linker:
            subprocess.run(command("win32", processor.compiler[0], processor.library, kernels, dll), check=True)
            return
        program = self._program.with_name("clang-cl")  # the name alone makes clang take Microsoft's flags
        program.symlink_to(shutil.which("clang"))
        made = command("win32", str(program), processor.library, kernels, f"{dll}.o")
        subprocess.run([word for word in made if word != "-shared"], check=True)
        subprocess.run([*processor.compiler, *processor.linker, f"{dll}.o", "-o", dll], check=True)

    def close(self):
        """End what was started, and remove what was made."""
        try:
            if self._process:
                self._end()
            if Path(self._environment["WINEPREFIX"]).exists():  # Wine's server still writes into it for a while
                for what in ("-k", "-w"):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        subprocess.run(["wineserver", what], env=self._environment, check=False, timeout=END_S)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self):
        with contextlib.suppress(OSError):  # what it did not read
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _call(self, kernel, structure):
        arrays = [(one, size) for one in kernel.arrays if (size := extent(kernel, one, structure)) is not None]
        name, body = kernel.name.encode(), bytes(structure)
        parts = [struct.pack("<q", len(name)), name, struct.pack("<q", len(body)), body, struct.pack("<q", len(arrays))]
        for array, size in arrays:
            place = getattr(kernel.structure, array.name).offset
            parts.append(struct.pack("<3q", place, size, array.aligned))
            parts.append(ctypes.string_at(getattr(structure, array.name), size))
        self._process.stdin.write(b"".join(parts))
        self._process.stdin.flush()
        (returned,) = struct.unpack("<q", self._read(8))
        self.n_calls += 1
        for array, size in arrays:
            ctypes.memmove(getattr(structure, array.name), self._read(size), size)
        return returned

    def _read(self, size):
        found = self._process.stdout.read(size)
        if len(found) != size:
            raise RuntimeError(f"the emulated kernels ended with {self._process.wait(60)}")
        return found


def extent(kernel, array, structure):
    """Bytes from an array's first number to behind its last; None where there is none."""
    if not getattr(structure, array.name):
        return None
    given = {one.name: getattr(structure, one.name) for one in kernel.numbers}
    given |= {name: FOLLOWING[name](given) for name in kernel.following}
    shape = [given[axis] for axis in array.axes]
    numbers = 1
    for size in shape[:-1] if array.rows else shape:
        numbers *= size
    if array.rows and numbers:
        numbers = (numbers - 1) * given["row_stride"] + shape[-1]
    return numbers * array.dtype.itemsize


_EMULATED = pytest.StashKey()


def pytest_configure(config):
    config.stash[_EMULATED] = emulated = Emulated(PROCESSORS[os.environ["SPIKEMBA_TEST_PROCESSOR"]])
    config.add_cleanup(emulated.close)
    for name, kernel in KERNELS.items():
        assert emulated.constants[f"size_of_{name}"] == ctypes.sizeof(kernel.structure)
    assert {name: emulated.constants[f"limit_{name}"] for name in LIMITS} == LIMITS
    library._self_test(emulated)
    library._loaded = library.Native(emulated, f"compiled for {os.environ['SPIKEMBA_TEST_PROCESSOR']}")


def pytest_terminal_summary(terminalreporter, config):
    name, n = os.environ["SPIKEMBA_TEST_PROCESSOR"], config.stash[_EMULATED].n_calls
    terminalreporter.line(f"{n} calls of kernels ran as on {name}")

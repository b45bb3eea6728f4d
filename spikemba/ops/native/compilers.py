"""What compiles the kernels on each system, with which flags, and what their libraries are called.

Values and functions of their arguments alone, without an import of the package: the build of a wheel (hatch_build.py)
reads this file where nothing else of it can be imported.
"""

import hashlib
import ntpath
import posixpath
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

OPTIMISED = ("-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
"""Never -ffast-math: it reorders sums and would cancel the rounding trick of `exp2_of`."""

NEEDED_ON_X86 = {
    "avx2": "-mavx2",
    "fma3": "-mfma",
    "f16c": "-mf16c",
    "bmi": "-mbmi",
    "bmi2": "-mbmi2",
    "lzcnt": "-mlzcnt",
}
"""What a wheel's library asks of an x86-64: the name in torch.cpu.get_capabilities() -> the compiler's flag."""


class System(NamedTuple):
    """What is particular to one `sys.platform`."""

    compilers: tuple[str, ...]
    """Looked for in this order."""
    suffix: str
    """Of a library's name."""
    shared: tuple[str, ...]
    """Flags that make one."""


class Plan(NamedTuple):
    """One way to compile for the processor that compiles."""

    flags: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    """Behind the source, since some linkers leave out what comes before its use."""
    on_trial: bool = False
    """Whether it counts only when a process of its own has loaded and used it."""


UNIX = System(("cc", "gcc", "clang"), ".so", ("-shared", "-fPIC"))
MACOS = System(("cc", "clang"), ".dylib", ("-shared", "-fPIC"))
WINDOWS = System(("clang", "clang-cl", "gcc"), ".dll", ("-shared",))


def system_of(platform: str) -> System:
    """Of a `sys.platform`."""
    return {"darwin": MACOS, "win32": WINDOWS}.get(platform, UNIX)


def find_compiler(platform: str, environment: Mapping[str, str]) -> str:
    """The whole path of what $CC names, or of the first that is there. Raises LookupError where there is none.

    Windows looks into the folder of work before any other: what lies there, beside videos, counts only where $CC is its
    path.
    """
    wanted = environment.get("CC")
    names = (wanted,) if wanted else system_of(platform).compilers
    for place in (environment.get("PATH"), *places_of_compilers(platform, environment)):
        for name in names:
            path = shutil.which(name, path=place)
            if path and (Path(path).is_absolute() or Path(name).name != name):
                return str(Path(path).absolute())
    looked_for = wanted or f"{', '.join(names[:-1])} or {names[-1]}"
    alone = "; CC is the name of a program alone" if wanted and len(wanted.split()) > 1 else ""
    raise LookupError(f"no C compiler ({looked_for}) was found{alone}")


def places_of_compilers(platform: str, environment: Mapping[str, str]) -> list[str]:
    """Folders to look into behind those of the path: LLVM's installer for Windows leaves its own out of it."""
    roots = [environment.get(name) for name in ("ProgramW6432", "ProgramFiles")] if platform == "win32" else []
    return [ntpath.join(root, "LLVM", "bin") for root in dict.fromkeys(roots) if root]


def plans(platform: str, compiler: str, runtime: str | None) -> list[Plan]:
    """The ways to try, the best first.

    compiler: its path.  runtime: torch's library of OpenMP; None when it has none or the system's name for it.
    A compiler without OpenMP makes a library that runs on one thread. So does every one for Windows: there is nothing
    to link with the runtime that torch brings there, and a second one in a process ends it.
    """
    if platform == "win32" and _is_gcc(compiler):
        # gcc takes the stack there for aligned to 16 bytes, and AVX's vectors for aligned to 32
        return [Plan(("-march=native", "-mno-avx", "-static-libgcc"))]
    if platform == "win32":
        return [Plan(("-march=native",)), Plan(("-mcpu=native",)), Plan(())]
    if platform == "darwin":
        single = [Plan(("-mcpu=native",)), Plan(("-mcpu=apple-m1",)), Plan(("-march=native",))]
        if runtime is None:
            return single
        found_at_load = f"-Wl,-rpath,{posixpath.dirname(runtime)}"
        return [Plan(("-mcpu=native", "-Xclang", "-fopenmp"), (runtime, found_at_load), on_trial=True), *single]
    threads = Plan(("-march=native", "-fopenmp"), (runtime,) if runtime else ())
    return [threads, Plan(("-march=native",)), Plan(("-mcpu=native",))]


def command(platform: str, compiler: str, plan: Plan, source: str, out: str, more: Sequence[str] = ()) -> list[str]:
    """What is run for a plan.  more: flags that come last."""
    flags = *OPTIMISED, *system_of(platform).shared, *plan.flags, *more
    return [*_as_gcc(platform, compiler), *flags, source, *plan.libraries, "-o", out]


def wheel_commands(
    platform: str, machine: str, compiler: str, source: str, out: str, *, threads: bool
) -> Iterator[list[str]]:
    """What is run, one after the other, for a library that any processor of the kind runs that has `needs_of`.

    machine: as `platform.machine()` says it.  threads: what `wheel_has_threads` says, or False for one thread.
    A library with threads is linked with no OpenMP, since torch has brought one into the process, under a name that
    differs from release to release.
    """
    flags = [*OPTIMISED, *system_of(platform).shared, *(NEEDED_ON_X86[name] for name in needs_of(machine))]
    start = _as_gcc(platform, compiler)
    if platform == "darwin":
        yield [*start, *flags, "-arch", machine, "-mmacosx-version-min=11.0", source, "-o", out]
    elif platform == "win32":
        yield [*start, *flags, source, "-o", out]
    else:
        compiling = [flag for flag in flags if flag != "-shared"]
        yield [*start, *compiling, *(["-fopenmp"] if threads else []), "-c", source, "-o", f"{out}.o"]
        yield [*start, "-shared", "-s", f"{out}.o", "-o", out]


def wheel_has_threads(platform: str, version: str) -> bool:
    """Whether a wheel's library runs on several threads: on Linux, compiled by gcc.

    version: what the compiler answers to --version; `cc` may be any. torch brings gcc's OpenMP, and code of clang and
    of Intel's compilers calls functions (`__kmpc_...`) that are not in it.
    """
    return platform.startswith("linux") and "Free Software Foundation" in version


def needs_of(machine: str) -> tuple[str, ...]:
    """What a wheel's library needs of the processor beside what every processor of its kind has."""
    return tuple(NEEDED_ON_X86) if kind_of(machine) == "x86_64" else ()


def kind_of(machine: str) -> str:
    """One name for what systems call differently: x86_64 or aarch64, or the name itself."""
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())


def digest_of_sources(folder: Path) -> str:
    """Of all that is compiled."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.[ch]")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _as_gcc(platform: str, compiler: str) -> list[str]:
    """clang-cl is clang under a name that makes it take the flags of Microsoft's compiler."""
    return [compiler, "--driver-mode=gcc"] if platform == "win32" and "clang-cl" in _name(compiler) else [compiler]


def _is_gcc(compiler: str) -> bool:
    return "gcc" in _name(compiler)


def _name(compiler: str) -> str:
    return ntpath.basename(compiler).lower()

"""Compiles the C kernels on first use and keeps the library in the user's cache folder.

A library is loaded only from a folder that belongs to the user and that nobody else can write, and only when its bytes
are the ones that were built: its file is called `kernels-<key>-<digest>.so`, the key over source, compiler, flags and
processor, the digest over its own content. It is moved into place whole, so processes may build at the same time.
"""

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from spikemba.errors import SpikeMbaError
from spikemba.user_folders import cache_folder

SOURCES = Path(__file__).parent

BASE_FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
"""Never -ffast-math: it reorders sums and would cancel the rounding trick of `exp2_of`."""

FLAG_SETS = (("-march=native", "-fopenmp"), ("-march=native",), ("-mcpu=native",))
"""Tried in this order; a compiler without OpenMP, as Apple's, builds a library that runs on one thread."""

MORE_FLAGS = "SPIKEMBA_KERNEL_FLAGS"
"""A variable of the environment with flags that come last, as those of a sanitizer; they make another library."""

TIMEOUT_S = 120


class BuildError(SpikeMbaError):
    """The kernels cannot be compiled, kept or loaded on this machine; the message says why."""


def find_or_build() -> Path:
    """The compiled library for this machine, built if it is not in the cache. Raises BuildError."""
    compiler = _compiler()
    folder = _private_folder()
    key = _key(compiler)
    if found := _find(folder, key):
        return found
    return _build(compiler, folder, key)


def kernels_folder() -> Path:
    """Where libraries are kept."""
    return cache_folder() / "kernels"


def _compiler() -> str:
    if sys.platform == "win32":
        raise BuildError("the kernels are not built on Windows")
    wanted = os.environ.get("CC")
    for name in (wanted,) if wanted else ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return path
    raise BuildError(f"no C compiler ({wanted or 'cc, gcc or clang'}) was found")


def _private_folder() -> Path:
    """The cache folder, made if it is missing. Raises BuildError when somebody else could put a library there."""
    folder = kernels_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        for path in (folder, *folder.parents):
            _check_owner(path, path.stat(), last=path == folder)
    except OSError as error:
        raise BuildError(f"{folder} cannot be used ({(error.strerror or str(error)).lower()})") from None
    return folder


def _check_owner(path: Path, status: os.stat_result, *, last: bool) -> None:
    """The folder itself must be ours alone; those above it must not let strangers swap what is in them."""
    others = stat.S_IWGRP | stat.S_IWOTH if last else stat.S_IWOTH
    sticky = bool(status.st_mode & stat.S_ISVTX) and not last
    if status.st_uid not in ((os.getuid(),) if last else (0, os.getuid())):
        raise BuildError(f"{path} belongs to another user")
    if status.st_mode & others and not sticky:
        raise BuildError(f"{path} can be written by others; run `chmod go-w {path}`")


def _key(compiler: str) -> str:
    digest = hashlib.sha256()
    flags = repr((BASE_FLAGS, FLAG_SETS, _more_flags()))
    for part in (_version(compiler), _processor(), flags, repr(_openmp_runtime())):
        digest.update(part.encode() + b"\0")
    for path in sorted(SOURCES.glob("*.[ch]")):
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _version(compiler: str) -> str:
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{compiler} does not run ({error})") from None
    return f"{compiler}\n{done.stdout}"


def _processor() -> str:
    """What -march=native depends on."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return platform.machine() + "".join(sorted({x for x in lines if x.startswith(("flags", "Features", "model"))}))
    return f"{platform.machine()} {platform.processor()} {platform.platform()}"


def _openmp_runtime() -> list[str]:
    """torch's own OpenMP library, if its name is not the system's: with two runtimes two pools of threads compete."""
    import torch

    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp-*.so*"))
    return [str(path) for path in found[:1]]


def _find(folder: Path, key: str) -> Path | None:
    """A library of that key whose content is what was built; damaged ones are removed."""
    for path in sorted(folder.glob(f"kernels-{key}-*.so")):
        if path.stat().st_uid == os.getuid() and path.stem.endswith(f"-{_digest(path)}"):
            return path
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _build(compiler: str, folder: Path, key: str) -> Path:
    problem = ""
    try:
        with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as work:
            for command in _commands(compiler, Path(work) / "kernels.so"):
                done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=work)
                if done.returncode == 0:
                    built = Path(work) / "kernels.so"
                    return built.replace(folder / f"kernels-{key}-{_digest(built)}.so")
                problem = problem or (done.stderr.strip().splitlines() or ["no message"])[0]
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{folder} or {compiler} failed ({error})") from None
    raise BuildError(f"{compiler} could not compile the kernels ({problem})")


def _commands(compiler: str, out: Path) -> Iterator[list[str]]:
    source = str(SOURCES / "kernels.c")
    for flags in FLAG_SETS:
        runtime = _openmp_runtime() if "-fopenmp" in flags else []
        yield [compiler, *BASE_FLAGS, *flags, *_more_flags(), source, *runtime, "-o", str(out)]


def _more_flags() -> list[str]:
    return shlex.split(os.environ.get(MORE_FLAGS, ""))

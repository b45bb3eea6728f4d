"""Compiles the C kernels on first use and keeps the library in the user's cache folder.

A library is loaded only from a folder that belongs to the user and that nobody else can write, and only when its bytes
are the ones that were built: its file is called `kernels-<key>-<digest>`, the key over source, compiler, flags and
processor, the digest over its own content. It is moved into place whole, so processes may build at the same time.
"""

import contextlib
import hashlib
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spikemba.errors import SpikeMbaError
from spikemba.ops.native import compilers, privacy
from spikemba.user_folders import cache_folder

SOURCES = Path(__file__).parent

MORE_FLAGS = "SPIKEMBA_KERNEL_FLAGS"
"""A variable of the environment with flags that come last, as those of a sanitizer; they make another library."""

TIMEOUT_S = 120
TRIAL_TIMEOUT_S = 30
"""For a library on trial, which may wait for ever where two OpenMPs are in a process."""


class BuildError(SpikeMbaError):
    """The kernels cannot be compiled, kept or loaded on this machine; the message says why."""


def find_or_build() -> Path:
    """The library compiled for this machine, built if it is not in the cache. Raises BuildError."""
    compiler = _compiler()
    folder = _private_folder()
    key = _key(compiler)
    if found := _find(folder, key):
        return found
    return _build(compiler, folder, key)


def kernels_folder() -> Path:
    """Where libraries are kept."""
    return cache_folder() / "kernels"


def openmp_runtime() -> str | None:
    """torch's own OpenMP, where its name is not the system's: with two of them two pools of threads compete."""
    import torch

    folder = Path(torch.__file__).parent
    names = ("lib/libomp.dylib",) if sys.platform == "darwin" else ("lib/libgomp-*.so*", "../torch.libs/libgomp-*.so*")
    found = [str(path.resolve()) for name in names for path in sorted(folder.glob(name))]
    return found[0] if found else None


def _compiler() -> str:
    try:
        return compilers.find_compiler(sys.platform, os.environ)
    except LookupError as error:
        raise BuildError(str(error)) from None


def _private_folder() -> Path:
    """The cache folder, made if it is missing. Raises BuildError when somebody else could put a library there."""
    try:
        folder = kernels_folder()
    except SpikeMbaError as error:
        raise BuildError(str(error)) from None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        problem = privacy.problem_of(folder)
    except OSError as error:
        raise BuildError(f"{folder} cannot be used ({(error.strerror or str(error)).lower()})") from None
    if problem:
        raise BuildError(problem)
    return folder


def _key(compiler: str) -> str:
    digest = hashlib.sha256()
    tried = repr(list(_commands(compiler, "kernels.c", "kernels")))
    for part in (_version(compiler), _processor(), tried, compilers.digest_of_sources(SOURCES)):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _version(compiler: str) -> str:
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{compiler} does not run ({error})") from None
    return f"{compiler}\n{done.stdout}"


def _processor() -> str:
    """What flags for the native processor depend on."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        return platform.machine() + "".join(sorted({x for x in lines if x.startswith(("flags", "Features", "model"))}))
    if sys.platform == "darwin":  # where platform.processor() says "arm" of all of them
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            name = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(name, capture_output=True, text=True, timeout=TIMEOUT_S, check=True).stdout
    return f"{platform.machine()} {platform.processor()} {platform.platform()}"


def _find(folder: Path, key: str) -> Path | None:
    """A library of that key whose content is what was built; damaged ones are removed."""
    for path in sorted(folder.glob(f"kernels-{key}-*{_suffix()}")):
        with contextlib.suppress(OSError):  # no file, or one that another process has just removed
            if privacy.is_ours(path) and path.stem.endswith(f"-{_digest(path)}"):
                return path
            path.unlink()
    return None


def _suffix() -> str:
    return compilers.system_of(sys.platform).suffix


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _build(compiler: str, folder: Path, key: str) -> Path:
    problem = ""
    try:
        with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as work:
            built = Path(work) / f"kernels{_suffix()}"
            for command, on_trial in _commands(compiler, str(SOURCES / "kernels.c"), str(built)):
                done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=work)
                told = (_lines(done) or ["no message"])[0] if done.returncode else ""
                if on_trial and not told:
                    told = _try_apart(built)
                if not told:
                    return _keep(built, folder / f"kernels-{key}-{_digest(built)}{_suffix()}")
                problem = problem or told
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{folder} or {compiler} failed ({error})") from None
    raise BuildError(f"{compiler} could not compile the kernels ({problem})")


def _commands(compiler: str, source: str, out: str) -> Iterator[tuple[list[str], bool]]:
    """Each with whether it is on trial."""
    for plan in compilers.plans(sys.platform, compiler, openmp_runtime()):
        yield compilers.command(sys.platform, compiler, plan, source, out, more_flags()), plan.on_trial


def _try_apart(built: Path) -> str:
    """Load and use a library in another process, which it may take down with it. Returns what is wrong, or nothing."""
    tried = f"from spikemba.ops.native.library import opened; opened({str(built)!r}, threads=2)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    how: dict[str, Any] = {"capture_output": True, "text": True, "env": environment, "timeout": TRIAL_TIMEOUT_S}
    try:
        done = subprocess.run([sys.executable, "-c", tried], check=False, **how)
    except subprocess.TimeoutExpired:
        return f"on trial it did not answer in {TRIAL_TIMEOUT_S} s"
    if done.returncode == 0:
        return ""
    ended = f"ended by {_name_of_signal(-done.returncode)}" if done.returncode < 0 else ""
    return f"on trial: {': '.join(filter(None, (ended, *_lines(done)[-1:]))) or 'no message'}"


def _lines(done: "subprocess.CompletedProcess[str]") -> list[str]:
    return done.stderr.strip().splitlines()


def _name_of_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _keep(built: Path, path: Path) -> Path:
    """Move it to its name, or take what another process has put there: Windows replaces no library that is in use."""
    try:
        return built.replace(path)
    except PermissionError:
        if path.is_file() and path.read_bytes() == built.read_bytes():
            return path
        raise


def more_flags() -> list[str]:
    """Those of $SPIKEMBA_KERNEL_FLAGS. Raises BuildError for quotes that are not closed."""
    said = os.environ.get(MORE_FLAGS, "")
    try:
        return shlex.split(said)
    except ValueError as error:
        raise BuildError(f"{MORE_FLAGS} is {said!r} ({str(error).lower()})") from None

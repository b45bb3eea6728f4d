"""The part of the build that puts compiled kernels into a wheel, where it is asked for.

    SPIKEMBA_WHEEL_KERNELS=1 python -m build --wheel

makes a wheel for this system and kind of processor and any Python, py3-none-<platform>. Without the variable the wheel
is for every machine, py3-none-any, and holds their sources alone.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

WANTED = "SPIKEMBA_WHEEL_KERNELS"
NATIVE = Path("spikemba", "ops", "native")


class KernelsHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles the kernels for any processor of this kind and takes them into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError when they are wanted and cannot be compiled: a wheel without them has another name."""
        self._folder: str | None = None
        if os.environ.get(WANTED, "") in ("", "0") or version == "editable":
            return
        self._folder = tempfile.mkdtemp(prefix="spikemba-kernels-")
        try:
            paths = compiled(Path(self.root) / NATIVE, Path(self._folder))
        except BaseException:
            self.finalize()  # hatchling calls it only after a build
            raise
        for path in paths:
            build_data["force_include"][str(path)] = (NATIVE / "compiled" / path.name).as_posix()
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"

    def finalize(self, *_: Any) -> None:
        """Clear up."""
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def compiled(sources: Path, folder: Path) -> list[Path]:
    """The library, made in a folder, and what is written beside it for who loads it. Raises RuntimeError."""
    compilers = _module(sources / "compilers.py")
    compiler, version = _compiler(compilers)
    library, machine = folder / f"kernels{compilers.system_of(sys.platform).suffix}", platform.machine()
    source, threads = str(sources / "kernels.c"), compilers.wheel_has_threads(sys.platform, version)
    if sys.platform.startswith("linux") and not threads:
        print(f"{compiler} is not gcc: the wheel's kernels run on one thread; CC=gcc makes threads", file=sys.stderr)
    for command in compilers.wheel_commands(sys.platform, machine, compiler, source, str(library), threads=threads):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        if done.returncode:
            raise RuntimeError(f"the kernels could not be compiled: {' '.join(command)}\n{done.stderr}")
    said = {
        "system": sys.platform,
        "machine": compilers.kind_of(machine),
        "needs": compilers.needs_of(machine),
        "sources": compilers.digest_of_sources(sources),
        "library": hashlib.sha256(library.read_bytes()).hexdigest(),
        "compiler": version.partition("\n")[0],
    }
    described = folder / "built.json"
    described.write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    return [library, described]


def platform_tag() -> str:
    """What pip on such a machine looks for; on macOS from the release on that the library is compiled for."""
    if sys.platform == "darwin":
        return f"macosx_11_0_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _compiler(compilers: Any) -> tuple[str, str]:
    """Its path, and what it says of itself."""
    try:
        path = compilers.find_compiler(sys.platform, os.environ)
    except LookupError as error:
        raise RuntimeError(f"{WANTED} is set, and {error}") from None
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise RuntimeError(f"{WANTED} is set, and {path} does not run ({error})") from None
    return path, done.stdout


def _module(path: Path) -> Any:
    """A file of the package, alone: what the package imports is not here while it is built."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} cannot be read")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module

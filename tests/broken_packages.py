"""Packages, most of which cannot be imported, each for a reason of its own, in a folder to put first on the path."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def put_package(folder: Path, name: str, body: str, version: str = "") -> None:
    """A package of that name whose import runs `body`; with a version, it has metadata as pip writes them."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(body)
    if version:
        (folder / f"{name}-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(metadata)


def put_encoders(folder: Path, package: str, encoders: Mapping[str, str], body: str = "", version: str = "1.0") -> None:
    """A package that brings encoders, each by its name and `module:value`; `body` is what its import runs."""
    put_package(folder, package, body, version)
    points = "".join(f"{name} = {place}\n" for name, place in encoders.items())
    (folder / f"{package}-{version}.dist-info" / "entry_points.txt").write_text(f"[spikemba.encoders]\n{points}")


def python(first: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that looks for packages in the folder `first` first."""
    path = os.pathsep.join([str(first), str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def spikemba(first: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in such a process."""
    return python(first, "from spikemba_cli.main import main; main()", *arguments)

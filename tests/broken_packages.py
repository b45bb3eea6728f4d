"""Packages that cannot be imported, each for a reason of its own, in a folder to put first on the path."""

import os
import subprocess
import sys
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


def python(first: Path, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own that looks for packages in the folder `first` first."""
    path = os.pathsep.join([str(first), str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)


def spikemba(first: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in such a process."""
    return python(first, "from spikemba_cli.main import main; main()", *arguments)

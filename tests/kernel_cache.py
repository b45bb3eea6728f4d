"""Cache folders that share the compiled kernels: compiling them takes most of a small test that starts a process."""

import os
import tempfile
from pathlib import Path

_SHARED = "SPIKEMBA_TEST_KERNELS"
"""A variable of the environment, so that all processes of a run have the same folder."""


def share_kernels() -> None:
    """Name the folder of this run; processes that it starts take it over."""
    os.environ.setdefault(_SHARED, tempfile.mkdtemp(prefix="spikemba-kernels-"))


def cache_with_kernels(folder: Path) -> Path:
    """The folder as a cache that is empty but for the kernels, which whoever needs them first compiles."""
    folder.mkdir(parents=True, exist_ok=True)
    kernels = folder / "kernels"
    if not kernels.exists():
        kernels.symlink_to(os.environ[_SHARED], target_is_directory=True)
    return folder

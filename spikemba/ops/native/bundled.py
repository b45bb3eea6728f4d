"""The library that came with the wheel, compiled for any processor of a kind; most wheels bring none.

`compiled/` holds it and `built.json`, which tells what it was built from and what it needs. Who can write there can
change the code as well, so what is asked is whether they belong together.
"""

import ctypes
import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

from spikemba.ops.native import compilers
from spikemba.ops.native.build import SOURCES, BuildError, openmp_runtime

FOLDER = SOURCES / "compiled"


def find_bundled() -> Path:
    """The wheel's library, if this machine can run it and it is that of these sources. Raises BuildError."""
    path = FOLDER / f"kernels{compilers.system_of(sys.platform).suffix}"
    if not path.is_file():
        raise BuildError("the package brings none that are compiled")
    said = _said(FOLDER / "built.json")
    here = {"system": sys.platform, "machine": compilers.kind_of(platform.machine())}
    if (there := {name: said.get(name) for name in here}) != here:
        raise BuildError(f"{path} is for {' '.join(map(str, there.values()))}, and this is {' '.join(here.values())}")
    if said.get("sources") != compilers.digest_of_sources(SOURCES):
        raise BuildError(f"{path} was built from other sources than those beside it; {_ANEW}")
    if said.get("library") != hashlib.sha256(path.read_bytes()).hexdigest():
        raise BuildError(f"{path} is not what was built; {_ANEW}")
    if lacking := _lacking(said["needs"]):
        raise BuildError(f"{path} needs a processor with {', '.join(lacking)}")
    _share_openmp()
    return path


_ANEW = "run `pip install --force-reinstall --no-deps spikemba`"


def _said(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} cannot be read ({error}); {_ANEW}") from None
    if not isinstance(said, dict):
        raise BuildError(f"{path} holds no table; {_ANEW}")
    needs = said.get("needs")
    if not isinstance(needs, list) or not all(isinstance(name, str) for name in needs):
        raise BuildError(f"{path} holds no list of what the processor needs ({needs!r}); {_ANEW}")
    return said


def _lacking(needed: list[str]) -> list[str]:
    """What the processor lacks, as torch knows it; a library with unknown instructions would end the process."""
    import torch

    asked = getattr(torch.cpu, "get_capabilities", None)
    if needed and asked is None:
        lacked = f"PyTorch {torch.__version__} does not tell whether the processor has {', '.join(needed)}"
        raise BuildError(f"{lacked}; run `pip install --upgrade torch`")
    has = asked() if asked and needed else {}
    return [name for name in needed if not has.get(name)]


def _share_openmp() -> None:
    """Let the library find the functions of the OpenMP that torch runs on; it is linked with none."""
    if sys.platform.startswith("linux"):
        try:
            ctypes.CDLL(openmp_runtime() or "libgomp.so.1", mode=ctypes.RTLD_GLOBAL)
        except OSError:
            return  # loading the library says what is missing

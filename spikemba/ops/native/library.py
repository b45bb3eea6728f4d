"""The compiled kernels as Python functions, or the reason why there are none.

A library compiled on this machine comes first, since it has all of the processor's instructions; then the one that came
with the wheel.

$SPIKEMBA_NATIVE: `0` forbids them, `1` makes their absence an error, anything else uses them where they can be built.
"""

import ctypes
import logging
import os
import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from spikemba.ops.native.build import BuildError, find_or_build
from spikemba.ops.native.bundled import find_bundled
from spikemba.ops.native.kernels import KERNELS, LIMITS

ENVIRONMENT = "SPIKEMBA_NATIVE"


@dataclass(frozen=True)
class Native:
    """What loading the library came to."""

    library: ctypes.CDLL | None
    detail: str
    """The library's path, or why there is none."""
    instead: str = ""
    """Why it is that of the wheel and none that was compiled here."""


def native() -> ctypes.CDLL | None:
    """The library, compiled and loaded by the first call; None where it cannot be or $SPIKEMBA_NATIVE forbids it.

    Raises BuildError when $SPIKEMBA_NATIVE is 1 and there is none.
    """
    wanted = os.environ.get(ENVIRONMENT, "")
    if wanted == "0":
        return None
    found = load()
    if found.library is None and wanted == "1":
        raise BuildError(f"{ENVIRONMENT} is 1 and the kernels cannot be used: {found.detail}; unset it to run without")
    return found.library


_lock = threading.Lock()
_loaded: Native | None = None


def load() -> Native:
    """Build and load the library once per process, whatever $SPIKEMBA_NATIVE says."""
    global _loaded
    if _loaded is None:
        with _lock:
            _loaded = _loaded or _load()
    return _loaded


def _load() -> Native:
    log, problems = logging.getLogger("spikemba"), list[str]()
    for find in (find_or_build, find_bundled):
        try:
            path = find()
            return Native(opened(str(path)), str(path), "; ".join(problems))
        except (BuildError, OSError, AttributeError, ValueError) as error:  # what is not in a library is a ValueError
            log.debug("kernels are passed over: %s", error)
            problems.append(str(error))
    log.debug("the scan and the neurons run in plain PyTorch")
    return Native(None, "; ".join(problems))


def opened(path: str, threads: int = 1) -> ctypes.CDLL:
    """A library that has computed something right, on so many threads.

    Raises OSError, AttributeError or ValueError when it cannot be loaded or lacks something, BuildError when it
    computes something else.
    """
    library = ctypes.CDLL(path)
    _declare(library)
    _self_test(library, threads)
    return library


def forget() -> None:
    """Let the next call look for the library again; for tests."""
    global _loaded
    _loaded = None


def threads() -> int:
    """Threads for one kernel. One in a forked child, where OpenMP's pool is gone and waiting for it would never end."""
    return 1 if _forked else torch.get_num_threads()


def parts(positions: int) -> int:
    """How many tasks a pair's positions make; sums are taken task by task, whatever the number of threads."""
    return max(1, positions // 64)


FLOATS = torch.float32, torch.bfloat16, torch.float16
"""What the kernels compute in float32."""


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def usable() -> bool:
    """Whether there are kernels and $SPIKEMBA_NATIVE allows them. What torch.compile traces keeps the answer."""
    return native() is not None


def on_native(*tensors: Tensor | None) -> bool:
    """Whether the kernels can take these tensors: floats on a CPU, none in float64, and there are kernels."""
    for tensor in tensors:
        if tensor is not None and (tensor.dtype not in FLOATS or not tensor.is_cpu):
            return False
    allowed: bool = usable()
    return allowed


def kernels() -> ctypes.CDLL:
    """The library, whatever $SPIKEMBA_NATIVE says: who calls an operator has asked before, or wants it by name.

    Raises BuildError where there is none.
    """
    library = load().library
    if library is None:
        raise BuildError(f"the compiled kernels cannot be used: {load().detail}")
    return library


def _declare(library: ctypes.CDLL) -> None:
    """Say what each function takes. Raises BuildError when C and Python lay an argument out differently."""
    for name, kernel in KERNELS.items():
        function = getattr(library, name)
        function.restype = ctypes.c_int if kernel.fallible else None
        function.argtypes = [ctypes.POINTER(kernel.structure)]
        if (size := _constant(library, f"size_of_{name}")) != ctypes.sizeof(kernel.structure):
            raise BuildError(f"{name} takes {size} bytes, and Python gives it {ctypes.sizeof(kernel.structure)}")
    for name, expected in LIMITS.items():
        if (found := _constant(library, f"limit_{name}")) != expected:
            raise BuildError(f"{name} is {found} in C and {expected} in Python")


def _constant(library: ctypes.CDLL, name: str) -> int:
    return ctypes.c_int64.in_dll(library, name).value


def _self_test(library: ctypes.CDLL, threads: int = 1) -> None:
    """One position, one channel, one state, y = c (delta b x): what a miscompiled library would not give.

    Without torch, which may be tracing when the library is first needed: its tensors would be mere descriptions.
    """
    numbers, y = [ctypes.pointer(ctypes.c_float(value)) for value in (1, 2, 3)], ctypes.c_float()
    x, b, c = (ctypes.cast(number, ctypes.c_void_p).value for number in numbers)
    sizes = {"batch": 1, "length": 1, "width": 1, "states": 1, "row_stride": 1, "block": 16, "threads": threads}
    given = KERNELS["scan_forward"].structure(x=x, step=x, a=x, b=b, c=c, y=ctypes.addressof(y), **sizes)
    library.scan_forward(ctypes.byref(given))
    if y.value != 6.0:
        raise BuildError(f"the compiled library computes {y.value} where 6 is right")


_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)

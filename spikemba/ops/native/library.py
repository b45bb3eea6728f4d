"""The compiled kernels as Python functions, or the reason why there are none.

$SPIKEMBA_NATIVE: `0` forbids them, `1` makes their absence an error, anything else uses them where they can be built.
"""

import ctypes
import logging
import os
import threading
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from spikemba.ops.native.build import BuildError, find_or_build

ENVIRONMENT = "SPIKEMBA_NATIVE"

_P, _L, _I = ctypes.c_void_p, ctypes.c_long, ctypes.c_int

SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "conv_forward": (None, [_P] * 8 + [_L] * 5 + [_I] * 2),
    "conv_backward": (None, [_P] * 13 + [_L] * 4 + [_I] * 2),
    "gate_forward": (None, [_P] * 4 + [_L, _I]),
    "gate_backward": (None, [_P] * 6 + [_L, _I]),
    "scan_block": (_L, [_L, _L, _L]),
    "scan_forward": (None, [_P] * 11 + [_L] * 5 + [_I] * 3),
    "scan_backward": (_I, [_P] * 15 + [_L] * 5 + [_I] * 3),
    "lif_forward": (None, [_P] * 8 + [_L] * 5 + [_I] * 2),
    "lif_backward": (None, [_P] * 10 + [_L] * 5 + [_I] * 2),
    "attention_forward": (None, [_P] * 9 + [_L] * 5 + [_I]),
    "attention_backward": (_I, [_P] * 11 + [_L] * 5 + [_I]),
    "masked_sums": (None, [_P] * 4 + [_L] * 5 + [_I]),
    "norm_backward": (None, [_P] * 6 + [_L] * 4 + [_I]),
}
"""Name -> what it returns and takes; the C files say what each argument is."""


@dataclass(frozen=True)
class Native:
    """What loading the library came to."""

    library: ctypes.CDLL | None
    detail: str
    """The library's path, or why there is none."""


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


def load() -> Native:
    """Build and load the library once per process, whatever $SPIKEMBA_NATIVE says."""
    with _lock:
        return _load()


@cache
def _load() -> Native:
    log = logging.getLogger("spikemba")
    try:
        path = find_or_build()
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        _self_test(library)
    except (BuildError, OSError, AttributeError) as error:
        log.debug("the scan and the neurons run in plain PyTorch: %s", error)
        return Native(None, str(error))
    return Native(library, str(path))


def forget() -> None:
    """Let the next call look for the library again; for tests."""
    _load.cache_clear()


def pointer(tensor: Tensor | None) -> int | None:
    """The address that C gets; None is null. What C reads as rows must be rows."""
    if tensor is None:
        return None
    assert tensor.is_contiguous(), tensor.stride()
    return tensor.data_ptr()


def packed(mask: Tensor | None) -> Tensor | None:
    """A mask as C reads it: one byte per position, without gaps."""
    return None if mask is None else mask.bool().contiguous()


def threads() -> int:
    """Threads for one kernel. One in a forked child, where OpenMP's pool is gone and waiting for it would never end."""
    return 1 if _forked else torch.get_num_threads()


def parts(positions: int) -> int:
    """How many tasks a pair's positions make; sums are taken task by task, whatever the number of threads."""
    return max(1, positions // 64)


def on_native(*tensors: Tensor | None) -> bool:
    """Whether the kernels can take these tensors: on a CPU, none in float64, and there are kernels."""
    given = [tensor for tensor in tensors if tensor is not None]
    return all(t.device.type == "cpu" and t.dtype != torch.float64 for t in given) and native() is not None


def kernels() -> ctypes.CDLL:
    """The library, where `on_native` has said that there is one."""
    library = load().library
    assert library is not None
    return library


def _self_test(library: ctypes.CDLL) -> None:
    """One position, one channel, one state, y = c (delta b x): what a miscompiled library would not give."""
    one, y = torch.tensor([1.0, 2.0, 3.0]), torch.zeros(1)
    x, b, c = (pointer(one[i:]) for i in range(3))
    library.scan_forward(x, x, x, b, c, None, None, None, pointer(y), None, None, 1, 1, 1, 1, 1, 0, 0, 1)
    if y.item() != 6.0:
        raise BuildError(f"the compiled library computes {y.item()} where 6 is right")


_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)

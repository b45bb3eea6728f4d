"""What each C function takes: the structures of the C files, field by field, and the shapes behind their addresses."""

# Shapes are written as names of sizes: fields of the same structure, or those that follow from them (`FOLLOWING`).

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any

import torch

SEGMENT = 32
"""Positions between two kept states of the scan."""
BLOCK = 128
"""Channels of one task of the scan, at most."""
MAX_STATES, MAX_TAPS, MAX_STEPS = 256, 8, 64
MAX_HEAD = 64
"""Channels of a head: its spikes are the bits of one word."""
SURROGATES = 8

LIMITS = {
    "SEGMENT": SEGMENT,
    "BLOCK": BLOCK,
    "STATES": MAX_STATES,
    "TAPS": MAX_TAPS,
    "STEPS": MAX_STEPS,
    "HEAD": MAX_HEAD,
    "SURROGATES": SURROGATES,
}
"""C's name -> the number that C and Python must share; compared when the library is loaded."""


def padded(width: int) -> int:
    """The width of the scan's states in memory."""
    return -(-width // 16) * 16


Given = dict[str, Any]

FOLLOWING: dict[str, Callable[[Given], int]] = {
    "pitch": lambda given: padded(given["width"]),
    "segments": lambda given: -(-given["length"] // SEGMENT),
    "blocks": lambda given: -(-given["width"] // given["block"]),
    "tasks": lambda given: int(given["batch"] * given["parts"]),
    "channels": lambda given: int(3 * given["width"]),
    "three": lambda _: 3,
    "two": lambda _: 2,
    "inputs": lambda given: 1 if given["constant"] else int(given["steps"]),
}
"""Sizes that follow from a structure's fields."""


@dataclass(frozen=True)
class Array:
    """An address: what must stand there, row after row without gaps."""

    name: str
    shape: str
    dtype: torch.dtype = torch.float32
    optional: bool = False
    """Null where there is nothing."""
    rows: bool = False
    """Rows of the last axis stand `row_stride` numbers apart, those of one pair after those of another."""
    aligned: int = 1
    """Bytes that the address is a multiple of."""
    kind = ctypes.c_void_p

    @property
    def axes(self) -> list[str]:
        return self.shape.split()


@dataclass(frozen=True)
class Number:
    """A size, a flag or a real number, and its range."""

    name: str
    least: float = 0
    most: float = 2**62
    multiple: int = 1
    kind: type = ctypes.c_int64


def _mask(shape: str) -> Array:
    return Array("mask", shape, torch.bool, optional=True)


def _flag(name: str, most: int = 1) -> Number:
    return Number(name, most=most, kind=ctypes.c_int32)


def _real(name: str) -> Number:
    return Number(name, least=-float("inf"), kind=ctypes.c_float)


@dataclass(frozen=True)
class Kernel:
    """A C function and its one argument, a pointer to a structure of these fields."""

    name: str
    fields: tuple[Array | Number, ...]
    together: tuple[tuple[str, ...], ...] = ()
    """Addresses of which all are null or none is."""
    heads: bool = False
    """Whether `heads` must divide the width, into at most MAX_HEAD channels each."""
    fallible: bool = False
    """Whether it returns non-zero when there is no memory."""
    structure: type[ctypes.Structure] = field(init=False)

    def __post_init__(self) -> None:
        layout = [(one.name, one.kind) for one in self.fields]
        object.__setattr__(self, "structure", type(self.name, (ctypes.Structure,), {"_fields_": layout}))

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(one.name for one in self.fields)

    @cached_property
    def arrays(self) -> tuple[Array, ...]:
        return tuple(one for one in self.fields if isinstance(one, Array))

    @cached_property
    def optional(self) -> tuple[str, ...]:
        """The names of those arrays that may be null."""
        return tuple(one.name for one in self.arrays if one.optional)

    @cached_property
    def numbers(self) -> tuple[Number, ...]:
        """The whole ones."""
        return tuple(one for one in self.fields if isinstance(one, Number) and one.kind is not ctypes.c_float)

    @cached_property
    def reals(self) -> tuple[str, ...]:
        """The names of the real numbers."""
        return tuple(one.name for one in self.fields if one.kind is ctypes.c_float)

    @cached_property
    def whole(self) -> Callable[[Given], tuple[Any, ...]]:
        """From arguments to those that are whole numbers, in their order."""
        return itemgetter(*(one.name for one in self.numbers))

    @cached_property
    def following(self) -> frozenset[str]:
        """The names in FOLLOWING that its shapes use."""
        return frozenset(axis for one in self.arrays for axis in one.axes) & FOLLOWING.keys()


_THREADS = Number("threads", least=1, most=2**15, kind=ctypes.c_int32)
_BLOCK = Number("block", least=16, most=BLOCK, multiple=16)
_TAPS = Number("taps", least=1, most=MAX_TAPS)
_STEPS = Number("steps", least=1, most=MAX_STEPS)
_ANY_STEPS = Number("steps", least=1)
_PARTS = Number("parts", least=1)
_STATES = Number("states", least=1, most=MAX_STATES)
_NEURON = (
    *map(_real, ("leak", "gain", "threshold", "alpha")),
    *map(_flag, ("soft", "detach")),
    _flag("surrogate", SURROGATES - 1),
)
_AFFINE = Array("scale", "width", optional=True), Array("shift", "width", optional=True)
_WIDE_AFFINE = Array("scale", "channels", optional=True), Array("shift", "channels", optional=True)
_SEQUENCE = "batch length width"
_SCAN = (
    Array("x", _SEQUENCE),
    Array("step", _SEQUENCE),
    Array("a", "width states"),
    Array("b", "batch length states", rows=True),
    Array("c", "batch length states", rows=True),
    Array("skip", "width", optional=True),
    _mask("batch length"),
)
_SCAN_SIZES = (
    *map(Number, ("batch", "length", "width")),
    _STATES,
    Number("row_stride"),
    _BLOCK,
    _flag("softplus"),
    _flag("reverse"),
    _THREADS,
)
_CONV = (
    Array("u", _SEQUENCE),
    _mask("batch length"),
    Array("weight", "taps width"),
    Array("bias", "width"),
    Array("weight2", "taps width", optional=True),
    Array("bias2", "width", optional=True),
)
_SPIKES = "inputs batch positions width"
_TRAINS = "steps batch positions width"
_SUMMED = "outer", "count", "width"
_HALVES = Array("rows", "count width", torch.float16), Array("vector", "width"), Array("out", "count")
_POSITIONS = (*map(Number, ("batch", "positions", "width")),)

_ALL = (
    Kernel(
        "scan_forward",
        (
            *_SCAN,
            Array("initial", "batch states pitch", optional=True),
            Array("y", _SEQUENCE),
            Array("starts", "batch segments states pitch", optional=True, aligned=64),
            Array("final", "batch states pitch", optional=True),
            *_SCAN_SIZES,
        ),
        fallible=True,
    ),
    Kernel(
        "scan_backward",
        (
            *_SCAN,
            Array("grad_y", _SEQUENCE),
            Array("starts", "batch segments states pitch"),
            Array("grad_x", _SEQUENCE),
            Array("grad_step", _SEQUENCE),
            Array("grad_rate", "batch states pitch"),
            Array("grad_b", "blocks batch length states"),
            Array("grad_c", "blocks batch length states"),
            Array("grad_skip", "batch pitch"),
            *_SCAN_SIZES,
        ),
        fallible=True,
    ),
    Kernel(
        "conv_forward",
        (
            *_CONV,
            Array("out", _SEQUENCE),
            Array("out2", _SEQUENCE, optional=True),
            *map(Number, ("batch", "length", "width")),
            _TAPS,
            _PARTS,
            _flag("reverse"),
            _THREADS,
        ),
        together=(("weight2", "bias2", "out2"),),
    ),
    Kernel(
        "conv_backward",
        (
            *_CONV,
            Array("grad", _SEQUENCE),
            Array("grad2", _SEQUENCE, optional=True),
            Array("grad_u", _SEQUENCE),
            Array("grad_weight", "batch taps width"),
            Array("grad_bias", "batch width"),
            Array("grad_weight2", "batch taps width", optional=True),
            Array("grad_bias2", "batch width", optional=True),
            *map(Number, ("batch", "length", "width")),
            _TAPS,
            _flag("reverse"),
            _THREADS,
        ),
        together=(("weight2", "bias2", "grad2", "grad_weight2", "grad_bias2"),),
    ),
    Kernel(
        "gate_forward",
        (
            Array("y", "count"),
            Array("y2", "count", optional=True),
            Array("z", "count"),
            Array("out", "count"),
            Number("count"),
            _THREADS,
        ),
    ),
    Kernel(
        "gate_backward",
        (
            Array("y", "count"),
            Array("y2", "count", optional=True),
            Array("z", "count"),
            Array("grad", "count"),
            Array("grad_y", "count"),
            Array("grad_z", "count"),
            Number("count"),
            _THREADS,
        ),
    ),
    Kernel(
        "lif_forward",
        (
            Array("x", _SPIKES),
            *_AFFINE,
            _mask("batch positions"),
            Array("trains", _TRAINS),
            Array("rates", "batch positions width"),
            Array("counts", "tasks width"),
            _STEPS,
            *_POSITIONS,
            _PARTS,
            *_NEURON,
            _flag("constant"),
            _THREADS,
        ),
        together=(("scale", "shift"),),
    ),
    Kernel(
        "lif_backward",
        (
            Array("x", _SPIKES),
            *_AFFINE,
            _mask("batch positions"),
            Array("grad_trains", _TRAINS, optional=True),
            Array("grad_rates", "batch positions width", optional=True),
            Array("grad_counts", "width", optional=True),
            Array("grad_in", _SPIKES),
            Array("sums", "two tasks width"),
            _STEPS,
            *_POSITIONS,
            _PARTS,
            *_NEURON,
            _flag("constant"),
            _THREADS,
        ),
        together=(("scale", "shift"),),
    ),
    Kernel(
        "attention_forward",
        (
            Array("x", "batch positions channels"),
            *_WIDE_AFFINE,
            _mask("batch positions"),
            Array("factor", "batch"),
            Array("out", _TRAINS),
            Array("bits", "three steps batch heads positions", torch.int64),
            Array("counts", "batch channels"),
            _STEPS,
            *_POSITIONS,
            Number("heads", least=1),
            *_NEURON,
            _THREADS,
        ),
        together=(("scale", "shift"),),
        heads=True,
    ),
    Kernel(
        "attention_backward",
        (
            Array("x", "batch positions channels"),
            *_WIDE_AFFINE,
            _mask("batch positions"),
            Array("factor", "batch"),
            Array("grad", _TRAINS),
            Array("bits", "three steps batch heads positions", torch.int64),
            Array("grad_counts", "channels", optional=True),
            Array("grad_in", "batch positions channels"),
            Array("sums", "two batch channels"),
            _STEPS,
            *_POSITIONS,
            Number("heads", least=1),
            *_NEURON,
            _THREADS,
        ),
        together=(("scale", "shift"),),
        heads=True,
        fallible=True,
    ),
    Kernel(
        "masked_sums",
        (
            Array("x", _TRAINS),
            _mask("batch positions"),
            Array("centre", "width", optional=True),
            Array("sums", "tasks width"),
            _ANY_STEPS,
            *_POSITIONS,
            _PARTS,
            _THREADS,
        ),
    ),
    Kernel(
        "norm_backward",
        (
            Array("grad", _TRAINS),
            Array("x", _TRAINS),
            _mask("batch positions"),
            Array("scale", "width"),
            Array("constant", "width", optional=True),
            Array("slope", "width", optional=True),
            _ANY_STEPS,
            *_POSITIONS,
            _THREADS,
        ),
        together=(("constant", "slope"),),
    ),
    Kernel(
        "sum_over_rows",
        (Array("rows", "outer count width"), Array("out", "outer width"), *map(Number, _SUMMED), _THREADS),
    ),
    Kernel("half_products", (*_HALVES, *map(Number, ("count", "width")), _THREADS)),
)

KERNELS = {kernel.name: kernel for kernel in _ALL}
"""Name -> what it takes; the C files say what each field is."""

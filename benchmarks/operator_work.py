"""What operators of torch do, seen from outside: operations and bytes, each put to the part of a network that asked.

Operations. Products of matrices and convolutions: two for each multiplication and addition, as torch counts them. The
compiled kernels: what their C does for each number, an exponential as the fifteen of its polynomial; the attention adds
a row for each spike, and its spikes are counted. Any other operator: one for each number of its largest tensor, or of
the first of its lists of tensors, and none where numbers only move.

Bytes. Each operator reads its arguments and writes its results, or the arguments that it changes; a tensor that is
expanded counts with the memory behind it. Views and room that nothing is written to count nothing. What an operator
reads and writes within, and what stays in a cache from one to the next, is not seen.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

EXP = 15
SIGMOID = EXP + 4
SOFTPLUS = EXP + 24
UNSEEN = ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "_unsafe_view", "_reshape_alias")
MOVES = {
    *(
        "clone",
        "copy_",
        "_to_copy",
        "cat",
        "stack",
        "zero_",
        "fill_",
        "zeros",
        "zeros_like",
        "ones",
        "ones_like",
        "full",
    ),
    *("new_zeros", "new_full", "new_ones", "gather", "index", "constant_pad_nd", "scalar_tensor", "arange", "repeat"),
    *("scatter_add_", "slice_backward", "select_backward", "split_with_sizes_copy", "index_select"),
}


@dataclass
class Work:
    """Of one part in one pass."""

    flops: float = 0.0
    """Operations, but for those of products in half precision."""
    half_flops: float = 0.0
    """Operations of products in half precision."""
    bytes: float = 0.0


class WorkCounter(TorchDispatchMode):
    """Within, what operators do adds up in `work`: (part, whether in the backward pass) -> Work.

    A derivative belongs to the part in which autograd numbered the operator that it is of.
    """

    def __init__(self, rest: str) -> None:
        super().__init__()
        self.work: defaultdict[tuple[str, bool], Work] = defaultdict(Work)
        self._parts, self._owners = [rest], dict[int, str]()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Within, operators belong to it."""
        first = torch.autograd._get_sequence_nr()
        self._parts.append(name)
        try:
            yield
        finally:
            self._parts.pop()
            for number in range(first, torch.autograd._get_sequence_nr()):
                self._owners.setdefault(number, name)  # the innermost ends first

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        results = function(*args, **kwargs)
        if function.is_view or _name(function) in UNSEEN:
            return results
        node = torch._C._current_autograd_node()
        part = self._parts[-1] if node is None else self._owners.get(node._sequence_nr(), self._parts[0])
        work, found = self.work[part, node is not None], _flops(function, args, kwargs, results)
        half = function._overloadpacket in flop_registry and _tensors(results)[0].dtype in (torch.bfloat16, torch.half)
        work.flops += 0 if half else found
        work.half_flops += found if half else 0
        work.bytes += _bytes(function, args, kwargs, results)
        return results


def _name(function: Any) -> str:
    return str(function._schema.name).split("::")[1]


def _tensors(tree: Any) -> list[Tensor]:
    return [one for one in tree_leaves(tree) if isinstance(one, Tensor)]


def _bytes(function: Any, args: Any, kwargs: Any, results: Any) -> int:
    """Read and written."""
    written = [
        one
        for given, argument in zip(args, function._schema.arguments, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
        for one in _tensors(given)
    ]
    known = {id(one) for one in written}
    written += [one for one in _tensors(results) if id(one) not in known]
    return sum(map(_size, _tensors((args, kwargs)))) + sum(map(_size, written))


def _size(one: Tensor) -> int:
    return min(one.numel() * one.element_size(), one.untyped_storage().nbytes())


def _flops(function: Any, args: Any, kwargs: Any, results: Any) -> float:
    known = flop_registry.get(function._overloadpacket)
    if known is not None:
        return float(known(*args, **kwargs, out_val=results))
    if function.namespace == "spikemba":
        return float(_KERNELS[_name(function)](args, results))
    if _name(function) in MOVES:
        return 0.0
    if isinstance(args[0], list):  # many tensors in one operator, as the optimiser's
        return float(sum(one.numel() for one in args[0]))
    return float(max((one.numel() for one in _tensors((args, kwargs, results))), default=0))


def _spikes(bits: Tensor) -> tuple[float, ...]:
    """bits: (3, ...) of words -> how many bits are set in each of the three."""
    set_bits = torch.tensor([i.bit_count() for i in range(256)])
    return tuple(float(set_bits[one.contiguous().view(torch.uint8).long()].sum()) for one in bits)


def _scan(per_state: int) -> Callable[[Any, Any], float]:
    def count(args: Any, results: Any) -> float:
        x, a = next((x, a) for x, a in zip(args, args[2:], strict=False) if x.dim() == 3 and a.dim() == 2)
        return float(x.numel() * (a.shape[1] * per_state + SOFTPLUS + 8))

    return count


def _neurons(per_step: int, first: int) -> Callable[[Any, Any], float]:
    """first: place of x among the arguments; `steps` is seven behind it, 0 where x has them."""

    def count(args: Any, results: Any) -> float:
        x, steps = args[first], args[first + 7]
        return float(x.numel() * (steps or 1) * per_step)

    return count


def _attention(args: Any, results: Any) -> float:
    """Neurons, a row of a head for each spike of key and query, and the factor."""
    x, steps, heads = args[0], args[8], args[9]
    query, key, _ = _spikes(results[2])
    size = x.shape[2] // 3 // heads
    return x.numel() * steps * 8 + size * (query + key) + x.numel() // 3 * steps


def _attention_backward(args: Any, results: Any) -> float:
    """Neurons, a row for each spike as often as C adds one, and the queries' gradients, which are no sums of spikes."""
    bits, x, steps, heads = args[2], args[3], args[11], args[12]
    query, key, value = _spikes(bits)
    size = x.shape[2] // 3 // heads
    return x.numel() * steps * 20 + size * (query + key + 2 * value) + 2 * x.numel() // 3 * steps * size


def _each(place: int, count: Callable[[Iterable[Any]], int]) -> Callable[[Any, Any], float]:
    return lambda args, results: float(args[place].numel() * count(args))


def _conv(args: Any, directions: int, per_tap: int, rest: int) -> int:
    taps = next(one.shape[2] for one in args if isinstance(one, Tensor) and one.dim() == 3 and one.shape[1] == 1)
    return directions * (per_tap * taps + rest)


_KERNELS: dict[str, Callable[[Any, Any], float]] = {
    "scan": _scan(EXP + 6),
    "scan_train": _scan(EXP + 6),
    "scan_backward": _scan(EXP + 18),
    "conv": _each(0, lambda args: _conv(args, 1, 2, SIGMOID + 2)),
    "conv_both": _each(0, lambda args: _conv(args, 2, 2, SIGMOID + 2)),
    "conv_backward": _each(0, lambda args: _conv(args, 1, 6, SIGMOID + 6)),
    "conv_both_backward": _each(0, lambda args: _conv(args, 2, 6, SIGMOID + 6)),
    "gate": _each(0, lambda _: SIGMOID + 3),
    "gate_backward": _each(0, lambda _: SIGMOID + 8),
    "moments": _each(0, lambda _: 4),
    "spikes": _neurons(8, 0),
    "spikes_backward": _neurons(20, 3),
    "attention_train": _attention,
    "attention_backward": _attention_backward,
}

"""Matrix products in half precision, and what stays in float32 beside them."""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_FULL = "fp32"


def in_full_precision(x: Tensor) -> AbstractContextManager[None]:
    """A context without autocast on x's device."""
    context: AbstractContextManager[None] = (
        nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)  # which knows no such device
    )
    return context


def at_least_float32(x: Tensor) -> Tensor:
    """x, with half precision raised to float32."""
    return x if x.dtype == torch.float64 else x.float()


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Within it, matrix products run in a precision: fp32, bf16 or fp16; `auto` has been resolved before."""
    half = None if precision == _FULL else _HALVES[precision]
    return torch.autocast(device.type, half, half is not None)


class Float32Linear(nn.Linear):
    """A linear layer whose product stays in float32 under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """As nn.Linear's."""
        with in_full_precision(input):
            return super().forward(input.to(self.weight.dtype))


class Float32Conv1d(nn.Conv1d):
    """A convolution that stays in float32 under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """As nn.Conv1d's."""
        with in_full_precision(input):
            return super().forward(input.to(self.weight.dtype))


def with_products_in(precision: str, module: M) -> M:
    """A copy whose matrix products have their weights in a precision, to be called within `autocast`; for answers.

    Autocast casts a weight at every call where no gradient is kept; these are cast once, to the same numbers. All other
    tensors are the module's own. The module itself in fp32, and where its products are in that precision already.
    """
    half = _HALVES.get(precision)
    weights = [weight for weight in _of_products(module) if weight.dtype != half]
    if half is None or not weights:
        return module
    known = {id(one): one for one in (*module.parameters(), *module.buffers())}
    halves = {id(one): nn.Parameter(one.detach().to(half), requires_grad=False) for one in weights}
    return copy.deepcopy(module, {**known, **halves})


def _of_products(module: nn.Module) -> Iterator[Tensor]:
    """Weights and biases of linear layers and dense convolutions that autocast takes.

    Not of depthwise convolutions, which are no matrix products, nor the bias of Mamba's step: both enter in float32.
    """
    for name, layer in module.named_modules():
        dense = isinstance(layer, nn.Conv1d) and layer.groups == 1
        if (isinstance(layer, nn.Linear) or dense) and not isinstance(layer, Float32Linear | Float32Conv1d):
            yield layer.weight
            if layer.bias is not None and name.rpartition(".")[2] != "dt_proj":
                yield layer.bias

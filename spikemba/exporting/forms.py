"""The two forms of a graph: ONNX, and a program of torch.export."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from spikemba.errors import PackageMissing
from spikemba.libraries import is_installed

OPSET = 17
SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}
"""Form -> how its files end."""


@dataclass(frozen=True)
class Graph:
    """A module to be written, and what enters and leaves it."""

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    """Name -> an example, long enough that no length in it is special."""
    outputs: tuple[str, ...]
    lengths: Mapping[str, Mapping[int, str]]
    """Input or output -> axis -> the name of its length, where that may be any from 1 on (in the form torch from 2)."""


def check_form(form: str) -> None:
    """Raises PackageMissing for what the form needs."""
    if form == "onnx" and not is_installed("onnx"):
        raise PackageMissing("onnx", "--format onnx", "export")


@torch.no_grad()
def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph for ONNX runtimes.

    By torch's tracer: its exporter of programs took minutes for what this does in seconds (torch 2.14).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each Python number that is fixed in the graph, and the exporter's age
        torch.onnx.export(
            graph.module.eval(),
            tuple(graph.inputs.values()),
            str(path),
            dynamo=False,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_axes={name: dict(axes) for name, axes in graph.lengths.items()},
            opset_version=OPSET,
        )


@torch.no_grad()
def write_program(graph: Graph, path: Path) -> None:
    """Write a graph for `torch.export.load`."""
    dims = {name for axes in graph.lengths.values() for name in axes.values()}
    known = {name: torch.export.Dim(name, min=2) for name in dims}
    shapes = tuple({axis: known[one] for axis, one in graph.lengths.get(name, {}).items()} for name in graph.inputs)
    program = torch.export.export(
        graph.module.eval(),
        tuple(graph.inputs.values()),
        dynamic_shapes=shapes,
        prefer_deferred_runtime_asserts_over_guards=True,
    )
    torch.export.save(program, path)


WRITERS = {"onnx": write_onnx, "torch": write_program}
"""Form -> what writes it."""

"""Kernels on several threads, which the other tests never use: they are really taken, and change no number."""

# Shapes: B pairs, L or M positions, E or D channels, N state size, S spike steps.

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from pipelines.runs.config import TrainConfig
from pipelines.training.optimizer import make_optimizer
from spikemba.library.scan import products
from spikemba.ops.batch_norm import BatchNorm, masked_moments
from spikemba.ops.causal_conv import causal_conv_silu_both, gated_sum
from spikemba.ops.native.kernels import KERNELS
from spikemba.ops.native.library import ENVIRONMENT, load
from spikemba.ops.native.spiking import masked_moments as native_moments
from spikemba.ops.selective_scan import scan_block
from spikemba.ops.selective_scan import selective_scan as scan_alone
from spikemba.ops.spiking import NeuronConfig, spiking_attention, spiking_layer

needs_kernels = pytest.mark.skipif(load().library is None, reason=load().detail)
needs_openmp = pytest.mark.skipif(
    not hasattr(load().library, "omp_get_max_threads"), reason="the compiler that built the kernels has no OpenMP"
)

SHAPES = [(3, 150, 48), (1, 700, 64), (5, 9, 32), (2, 70, 300)]
"""B, L, E: more pairs than threads and fewer, positions in one part and in several, blocks of channels too."""


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    """The kernels are tested also where the environment forbids them elsewhere."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)


@contextmanager
def threads(n):
    """Kernels and torch run on n threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def scan(random, mask):
    batch, length, width = *mask.shape, random.width
    leaves = {"x": (batch, length, width), "step": (batch, length, width), "a": (width, 16)}
    leaves |= {"b": (batch, length, 16), "c": (batch, length, 16), "skip": (width,)}

    def run(x, step, a, b, c, skip):
        return {"y": scan_block(x, step, -a.abs(), b, c, skip, mask, reverse=True)}

    return leaves, run


def convolution(random, mask):
    width = random.width
    leaves = {"u": (*mask.shape, width), "weight": (width, 1, 4), "bias": (width,)}
    leaves |= {"weight2": (width, 1, 4), "bias2": (width,)}

    def run(u, weight, bias, weight2, bias2):
        return dict(zip(("out", "out2"), causal_conv_silu_both(u, (weight, bias), (weight2, bias2), mask), strict=True))

    return leaves, run


def gate(random, mask):
    shape = (*mask.shape, random.width)
    return dict.fromkeys(("y", "y2", "z"), shape), lambda y, y2, z: {"out": gated_sum(y, y2, z)}


def statistics(x, mask, weight, bias):
    """A batch norm by x's own statistics, which are the same numbers however x is normalised then."""
    mean, var, count = masked_moments(x.detach(), mask)
    return BatchNorm(weight, bias, mean, var, 1e-5, count)


def neurons(random, mask):
    def run(x, weight, bias):
        layer = spiking_layer(x, mask, NeuronConfig(), statistics(x, mask, weight, bias))
        return {"trains": layer.trains, "rates": layer.rates, "counts": layer.counts}

    return {"x": (4, *mask.shape, random.width), "weight": (random.width,), "bias": (random.width,)}, run


def attention(random, mask):
    factor = torch.linspace(0.01, 0.1, len(mask))

    def run(x, weight, bias):
        norm = statistics(x, mask, weight, bias)
        attended, counts = spiking_attention(x, mask, NeuronConfig(), norm, 4, 4, factor)
        return {"attended": attended, "counts": counts}

    return {"x": (*mask.shape, 3 * random.width), "weight": (3 * random.width,), "bias": (3 * random.width,)}, run


def moments(random, mask):
    x = random(4, *mask.shape, random.width)

    def run():
        compute = masked_moments if os.environ.get(ENVIRONMENT) == "0" else native_moments
        return dict(zip(("mean", "variance", "count"), compute(x, mask), strict=True))

    return {}, run


def comparing(random, mask):
    """A vector with the rows of a library, which are float16."""
    rows, query = random(mask.numel(), random.width).half(), random(random.width)

    def run():
        found = torch.empty(len(rows))
        products(rows.numpy(), query.numpy(), found.numpy())
        return {"products": found}

    return {}, run


OPERATORS = {one.__name__: one for one in (scan, convolution, gate, neurons, attention, moments, comparing)}


class Random:
    """Normal numbers, the same in every run of an operator."""

    def __init__(self, width):
        self.width, self.generator = width, torch.Generator().manual_seed(width)

    def __call__(self, *shape):
        return torch.randn(shape, generator=self.generator)


def everything(name, n_threads):
    """Outputs and gradients of an operator on all shapes, by name."""
    found = {}
    with threads(n_threads):
        for batch, length, width in SHAPES:
            random, mask = Random(width), torch.arange(length) < length - torch.arange(batch)[:, None]
            shapes, run = OPERATORS[name](random, mask)
            leaves = {leaf: random(*shape).requires_grad_() for leaf, shape in shapes.items()}
            outputs = run(**leaves)
            if leaves:
                sum((out * random(*out.shape)).sum() for out in outputs.values()).backward()
            tensors = outputs | {f"gradient of {leaf}": tensor.grad for leaf, tensor in leaves.items()}
            found |= {(length, what): tensor.detach() for what, tensor in tensors.items()}
    return found


def relative(found, expected):
    return ((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3)).item()


@needs_kernels
@pytest.mark.parametrize("n_threads", [2, 3, 7])
@pytest.mark.parametrize("name", OPERATORS)
def test_outputs_and_gradients_are_those_of_one_thread(name, n_threads):
    """To the last bit: sums are taken in an order that no thread has a say in."""
    one, several = everything(name, 1), everything(name, n_threads)
    for (length, what), expected in one.items():
        assert torch.equal(several[length, what], expected), (length, what)


@needs_kernels
@pytest.mark.parametrize("name", OPERATORS)
def test_two_threads_give_what_plain_pytorch_gives_on_one_and_on_two(name, monkeypatch):
    found = everything(name, 2)
    monkeypatch.setenv(ENVIRONMENT, "0")
    for plain in (everything(name, 1), everything(name, 2)):
        assert found.keys() == plain.keys()
        for key, expected in plain.items():
            assert relative(found[key], expected) < 2e-6, key


@needs_kernels
def test_every_kernel_is_given_torchs_number_of_threads(monkeypatch):
    given = {}

    def spy(name, kernel):
        def called(arguments):
            given.setdefault(name, set()).add(arguments._obj.threads)
            return kernel(arguments)

        return called

    for name in KERNELS:
        monkeypatch.setattr(load().library, name, spy(name, getattr(load().library, name)))
    for name in OPERATORS:
        everything(name, 2)
    assert given == {name: {2} for name in KERNELS}


WORKERS = """
from pathlib import Path
import torch
from spikemba.ops.selective_scan import selective_scan

def run():
    x, step, b = torch.ones(4, 50, 64, requires_grad=True), torch.ones(4, 50, 64), torch.ones(4, 50, 4)
    there = len(list(Path("/proc/self/task").iterdir()))
    selective_scan(x, step, -torch.ones(64, 4), b, b, backend="native").sum().backward()
    return len(list(Path("/proc/self/task").iterdir())) - there

alone = run()
torch.set_num_threads(2)
print(alone, run(), run())
"""


@needs_openmp
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts the threads in /proc")
def test_openmp_starts_a_second_thread_when_there_are_to_be_two_and_keeps_it():
    built = str(Path(load().detail).parents[1])  # not to compile it again
    done = subprocess.run(
        [sys.executable, "-c", WORKERS],
        env={**os.environ, "SPIKEMBA_CACHE": built},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["0", "1", "0"]


@pytest.mark.parametrize("length", [1, 33, 2000])
def test_the_plain_scan_cut_for_two_threads_is_the_one_cut_for_one(length):
    """It cuts its tiles to what fits the caches of all threads."""
    random = Random(24)
    x, step, b, c = random(3, length, 24), random(3, length, 24).abs(), random(3, length, 8), random(3, length, 8)
    found = []
    for n in (1, 2):
        leaves = [leaf.clone().requires_grad_() for leaf in (x, step, -torch.ones(24, 8), b, c)]
        with threads(n):
            y = scan_alone(*leaves, backend="chunked")
            y.square().sum().backward()
        found.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for one, two in zip(*found, strict=True):
        assert relative(two, one) < 2e-6


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_the_optimisers_kernel_steps_on_two_threads_as_on_one_and_as_torchs_loop(optimizer):
    config = TrainConfig(optimizer=optimizer, learning_rate=1e-2, weight_decay=0.1)

    def stepped(n, fused):
        random = Random(8)
        learned = [torch.nn.Parameter(random(*shape)) for shape in ((300, 1001), (7,), (64, 64))]
        made = make_optimizer([{"params": learned, "weight_decay": config.weight_decay}], config)
        if not fused:
            made = type(made)(learned, lr=config.learning_rate, weight_decay=config.weight_decay, foreach=False)
        with threads(n):
            for _ in range(3):
                for parameter in learned:
                    parameter.grad = random(*parameter.shape)
                made.step()
        return [parameter.detach() for parameter in learned]

    one, two, loop = stepped(1, fused=True), stepped(2, fused=True), stepped(1, fused=False)
    assert all(map(torch.equal, one, two))
    for mine, theirs in zip(two, loop, strict=True):
        assert relative(mine, theirs) < 1e-6

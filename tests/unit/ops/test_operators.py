"""The kernels as torch sees them: operators with shapes and gradients, left as they are by compile and export."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from spikemba.batch import Batch
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba.ops import causal_conv_silu, lif_spikes, selective_scan
from spikemba.ops.batch_norm import BatchNorm
from spikemba.ops.causal_conv import causal_conv_silu_both, gated_sum
from spikemba.ops.native import library
from spikemba.ops.native.operators import OperatorError
from spikemba.ops.selective_scan import scan_block
from spikemba.ops.spiking import NeuronConfig, spiking_attention, spiking_layer

pytestmark = pytest.mark.skipif(library.load().library is None, reason=library.load().detail)

B, L, E, N, K, S, H = 2, 35, 20, 3, 4, 3, 2
MASK = torch.arange(L) < torch.tensor([[L], [L - 4]])
NEURON = 0.5, 1.0, 1.0, 2.0, False, True, 0
FREE = 0.5, 1.0, 1.0, 2.0, True, False, 1
LEAKY = NeuronConfig()


@pytest.fixture(autouse=True)
def _allowed(monkeypatch):
    """The kernels are tested also where the environment forbids them elsewhere."""
    monkeypatch.delenv(library.ENVIRONMENT, raising=False)
    torch.compiler.reset()


def random(*shape, grad=False):
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_(grad)


def scan_inputs(grad, skip=True):
    tensors = [random(B, L, E), random(B, L, E).abs(), -random(E, N).abs(), random(B, L, N), random(B, L, N)]
    return [*(t.requires_grad_(grad) for t in tensors), random(E, grad=grad) if skip else None, MASK if skip else None]


def conv_inputs(grad):
    return [random(B, L, E, grad=grad), MASK, random(E, 1, K, grad=grad), random(E, grad=grad)]


def norm(width, grad, count=True):
    tensors = random(width).abs().requires_grad_(grad), random(width, grad=grad), random(width), random(width).abs()
    return [*tensors, torch.tensor(60.0) if count else None]


def attention_inputs(grad, neuron=NEURON, **how):
    return [random(B, L, 3 * E, grad=grad), *norm(3 * E, grad, **how), MASK, torch.ones(B), S, H, 1e-5, False, *neuron]


def spike_inputs(grad, neuron=NEURON, **how):
    return [random(S, B, L, E, grad=grad), *norm(E, grad, **how), MASK, 0, 1e-5, False, *neuron]


def samples():
    """Operator -> arguments that it is called with."""
    ops = torch.ops.spikemba
    starts, bits = random(B, 2, N, 32), torch.zeros(3, S, B, H, L, dtype=torch.int64)
    constant = [random(B, L, E, grad=True), *[None] * 5, None, S, 0.0, False, *FREE]
    both = [random(E, 1, K), random(E)]
    out = random(B, L, E)
    return {
        ops.scan: [[*scan_inputs(False), True, False], [*scan_inputs(False, skip=False), False, True]],
        ops.scan_train: [[*scan_inputs(True), True, True], [*scan_inputs(True, skip=False), False, False]],
        ops.scan_backward: [[out, *scan_inputs(False), starts, True, False]],
        ops.scan_from: [[*scan_inputs(False)[:5], random(B, E, N)]],
        ops.conv: [[*conv_inputs(True), True], [*conv_inputs(False), False]],
        ops.conv_backward: [[out, *conv_inputs(False), True]],
        ops.conv_both: [[*conv_inputs(True), *(one.clone().requires_grad_() for one in both)]],
        ops.conv_both_backward: [[out, out, *conv_inputs(False), *both]],
        ops.gate: [[*(random(B, L, E, grad=True) for _ in range(3))], [out, None, random(B, L, E, grad=True)]],
        ops.gate_backward: [[out, out, None, out], [out, out, out, out]],
        ops.moments: [[random(S, B, L, E), MASK], [out, MASK]],
        ops.spikes: [spike_inputs(True), spike_inputs(True, FREE, count=False), constant],
        ops.spikes_backward: [[random(S, B, L, E), None, random(E), *spike_inputs(False)]],
        ops.attention: [attention_inputs(False)],
        ops.attention_train: [attention_inputs(True), attention_inputs(True, FREE, count=False)],
        ops.attention_backward: [[random(S, B, L, E), random(3 * E), bits, *attention_inputs(False)]],
    }


NAMES = [op.__name__.rpartition(".")[2] for op in samples()]


def test_every_operator_is_among_the_samples():
    defined = {name for name in torch._C._dispatch_get_all_op_names() if name.startswith("spikemba::")}
    assert defined == {f"spikemba::{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name):
    for arguments in samples()[getattr(torch.ops.spikemba, name)]:
        torch.library.opcheck(getattr(torch.ops.spikemba, name).default, arguments)


@pytest.mark.parametrize("name", NAMES)
def test_vmap_is_refused_in_a_line(name):
    arguments = samples()[getattr(torch.ops.spikemba, name)][0]
    moved = [one[None].detach() if isinstance(one, torch.Tensor) else one for one in arguments]
    axes = tuple(0 if isinstance(one, torch.Tensor) else None for one in arguments)
    with pytest.raises(OperatorError, match=f"^spikemba::{name} has no vmap; [^\n]*$"):
        torch.vmap(getattr(torch.ops.spikemba, name).default, axes)(*moved)


def norm_of(x, weight, bias):
    return BatchNorm(weight, bias, x.detach().mean((0, 1)), x.detach().var((0, 1)), 1e-5, torch.tensor(float(B * L)))


def scan(x, step, a, b, c):
    return selective_scan(x, step.abs(), -a.abs(), b, c)


def block(x, step, a, b, c, skip):
    return scan_block(x, step, -a.abs(), b, c, skip, MASK, reverse=True)


def convolutions(x, weight, bias):
    there, back = causal_conv_silu_both(x, (weight, bias), (weight, bias), MASK)
    return gated_sum(there, back, causal_conv_silu(x, weight, bias, reverse=True))


def neurons(x, weight, bias):
    found = spiking_layer(torch.stack((x, 2 * x)), MASK, LEAKY, norm_of(x, weight, bias))
    return found.trains.sum(0) + found.rates + found.counts + lif_spikes(x, LEAKY, 5).sum(0)


def attention(x, weight, bias):
    attended, counts = spiking_attention(x, MASK, LEAKY, norm_of(x, weight, bias), S, H, torch.ones(B))
    return attended.sum(0).repeat(1, 1, 3) * counts


FUNCTIONS = {
    scan: [(B, L, E), (B, L, E), (E, N), (B, L, N), (B, L, N)],
    block: [(B, L, E), (B, L, E), (E, N), (B, L, N), (B, L, N), (E,)],
    convolutions: [(B, L, E), (E, 1, K), (E,)],
    neurons: [(B, L, E), (E,), (E,)],
    attention: [(B, L, 3 * E), (3 * E,), (3 * E,)],
}
BY_NAME = pytest.mark.parametrize("run", FUNCTIONS, ids=lambda run: run.__name__)


def outputs_and_gradients(run, shapes):
    leaves = [random(*shape, grad=True) for shape in shapes]
    out = run(*leaves)
    (out * random(*out.shape)).sum().backward()
    return [out.detach(), *(leaf.grad for leaf in leaves)]


def kernels_in(graph):
    """The operators of a graph module and those within."""
    parts = [module for module in graph.modules() if hasattr(module, "graph")]
    return [str(node.target) for part in parts for node in part.graph.nodes if "spikemba" in str(node.target)]


class Watched:
    """A backend that keeps the graphs it is given, and runs them as they are or through AOT autograd."""

    def __init__(self, aot=True):
        self.graphs, self.aot = [], aot

    def __call__(self, graph, inputs):
        from torch._dynamo.backends.debugging import aot_eager

        self.graphs.append(graph)
        return aot_eager(graph, inputs) if self.aot else graph


@BY_NAME
def test_compiled_it_gives_the_eager_numbers_and_gradients_in_one_graph(run):
    watched = Watched()
    compiled = torch.compile(run, backend=watched, fullgraph=True)
    expected = outputs_and_gradients(run, FUNCTIONS[run])
    for _ in range(2):
        for mine, theirs in zip(outputs_and_gradients(compiled, FUNCTIONS[run]), expected, strict=True):
            torch.testing.assert_close(mine, theirs)
    with torch.no_grad():
        plain = [random(*shape) for shape in FUNCTIONS[run]]
        torch.testing.assert_close(compiled(*plain), run(*plain))
    assert all(kernels_in(graph) for graph in watched.graphs)


@BY_NAME
def test_exported_it_gives_the_eager_numbers(run):
    class Module(nn.Module):
        def forward(self, *inputs):
            return run(*inputs)

    inputs = [random(*shape) for shape in FUNCTIONS[run]]
    for strict in (False, True):
        exported = torch.export.export(Module(), tuple(inputs), strict=strict)
        assert kernels_in(exported.graph_module)
        torch.testing.assert_close(exported.module()(*inputs), run(*inputs))


def test_lengths_may_change_after_compiling():
    compiled = torch.compile(scan, backend="aot_eager", dynamic=True, fullgraph=True)
    for batch, length in ((2, 35), (3, 7), (1, 64), (2, 1)):
        shapes = [(batch, length, E), (batch, length, E), (E, N), (batch, length, N), (batch, length, N)]
        expected = outputs_and_gradients(scan, shapes)
        for mine, theirs in zip(outputs_and_gradients(compiled, shapes), expected, strict=True):
            torch.testing.assert_close(mine, theirs)


@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="inductor needs a C++ compiler")
def test_inductor_gives_the_eager_numbers_and_gradients():
    def run(x, weight, bias, b):  # its pointwise operations are few: each costs a run of the C++ compiler
        ahead = causal_conv_silu(x, weight, bias, MASK)
        return scan_block(ahead, x, -torch.ones(E, N), b, b, bias, MASK, reverse=True)

    shapes = [*FUNCTIONS[convolutions], (B, L, N)]
    expected = outputs_and_gradients(run, shapes)
    for mine, theirs in zip(outputs_and_gradients(torch.compile(run), shapes), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_the_whole_network_compiled_gives_the_eager_numbers_on_the_kernels():
    torch.manual_seed(0)
    model = SpikeMba(SpikeMbaConfig.parse({"width": 16, "n_blocks": 1}), 12, 10).eval()
    batch = Batch(random(B, 6, 12), torch.ones(B, 6).bool(), random(B, 5, 10), torch.ones(B, 5).bool())
    with torch.no_grad():
        expected, watched = model(batch), Watched(aot=False)
        found = torch.compile(model, backend=watched)(batch)
    torch.testing.assert_close(found.saliency_logits, expected.saliency_logits)
    torch.testing.assert_close(found.boundaries, expected.boundaries)
    used = {name.split(".")[1] for graph in watched.graphs for name in kernels_in(graph)}
    assert used >= {"scan", "conv_both", "gate", "spikes", "attention"}


FIRST = """
import torch
from spikemba.ops.native.library import forget, load
from spikemba.ops.selective_scan import selective_scan
ones = torch.ones(1, 5, 1)
inputs = ones, ones, -torch.ones(1, 1), ones, ones
class Module(torch.nn.Module):
    def forward(self, *inputs):
        return selective_scan(*inputs)
def compiled():
    return torch.compile(selective_scan, backend="eager")
def exported():
    return torch.export.export(Module(), inputs).module()
for trace in (compiled, exported):
    forget()
    torch.testing.assert_close(trace()(*inputs)[0, :, 0], torch.exp(-torch.arange(5.0)).cumsum(0))
    print(load().library is not None)
"""


def test_a_first_call_that_is_traced_finds_the_kernels_and_leaves_them_on():
    built = Path(library.load().detail).parents[1]  # not to compile them again
    environment = {**os.environ, "SPIKEMBA_CACHE": str(built)}
    done = subprocess.run([sys.executable, "-c", FIRST], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def traced_by_jit(run, inputs):
    return torch.jit.trace(run, inputs, check_trace=False)


def traced_by_make_fx(run, inputs):
    return make_fx(run)(*inputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("trace", [traced_by_jit, traced_by_make_fx])
@BY_NAME
def test_what_is_recorded_from_real_tensors_holds_the_kernels_not_their_results(run, trace):
    """Tensors look plain then: a kernel that ran past its operator would leave a constant."""
    first, second = ([random(*shape) * scale for shape in FUNCTIONS[run]] for scale in (1.0, 0.5))
    recorded = trace(run, tuple(first))
    assert "spikemba" in str(recorded.graph)
    torch.testing.assert_close(recorded(*second), run(*second))


class Seen(TorchDispatchMode):
    def __init__(self):
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


class Wrapped(torch.Tensor):
    """A tensor of another kind."""


@BY_NAME
def test_the_operator_is_seen_by_all_who_look_on_and_runs_for_tensors_of_other_kinds(run):
    plain = [random(*shape, grad=True) for shape in FUNCTIONS[run]]
    expected = run(*plain)
    with torch.profiler.profile() as profile:
        run(*plain)
    assert "spikemba" in profile.key_averages().table()  # under the operator's name
    with Seen() as seen:
        torch.testing.assert_close(run(*plain), expected)
    assert any(name.startswith("spikemba.") for name in seen.names)
    found = run(*(one.detach().as_subclass(Wrapped) for one in plain))
    assert type(found) is Wrapped
    torch.testing.assert_close(found.as_subclass(torch.Tensor), expected.detach())
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = run(*map(mode.from_tensor, plain))
    assert isinstance(fake, FakeTensor)
    assert fake.shape == expected.shape


@BY_NAME
def test_a_sign_that_is_still_to_be_turned_is_turned(run):
    plain = [random(*shape) for shape in FUNCTIONS[run]]
    turned = [torch.complex(one, -one).conj().imag.contiguous() for one in plain]
    negative = [torch._neg_view(-one) for one in plain]
    assert all(one.is_neg() for one in negative)
    for given in (turned, negative):
        torch.testing.assert_close(run(*given), run(*plain))


@BY_NAME
def test_a_gradient_that_is_one_number_expanded_is_taken_as_any_other(run):
    found = []
    for ones in (lambda out: out.sum(), lambda out: (out * torch.ones_like(out)).sum()):
        leaves = [random(*shape, grad=True) for shape in FUNCTIONS[run]]
        ones(run(*leaves)).backward()
        found.append([leaf.grad for leaf in leaves])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@BY_NAME
def test_a_second_derivative_is_refused_in_a_line(run):
    leaves = [random(*shape, grad=True) for shape in FUNCTIONS[run]]
    (first,) = torch.autograd.grad(run(*leaves).square().sum(), leaves[:1], create_graph=True)
    with pytest.raises(OperatorError, match="^spikemba::[a-z_]* has no gradient: [^\n]*$"):
        first.square().sum().backward()


@BY_NAME
def test_a_forward_derivative_is_refused_in_a_line(run):
    primals = tuple(random(*shape) for shape in FUNCTIONS[run])
    with forward_ad.dual_level():
        duals = [forward_ad.make_dual(primal, torch.ones_like(primal)) for primal in primals]
        with pytest.raises(OperatorError, match="^the compiled kernels have no forward-mode derivative; [^\n]*$"):
            run(*duals)


@BY_NAME
def test_torch_func_is_refused_in_a_line(run):
    plain = [random(*shape) for shape in FUNCTIONS[run]]
    with pytest.raises(OperatorError, match="^the compiled kernels know no torch.func transform; [^\n]*$"):
        torch.func.grad(lambda *given: run(*given).sum())(*plain)
    with pytest.raises(OperatorError, match="^the compiled kernels know no torch.func transform; [^\n]*$"):
        torch.vmap(run, (0, *[None] * (len(plain) - 1)))(plain[0][None], *plain[1:])


def test_without_a_gradient_no_states_are_kept(monkeypatch):
    used = []
    monkeypatch.setattr(library.load().library, "scan_forward", lambda given: used.append(given._obj.starts))
    x, step, a, b, c, skip, mask = scan_inputs(True)
    scan_block(x, step, a, b, c, skip, mask, reverse=False)
    with torch.no_grad():
        scan_block(x, step, a, b, c, skip, mask, reverse=False)
    assert used[0] is not None
    assert used[1] is None

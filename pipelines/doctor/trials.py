"""What doctor tries: every package, encoder, kind of neuron and scan, one line of the report each.

This file is read where nothing may be sound, so nothing but the standard library is imported at its top.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.doctor import package_trials as packages
from pipelines.doctor.processes import Absent
from spikemba.encoders.registry import brought_by, encoder_names


@dataclass(frozen=True)
class Probe:
    """One line of the report."""

    topic: str
    place: str
    """The function that tries it, as `probing` takes it."""
    package: str
    """Import name, or pip's, of the package that is installed again when the process dies."""
    optional: str = ""
    """What an optional package is for, without which it is not tried; empty: the base installation promises it."""
    instead: str = ""
    """Import name of a package that can stand in for an optional one."""

    @property
    def packages(self) -> list[str]:
        """Import names of those with any of which it can be tried, the first first."""
        return [name for name in (self.package, self.instead) if name]

    @property
    def is_package(self) -> bool:
        """Whether it tries the package itself, and not what is built on it."""
        return self.place.startswith(packages.__name__)


def run_tiny_encoder(name: str) -> str:
    """Run a small random model of that encoder through the real class; `mini` is the bundled one."""
    from pipelines.doctor.tiny_encoders import run_tiny

    return run_tiny(name)


def run_neurons(backend: str) -> str:
    """Run a few neurons and their gradient by that backend; the spikes are known in closed form."""
    import torch

    from spikemba.ops.spiking import NeuronConfig, lif_spikes

    _need_kernels(backend)
    current = torch.full((5,), 0.6, requires_grad=True)
    spikes = lif_spikes(current, NeuronConfig(), 6, backend=backend)
    spikes.sum().backward()
    packages.expect(spikes[:, 0].tolist() == [0, 0, 1, 0, 0, 1], "neurons")  # 0.6, 0.9, 1.05, and from rest again
    packages.expect(current.grad is not None and current.grad.abs().sum() > 0, "their gradient")
    return "fired when they must"


def run_scan(backend: str) -> str:
    """Run a short scan and its gradient by that backend; its values are known in closed form."""
    import torch

    from spikemba.ops.selective_scan import selective_scan

    _need_kernels(backend)
    on_gpu = backend in ("triton", "mamba_ssm")
    if on_gpu and not torch.cuda.is_available():
        raise Absent("runs on a GPU, and torch sees none")
    device = "cuda" if on_gpu else "cpu"
    ones = torch.ones(1, 5, 8, device=device, requires_grad=True)
    a, states = -torch.ones(8, 16, device=device), torch.ones(1, 5, 16, device=device)
    y = selective_scan(ones, torch.ones_like(ones), a, states, states, backend=backend)
    y.sum().backward()
    wanted = 16 * torch.exp(-torch.arange(5.0)).cumsum(0)
    packages.expect(torch.allclose(y[0, :, 0].detach().cpu(), wanted, rtol=1e-4), "the scan")
    packages.expect(ones.grad is not None and ones.grad.isfinite().all(), "its gradient")
    return f"gave the geometric series it must, on the {device.upper()}".replace("CUDA", "GPU")


def _need_kernels(backend: str) -> None:
    """Raise Absent where the compiled kernels are not there, BuildError where they must be."""
    from spikemba.ops.native.build import BuildError
    from spikemba.ops.native.library import ENVIRONMENT, load

    if backend != "native":
        return
    wanted, found = os.environ.get(ENVIRONMENT, ""), load()
    if wanted == "0":
        raise Absent(f"{ENVIRONMENT}=0 forbids the compiled kernels")
    if found.library is None and wanted == "1":
        raise BuildError(f"no compiled kernels: {found.detail}; run `unset {ENVIRONMENT}` to do without")
    if found.library is None:
        raise Absent(f"no compiled kernels: {found.detail}")


def _package(topic: str, work: Callable[[], str], package: str, optional: str = "") -> Probe:
    return Probe(topic, f"{work.__module__}:{work.__name__}", package, optional)


def _built(
    topic: str, work: Callable[[str], str], argument: str, package: str, optional: str = "", instead: str = ""
) -> Probe:
    return Probe(f"{topic} {argument}", f"{work.__module__}:{work.__name__}({argument})", package, optional, instead)


PACKAGES = (
    _package("torch", packages.try_torch, "torch"),
    _package("torchvision", packages.try_torchvision, "torchvision"),
    _package("torchaudio", packages.try_torchaudio, "torchaudio", "sound; nothing here needs it"),
    _package("spikingjelly", packages.try_spikingjelly, "spikingjelly"),
    _package("av", packages.try_av, "av"),
    _package("open_clip_torch", packages.try_open_clip, "open_clip"),
    _package("transformers", packages.try_transformers, "transformers"),
    _package("huggingface_hub", packages.try_huggingface_hub, "huggingface_hub"),
    _package("safetensors", packages.try_safetensors, "safetensors"),
    _package("h5py", packages.try_h5py, "h5py"),
    _package("pandas", packages.try_pandas, "pandas"),
    _package("matplotlib", packages.try_matplotlib, "matplotlib"),
    _package("pillow", packages.try_pillow, "PIL"),
    _package("pyyaml", packages.try_yaml, "yaml"),
    _package("pydantic", packages.try_pydantic, "pydantic"),
    _package("tensorboard", packages.try_tensorboard, "tensorboard", "curves of a training; spikemba[tensorboard]"),
    _package(
        "opentimelineio",
        packages.try_opentimelineio,
        "opentimelineio",
        "ground --format otio; spikemba[timelines]",
    ),
    _package("ray", packages.try_ray, "ray", "extract --engine ray; spikemba[ray]"),
    _package(
        "lancedb",
        packages.try_lancedb,
        "lancedb",
        "libraries in object stores; spikemba[library]",
    ),
    _package("mamba-ssm", packages.try_mamba_ssm, "mamba_ssm", "the scan on a GPU; spikemba[cuda]"),
    _package("causal-conv1d", packages.try_causal_conv1d, "causal_conv1d", "the convolution on a GPU; spikemba[cuda]"),
    _package("kernels", packages.try_kernels, "kernels", "both of these ready-made; spikemba[kernels]"),
)
BUILT = (
    _built("neurons", run_neurons, "fused", "torch"),
    _built("neurons", run_neurons, "native", "torch"),
    _built("neurons", run_neurons, "spikingjelly", "spikingjelly"),
    _built("scan", run_scan, "reference", "torch"),
    _built("scan", run_scan, "chunked", "torch"),
    _built("scan", run_scan, "native", "torch"),
    _built("scan", run_scan, "triton", "triton", "the scan on a GPU; torch's builds for GPUs bring it"),
    _built("scan", run_scan, "mamba_ssm", "mamba_ssm", "the scan on a GPU; spikemba[cuda] or [kernels]", "kernels"),
)


def probes() -> tuple[Probe, ...]:
    """In the order of the report; every encoder and every scan has its line."""
    return *PACKAGES, *(_encoder(name) for name in encoder_names()), *BUILT


def _encoder(name: str) -> Probe:
    brought = brought_by(name)
    return _built("encoder", run_tiny_encoder, name, "torch" if brought == "spikemba" else brought)

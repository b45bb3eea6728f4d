"""What is installed, which weights are here, what will run where."""

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Literal

from pipelines.places import cache_folder, load_settings, settings_folder, weights_folder


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    topic: str
    state: Literal["ok", "absent", "fault"]
    """`absent` is no fault: something optional is not there."""
    detail: str


PACKAGES = ("torch", "spikingjelly", "av", "open_clip_torch", "transformers", "safetensors", "typer", "mamba-ssm")
OPTIONAL = ("mamba-ssm",)


def examine() -> list[Finding]:
    """Look at this installation."""
    return [*_packages(), *_machine(), *_bundled(), *_weights(), *_folders()]


def _packages() -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            optional = name in OPTIONAL
            remedy = "nothing on a CPU needs it" if optional else "run `pip install spikemba`"
            yield Finding(name, "absent" if optional else "fault", f"not installed; {remedy}")


def _machine() -> Iterator[Finding]:
    import torch

    yield Finding("cpu", "ok", f"{os.cpu_count()} processors, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        yield Finding("gpu", "ok", torch.cuda.get_device_name())
    else:
        yield Finding("gpu", "absent", "torch sees none; everything runs on the CPU")
    yield from _scan()


def _scan() -> Iterator[Finding]:
    import torch

    from spikemba.ops.cuda_kernels import official_conv, official_scan
    from spikemba.ops.native.library import ENVIRONMENT, load
    from spikemba.ops.selective_scan import BACKENDS, best_backend

    wanted, kernels = os.environ.get(ENVIRONMENT, ""), load()
    if wanted == "0":
        yield Finding("cpu kernels", "absent", f"{ENVIRONMENT}=0 forbids them; the scan runs in plain PyTorch")
    elif kernels.library is not None:
        yield Finding("cpu kernels", "ok", f"compiled: {kernels.detail}")
    else:
        state: Literal["fault", "absent"] = "fault" if wanted == "1" else "absent"
        yield Finding("cpu kernels", state, f"{kernels.detail}; the scan runs in plain PyTorch, several times slower")
        if wanted == "1":
            return
    yield Finding("scan", "ok", f"{best_backend(torch.empty(1), 16)} on this CPU; backends: {', '.join(BACKENDS)}")
    if torch.cuda.is_available():
        convolution = "causal-conv1d" if official_conv() is not None else "plain PyTorch"
        reason = "" if official_scan() is not None else "; mamba-ssm is not installed or does not run here"
        detail = f"{best_backend(torch.empty(1, device='cuda'), 16)}, convolution: {convolution}{reason}"
        yield Finding("scan on gpu", "ok", detail)


def _bundled() -> Iterator[Finding]:
    from spikemba.checkpoint import BUNDLED
    from spikemba.encoders import mini

    for name, folder in {"mini encoder": mini.FOLDER, **{f"{k} checkpoint": v for k, v in BUNDLED.items()}}.items():
        path = folder / "model.safetensors"
        if path.is_file():
            yield Finding(name, "ok", f"{path.stat().st_size / 1e6:.1f} MB")
        else:
            yield Finding(name, "fault", f"{path} is missing; install the package again")


def _weights() -> Iterator[Finding]:
    """Where the weights of each encoder's default model are on this machine; nobody is asked for them."""
    from spikemba.encoders.base import WEIGHTS, EncoderOptions
    from spikemba.encoders.weights import Source, weights_here

    own = load_settings().weights
    for name, place in WEIGHTS.items():
        topic = f"{name} weights"
        source: Source = resolve_name(place)()
        if name in own:
            there = own[name].exists()
            problem = "" if there else ", which the settings name, is not there"
            yield Finding(topic, "ok" if there else "fault", f"{own[name]}{problem}")
            continue
        path = weights_here(source, EncoderOptions(folder=weights_folder()))
        if path is not None:
            yield Finding(topic, "ok", str(path))
        elif source.repository:
            where = f"https://huggingface.co/{source.repository}"
            yield Finding(topic, "absent", f"fetched from {where} on first use, or given with --weights {name}=")
        else:
            yield Finding(topic, "absent", f"get {source.file} from {source.address}, and use --weights {name}=FILE")


def _folders() -> Iterator[Finding]:
    for name, folder in {"cache": cache_folder(), "weights": weights_folder(), "settings": settings_folder()}.items():
        yield Finding(name, *_writable(folder))


def _writable(folder: Path) -> tuple[Literal["ok", "fault"], str]:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(existing, os.W_OK):
        return "ok", str(folder)
    return "fault", f"{folder} cannot be written"

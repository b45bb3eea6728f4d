"""Whole networks: what a device computes of one batch, and its gradients, beside the CPU in float32."""

import os
from functools import cache
from unittest import mock

import torch
from bench_peer import Ours
from torch import Tensor, nn

from gpu.checking import Check, Checks, Figures, Skipped, Wrong, error, held
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.ops.selective_scan import best_backend

SPIKING = 3e-2
"""Share of a gradient's length that a few spikes may be worth, which fire on one side of a rounding."""
PLAIN = 2e-3
"""The same where nothing fires."""


def checks(device: torch.device) -> Checks:
    """The grounding network with each kind of mixer, and VideoMamba."""
    for kind in ("scan", "mamba2", "hydra"):
        yield Check(f"SpikeMba, {kind}", lambda k=kind: grounder(k, device))
        yield Check(f"VideoMamba, {kind}", lambda k=kind: video_mamba(k, device))
    yield Check("SpikeMba, Triton's scan", lambda: by_triton(device))


def by_triton(device: torch.device) -> Figures:
    """The grounding network where Triton's scan is the one that is chosen, also beside an official one."""
    if device.type == "cpu":
        raise Skipped("it takes a GPU")
    official = "spikemba.ops.selective_scan.official_scan"
    with mock.patch.dict(os.environ, {"SPIKEMBA_TRITON": "1"}), mock.patch(official, return_value=None):
        if (chosen := best_backend(torch.empty(1, device=device), 16)) != "triton":
            raise Wrong(f"{chosen} is chosen where Triton's is asked for")
        return grounder("scan", device)


def grounder(kind: str, device: torch.device) -> Figures:
    """A training step's loss and gradients, of the batch and the network that are timed."""
    return beside(step(kind, device.type), of_the_cpu(kind), SPIKING)


def step(kind: str, where: str) -> dict[str, Tensor]:
    """The loss and the gradient on a device."""
    settings = ["train.precision=fp32", f"model.mixer.kind={kind}", "model.dropout=0", "model.input_dropout=0"]
    ours = Ours(settings, where)
    loss = ours.loss()
    loss.backward()
    return {"loss": loss, "gradient": gradient(ours.model)}


@cache
def of_the_cpu(kind: str) -> dict[str, Tensor]:
    """What two checks are held to where the scan is the mixer."""
    return step(kind, "cpu")


def video_mamba(kind: str, device: torch.device) -> Figures:
    """Logits and gradients of a small one, with drawn weights."""
    sizes = {"width": 96, "n_blocks": 3, "n_frames": 4, "size_px": 64, "n_classes": 10, "drop_path": 0.0}
    config = VideoMambaConfig.parse({**sizes, "mixer": {"kind": kind}})
    draw = torch.Generator().manual_seed(0)
    video = torch.randn(2, 3, 4, 64, 64, generator=draw)

    def run(where: torch.device) -> dict[str, Tensor]:
        torch.manual_seed(0)
        network = VideoMamba(config).to(where)
        logits = network(video.to(where))
        logits.square().sum().backward()
        return {"logits": logits, "gradient": gradient(network)}

    return beside(run(device), run(torch.device("cpu")), PLAIN)


def gradient(network: nn.Module) -> Tensor:
    """Of all weights, as one vector."""
    return torch.cat([one.grad.flatten() for one in network.parameters() if one.grad is not None])


def beside(found: dict[str, Tensor], right: dict[str, Tensor], most: float) -> Figures:
    """How far apart they are: of a number or of logits the largest error, of the gradient the length."""
    errors = {name: error(found[name], right[name]) for name in right if name != "gradient"}
    mine, theirs = (one["gradient"].detach().double().cpu() for one in (found, right))
    errors["gradient"] = float((mine - theirs).norm() / theirs.norm())
    return held(errors, most)

"""Steps and answers of our network beside an attention network of CG-DETR's shape, in turns in one process."""

import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import product

import torch
from bench_peer import ANSWERS, CLIPS, PAIRS, QUERY, VIDEO, Ours, features
from torch import Tensor, nn

from gpu.attention_network import AttentionNetwork
from gpu.checking import Check, Checks, Figures
from gpu.kernels import scan_inputs
from spikemba.errors import LibraryBroken, PackageMissing
from spikemba.ops.precision import autocast
from spikemba.ops.selective_scan import BACKENDS, selective_scan

ROUNDS = 5
SCANS = {"32 pairs of 75": (32, 75, 512, 16), "8 pairs of 1568": (8, 1568, 768, 16)}
"""As the grounding network scans, and as VideoMamba does."""


def checks(device: torch.device) -> Checks:
    """None of these fails for being slow."""
    for name, shape in SCANS.items():
        yield Check(f"time of the scan, forward and backward: {name}", lambda s=shape: scans(s, device))
    for precision in ("fp32", "bf16"):
        yield Check(f"time of a training step, {precision}", lambda p=precision: steps(p, device))
        for n_clips in ANSWERS:
            yield Check(
                f"time of an answer, {n_clips} clips, {precision}", lambda p=precision, n=n_clips: answers(p, n, device)
            )


class Attention:
    """The network beside which ours is timed, with the same batch, precision and kind of optimiser."""

    def __init__(self, precision: str, device: torch.device) -> None:
        torch.manual_seed(0)
        self.device, self.precision = device, precision
        self.network = AttentionNetwork(VIDEO, QUERY).to(device)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-4)
        self.batch = [one.to(device) for one in features(PAIRS, CLIPS)]
        self.window = torch.tensor([20 / CLIPS, 40 / CLIPS], device=device).expand(PAIRS, 2)
        self.foreground = torch.zeros(PAIRS, CLIPS, dtype=torch.bool, device=device)
        self.foreground[:, 20:40] = True

    def step(self) -> None:
        """Forward, backward, clipping, optimiser."""
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.precision):
            loss = self.network.loss(*self.batch, self.window, self.foreground)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 0.1)
        self.optimizer.step()

    def answer(self, n_clips: int) -> Callable[[], object]:
        """One forward pass."""
        inputs: list[Tensor] = [one.to(self.device) for one in features(1, n_clips)]

        def run() -> object:
            self.network.eval()
            with torch.inference_mode(), autocast(self.device, self.precision):
                return self.network(*inputs)

        return run


def scans(shape: tuple[int, int, int, int], device: torch.device) -> Figures:
    """Milliseconds of every backend that runs on this device, but for the recurrence as it is written."""
    runs: dict[str, Callable[[], object]] = {}
    for backend in BACKENDS:
        elsewhere = "native" if device.type == "cuda" else "triton"
        if backend in ("reference", elsewhere):
            continue
        given = [one.to(device).requires_grad_() for one in scan_inputs(*shape)]

        def run(given: list[Tensor] = given, backend: str = backend) -> None:
            selective_scan(*given, backend=backend).sum().backward()

        with suppress(PackageMissing, LibraryBroken):
            run()
            runs[backend] = run
    return in_turns(runs, device, 3)


@cache
def networks(precision: str, device: torch.device) -> tuple[Ours, Attention]:
    """The two that are timed beside each other."""
    return Ours([f"train.precision={precision}"], device.type), Attention(precision, device)


def steps(precision: str, device: torch.device) -> Figures:
    """Milliseconds of a step of 32 pairs, and the ratio."""
    ours, other = networks(precision, device)
    return ratio(in_turns({"ours": ours.step, "attention": other.step}, device, 3))


def answers(precision: str, n_clips: int, device: torch.device) -> Figures:
    """Milliseconds of one sentence about a video, and the ratio."""
    ours, other = networks(precision, device)
    runs = {"ours": ours.answer(n_clips, 1), "attention": other.answer(n_clips)}
    return ratio(in_turns(runs, device, 5))


def ratio(found: dict[str, float]) -> dict[str, float]:
    """With how many times as long ours takes."""
    return found | {"ours / attention": found["ours"] / found["attention"]}


def in_turns(runs: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """Median milliseconds of each, which take turns; a round that is not counted goes before."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for one, (name, run) in product(range(ROUNDS + 1), runs.items()):
        wait(device)
        started = time.perf_counter()
        for _ in range(repeats):
            run()
        wait(device)
        if one:
            found[name].append(1e3 * (time.perf_counter() - started) / repeats)
    return {name: statistics.median(of) for name, of in found.items()}


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)

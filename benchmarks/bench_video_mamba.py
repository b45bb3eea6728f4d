"""Tokens per second and memory of VideoMamba against the number of frames, beside a ViT with joint attention.

    python benchmarks/bench_video_mamba.py            (add --train for a forward and a backward pass)

Both have the same patches, width and number of blocks; every token attends to all tokens of all frames. The ViT runs
twice: with torch's fused attention, whose memory grows with the length, and with its scores written out, whose memory
grows with the square of it (up to --plain-until frames). Each case runs in a process of its own, so that its peak
memory is its own. One JSON line per case; `growth` is the exponent that fits the three longest.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from typing import Any

from record import Record, options

FRAMES = (8, 16, 32, 64, 128)
MODELS = ("videomamba", "vit", "vit-plain")


def make(name: str, width: int, n_blocks: int, n_frames: int, size_px: int) -> Any:
    """A model of (1, 3, T, H, Wd) videos to one vector each."""
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn

    from spikemba.model.video_mamba.network import PatchEmbed, VideoMamba, VideoMambaConfig

    settings = {"preset": "opengvlab-ti", "width": width, "n_blocks": n_blocks, "n_frames": n_frames}
    config = VideoMambaConfig.parse({**settings, "size_px": size_px, "n_classes": 0, "drop_path": 0.0})
    if name == "videomamba":
        return VideoMamba(config)

    class Block(nn.Module):
        """Pre-norm attention over all tokens, and an MLP of four times the width."""

        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: Tensor) -> Tensor:
            heads = (z.unflatten(-1, (-1, 64)).transpose(1, 2) for z in self.qkv(self.norms[0](x)).chunk(3, dim=-1))
            q, k, v = heads
            if name == "vit":
                y = F.scaled_dot_product_attention(q, k, v)
            else:
                y = (q @ k.transpose(-1, -2) / 8).softmax(-1) @ v
            x = x + self.out(y.transpose(1, 2).flatten(2))
            return x + self.mlp(self.norms[1](x))

    class JointViT(nn.Module):
        """Space and time in one sequence, as VideoMamba has them."""

        def __init__(self) -> None:
            super().__init__()
            self.patch_embed = PatchEmbed(config)
            self.position = nn.Parameter(0.02 * torch.randn(1, config.grid.n_tokens - 1, width))
            self.blocks = nn.Sequential(*(Block() for _ in range(n_blocks)))
            self.norm = nn.LayerNorm(width)

        def forward(self, video: Tensor) -> Tensor:
            x = self.patch_embed(video).flatten(1, 2) + self.position
            return self.norm(self.blocks(x)).mean(1)

    return JointViT()


def measure(name: str, n_frames: int, arguments: argparse.Namespace) -> dict[str, float]:
    """Median time of a pass, and of the processor in it, which others cannot lengthen; MiB above the loaded model."""
    import torch

    torch.manual_seed(0)
    model = make(name, arguments.width, arguments.blocks, n_frames, arguments.size)
    warm = make(name, arguments.width, 1, 2, arguments.size)
    model.requires_grad_(arguments.train)

    def run(one: Any, video: torch.Tensor) -> None:
        with torch.set_grad_enabled(arguments.train):
            out = one(video)
        if arguments.train:
            out.square().sum().backward()

    run(warm, torch.randn(1, 3, 2, arguments.size, arguments.size))
    video = torch.randn(1, 3, n_frames, arguments.size, arguments.size)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, busy = [], []
    for _ in range(arguments.repeats + 1):
        started, worked = time.perf_counter(), time.process_time()
        run(model, video)
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - worked)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    median, worked = (sorted(values[1:])[arguments.repeats // 2] for values in (seconds, busy))
    n_tokens = n_frames * (arguments.size // 16) ** 2
    return {
        "tokens": n_tokens,
        "ms": round(1e3 * median, 1),
        "cpu_ms": round(1e3 * worked, 1),
        "tokens_per_s": round(n_tokens / median),
        "mib": round((peak - loaded) / 1024, 1),
    }


def growth(rows: list[dict[str, Any]], of: str) -> float | None:
    """The exponent p of frames ** p, fitted to the three longest cases."""
    points = [(math.log(row["frames"]), math.log(row[of])) for row in rows[-3:] if row[of] > 0]
    if len(points) < 2:
        return None
    x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return round(sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points), 2)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--case", nargs=2, metavar=("MODEL", "FRAMES"), help="measure one case in this process")
    parser.add_argument("--width", type=int, default=192, help="a multiple of 64")
    parser.add_argument("--blocks", type=int, default=4, help="of each model; a pass is proportional to them")
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--frames", type=int, nargs="*", default=list(FRAMES))
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    parser.add_argument("--plain-until", type=int, default=32, help="frames up to which scores are written out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--train", action="store_true", help="a forward and a backward pass")
    arguments = parser.parse_args()
    if arguments.case:
        name, n_frames = arguments.case[0], int(arguments.case[1])
        print(json.dumps({"model": name, "frames": n_frames, **measure(name, n_frames, arguments)}))
        return
    record = Record(arguments)
    same = [f"--{name}={getattr(arguments, name)}" for name in ("width", "blocks", "size", "repeats")]
    same += ["--train"] if arguments.train else []
    for name in arguments.models:
        rows = []
        for n_frames in arguments.frames:
            if name == "vit-plain" and n_frames > arguments.plain_until:
                continue
            case = [sys.executable, __file__, "--case", name, str(n_frames), *same]
            rows.append(json.loads(subprocess.run(case, check=True, capture_output=True, text=True).stdout))
            print(json.dumps(rows[-1]), flush=True)
            figures = {key: rows[-1][key] for key in ("tokens", "ms", "cpu_ms", "tokens_per_s", "mib")}
            record.speed(f"{name}{', both passes' if arguments.train else ''}, {n_frames} frames", figures)
        exponents = {of: growth(rows, of) for of in ("ms", "cpu_ms", "mib")}
        print(json.dumps({"model": name, "growth": exponents}), flush=True)
        record.speed(f"{name}, growth with frames, as a power", exponents)
    record.keep()


if __name__ == "__main__":
    main()

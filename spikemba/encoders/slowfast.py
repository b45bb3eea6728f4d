"""SlowFast 8x8 R50: two 3D ResNets, one that sees few frames with many channels, one many frames with few.

A clip is 32 frames; the slow pathway sees 8 of them. Its features are the means of both pathways before the classifier,
slow first: 2048 + 256 = 2304 numbers, as the field's published files hold them. Names of the parts are those of the
public checkpoint. Source: Feichtenhofer et al. 2019, arXiv 1812.03982, table 1 with alpha = 4, beta = 1/8.
"""

# Shapes: n clips, C channels, T frames of a clip, H, Wd pixels, F feature width.

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from spikemba.encoders.base import Array, EncoderOptions, check_clips
from spikemba.encoders.entry import EncoderEntry
from spikemba.encoders.slowfast_weights import read_slowfast
from spikemba.encoders.weights import Source, find_weights, placed
from spikemba.libraries import library
from spikemba.video.clips import ClipRule
from spikemba.video.sampling import FrameRule, VideoInfo
from spikemba.weight_files import load_state, weights_digest

N_FAST, N_SLOW, ALPHA = 32, 8, 4
DECODED_FPS = 30
DEPTHS = (3, 4, 6, 3)
SLOW_REACH, FAST_REACH = (1, 1, 3, 3), (3, 3, 3, 3)
"""Frames that the first convolution of a block sees, per stage."""
SOURCE = Source(
    "slowfast",
    "SLOWFAST_8x8_R50.pyth",
    "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOWFAST_8x8_R50.pyth (or, as behind the published "
    "features, SLOWFAST_8x8_R50.pkl of facebookresearch/SlowFast's model zoo, Kinetics-400)",
    hub_files=("SLOWFAST_8x8_R50.pkl", "slowfast_r50.safetensors"),
)


class SlowFast(nn.Module):
    """The network up to its classifier, which is kept so that checkpoints fit and nothing in them goes unnoticed."""

    def __init__(self, width: int = 64, n_classes: int = 400) -> None:
        """width: channels of the slow stem; a multiple of 8."""
        super().__init__()
        slow, fast = width, width // 8
        fused = 2 * fast
        blocks: list[nn.Module] = [_Stems(slow, fast)]
        inputs = (slow + fused, fast)
        for stage, depth in enumerate(DEPTHS):
            inner = (slow << stage, fast << stage)
            last = stage == len(DEPTHS) - 1
            blocks.append(_Stage(inputs, inner, stage, depth, fuse=not last))
            inputs = (4 * inner[0] + 8 * inner[1], 4 * inner[1])
        self.dim = 4 * (inner[0] + inner[1])
        self.blocks = nn.ModuleList([*blocks, nn.Identity(), _Classifier(self.dim, n_classes)])

    def forward(self, frames: Tensor) -> Tensor:
        """frames: (n, C, 32, H, Wd), normalised -> (n, F)."""
        slow = frames[:, :, _slow_frames(frames.shape[2]).to(frames.device)]
        pathways = [slow, frames]
        for block in list(self.blocks)[:5]:
            pathways = block(pathways)
        return torch.cat([x.float().mean((2, 3, 4)) for x in pathways], dim=1)


def _slow_frames(n: int) -> Tensor:
    """Which frames the slow pathway sees: the first and the last, and others between them, truncated."""
    return torch.linspace(0, n - 1, n // ALPHA).long()


class _Stems(nn.Module):
    """The first convolution of each pathway, and the first connection from fast to slow."""

    def __init__(self, slow: int, fast: int) -> None:
        super().__init__()
        self.multipathway_blocks = nn.ModuleList((_Stem(slow, reach=1), _Stem(fast, reach=5)))
        self.multipathway_fusion = _Fusion(fast)

    def forward(self, pathways: list[Tensor]) -> list[Tensor]:
        slow, fast = (block(x) for block, x in zip(self.multipathway_blocks, pathways, strict=True))
        out: list[Tensor] = self.multipathway_fusion(slow, fast)
        return out


class _Stem(nn.Module):
    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.conv = _convolution(3, channels, (reach, 7, 7), stride=(1, 2, 2))
        self.norm = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(F.relu(self.norm(self.conv(x))), (1, 3, 3), (1, 2, 2), (0, 1, 1))


class _Fusion(nn.Module):
    """What the fast pathway saw, at the rate of the slow one, joined to its channels."""

    def __init__(self, fast: int) -> None:
        super().__init__()
        self.conv_fast_to_slow = _convolution(fast, 2 * fast, (7, 1, 1), stride=(ALPHA, 1, 1))
        self.norm = nn.BatchNorm3d(2 * fast)

    def forward(self, slow: Tensor, fast: Tensor) -> list[Tensor]:
        return [torch.cat((slow, F.relu(self.norm(self.conv_fast_to_slow(fast)))), dim=1), fast]


class _Stage(nn.Module):
    """One stage of both pathways."""

    def __init__(self, inputs: tuple[int, int], inner: tuple[int, int], stage: int, depth: int, *, fuse: bool) -> None:
        super().__init__()
        reaches = (SLOW_REACH[stage], FAST_REACH[stage])
        self.multipathway_blocks = nn.ModuleList(
            _Pathway(i, w, reach, depth, stride=1 if stage == 0 else 2)
            for i, w, reach in zip(inputs, inner, reaches, strict=True)
        )
        if fuse:
            self.multipathway_fusion = _Fusion(4 * inner[1])

    def forward(self, pathways: list[Tensor]) -> list[Tensor]:
        slow, fast = (block(x) for block, x in zip(self.multipathway_blocks, pathways, strict=True))
        out: list[Tensor] = (
            self.multipathway_fusion(slow, fast) if hasattr(self, "multipathway_fusion") else [slow, fast]
        )
        return out


class _Pathway(nn.Module):
    def __init__(self, n_in: int, inner: int, reach: int, depth: int, stride: int) -> None:
        super().__init__()
        widths = [n_in, *[4 * inner] * depth]
        self.res_blocks = nn.ModuleList(
            _Residual(a, inner, b, reach, stride if k == 0 else 1) for k, (a, b) in enumerate(pairwise(widths))
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.res_blocks:
            x = block(x)
        return x


class _Residual(nn.Module):
    def __init__(self, n_in: int, inner: int, n_out: int, reach: int, stride: int) -> None:
        super().__init__()
        if n_in != n_out or stride != 1:
            self.branch1_conv = _convolution(n_in, n_out, (1, 1, 1), stride=(1, stride, stride))
            self.branch1_norm = nn.BatchNorm3d(n_out)
        self.branch2 = _Bottleneck(n_in, inner, n_out, reach, stride)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.branch1_norm(self.branch1_conv(x)) if hasattr(self, "branch1_conv") else x
        return F.relu(kept + self.branch2(x))


class _Bottleneck(nn.Module):
    def __init__(self, n_in: int, inner: int, n_out: int, reach: int, stride: int) -> None:
        super().__init__()
        self.conv_a = _convolution(n_in, inner, (reach, 1, 1))
        self.norm_a = nn.BatchNorm3d(inner)
        self.conv_b = _convolution(inner, inner, (1, 3, 3), stride=(1, stride, stride))
        self.norm_b = nn.BatchNorm3d(inner)
        self.conv_c = _convolution(inner, n_out, (1, 1, 1))
        self.norm_c = nn.BatchNorm3d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm_a(self.conv_a(x)))
        x = F.relu(self.norm_b(self.conv_b(x)))
        out: Tensor = self.norm_c(self.conv_c(x))
        return out


class _Classifier(nn.Module):
    """Kinetics' classes; features are taken before it."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.proj = nn.Linear(dim, n_classes)


def _convolution(
    n_in: int, n_out: int, kernel: tuple[int, int, int], stride: tuple[int, int, int] = (1, 1, 1)
) -> nn.Conv3d:
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    return nn.Conv3d(n_in, n_out, kernel, stride, padding, bias=False)


class SlowFastEncoder:
    """The network behind the protocols of `base`."""

    frames_per_clip = N_FAST
    batch_clips = 4

    def __init__(self, name: str, network: SlowFast, options: EncoderOptions, size_px: int = 224) -> None:
        self.name, self.options, self.size_px = name, options, size_px
        self.dim, self.weights = network.dim, weights_digest(network)
        self.network, self.device, self.dtype = placed(network, options)
        self.network = self.network.to(memory_format=torch.channels_last_3d)

    def frame_rule(self, clip_s: float) -> FrameRule:
        """The frames of a source of 30 fps; see clip_rule for others."""
        return self._rule(clip_s, DECODED_FPS).frames

    def clip_rule(self, clip_s: float, source: VideoInfo) -> ClipRule:
        """32 frames of each clip of 30 fps; whatever has begun of a last clip is filled up.

        `published`: every second frame for twice the clip's length in a source of 30 fps, held at the clip's end; in
        a source of fewer fps only the beginning of the clip, and in one of more every fourth and then the last, since
        indices at its own rate are applied to frames that were resampled to 30. A last clip is filled with the last
        frame to a whole second and then with that second, again and again. `corrected`: spread over the clip, whatever
        the source; filled with the last frame.
        Source of the quirks: linjieli222/HERO_Video_Feature_Extractor, slowfast/extract_feature/preprocessing.py.
        """
        return self._rule(clip_s, source.fps or DECODED_FPS)

    def _rule(self, clip_s: float, source_fps: float) -> ClipRule:
        n, published = max(1, round(DECODED_FPS * clip_s)), self.options.frames == "published"
        end = 64 * int(source_fps) / DECODED_FPS - 1 if published else n - 1.0
        picks = torch.linspace(0, end, N_FAST).clamp(0, n - 1).long().tolist()
        wanted = tuple(sorted({*picks, *(_seconds_earlier(picks, n) if published else ())}))
        resize = "short_side_crop" if self.options.resize == "published" else "pillow_short_side_crop"
        repeat = DECODED_FPS if published else 1
        frames = FrameRule(DECODED_FPS, self.size_px, resize, cycle=n, wanted=wanted, fill=True, repeat=repeat)
        return ClipRule(frames, len(wanted), tuple(wanted.index(pick) for pick in picks))

    @torch.inference_mode()
    def encode_clips(self, frames: NDArray[np.uint8]) -> Array:
        """frames: (n, 32, H, Wd, 3) uint8 RGB -> (n, F)."""
        check_clips(frames, N_FAST, self.name)
        x = torch.from_numpy(frames).to(self.device).permute(0, 4, 1, 2, 3).float() / 255
        x = ((x - 0.45) / 0.225).to(self.dtype).contiguous(memory_format=torch.channels_last_3d)
        out: Array = self.network(x).float().cpu().numpy()
        return out


def _seconds_earlier(picks: Sequence[int], n: int) -> set[int]:
    """Places, in clips of n frames, of the frames that are whole seconds before the picks: what may be repeated there.

    Where clips are no whole seconds, that may be in the clip before.
    """
    earlier = (pick - DECODED_FPS * seconds for pick in picks for seconds in range(1, -(-n // DECODED_FPS) + 1))
    return {place % n for place in earlier if place >= 0 or n % DECODED_FPS}


def load(name: str, model: str | None, options: EncoderOptions) -> SlowFastEncoder:  # noqa: ARG001
    """SlowFast 8x8 R50 from either public checkpoint. Raises WeightsMissing, CheckpointError."""
    path = find_weights(SOURCE, options)
    state = read_slowfast(path)
    stem = state.get("blocks.0.multipathway_blocks.0.conv.weight")
    classes = state.get("blocks.6.proj.bias")
    network = SlowFast(64 if stem is None else len(stem), 400 if classes is None else len(classes))
    load_state(network, state, path)
    return SlowFastEncoder(name, network, options)


def _save_tiny(folder: Path) -> tuple[str, Path]:
    """A narrow one."""
    with library("safetensors"):
        from safetensors.torch import save_file
    save_file(SlowFast(width=8, n_classes=5).state_dict(), folder / "slowfast.safetensors")
    return "slowfast", folder / "slowfast.safetensors"


ENTRY = EncoderEntry(
    name="slowfast",
    what="SlowFast 8×8 R50, Kinetics-400",
    load=load,
    source=lambda: SOURCE,
    tiny=_save_tiny,
)

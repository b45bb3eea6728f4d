"""VideoMamba as the encoder of clips: the class token's last state, or the mean over the patches.

`videomamba` reads what the head of its weights reads; `videomamba:mean` and `videomamba:class` say which. Its weights
are the folder of a video checkpoint, adapted or not, or a public file. It reads no text: a text encoder goes with it.
Users type `videomamba`, in one word as the public files do; modules are called `video_mamba`.
"""

# Shapes: n clips, T frames of a clip, H, Wd pixels, F feature width.

from pathlib import Path
from typing import Literal, cast

import torch
from torch import Tensor

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.entry import EncoderEntry
from spikemba.encoders.several_frames import SeveralFramesPerClip
from spikemba.encoders.weights import Source, find_weights
from spikemba.errors import UnknownName
from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, open_video_model, save_video_checkpoint
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig

READOUTS = ("class", "mean")
SOURCE = Source(
    "videomamba",
    "videomamba_m16_k400_mask_ft_f8_res224.pth",
    "https://huggingface.co/OpenGVLab/VideoMamba",
    "OpenGVLab/VideoMamba",
    ("videomamba_m16_k400_mask_ft_f8_res224.pth",),
)
"""The M that State Space Prompting builds on; any other file of that page can be named with --weights."""


class VideoMambaEncoder(SeveralFramesPerClip):
    """The network behind the protocol of `base`."""

    def __init__(self, name: str, checkpoint: VideoCheckpoint, readout: str | None, options: EncoderOptions) -> None:
        self.name = name
        config, steps = checkpoint.config, checkpoint.preprocessing
        self.readout = cast(Literal["class", "mean"], readout or config.readout)
        self.dim, self.frames_per_clip, self.size_px = config.width, config.n_frames, config.size_px
        mean, std = (torch.tensor(value)[:, None, None] for value in (steps.mean, steps.std))
        self.place(checkpoint.model, (mean, std), options)

    def embed_videos(self, pixels: Tensor) -> Tensor:
        """pixels: (n, T, 3, H, Wd), normalised -> (n, F)."""
        out: Tensor = self.model.features(pixels.transpose(1, 2), readout=self.readout).float()
        return out


def load(name: str, model: str | None, options: EncoderOptions) -> VideoMambaEncoder:
    """The encoder; model: how its tokens are read. Raises UnknownName, WeightsMissing, CheckpointError."""
    if model is not None and model not in READOUTS:
        raise UnknownName("readout of videomamba", model, list(READOUTS))
    path = options.weights
    if path is None or not path.is_dir():
        path = find_weights(SOURCE, options)
    checkpoint = open_video_model(path, folders=[options.folder] if options.folder else [])
    if model == "class" and not checkpoint.config.class_token:
        raise UnknownName("readout of these weights, which have no class token,", model, ["mean"])
    return VideoMambaEncoder(name, checkpoint, model, options)


def _save_tiny(folder: Path) -> tuple[str, Path]:
    """Two blocks, as a checkpoint of ours."""
    config = VideoMambaConfig.parse({"width": 16, "n_blocks": 2, "n_frames": 4, "size_px": 32, "n_classes": 3})
    save_video_checkpoint(folder, VideoCheckpoint(VideoMamba(config)))
    return "videomamba", folder


ENTRY = EncoderEntry(
    name="videomamba",
    what="VideoMamba, adapted or not",
    load=load,
    models=READOUTS,
    source=lambda: SOURCE,
    tiny=_save_tiny,
)

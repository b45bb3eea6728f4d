"""VideoMAE and V-JEPA 2 by transformers: video towers without text, for what moves.

Use one beside an encoder that reads, as in `clip+vjepa2`. A clip's features are the mean of its tokens' last states.
"""

# Shapes: n clips, T frames of a clip, H, Wd pixels, F feature width.

from pathlib import Path
from typing import Any

from torch import Tensor

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.hub_models import IMAGENET, hub_entry, load_model, pixel_statistics, scaled_bilinearly
from spikemba.encoders.several_frames import SeveralFramesPerClip, short_side_crop
from spikemba.encoders.tiny_models import IMAGE, TOWER, save_model

VIDEOMAE = "MCG-NJU/videomae-base"
VJEPA2 = "facebook/vjepa2-vitl-fpc64-256"


class MotionEncoder(SeveralFramesPerClip):
    """A video tower behind the protocol of `base`."""

    def __init__(self, name: str, model: Any, pixels: Any, options: EncoderOptions, bilinear: bool) -> None:
        self.name = name
        self.place(model, pixels, options)
        config = model.config
        self.is_jepa = config.model_type == "vjepa2"
        self.frames_per_clip = int(config.frames_per_clip if self.is_jepa else config.num_frames)
        self.size_px = int(config.crop_size if self.is_jepa else config.image_size)
        self.own_resize = "pillow_margin_crop_bilinear" if self.is_jepa else short_side_crop(bilinear)
        self.dim = int(config.hidden_size)

    def embed_videos(self, pixels: Tensor) -> Tensor:
        """pixels: (n, T, 3, H, Wd), normalised -> (n, F)."""
        if self.is_jepa:
            states = self.model(pixel_values_videos=pixels, skip_predictor=True).last_hidden_state
        else:
            states = self.model(pixel_values=pixels).last_hidden_state
        out: Tensor = states.float().mean(1)
        return out


def load_videomae(name: str, model: str | None, options: EncoderOptions) -> MotionEncoder:
    """VideoMAE, by default the base model. Raises WeightsMissing, CheckpointError."""
    return _load(name, model or VIDEOMAE, "videomae", options)


def load_vjepa2(name: str, model: str | None, options: EncoderOptions) -> MotionEncoder:
    """V-JEPA 2, by default the large model of 64 frames. Raises WeightsMissing, CheckpointError."""
    return _load(name, model or VJEPA2, "vjepa2", options)


def _load(name: str, model: str, kind: str, options: EncoderOptions) -> MotionEncoder:
    network = load_model(model, name, options, (kind,))
    pixels = pixel_statistics(model, name, options, IMAGENET)
    return MotionEncoder(name, network, pixels, options, scaled_bilinearly(model, name, options, default=True))


def _save_tiny_videomae(folder: Path) -> tuple[str, Path]:
    save_model(folder, "VideoMAE", **IMAGE, num_frames=4)
    return "videomae", folder


def _save_tiny_vjepa2(folder: Path) -> tuple[str, Path]:
    tower = {name: value for name, value in TOWER.items() if name != "intermediate_size"}
    frames = {"crop_size": IMAGE["image_size"], "patch_size": 16, "frames_per_clip": 4}
    predictor = {"pred_hidden_size": 12, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    save_model(folder, "VJEPA2", **tower, **frames, **predictor)
    return "vjepa2", folder


_VIDEOMAE = "VideoMAE, by default the base model: a video tower, for what moves"
_VJEPA2 = "V-JEPA 2, by default the large model of 64 frames: a video tower, for what moves"
VIDEOMAE_ENTRY = hub_entry("videomae", _VIDEOMAE, VIDEOMAE, load=load_videomae, tiny=_save_tiny_videomae)
VJEPA2_ENTRY = hub_entry("vjepa2", _VJEPA2, VJEPA2, load=load_vjepa2, tiny=_save_tiny_vjepa2)

"""VideoMAE and V-JEPA 2 by transformers: video towers without text, for what moves.

Use one beside an encoder that reads, as in `clip+vjepa2`. A clip's features are the mean of its tokens' last states.
"""

# Shapes: n clips, T frames of a clip, H, Wd pixels, F feature width.

from typing import Any

from torch import Tensor

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.hub_models import IMAGENET, hub_source, load_model, pixel_statistics
from spikemba.encoders.several_frames import SeveralFramesPerClip
from spikemba.encoders.weights import Source, placed
from spikemba.weight_files import weights_digest

VIDEOMAE = "MCG-NJU/videomae-base"
VJEPA2 = "facebook/vjepa2-vitl-fpc64-256"


class MotionEncoder(SeveralFramesPerClip):
    """A video tower behind the protocol of `base`."""

    def __init__(self, name: str, model: Any, pixels: Any, options: EncoderOptions) -> None:
        self.name, self.options = name, options
        self.weights = weights_digest(model)
        self.model, self.device, self.dtype = placed(model, options)
        self.mean, self.std = (value.to(self.device) for value in pixels)
        config = model.config
        self.is_jepa = config.model_type == "vjepa2"
        self.frames_per_clip = int(config.frames_per_clip if self.is_jepa else config.num_frames)
        self.size_px = int(config.crop_size if self.is_jepa else config.image_size)
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


def videomae_source() -> Source:
    """Where the weights of VideoMAE's default model come from."""
    return hub_source("videomae", VIDEOMAE)


def vjepa2_source() -> Source:
    """Where the weights of V-JEPA 2's default model come from."""
    return hub_source("vjepa2", VJEPA2)


def _load(name: str, model: str, kind: str, options: EncoderOptions) -> MotionEncoder:
    network = load_model(model, name, options, (kind,))
    return MotionEncoder(name, network, pixel_statistics(model, name, options, IMAGENET), options)

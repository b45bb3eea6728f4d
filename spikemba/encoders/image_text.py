"""CLIP, SigLIP and SigLIP 2 by transformers: a clip is one frame, a sentence its tokens' last states and one vector."""

# Shapes: n clips, H, Wd pixels, W query tokens, F feature width.

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikemba.clips import ClipRule, published_fps
from spikemba.encoders.base import Array, EncoderOptions, TextFeatures, check_query
from spikemba.encoders.hub_models import CENTRED, CLIP, from_hub, load_model, pixel_statistics
from spikemba.encoders.weights import placed, weights_digest
from spikemba.errors import QueryError, SpikeMbaError
from spikemba.video import FrameRule, VideoInfo

KINDS = ("clip", "siglip")
SIGLIP2 = "google/siglip2-base-patch16-224"


class ImageTextEncoder:
    """A model of two towers behind the protocols of `base`."""

    frames_per_clip = 1
    batch_clips = 16

    def __init__(self, name: str, model: Any, tokenizer: Any, pixels: Any, options: EncoderOptions) -> None:
        self.name, self.options, self.tokenizer = name, options, tokenizer
        self.weights = weights_digest(model)
        self.model, self.device, self.dtype = placed(model, options)
        self.mean, self.std = (value.to(self.device) for value in pixels)
        text, self.size_px = model.config.text_config, int(model.config.vision_config.image_size)
        self.text_dim, self.n_tokens = int(text.hidden_size), int(text.max_position_embeddings)
        self.max_words = self.n_tokens - 2
        # SigLIP's sentence vector is the state of the last place, so it was trained on, and needs, full padding.
        self.padding = "max_length" if model.config.model_type == "siglip" else False
        self.own_resize = "pillow_squash" if model.config.model_type == "siglip" else "pillow_short_side_crop"
        self.dim = int(self.encode_clips(np.zeros((1, 1, self.size_px, self.size_px, 3), np.uint8)).shape[1])

    def frame_rule(self, clip_s: float) -> FrameRule:
        """The frame just before the middle of each clip."""
        resize = "short_side_crop" if self.options.resize == "published" else self.own_resize
        return FrameRule(fps=1 / clip_s, size_px=self.size_px, resize=resize)

    def clip_rule(self, clip_s: float, source: VideoInfo) -> ClipRule:
        """As for CLIP, so that features of both can be compared."""
        rule = self.frame_rule(clip_s)
        if self.options.frames == "published":
            rule = FrameRule(published_fps(float(rule.fps), source.duration_s), rule.size_px, rule.resize)
        return ClipRule(rule, 1)

    @torch.inference_mode()
    def encode_clips(self, frames: NDArray[np.uint8]) -> Array:
        """frames: (n, 1, H, Wd, 3) uint8 RGB -> (n, F)."""
        x = torch.from_numpy(frames[:, 0]).to(self.device).permute(0, 3, 1, 2).float() / 255
        x = ((x - self.mean) / self.std).to(self.dtype)
        out: Array = self.model.get_image_features(pixel_values=x).pooler_output.float().cpu().numpy()
        return out

    @torch.inference_mode()
    def encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """One by one, so that a sentence's features do not depend on its neighbours."""
        return [self._encode_text(check_query(sentence, self.max_words)) for sentence in sentences]

    def _encode_text(self, sentence: str) -> TextFeatures:
        n = len(self.tokenizer(sentence)["input_ids"])
        if n > self.n_tokens:
            raise QueryError(f"the query has {n} tokens; {self.name} reads at most {self.n_tokens}")
        words = self.tokenizer(sentence, padding=self.padding, max_length=self.n_tokens, return_tensors="pt")
        found = self.model.get_text_features(input_ids=words["input_ids"].to(self.device))
        states = found.last_hidden_state[0, :n].float().cpu().numpy()
        return TextFeatures(states, found.pooler_output[0].float().cpu().numpy())


def load(name: str, model: str | None, options: EncoderOptions) -> ImageTextEncoder:
    """A model by its name on the hub, `transformers:openai/clip-vit-base-patch32`, or a folder of one.

    Raises WeightsMissing, CheckpointError, SpikeMbaError when it is of another kind.
    """
    from transformers import AutoTokenizer

    place = model or (str(options.weights) if options.weights else None)
    if place is None:
        raise SpikeMbaError("transformers needs a model, as in --encoder transformers:openai/clip-vit-base-patch32")
    network = load_model(place, name, options, KINDS)
    tokenizer = from_hub(AutoTokenizer.from_pretrained, place, name, options)
    default = CENTRED if network.config.model_type == "siglip" else CLIP
    return ImageTextEncoder(name, network, tokenizer, pixel_statistics(place, options, default), options)


def load_siglip2(name: str, model: str | None, options: EncoderOptions) -> ImageTextEncoder:
    """SigLIP 2, by default the base model at 224 pixels. Raises as `load`."""
    return load(name, model or SIGLIP2, options)

"""CLIP, SigLIP and SigLIP 2 by transformers: a clip is one frame, a sentence its tokens' last states and one vector."""

# Shapes: n clips, H, Wd pixels, W query tokens, F feature width.

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from spikemba.encoders.base import EncoderOptions, TextFeatures
from spikemba.encoders.hub_models import CENTRED, CLIP, hub_entry, load_model, load_tokenizer, pixel_statistics
from spikemba.encoders.one_frame import OneFramePerClip
from spikemba.encoders.tiny_models import IMAGE, TEXT, save_model, save_words
from spikemba.errors import QueryError, SpikeMbaError

KINDS = ("clip", "siglip")
SIGLIP2 = "google/siglip2-base-patch16-224"


class ImageTextEncoder(OneFramePerClip):
    """A model of two towers behind the protocols of `base`."""

    def __init__(self, name: str, model: Any, tokenizer: Any, pixels: Any, options: EncoderOptions) -> None:
        self.name, self.tokenizer = name, tokenizer
        self.place(model, pixels, options)
        text, self.size_px = model.config.text_config, int(model.config.vision_config.image_size)
        self.text_dim, self.n_tokens = int(text.hidden_size), int(text.max_position_embeddings)
        self.max_words = self.n_tokens - 2
        # SigLIP's sentence vector is the state of the last place, so it was trained on, and needs, full padding.
        self.padding = "max_length" if model.config.model_type == "siglip" else False
        self.own_resize = "pillow_squash" if model.config.model_type == "siglip" else "pillow_short_side_crop"
        self.dim = int(self.encode_clips(np.zeros((1, 1, self.size_px, self.size_px, 3), np.uint8)).shape[1])

    def embed_images(self, pixels: Tensor) -> Tensor:
        """pixels: (n, 3, H, Wd), normalised -> (n, F)."""
        out: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return out

    def embed_text(self, sentence: str) -> TextFeatures:
        """States of the real tokens and a vector for the sentence. Raises QueryError when it has too many tokens."""
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
    place = model or (str(options.weights) if options.weights else None)
    if place is None:
        raise SpikeMbaError("transformers needs a model, as in --encoder transformers:openai/clip-vit-base-patch32")
    network = load_model(place, name, options, KINDS)
    tokenizer = load_tokenizer(place, name, options)
    default = CENTRED if network.config.model_type == "siglip" else CLIP
    return ImageTextEncoder(name, network, tokenizer, pixel_statistics(place, name, options, default), options)


def load_siglip2(name: str, model: str | None, options: EncoderOptions) -> ImageTextEncoder:
    """SigLIP 2, by default the base model at 224 pixels. Raises as `load`."""
    return load(name, model or SIGLIP2, options)


def _save_tiny_clip(folder: Path) -> tuple[str, Path]:
    """A CLIP with the pixels it expects beside it."""
    save_model(folder, "CLIP", vision_config=IMAGE, text_config=TEXT, projection_dim=16)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    save_words(folder)
    return "transformers", folder


def _save_tiny_siglip(folder: Path) -> tuple[str, Path]:
    save_model(folder, "Siglip", vision_config=IMAGE, text_config={**TEXT, "projection_size": 32})
    save_words(folder)
    return "siglip2", folder


_ANY = "a CLIP or SigLIP of transformers, by its name on the hub or a local folder"
_SIGLIP2 = "SigLIP 2, by default the base model of 224 pixels"
TRANSFORMERS_ENTRY = hub_entry("transformers", _ANY, load=load, reads_text=True, tiny=_save_tiny_clip)
SIGLIP2_ENTRY = hub_entry("siglip2", _SIGLIP2, SIGLIP2, load=load_siglip2, reads_text=True, tiny=_save_tiny_siglip)

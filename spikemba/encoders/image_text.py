"""CLIP, SigLIP 1 and 2 and MetaCLIP 2 by transformers: a clip is one frame, a sentence its tokens and one vector."""

# Shapes: n clips, H, Wd pixels, W query tokens, F feature width.

from pathlib import Path
from string import punctuation
from typing import Any

import numpy as np
from torch import Tensor

from spikemba.encoders.base import EncoderOptions, TextFeatures
from spikemba.encoders.hub_models import (
    CENTRED,
    CLIP,
    hub_entry,
    load_model,
    load_tokenizer,
    pixel_statistics,
    scaled_bilinearly,
)
from spikemba.encoders.one_frame import OneFramePerClip
from spikemba.encoders.tiny_models import IMAGE, TEXT, save_model, save_words
from spikemba.errors import CheckpointError, QueryError, SpikeMbaError

KINDS = ("clip", "siglip", "metaclip_2")
SIGLIP2 = "google/siglip2-base-patch16-224"
METACLIP2 = "facebook/metaclip-2-worldwide-huge-quickgelu"
GEMMA = 256_000
"""Tokens of SigLIP 2, whose pictures were scaled bilinearly; its settings call it the kind of the first."""


class ImageTextEncoder(OneFramePerClip):
    """A model of two towers behind the protocols of `base`."""

    def __init__(
        self, name: str, model: Any, tokenizer: Any, pixels: Any, options: EncoderOptions, bilinear: bool
    ) -> None:
        self.name, self.tokenizer = name, tokenizer
        self.place(model, pixels, options)
        text, self.size_px = model.config.text_config, int(model.config.vision_config.image_size)
        self.text_dim, self.n_tokens = int(text.hidden_size), int(text.max_position_embeddings)
        self.max_words = self.n_tokens - 2
        # SigLIP's sentence vector is the state of the last place, so it was trained on, and needs, full padding; and on
        # lower case, which the tokenizers that SigLIP 2 is published with leave to the caller (arXiv 2502.14786, 2.1).
        self.is_siglip = model.config.model_type == "siglip"
        own = "pillow_squash" if self.is_siglip else "pillow_short_side_crop"
        self.own_resize = f"{own}_bilinear" if bilinear else own
        self.dim = int(self.encode_clips(np.zeros((1, 1, self.size_px, self.size_px, 3), np.uint8)).shape[1])

    def embed_images(self, pixels: Tensor) -> Tensor:
        """pixels: (n, 3, H, Wd), normalised -> (n, F)."""
        out: Tensor = self.model.get_image_features(pixel_values=pixels).pooler_output
        return out

    def embed_text(self, sentence: str) -> TextFeatures:
        """States of the real tokens and a vector for the sentence. Raises QueryError when it has too many tokens."""
        sentence = sentence.lower() if self.is_siglip else sentence
        n = len(self.tokenizer(sentence)["input_ids"])
        if n > self.n_tokens:
            raise QueryError(f"the query has {n} tokens; {self.name} reads at most {self.n_tokens}")
        how = {"padding": "max_length", "padding_side": "right", "max_length": self.n_tokens} if self.is_siglip else {}
        words = self.tokenizer(sentence, return_tensors="pt", **how)
        found = self.model.get_text_features(input_ids=words["input_ids"].to(self.device))
        states = found.last_hidden_state[0, :n].float().cpu().numpy()
        return TextFeatures(states, found.pooler_output[0].float().cpu().numpy())

    def unknown_words(self, sentence: str) -> list[str]:
        """Words of which the tokenizer has no piece for some part, in lower case, each once."""
        unknown = self.tokenizer.unk_token_id
        words = dict.fromkeys(word.strip(punctuation) for word in sentence.split())
        ids = {word: self.tokenizer(word, add_special_tokens=False)["input_ids"] for word in words if word}
        return list(dict.fromkeys(word.lower() for word, pieces in ids.items() if unknown in pieces))


def load(name: str, model: str | None, options: EncoderOptions) -> ImageTextEncoder:
    """A model by its name on the hub, `transformers:openai/clip-vit-base-patch32`, or a folder of one.

    Raises WeightsMissing, CheckpointError, SpikeMbaError when it is of another kind.
    """
    place = model or (str(options.weights) if options.weights else None)
    if place is None:
        raise SpikeMbaError("transformers needs a model, as in --encoder transformers:openai/clip-vit-base-patch32")
    network = load_model(place, name, options, KINDS)
    tokenizer = load_tokenizer(place, name, options)
    pixels = pixel_statistics(place, name, options, CENTRED if network.config.model_type == "siglip" else CLIP)
    bilinear = scaled_bilinearly(place, name, options, default=network.config.text_config.vocab_size == GEMMA)
    if network.config.model_type == "metaclip_2":
        _check_end(str(options.weights or place), network.config.text_config.eos_token_id, tokenizer)
    return ImageTextEncoder(name, network, tokenizer, pixels, options, bilinear)


def _check_end(place: str, end: int, tokenizer: Any) -> None:
    """Raise CheckpointError for a tokenizer of another model: MetaCLIP 2 takes a sentence's vector where its end is."""
    ids = tokenizer("a")["input_ids"]
    if ids[-1] != end:
        raise CheckpointError(
            f"{place}: its tokenizer ends sentences with token {ids[-1]}; its model expects {end}, so they are not of "
            "one model; put the published tokenizer beside the weights"
        )


def load_siglip2(name: str, model: str | None, options: EncoderOptions) -> ImageTextEncoder:
    """SigLIP 2, by default the base model at 224 pixels. Raises as `load`."""
    return load(name, model or SIGLIP2, options)


def load_metaclip2(name: str, model: str | None, options: EncoderOptions) -> ImageTextEncoder:
    """MetaCLIP 2, by default the huge model of the paper. Raises as `load`."""
    return load(name, model or METACLIP2, options)


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


def _save_tiny_metaclip2(folder: Path) -> tuple[str, Path]:
    save_model(folder, "MetaClip2", vision_config=IMAGE, text_config=TEXT, projection_dim=16)
    save_words(folder)
    return "metaclip2", folder


_ANY = "a CLIP or SigLIP of transformers, by its name on the hub or a local folder"
_SIGLIP2 = "SigLIP 2, by default the base model of 224 pixels"
_METACLIP2 = "MetaCLIP 2, by default the huge model of 224 pixels: sentences in some 300 languages"
TRANSFORMERS_ENTRY = hub_entry("transformers", _ANY, load=load, reads_text=True, tiny=_save_tiny_clip)
SIGLIP2_ENTRY = hub_entry("siglip2", _SIGLIP2, SIGLIP2, load=load_siglip2, reads_text=True, tiny=_save_tiny_siglip)
METACLIP2_ENTRY = hub_entry(
    "metaclip2", _METACLIP2, METACLIP2, load=load_metaclip2, reads_text=True, tiny=_save_tiny_metaclip2
)

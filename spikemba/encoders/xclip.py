"""X-CLIP by transformers: CLIP whose image tower exchanges messages between the frames of a clip."""

# Shapes: n clips, T frames of a clip, H, Wd pixels, W query tokens, F feature width.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikemba.encoders.base import EncoderOptions, TextFeatures, check_query
from spikemba.encoders.hub_models import (
    CLIP,
    hub_entry,
    load_model,
    load_tokenizer,
    pixel_statistics,
    scaled_bilinearly,
)
from spikemba.encoders.several_frames import SeveralFramesPerClip, short_side_crop
from spikemba.encoders.tiny_models import IMAGE, TEXT, TOWER, save_model, save_words
from spikemba.errors import QueryError

MODEL = "microsoft/xclip-base-patch32"


class XClipEncoder(SeveralFramesPerClip):
    """X-CLIP behind the protocols of `base`. Sentences are encoded alone, without the prompts it makes from a video."""

    def __init__(
        self, name: str, model: Any, tokenizer: Any, pixels: Any, options: EncoderOptions, bilinear: bool
    ) -> None:
        self.name, self.tokenizer = name, tokenizer
        self.place(model, pixels, options)
        vision, text = model.config.vision_config, model.config.text_config
        self.frames_per_clip, self.size_px = int(vision.num_frames), int(vision.image_size)
        self.dim, self.text_dim = int(model.config.projection_dim), int(text.hidden_size)
        self.own_resize = short_side_crop(bilinear)
        self.n_tokens = int(text.max_position_embeddings)
        self.max_words = self.n_tokens - 2

    def embed_videos(self, pixels: Tensor) -> Tensor:
        """pixels: (n, T, 3, H, Wd), normalised -> (n, F)."""
        out: Tensor = self.model.get_video_features(pixel_values=pixels).pooler_output.float()
        return out

    @torch.inference_mode()
    def encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """One by one, so that a sentence's features do not depend on its neighbours."""
        return [self._encode_text(check_query(sentence, self.max_words)) for sentence in sentences]

    def _encode_text(self, sentence: str) -> TextFeatures:
        words = self.tokenizer(sentence, return_tensors="pt")["input_ids"].to(self.device)
        if words.shape[1] > self.n_tokens:
            raise QueryError(f"the query has {words.shape[1]} tokens; {self.name} reads at most {self.n_tokens}")
        found = self.model.get_text_features(input_ids=words)
        states = found.last_hidden_state[0].float().cpu().numpy()
        return TextFeatures(states, found.pooler_output[0].float().cpu().numpy())


def load(name: str, model: str | None, options: EncoderOptions) -> XClipEncoder:
    """X-CLIP, by default the base model. Raises WeightsMissing, CheckpointError."""
    network = load_model(model or MODEL, name, options, ("xclip",))
    tokenizer = load_tokenizer(model or MODEL, name, options)
    pixels = pixel_statistics(model or MODEL, name, options, CLIP)
    bilinear = scaled_bilinearly(model or MODEL, name, options, default=False)
    return XClipEncoder(name, network, tokenizer, pixels, options, bilinear)


def _save_tiny(folder: Path) -> tuple[str, Path]:
    mit = {f"mit_{name}": value // 2 for name, value in TOWER.items()}
    vision = {**IMAGE, **mit, "num_frames": 4, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    how: dict[str, Any] = {"projection_dim": 16, "prompt_layers": 1, "prompt_num_attention_heads": 2}
    save_model(folder, "XCLIP", vision_config=vision, text_config=TEXT, **how)
    save_words(folder)
    return "xclip", folder


_WHAT = "X-CLIP, by default the base model; frames of a clip exchange messages"
ENTRY = hub_entry("xclip", _WHAT, MODEL, load=load, reads_text=True, tiny=_save_tiny)

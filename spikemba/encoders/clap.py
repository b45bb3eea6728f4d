"""CLAP by transformers, of sounds and sentences: a clip is its sound, a sentence its tokens and one vector.

Wu et al. 2023, arXiv 2211.06687: HTSAT on log-mel spectrograms of 10 s at 48 kHz, RoBERTa on sentences.
"""

# Shapes: n clips, S samples of a window, W query tokens, F feature width.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikemba.encoders.base import Array, EncoderOptions, TextFeatures, check_query, check_windows
from spikemba.encoders.hub_models import from_hub, hub_entry, load_model, load_tokenizer
from spikemba.encoders.tiny_models import TEXT, save_model, save_words
from spikemba.encoders.weights import placed
from spikemba.errors import CheckpointError, QueryError
from spikemba.libraries import library
from spikemba.weight_files import weights_digest

MODEL = "laion/clap-htsat-unfused"
SOUNDS = ("preprocessor_config.json", "processor_config.json")
"""Files of a model's folder that say how sound becomes a spectrogram; either will do."""


class ClapEncoder:
    """CLAP behind the protocols of `base`."""

    batch_clips = 8

    def __init__(self, name: str, model: Any, tokenizer: Any, extractor: Any, options: EncoderOptions) -> None:
        self.name, self.tokenizer, self.extractor, self.options = name, tokenizer, extractor, options
        self.weights = weights_digest(model)
        self.model, self.device, self.dtype = placed(model, options)
        text = model.config.text_config
        self.dim, self.text_dim = int(model.config.projection_dim), int(text.hidden_size)
        self.n_tokens = int(text.max_position_embeddings) - int(text.pad_token_id) - 1  # RoBERTa counts from behind it
        self.max_words = self.n_tokens - 2
        self.rate_hz, self.most_samples = int(extractor.sampling_rate), int(extractor.nb_max_samples)

    @torch.inference_mode()
    def encode_sounds(self, windows: NDArray[np.float32]) -> Array:
        """windows: (n, S) float32 samples in [-1, 1] -> (n, F), of length 1.

        A window that is shorter than the model hears (10 s) is repeated and filled up, as by the published processor.
        Of a longer one the processor takes a part by chance; here it is cut into equal ones, and their mean is taken.
        """
        check_windows(windows, self.name)
        if not len(windows):
            return np.zeros((0, self.dim), np.float32)
        n_parts = -(-windows.shape[1] // self.most_samples)
        found = [self._embed(part) for part in np.array_split(windows, n_parts, axis=1)]
        mean = torch.stack(found).mean(0)
        out: Array = (mean / mean.norm(dim=-1, keepdim=True).clamp_min(1e-12)).cpu().numpy()
        return out

    def _embed(self, windows: NDArray[np.float32]) -> Tensor:
        """(n, S) of at most 10 s -> (n, F)."""
        heard = self.extractor(list(windows), sampling_rate=self.rate_hz, return_tensors="pt")["input_features"]
        # the processor calls one sound of a batch longer than it is, by chance; then neighbours would matter
        longer = torch.zeros((len(windows), 1), dtype=torch.bool, device=self.device)
        found = self.model.get_audio_features(input_features=heard.to(self.device, self.dtype), is_longer=longer)
        vectors: Tensor = found.pooler_output.float()
        return vectors

    @torch.inference_mode()
    def encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """One by one, so that a sentence's features do not depend on its neighbours."""
        return [self._encode_text(check_query(sentence, self.max_words)) for sentence in sentences]

    def _encode_text(self, sentence: str) -> TextFeatures:
        words = self.tokenizer(sentence, return_tensors="pt")
        n = words["input_ids"].shape[1]
        if n > self.n_tokens:
            raise QueryError(f"the query has {n} tokens; {self.name} reads at most {self.n_tokens}")
        asked = {key: words[key].to(self.device) for key in ("input_ids", "attention_mask")}
        found = self.model.get_text_features(**asked)
        states = found.last_hidden_state[0].float().cpu().numpy()
        return TextFeatures(states, found.pooler_output[0].float().cpu().numpy())


def load(name: str, model: str | None, options: EncoderOptions) -> ClapEncoder:
    """CLAP, by default the model without fusion. Raises WeightsMissing, CheckpointError, SpikeMbaError."""
    place = model or MODEL
    network = load_model(place, name, options, ("clap",))
    return ClapEncoder(name, network, load_tokenizer(place, name, options), _extractor(place, name, options), options)


def _extractor(place: str, name: str, options: EncoderOptions) -> Any:
    """What makes spectrograms. Raises as `from_hub`, CheckpointError for that of another model."""
    with library("transformers"):
        from transformers import AutoFeatureExtractor

    found = from_hub(AutoFeatureExtractor.from_pretrained, place, name, options, SOUNDS)
    if type(found).__name__ != "ClapFeatureExtractor":
        raise CheckpointError(
            f"{options.weights or place}: {type(found).__name__} prepares its sound; expected ClapFeatureExtractor"
        )
    return found


def _save_tiny(folder: Path) -> tuple[str, Path]:
    """A CLAP of the published layout whose spectrograms are the published ones."""
    with library("transformers"):
        from transformers import ClapFeatureExtractor

    audio = {
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 32,
        "spec_size": 256,
        "window_size": 8,
        "num_mel_bins": 64,
    }
    text = {**TEXT, "pad_token_id": 0, "max_position_embeddings": 13}
    save_model(folder, "Clap", audio_config=audio, text_config=text, projection_dim=16)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    save_words(folder)
    return "clap", folder


_WHAT = "CLAP, by default the model without fusion: hears, sees nothing"
ENTRY = hub_entry("clap", _WHAT, MODEL, load=load, reads_text=True, tiny=_save_tiny)

"""Sizes and words of small random models of transformers, which entries write for doctor and tests."""

from pathlib import Path
from typing import Any

from spikemba.libraries import library

TOWER: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGE: dict[str, Any] = {**TOWER, "image_size": 32, "patch_size": 16}
SPECIAL = {"eos_token_id": 3, "pad_token_id": 0, "bos_token_id": 2}
TEXT: dict[str, Any] = {**TOWER, **SPECIAL, "vocab_size": 7, "max_position_embeddings": 12}
WORDS = ("<pad>", "<unk>", "<s>", "</s>", "a", "dog", "enters")


def save_model(folder: Path, name: str, **settings: Any) -> None:
    """A random model of transformers and its settings.  name: of its class without `Model`, such as `CLIP`."""
    with library("transformers"):
        import transformers

        make, configure = getattr(transformers, f"{name}Model"), getattr(transformers, f"{name}Config")
    make(configure(**settings)).save_pretrained(folder)


def save_words(folder: Path) -> None:
    """A tokenizer of a few words; both ends are marked."""
    with library("transformers"):
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    make: Any = PreTrainedTokenizerFast
    make(tokenizer_object=core, **names, model_max_length=TEXT["max_position_embeddings"]).save_pretrained(folder)

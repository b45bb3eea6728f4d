"""CLIP by open_clip: features of images and sentences in the form of the field's published files.

A clip is one frame: its projected embedding, not normalised. A sentence is the states of its real tokens, start and end
among them, after the last norm and before the projection, and the projected embedding of its end.
"""

# Shapes: n clips, H, Wd pixels, W query tokens, F feature width.

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spikemba.encoders.base import EncoderOptions, TextFeatures
from spikemba.encoders.entry import EncoderEntry
from spikemba.encoders.one_frame import OneFramePerClip
from spikemba.encoders.weights import Source, find_weights
from spikemba.errors import QueryError, SpikeMbaError, UnknownName
from spikemba.libraries import library
from spikemba.weight_files import load_state, read_state

MODEL, TAG = "ViT-B-32", "openai"
"""Behind the published features of QVHighlights, Charades-STA and TACoS."""
TINY = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2},
}
"""Settings of a small model, whose tokenizer is the usual one."""


class ClipEncoder(OneFramePerClip):
    """An open_clip model behind the protocols of `base`."""

    def __init__(self, name: str, model: Any, tokenizer: Any, options: EncoderOptions) -> None:
        self.name, self.tokenizer = name, tokenizer
        cfg = model.visual.preprocess_cfg
        self.place(model, (_column(cfg["mean"]), _column(cfg["std"])), options)
        side = cfg["size"]
        self.size_px = int(side if isinstance(side, int) else side[0])
        own = "pillow_squash" if cfg["resize_mode"] == "squash" else "pillow_short_side_crop"
        self.own_resize = f"{own}_bilinear" if cfg["interpolation"] == "bilinear" else own
        text = getattr(model, "text", model)
        self.last_norm: nn.Module = text.ln_final
        self.text_dim = int(text.ln_final.weight.shape[0])
        self.n_tokens = int(text.context_length)
        self.max_words = self.n_tokens - 2
        self.dim = int(self.encode_clips(np.zeros((1, 1, self.size_px, self.size_px, 3), np.uint8)).shape[1])

    def embed_images(self, pixels: Tensor) -> Tensor:
        """pixels: (n, 3, H, Wd), normalised -> (n, F)."""
        out: Tensor = self.model.encode_image(pixels)
        return out

    def embed_text(self, sentence: str) -> TextFeatures:
        """States of the real tokens and a vector for the sentence. Raises QueryError when it has too many tokens."""
        n = len(self.tokenizer.encode(sentence)) + 2
        if n > self.n_tokens:
            raise QueryError(f"the query has {n} tokens; {self.name} reads at most {self.n_tokens}")
        seen: list[Tensor] = []
        hook = self.last_norm.register_forward_hook(lambda *call: seen.append(call[2]))
        try:
            pooled = self.model.encode_text(self.tokenizer([sentence]).to(self.device))
        finally:
            hook.remove()
        return TextFeatures(seen[0][0, :n].float().cpu().numpy(), pooled[0].float().cpu().numpy())


def load(name: str, model: str | None, options: EncoderOptions) -> ClipEncoder:
    """An open_clip model: `ViT-B-32` with OpenAI's weights, another one, or one with a tag, `ViT-B-32/laion2b_e16`.

    Raises as `load_named`.
    """
    return load_named(name, model or f"{MODEL}/{TAG}", options)


def load_named(
    name: str, model: str, options: EncoderOptions, untagged: Mapping[str, Any] | None = None
) -> ClipEncoder:
    """A model of open_clip by its architecture, or architecture/tag.

    untagged: pixels of an architecture of which open_clip lists no weights; None: CLIP's.
    Raises UnknownName, WeightsMissing, CheckpointError, SpikeMbaError when its sentences are read by another library.
    """
    with library("open_clip"):
        import open_clip

    architecture, _, tag = model.partition("/")
    if architecture not in open_clip.list_models():
        raise UnknownName("model of open_clip", architecture, open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and tag not in tags:
        raise UnknownName(f"weights of {architecture}", tag, tags)
    _check_tokenizer(name, architecture, (open_clip.get_model_config(architecture) or {}).get("text_cfg", {}))
    tag = tag or (TAG if TAG in tags else next(iter(tags), ""))
    known = open_clip.get_pretrained_cfg(architecture, tag) if tag else dict(untagged or {})
    path = find_weights(_source(name, architecture, known), options)
    # OpenAI's weights were trained with a cheaper GELU than the architecture's default; the file does not say so.
    with quiet():
        gelu = bool(known.get("quick_gelu", False))
        network = open_clip.create_model(architecture, force_quick_gelu=gelu, pretrained_text=False)
    _load(network, path)
    chosen = {key: known[key] for key in ("mean", "std", "resize_mode", "interpolation") if key in known}
    network.visual.preprocess_cfg = {**network.visual.preprocess_cfg, **chosen}
    return ClipEncoder(name, network, open_clip.get_tokenizer(architecture), options)


def _check_tokenizer(name: str, architecture: str, text: Mapping[str, Any]) -> None:
    """Raise SpikeMbaError when it is not CLIP's own, which comes with open_clip."""
    place = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    if place:
        raise SpikeMbaError(
            f"{name} reads sentences with a tokenizer of transformers ({place}); expected a model with CLIP's own; of "
            f"{architecture}'s kin take --encoder siglip2:NAME, metaclip2:NAME or transformers:NAME"
        )


def source_of(encoder: str, architecture: str, tag: str) -> Source:
    """Where the weights of a model of open_clip come from."""
    with library("open_clip"):
        import open_clip

    return _source(encoder, architecture, open_clip.get_pretrained_cfg(architecture, tag))


def _source(name: str, architecture: str, known: dict[str, Any]) -> Source:
    """Where open_clip says that the weights are."""
    repository, _, hub_file = known.get("hf_hub", "").rpartition("/")
    hub_file = hub_file or "open_clip_model.safetensors"
    address = known.get("url") or (f"https://huggingface.co/{repository}" if repository else "whoever made them")
    file = known["url"].rpartition("/")[2] if known.get("url") else f"{architecture}.safetensors"
    files = (hub_file, "open_clip_pytorch_model.bin")
    return Source(name.partition(":")[0], file, address, repository or None, files, listed=architecture == MODEL)


def _load(network: nn.Module, path: Path) -> None:
    """Read the file in any of the forms that circulate."""
    with library("open_clip"):
        from open_clip.convert import convert_state_dict
        from open_clip.model import convert_to_custom_text_state_dict

    state = read_state(path)
    for number in ("input_resolution", "context_length", "vocab_size"):
        state.pop(number, None)
    state = convert_state_dict(network, state)
    own = network.state_dict()
    if "positional_embedding" in state and "positional_embedding" not in own:
        state = convert_to_custom_text_state_dict(state)
    if "logit_scale" in own and "logit_scale" in state:  # a number or a list of one, by the version that wrote it
        state["logit_scale"] = state["logit_scale"].reshape(own["logit_scale"].shape)
    load_state(network, state, path)


@contextmanager
def quiet() -> Iterator[None]:
    """open_clip warns that a network has no weights yet."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _save_tiny(folder: Path) -> tuple[str, Path]:
    """`tiny` is its architecture in this process from here on."""
    with library("open_clip"):
        import open_clip
    (folder / "tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny.json")
    torch.save(open_clip.create_model("tiny").state_dict(), folder / "tiny.pt")
    return "clip:tiny", folder / "tiny.pt"


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


ENTRY = EncoderEntry(
    name="clip",
    what="CLIP by open_clip; by default ViT-B-32 of OpenAI, as behind the published features",
    load=load,
    models=("MODEL", "MODEL/TAG"),
    reads_text=True,
    source=lambda: source_of("clip", MODEL, TAG),
    library="open_clip",
    tiny=_save_tiny,
)

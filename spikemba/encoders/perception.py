"""PE-Core, the image and text towers of the Perception Encoder, by open_clip (Bolya et al. 2025, arXiv 2504.13181).

A clip is one frame, squashed to a square; a sentence is at most 32 tokens of CLIP's tokenizer, 72 of the
largest model. Features are those of `clip_model`: projected and not normalised, and states before the projection.
"""

import json
from pathlib import Path
from typing import Any

import torch

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.clip_model import ClipEncoder, load_named, quiet, source_of
from spikemba.encoders.entry import EncoderEntry
from spikemba.errors import UnknownName
from spikemba.libraries import library

MODEL, TAG = "PE-Core-B-16", "meta"
PIXELS: dict[str, Any] = {
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bilinear",
    "resize_mode": "squash",
}
"""What all models of the family were trained with."""
FAMILY = "PE-Core-"
TINY = {
    "embed_dim": 32,
    "vision_cfg": {
        "image_size": 32,
        "timm_model_name": "vit_pe_core_small_random",
        "timm_pool": "map",
        "timm_proj": None,
    },
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2},
    "custom_text": True,
}
"""Settings of a small model, whose tokenizer is the usual one."""


def load(name: str, model: str | None, options: EncoderOptions) -> ClipEncoder:
    """A model of the family, by default the base one of 224 pixels. Raises as `load_named`."""
    with library("open_clip"):
        import open_clip

    wanted = model or MODEL
    family = [known for known in open_clip.list_models() if known.startswith(FAMILY)]
    if wanted.partition("/")[0] not in family:
        raise UnknownName("model of PE-Core", wanted, family)
    return load_named(name, wanted, options, PIXELS)


def _save_tiny(folder: Path) -> tuple[str, Path]:
    """`PE-Core-tiny` is its architecture in this process from here on."""
    with library("open_clip"):
        import open_clip
        from timm.models import is_model, model_entrypoint, register_model

    def vit_pe_core_small_random(**settings: Any) -> Any:
        small = {"img_size": 32, "embed_dim": 32, "depth": 2, "num_heads": 2, "attn_pool_num_heads": 2}
        make = model_entrypoint("vit_pe_core_tiny_patch16_384")
        return make(ref_feat_shape=(2, 2), **small, **settings)

    if not is_model("vit_pe_core_small_random"):
        register_model(vit_pe_core_small_random)
    (folder / "PE-Core-tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "PE-Core-tiny.json")
    with quiet():
        network = open_clip.create_model("PE-Core-tiny")
    for weight in network.visual.parameters():
        if weight.ndim > 1:  # as the library begins them, all pictures look alike to so small a tower
            torch.nn.init.normal_(weight, std=0.2)
    torch.save(network.state_dict(), folder / "PE-Core-tiny.pt")
    return "pe:PE-Core-tiny", folder / "PE-Core-tiny.pt"


ENTRY = EncoderEntry(
    name="pe",
    what="PE-Core of the Perception Encoder by open_clip; by default the base model of 224 pixels",
    load=load,
    models=("MODEL",),
    reads_text=True,
    source=lambda: source_of("pe", MODEL, TAG),
    library="open_clip",
    tiny=_save_tiny,
)

"""Small random models in the published layouts, loaded and run by the encoders themselves, to see whether they work."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spikemba.encoders import TextEncoder, load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.libraries import library

PX = 32
TOWER: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
IMAGE: dict[str, Any] = {**TOWER, "image_size": PX, "patch_size": 16}
SPECIAL = {"eos_token_id": 3, "pad_token_id": 0, "bos_token_id": 2}
TEXT: dict[str, Any] = {**TOWER, **SPECIAL, "vocab_size": 7, "max_position_embeddings": 12}
WORDS = ("<pad>", "<unk>", "<s>", "</s>", "a", "dog", "enters")
CLIP = {
    "embed_dim": 32,
    "quick_gelu": True,
    "vision_cfg": {"image_size": PX, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2},
}


def run_tiny(kind: str) -> str:
    """Make a small model of that kind, load it as the encoder does and encode a clip, and a sentence if it reads.

    Returns what it gave, in words. Raises whatever stands in the way.
    """
    with tempfile.TemporaryDirectory() as folder:
        name, weights = (kind, None) if kind == "mini" else SAVERS[kind](Path(folder))
        encoder = load_encoder(name, EncoderOptions(weights=weights, device="cpu"))
        px = int(encoder.frame_rule(2.0).size_px or PX) if kind != "slowfast" else 64  # its own 224 would take a second
        frames = np.random.default_rng(0).integers(0, 255, (1, encoder.frames_per_clip, px, px, 3), dtype=np.uint8)
        clip = encoder.encode_clips(frames)
        words = encoder.encode_texts(["a dog enters"])[0].tokens if isinstance(encoder, TextEncoder) else None
    if not np.isfinite(clip).all() or (words is not None and not np.isfinite(words).all()):
        raise ArithmeticError("features are not finite")
    reads = "" if words is None else f", a sentence to {words.shape}"
    return f"a clip of {encoder.frames_per_clip} frames to {clip.shape}{reads}"


def save_clip(folder: Path) -> tuple[str, Path]:
    """CLIP of open_clip; `tiny` is its architecture in this process from here on."""
    import torch

    with library("open_clip"):
        import open_clip
    (folder / "tiny.json").write_text(json.dumps(CLIP))
    open_clip.add_model_config(folder / "tiny.json")
    torch.save(open_clip.create_model("tiny").state_dict(), folder / "tiny.pt")
    return "clip:tiny", folder / "tiny.pt"


def save_siglip2(folder: Path) -> tuple[str, Path]:
    """SigLIP of transformers."""
    with library("transformers"):
        from transformers import SiglipConfig, SiglipModel
    SiglipModel(SiglipConfig(vision_config=IMAGE, text_config={**TEXT, "projection_size": 32})).save_pretrained(folder)
    save_words(folder, 12)
    return "siglip2", folder


def save_transformers(folder: Path) -> tuple[str, Path]:
    """CLIP of transformers, with the pixels it expects beside it."""
    with library("transformers"):
        from transformers import CLIPConfig, CLIPModel
    CLIPModel(CLIPConfig(vision_config=IMAGE, text_config=TEXT, projection_dim=16)).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    save_words(folder, 12)
    return "transformers", folder


def save_xclip(folder: Path) -> tuple[str, Path]:
    """X-CLIP of transformers."""
    with library("transformers"):
        from transformers import XCLIPConfig, XCLIPModel
    mit = {f"mit_{name}": value // 2 for name, value in TOWER.items()}
    vision = {**IMAGE, **mit, "num_frames": 4, "mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    how: dict[str, Any] = {"projection_dim": 16, "prompt_layers": 1, "prompt_num_attention_heads": 2}
    XCLIPModel(XCLIPConfig(vision_config=vision, text_config=TEXT, **how)).save_pretrained(folder)
    save_words(folder, 12)
    return "xclip", folder


def save_videomae(folder: Path) -> tuple[str, Path]:
    """VideoMAE of transformers."""
    with library("transformers"):
        from transformers import VideoMAEConfig, VideoMAEModel
    VideoMAEModel(VideoMAEConfig(**IMAGE, num_frames=4)).save_pretrained(folder)
    return "videomae", folder


def save_vjepa2(folder: Path) -> tuple[str, Path]:
    """V-JEPA 2 of transformers."""
    with library("transformers"):
        from transformers import VJEPA2Config, VJEPA2Model
    tower = {name: value for name, value in TOWER.items() if name != "intermediate_size"}
    frames: dict[str, Any] = {"crop_size": PX, "patch_size": 16, "frames_per_clip": 4}
    predictor: dict[str, Any] = {"pred_hidden_size": 12, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    VJEPA2Model(VJEPA2Config(**tower, **frames, **predictor)).save_pretrained(folder)
    return "vjepa2", folder


def save_slowfast(folder: Path) -> tuple[str, Path]:
    """A narrow SlowFast."""
    from safetensors.torch import save_file

    from spikemba.encoders.slowfast import SlowFast

    save_file(SlowFast(width=8, n_classes=5).state_dict(), folder / "slowfast.safetensors")
    return "slowfast", folder / "slowfast.safetensors"


def save_videomamba(folder: Path) -> tuple[str, Path]:
    """A VideoMamba of two blocks, as a checkpoint of ours."""
    from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, save_video_checkpoint
    from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig

    config = VideoMambaConfig.parse({"width": 16, "n_blocks": 2, "n_frames": 4, "size_px": PX, "n_classes": 3})
    save_video_checkpoint(folder, VideoCheckpoint(VideoMamba(config)))
    return "videomamba", folder


def save_words(folder: Path, length: int) -> None:
    """A tokenizer of a few words; both ends are marked."""
    with library("transformers"):
        from tokenizers import Tokenizer, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)])
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "eos_token": "</s>"}
    make: Any = PreTrainedTokenizerFast
    make(tokenizer_object=core, **names, model_max_length=length).save_pretrained(folder)


SAVERS: dict[str, Callable[[Path], tuple[str, Path]]] = {
    "clip": save_clip,
    "slowfast": save_slowfast,
    "transformers": save_transformers,
    "siglip2": save_siglip2,
    "xclip": save_xclip,
    "videomae": save_videomae,
    "videomamba": save_videomamba,
    "vjepa2": save_vjepa2,
}
"""Kind of encoder -> writes a small one into a folder; returns the encoder's name and where its weights are."""

"""Feature packs that are in circulation, so that one without a manifest can be told by its names and widths."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownPack:
    """What is known of a kind of features."""

    encoder: str
    """What made them, in words."""
    dim: int
    """F."""
    names: tuple[str, ...]
    """Parts of the names that its folders go by, in lower case."""
    kind: str = "video"
    clip_s: float | None = None
    """Seconds of a row, where the name of the pack says so or its makers do."""
    recipe: str = ""
    """The configuration that trains on it."""


KNOWN = (
    KnownPack("InternVideo2-6B (video)", 768, ("internvideo2", "qvhighlight_6b"), recipe="qvhighlights_internvideo2"),
    KnownPack("InternVideo2's LLaMA (text)", 4096, ("llama_text",), "text", recipe="qvhighlights_internvideo2"),
    KnownPack("BLIP-2 (video)", 768, ("blip_video", "blip2", "blip-2"), clip_s=2.0, recipe="qvhighlights_blip2"),
    KnownPack("BLIP-2 (text)", 768, ("blip_text", "blip_aug_text", "blip2_text"), "text", recipe="qvhighlights_blip2"),
    KnownPack("PE-Core B or L (video)", 1024, ("pe_core", "pe-core", "pecore"), recipe="qvhighlights_pe_core"),
    KnownPack("PE-Core B or L (text)", 1024, ("pe_core_text", "pe-core_text"), "text", recipe="qvhighlights_pe_core"),
    KnownPack("PE-Core G (video)", 1280, ("pe_core", "pe-core", "pecore")),
    KnownPack("PE-Core G (text)", 1280, ("pe_core_text", "pe-core_text"), "text"),
    KnownPack("SlowFast R50", 2304, ("slowfast",), recipe="qvhighlights"),
    KnownPack("CLIP ViT-B/32 (video)", 512, ("clip",), recipe="qvhighlights"),
    KnownPack("CLIP ViT-B/32 (text)", 512, ("clip_text", "txt_clip", "clip_sub"), "text", recipe="qvhighlights"),
    KnownPack("CLIP ViT-L/14 (video)", 768, ("clip_l", "vit-l", "vitl", "clip")),
    KnownPack("SlowFast and CLIP joined", 2816, ("slowfast", "clip")),
    KnownPack("I3D, colour and flow joined", 2048, ("i3d", "video_features"), recipe="tvsum"),
    KnownPack("I3D, colour or flow alone", 1024, ("i3d",)),
    KnownPack("PANNs (sound)", 2048, ("pann", "audio"), clip_s=2.0),
    KnownPack("VGG", 4096, ("vgg",)),
    KnownPack("C3D, reduced", 500, ("c3d",)),
    KnownPack("ViT of DINOv2 or SigLIP, base", 768, ("dino", "siglip")),
    KnownPack("V-JEPA 2, large", 1024, ("vjepa",)),
    KnownPack("word vectors of GloVe", 300, ("glove",), "text"),
    KnownPack("mini of this program", 192, ("mini",)),
)
_OF_ANY = {256, 384, 512, 640, 768, 1024, 1152, 1280, 1408, 1536, 2048, 2304, 3072, 3584, 4096}
"""Widths that encoders of pictures and of words have."""
VIDEO_WIDTHS = {pack.dim for pack in KNOWN if pack.kind == "video"} | _OF_ANY
"""Widths of encoders of videos; numbers of clips are seldom one of them."""
TEXT_WIDTHS = {pack.dim for pack in KNOWN if pack.kind == "text"} | _OF_ANY | {2560, 5120}
"""Widths of encoders of text; numbers of tokens are, where they are padded."""


def guesses(name: str, dim: int, kind: str) -> list[KnownPack]:
    """What a pack of that name and width may be: what the longest part of its name tells, or else all of that width."""
    fitting = [pack for pack in KNOWN if pack.dim == dim and pack.kind == kind]
    told = {pack: max((len(part) for part in pack.names if part in name.lower()), default=0) for pack in fitting}
    longest = max(told.values(), default=0)
    return [pack for pack in fitting if told[pack] == longest]

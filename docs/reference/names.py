"""The pages of the Python interface: which names there are; mkdocstrings writes what their docstrings say."""

import importlib
from collections.abc import Iterable

import spikemba

GROUPS = {
    "Ask videos": ("load", "Grounder", "Grounding", "Moment", "Window", "Predictions", "SpikeMbaError"),
    "Ask features": ("answer_questions", "Question", "Answer", "GroundingConfig"),
    "Checkpoints": ("load_checkpoint", "save_checkpoint", "Checkpoint", "PretrainedSpikeMba"),
    "The network and its losses": (
        "SpikeMba",
        "SpikeMbaConfig",
        "Batch",
        "Prediction",
        "Targets",
        "grounding_loss",
        "LossConfig",
    ),
    "Encoders and frames": ("load_encoder", "EncoderOptions", "VideoReader", "FrameRule"),
    "VideoMamba": (
        *("VideoMamba", "VideoMambaConfig", "load_video_checkpoint", "save_video_checkpoint", "VideoCheckpoint"),
        *("adapt_model", "AdaptationConfig"),
    ),
}
"""The public names of `spikemba`, by what they are for."""

ROOMS = {
    "python-scan": (
        "Scan and neurons",
        "spikemba.ops",
        (
            "spikemba.ops.selective_scan.scan_from",
            "spikemba.ops.causal_conv.causal_conv_silu_from",
            "spikemba.ops.spiking.NeuronConfig",
            "spikemba.ops.dual_scan.dual_scan",
            "spikemba.ops.dual_scan.dual_scan_from",
            "spikemba.ops.dual_scan.dual_scan_reference",
            "spikemba.model.mamba_block.MambaMixer",
            "spikemba.model.mamba2_mixer.Mamba2Mixer",
            "spikemba.model.hydra_mixer.HydraMixer",
            "spikemba.model.mamba_block.MixerConfig",
        ),
    ),
    "python-networks": (
        "Networks",
        "",
        (
            "spikemba.model.published_mixers.load_mixer",
            "spikemba.model.video_mamba.published_weights.load_video_mamba",
            "spikemba.model.video_mamba.published_weights.read_weights",
            "spikemba.model.video_mamba.published_weights.initialise",
            "spikemba.encoders.base.VideoEncoder",
            "spikemba.encoders.base.TextEncoder",
            "spikemba.encoders.base.TextFeatures",
            "spikemba.encoders.entry.EncoderEntry",
            "spikemba.features.FeatureSpec",
        ),
    ),
    "python-metrics": ("Metrics", "spikemba.metrics", ()),
    "python-video": (
        "Video",
        "",
        (
            "spikemba.video.sampling.VideoReader",
            "spikemba.video.sampling.FrameRule",
            "spikemba.video.sampling.Frame",
            "spikemba.video.sampling.VideoInfo",
            "spikemba.video.sampling.probe",
            "spikemba.video.sampling.sample_frames",
            "spikemba.video.cuts.cut_video",
        ),
    ),
    "python-library": ("Libraries of videos", "spikemba.library", ()),
    "python-errors": ("Errors", "", ("spikemba.errors",)),
}
"""Page -> its title, the room whose public names it lists, and further names."""

FRONT = """\
# The package `spikemba`

What `import spikemba` offers, loaded when it is first used. A tour: [from Python](../python.md).
"""


def front() -> str:
    """What `import spikemba` offers."""
    parts = [FRONT]
    for title, names in grouped():
        parts.append(f"\n## {title}\n")
        parts += [_name(f"spikemba.{name}") for name in names]
    return "".join(parts)


def grouped() -> Iterable[tuple[str, tuple[str, ...]]]:
    """All public names; one that no group has stands under others."""
    yield from GROUPS.items()
    others = tuple(sorted(set(spikemba.__all__) - {name for names in GROUPS.values() for name in names}))
    if others:
        yield "Others", others


def room(page: str) -> str:
    """One of ROOMS."""
    title, package, further = ROOMS[page]
    said = (importlib.import_module(package).__doc__ or "").partition("\n\n")[0] if package else ""
    public = [f"{package}.{name}" for name in importlib.import_module(package).__all__] if package else []
    return f"# {title}\n\n{said}\n" + "".join(_name(name) for name in (*public, *further))


def _name(name: str) -> str:
    return f"\n::: {name}\n"

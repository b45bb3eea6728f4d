"""SpikeMba: from a folder of videos to the moments that a sentence describes.

    found = spikemba.load("mini").ground("clip.mp4", "a red circle enters")
    print(found)

The public names below are imported when they are first used, so that the command line starts without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikemba.batch import Batch, Prediction, Targets
    from spikemba.checkpoints.grounding import Checkpoint, load_checkpoint, save_checkpoint
    from spikemba.checkpoints.pretrained import PretrainedSpikeMba
    from spikemba.datasets.predictions.predictions import Predictions
    from spikemba.encoders import load_encoder
    from spikemba.encoders.base import EncoderOptions
    from spikemba.errors import SpikeMbaError
    from spikemba.grounder.grounder import Grounder, load
    from spikemba.grounder.result import Grounding
    from spikemba.grounding import Answer, GroundingConfig, Question, answer_questions
    from spikemba.losses import LossConfig, grounding_loss
    from spikemba.model import SpikeMba, SpikeMbaConfig
    from spikemba.model.video_mamba.adaptation import AdaptationConfig, adapt_model
    from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, load_video_checkpoint, save_video_checkpoint
    from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
    from spikemba.moments import Moment, Window
    from spikemba.video.sampling import FrameRule, VideoReader

__version__ = "0.2.0.dev0"

_HOMES = {
    "batch": ("Batch", "Prediction", "Targets"),
    "checkpoints.grounding": ("Checkpoint", "load_checkpoint", "save_checkpoint"),
    "checkpoints.pretrained": ("PretrainedSpikeMba",),
    "datasets.predictions.predictions": ("Predictions",),
    "encoders": ("load_encoder",),
    "encoders.base": ("EncoderOptions",),
    "errors": ("SpikeMbaError",),
    "grounder.grounder": ("Grounder", "load"),
    "grounder.result": ("Grounding",),
    "grounding": ("Answer", "GroundingConfig", "Question", "answer_questions"),
    "losses": ("LossConfig", "grounding_loss"),
    "model": ("SpikeMba", "SpikeMbaConfig"),
    "model.video_mamba.adaptation": ("AdaptationConfig", "adapt_model"),
    "model.video_mamba.checkpoint": ("VideoCheckpoint", "load_video_checkpoint", "save_video_checkpoint"),
    "model.video_mamba.network": ("VideoMamba", "VideoMambaConfig"),
    "moments": ("Moment", "Window"),
    "video.sampling": ("FrameRule", "VideoReader"),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "AdaptationConfig",
    "Answer",
    "Batch",
    "Checkpoint",
    "EncoderOptions",
    "FrameRule",
    "Grounder",
    "Grounding",
    "GroundingConfig",
    "LossConfig",
    "Moment",
    "Prediction",
    "Predictions",
    "PretrainedSpikeMba",
    "Question",
    "SpikeMba",
    "SpikeMbaConfig",
    "SpikeMbaError",
    "Targets",
    "VideoCheckpoint",
    "VideoMamba",
    "VideoMambaConfig",
    "VideoReader",
    "Window",
    "adapt_model",
    "answer_questions",
    "grounding_loss",
    "load",
    "load_checkpoint",
    "load_encoder",
    "load_video_checkpoint",
    "save_checkpoint",
    "save_video_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, and nothing that is here to find them."""
    return sorted([*__all__, "__version__"])

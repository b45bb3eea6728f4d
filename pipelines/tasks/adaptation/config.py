"""The configuration of a run that adapts a video encoder through the grounding loss."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from pipelines.tasks.grounding.config import GrounderConfig
from spikemba.config import Config
from spikemba.model.video_mamba.adaptation import AdaptationConfig


class EncoderConfig(Config):
    """The video encoder, and what of it is trained."""

    backbone: Path
    """Folder of a video checkpoint or a run, or a public file of VideoMamba's weights; it stays as it is."""
    layout: Literal["opengvlab", "vim"] = "opengvlab"
    """Whose a public file is."""
    readout: Literal["class", "mean"] | None = None
    """A clip's features: the class token, or the mean over the patches; None: what the backbone's head reads."""
    n_frames: PositiveInt | None = None
    """Frames per clip; None: as many as the backbone was trained on. Its positions are resized to others."""
    size_px: PositiveInt | None = None
    """Height and width of a frame; None: as the backbone."""
    adaptation: AdaptationConfig = AdaptationConfig()
    max_share: float | None = Field(0.03, gt=0, lt=1)
    """`ssp` is narrowed until it has less than this share of the encoder's parameters; None leaves it as it is."""
    drop_path: float | None = Field(None, ge=0, lt=1)
    """Chance that training skips the last block for a clip; None: as the backbone was trained."""
    learning_rate_scale: PositiveFloat = 1.0
    """The encoder's learning rate as a multiple of train.learning_rate."""
    clips_at_once: PositiveInt = 8
    """Clips per pass through the encoder; each pass is computed again in the backward pass, so that little is kept."""


class RunConfig(GrounderConfig):
    """Everything that decides how an encoder is adapted.

    `data` names annotations and query features, no video features; `model` is the grounding model where it is new.
    """

    task: Literal["adaptation"] = "adaptation"
    """Train a video encoder's new parameters through the grounding loss."""
    videos: Path
    """Folder of the raw videos, named as the annotations' `vid`."""
    encoder: EncoderConfig
    start: Path | None = None
    """A grounding checkpoint to start from; by default the grounding model is new."""
    train_grounder: bool = True
    """Train the grounding model too; without, `start` must name one."""

    @model_validator(mode="after")
    def _fits_together(self) -> "RunConfig":
        for name in ("video_features", "sound_features"):
            if getattr(self.data, name):
                raise ValueError(f"data.{name}: the encoder makes the features here; leave it empty")
        if not self.train_grounder and self.start is None:
            raise ValueError("train_grounder is false and start is not given; name a checkpoint of a grounding model")
        return self

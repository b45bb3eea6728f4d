"""The configuration of a recognition run: labelled videos, a video encoder, what is trained of it, and how."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pipelines.runs.config import AnyRunConfig, TrainConfig
from spikemba.config import Config, Tree, merge
from spikemba.datasets.labelled.pairs import VideoDataConfig
from spikemba.datasets.labelled.video_augment import MixConfig
from spikemba.model.video_mamba.adaptation import AdaptationConfig
from spikemba.model.video_mamba.network import VideoMambaConfig
from spikemba.model.video_mamba.published_weights import Layout

DEFAULTS: Tree = {
    "epochs": 50,
    "learning_rate": 3e-4,
    "weight_decay": 0.05,
    "clip_norm": 1.0,
    "schedule": "cosine",
    "best_metric": "top1",
}
"""Training settings that are others than those of grounding; Park et al. where they say."""


class ClassLossConfig(Config):
    """The loss of recognition: cross entropy."""

    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the true answer that is spread over all classes."""
    mix: MixConfig = MixConfig()


class RunConfig(AnyRunConfig):
    """Everything that decides the training of a recogniser."""

    task: Literal["recognition"] = "recognition"
    """Tell which of some classes a video shows."""
    data: VideoDataConfig = VideoDataConfig()
    model: VideoMambaConfig | None = None
    """The network; none: that of the weights. Its frames, their size and its classes are those of the data."""
    weights: Path | None = None
    """What it starts from: a run, a video checkpoint, or a public file of VideoMamba's or Vim's; none: at random."""
    layout: Layout = "opengvlab"
    """Whose a public file is."""
    adapt: AdaptationConfig = AdaptationConfig(method="full")
    """What is trained of it."""
    loss: ClassLossConfig = ClassLossConfig()
    train: TrainConfig = TrainConfig()

    @model_validator(mode="before")
    @classmethod
    def _start_from_defaults(cls, tree: Any) -> Any:
        return merge({"train": DEFAULTS, "adapt": {"method": "full"}}, tree) if isinstance(tree, Mapping) else tree

    @model_validator(mode="after")
    def _fits_together(self) -> "RunConfig":
        if self.adapt.method != "full" and self.weights is None:
            raise ValueError(f"adapt.method is {self.adapt.method!r}, which needs a backbone; name one as `weights`")
        return self

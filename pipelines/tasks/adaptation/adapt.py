"""Adapt a video encoder to one's own footage: the settings of a data set, with an encoder in the place of features."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.runs.config import config_tree, parse_over
from pipelines.tasks.adaptation.config import RunConfig
from pipelines.tasks.adaptation.model import make_encoder
from pipelines.tasks.registry import ADAPTATION
from spikemba.config import Tree, merge
from spikemba.model.video_mamba.adaptation import Method, ParameterCount

BATCH_SIZE = 8
"""Queries per step unless the settings say otherwise: each brings all frames of its video."""


def adaptation_config(
    path: Path | None,
    overrides: Sequence[str] = (),
    *,
    prepared: Path | None = None,
    videos: Path | None = None,
    backbone: Path | None = None,
    method: Method | None = None,
    start: Path | None = None,
) -> RunConfig:
    """The configuration of a data set's YAML as one that adapts an encoder. Raises ConfigError with every fault.

    A configuration of grounding is one of features; its batches become those of BATCH_SIZE,
    and clips are not compared with sentences.
    prepared: the YAML that `spikemba prepare` wrote; its data section stands over that of the file. Features of videos
    that either names are left out: the encoder makes them.
    """
    tree = config_tree(path, prepared)
    encoder: dict[str, Any] = {}
    if backbone is not None:
        encoder["backbone"] = str(backbone)
    if method is not None:
        encoder["adaptation"] = {"method": method}
    if tree.get("task") != ADAPTATION:
        # VideoMamba reads no text, so its clips are not in one space with any sentence
        tree = merge(tree, {"train": {"batch_size": BATCH_SIZE}, "model": {"query_similarity": False}})
    given: Tree = {"task": ADAPTATION, "data": {"video_features": []}, "encoder": encoder}
    given |= {name: str(value) for name, value in (("videos", videos), ("start", start)) if value is not None}
    return parse_over(RunConfig, merge(tree, given), overrides, str(path or "the configuration"))


def parameter_count(config: RunConfig) -> ParameterCount:
    """What is trained of the encoder, in numbers. Raises CheckpointError, ConfigError."""
    return make_encoder(config.encoder)[0].count()

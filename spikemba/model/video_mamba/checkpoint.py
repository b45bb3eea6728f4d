"""A checkpoint of a video encoder is a folder, `config.json` and `model.safetensors`.

One that was adapted beside a frozen backbone stores what was trained and names the backbone: a folder like itself or a
public file of weights, and the SHA-256 of the tensors that it took from there. Loading runs nothing that a file holds.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from spikemba.config import Config
from spikemba.errors import CheckpointError
from spikemba.files import CHECKPOINT_FILES, ENCODERS_FOLDER, folder_with
from spikemba.model.video_mamba.adaptation import AdaptationConfig, AdaptedVideoMamba
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.model.video_mamba.published_weights import Layout, Weights, initialise, read_weights
from spikemba.weight_files import (
    built,
    load_state,
    parse_settings,
    read_settings,
    read_tensors,
    tensors_digest,
    write_checkpoint,
)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

VideoModel = VideoMamba | AdaptedVideoMamba


class Preprocessing(Config):
    """How a video becomes what the model reads; the number of frames and their size stand in the model's settings."""

    sampling: Literal["uniform", "dense"] = "uniform"
    """Frames spread over the whole video, or neighbours."""
    stride: PositiveInt | None = None
    """Frames of the source from one sampled frame to the next, for `dense`."""
    fps: PositiveFloat | None = None
    """Sampled frames per second, for `dense`, in place of the stride."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from RGB values of 0 to 1."""
    std: tuple[float, float, float] = IMAGENET_STD
    """What the rest is divided by."""

    def normalised(self, frames: Tensor) -> Tensor:
        """frames: (B, T, H, Wd, 3) of 0 to 255 -> (B, 3, T, H, Wd) float, as the model reads them."""
        x = frames.float().movedim(-1, 1) / 255
        mean, std = (torch.tensor(v, device=x.device)[:, None, None, None] for v in (self.mean, self.std))
        return (x - mean) / std


class BackboneReference(Config):
    """Where the frozen part of an adapted model is."""

    path: str
    """Folder of a video checkpoint or a public file; relative to the folder that names it, where it can be."""
    sha256: str
    """Of the tensors that were taken from it."""
    layout: Layout = "opengvlab"
    """Whose a public file is."""


class VideoCheckpointConfig(Config):
    """What config.json holds."""

    format: int = 1
    """Layout of this file."""
    kind: Literal["video"] = "video"
    model: VideoMambaConfig
    adaptation: AdaptationConfig | None = None
    """How the model was adapted; None: it stands alone."""
    backbone: BackboneReference | None = None
    """What the adaptation stands on; None: all tensors are here."""
    labels: tuple[str, ...] = ()
    """Names of the head's classes, in their order; none where they are not known."""
    preprocessing: Preprocessing = Preprocessing()
    trained: dict[str, Any] = Field(default_factory=dict)
    """Where it comes from: data set, epoch, metrics, version. For people; nothing reads it."""


@dataclass(frozen=True)
class VideoCheckpoint:
    """A video encoder with all that is needed to use it."""

    model: VideoModel
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    trained: dict[str, Any] = field(default_factory=dict)
    backbone: Path | None = None
    """Where the frozen part of an adapted model came from; needed to save such a one."""
    layout: Layout = "opengvlab"
    """Whose the backbone's public file is."""

    @property
    def config(self) -> VideoMambaConfig:
        """Of the network, without what adapts it."""
        return (self.model.backbone if isinstance(self.model, AdaptedVideoMamba) else self.model).config


def save_video_checkpoint(folder: Path, checkpoint: VideoCheckpoint) -> None:
    """Write the checkpoint, each file whole or not at all; of an adapted model what was trained. Raises OutputError."""
    model, adaptation, reference = checkpoint.model, None, None
    if isinstance(model, AdaptedVideoMamba) and model.config.method == "full":
        model = model.backbone
    state = model.state_dict()
    if isinstance(model, AdaptedVideoMamba):
        assert checkpoint.backbone is not None, "an adapted model is stored with the place of its backbone"
        adaptation, state = model.config, model.trained_state()
        reference = BackboneReference(
            path=_relative(checkpoint.backbone, folder),
            sha256=tensors_digest(model.frozen_state()),
            layout=checkpoint.layout,
        )
    config = VideoCheckpointConfig(
        model=checkpoint.config,
        adaptation=adaptation,
        backbone=reference,
        labels=checkpoint.labels,
        preprocessing=checkpoint.preprocessing,
        trained=checkpoint.trained,
    )
    write_checkpoint(folder, config, state)


def load_video_checkpoint(path: Path, *, backbone: Path | None = None, folders: Sequence[Path] = ()) -> VideoCheckpoint:
    """Load a checkpoint's folder, the best checkpoint of a run folder, or the encoder in a grounding model's, for use.

    backbone: where an adapted checkpoint's backbone is, if it is no longer where it was.  folders: where it is looked
    for by its name, too.
    Raises CheckpointError when there is none, or when it is incomplete or damaged, or its backbone is another one.
    """
    folder = _found(path)
    config, state = _read(folder)
    if config.adaptation is None or config.backbone is None:
        model: VideoModel = _built(config.model, state, folder)
        load_state(model, state, folder)
        return VideoCheckpoint(model.eval(), config.labels, config.preprocessing, config.trained)
    place = backbone or _backbone_of(folder, config.backbone, folders)
    weights = _weights_at(place, config.backbone.layout)
    frozen = _built(config.model, weights.state, folder)
    initialise(frozen, weights)
    model = AdaptedVideoMamba(frozen, config.adaptation)
    _check_backbone(folder, place, model, config.backbone)
    load_state(model, {**model.state_dict(), **_checked(state, model, folder)}, folder)
    return VideoCheckpoint(
        model.eval(), config.labels, config.preprocessing, config.trained, place, config.backbone.layout
    )


def open_video_model(path: Path, *, layout: Layout = "opengvlab", folders: Sequence[Path] = ()) -> VideoCheckpoint:
    """A video encoder from a checkpoint's folder, a run folder, or a public file of weights. Raises CheckpointError."""
    if path.is_dir():
        return load_video_checkpoint(path, folders=folders)
    weights = _public(path, layout)
    model = _built(weights.config, weights.state, path)
    initialise(model, weights)
    return VideoCheckpoint(model.eval(), trained={"weights": path.name})


def initialise_from(model: VideoMamba, path: Path, *, layout: Layout = "opengvlab") -> list[str]:
    """Give a model the weights of a video checkpoint, a run, or a public file, fitted to its sizes and classes.

    Returns one line for each thing that was changed. Raises CheckpointError.
    """
    return initialise(model, _weights_at(path, layout))


def _weights_at(path: Path, layout: Layout) -> Weights:
    if not path.is_dir():
        return _public(path, layout)
    folder = _found(path)
    config, state = _read(folder)
    if config.adaptation is not None:
        raise CheckpointError(f"{folder} is an adapted model itself; start from its backbone, {_named(folder, config)}")
    return Weights(folder, state, config.model)


def _built(config: VideoMambaConfig, state: dict[str, Tensor], path: Path) -> VideoMamba:
    return built(lambda: VideoMamba(config), config, state, path)


def _found(path: Path) -> Path:
    folder = folder_with(path, CHECKPOINT_FILES)
    together = sorted((folder / ENCODERS_FOLDER).glob("videomamba*")) if folder is not None else []
    folder = together[0] if together else folder
    if folder is None:
        problem = "no such folder" if not path.exists() else "expected config.json and model.safetensors in it"
        raise CheckpointError(
            f"no video checkpoint in {path}: {problem}; make one with `spikemba train --dataset NAME`"
        )
    return folder


def _read(folder: Path) -> tuple[VideoCheckpointConfig, dict[str, Tensor]]:
    tree = read_settings(folder)
    if tree.get("kind") != "video":
        raise CheckpointError(f"{folder} holds another kind of checkpoint; expected one of a video encoder")
    return parse_settings(folder, tree, VideoCheckpointConfig), read_tensors(folder)


def _checked(state: dict[str, Tensor], model: AdaptedVideoMamba, folder: Path) -> dict[str, Tensor]:
    """The tensors of an adapted checkpoint, which must be all that its method trains."""
    missing = sorted(set(model.trained_state()) - set(state))
    if missing:
        raise CheckpointError(f"{folder}: its tensors are not those of its method; missing: {', '.join(missing[:3])}")
    return state


def _backbone_of(folder: Path, reference: BackboneReference, folders: Sequence[Path] = ()) -> Path:
    name = Path(reference.path).name
    for place in (folder / reference.path, Path(reference.path), *(one / name for one in folders)):
        if place.exists():
            return place
    also = f", nor {name} in {folders[0]}" if folders else ""
    raise CheckpointError(
        f"{folder} stands on the backbone {reference.path}, which is not there{also}; put it there, or write its place "
        "into backbone.path of config.json"
    )


def _check_backbone(folder: Path, place: Path, model: AdaptedVideoMamba, reference: BackboneReference) -> None:
    seen = tensors_digest(model.frozen_state())
    if seen != reference.sha256:
        raise CheckpointError(
            f"{place} is not the backbone of {folder}: its tensors have the SHA-256 {seen[:12]}..., "
            f"those that were adapted had {reference.sha256[:12]}..."
        )


def _named(folder: Path, config: VideoCheckpointConfig) -> str:
    return str(_backbone_of(folder, config.backbone)) if config.backbone else "which it does not name"


def _public(path: Path, layout: Layout) -> Weights:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file or folder; expected a video checkpoint or a file of weights")
    return read_weights(path, layout)


def _relative(path: Path, folder: Path) -> str:
    """From the folder to the path, so that both can be moved together."""
    relative: Callable[[Path, Path], str] = os.path.relpath
    try:
        return Path(relative(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return str(path.resolve())

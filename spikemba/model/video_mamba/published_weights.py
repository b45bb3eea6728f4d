"""Public weights of VideoMamba and Vim: their names, and what must change for a model of other sizes.

Read: OpenGVLab's video weights (Ti, S, M) and image weights, Vim's image weights, and what this program has saved. A
file is a table of tensors, or one below `model`, `module` or `state_dict`; it is read without running what it holds.
Every tensor is accounted for: what is missing, left over or of another shape is an error that names it.
"""

# Shapes: D width, T slices, N patches of a slice, t frames of a tubelet.

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from spikemba.errors import CheckpointError
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.weight_files import built, load_state, read_state

State = dict[str, Tensor]
Layout = Literal["opengvlab", "vim"]
"""Whose weights they are. Vim's have the same names, the class token in the middle and the directions' sum halved."""
Inflation = Literal["mean", "centre"]

PREFIXES = r"^(module\.|_orig_mod\.|model\.|backbone\.|encoder\.)+"
TEACHER = r"clip_(decoder|pos_embed|projector|norm)\b"
"""What OpenGVLab's masked pretraining has beside the network: it learns to give CLIP's features, and is left out."""
K710, K400 = 710, 400
_IMAGE_SIZES = (224, 256, 384, 448, 512)

_MIXER = {
    # (how the public code names it, how the mixer here does); the backward direction is marked by _b
    r"^conv1d\.": "forward_scan.conv1d.",
    r"^x_proj\.": "forward_scan.x_proj.",
    r"^dt_proj\.": "forward_scan.dt_proj.",
    r"^A_log$": "forward_scan.A_log",
    r"^D$": "forward_scan.D",
    r"^conv1d_b\.": "backward_scan.conv1d.",
    r"^x_proj_b\.": "backward_scan.x_proj.",
    r"^dt_proj_b\.": "backward_scan.dt_proj.",
    r"^A_b_log$": "backward_scan.A_log",
    r"^D_b$": "backward_scan.D",
}


@dataclass(frozen=True)
class Weights:
    """A file of weights under the names of `VideoMamba`."""

    path: Path
    state: State
    config: VideoMambaConfig
    """The network that they fit as they are; for image weights, of one frame."""
    notes: tuple[str, ...] = ()
    """What of the file was left out."""

    @property
    def of_images(self) -> bool:
        """Whether they were trained on single images."""
        return self.config.n_frames == self.config.tubelet[0]


def read_weights(path: Path, layout: Layout = "opengvlab") -> Weights:
    """Tensors of a public file under our names, and the network that they are of. Raises CheckpointError."""
    state = renamed(read_state(path))
    teacher = [name for name in state if re.match(TEACHER, name)]
    for name in teacher:
        del state[name]
    if "patch_embed.proj.weight" not in state:
        raise CheckpointError(f"{path}: no weights of VideoMamba; expected a tensor patch_embed.proj.weight")
    _refuse_overlapping_patches(state, path, layout)
    if layout == "vim":
        state = _from_vim(state)
    left_out = (f"the decoder of masked pretraining left out ({len(teacher)} tensors)",) if teacher else ()
    return Weights(path, state, config_of(state, path), left_out)


def load_video_mamba(path: Path, *, layout: Layout = "opengvlab", **changes: object) -> tuple[VideoMamba, list[str]]:
    """The network of a public file with its weights, and what had to be changed in them.

    changes: settings of VideoMambaConfig that differ from the file's, as in n_frames=16.
    Raises CheckpointError.
    """
    weights = read_weights(path, layout)
    built(lambda: VideoMamba(weights.config), weights.config, weights.state, path)
    model = VideoMamba(VideoMambaConfig.parse({**weights.config.model_dump(), **changes}, str(path)))
    return model, initialise(model, weights)


def initialise(model: VideoMamba, weights: Weights, inflation: Inflation | None = None) -> list[str]:
    """Copy the weights into the model, fitted to its sizes. Returns one line for each thing that was changed.

    inflation: how image weights see the frames of a tubelet: each with its share of the weight (Park), or the middle
    one alone (OpenGVLab); by default as the model's form has it. A head for other classes keeps its initial values.
    Raises CheckpointError that names the tensors that do not fit.
    """
    notes = list(weights.notes)
    state = dict(weights.state)
    wanted, own = model.config, model.state_dict()
    if not wanted.class_token:
        state.pop("cls_token", None)
    inflation = inflation or ("mean" if wanted.position == "joint" else "centre")
    state["patch_embed.proj.weight"] = _inflated(state["patch_embed.proj.weight"], wanted.tubelet[0], inflation, notes)
    _fit_positions(state, weights, wanted, notes)
    _fit_norms(state, own, notes)
    _fit_head(state, own, notes)
    load_state(model, state, weights.path)
    return notes


def renamed(state: State) -> State:
    """Public names -> ours; prefixes of wrappers are left out, numbers become float32."""
    found = {}
    for name, value in state.items():
        short = re.sub(PREFIXES, "", name)
        match = re.fullmatch(r"(layers\.\d+\.mixer\.)(.+)", short)
        if match:
            part = match[2]
            for pattern, ours in _MIXER.items():
                part = re.sub(pattern, ours, part)
            short = match[1] + part
        found[short] = value.float()
    proj = found.get("patch_embed.proj.weight")
    if proj is not None and proj.dim() == 4:  # an image's patch: (D, 3, rows, columns)
        found["patch_embed.proj.weight"] = proj[:, :, None]
    return found


def config_of(state: State, path: Path) -> VideoMambaConfig:
    """The sizes of a network, read off the shapes of its tensors. Raises CheckpointError."""
    try:
        width, _, frames, rows, columns = state["patch_embed.proj.weight"].shape
        class_token = int("cls_token" in state)
        temporal = state.get("temporal_pos_embedding")
        side = math.isqrt(state["pos_embed"].shape[1] - class_token)
        mixer = "layers.0.mixer.forward_scan"
        a_log, taps = state[f"{mixer}.A_log"], state[f"{mixer}.conv1d.weight"]
        settings = {
            "preset": {192: "opengvlab-ti", 576: "opengvlab-m"}.get(width, "opengvlab-s"),
            "width": width,
            "n_blocks": len({name.split(".")[1] for name in state if name.startswith("layers.")}),
            "tubelet": [frames, rows, columns],
            "n_frames": frames * (1 if temporal is None else temporal.shape[1]),
            "size_px": side * rows,
            "n_classes": len(state["head.weight"]) if "head.weight" in state else 0,
            "norm": "layer" if "norm_f.bias" in state else "rms",
            "class_token": bool(class_token),
            "readout": "class" if class_token else "mean",
            "mixer": {
                "expand": a_log.shape[0] // width,
                "state_size": a_log.shape[1],
                "conv_width": taps.shape[-1],
                "step_rank": state[f"{mixer}.dt_proj.weight"].shape[1],
            },
        }
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f"{path}: not the tensors of a VideoMamba ({error} is missing or misshapen)") from None
    return VideoMambaConfig.parse(settings, str(path))


def _refuse_overlapping_patches(state: State, path: Path, layout: Layout) -> None:
    """Raise CheckpointError for image weights whose patches overlap by half, such as Vim's of stride 8.

    No tensor tells the stride, but the number of places does: without overlap a picture of 32 n pixels has an even
    number of patches of 16 a side, with half of it an odd one.
    """
    proj, table = state["patch_embed.proj.weight"], state.get("pos_embed")
    if table is None or table.dim() != 3 or "temporal_pos_embedding" in state:
        return
    patch, places = proj.shape[-1], table.shape[1] - int("cls_token" in state)
    side = math.isqrt(places)
    size_px = (side + 1) * patch // 2
    if side * side == places and side % 2 and (layout == "vim" or size_px in _IMAGE_SIZES):
        raise CheckpointError(
            f"{path}: its {side} x {side} places are those of patches of {patch} pixels that overlap by half, as in "
            f"Vim's weights of stride {patch // 2} for {size_px} pixels; such a network is not built here: take the "
            f"weights of stride {patch}, without `stride{patch // 2}` in their name"
        )


def _from_vim(state: State) -> State:
    """Vim's class token stands in the middle of the sequence, and the sum of its directions is divided by two."""
    found = {k: v / 2 if k.endswith("mixer.out_proj.weight") else v for k, v in state.items()}
    if "pos_embed" in state and "cls_token" in state:
        table = state["pos_embed"]
        middle = (table.shape[1] - 1) // 2
        parts = table[:, middle : middle + 1], table[:, :middle], table[:, middle + 1 :]
        found["pos_embed"] = torch.cat(parts, dim=1)
    return found


def _inflated(weight: Tensor, frames: int, how: Inflation, notes: list[str]) -> Tensor:
    """(D, 3, 1, rows, columns) -> (D, 3, t, rows, columns), with the same answer to t equal frames."""
    if weight.shape[2] == frames or weight.shape[2] != 1:
        return weight
    notes.append(f"patch_embed.proj.weight inflated from 1 to {frames} frames ({how})")
    if how == "mean":
        return weight.repeat(1, 1, frames, 1, 1) / frames
    out = weight.new_zeros(*weight.shape[:2], frames, *weight.shape[3:])
    out[:, :, frames // 2] = weight[:, :, 0]
    return out


def _fit_positions(state: State, weights: Weights, wanted: VideoMambaConfig, notes: list[str]) -> None:
    """Bring the position tables to the wanted form and size, as far as that can be done."""
    had, n_slices, grid = weights.config, wanted.grid.n_slices, (wanted.grid.height, wanted.grid.width)
    if had.position == "joint":
        _fit_joint(state, had, wanted, notes)
        return
    table = state["pos_embed"]
    of_class, places = table[:, : int(had.class_token)], table[:, int(had.class_token) :]
    if table.shape[2] != wanted.width:
        return  # load_state will say so
    if (had.grid.height, had.grid.width) != grid:
        notes.append(f"pos_embed resized from {had.grid.height} x {had.grid.width} to {grid[0]} x {grid[1]} places")
        places = _resized_places(places, (had.grid.height, had.grid.width), grid)
    times = state.pop("temporal_pos_embedding", None)
    if times is None:
        times = table.new_zeros(1, n_slices, wanted.width)
        if wanted.position == "separate":
            notes.append("temporal_pos_embedding begins at zero: the weights are of images")
    elif times.shape[1] != n_slices:
        notes.append(f"temporal_pos_embedding resized from {times.shape[1]} to {n_slices} slices")
        times = _resized_times(times, n_slices)
    if wanted.position == "separate":
        state["pos_embed"] = torch.cat((of_class, places), dim=1) if wanted.class_token else places
        state["temporal_pos_embedding"] = times
        return
    notes.append(f"pos_embed expanded over {n_slices} slices")
    state["pos_embed"] = (places[:, None] + times[:, :, None]).flatten(1, 2)
    if wanted.class_token and had.class_token:
        state["cls_token"] = state["cls_token"] + of_class


def _fit_joint(state: State, had: VideoMambaConfig, wanted: VideoMambaConfig, notes: list[str]) -> None:
    if wanted.position != "joint":
        raise CheckpointError(
            "a joint position table cannot be taken apart into a spatial and a temporal one; use position 'joint'"
        )
    before, after = ((g.n_slices, g.height, g.width) for g in (had.grid, wanted.grid))
    if before == after:
        return
    notes.append(f"pos_embed resized from {' x '.join(map(str, before))} to {' x '.join(map(str, after))}")
    table = state["pos_embed"].unflatten(1, (before[0], -1))[0]  # (T, N, D)
    places = _resized_places(table, before[1:], after[1:])
    state["pos_embed"] = (
        _resized_times(places.flatten(1)[None], after[0]).unflatten(2, (-1, wanted.width)).flatten(1, 2)
    )


def _resized_places(table: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """(n, N, D) -> (n, N', D), bicubic over the places."""
    if before == after:
        return table
    images = table.unflatten(1, before).permute(0, 3, 1, 2)
    resized = F.interpolate(images, size=after, mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).flatten(1, 2)


def _resized_times(table: Tensor, n_slices: int) -> Tensor:
    """(1, T, D) -> (1, T', D), linear over the time."""
    if table.shape[1] == n_slices:
        return table
    return F.interpolate(table.transpose(1, 2), size=n_slices, mode="linear", align_corners=False).transpose(1, 2)


def _fit_norms(state: State, own: State, notes: list[str]) -> None:
    """RMSNorm has no shift: a model with LayerNorm begins with none."""
    names = [name for name in own if re.fullmatch(r"(layers\.\d+\.norm|norm_f)\.bias", name) and name not in state]
    if names:
        notes.append("norms begin without a shift: the weights are of RMSNorm")
        state.update({name: torch.zeros_like(own[name]) for name in names})


def _fit_head(state: State, own: State, notes: list[str]) -> None:
    """The head of the same classes, the first 400 of Kinetics-710 for Kinetics-400, or the model's own."""
    if "head.weight" not in own:
        state.pop("head.weight", None)
        state.pop("head.bias", None)
        return
    n = len(own["head.weight"])
    found = len(state["head.weight"]) if "head.weight" in state else 0
    if (found, n) == (K710, K400):
        notes.append(f"head cut from {K710} to the first {K400} classes")
        state["head.weight"], state["head.bias"] = state["head.weight"][:n], state["head.bias"][:n]
    elif found != n:
        seen = f"the weights' head has {found} classes" if found else "the weights have no head"
        notes.append(f"head is new: {seen}, the model {n}")
        state["head.weight"], state["head.bias"] = own["head.weight"], own["head.bias"]

"""SlowFast's public checkpoints: three ways of naming the same tensors, and pickles read without running them.

blocks.1.multipathway_blocks.0.res_blocks.0.branch2.conv_a.weight     PyTorchVideo's .pyth
s2.pathway0_res0.branch2.a.weight                                     PySlowFast's own .pyth
res2_0_branch2a_w                                                     the .pkl of the model zoo, named as in Caffe2
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikemba.errors import CheckpointError
from spikemba.weight_files import WRAPPERS, read_weights_file

Rules = tuple[tuple[str, str], ...]

_CAFFE2: Rules = (
    # (how Caffe2 names it, how PySlowFast does); t_ marks the fast pathway, "subsample" a connection from fast to slow
    (r"^t_pool1_subsample_bn_(\w+)$", r"s1_fuse.bn.\1"),
    (r"^t_pool1_subsample_(\w+)$", r"s1_fuse.conv_f2s.\1"),
    (r"^t_res(\d)_\d+_branch2c_bn_subsample_bn_(\w+)$", r"s\1_fuse.bn.\2"),
    (r"^t_res(\d)_\d+_branch2c_bn_subsample_(\w+)$", r"s\1_fuse.conv_f2s.\2"),
    (r"^res_conv1_bn_(\w+)$", r"s1.pathway0_stem.bn.\1"),
    (r"^t_res_conv1_bn_(\w+)$", r"s1.pathway1_stem.bn.\1"),
    (r"^conv1_(\w+)$", r"s1.pathway0_stem.conv.\1"),
    (r"^t_conv1_(\w+)$", r"s1.pathway1_stem.conv.\1"),
    (r"^res(\d)_(\d+)_branch(\d)([abc]?)_(.+)$", r"s\1.pathway0_res\2.branch\3.\4.\5"),
    (r"^t_res(\d)_(\d+)_branch(\d)([abc]?)_(.+)$", r"s\1.pathway1_res\2.branch\3.\4.\5"),
    (r"^pred_(\w+)$", r"head.projection.\1"),
    (r"\.\.", "."),
    (r"branch1\.bn_(\w+)$", r"branch1_bn.\1"),
    (r"branch2\.([abc])\.bn_(\w+)$", r"branch2.\1_bn.\2"),
    (r"bn\.s$", "bn.weight"),
    (r"bn\.b$", "bn.bias"),
    (r"bn\.rm$", "bn.running_mean"),
    (r"bn\.riv$", "bn.running_var"),
    (r"\.w$", ".weight"),
    (r"\.b$", ".bias"),
)
_PYSLOWFAST: Rules = (
    # (how PySlowFast names it, how PyTorchVideo does); stage s1 is block 0
    (r"^s(\d)\.pathway(\d)_stem\.conv\.", r"blocks.<\1>.multipathway_blocks.\2.conv."),
    (r"^s(\d)\.pathway(\d)_stem\.bn\.", r"blocks.<\1>.multipathway_blocks.\2.norm."),
    (r"^s(\d)_fuse\.conv_f2s\.", r"blocks.<\1>.multipathway_fusion.conv_fast_to_slow."),
    (r"^s(\d)_fuse\.bn\.", r"blocks.<\1>.multipathway_fusion.norm."),
    (r"^s(\d)\.pathway(\d)_res(\d+)\.", r"blocks.<\1>.multipathway_blocks.\2.res_blocks.\3."),
    (r"\.branch1\.", ".branch1_conv."),
    (r"\.branch1_bn\.", ".branch1_norm."),
    (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
    (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
    (r"^head\.projection\.", "blocks.6.proj."),
)


def read_slowfast(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of any of the forms under PyTorchVideo's names. Raises CheckpointError."""
    tree = read_weights_file(path)
    return named_as_pytorchvideo(_tensors(tree, path))


def named_as_pytorchvideo(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under the network's names; momenta, counters and learning rates of Caffe2 are left out."""
    if "conv1_w" in state:
        state = {_renamed(k, _CAFFE2): v for k, v in state.items() if not _is_optimiser(k)}
    if "s1.pathway0_stem.conv.weight" in state:
        state = {_renamed(k, _PYSLOWFAST): v for k, v in state.items()}
    means = [name for name in state if name.endswith("running_mean")]
    # PyTorch counts the batches of a running mean, Caffe2 did not
    counters = {name.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for name in means}
    return {**counters, **state}


def _is_optimiser(name: str) -> bool:
    return name.endswith("_momentum") or name in ("lr", "model_iter")


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"<(\d)>", lambda stage: str(int(stage[1]) - 1), name)


def _tensors(tree: Any, path: Path) -> dict[str, torch.Tensor]:
    """The weights in what a file holds: below `model_state`, `state_dict` or `blobs`, or at the top."""
    for key in ("model_state", "state_dict", "blobs"):
        if isinstance(tree, dict) and isinstance(tree.get(key), dict):
            tree = tree[key]
    if not isinstance(tree, dict):
        raise CheckpointError(f"{path}: holds no tensors by name")
    found: dict[str, torch.Tensor] = {}
    for name, value in tree.items():
        if isinstance(value, (np.ndarray, torch.Tensor)):
            found[re.sub(WRAPPERS, "", str(name))] = _tensor(value)
    return found


def _tensor(value: NDArray[Any] | torch.Tensor) -> torch.Tensor:
    """In this machine's byte order, and its own."""
    if isinstance(value, torch.Tensor):
        return value
    return torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=True))

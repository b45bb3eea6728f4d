"""Weights of encoders: where they are found, what identifies them, and what to say when they are absent."""

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spikemba.device import device_named
from spikemba.encoders.base import EncoderOptions
from spikemba.errors import CheckpointError, SpikeMbaError, WeightsMissing
from spikemba.hub_problem import HubProblem, hub_problem, is_outside, what_failed
from spikemba.libraries import library


@dataclass(frozen=True)
class Source:
    """One place from which weights come."""

    encoder: str
    """Whose weights they are, as `--weights` names it."""
    file: str
    """Published name of the file."""
    address: str
    """Where a person can get it."""
    repository: str | None = None
    """On the hub; None: not there."""
    hub_files: tuple[str, ...] = ()
    """Names of the file on the hub, the best first."""

    def missing(self, options: EncoderOptions, problem: str = "", kind: str = "FILE") -> WeightsMissing:
        """The error that says what to do.  problem: why the hub did not give them.  kind: what --weights takes."""
        place = f"put it into {options.folder}, or " if options.folder and kind == "FILE" else ""
        why = f"{problem}, and " if problem else ""
        return WeightsMissing(
            f"{why}the weights of {self.encoder} are not on this machine: {self.file} from {self.address}; {place}name "
            f"it with --weights {self.encoder}={kind}; offline, --encoder mini works without (it knows shapes only)"
        )


def find_weights(source: Source, options: EncoderOptions) -> Path:
    """The weights' file: the one that was named, else by its name in `options.folder`, else by the hub's cache, else
    from the hub. Raises WeightsMissing that says why the hub did not give it.
    """
    found = weights_here(source, options) or _from_hub(source)
    if isinstance(found, Path):
        return found
    raise source.missing(options, found)


def weights_here(source: Source, options: EncoderOptions) -> Path | None:
    """The same without asking the hub; None when they are not on this machine.

    Raises WeightsMissing when a file was named that is not there.
    """
    if options.weights is not None:
        if not options.weights.is_file():
            raise WeightsMissing(f"{options.weights}: no such file; expected the weights of {source.encoder}")
        return options.weights
    names = (source.file, *source.hub_files) if options.folder else ()
    for path in (options.folder / name for name in names if options.folder):
        if path.is_file():
            return path
    return _in_cache(source)


def _in_cache(source: Source) -> Path | None:
    """What the hub's cache holds."""
    with library("huggingface_hub"):
        from huggingface_hub import try_to_load_from_cache

    for name in source.hub_files if source.repository else ():
        cached = try_to_load_from_cache(source.repository or "", name)
        if isinstance(cached, str):
            return Path(cached)
    return None


def _from_hub(source: Source) -> Path | str:
    """The file, fetched; or why it is not, empty where nobody is to be asked."""
    if source.repository is None:
        return ""
    with library("huggingface_hub"):
        from huggingface_hub import hf_hub_download

    for name in source.hub_files:
        problem = problem_on_hub(source.repository, name)
        if problem is None:
            try:
                return Path(hf_hub_download(source.repository, name))
            except Exception as error:
                if not is_outside(error):
                    raise
                return f"fetching {name} broke off: {what_failed(error)[1]}"
        if problem.kind != "file":
            return problem.text
    return f"the repository {source.repository} holds no {' or '.join(source.hub_files)}"


@cache
def problem_on_hub(repository: str, file: str) -> HubProblem | None:
    """Why the hub does not give the file; None when it does. Asked once per process."""
    return hub_problem(repository, file)


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of the tensors as loaded, so that the same weights in another kind of file are the same."""
    return tensors_digest(module.state_dict())


def tensors_digest(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the names and the numbers of tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        if tensor.is_floating_point():
            digest.update(name.encode())
            digest.update(tensor.detach().float().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def read_state(path: Path) -> dict[str, Any]:
    """Tensors by name from a .safetensors file or a PyTorch file, running nothing that the file holds.

    Raises CheckpointError when it is neither, or cannot be read at all.
    """
    with library("safetensors"):
        from safetensors.torch import load_file
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        try:
            # training scripts put their parsed arguments beside the weights; a Namespace runs nothing
            with torch.serialization.safe_globals([argparse.Namespace]):
                state = torch.load(path, map_location="cpu", weights_only=True)
        except RuntimeError as error:
            if "TorchScript" not in str(error):
                raise
            # The form of OpenAI's own files. Its code is loaded into the interpreter and not called.
            state = torch.jit.load(str(path), map_location="cpu").state_dict()
    except MemoryError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:150]
        raise CheckpointError(f"{path}: not a file of weights that can be read safely ({reason})") from None
    state = state if isinstance(state, dict) else {}
    for key in ("state_dict", "model", "module"):
        state = state[key] if isinstance(state.get(key), dict) else state
    return {name.removeprefix("module."): value for name, value in state.items() if isinstance(value, torch.Tensor)}


def load_state(module: nn.Module, state: dict[str, Any], path: Path) -> None:
    """Copy the tensors into the module. Raises CheckpointError that names what is missing, left over or misshapen."""
    own = module.state_dict()
    missing = sorted(set(own) - set(state))
    over = sorted(set(state) - set(own))
    shaped = [
        f"{k} {tuple(state[k].shape)}, not {tuple(own[k].shape)}"
        for k in own
        if k in state and _unlike(own[k], state[k])
    ]
    faults = [
        f"{what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        for what, names in (("missing", missing), ("left over", over), ("of another shape", shaped))
        if names
    ]
    if faults:
        raise CheckpointError(f"{path}: its tensors do not fit this network; {'; '.join(faults)}")
    module.load_state_dict(state)


def _unlike(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    return mine.shape != theirs.shape


def placed(module: nn.Module, options: EncoderOptions) -> tuple[Any, torch.device, torch.dtype]:
    """The module in evaluation mode, on the device and in the precision that are asked for.

    Raises SpikeMbaError when this machine does not have them.
    """
    device = device_named(options.device)
    dtype = torch.float32
    if options.precision == "bfloat16":
        if not _has_bfloat16(device):
            raise SpikeMbaError(f"this {device.type} has no bfloat16 arithmetic; leave out --precision bfloat16")
        dtype = torch.bfloat16
    return module.eval().requires_grad_(False).to(device, dtype), device, dtype


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    flags = torch.backends.cpu.get_cpu_capability()
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe()) if probe else "AVX512" in flags

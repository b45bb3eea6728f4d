"""Models of the transformers library: by their name on the hub or as a folder, and what their settings say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.weights import Source, on_hub
from spikemba.errors import CheckpointError, SpikeMbaError, WeightsMissing

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
CENTRED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def hub_source(encoder: str, name: str) -> Source:
    """Where the weights of a model of transformers come from: the hub, or a folder that holds its repository."""
    files = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
    return Source(encoder, f"the repository {name}", f"https://huggingface.co/{name}", name, files)


def from_hub(load: Callable[..., Any], name: str, encoder: str, options: EncoderOptions) -> Any:
    """`load(...)` of a folder, of the hub's cache, or of the hub: no code of the model's author is run.

    Raises WeightsMissing when none of these has it, CheckpointError when what is there cannot be used.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # bars are this program's own business
    place = str(options.weights) if options.weights is not None else name
    if options.weights is not None and not options.weights.is_dir():
        raise WeightsMissing(f"{options.weights}: no such folder; expected one of transformers, with a config.json")
    try:
        return load(place, trust_remote_code=False, local_files_only=_is_local(name, options))
    except OSError as error:
        if Path(place).is_dir():
            raise CheckpointError(f"{place}: cannot be used as {encoder} ({_first(error)})") from None
        kind = encoder.partition(":")[0]
        raise WeightsMissing(
            f"the weights of {encoder} are not on this machine: {name} from https://huggingface.co/{name}; download "
            f"that repository into a folder and name it with --weights {kind}=FOLDER; offline, --encoder mini works "
            "without (it knows shapes only)"
        ) from None
    except ValueError as error:
        raise CheckpointError(f"{place}: cannot be used as {encoder} ({_first(error)})") from None


def load_model(name: str, encoder: str, options: EncoderOptions, kinds: tuple[str, ...]) -> Any:
    """A model of one of these kinds, in evaluation mode. Raises also SpikeMbaError when it is of another kind."""
    from transformers import AutoConfig, AutoModel

    config = from_hub(AutoConfig.from_pretrained, name, encoder, options)
    if config.model_type not in kinds:
        raise SpikeMbaError(f"{name} is a model of kind {config.model_type!r}; expected {' or '.join(kinds)}")
    return from_hub(AutoModel.from_pretrained, name, encoder, options)


def pixel_statistics(
    name: str, options: EncoderOptions, default: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of pixels in [0, 1] that the model expects, (3, 1, 1) each."""
    from transformers.image_processing_utils import BaseImageProcessor

    try:
        place = str(options.weights) if options.weights is not None else name
        settings, _ = BaseImageProcessor.get_image_processor_dict(place, local_files_only=_is_local(name, options))
        mean, std = settings.get("image_mean") or default[0], settings.get("image_std") or default[1]
    except (OSError, ValueError):
        mean, std = default
    return torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]


def _is_local(name: str, options: EncoderOptions) -> bool:
    """Whether only a folder or the hub's cache can have it."""
    return options.weights is not None or not on_hub(name, "config.json")


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:160]

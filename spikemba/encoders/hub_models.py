"""Models of the transformers library: by their name on the hub or as a folder, and what their settings say."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.entry import EncoderEntry
from spikemba.encoders.weights import Source, problem_on_hub
from spikemba.errors import CheckpointError, LibraryBroken, SpikeMbaError, WeightsMissing
from spikemba.hub_problem import HubProblem, is_network, what_failed
from spikemba.libraries import broken, cause, importing, library, root_cause
from spikemba.weight_files import check_finite

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
CENTRED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

SETTINGS = ("config.json",)
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
WORDS = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "tokenizer_config.json",
)
PIXELS = ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
"""Files of a model's folder, any one of which will do."""


def hub_entry(name: str, what: str, model: str = "", **more: Any) -> EncoderEntry:
    """The entry of an encoder of transformers.  model: its default on the hub; empty: it has none.

    more: `load`, `tiny` and `reads_text` of the entry.
    """
    source = (lambda: hub_source(name, model)) if model else None
    return EncoderEntry(name, what, models=("NAME",), source=source, library="transformers", **more)


def hub_source(encoder: str, name: str) -> Source:
    """Where the weights of a model of transformers come from: the hub, or a folder that holds its repository."""
    files = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
    return Source(encoder, f"the repository {name}", f"https://huggingface.co/{name}", name, files)


def load_model(name: str, encoder: str, options: EncoderOptions, kinds: tuple[str, ...]) -> Any:
    """A model of one of these kinds, in evaluation mode.

    Raises as `from_hub`, SpikeMbaError for another kind, CheckpointError for weights that do not fill it or hold NaN.
    """
    with library("transformers"):
        from transformers import AutoConfig, AutoModel, PreTrainedConfig

    settings = from_hub(PreTrainedConfig.get_config_dict, name, encoder, options, SETTINGS)[0]
    place = Path(options.weights or name)
    if settings.get("model_type", "" if "auto_map" in settings else kinds[0]) not in kinds:
        raise _another_kind(str(options.weights or name), settings, kinds)
    from_hub(AutoConfig.from_pretrained, name, encoder, options, SETTINGS)  # so that a faulty one is named as such
    load = partial(AutoModel.from_pretrained, output_loading_info=True)
    model, found = from_hub(load, name, encoder, options, WEIGHTS)
    if missing := sorted(found["missing_keys"]):  # which the library would leave at random, with a warning
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CheckpointError(f"{place}: its weights lack {', '.join(missing[:3])}{more}; expected those of {encoder}")
    check_finite(dict(model.named_parameters()), place)
    return model


def _another_kind(place: str, settings: dict[str, Any], kinds: tuple[str, ...]) -> SpikeMbaError:
    kind, known = settings.get("model_type", "unknown"), " or ".join(kinds)
    advice = ADVICE.get(str(kind), "")
    if not advice and "auto_map" in settings:
        advice = (
            "; it would run its author's code, which is never done: use its features as a pack (docs/feature-packs.md)"
        )
    return SpikeMbaError(f"{place} is a model of kind {kind!r}; expected {known}{advice}")


ADVICE = {
    "siglip2": "; this is a NaFlex SigLIP 2, cut into patches of any number: take one of fixed size, such as "
    "siglip2:google/siglip2-base-patch16-224",
}
"""What to say of kinds that are easily taken for another."""


def load_tokenizer(name: str, encoder: str, options: EncoderOptions) -> Any:
    """The tokenizer that lies beside a model. Raises as `from_hub`."""
    with library("transformers"):
        from transformers import AutoTokenizer

    tokenizer = from_hub(AutoTokenizer.from_pretrained, name, encoder, options, WORDS)
    if set(tokenizer.get_vocab().values()) <= set(tokenizer.all_special_ids):  # made up where the files are absent
        files, place = " or ".join(WORDS), options.weights or name
        raise CheckpointError(f"{place} holds no {files}; expected what transformers saves of {encoder}")
    return tokenizer


def pixel_statistics(
    name: str, encoder: str, options: EncoderOptions, default: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of pixels in [0, 1] that the model expects, (3, 1, 1) each; the default where it names none.

    Raises CheckpointError when it names some and they cannot be read.
    """
    settings = _pixel_settings(name, encoder, options)
    mean, std = settings.get("image_mean") or default[0], settings.get("image_std") or default[1]
    return torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]


def scaled_bilinearly(name: str, encoder: str, options: EncoderOptions, default: bool) -> bool:
    """Whether the model's pictures were scaled bilinearly and not bicubically. Raises as `pixel_statistics`."""
    number = _pixel_settings(name, encoder, options).get("resample")  # of Pillow's filters: 2 bilinear, 3 bicubic
    return default if number is None else number == 2


def _pixel_settings(name: str, encoder: str, options: EncoderOptions) -> dict[str, Any]:
    """What a model says of its pixels; nothing where it says nothing."""
    with library("transformers"):
        from transformers.image_processing_utils import BaseImageProcessor
        from transformers.video_processing_utils import BaseVideoProcessor

    where = _find(name, options)
    ways = (
        (PIXELS[:1], BaseImageProcessor.get_image_processor_dict),
        (PIXELS, BaseVideoProcessor.get_video_processor_dict),
    )
    for files, read in ways:
        try:
            found: dict[str, Any] = read(where.place, local_files_only=where.is_local)[0]
            return found
        except Exception as error:
            if importing(error) or where.has(files):
                raise _explained(error, where, encoder, files) from error
    return {}


def from_hub(load: Callable[..., Any], name: str, encoder: str, options: EncoderOptions, files: tuple[str, ...]) -> Any:
    """`load(...)` of a folder, of the hub's cache, or of the hub: no code of the model's author is run.

    files: what `load` reads, any one of them, for the error to name.
    Raises WeightsMissing when none of these places has it, and says why the hub did not give it; CheckpointError when
    what is there cannot be used; LibraryBroken when it is not the files that are at fault.
    """
    with library("transformers"):
        from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # bars are this program's own business
    where = _find(name, options)
    try:
        return load(where.place, trust_remote_code=False, local_files_only=where.is_local)
    except MemoryError:
        raise
    except Exception as error:
        raise _explained(error, where, encoder, files) from error


@dataclass(frozen=True)
class _Where:
    """Where a model is."""

    place: str
    """A folder, or a name on the hub."""
    is_folder: bool
    problem: HubProblem | None = None
    """Why the hub does not give it; for folders nobody is asked."""

    @property
    def is_local(self) -> bool:
        """Whether only a folder or the hub's cache can have it."""
        return self.is_folder or self.problem is not None

    def present(self, files: tuple[str, ...]) -> Path | None:
        """The first of the files that a folder holds."""
        return next((path for name in files if (path := Path(self.place) / name).is_file()), None)

    def has(self, files: tuple[str, ...]) -> bool:
        """Whether the folder, or a hub that answers, has one of the files."""
        if self.is_folder:
            return self.present(files) is not None
        return self.problem is None and problem_on_hub(self.place, files[0]) is None


def _find(name: str, options: EncoderOptions) -> _Where:
    """Raises WeightsMissing for a folder that is not there."""
    place = str(options.weights) if options.weights is not None else name
    if Path(place).is_dir():
        return _Where(place, True)
    # where the first part of owner/name is a folder here, the name is a mistyped path
    if options.weights is not None or ("/" in name and Path(name.partition("/")[0] or "/").exists()):
        raise WeightsMissing(f"{place}: no such folder; expected one of transformers, with a config.json")
    return _Where(place, False, problem_on_hub(name, SETTINGS[0]))


def _explained(error: Exception, where: _Where, encoder: str, files: tuple[str, ...]) -> SpikeMbaError:
    """Which of four it was: a library, the folder, the way to the hub, or what the hub gave."""
    root = root_cause(error)
    if importing(error) or isinstance(root, ModuleNotFoundError):
        return broken("transformers", error)
    if isinstance(root, ImportError):  # how transformers says what a tokenizer needs beside it
        return LibraryBroken(f"{encoder} needs a library that is not installed ({cause(error)})")
    if where.is_folder:
        present = where.present(files)
        if present is None:
            missing = " or ".join(files)
            return CheckpointError(f"{where.place} holds no {missing}; expected what transformers saves of {encoder}")
        return CheckpointError(f"{present}: cannot be used as {encoder} ({cause(error)})")
    if where.problem is not None and isinstance(error, OSError):
        return hub_source(encoder.partition(":")[0], where.place).missing(where.problem.text, "FOLDER")
    if is_network(root):
        return CheckpointError(f"{where.place} cannot be fetched: {what_failed(root)[1]}; run the same command again")
    return CheckpointError(f"{where.place}: cannot be used as {encoder} ({cause(error)})")

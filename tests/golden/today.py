"""The one place where the golden data touch the product: when modules move or settings are renamed, only this changes.

What can be asked on the command line is asked there, because its words outlive the modules behind it.
"""

# Shapes: B pairs, L clips, W query tokens, M positions, D width, S spike steps, n clips of T frames, H, Wd pixels.

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from golden.files import flat
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

BUNDLED = "mini"
"""Name of the checkpoint and of the encoder that come with the package."""
RENAMED: dict[str, str] = {}
"""Setting as 0.1.0 wrote it -> what it is called now, both as `section.key`. The old name must still be read."""
MENDED: dict[str, dict[str, float]] = {"resumed": {"val.MR-full-mAP@0.5": 7.5}}
"""Row of 0.1.0 -> the score that it would have had without a fault that is mended: a moment under half a step of
`grounding.round_to_s` was left out, and the answer behind it counted in its place."""
KERNELS = "SPIKEMBA_NATIVE"
"""Variable that forbids the compiled kernels (0) or demands them (1)."""


def spikemba(*arguments: object) -> str:
    """What a command prints to stdout. Raises AssertionError with all that it said when it fails."""
    from typer.testing import CliRunner

    from spikemba_cli.main import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    said = f"spikemba {' '.join(map(str, arguments))}\n{result.output}\n{result.exception!r}"
    assert result.exit_code == 0, said
    return str(result.stdout)


def settings(config: Path) -> dict[str, Any]:
    """Every setting of a YAML file as it is resolved: `section.key`, under the name of 0.1.0 -> value."""
    import yaml

    found = flat(yaml.safe_load(spikemba("config", "show", config)))
    old_names = {new: old for old, new in RENAMED.items()}
    return {old_names.get(key, key): value for key, value in found.items()}


@contextmanager
def kernels(*, compiled: bool) -> Iterator[None]:
    """Within, the compiled kernels are used, or plain PyTorch on one thread."""
    import torch

    before, n_threads = os.environ.get(KERNELS), torch.get_num_threads()
    os.environ[KERNELS] = str(int(compiled))
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
        os.environ.pop(KERNELS)
        if before is not None:
            os.environ[KERNELS] = before


def can_compile() -> str:
    """Why the kernels cannot be compiled here; empty where they can."""
    from spikemba.ops.native.library import load

    found = load()
    return "" if found.library is not None else found.detail


def feature_widths(checkpoint: str | Path) -> tuple[int, int]:
    """Numbers per clip and per token that a grounding checkpoint reads."""
    from spikemba import load_checkpoint

    features = load_checkpoint(checkpoint).features
    return features.n_video_features, features.text.dim


def grounding_outputs(checkpoint: str | Path, batch: Mapping[str, NDArray[Any]]) -> Arrays:
    """Every tensor that a grounding checkpoint puts out for `inputs.fixed_batch`, by name; zero at padding."""
    import torch

    from spikemba import Batch, load_checkpoint

    video, video_mask, tokens, query_mask = (
        torch.from_numpy(batch[name]) for name in ("video", "video_mask", "query_tokens", "query_mask")
    )
    given = Batch(video, video_mask, tokens, query_mask)
    model = load_checkpoint(checkpoint).model
    model.keeps_trains = True
    with torch.inference_mode():
        prediction = model(given)
    real = given.video_mask
    found = {
        "foreground_logits": prediction.foreground_logits * real,
        "boundaries": prediction.boundaries * real[..., None],
        "saliency_logits": prediction.saliency_logits * real,
        "proposal_spikes": prediction.proposal_spikes * real[..., None],
        "proposal_current": prediction.proposal_current * real,
        "clip_embeddings": prediction.clip_embeddings * real[..., None],
        "query_embedding": prediction.query_embedding,
    }
    for i, spikes in enumerate(prediction.spikes):
        found |= {f"block{i}.trains": spikes.trains, f"block{i}.rates": spikes.rates}
        found |= {f"block{i}.layer_rates.{name}": rates for name, rates in spikes.layer_rates.items()}
    return {name: tensor.numpy() for name, tensor in found.items()}


def mini_outputs(weights: Path | None, frames: NDArray[np.uint8], sentences: tuple[str, ...]) -> Arrays:
    """What the mini encoder makes of frames, (n, T, H, Wd, 3), and sentences. weights: its folder; None: bundled."""
    from spikemba import load_encoder
    from spikemba.encoders.base import EncoderOptions, TextEncoder

    encoder = load_encoder(BUNDLED, EncoderOptions(weights=weights))
    assert isinstance(encoder, TextEncoder)
    found = {"clips": encoder.encode_clips(frames)}
    for i, text in enumerate(encoder.encode_texts(sentences)):
        found |= {f"sentence{i}.tokens": text.tokens, f"sentence{i}.pooled": text.pooled}
    return found


def video_outputs(checkpoint: Path, frames: NDArray[np.uint8]) -> Arrays:
    """Features and logits of a video checkpoint for frames, (n, T, H, Wd, 3), normalised as it says."""
    import torch

    from spikemba import load_video_checkpoint

    loaded = load_video_checkpoint(checkpoint)
    with torch.inference_mode():
        video = loaded.preprocessing.normalised(torch.from_numpy(frames))
        found = {"features": loaded.model.features(video), "logits": loaded.model(video)}
    return {name: tensor.numpy() for name, tensor in found.items()}


def draws_with_mkl() -> bool:
    """Whether this build of torch draws dropout with MKL, as the recorded trainings did."""
    import torch

    return bool(torch.backends.mkl.is_available())

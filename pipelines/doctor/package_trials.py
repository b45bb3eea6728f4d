"""A small real step of every package that the program stands on. Each function returns what it did, or raises.

Each runs in a process of its own (`probing`), so nothing but the standard library is imported at the top.
"""

import io
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipelines.doctor.processes import Absent
from spikemba.errors import LibraryBroken, command_line
from spikemba.libraries import library, torchaudio_problem


def expect(holds: object, what: str) -> None:
    """Raise ArithmeticError when a package computes something else than it must."""
    if not holds:
        raise ArithmeticError(f"wrong result of {what}")


def try_torch() -> str:
    """Multiply, and take a gradient."""
    with library("torch"):
        import torch
    x = torch.eye(3).mul(2).requires_grad_()
    (x @ x).sum().backward()
    expect(x.grad is not None and x.grad.sum() == 36, "a gradient")
    return "multiplied, and took a gradient"


def try_torchvision() -> str:
    """Use an operator that is compiled, and a transform."""
    import torch

    with library("torchvision"):
        import torchvision
        from torchvision.transforms.v2 import functional
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.9], [2.0, 2.0, 3.0, 3.0]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5)
    expect(kept.tolist() == [0, 2], "nms")
    functional.resize(torch.zeros(3, 8, 8, dtype=torch.uint8), [4], antialias=True)
    return "ran a compiled operator, and resized a picture"


def try_torchaudio() -> str:
    """Import it, which is what fails when it was built for another torch."""
    if sys.modules.get("torchaudio", ()) is None:  # hidden by the guard in the process that this one was forked from
        del sys.modules["torchaudio"]
    try:
        import torchaudio  # type: ignore[import-untyped,unused-ignore]  # noqa: F401
    except Exception as error:
        raise LibraryBroken(torchaudio_problem(error)) from None
    return "imported"


def try_spikingjelly() -> str:
    """Let a neuron charge over three steps until it fires."""
    import torch

    with library("spikingjelly"):
        from spikingjelly.activation_based import functional, surrogate
    how: dict[str, Any] = {"decay_input": False, "v_threshold": 1.0, "v_reset": 0.0, "detach_reset": True}
    current = torch.full((3, 1), 0.6)
    fired = functional.lif_multi_step(
        current, torch.zeros(1), tau=2.0, surrogate_function=surrogate.ATan(alpha=2.0), **how
    )[0]
    expect(fired.flatten().tolist() == [0, 0, 1], "lif_multi_step")  # 0.6, 0.9, 1.05
    return "ran a neuron until it fired"


def try_av() -> str:
    """Write a picture as H.264 and read it again."""
    import numpy as np

    with library("av"):
        import av
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "a.mp4")
        with av.open(path, "w") as file:
            stream = file.add_stream("libx264", rate=Fraction(10))
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 200, np.uint8), format="rgb24")
            file.mux([*stream.encode(frame), *stream.encode(None)])
        with av.open(path) as file:
            picture = next(file.decode(video=0)).to_ndarray(format="rgb24")
    expect(picture.shape == (48, 64, 3) and abs(float(picture.mean()) - 200) < 5, "an H.264 picture")
    return "wrote and read an H.264 picture"


def try_open_clip() -> str:
    """Build a small model, and cut a sentence into tokens."""
    with library("open_clip"):
        import open_clip
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1}
    model = open_clip.CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text).eval()
    words = open_clip.get_tokenizer("ViT-B-32", context_length=8)(["a dog"])
    expect(tuple(model.encode_text(words).shape) == (1, 8), "a text tower")
    return "ran a small text tower"


def try_transformers() -> str:
    """Run a small random model, and import what reads settings of pixels."""
    import torch

    with library("transformers"):
        from transformers import SiglipVisionConfig, SiglipVisionModel
        from transformers.image_processing_utils import BaseImageProcessor
    expect(BaseImageProcessor, "an import")
    width: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "image_size": 32, "patch_size": 16}
    tower: Any = SiglipVisionModel(SiglipVisionConfig(**width, num_hidden_layers=1, num_attention_heads=2))
    expect(tower.eval()(torch.zeros(1, 3, 32, 32)).last_hidden_state.shape == (1, 4, 16), "an image tower")
    return "ran a small image tower"


def try_huggingface_hub() -> str:
    """Look into the cache; nobody is asked."""
    with library("huggingface_hub"):
        from huggingface_hub import ModelHubMixin, constants, try_to_load_from_cache
    expect(ModelHubMixin, "an import")
    try_to_load_from_cache("spikemba/none", "config.json")
    return f"its cache is {constants.HF_HUB_CACHE}"


def try_safetensors() -> str:
    """Write a tensor and read it again."""
    import torch

    with library("safetensors"):
        from safetensors.torch import load, save
    expect(torch.equal(load(save({"a": torch.arange(4)}))["a"], torch.arange(4)), "a round trip")
    return "wrote and read a tensor"


def try_h5py() -> str:
    """Write an array and read it again."""
    import numpy as np

    with library("h5py"):
        import h5py
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        file["a"] = np.arange(4)
    with h5py.File(stored) as file:
        expect(file["a"][()].tolist() == [0, 1, 2, 3], "a round trip")
    return "wrote and read an array"


def try_pandas() -> str:
    """Group a table."""
    with library("pandas"):
        import pandas as pd
    means = pd.DataFrame({"a": ["x", "x", "y"], "b": [1, 3, 5]}).groupby("a")["b"].mean()
    expect(means.to_dict() == {"x": 2, "y": 5}, "a mean")
    return "grouped a table"


def try_matplotlib() -> str:
    """Draw a line into a picture."""
    with library("matplotlib"):
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot as plt
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0, 1])
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    expect(picture.getvalue().startswith(b"\x89PNG"), "a picture")
    return "drew a line"


def try_pillow() -> str:
    """Scale a picture."""
    with library("PIL"):
        from PIL import Image
    expect(Image.new("RGB", (8, 8), "red").resize((4, 4)).getpixel((0, 0)) == (255, 0, 0), "a picture")
    return "scaled a picture"


def try_yaml() -> str:
    """Write a mapping and read it again."""
    with library("yaml"):
        import yaml
    expect(yaml.safe_load(yaml.safe_dump({"a": [1, 2.5]})) == {"a": [1, 2.5]}, "a round trip")
    return "wrote and read a mapping"


def try_pydantic() -> str:
    """Refuse a wrong value."""
    with library("pydantic"):
        from pydantic import ValidationError, create_model
    sizes: Any = create_model("Sizes", width=(int, ...))
    expect(sizes(width="3").model_dump() == {"width": 3}, "a model")
    try:
        sizes(width="wide")
    except ValidationError:
        return "refused a wrong value"
    raise ArithmeticError("took a wrong value")


def try_tensorboard() -> str:
    """Write a number."""
    with library("tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    with tempfile.TemporaryDirectory() as folder:
        writer: Any = SummaryWriter(folder)
        writer.add_scalar("a", 1.0, 0)
        writer.close()
        expect(list(Path(folder).iterdir()), "an events file")
    return "wrote a number"


def try_opentimelineio() -> str:
    """Write a timeline and read it."""
    with library("opentimelineio"):
        from opentimelineio import adapters, schema
    written = adapters.write_to_string(schema.Timeline("a"), "otio_json")
    expect(adapters.read_from_string(written, "otio_json").name == "a", "a timeline")
    return "wrote a timeline"


def try_ray() -> str:
    """Import it and pack a function; a cluster is not started."""
    with library("ray"):
        from ray import cloudpickle
    pack: Any = cloudpickle.dumps
    expect(cloudpickle.loads(pack(lambda: 3))() == 3, "a packed function")
    return "packed a function; no cluster was started"


def try_lancedb() -> str:
    """Write three vectors and find the nearest."""
    with library("lancedb"):
        import lancedb
    with tempfile.TemporaryDirectory() as folder:
        rows = [{"name": name, "vector": vector} for name, vector in (("a", [1.0, 0.0]), ("b", [0.0, 1.0]))]
        table = lancedb.connect(folder).create_table("rows", rows)
        expect(table.search([0.1, 0.9]).limit(1).to_list()[0]["name"] == "b", "the nearest vector")
    return "found the nearest of two vectors"


def try_mamba_ssm() -> str:
    """Run its scan on the GPU."""
    return _official("mamba_ssm")


def try_causal_conv1d() -> str:
    """Run its convolution on the GPU."""
    return _official("causal_conv1d")


def try_kernels() -> str:
    """Run the scan and the convolution that it brings on the GPU."""
    return _official("kernels")


def _official(package: str) -> str:
    """Run the official kernels of one package."""
    import torch

    from spikemba.ops.official_kernels import CONVOLUTION, SCAN, find

    if not torch.cuda.is_available():
        raise Absent("torch sees no GPU, without which it does not run")
    brought = [kernel for kernel in (SCAN, CONVOLUTION) if any(place.package == package for place in kernel.places)]
    found = [find(kernel, package) for kernel in brought]
    if problems := dict.fromkeys(one.problem for one in found if one.function is None):
        said = "; ".join(problems)
        anew = command_line("pip", "install", "--force-reinstall", "--no-build-isolation", "spikemba[cuda]")
        compiled = package != "kernels" and "`" not in said
        raise LibraryBroken(said + (f"; run `{anew}`" if compiled else ""))
    return f"ran {', '.join(one.place for one in found)} on {torch.cuda.get_device_name()}"

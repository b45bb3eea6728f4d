"""Small video files, made where a test needs them, and a small shapes corpus that all pipeline tests share."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from kernel_cache import cache_with_kernels, share_kernels
from numpy.typing import NDArray

MakeVideo = Callable[..., Path]
PUBLIC_DATA = Path(os.environ.get("SPIKEMBA_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
"""Real annotations, predictions and videos, which their terms keep out of this repository."""
BROWSER = shutil.which(os.environ.get("SPIKEMBA_BROWSER") or "chromium")
"""The program of the browser in which the page is tried: Debian's, or the one that SPIKEMBA_BROWSER names."""
_NEEDS = {
    "shared": (PUBLIC_DATA.is_dir(), "the public data are not here; SPIKEMBA_TEST_DATA names their folder"),
    "chromium": (BROWSER is not None, "there is no chromium here; SPIKEMBA_BROWSER names it, .ci/run installs it"),
}
"""What not every machine has, by the fixture that a test asks for it: whether it is here, and what to say if not."""
_LEFT_OUT = pytest.StashKey[dict[str, int]]()


def pytest_configure() -> None:
    """Every process sums in one thread, so that what is equal bit for bit is so on every machine. Must precede torch.

    No test asks a hub for weights or finds the user's.
    """
    share_kernels()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="spikemba-hub-")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need the public data, and leave out those that need what is not here."""
    left_out = config.stash.setdefault(_LEFT_OUT, {})
    for fixture, (here, _) in _NEEDS.items():
        needy = [item for item in items if fixture in getattr(item, "fixturenames", ())]
        if fixture == "shared":
            for item in needy:
                item.add_marker(pytest.mark.data)
        if needy and not here:
            left_out[fixture] = len(needy)
            config.hook.pytest_deselected(items=needy)
            items[:] = [item for item in items if item not in set(needy)]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say in a line each how many tests were left out, and for want of what."""
    for fixture, n in config.stash.get(_LEFT_OUT, {}).items():
        terminalreporter.line(f"LEFT OUT [{n}] {_NEEDS[fixture][1]}")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache and settings."""
    monkeypatch.setenv("SPIKEMBA_CACHE", str(cache_with_kernels(tmp_path_factory.mktemp("cache"))))
    monkeypatch.setenv("SPIKEMBA_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(autouse=True)
def _no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test reads on stderr does not hang on how fast the machine is."""
    monkeypatch.setattr("spikemba_cli.pace.EVERY_S", float("inf"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of the public data; tests that ask for it are left out where there is none."""
    return PUBLIC_DATA


@pytest.fixture(scope="session")
def random_mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a mini encoder that has learned nothing: enough for what does not depend on the answers."""
    import torch
    from safetensors.torch import save_file

    from spikemba.encoders.mini import Mini, MiniConfig
    from spikemba.files import write_json

    folder = tmp_path_factory.mktemp("random_mini")
    config = MiniConfig(dim=12, size_px=32, channels=(4, 4, 8), vocabulary=("<unknown>", "red", "dog"))
    torch.manual_seed(0)
    save_file(Mini(config).state_dict(), folder / "model.safetensors")
    write_json(folder / "config.json", config.model_dump(mode="json"))
    return folder


@pytest.fixture(scope="session")
def published() -> Callable[..., dict[str, Any]]:
    """A function that makes random weights of VideoMamba in the layout of the public files."""
    import torch

    def random_weights(
        width: int,
        n_blocks: int,
        n_frames: int = 8,
        n_places: int = 196,
        n_classes: int = 400,
        *,
        image: bool = False,
    ) -> dict[str, Any]:
        """A random state dict in the layout of the public files."""
        rank, inner = -(-width // 16), 2 * width
        patch = (width, 3, 16, 16) if image else (width, 3, 1, 16, 16)
        shapes = {
            "cls_token": (1, 1, width),
            "pos_embed": (1, n_places + 1, width),
            "patch_embed.proj.weight": patch,
            "patch_embed.proj.bias": (width,),
            "norm_f.weight": (width,),
            "head.weight": (n_classes, width),
            "head.bias": (n_classes,),
        }
        if not image:
            shapes["temporal_pos_embedding"] = (1, n_frames, width)
        for i in range(n_blocks):
            shapes[f"layers.{i}.norm.weight"] = (width,)
            mixer = {"in_proj.weight": (2 * inner, width), "out_proj.weight": (width, inner)}
            for b in ("", "_b"):
                mixer |= {
                    f"conv1d{b}.weight": (inner, 1, 4),
                    f"conv1d{b}.bias": (inner,),
                    f"x_proj{b}.weight": (rank + 32, inner),
                    f"dt_proj{b}.weight": (inner, rank),
                    f"dt_proj{b}.bias": (inner,),
                    f"A{b}_log": (inner, 16),
                    f"D{b}": (inner,),
                }
            shapes |= {f"layers.{i}.mixer.{name}": shape for name, shape in mixer.items()}
        generator = torch.Generator().manual_seed(0)
        return {name: 0.1 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}

    return random_weights


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shapes corpus with its mini features; `config.yaml` in it trains on them, null queries left out."""
    from pipelines.extraction.extract import extract
    from pipelines.preparation.prepare import prepare_shapes
    from pipelines.preparation.shapes_corpus import ShapesConfig

    out = tmp_path_factory.mktemp("corpus")
    prepared = prepare_shapes(out, ShapesConfig(train=5, val=3, test=5, seed=3))
    files = [out / f"{name}.jsonl" for name in ("train", "val", "test")]
    extract([prepared.videos], "mini", out / "features", queries=files)
    config = yaml.safe_load(prepared.config.read_text("utf-8"))
    config["data"] = {name: value for name, value in config["data"].items() if not name.endswith("_nulls")}
    prepared.config.write_text(yaml.safe_dump(config), "utf-8")
    return out


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Settings of a network that trains in a second."""
    return [
        "model.width=16",
        "model.n_blocks=1",
        "model.slots.n_slots=2",
        "model.spiking_saliency.n_spike_steps=2",
        "model.spiking_saliency.n_heads=2",
        "train.epochs=2",
        "train.batch_size=8",
        "train.learning_rate=3e-3",
    ]


@pytest.fixture(scope="session")
def trained(corpus: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny network, trained for two epochs on the corpus."""
    from pipelines.tasks.grounding.config import load_config
    from pipelines.tasks.train import train

    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(load_config(corpus / "config.yaml", tiny), out)
    return out


@pytest.fixture(scope="session")
def telling(corpus: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny network that tells whether a video shows something at all, trained with null queries.

    It is not calibrated. Shared: copy it before it is changed.
    """
    from pipelines.extraction.extract import extract
    from pipelines.tasks.grounding.config import load_config
    from pipelines.tasks.train import train

    files = {f"{split}_nulls": corpus / f"{split}_nulls.jsonl" for split in ("train", "val", "test")}
    features = tmp_path_factory.mktemp("null_features")
    queries = [corpus / f"{name.removesuffix('_nulls')}.jsonl" for name in files] + list(files.values())
    extract([corpus / "videos"], "mini", features, queries=queries)
    settings = [f"data.{name}={path}" for name, path in files.items()]
    settings += [f"data.video_features=[{features / 'mini'}]", f"data.text_features={features / 'mini_text'}"]
    settings += ["model.heads.exists=true", "loss.existence_of=rows"]
    out = tmp_path_factory.mktemp("runs") / "telling"
    train(load_config(corpus / "config.yaml", [*tiny, *settings]), out)
    return out


@pytest.fixture(scope="session")
def _object_store() -> Iterator[str]:
    """The address of moto's S3 server on this machine."""
    import logging

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(_object_store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """`s3://NAME` of a new bucket, with the environment that finds it."""
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "AWS_ENDPOINT_URL": _object_store}.items():
        monkeypatch.setenv(name, value)
    name = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:32]
    boto3.client("s3", endpoint_url=_object_store).create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture
def make_video(tmp_path: Path) -> MakeVideo:
    """A function that writes images as a video file below tmp_path and returns its path; see `_make`."""

    def make(name: str, images: Iterable[NDArray[np.uint8]], **how: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _make(path, images, **how)  # type: ignore[arg-type]
        return path

    return make


def _make(
    path: Path,
    images: Iterable[NDArray[np.uint8]],
    *,
    fps: int | Fraction = 10,
    times_ms: Sequence[int] | None = None,
    delay_s: int = 0,
    audio_s: float = 0,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    title: str = "",
) -> None:
    """images: each (H, Wd, 3) uint8; shown at `times_ms`, or else at a steady `fps`, after `delay_s` without picture.
    audio_s: seconds of silence, from 0 on.  options, container: for the encoder and for the file format.
    """
    images = list(images)
    tick = 1 / Fraction(1000 if times_ms is not None else fps)
    times = list(times_ms) if times_ms is not None else list(range(len(images)))
    with av.open(str(path), "w", options=container or {}) as file:
        if title:
            file.metadata["title"] = title
        video = file.add_stream(codec, rate=1 / tick, options=options or {})
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt, video.thread_count = "yuv420p", 1
        sound = file.add_stream("aac", rate=16000, layout="mono") if audio_s else None
        if sound is not None:
            for k in range(int(audio_s * 16000 / 1024)):
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
                silence.rate, silence.pts, silence.time_base = 16000, 1024 * k, Fraction(1, 16000)
                file.mux(sound.encode(silence))
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = time + int(delay_s / tick), tick
            file.mux(video.encode(frame))
        for stream in (video, sound):
            if stream is not None:
                file.mux(stream.encode(None))

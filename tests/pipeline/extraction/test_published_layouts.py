"""The encoders of the published features at their real size, on real videos, with random weights in their layouts."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.slowfast import SlowFast
from spikemba.features import FeatureFolder, read_manifest
from spikemba.user_folders import weights_folder
from spikemba.video.sampling import FrameRule, VideoReader
from spikemba_cli.main import app


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of weights under their published names."""
    import open_clip

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    clip = open_clip.create_model("ViT-B-32", force_quick_gelu=True).half()
    torch.save(clip.state_dict(), folder / "ViT-B-32.pt")
    return folder


@pytest.mark.parametrize(
    ("width", "chosen"),
    [(64, ["h265_10bits"]), (8, ["av1_video", "charades", "h265_10bits", "h265_video", "nasa_13013"])],
    ids=["real size", "narrow"],  # SlowFast at its real size takes a second per clip on one processor
)
def test_clip_and_slowfast_extract_real_videos_in_the_published_form(shared, files, tmp_path, width, chosen):
    torch.save({"model_state": SlowFast(width).state_dict(), "cfg": "a text"}, files / "SLOWFAST_8x8_R50.pyth")
    motion_dim = 36 * width
    run = RunOptions(options=EncoderOptions(folder=files))
    paths = [path for path in sorted((shared / "videos").iterdir()) if path.stem in chosen]
    result = extract(paths, "clip+slowfast", tmp_path, dtype="float16", run=run)
    assert sorted(result.encoded) == sorted(path.stem for path in paths)
    for name, dim in {"clip": 512, "slowfast": motion_dim}.items():
        assert read_manifest(tmp_path / name).dim == dim
    for path in paths:
        reader = VideoReader(path)
        n_30fps = sum(1 for _ in reader.frames(FrameRule(fps=30, size_px=8)))
        with (
            np.load(tmp_path / "clip" / f"{path.stem}.npz") as clip,
            np.load(tmp_path / "slowfast" / f"{path.stem}.npz") as motion,
        ):
            assert (clip.files, motion.files) == (["features"], ["features"])
            assert clip["features"].dtype == motion["features"].dtype == np.float16
            assert np.isfinite(clip["features"]).all()
            assert clip["features"].shape[1:] == (512,)
            # SlowFast has a row for whatever has begun, CLIP one per frame of the ffmpeg filter
            assert motion["features"].shape == (-(-n_30fps // 60), motion_dim)
    assert (
        read_manifest(tmp_path / "slowfast").frames == "30 fps, short_side_crop 224 px, 32 of 60, the last 30 repeated"
    )
    if "charades" in chosen:
        assert len(FeatureFolder(tmp_path / "clip").video("charades")) == 15
        assert len(FeatureFolder(tmp_path / "slowfast").video("charades")) == 16


def test_without_a_checkpoint_clip_answers_once_its_weights_lie_in_the_cache(make_video, files):
    rng = np.random.default_rng(0)
    video = make_video("clip.mp4", rng.integers(0, 255, (40, 64, 64, 3), dtype=np.uint8), fps=5)
    command = ["ground", str(video), "a dog enters", "--json"]
    absent = CliRunner().invoke(app, command)
    assert absent.exit_code == 1
    assert absent.stdout == ""
    place = weights_folder() / "ViT-B-32.pt"
    assert "get ViT-B-32.pt, as `spikemba doctor --only weights` says" in absent.stderr
    told = CliRunner().invoke(app, ["doctor", "--only", "weights"])
    assert "get ViT-B-32.pt from https://" in told.stdout
    assert f"put it into {place.parent}" in told.stdout
    place.parent.mkdir(parents=True)
    place.symlink_to(files / "ViT-B-32.pt")
    answered = CliRunner().invoke(app, command)
    assert answered.exit_code == 0, answered.output
    document = json.loads(answered.stdout)
    assert document["model"] == "zero-shot clip"
    assert document["moments"]
    assert len(document["saliency"]) == 4
    assert "zero-shot" in answered.stderr

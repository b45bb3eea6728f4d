"""VideoMamba as an encoder of clips: what it reads out, from which weights."""

import numpy as np
import pytest
import torch

from spikemba.encoders import TextEncoder, VideoEncoder, load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.errors import CheckpointError, UnknownName, WeightsMissing
from spikemba.model.video_mamba.adaptation import AdaptationConfig, adapt_model
from spikemba.model.video_mamba.checkpoint import (
    Preprocessing,
    VideoCheckpoint,
    load_video_checkpoint,
    save_video_checkpoint,
)
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.model.video_mamba.published_weights import load_video_mamba

TINY = {"width": 16, "n_blocks": 2, "n_frames": 4, "size_px": 32, "tubelet": [2, 16, 16], "n_classes": 3}
SSP = {"n_prompts": 1, "gathering_width": 8, "attention_width": 8, "n_heads": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights") / "base"
    model = VideoMamba(VideoMambaConfig.parse(TINY))
    save_video_checkpoint(folder, VideoCheckpoint(model, preprocessing=Preprocessing(mean=(0.5, 0.4, 0.3))))
    return folder


def clips(n=3):
    return np.random.default_rng(0).integers(0, 255, (n, 4, 32, 32, 3), dtype=np.uint8)


def test_features_are_what_the_head_reads(folder):
    encoder = load_encoder("videomamba", EncoderOptions(weights=folder))
    assert isinstance(encoder, VideoEncoder)
    assert not isinstance(encoder, TextEncoder)
    found = encoder.encode_clips(clips())
    assert (found.shape, found.dtype, encoder.dim) == ((3, 16), np.float32, 16)
    checkpoint = load_video_checkpoint(folder)
    with torch.no_grad():
        wanted = checkpoint.model.features(checkpoint.preprocessing.normalised(torch.from_numpy(clips())))
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
    np.testing.assert_allclose(found[1:2], encoder.encode_clips(clips()[1:2]), atol=1e-5)


def test_the_mean_over_the_patches_is_another_name(folder):
    of_class, mean, named = (
        load_encoder(f"videomamba{which}", EncoderOptions(weights=folder)) for which in ("", ":mean", ":class")
    )
    assert mean.name == "videomamba:mean"
    assert of_class.weights == mean.weights
    np.testing.assert_array_equal(of_class.encode_clips(clips()), named.encode_clips(clips()))
    assert np.abs(of_class.encode_clips(clips()) - mean.encode_clips(clips())).max() > 1e-3
    with pytest.raises(UnknownName, match="no readout of videomamba is called 'max'; there are: class, mean"):
        load_encoder("videomamba:max", EncoderOptions(weights=folder))


def test_frames_are_spread_over_the_clip(folder):
    rule = load_encoder("videomamba", EncoderOptions(weights=folder)).frame_rule(2.0)
    assert (rule.fps, rule.size_px) == (2.0, 32)


def test_an_adapted_encoder_gives_adapted_features(folder, tmp_path):
    base = load_video_checkpoint(folder).model
    adapted = adapt_model(base, AdaptationConfig.parse({"ssp": SSP}))
    torch.nn.init.normal_(adapted.edit.gathering.up.weight)
    save_video_checkpoint(tmp_path / "new", VideoCheckpoint(adapted, backbone=folder))
    plain, new = (load_encoder("videomamba", EncoderOptions(weights=path)) for path in (folder, tmp_path / "new"))
    assert plain.weights != new.weights
    assert np.abs(plain.encode_clips(clips()) - new.encode_clips(clips())).max() > 1e-3


def test_a_public_file_is_read(published, tmp_path):
    torch.save({"model": published(16, 2, n_frames=4, n_places=4)}, tmp_path / "a.pth")
    encoder = load_encoder("videomamba", EncoderOptions(weights=tmp_path / "a.pth"))
    assert (encoder.dim, encoder.frames_per_clip, encoder.size_px) == (16, 4, 32)
    model, _ = load_video_mamba(tmp_path / "a.pth", n_frames=4)
    with torch.no_grad():
        wanted = model.eval().features(Preprocessing().normalised(torch.from_numpy(clips())))
    np.testing.assert_allclose(encoder.encode_clips(clips()), wanted.numpy(), atol=1e-5)


def test_half_precision_is_near_the_full(folder):
    full = load_encoder("videomamba", EncoderOptions(weights=folder)).encode_clips(clips())
    try:
        half = load_encoder("videomamba", EncoderOptions(weights=folder, precision="bfloat16"))
    except Exception as error:
        pytest.skip(str(error))
    np.testing.assert_allclose(half.encode_clips(clips()), full, atol=0.1)


def test_absent_weights_are_named(tmp_path):
    with pytest.raises(WeightsMissing, match=r"videomamba_m16_k400_mask_ft_f8_res224.pth from https://huggingface"):
        load_encoder("videomamba", EncoderOptions(folder=tmp_path))
    with pytest.raises(CheckpointError, match="no video checkpoint in"):
        load_encoder("videomamba", EncoderOptions(weights=tmp_path))

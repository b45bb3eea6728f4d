"""Encoders of the transformers library, built small with random weights and read from their folders."""

import pytest
import torch

from spikemba.encoders import TextEncoder, load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.registry import find_encoder
from spikemba.errors import CheckpointError, SpikeMbaError, WeightsMissing


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name of an encoder -> folder of a small model of its kind."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    for name in ("siglip2", "xclip", "videomae", "vjepa2"):
        (place / name).mkdir()
        find_encoder(name).tiny(place / name)
    return place


def load(folders, name, **how):
    return load_encoder(name, EncoderOptions(weights=folders / name, **how))


@pytest.mark.parametrize(
    ("name", "n_frames", "dim"), [("siglip2", 1, 32), ("xclip", 4, 16), ("videomae", 4, 32), ("vjepa2", 4, 32)]
)
def test_frames_and_widths_are_those_of_the_models_settings(folders, name, n_frames, dim):
    encoder = load(folders, name)
    assert (encoder.frames_per_clip, encoder.dim, encoder.size_px) == (n_frames, dim, 32)
    assert float(encoder.frame_rule(2.0).fps) == n_frames / 2


@pytest.mark.parametrize("name", ["siglip2", "xclip"])
def test_sentences_are_real_tokens_and_a_vector_as_wide_as_a_clip(folders, name):
    encoder = load(folders, name)
    assert isinstance(encoder, TextEncoder)
    one, two = encoder.encode_texts(["a dog enters", "a dog"])
    assert one.tokens.shape == (5, encoder.text_dim)
    assert two.tokens.shape == (4, encoder.text_dim)
    assert one.pooled.shape == (encoder.dim,)


def test_siglips_own_resize_keeps_no_proportions(folders):
    assert load(folders, "siglip2", resize="own").frame_rule(2.0).resize == "pillow_squash"
    assert load(folders, "siglip2").frame_rule(2.0).resize == "short_side_crop"


def test_absent_and_foreign_models_are_explained(folders, tmp_path):
    with pytest.raises(WeightsMissing, match=r"google/siglip2-base.* from https://huggingface.co/google/siglip2"):
        load_encoder("siglip2")
    with pytest.raises(SpikeMbaError, match="is a model of kind 'vjepa2'; expected xclip"):
        load_encoder(f"xclip:{folders / 'vjepa2'}")
    with pytest.raises(SpikeMbaError, match="transformers needs a model, as in"):
        load_encoder("transformers")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be used as videomae"):
        load_encoder("videomae", EncoderOptions(weights=tmp_path))
    with pytest.raises(WeightsMissing, match="no such folder"):
        load_encoder("videomae", EncoderOptions(weights=tmp_path / "none"))

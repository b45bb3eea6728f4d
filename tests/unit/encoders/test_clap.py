"""CLAP gives what the library's own processor and model give, and nothing by chance; what it cannot use is refused."""

import json

import numpy as np
import pytest
import torch

from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.registry import find_encoder, load_encoder
from spikemba.errors import CheckpointError, SpikeMbaError, WeightsMissing

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return find_encoder("clap").tiny(tmp_path)[1]


def load(folder):
    return load_encoder("clap", EncoderOptions(weights=folder, device="cpu"))


def noise(n, seconds):
    return np.random.default_rng(0).normal(0, 0.1, (n, int(48000 * seconds))).astype(np.float32)


def refused(folder, error=CheckpointError):
    with pytest.raises(error) as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_short_window_is_repeated_and_filled_as_by_the_librarys_processor(folder):
    from transformers import ClapProcessor

    encoder, given = load(folder), noise(1, 3)
    heard = ClapProcessor.from_pretrained(folder)(audio=given[0], sampling_rate=48000, return_tensors="pt")
    with torch.inference_mode():
        expected = encoder.model.get_audio_features(**heard).pooler_output.numpy()
    np.testing.assert_allclose(encoder.encode_sounds(given), expected, **TOLERANCE)
    filled = np.concatenate([np.tile(given, (1, 3)), np.zeros((1, 48000), np.float32)], axis=1)
    np.testing.assert_allclose(encoder.encode_sounds(filled), expected, **TOLERANCE)
    assert np.linalg.norm(expected) == pytest.approx(1, abs=1e-5)
    assert (encoder.rate_hz, encoder.dim, encoder.text_dim, encoder.n_tokens) == (48000, 16, 32, 12)


def test_a_sentence_is_what_the_librarys_tokenizer_and_model_give(folder):
    from transformers import AutoTokenizer

    encoder = load(folder)
    words = AutoTokenizer.from_pretrained(folder)(["a dog enters", "a dog"], padding=True)
    asked = {key: torch.tensor(words[key]) for key in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        expected = encoder.model.get_text_features(**asked).pooler_output.numpy()
    for found, row in zip(encoder.encode_texts(["a dog enters", "a dog"]), expected, strict=True):
        np.testing.assert_allclose(found.pooled, row, **TOLERANCE)
        assert found.pooled.shape == (encoder.dim,)


def test_a_window_longer_than_it_hears_is_the_mean_of_equal_parts_and_no_part_by_chance(folder):
    encoder, given = load(folder), noise(1, 16)
    parts = encoder.encode_sounds(given.reshape(2, -1))
    mean = parts.mean(0) / np.linalg.norm(parts.mean(0))
    np.testing.assert_allclose(encoder.encode_sounds(given)[0], mean, **TOLERANCE)


def test_a_model_with_fusion_gives_no_row_by_chance(tmp_path):
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    torch.manual_seed(0)
    _, folder = find_encoder("clap").tiny(tmp_path)
    settings = json.loads((folder / "config.json").read_text())
    settings["audio_config"] |= {"enable_fusion": True, "fusion_type": "aff_2d", "aff_block_r": 1}
    ClapModel(ClapConfig(**settings)).save_pretrained(folder)
    ClapFeatureExtractor(truncation="fusion").save_pretrained(folder)
    encoder, given = load(folder), noise(3, 1)
    together = encoder.encode_sounds(given)
    for k in range(3):
        np.testing.assert_allclose(encoder.encode_sounds(given[k : k + 1])[0], together[k], **TOLERANCE)


def test_weights_that_are_nowhere_are_one_line_with_the_way_to_get_them():
    with pytest.raises(WeightsMissing) as caught:
        load_encoder("clap")
    said = str(caught.value)
    assert said.startswith("the weights of clap are not on this machine (")
    assert "https://huggingface.co/laion/clap-htsat-unfused" in said
    assert "--weights clap=FOLDER" in said
    assert "\n" not in said


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_names_it(folder, lost):
    for path in folder.glob("tokenizer*" if lost == "tokenizer.json" else lost):
        path.unlink()
    said = refused(folder)
    assert said.startswith(f"{folder} holds no {lost}")
    assert said.endswith("expected what transformers saves of clap")


def test_a_model_without_its_text_tower_is_refused(folder):
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    kept = {key: value for key, value in state.items() if not key.startswith("text_")}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    said = refused(folder)
    assert said.startswith(f"{folder}: its weights lack text_model.")
    assert said.endswith("more; expected those of clap")


def test_weights_with_nan_and_what_prepares_another_models_sound_are_refused(folder):
    from safetensors.torch import load_file, save_file
    from transformers import Wav2Vec2FeatureExtractor

    state = load_file(folder / "model.safetensors")
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    assert refused(folder) == f"{folder}: Wav2Vec2FeatureExtractor prepares its sound; expected ClapFeatureExtractor"
    state["text_projection.linear1.weight"].fill_(torch.nan)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert "NaN" in refused(folder) or "finite" in refused(folder)


def test_a_model_of_another_kind_is_refused(tmp_path):
    _, folder = find_encoder("xclip").tiny(tmp_path)
    assert refused(folder, SpikeMbaError) == f"{folder} is a model of kind 'xclip'; expected clap"

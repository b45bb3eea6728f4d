"""Folders as models are published in: whole ones are read, and what is wrong in one is refused in one line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import spikemba
from spikemba.encoders import load_encoder
from spikemba.encoders.base import EncoderOptions, unknown_words
from spikemba.encoders.registry import NOT_HERE, encoder_names, find_encoder
from spikemba.encoders.tiny_models import IMAGE, TEXT, TOWER, save_model
from spikemba.errors import CheckpointError, SpikeMbaError, UnknownName

READERS = ["siglip2", "metaclip2"]


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def tiny(name, folder):
    torch.manual_seed(0)
    find_encoder(name).tiny(folder)
    return folder


def load(name, folder):
    return load_encoder(name, EncoderOptions(weights=folder, device="cpu"))


def refused(name, folder, kind=CheckpointError):
    with pytest.raises(SpikeMbaError) as caught:
        load(name, folder)
    text = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in text
    assert str(folder) in text
    return text


def rewrite(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("name", [*READERS, "vjepa2"])
def test_weights_in_several_files_are_the_same(folder, name):
    from transformers import AutoModel

    whole = load(name, tiny(name, folder))
    AutoModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="20KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 1
    assert load(name, folder).weights == whole.weights
    next(folder.glob("model-00002-of-*.safetensors")).unlink()
    assert "cannot be used as" in refused(name, folder)


@pytest.mark.parametrize("name", [*READERS, "vjepa2"])
def test_weights_that_do_not_fill_the_model_are_refused(folder, name):
    tiny(name, folder)
    rewrite(
        folder, lambda state: state.pop(next(key for key in sorted(state) if "layernorm1" in key or "norm1" in key))
    )
    assert "its weights lack " in refused(name, folder)


@pytest.mark.parametrize("name", [*READERS, "vjepa2"])
def test_weights_of_another_width_are_refused(folder, name):
    settings = json.loads((tiny(name, folder) / "config.json").read_text())
    parts = [settings] if name == "vjepa2" else [settings["vision_config"]]
    for part in parts:
        part["hidden_size"] = 64
    (folder / "config.json").write_text(json.dumps(settings))
    assert refused(name, folder).startswith(f"{folder / 'model.safetensors'}: cannot be used as {name} (")


@pytest.mark.parametrize("name", [*READERS, "vjepa2"])
def test_weights_with_nan_and_files_cut_short_are_refused(folder, name):
    tiny(name, folder)
    rewrite(folder, lambda state: next(iter(state.values())).fill_(torch.nan))
    assert "NaN" in refused(name, folder) or "finite" in refused(name, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert f"{folder / 'model.safetensors'}: cannot be used as {name}" in refused(name, folder)


@pytest.mark.parametrize("name", READERS)
def test_a_folder_without_a_tokenizer_names_what_it_lacks(folder, name):
    for path in tiny(name, folder).glob("tokenizer*"):
        path.unlink()
    assert refused(name, folder).startswith(f"{folder} holds no tokenizer.json or ")


@pytest.mark.parametrize(("name", "other"), [("siglip2", "vjepa2"), ("metaclip2", "xclip"), ("vjepa2", "siglip2")])
def test_a_model_of_another_kind_is_refused(folder, name, other):
    text = refused(name, tiny(other, folder), SpikeMbaError) if name != other else ""
    assert "is a model of kind" in text
    assert "; expected " in text


def test_a_naflex_siglip_is_refused_with_one_of_fixed_size(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip2", "architectures": ["Siglip2Model"]}))
    assert "NaFlex" in refused("siglip2", folder, SpikeMbaError)
    assert "siglip2:google/siglip2-base-patch16-224" in refused("siglip2", folder, SpikeMbaError)


def test_a_model_that_brings_its_own_code_is_refused_whatever_it_is_called(folder):
    code = {"AutoConfig": "configuration_vjepa21.Config", "AutoModel": "modeling_vjepa21.Model"}
    for settings in ({"auto_map": code}, {"model_type": "vjepa2_1", "auto_map": code}):
        (folder / "config.json").write_text(json.dumps(settings))
        assert "its author's code, which is never done" in refused("vjepa2", folder, SpikeMbaError)


def test_of_a_classifier_only_the_tower_is_used(folder):
    from transformers import VJEPA2Config, VJEPA2ForVideoClassification

    tiny("vjepa2", folder)
    settings = VJEPA2Config.from_pretrained(folder, frames_per_clip=2, num_labels=3, num_pooler_layers=1)
    classifier = VJEPA2ForVideoClassification(settings)
    classifier.save_pretrained(folder)
    found = load("vjepa2", folder)
    assert (found.frames_per_clip, found.dim) == (2, TOWER["hidden_size"])
    state = {key.removeprefix("vjepa2."): value for key, value in classifier.state_dict().items()}
    for key, value in found.model.state_dict().items():
        torch.testing.assert_close(value, state[key])


SENTENCES = {
    "latin": "a dog enters the room",
    "cyrillic": "собака входит в комнату",
    "arabic": "كلب يدخل الغرفة",
    "chinese": "一只狗走进房间",
    "japanese": "犬が部屋に入る",
    "devanagari": "कुत्ता कमरे में आता है",
}


@pytest.fixture
def many_languages(folder):
    """A small MetaCLIP 2 whose tokenizer is of the published kind, with pieces of several scripts."""
    from transformers import XLMRobertaTokenizer

    pieces = dict.fromkeys(letter for sentence in SENTENCES.values() for letter in sentence if letter != " ")
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = [(f"▁{word}", -2.0) for sentence in SENTENCES.values() for word in sentence.split()[:1]]
    vocabulary = [*special, ("▁", -3.0), *words, *((letter, -4.0) for letter in pieces), ("<mask>", 0.0)]
    tokenizer = XLMRobertaTokenizer(vocab=vocabulary)
    ends = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    text = {**TEXT, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    torch.manual_seed(0)
    save_model(folder, "MetaClip2", vision_config=IMAGE, text_config=text, projection_dim=16)
    tokenizer.save_pretrained(folder)
    return load("metaclip2", folder)


def test_sentences_in_many_scripts_reach_metaclips_tokenizer_whole(many_languages):
    encoder = many_languages
    unknown, ids = encoder.tokenizer.unk_token_id, {}
    for script, sentence in SENTENCES.items():
        ids[script] = tuple(encoder.tokenizer(sentence)["input_ids"])
        assert unknown not in ids[script]
        assert encoder.tokenizer.decode(ids[script], skip_special_tokens=True) == sentence
        assert unknown_words(encoder, sentence) == ()
        (found,) = encoder.encode_texts([sentence])
        assert len(found.tokens) == len(ids[script])
    assert len(set(ids.values())) == len(SENTENCES)
    assert unknown_words(encoder, "a ζέβρα, собака ЖЖ!") == ("ζέβρα", "жж")


def test_a_tokenizer_that_ends_sentences_otherwise_is_refused(many_languages, folder):
    settings = json.loads((folder / "config.json").read_text())
    settings["text_config"]["eos_token_id"] = 5
    (folder / "config.json").write_text(json.dumps(settings))
    assert "ends sentences with token 2; its model expects 5" in refused("metaclip2", folder)


def test_pe_refuses_other_models_and_weights_of_another_width(folder):
    with pytest.raises(UnknownName, match=r"no model of PE-Core is called 'ViT-B-32'; there are: PE-Core-B-16, "):
        load_encoder("pe:ViT-B-32")
    name, path = find_encoder("pe").tiny(folder)
    state = torch.load(path)
    state["visual.trunk.head.weight"] = state["visual.trunk.head.weight"][:, :3]
    torch.save(state, path)
    assert "of another shape: visual.trunk.head.weight" in refused(name, path)
    state["visual.trunk.head.weight"] = torch.full((32, 32), torch.nan)
    torch.save(state, path)
    assert "NaN" in refused(name, path) or "finite" in refused(name, path)
    path.write_bytes(path.read_bytes()[:1000])
    assert refused(name, path)


def test_clip_refuses_models_whose_sentences_another_library_reads():
    with pytest.raises(SpikeMbaError, match=r"timm/ViT-B-16-SigLIP2\); expected .*take --encoder siglip2:NAME"):
        load_encoder("clip:ViT-B-16-SigLIP2")


def test_an_encoder_that_cannot_be_here_is_answered_with_what_to_do():
    assert not set(NOT_HERE) & set(encoder_names())
    for name in ("internvideo2", "internvideo2:OpenGVLab/InternVideo2-Stage2_6B"):
        with pytest.raises(SpikeMbaError, match=r"--pack internvideo2.*entry point") as caught:
            load_encoder(name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pe", *READERS])
def test_each_that_reads_grounds_a_sentence_without_training(folder, name):
    torch.manual_seed(0)
    asked, path = find_encoder(name).tiny(folder)
    grounder = spikemba.load(encoder=asked, options=EncoderOptions(device="cpu"), weights={name: path})
    found = grounder.ground("examples/shapes.mp4", "a dog enters")
    assert len(found.moments) > 0
    assert all(0 <= moment.start_s < moment.end_s for moment in found.moments)
    assert not find_encoder(name).length_matters

"""CLIP by open_clip and by transformers, on small random weights that both read."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from spikemba.device import has_bfloat16
from spikemba.encoders import TextEncoder, VideoEncoder, load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.clip_model import ClipEncoder
from spikemba.errors import CheckpointError, QueryError, SpikeMbaError, UnknownName, WeightsMissing
from spikemba.video.sampling import FrameRule, VideoReader, sample_frames

WIDTH, TEXT_WIDTH, DIM, LAYERS, PX = 64, 48, 32, 2, 32
TINY = {
    "embed_dim": DIM,
    "quick_gelu": True,
    "vision_cfg": {"image_size": PX, "layers": LAYERS, "width": WIDTH, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": TEXT_WIDTH, "heads": 2, "layers": LAYERS},
}
SENTENCES = ["a dog enters the room.", "red", "the quick brown fox jumps over a lazy dog"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Random weights of a small CLIP; `tiny` is its architecture from here on."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny").state_dict(), folder / "tiny.pt")
    return folder / "tiny.pt"


@pytest.fixture(scope="module")
def encoder(weights):
    return load_encoder("clip:tiny", EncoderOptions(weights=weights))


def frames(n, px=PX):
    return np.random.default_rng(0).integers(0, 255, (n, 1, px, px, 3), dtype=np.uint8)


def test_clips_are_projected_embeddings_as_they_come(encoder, weights):
    model = open_clip.create_model("tiny", pretrained=str(weights)).eval()
    x = (torch.from_numpy(frames(3)[:, 0]).permute(0, 3, 1, 2) / 255 - encoder.mean) / encoder.std
    with torch.inference_mode():
        expected = model.encode_image(x).numpy()
    np.testing.assert_allclose(encoder.encode_clips(frames(3)), expected, atol=1e-6)
    assert (encoder.dim, encoder.frames_per_clip, encoder.size_px) == (DIM, 1, PX)
    assert isinstance(encoder, VideoEncoder)
    assert isinstance(encoder, TextEncoder)


def test_sentences_are_real_tokens_before_the_projection_and_the_projected_end(encoder):
    model, tokenizer = encoder.model, encoder.tokenizer
    for sentence, found in zip(SENTENCES, encoder.encode_texts(SENTENCES), strict=True):
        n = len(tokenizer.encode(sentence)) + 2
        assert found.tokens.shape == (n, TEXT_WIDTH)
        with torch.inference_mode():
            np.testing.assert_allclose(found.tokens[-1] @ model.text_projection.numpy(), found.pooled, atol=1e-5)
            np.testing.assert_allclose(model.encode_text(tokenizer([sentence]))[0].numpy(), found.pooled, atol=1e-6)


def test_too_many_tokens_are_refused(encoder):
    with pytest.raises(QueryError, match=r"has 76 words; this encoder reads at most 75"):
        encoder.encode_texts(["word " * 76])
    with pytest.raises(QueryError, match=r"has \d+ tokens; clip:tiny reads at most 77"):
        encoder.encode_texts(["incomprehensibilities " * 40])


def test_the_same_weights_in_other_files_are_the_same(weights, encoder, tmp_path):
    from safetensors.torch import save_file

    state = torch.load(weights)
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "tiny.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, tmp_path / "trained.pt")
    for name in ("tiny.safetensors", "trained.pt"):
        assert load_encoder("clip:tiny", EncoderOptions(weights=tmp_path / name)).weights == encoder.weights


def test_an_archive_of_torchscript_as_openai_publishes_is_read(weights, encoder, tmp_path):
    class Holder(torch.nn.Module):
        def __init__(self, state):
            super().__init__()
            for name, value in state.items():
                owner, *path, leaf = self, *name.split(".")
                for part in path:
                    if not hasattr(owner, part):
                        owner.add_module(part, torch.nn.Module())
                    owner = getattr(owner, part)
                owner.register_buffer(leaf, value)
            self.register_buffer("input_resolution", torch.tensor(PX))
            self.register_buffer("context_length", torch.tensor(77))
            self.register_buffer("vocab_size", torch.tensor(49408))

        def forward(self, x):
            return x

    torch.jit.script(Holder(torch.load(weights))).save(str(tmp_path / "tiny.pt"))
    found = load_encoder("clip:tiny", EncoderOptions(weights=tmp_path / "tiny.pt"))
    assert found.weights == encoder.weights


def test_what_cannot_be_used_is_named(weights, tmp_path):
    state = torch.load(weights)
    state["visual.proj"] = state["visual.proj"][:, :3]
    del state["ln_final.weight"]
    torch.save({**state, "extra": torch.ones(1)}, tmp_path / "wrong.pt")
    with pytest.raises(
        CheckpointError, match=r"missing: ln_final.weight; left over: extra; of another shape: visual.pr"
    ):
        load_encoder("clip:tiny", EncoderOptions(weights=tmp_path / "wrong.pt"))
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(CheckpointError, match="not a file of weights that can be read safely"):
        load_encoder("clip:tiny", EncoderOptions(weights=tmp_path / "text.pt"))
    with pytest.raises(UnknownName, match=r"no model of open_clip is called 'ViT-B-33'; did you mean .*ViT-B-32"):
        load_encoder("clip:ViT-B-33")
    with pytest.raises(UnknownName, match=r"no weights of ViT-B-32 is called 'mine'; there are \d+: openai"):
        load_encoder("clip:ViT-B-32/mine")


def test_absent_weights_name_the_file_its_address_its_place_and_the_way_on(tmp_path):
    with pytest.raises(WeightsMissing) as error:
        load_encoder("clip", EncoderOptions(folder=tmp_path))
    for part in ("ViT-B-32.pt", "`spikemba doctor --only weights`", "--weights clip=FILE", "--encoder mini"):
        assert part in str(error.value)
    assert len(str(error.value)) < 320
    with pytest.raises(WeightsMissing, match="no such file; expected the weights of clip"):
        load_encoder("clip", EncoderOptions(weights=tmp_path / "none.pt"))


def test_weights_are_found_in_the_weights_folder(weights, tmp_path):
    (tmp_path / "tiny.safetensors").write_bytes(
        weights.read_bytes()
    )  # its suffix says safetensors, its content does not
    with pytest.raises(CheckpointError, match=r"tiny\.safetensors"):
        load_encoder("clip:tiny", EncoderOptions(folder=tmp_path))


def test_openais_weights_get_the_gelu_that_they_were_trained_with(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(open_clip, "create_model", lambda name, **how: seen.update(how, name=name) or open_clip_model())
    monkeypatch.setattr("spikemba.encoders.clip_model._load", lambda network, path: None)
    (tmp_path / "ViT-B-32.pt").touch()

    def open_clip_model():
        return open_clip.factory.create_model("tiny")

    load_encoder("clip", EncoderOptions(folder=tmp_path))
    assert seen == {"name": "ViT-B-32", "force_quick_gelu": True, "pretrained_text": False}


def test_bfloat16_stays_close_where_the_machine_has_it(weights, encoder):
    how = EncoderOptions(weights=weights, precision="bfloat16")
    if not has_bfloat16(torch.device("cpu")):
        with pytest.raises(SpikeMbaError, match="no bfloat16 arithmetic"):
            load_encoder("clip:tiny", how)
        return
    half = load_encoder("clip:tiny", how)
    a, b = encoder.encode_clips(frames(4)), half.encode_clips(frames(4))
    assert b.dtype == np.float32
    assert (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1) == pytest.approx(1, abs=2e-3)
    assert half.weights == encoder.weights


def test_an_unknown_device_is_refused_in_a_line(weights):
    with pytest.raises(
        SpikeMbaError, match=r"device is 'abacus'; expected auto, cpu, cuda or one of several, as cuda:1"
    ):
        load_encoder("clip:tiny", EncoderOptions(weights=weights, device="abacus"))


def test_frames_are_those_of_the_published_pipeline_also_in_very_short_videos(encoder, make_video):
    rule = encoder.clip_rule(2.0, VideoReader(make_video("a.mp4", frames(100)[:, 0], fps=10)).info)
    assert (rule.n_frames, float(rule.frames.fps), rule.frames.resize) == (1, 0.5, "short_side_crop")
    short = VideoReader(make_video("b.mp4", frames(17)[:, 0], fps=10)).info
    assert float(encoder.clip_rule(2.0, short).frames.fps) == 2.0  # 2 / max(int(1.7), 1)
    for name in ("b.mkv", "b.webm"):  # their headers count no frames, so the published loader knows no duration
        codec = {"codec": "libvpx-vp9"} if name.endswith("webm") else {}
        uncounted = VideoReader(make_video(name, frames(17)[:, 0], fps=10, **codec)).info
        assert (uncounted.duration_s, uncounted.counts_frames) == (pytest.approx(1.7, abs=0.1), False)
        assert float(encoder.clip_rule(2.0, uncounted).frames.fps) == 0.5
    fixed = ClipEncoder("clip", encoder.model, encoder.tokenizer, EncoderOptions(frames="corrected"))
    assert float(fixed.clip_rule(2.0, short).frames.fps) == 0.5


@pytest.mark.parametrize(("width", "height"), [(64, 48), (50, 90), (41, 33), (32, 32)])
def test_the_models_own_resize_is_that_of_open_clip(make_video, width, height):
    image = np.random.default_rng(1).integers(0, 255, (height // 2 * 2, width // 2 * 2, 3), dtype=np.uint8)
    video = make_video("a.mkv", [image] * 3, fps=1, codec="ffv1")
    (source,) = list(sample_frames(video, FrameRule(fps=1, size_px=2)))[:1]
    del source
    import av

    with av.open(str(video)) as file:
        decoded = next(file.decode(video=0)).to_ndarray(format="rgb24")
    ours = next(sample_frames(video, FrameRule(fps=1, size_px=PX, resize="pillow_short_side_crop"))).image
    theirs = image_transform(PX, is_train=False, mean=(0, 0, 0), std=(1, 1, 1))(Image.fromarray(decoded))
    difference = np.abs(ours.astype(int) - np.round(theirs.permute(1, 2, 0).numpy() * 255).astype(int))
    assert difference.mean() < 1  # chroma may be placed elsewhere by the two conversions to RGB


def as_transformers(state):
    """open_clip's tensors under the names of transformers' CLIPModel."""
    out = {
        "logit_scale": state["logit_scale"],
        "visual_projection.weight": state["visual.proj"].T,
        "text_projection.weight": state["text_projection"].T,
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
    }
    for theirs, ours in (
        ("vision_model.pre_layrnorm", "visual.ln_pre"),
        ("vision_model.post_layernorm", "visual.ln_post"),
        ("text_model.final_layer_norm", "ln_final"),
    ):
        out |= {f"{theirs}.{part}": state[f"{ours}.{part}"] for part in ("weight", "bias")}
    for tower, prefix in (("vision_model", "visual.transformer"), ("text_model", "transformer")):
        for i in range(LAYERS):
            theirs, ours = f"{tower}.encoder.layers.{i}", f"{prefix}.resblocks.{i}"
            for part in ("weight", "bias"):
                joined = state[f"{ours}.attn.in_proj_{part}"].chunk(3)
                out |= {f"{theirs}.self_attn.{n}_proj.{part}": x for n, x in zip("qkv", joined, strict=True)}
                out[f"{theirs}.self_attn.out_proj.{part}"] = state[f"{ours}.attn.out_proj.{part}"]
                out[f"{theirs}.layer_norm1.{part}"] = state[f"{ours}.ln_1.{part}"]
                out[f"{theirs}.layer_norm2.{part}"] = state[f"{ours}.ln_2.{part}"]
                out[f"{theirs}.mlp.fc1.{part}"] = state[f"{ours}.mlp.c_fc.{part}"]
                out[f"{theirs}.mlp.fc2.{part}"] = state[f"{ours}.mlp.c_proj.{part}"]
    return {name: value.contiguous() for name, value in out.items()}


def save_tokenizer(tokenizer, folder):
    """open_clip's vocabulary in the files that transformers reads."""
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    (folder / "vocab.json").write_text(json.dumps({names.get(k, k): v for k, v in tokenizer.encoder.items()}))
    merges = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.get)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))


@pytest.fixture(scope="module")
def folder(weights, encoder, tmp_path_factory) -> Path:
    """The same CLIP as a folder of transformers."""
    from transformers import CLIPConfig, CLIPModel

    place = tmp_path_factory.mktemp("hf_clip")
    both = {"num_hidden_layers": LAYERS, "projection_dim": DIM, "hidden_act": "quick_gelu"}
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_attention_heads": 2,
        "image_size": PX,
        "patch_size": 16,
    }
    text = {
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 4 * TEXT_WIDTH,
        "num_attention_heads": 2,
        "eos_token_id": 49407,
    }
    model = CLIPModel(CLIPConfig(vision_config={**vision, **both}, text_config={**text, **both}, projection_dim=DIM))
    missing = model.load_state_dict(as_transformers(torch.load(weights)), strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("position_ids") for name in missing.missing_keys)
    model.save_pretrained(place)
    save_tokenizer(encoder.tokenizer, place)
    return place


def test_open_clip_and_transformers_agree_on_the_same_weights(encoder, folder):
    other = load_encoder(f"transformers:{folder}")
    assert (other.dim, other.text_dim, other.size_px) == (encoder.dim, encoder.text_dim, encoder.size_px)
    np.testing.assert_allclose(other.encode_clips(frames(5)), encoder.encode_clips(frames(5)), atol=2e-5)
    for ours, theirs in zip(encoder.encode_texts(SENTENCES), other.encode_texts(SENTENCES), strict=True):
        np.testing.assert_allclose(theirs.tokens, ours.tokens, atol=2e-5)
        np.testing.assert_allclose(theirs.pooled, ours.pooled, atol=2e-5)
    assert other.frame_rule(2.0) == encoder.frame_rule(2.0)

"""Features are what the library's own preprocessing and model give on the same frames and sentences."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from spikemba.encoders import load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.registry import find_encoder
from spikemba.video.pillow_resize import FINISHES
from spikemba.video.sampling import RESIZES

TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
"""float32, other kernels."""
HALF = [0.5, 0.5, 0.5]
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SQUARE, SHORT = {"height": 32, "width": 32}, {"shortest_edge": 32}
OWN = {
    "siglip2": {"image_processor_type": "SiglipImageProcessor", "image_mean": HALF, "image_std": HALF, "resample": 2}
    | {"size": SQUARE},
    "metaclip2": {"image_processor_type": "CLIPImageProcessor", "resample": 3, "size": SHORT, "crop_size": SQUARE},
    "videomae": {"image_processor_type": "VideoMAEImageProcessor", "resample": 2, "size": SHORT, "crop_size": SQUARE}
    | IMAGENET,
    "vjepa2": {"video_processor_type": "VJEPA2VideoProcessor", "crop_size": SQUARE, "resample": 2} | IMAGENET,
}
"""Settings of pixels as published, of another size."""
FILE = {"vjepa2": "video_preprocessor_config.json"}
RESIZE = {
    "siglip2": "pillow_squash_bilinear",
    "metaclip2": "pillow_short_side_crop",
    "videomae": "pillow_short_side_crop_bilinear",
    "vjepa2": "pillow_margin_crop_bilinear",
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name of an encoder -> folder of a small model of its kind, with its settings of pixels."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("models")
    for name, settings in OWN.items():
        (place / name).mkdir()
        find_encoder(name).tiny(place / name)
        (place / name / FILE.get(name, "preprocessor_config.json")).write_text(json.dumps(settings))
    return place


@pytest.fixture(scope="module")
def perception(tmp_path_factory):
    """Name and weights of a small PE-Core."""
    torch.manual_seed(0)
    return find_encoder("pe").tiny(tmp_path_factory.mktemp("pe"))


def load(folders, name, **how):
    return load_encoder(name, EncoderOptions(weights=folders / name, device="cpu", **how))


def frames(*shape):
    return np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)


def pixels_of(folder, name, pictures, **how):
    """What the library's own processor makes of pictures, or of one video's."""
    from transformers import AutoImageProcessor, AutoVideoProcessor

    if name == "vjepa2":
        processor = AutoVideoProcessor.from_pretrained(folder)
        return processor(list(pictures), return_tensors="pt", **how)["pixel_values_videos"]
    return AutoImageProcessor.from_pretrained(folder)(list(pictures), return_tensors="pt", **how)["pixel_values"]


@pytest.mark.parametrize("name", ["siglip2", "metaclip2"])
def test_an_image_is_what_the_librarys_processor_and_model_give(folders, name):
    encoder, given = load(folders, name), frames(3, 1, 32, 32)
    with torch.inference_mode():
        pixels = pixels_of(folders / name, name, given[:, 0])
        expected = encoder.model.get_image_features(pixel_values=pixels).pooler_output
    np.testing.assert_allclose(encoder.encode_clips(given), expected.numpy(), **TOLERANCE)


@pytest.mark.parametrize("name", ["videomae", "vjepa2"])
def test_a_clip_is_the_mean_of_the_tokens_that_the_librarys_processor_and_model_give(folders, name):
    encoder, given = load(folders, name), frames(1, 4, 32, 32)
    asked = {"do_resize": False, "do_center_crop": False}
    pixels = pixels_of(folders / name, name, given[0], **asked)
    with torch.inference_mode():
        key = "pixel_values_videos" if name == "vjepa2" else "pixel_values"
        expected = encoder.model(**{key: pixels}).last_hidden_state.mean(1)
    np.testing.assert_allclose(encoder.encode_clips(given), expected.numpy(), **TOLERANCE)


def test_siglips_sentence_is_in_lower_case_and_padded_to_its_whole_length(folders):
    from transformers import AutoTokenizer

    encoder = load(folders, "siglip2")
    tokenizer = AutoTokenizer.from_pretrained(folders / "siglip2")
    words = tokenizer("a dog enters", padding="max_length", max_length=12, return_tensors="pt")["input_ids"]
    assert words.shape == (1, 12)
    with torch.inference_mode():
        expected = encoder.model.get_text_features(input_ids=words).pooler_output[0].numpy()
    plain, shouted = encoder.encode_texts(["a dog enters", "A DOG Enters"])
    np.testing.assert_allclose(plain.pooled, expected, **TOLERANCE)
    np.testing.assert_array_equal(plain.pooled, shouted.pooled)
    encoder.tokenizer.padding_side = "left"  # as the class of the library has it
    np.testing.assert_array_equal(encoder.encode_texts(["a dog enters"])[0].pooled, plain.pooled)


def test_metaclips_sentence_is_what_the_librarys_tokenizer_and_model_give(folders):
    from transformers import AutoTokenizer

    encoder = load(folders, "metaclip2")
    words = AutoTokenizer.from_pretrained(folders / "metaclip2")(["a dog enters", "a dog"], padding=True)
    with torch.inference_mode():
        asked = {key: torch.tensor(words[key]) for key in ("input_ids", "attention_mask")}
        expected = encoder.model.get_text_features(**asked).pooler_output.numpy()
    for found, row in zip(encoder.encode_texts(["a dog enters", "a dog"]), expected, strict=True):
        np.testing.assert_allclose(found.pooled, row, **TOLERANCE)


def test_pe_is_what_open_clips_transform_and_model_give(perception):
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    name, path = perception
    encoder = load_encoder(name, EncoderOptions(weights=path, device="cpu", resize="own"))
    cfg = dict(open_clip.get_pretrained_cfg("PE-Core-B-16", "meta"))
    settings = {key: cfg[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    transform = image_transform_v2(PreprocessCfg(size=32, **settings), is_train=False)
    model = open_clip.create_model("PE-Core-tiny", pretrained=str(path)).eval()
    picture = frames(48, 60)
    with torch.inference_mode():
        image = model.encode_image(transform(Image.fromarray(picture))[None])[0].numpy()
        text = model.encode_text(open_clip.get_tokenizer("PE-Core-B-16")(["a dog enters"]))[0].numpy()
    ours = FINISHES[encoder.frame_rule(2.0).resize](picture, 32).copy()
    np.testing.assert_allclose(encoder.encode_clips(ours[None, None])[0], image, **TOLERANCE)
    (found,) = encoder.encode_texts(["a dog enters"])
    np.testing.assert_allclose(found.pooled, text, **TOLERANCE)
    assert (encoder.n_tokens, len(found.tokens)) == (32, 5)


@pytest.mark.parametrize("name", list(OWN))
def test_the_own_resize_is_the_librarys(folders, name):
    encoder, picture = load(folders, name, resize="own"), frames(48, 60)
    resize = encoder.frame_rule(2.0).resize
    assert resize == RESIZE[name]
    assert resize in RESIZES
    theirs = pixels_of(folders / name, name, [picture] * 4).reshape(-1, 3, 32, 32)[0]
    theirs = (theirs * encoder.std + encoder.mean) * 255
    ours = torch.from_numpy(FINISHES[resize](picture, 32)).permute(2, 0, 1)
    assert (theirs - ours).abs().max() < 1.5  # of 255: both round


@pytest.mark.parametrize("name", ["siglip2", "metaclip2", "vjepa2", "pe"])
def test_half_precision_gives_nearly_the_same_direction(folders, perception, name, monkeypatch):
    monkeypatch.setattr("spikemba.encoders.weights.has_bfloat16", lambda device: True)  # torch imitates it
    asked, path = perception if name == "pe" else (name, folders / name)
    full, half = (
        load_encoder(asked, EncoderOptions(weights=path, device="cpu", precision=precision))
        for precision in ("float32", "bfloat16")
    )
    given = frames(2, full.frames_per_clip, 32, 32)
    pairs = list(zip(full.encode_clips(given), half.encode_clips(given), strict=True))
    if find_encoder(name).reads_text:
        pairs += [(full.encode_texts(["a dog"])[0].pooled, half.encode_texts(["a dog"])[0].pooled)]
    for a, b in pairs:
        assert a.dtype == b.dtype == np.float32
        assert np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) > 0.99

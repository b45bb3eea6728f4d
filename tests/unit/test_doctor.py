"""What doctor says of the weights of encoders, without asking anybody for them."""

from pkgutil import resolve_name

import pytest
import yaml

from pipelines.doctor import weights
from pipelines.places import settings_folder, weights_folder
from spikemba.encoders.base import ENCODERS, WEIGHTS, EncoderOptions
from spikemba.encoders.slowfast import SOURCE
from spikemba.encoders.weights import weights_here

WITHOUT = {"mini", "transformers"}
"""One comes with the package, the other has no model of its own."""


@pytest.fixture
def nobody_is_asked(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("doctor asked the hub")

    monkeypatch.setattr("spikemba.encoders.weights.problem_on_hub", refuse)


def states():
    return {finding.topic.partition(" ")[0]: finding for finding in weights()}


def test_every_encoder_says_where_its_weights_come_from():
    assert set(WEIGHTS) == set(ENCODERS) - WITHOUT
    for name, place in WEIGHTS.items():
        source = resolve_name(place)()
        assert source.encoder == name
        assert source.address.startswith("https://")


def test_weights_that_are_absent_are_named_with_the_way_to_get_them(nobody_is_asked):
    found = states()
    assert set(found) == set(WEIGHTS)
    assert {finding.state for finding in found.values()} == {"absent"}
    assert "--weights slowfast=FILE" in found["slowfast"].detail
    assert "https://huggingface.co/google/siglip2" in found["siglip2"].detail


def test_weights_in_the_folder_and_in_the_settings_are_found(nobody_is_asked, tmp_path):
    weights_folder().mkdir(parents=True)
    (weights_folder() / SOURCE.file).touch()
    assert weights_here(SOURCE, EncoderOptions(folder=weights_folder())) == weights_folder() / SOURCE.file
    settings_folder().mkdir(parents=True, exist_ok=True)
    places = {"clip": str(tmp_path), "xclip": str(tmp_path / "gone")}
    (settings_folder() / "settings.yaml").write_text(yaml.safe_dump({"weights": places}))
    found = states()
    assert (found["slowfast"].state, found["slowfast"].detail) == ("ok", str(weights_folder() / SOURCE.file))
    assert (found["clip"].state, found["clip"].detail) == ("ok", str(tmp_path))
    assert found["xclip"].state == "fault"
    assert found["vjepa2"].state == "absent"

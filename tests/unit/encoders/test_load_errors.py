"""Why weights cannot be had: absent, no way to the hub, the hub's refusal, a broken library, a wrong folder."""

import json
import socket

import pytest
from broken_packages import python
from fake_hub import Repository, serving

from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.encoders import load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.registry import find_encoder
from spikemba.encoders.weights import problem_on_hub
from spikemba.errors import CheckpointError, LibraryBroken, SpikeMbaError, WeightsMissing


def asked(monkeypatch, address):
    """Let this process ask the hub at an address."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    problem_on_hub.cache_clear()


@pytest.fixture
def hub(monkeypatch):
    """A hub on this machine, which is asked instead of the public one."""
    with serving({}) as hub:
        asked(monkeypatch, hub.address)
        yield hub
    problem_on_hub.cache_clear()


@pytest.fixture
def nobody(monkeypatch):
    """Host and port where nobody answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    asked(monkeypatch, f"http://{host}")
    yield host
    problem_on_hub.cache_clear()


@pytest.fixture
def tiny(tmp_path):
    """A folder with a small model that can be loaded."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    find_encoder("transformers").tiny(folder)
    return folder


def message(name, **options):
    with pytest.raises(SpikeMbaError) as caught:
        load_encoder(name, EncoderOptions(**options))
    text = str(caught.value)
    assert "\n" not in text
    return type(caught.value), text


NAMES = ["clip", "videomamba", "siglip2", "vjepa2", "transformers:me/model"]


@pytest.mark.parametrize("name", NAMES)
def test_offline_it_is_the_variable_that_forbids_asking(name):
    problem_on_hub.cache_clear()
    kind, text = message(name)
    assert kind is WeightsMissing
    assert "are not on this machine (cannot reach huggingface.co (HF_HUB_OFFLINE=1 forbids it)): get " in text
    assert "offline, --encoder mini works, for drawn shapes only" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_hub_that_cannot_be_reached_is_said_with_the_reason(nobody, name):
    kind, text = message(name)
    assert kind is WeightsMissing
    assert f"are not on this machine (cannot reach {nobody} (" in text
    assert "refused" in text
    assert "are not on this machine" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_repository_that_does_not_exist_is_another_thing(hub, name):
    kind, text = message(name)
    assert kind is WeightsMissing
    assert "are not on this machine (the hub has no such repository, " in text
    assert "or a private one (log in with `hf auth login`)" in text
    assert "cannot reach" not in text


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((403, "GatedRepo"), "the owner of me/model must grant access to it first"),
        ((503, ""), " answers 503 ("),
    ],
)
def test_what_the_hub_refuses_is_said_as_it_says_it(hub, refusal, said):
    hub.repositories["me/model"] = Repository(refusal=refusal)
    assert said in message("transformers:me/model")[1]
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint("me/model")
    assert said.partition(",")[0] in str(caught.value)


def test_a_repository_without_the_file_is_not_called_absent(hub):
    hub.repositories["OpenGVLab/VideoMamba"] = Repository(files={"README.md": b""})
    assert "(the repository OpenGVLab/VideoMamba holds no videomamba_m16" in message("videomamba")[1]
    hub.repositories["me/model"] = Repository(files={"README.md": b""})
    assert "the repository me/model holds no config.json" in message("transformers:me/model")[1]
    with pytest.raises(CheckpointError, match=r"holds no config\.json, so it is no checkpoint of spikemba"):
        load_checkpoint("me/model")


FETCH = """
from spikemba.encoders import load_encoder
from spikemba.errors import SpikeMbaError
for name in ("me/whole", "me/half"):
    try:
        print(load_encoder(f"transformers:{name}").dim)
    except SpikeMbaError as error:
        print(f"{type(error).__name__}: {error}")
"""


def test_a_model_of_the_hub_is_fetched_and_one_without_weights_is_named(tiny, tmp_path, monkeypatch):
    files = {path.name: path.read_bytes() for path in tiny.iterdir()}
    with serving({}) as hub:
        hub.repositories["me/whole"] = Repository(files=files)
        hub.repositories["me/half"] = Repository(
            files={name: data for name, data in files.items() if name != "model.safetensors"}
        )
        for name, value in hub.environment(str(tmp_path / "cache")).items():
            monkeypatch.setenv(name, value)
        done = python(tmp_path, FETCH)
    whole, half = done.stdout.splitlines()
    assert whole == "16", done.stderr
    assert half.startswith(
        "CheckpointError: me/half: cannot be used as transformers:me/half (OSError: me/half does not"
    )


@pytest.mark.parametrize("name", ["transformers", "siglip2", "xclip", "videomae", "vjepa2"])
def test_a_folder_that_is_none_of_transformers_names_what_it_lacks(tmp_path, name):
    kind, text = message(name, weights=tmp_path)
    assert kind is CheckpointError
    assert text == f"{tmp_path} holds no config.json; expected what transformers saves of {name}"


def test_a_mistyped_folder_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for place in (f"{tmp_path}/models/typo", "models/typo", "./typo"):
        assert message(f"transformers:{place}") == (
            WeightsMissing,
            f"{place}: no such folder; expected one of transformers, with a config.json",
        )


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", "{", "JSON"),
        ("model.safetensors", "no weights", "SafetensorError"),
        ("tokenizer.json", "{", "tokenizer.json: cannot be used as transformers ("),
        ("preprocessor_config.json", "{", "JSON"),
    ],
)
def test_a_file_of_the_folder_that_cannot_be_read_is_named(tiny, file, content, said):
    (tiny / file).write_text(content)
    kind, text = message("transformers", weights=tiny)
    assert kind is CheckpointError
    assert text.startswith(f"{tiny / file}: cannot be used as transformers (")
    assert said in text


def test_a_folder_without_weights_names_the_files_that_it_may_hold(tiny):
    (tiny / "model.safetensors").unlink()
    kind, text = message("transformers", weights=tiny)
    assert kind is CheckpointError
    assert text.startswith(f"{tiny} holds no model.safetensors or ")


def test_settings_of_pixels_that_are_absent_are_no_fault(tiny):
    (tiny / "preprocessor_config.json").unlink()
    encoder = load_encoder("transformers", EncoderOptions(weights=tiny))
    assert encoder.mean.flatten().tolist() == pytest.approx([0.48145466, 0.4578275, 0.40821073])


def test_a_broken_library_is_blamed_and_not_the_folder(tmp_path, monkeypatch):
    find_encoder("vjepa2").tiny(tmp_path)
    (tmp_path / "kernel_one.py").write_text("raise OSError('libkernel.so: undefined symbol')")
    monkeypatch.syspath_prepend(tmp_path)

    def loads_it(*args, **kwargs):
        import kernel_one  # noqa: F401

    monkeypatch.setattr("transformers.AutoModel.from_pretrained", loads_it)
    kind, text = message("vjepa2", weights=tmp_path)
    assert kind is LibraryBroken
    assert "because of kernel_one (OSError: libkernel.so: undefined symbol); run `pip install" in text
    assert str(tmp_path) not in text


def test_files_that_may_not_be_read_are_not_called_damaged(tmp_path, monkeypatch):
    name, path = find_encoder("slowfast").tiny(tmp_path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("safetensors.torch.load_file", refuse)
    assert message(name, weights=path) == (CheckpointError, f"{path}: cannot be read (Permission denied)")


def test_a_folder_that_holds_no_mini_encoder_names_the_file(tmp_path):
    kind, text = message("mini", weights=tmp_path)
    assert kind is CheckpointError
    assert text == f"{tmp_path / 'config.json'}: cannot be read (No such file or directory); expected a mini encoder"
    (tmp_path / "model.safetensors").write_bytes(b"x")
    for content in ("{", json.dumps([])):
        (tmp_path / "config.json").write_text(content)
        assert str(tmp_path) in message("mini", weights=tmp_path)[1]

"""`train.precision=auto` is decided once: said, written, and kept by the run wherever it goes on."""

import pytest
import torch

from pipelines.events import Quiet
from pipelines.runs.config import config_path
from pipelines.runs.run_dir import RunDir
from pipelines.studies.dry_run import dry_run
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.recognition.config import RunConfig as RecognitionConfig
from pipelines.tasks.registry import load_run_config
from pipelines.tasks.train import train
from spikemba.errors import ConfigError


class Heard(Quiet):
    def __init__(self):
        self.notes, self.warnings = [], []

    def note(self, message):
        self.notes.append(message)

    def warn(self, message):
        self.warnings.append(message)


@pytest.fixture
def processor(monkeypatch):
    return lambda **able: monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)


@pytest.fixture
def begun(corpus, tiny, tmp_path):
    """Trains into a folder, or goes on there; returns the precision that the run is in, and what was said."""

    def begin(precision, *, epochs=1, resume=False):
        settings = [*tiny, f"train.precision={precision}", f"train.epochs={epochs}", "train.device=cpu"]
        heard, out = Heard(), tmp_path / "run"
        train(load_config(corpus / "config.yaml", settings), out, resume=resume, events=heard)
        return RunDir(out).config(RunConfig).train.precision, heard

    return begin


@pytest.mark.parametrize(("able", "expected"), [({"avx512_bf16": True}, "bf16"), ({}, "fp32")])
def test_auto_is_said_and_written_as_what_it_is(processor, begun, able, expected):
    processor(**able)
    written, heard = begun("auto")
    assert written == expected
    assert heard.notes == [f"matrix products in {expected}, which train.precision=auto is on this cpu"]
    assert not [said for said in heard.warnings if "bf16" in said]


@pytest.mark.parametrize("again", ["auto", "bf16"])
def test_a_run_in_bf16_goes_on_in_it_where_it_is_slow(processor, begun, again):
    processor(avx512_bf16=True)
    begun("auto")
    processor()
    written, heard = begun(again, epochs=2, resume=True)
    assert written == "bf16"
    assert heard.notes == (["matrix products in bf16, as the run began"] if again == "auto" else [])
    assert [said for said in heard.warnings if "slower here than fp32" in said]


def test_a_run_in_fp32_goes_on_in_it_where_bf16_is_fast(processor, begun):
    processor()
    begun("auto")
    processor(amx_bf16=True)
    assert begun("auto", epochs=2, resume=True)[0] == "fp32"
    with pytest.raises(ConfigError, match="train.precision: the run was started with 'fp32', now it is 'bf16'"):
        begun("bf16", epochs=3, resume=True)


def test_a_configuration_alone_that_says_auto_begins(processor, corpus, tiny, tmp_path):
    processor(avx512_bf16=True)
    config = load_config(corpus / "config.yaml", [*tiny, "train.precision=auto", "train.epochs=1"])
    RunDir(tmp_path).start(config, resume=False)
    train(config, tmp_path, resume=True)
    assert RunDir(tmp_path).config(RunConfig).train.precision == "bf16"


def test_a_dry_run_says_what_auto_is(processor, corpus, tiny):
    processor()
    config = load_config(corpus / "config.yaml", [*tiny, "train.precision=auto", "train.device=cpu"])
    assert dry_run(config).config.train.precision == "fp32"


def test_another_precision_is_refused_with_those_there_are(corpus):
    with pytest.raises(ConfigError, match="train.precision: 'half': input should be 'auto', 'fp32', 'bf16' or 'fp16'"):
        load_config(corpus / "config.yaml", ["train.precision=half"])


@pytest.mark.parametrize("name", ["qvhighlights", "charades_sta", "tacos", "tvsum", "youtube_highlights"])
def test_published_benchmarks_train_in_what_is_fast(name):
    assert load_config(config_path(name)).train.precision == "auto"


@pytest.mark.parametrize("name", ["shapes", "demo", "claims", "motions"])
def test_small_ones_train_in_fp32(name):
    config = load_run_config(config_path(name))
    assert isinstance(config, RunConfig | RecognitionConfig)
    assert config.train.precision == "fp32"

"""What doctor says: of packages that are broken in every way, and of weights, without asking anybody for them."""

import importlib.metadata
import json
import shutil

import pytest
import yaml
from broken_packages import ROOT, put_package, spikemba
from typer.testing import CliRunner

from pipelines.doctor import report as doctor
from pipelines.doctor.processes import Outcome
from pipelines.doctor.report import examine, weights
from pipelines.doctor.trials import probes
from spikemba.checkpoints.grounding import BUNDLED
from spikemba.encoders import mini
from spikemba.encoders.base import EncoderOptions
from spikemba.encoders.registry import OWN, find_encoder
from spikemba.encoders.slowfast import SOURCE
from spikemba.encoders.weights import weights_here
from spikemba.errors import UnknownName
from spikemba.ops.selective_scan import BACKENDS
from spikemba.user_folders import settings_folder, weights_folder
from spikemba_cli.main import app

WITHOUT = {"mini", "transformers", "subtitles"}
"""One comes with the package, the others have no model of their own."""


@pytest.fixture
def nobody_is_asked(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("doctor asked the hub")

    monkeypatch.setattr("spikemba.encoders.weights.problem_on_hub", refuse)


def states():
    return {finding.topic.partition(" ")[0]: finding for finding in weights()}


def test_every_encoder_says_where_its_weights_come_from():
    assert {name for name in OWN if find_encoder(name).source is None} == WITHOUT
    for name in set(OWN) - WITHOUT:
        source = find_encoder(name).source()
        assert source.encoder == name
        assert source.address.startswith("https://")


def test_weights_that_are_absent_are_named_with_the_way_to_get_them(nobody_is_asked):
    found = states()
    assert set(found) == set(OWN) - WITHOUT
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


def test_settings_that_name_weights_of_no_encoder_are_a_fault(nobody_is_asked, tmp_path):
    settings_folder().mkdir(parents=True, exist_ok=True)
    places = {"clp": str(tmp_path), "clip:ViT-L-14": str(tmp_path)}
    (settings_folder() / "settings.yaml").write_text(yaml.safe_dump({"weights": places}))
    (fault,) = [finding for finding in weights() if finding.state == "fault"]
    assert fault.topic == "clp weights"
    assert "no encoder is called so; did you mean 'clip' or 'clap' or " in fault.detail


BROKEN = {
    "h5py": ("raise ImportError('libhdf5.so: cannot open shared object file')", "9.1"),
    "pandas": ("raise OSError('built for another numpy')", "9.2"),
    "av": ("import os; os.abort()", "9.3"),
    "matplotlib": ("import os; print('no display, leaving'); os._exit(3)", "9.4"),
    "tensorboard": ("import sys; sys.exit('no licence')", "9.5"),
}


def only(*topics):
    return [part for topic in topics for part in ("--only", topic)]


def test_a_broken_package_is_a_fault_with_its_cause_and_cure_and_the_others_are_tried_all_the_same(tmp_path):
    for name, (body, version) in BROKEN.items():
        put_package(tmp_path, name, body, version)
    done = spikemba(tmp_path, "doctor", "--json", *only(*BROKEN, "pillow"))
    assert done.returncode == 1, done.stderr
    found = {finding["topic"]: finding for finding in json.loads(done.stdout)}
    assert found.pop("pillow")["state"] == "ok"
    assert set(found) == set(BROKEN)
    assert {finding["state"] for finding in found.values()} == {"fault"}
    for name, part in {
        "h5py": "h5py 9.1 is installed and cannot be imported (ImportError: libhdf5.so: cannot open",
        "pandas": "pandas 9.2 is installed and cannot be imported (OSError: built for another numpy)",
        "av": "av 9.3: killed its process by SIGABRT (Fatal Python error: Aborted)",
        "matplotlib": "matplotlib 9.4: ended its process with exit code 3 (no display, leaving)",
        "tensorboard": "tensorboard 9.5: SystemExit: no licence",
    }.items():
        assert found[name]["detail"].startswith(part)
        assert found[name]["detail"].endswith(f"; run `pip install --force-reinstall {name}`")


def test_in_a_pipe_a_fault_is_a_line_like_the_others(tmp_path):
    put_package(tmp_path, "h5py", "raise ImportError('no')", "9.1")
    done = spikemba(tmp_path, "doctor", *only("h5py"))
    assert done.returncode == 1
    head, line = done.stdout.splitlines()
    assert head.split("\t") == ["what", "state", "detail"]
    assert line.split("\t")[:2] == ["h5py", "fault"]


def test_a_torchaudio_that_cannot_be_imported_is_a_fault_and_breaks_no_other_line(tmp_path):
    put_package(tmp_path, "torchaudio", "raise OSError('libtorchaudio.so: undefined symbol')", "2.11.1")
    done = spikemba(tmp_path, "doctor", "--json", *only("torchaudio", "transformers", "open_clip_torch"))
    assert done.returncode == 1, done.stderr
    torchaudio, *others = json.loads(done.stdout)
    torch = importlib.metadata.version("torch").partition("+")[0]
    assert torchaudio["state"] == "fault"
    start = f"torchaudio 2.11.1 cannot be imported beside torch {torch} (OSError: libtorchaudio.so: undefined"
    assert torchaudio["detail"].startswith(start)
    assert "run `pip uninstall -y torchaudio`" in torchaudio["detail"]
    assert [finding["state"] for finding in others] == ["ok", "ok"], others


def test_an_encoder_that_fails_is_put_down_to_the_library_whose_model_it_runs(tmp_path):
    put_package(tmp_path, "open_clip", "")  # it can be imported and has nothing in it
    done = spikemba(tmp_path, "doctor", "--json", *only("encoder clip"))
    (clip,) = json.loads(done.stdout)
    assert clip["state"] == "fault"
    assert "AttributeError: module 'open_clip' has no attribute 'add_model_config'" in clip["detail"]
    assert clip["detail"].endswith("; run `pip install --force-reinstall open_clip_torch`")


@pytest.mark.parametrize(
    ("body", "said", "mend"),
    [
        ("raise RuntimeError('half an update')", "RuntimeError: half an update", "--force-reinstall spikemba"),
        ("def (", "SyntaxError: invalid syntax", "--force-reinstall spikemba"),
        ("from spikemba.ops.gone import x", "No module named 'spikemba.ops.gone'", "--force-reinstall spikemba"),
        ("import not_there_at_all", "No module named 'not_there_at_all'", "not_there_at_all"),
    ],
)
def test_a_module_of_our_own_that_cannot_be_imported_is_put_down_to_no_other_package(
    tmp_path, monkeypatch, body, said, mend
):
    monkeypatch.chdir(tmp_path)
    for name in ("spikemba", "pipelines"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "spikemba" / "ops" / "spiking.py").open("a") as module:
        module.write(f"{body}\n")
    done = spikemba(tmp_path, "doctor", "--json", *only("neurons fused"))
    (neurons,) = json.loads(done.stdout)
    assert neurons["state"] == "fault"
    assert said in neurons["detail"]
    assert neurons["detail"].endswith(f"; run `pip install {mend}`")
    assert "torch" not in neurons["detail"]


def test_kernels_that_must_be_there_and_are_not_are_a_fault(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKEMBA_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", "no-such-compiler")
    for wanted, state in {"": "absent", "1": "fault"}.items():
        monkeypatch.setenv("SPIKEMBA_NATIVE", wanted)
        (scan,) = examine(["scan native"])
        assert scan.state == state
        assert "no C compiler (no-such-compiler) was found" in scan.detail
    assert scan.detail.endswith("run `unset SPIKEMBA_NATIVE` to do without")


def test_what_looks_at_the_machine_may_break_too(monkeypatch):
    monkeypatch.setattr(doctor, "probes", tuple)
    monkeypatch.setattr(doctor, "SECTIONS", {"machine": None, "no such section": None})
    python, *_, missing = examine()
    assert python.topic == "python"
    assert (missing.topic, missing.state) == ("no such section", "fault")
    assert "KeyError: 'no such section'" in missing.detail


def test_an_optional_package_that_is_not_there_is_no_fault(monkeypatch):
    monkeypatch.setattr(doctor, "is_installed", lambda name: False)
    (ray,) = examine(["ray"])
    assert ray.state == "absent"
    assert ray.detail == "not installed; it is for extract --engine ray; spikemba[ray]"


@pytest.fixture
def nothing_answers(monkeypatch):
    """Every trial that is made is slow; their places."""
    tried = []

    def try_none(places, limit_s, report):
        tried.extend(places)
        return {place: Outcome("slow", "no answer in 61 s") for place in places}

    monkeypatch.setattr(doctor, "try_all", try_none)
    return tried


def test_what_gives_no_answer_is_slow_and_nothing_is_to_be_installed_again(nothing_answers):
    found = {finding.topic: finding for finding in examine()}
    for topic in ("torch", "encoder clip", "scan reference", "machine", "weights"):
        assert found[topic].state == "slow"
        again = f"--only '{topic}'" if " " in topic else f"--only {topic}"
        assert found[topic].detail == f"no answer in 61 s; when the machine is idle, run `spikemba doctor {again}`"
    assert {finding.state for finding in found.values()} == {"ok", "slow", "absent"}
    assert not [finding for finding in found.values() if "pip install" in finding.detail]


def test_what_needs_no_library_is_told_where_nothing_answers(nothing_answers):
    found = {finding.topic: finding.state for finding in examine()}
    assert {found[topic] for topic in ("python", "cpu", "mini encoder", "mini checkpoint")} == {"ok"}
    weights = {"mini encoder": mini.FOLDER, **{f"{name} checkpoint": path for name, path in BUNDLED.items()}}
    assert {name: folder.name for name, folder in weights.items()} == doctor.BUNDLED


def test_a_scan_whose_package_is_absent_is_not_tried(nothing_answers, monkeypatch):
    monkeypatch.setattr(doctor, "is_installed", lambda name: False)
    (scan,) = examine(["scan mamba_ssm"])
    assert (scan.state, scan.detail) == (
        "absent",
        "not installed; it is for the scan on a GPU; spikemba[cuda] or [kernels]",
    )
    assert nothing_answers == []


def test_a_line_of_a_section_can_be_asked_for_alone():
    assert [finding.topic for finding in examine(["cpu kernels", "cache"])] == ["cpu kernels", "cache"]
    for line, section in doctor.LINES.items():
        assert line in {finding.topic for finding in doctor.SECTIONS[section]()} or "gpu" in line


def test_slow_lines_alone_are_no_failure(nothing_answers):
    done = CliRunner().invoke(app, ["doctor", "--only", "torch", "--only", "av"])
    assert done.exit_code == 0
    assert "2 lines without an answer" in done.stderr


def test_every_encoder_and_scan_has_its_line():
    topics = {probe.topic for probe in probes()}
    assert {f"encoder {name}" for name in OWN} == {topic for topic in topics if topic.startswith("encoder ")}
    assert {f"scan {name}" for name in BACKENDS} == {topic for topic in topics if topic.startswith("scan ")}
    assert len(topics) == len(probes())
    with pytest.raises(UnknownName, match=r"no line of the report is called 'torsh'; did you mean 'torch'"):
        examine(["torsh"])

"""tests/gpu/check.sh, which waits for a GPU, tried on a CPU: what it finds, what it misses, what it says."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gpu import check, drawn_corpus, far, kernels, networks, trainings
from gpu.attention_network import AttentionNetwork
from gpu.checking import HALVES, RTOL, Skipped, Wrong, held

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


def run(*arguments):
    """The command, with this Python and nothing that was carried."""
    return subprocess.run(
        ["sh", str(ROOT / "tests" / "gpu" / "check.sh"), *arguments],
        env={**os.environ, "PYTHON": sys.executable, "SPIKEMBA_WHEELS": "/none"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_kernels_hold_and_every_check_has_its_line(tmp_path):
    done = run("--device", "cpu", "--only", "kernels", "--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert [one["name"] for one in found["checks"]] == [one.name for one in kernels.checks(CPU)]
    assert {one["state"] for one in found["checks"]} == {"ok", "skipped"}
    assert all(one["detail"] for one in found["checks"] if one["state"] == "skipped")
    assert found["machine"]["packages"]["torch"] == torch.__version__
    assert [path.name for path in tmp_path.iterdir()] == ["gpu.json"]


@pytest.mark.slow
def test_a_training_is_beside_the_cpus(monkeypatch):
    monkeypatch.setattr(trainings, "EPOCHS", 2)
    monkeypatch.setattr(drawn_corpus, "SPLITS", {"train": 64, "val": 4})
    found = trainings.training("bundled", "bf16", CPU)
    assert found["loss of epoch 1"] == pytest.approx(found["loss of epoch 1 on the CPU"], rel=0.03)
    monkeypatch.setitem(trainings.ALLOWED, "bf16", (0.0, 0.0))
    with pytest.raises(Wrong, match="on the CPU .* from which the first may be 0"):
        trainings.training("bundled", "bf16", CPU)


def test_networks_are_beside_the_cpus(monkeypatch):
    assert max(networks.video_mamba("scan", CPU).values()) < 1e-6
    one, other = {"gradient": torch.ones(4)}, {"gradient": torch.tensor([1.0, 1.0, 1.0, 1.1])}
    with pytest.raises(Wrong, match=r"gradient is off by 0\.04"):
        networks.beside(one, other, networks.SPIKING)


def test_the_network_beside_it_has_the_shape_that_it_claims():
    network = AttentionNetwork(2816, 512)
    assert sum(one.numel() for one in network.parameters()) == pytest.approx(12.6e6, rel=0.05)  # CG-DETR's
    clips, tokens, inside = torch.rand(2, 9, 2816), torch.rand(2, 4, 512), torch.arange(9) < torch.tensor([[3], [5]])
    windows, scores, saliency = network(clips, tokens)
    assert (windows.shape, scores.shape, saliency.shape) == ((2, 10, 2), (2, 10, 2), (2, 9))
    network.loss(clips, tokens, torch.tensor([[0.2, 0.4], [0.1, 0.3]]), inside).backward()
    assert all(one.grad is not None for one in network.parameters())


def test_without_time_nothing_is_made_and_that_is_no_success(tmp_path):
    done = run("--device", "cpu", "--minutes", "0", "--out", str(tmp_path / "gpu.json"))
    assert done.returncode == 2
    assert "0 ok, 0 failed, 5 skipped" in done.stdout
    assert "the time is up; --minutes gives more" in done.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path):
    done = run("--out", str(tmp_path / "gpu.json"))
    assert (done.returncode, done.stderr) == (2, "error: torch sees no GPU; --device cpu tries the checks themselves\n")


def test_where_little_is_installed_it_says_what_to_carry(monkeypatch, capsys):
    monkeypatch.setattr(check, "find_spec", lambda name: None if name in ("pydantic", "yaml") else name)
    monkeypatch.setattr(sys, "argv", ["check.sh", "--device", "cpu"])
    with pytest.raises(SystemExit, match="2"):
        check.main()
    said = capsys.readouterr().err
    assert said.startswith("error: pydantic, pyyaml missing; ")
    assert "run tests/gpu/carry.sh" in said


def test_where_the_document_cannot_be_written_nothing_is_begun(tmp_path):
    done = run("--device", "cpu", "--only", "kernels", "--out", str(tmp_path / "none" / "gpu.json"))
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path}/none/gpu.json cannot be written (No such file or directory); " + (
        "name another file with --out\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize("dtype", HALVES.values())
def test_a_result_that_is_off_is_noticed_in_every_precision(dtype):
    x = torch.linspace(-2, 2, 70)
    right = kernels.compared(torch.sin, torch.sin, [x], dtype, CPU, ["x"])
    assert held(right, RTOL[dtype]) == right
    off = kernels.compared(lambda x: torch.sin(1.05 * x), torch.sin, [x], dtype, CPU, ["x"])
    with pytest.raises(Wrong, match=r"y is off by 0\.\d+, gradient of x is off by 0\.\d+; "):
        held(off, RTOL[dtype])


def test_what_is_no_number_is_off():
    nan = kernels.compared(lambda x: x * float("nan"), torch.sin, [torch.ones(3)], torch.float32, CPU, ["x"])
    with pytest.raises(Wrong, match="y is off by inf"):
        held(nan, 1e9)


def test_how_checks_end_is_told(monkeypatch, capsys):
    def raises(error):
        def run():
            raise error

        return run

    made = [
        kernels.Check("right", lambda: {"y": 1e-7}),
        kernels.Check("wrong", raises(Wrong("y is off by 2"))),
        kernels.Check("broken", raises(RuntimeError("CUDA error:\nan illegal address"))),
        kernels.Check("absent", raises(Skipped("no official scan"))),
    ]
    monkeypatch.setattr(far, "checks", lambda device: iter(made))
    check.of_section("far", "cpu")
    lines = {line["name"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert [lines[one.name]["state"] for one in made] == ["ok", "failed", "failed", "skipped"]
    assert lines["right"]["y"] == 1e-7
    assert lines["broken"]["detail"] == "RuntimeError: CUDA error: an illegal address"


@pytest.mark.parametrize("minutes", ["nan", "-1", "inf", "soon"])
def test_minutes_are_a_number(minutes):
    assert f"invalid minutes value: '{minutes}'" in run("--device", "cpu", "--minutes", minutes).stderr


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_keeps_what_was_done_and_leaves_nothing_running(signum, tmp_path):
    command = ["sh", str(ROOT / "tests" / "gpu" / "check.sh"), "--device", "cpu", "--out", str(tmp_path / "gpu.json")]
    environment = {**os.environ, "PYTHON": sys.executable, "SPIKEMBA_WHEELS": "/none"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, start_new_session=True, **pipes) as running:
        assert running.stdout.readline().startswith("ok ")
        running.send_signal(signum)
        said = running.communicate()[1]
    assert (running.returncode, said) == (130, f"error: stopped; what was done is in {tmp_path}/gpu.json\n")
    assert json.loads((tmp_path / "gpu.json").read_text("utf-8"))["checks"] == []  # its first kind was not done
    with pytest.raises(ProcessLookupError):
        os.killpg(running.pid, 0)


def test_wheels_of_another_python_are_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "a-1-cp27-cp27m-win32.whl").write_bytes(b"")
    monkeypatch.setattr(check, "WHEELS", tmp_path)
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"), check.carried():
        pass
    said = capsys.readouterr().err
    assert said.startswith(f"error: {tmp_path} cannot be installed (a-1-cp27-cp27m-win32.whl is not a supported wheel")
    assert "run tests/gpu/carry.sh 3." in said


def test_what_is_carried_is_of_a_named_python():
    done = subprocess.run(["sh", str(ROOT / "tests" / "gpu" / "carry.sh")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[:32]) == (2, "usage: tests/gpu/carry.sh 3.12  ")


@pytest.mark.parametrize(
    ("ends", "minutes", "expected"),
    [
        ("os.kill(os.getpid(), 11)", 1, ("failed", "its process ended with -11")),
        ("time.sleep(60)", 0.01, ("skipped", check.UP)),
    ],
)
def test_a_process_that_dies_or_takes_too_long_ends_its_kind_alone(ends, minutes, expected, monkeypatch, tmp_path):
    line = '{"name": "a", "state": "ok"}'
    program = f"#!{sys.executable}\nimport os, time\nprint({line!r}, flush=True)\nprint('noise')\n"
    fake = tmp_path / "python"
    fake.write_text(program + ends, "utf-8")
    fake.chmod(0o700)
    monkeypatch.setattr(check.sys, "executable", str(fake))
    found = list(check.in_a_process("kernels", "cpu", check.time.monotonic() + 60 * minutes))
    assert found[0] == {"name": "a", "state": "ok"}
    assert found[1:] == [{"name": "kernels", "state": expected[0], "detail": expected[1]}]

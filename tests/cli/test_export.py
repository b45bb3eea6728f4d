"""`spikemba export`: graphs that answer without this program."""

import errno
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from spikemba.batch import Batch
from spikemba.checkpoints.grounding import BUNDLED, Checkpoint, load_checkpoint, save_checkpoint
from spikemba.encoders import mini
from spikemba.exporting import forms
from spikemba.exporting.folder import export
from spikemba.features import FeatureSpec, Manifest
from spikemba.grounding import GroundingConfig
from spikemba.model import SpikeMba, SpikeMbaConfig
from spikemba_cli.main import app

ROOT = Path(__file__).parents[2]
EXAMPLE, VIDEO = ROOT / "examples" / "onnx_answer.py", ROOT / "examples" / "shapes.mp4"


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """mini as ONNX graphs."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("export") / "graphs"
    result = run("export", "mini", "--out", folder, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["files"] == ["clips.onnx", "export.json", "grounder.onnx", "sentence.onnx"]
    return folder


def test_no_graph_has_a_loop_or_a_branch_and_lengths_are_free(graphs):
    import onnx

    for path in graphs.glob("*.onnx"):
        graph = onnx.load(path).graph
        assert not {"Loop", "Scan", "If", "SequenceMap"} & {node.op_type for node in graph.node}, path.name
        assert all(
            {"clips", "tokens"} & {axis.dim_param for axis in one.type.tensor_type.shape.dim} for one in graph.input
        )


def test_the_document_has_the_sums_of_the_weights_and_the_words(graphs):
    document = json.loads((graphs / "export.json").read_text())
    grounder = hashlib.sha256((BUNDLED["mini"] / "model.safetensors").read_bytes()).hexdigest()
    assert document["weights"] == {"grounder": grounder, "mini": load_checkpoint("mini").features.video[0].weights}
    assert document["encoder"]["vocabulary"] == list(mini.load().model.config.vocabulary)
    assert document["grounding"] == load_checkpoint("mini").grounding.model_dump(mode="json")


@pytest.mark.parametrize("n_clips", [1, 7, 37, 75, 400])
@torch.inference_mode()
def test_onnxruntime_gives_what_the_network_gives_at_any_length(graphs, n_clips):
    import onnxruntime

    torch.manual_seed(0)
    video, tokens = torch.randn(1, n_clips, 192), torch.randn(1, 9, 192)
    masks = [torch.ones(z.shape[:2], dtype=torch.bool) for z in (video, tokens)]
    expected = load_checkpoint("mini").model(Batch(video, masks[0], tokens, masks[1]))
    session = onnxruntime.InferenceSession(graphs / "grounder.onnx", providers=["CPUExecutionProvider"])
    outputs = [one.name for one in session.get_outputs()]
    found = session.run(None, {"video": video.numpy(), "query_tokens": tokens.numpy()})
    for name, array in zip(outputs, found, strict=True):
        torch.testing.assert_close(torch.from_numpy(array), getattr(expected, name), atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize("sentence", ["a red circle enters", "something blue spins", "a green star leaves"])
def test_the_example_answers_as_ground_does_without_torch_and_this_program(graphs, sentence):
    script = (
        "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__'); "
        "sys.exit(bool({'torch', 'spikemba'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, EXAMPLE, graphs, VIDEO, sentence]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours = run("ground", VIDEO, sentence, "--checkpoint", "mini", "--no-cache", "--json")
    found = json.loads(ours.stdout)
    if found["moments"]:
        rows = [[float(cell) for cell in line.split("\t")] for line in done.stdout.splitlines()[1:]]
        assert rows == [pytest.approx([m["start_s"], m["end_s"], m["score"]], abs=1e-3) for m in found["moments"]]
    else:
        assert done.stdout == f"no such moment ({found['exists']:.2f})\n"


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "mine.txt").write_text("kept")
    result = run("export", "mini", "--out", tmp_path)
    assert result.exit_code == 1
    assert "something is there already; choose another folder with --out" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_of_features_that_others_make_the_grounder_alone_is_written_and_says_whose(tmp_path):
    pytest.importorskip("onnx")
    video = (Manifest(encoder="clip", dim=6, clip_s=2), Manifest(encoder="slowfast", dim=4, clip_s=2))
    spec = FeatureSpec(video=video, text=Manifest(encoder="clip_text", kind="text", dim=5), clip_s=2)
    network = SpikeMba(SpikeMbaConfig.parse({"width": 16, "n_blocks": 1}), 10, 5)
    save_checkpoint(tmp_path / "run" / "best", Checkpoint(network, spec, GroundingConfig()))
    result = run("export", tmp_path / "run", "--out", tmp_path / "graphs", "--json")
    assert result.exit_code == 0, result.output
    assert "its clips are features of clip+slowfast, which `spikemba extract` writes" in " ".join(result.stderr.split())
    told = json.loads(result.stdout)
    assert (told["files"], told["needs"]) == (["export.json", "grounder.onnx"], ["clip", "slowfast"])
    document = json.loads((tmp_path / "graphs" / "export.json").read_text())
    assert document["graphs"]["grounder"]["inputs"]["video"]["shape"] == [1, "clips", 10]
    assert document["encoder"] is None


def test_what_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def fail(graph, path):
        path.write_bytes(b"half a graph")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setitem(forms.WRITERS, "torch", fail)
    result = run("export", "mini", "--format", "torch", "--out", tmp_path / "program")
    assert result.exit_code == 1
    assert f"cannot write {tmp_path / 'program'}: no space left on device" in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_names_the_one_that_was_meant():
    result = run("export", "mini", "--format", "onx")
    assert result.exit_code == 2
    assert "Did you mean 'onnx'?" in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.slow
@torch.inference_mode()
def test_a_program_of_torch_export_is_read_again_and_says_the_same(tmp_path):
    export("mini", "torch", tmp_path / "program")
    program = torch.export.load(tmp_path / "program" / "grounder.pt2").module()
    torch.manual_seed(0)
    names = json.loads((tmp_path / "program" / "export.json").read_text())["graphs"]["grounder"]["outputs"]
    for n_clips, n_tokens in ((2, 2), (7, 9), (75, 32), (400, 5)):
        video, tokens = torch.randn(1, n_clips, 192), torch.randn(1, n_tokens, 192)
        masks = [torch.ones(z.shape[:2], dtype=torch.bool) for z in (video, tokens)]
        expected = load_checkpoint("mini").model(Batch(video, masks[0], tokens, masks[1]))
        for name, found in zip(names, program(video, tokens), strict=True):
            torch.testing.assert_close(found, getattr(expected, name), atol=1e-4, rtol=0, msg=name)
    encoder, read = mini.load(), {}
    for name in ("clips", "sentence"):
        read[name] = torch.export.load(tmp_path / "program" / f"{name}.pt2").module()
    frames = torch.randint(256, (3, 8, 64, 64, 3), dtype=torch.uint8)
    torch.testing.assert_close(
        read["clips"](frames), torch.from_numpy(encoder.encode_clips(frames.numpy())), atol=1e-4, rtol=0
    )
    (expected,) = encoder.encode_texts(["a red circle enters"])
    tokens, pooled = read["sentence"](encoder.model.words(["a red circle enters"])[0])
    torch.testing.assert_close(tokens[0], torch.from_numpy(expected.tokens), atol=1e-4, rtol=0)
    torch.testing.assert_close(pooled[0], torch.from_numpy(expected.pooled), atol=1e-4, rtol=0)

"""A video encoder of one's own, end to end: extract with it, train on its features, ground with both."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pipelines.extraction.extract import extract
from pipelines.extraction.job import RunOptions
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from spikemba.errors import FeaturesMismatch, SpikeMbaError
from spikemba.features import FeatureFolder
from spikemba.grounder.grounder import load
from spikemba.model.video_mamba.adaptation import AdaptationConfig, adapt_model
from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, load_video_checkpoint, save_video_checkpoint
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba_cli.main import app

TINY = {"width": 16, "n_blocks": 1, "n_frames": 4, "size_px": 32, "tubelet": [2, 16, 16], "n_classes": 3}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folders of a small video encoder that has learned nothing, and of one that was adapted."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("weights")
    base = VideoMamba(VideoMambaConfig.parse(TINY))
    save_video_checkpoint(place / "base", VideoCheckpoint(base))
    ssp = {"n_prompts": 1, "gathering_width": 8, "attention_width": 8, "n_heads": 2}
    adapted = adapt_model(base, AdaptationConfig.parse({"ssp": ssp}))
    torch.nn.init.normal_(adapted.edit.gathering.up.weight)
    save_video_checkpoint(place / "adapted", VideoCheckpoint(adapted, backbone=place / "base"))
    return place


@pytest.fixture(scope="module")
def shapes(tmp_path_factory, weights):
    """A small shapes corpus with features of the adapted encoder and queries of the mini encoder."""
    out = tmp_path_factory.mktemp("shapes")
    prepared = prepare_shapes(out, ShapesConfig(train=3, val=2, test=1, seed=11))
    files = [out / f"{name}.jsonl" for name in prepared.n_queries]
    run = RunOptions(weights={"videomamba": weights / "adapted"})
    extract([prepared.videos], "videomamba", out / "features", queries=files, text="mini", run=run)
    return out


@pytest.fixture(scope="module")
def run(shapes, tiny, tmp_path_factory):
    """A grounding model of these features."""
    where = [
        f"data.video_features=[{shapes / 'features' / 'videomamba'}]",
        f"data.text_features={shapes / 'features' / 'mini_text'}",
    ]
    out = tmp_path_factory.mktemp("runs") / "vm"
    train(load_config(shapes / "config.yaml", [*tiny, *where]), out)
    return out


def test_extract_train_and_ground(shapes, run, weights):
    folder = FeatureFolder(shapes / "features" / "videomamba")
    assert (folder.manifest.encoder, folder.manifest.dim) == ("videomamba", 16)
    annotation = json.loads((shapes / "test.jsonl").read_text().splitlines()[0])
    video = shapes / "videos" / f"{annotation['vid']}.mp4"
    grounder = load(run, weights={"videomamba": weights / "adapted"})
    assert grounder.text.name == "mini"
    found = grounder.ground(video, annotation["query"])
    assert len(found.moments) > 0
    assert len(found.saliency) == len(folder.video(annotation["vid"]))


def test_the_features_are_those_of_the_encoder_that_was_named(shapes, run, weights):
    with pytest.raises(FeaturesMismatch, match="this installation has features videomamba"):
        load(run, weights={"videomamba": weights / "base"})


def test_the_command_line_takes_the_same_way(shapes, run, weights):
    annotation = json.loads((shapes / "test.jsonl").read_text().splitlines()[0])
    video = shapes / "videos" / f"{annotation['vid']}.mp4"
    how = ["--weights", f"videomamba={weights / 'adapted'}"]
    result = CliRunner().invoke(
        app, ["ground", str(video), annotation["query"], "--checkpoint", str(run), "--json", *how]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["moments"]
    out = shapes / "again"
    arguments = ["extract", str(video), "--encoder", "videomamba:mean", "--out", str(out), *how]
    result = CliRunner().invoke(app, [*arguments, "--queries", str(shapes / "test.jsonl")])
    assert result.exit_code == 1
    assert "no encoder of videomamba:mean reads text; name one that does with --text-encoder" in result.stderr
    result = CliRunner().invoke(
        app, [*arguments, "--queries", str(shapes / "test.jsonl"), "--text-encoder", "mini", "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["queries"] > 0
    assert np.load(out / "videomamba_mean" / f"{annotation['vid']}.npz")["features"].shape[1] == 16


def test_sentences_alone_can_be_encoded(shapes, tmp_path):
    how = ["--encoder", "mini", "--out", str(tmp_path / "f")]
    result = CliRunner().invoke(app, ["extract", "--queries", str(shapes / "test.jsonl"), *how])
    assert result.exit_code == 0, result.output
    assert FeatureFolder(tmp_path / "f" / "mini_text").manifest.kind == "text"
    assert CliRunner().invoke(app, ["extract", *how]).exit_code == 2


def test_without_a_text_encoder_queries_are_refused(shapes, weights, tmp_path):
    options = RunOptions(weights={"videomamba": weights / "base"})
    with pytest.raises(SpikeMbaError, match="--text-encoder"):
        extract([], "videomamba", tmp_path, queries=[shapes / "val.jsonl"], run=options)


def test_the_adapted_encoder_stands_on_its_backbone(weights):
    assert load_video_checkpoint(weights / "adapted").backbone == weights / "adapted" / "../base"

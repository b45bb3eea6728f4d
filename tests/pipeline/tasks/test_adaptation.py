"""Adapting a video encoder through the grounding loss: what is trained, what is stored, and that `ground` finds it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from pipelines.extraction.extract import extract
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from pipelines.recognition.explain import explain
from pipelines.runs.config import config_path
from pipelines.scoring.evaluate_files import EvaluateOptions
from pipelines.tasks.adaptation.adapt import adaptation_config, parameter_count
from pipelines.tasks.adaptation.model import make_encoder
from pipelines.tasks.adaptation.task import make_task
from pipelines.tasks.registry import kind_of_run, load_run_config
from pipelines.tasks.train import train
from pipelines.training.batch_plan import BatchPlan
from spikemba.config import to_yaml
from spikemba.encoders import load_encoder
from spikemba.encoders.base import EncoderOptions
from spikemba.errors import CheckpointError, ConfigError, FeaturesMismatch
from spikemba.grounder.grounder import load
from spikemba.model.video_mamba.adaptation import AdaptationConfig, adapt_model, ssp_within
from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, load_video_checkpoint, save_video_checkpoint
from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig
from spikemba.model.video_mamba.state_space_prompting import SSPConfig
from spikemba_cli.main import app

TINY = {"width": 16, "n_blocks": 2, "n_frames": 4, "size_px": 32, "tubelet": [2, 16, 16], "n_classes": 3}
SSP = [
    "encoder.max_share=null",
    "encoder.adaptation.ssp={n_prompts: 1, gathering_width: 8, attention_width: 8, n_heads: 2}",
    "train.epochs=1",
    "train.batch_size=4",
]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A small corpus, its queries' features, and a video encoder that has learned nothing in `base`."""
    out = tmp_path_factory.mktemp("shapes")
    prepared = prepare_shapes(out, ShapesConfig(train=2, val=1, test=0, seed=12))
    extract([], "mini", out / "features", queries=[out / f"{name}.jsonl" for name in prepared.n_queries])
    torch.manual_seed(0)
    save_video_checkpoint(out / "base", VideoCheckpoint(VideoMamba(VideoMambaConfig.parse(TINY))))
    assert prepared.videos == out / "videos"
    return out


@pytest.fixture(scope="module")
def configured(shapes, tiny):
    """A function from settings to a configuration that adapts the encoder on the corpus."""

    def make(*settings, **how):
        where = {"videos": shapes / "videos", "backbone": shapes / "base"}
        return adaptation_config(shapes / "config.yaml", [*tiny, *SSP, *settings], **{**where, **how})

    return make


@pytest.fixture(scope="module")
def adapted(configured, tmp_path_factory):
    """A run of one epoch."""
    out = tmp_path_factory.mktemp("runs") / "adapted"
    train(configured(), out)
    return out


def test_only_the_new_parameters_and_the_grounding_model_learn(configured, shapes):
    task = make_task(configured())
    (micro_batches,) = list(BatchPlan(task.n_examples, task.n_examples).steps(0))
    batch = task.load(micro_batches[0])
    assert len(batch.frames) == sum(len(task.clips.clips(v)) for v in {a.video_id for a in task.training.annotations})
    for _ in range(2):
        task.module.zero_grad()
        task.loss(batch).loss.backward()
        with torch.no_grad():
            for parameter in task.module.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
    base = load_video_checkpoint(shapes / "base").model.state_dict()
    for name, parameter in task.module.encoder.backbone.named_parameters():
        assert (parameter.grad is None) == ("norm_f" not in name)
        if "norm_f" not in name:
            assert parameter.equal(base[name])
    assert [n for n, p in task.module.encoder.edit.named_parameters() if not p.grad.any()] == []


def test_features_in_groups_are_those_in_one(configured):
    tasks = [make_task(configured(f"encoder.clips_at_once={n}")) for n in (2, 100)]
    tasks[1].module.load_state_dict(tasks[0].module.state_dict())
    frames = torch.from_numpy(tasks[0].clips.clips(tasks[0].training.annotations[0].video_id))
    first, second = (task.module.eval().features(frames) for task in tasks)
    torch.testing.assert_close(first, second)
    assert first.shape == (len(frames), 16)
    assert first.requires_grad


def test_a_video_stands_in_a_batch_once_however_many_queries_it_has(configured):
    task = make_task(configured())
    ids = [annotation.video_id for annotation in task.training.annotations]
    one, other = ids[0], next(i for i in ids if i != ids[0])
    frames, first = task._frames([one, other, one])
    n = len(task.clips.clips(one))
    assert first == [0, n, 0]
    assert len(frames) == n + len(task.clips.clips(other))


def test_the_clips_of_a_pair_are_whole_numbers_of_frames_and_become_their_features(configured):
    task = make_task(configured())
    (micro_batches,) = list(BatchPlan(task.n_examples, task.n_examples).steps(0))
    batch = task.load(micro_batches[0])
    mask = batch.pairs.batch.video_mask
    assert batch.clips.dtype == torch.int64
    assert batch.pairs.batch.video.shape == (*mask.shape, 0)
    for row, index in enumerate(micro_batches[0].own):
        clips = task.clips.clips(task.training.annotations[index].video_id)
        assert torch.equal(batch.frames[batch.clips[row, mask[row]]], torch.from_numpy(clips))
    features = torch.arange(len(batch.frames), dtype=torch.float32)[:, None].expand(-1, 16) + 1
    filled = task._filled(batch.pairs.batch, features, batch.clips)
    assert not filled.video[~mask].any()
    rows = features[batch.clips[mask]]
    torch.testing.assert_close(filled.video[mask], rows / (rows.norm(dim=1, keepdim=True) + 1e-5))


@pytest.mark.parametrize("max_clips", [None, 3])
def test_a_video_whose_labels_are_more_than_its_clips_repeats_their_numbers(configured, max_clips):
    cut = "null" if max_clips is None else max_clips
    task = make_task(configured("data.lengths=stretch", f"data.max_clips={cut}"))
    annotation = task.training.annotations[0]
    n = task.clips.n_clips(annotation.video_id)
    task.training.annotations[0] = replace(annotation, labels=((1.0,),) * (2 * n))
    numbers = task.training.clip_numbers(0)
    assert numbers.dtype == np.int64
    assert numbers.tolist() == [i // 2 for i in range(2 * n)][:max_clips]
    assert task.training[0].video.shape == (len(numbers), 0)


def test_both_checkpoints_are_stored_and_ground_finds_them(adapted, shapes):
    stored = load_file(adapted / "last" / "encoders" / "videomamba" / "model.safetensors")
    assert not [name for name in stored if "layers" in name or "patch_embed" in name]
    annotation = json.loads((shapes / "val.jsonl").read_text().splitlines()[0])
    grounder = load(adapted)
    found = grounder.ground(shapes / "videos" / f"{annotation['vid']}.mp4", annotation["query"])
    assert len(found.moments) > 0
    assert grounder.text.name == "mini"


def test_asking_a_file_gives_what_evaluation_gives(adapted, shapes, tmp_path):
    evaluation = kind_of_run(adapted).evaluate_run(adapted, "val", EvaluateOptions(out=tmp_path / "p.jsonl"))
    assert "MR-full-mAP" in evaluation.brief
    row = json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0])
    found = load(adapted).ground(shapes / "videos" / f"{row['vid']}.mp4", row["query"])
    answered = [[m.start_s, m.end_s, m.score] for m in found.moments]
    assert answered[:3] == [pytest.approx(moment, abs=1e-3) for moment in row["pred_relevant_windows"][:3]]


def test_the_adapted_encoder_can_be_extracted_with(adapted, shapes, tmp_path):
    encoders = [
        load_encoder("videomamba", EncoderOptions(weights=place))
        for place in (adapted, adapted / "best", adapted / "best" / "encoders" / "videomamba")
    ]
    assert [one.dim for one in encoders] == [16] * 3
    assert len({one.weights for one in encoders}) == 1
    found = explain(next((shapes / "videos").glob("*.mp4")), adapted, tmp_path / "a.png")
    assert found.blocks == (0, 1)


def test_a_frozen_encoder_and_a_whole_one_are_stored_and_read_too(configured, tmp_path):
    for method in ("linear", "full"):
        task = make_task(configured(method=method))
        task.save(tmp_path / method, {})
        grounder = load(tmp_path / method)
        assert grounder.encoders[0].dim == 16
    stored = load_file(tmp_path / "linear" / "encoders" / "videomamba" / "model.safetensors")
    assert stored == {}


def test_recipes_for_less_memory_change_no_loss_and_no_gradient(configured):
    found = []
    for again in (True, False):
        torch.manual_seed(0)
        task = make_task(configured(f"train.checkpoint_blocks={str(again).lower()}"))
        assert task.module.grounder.recompute_blocks == again
        (micro_batch,) = next(BatchPlan(task.n_examples, 4).steps(0))
        task.module.train()
        torch.manual_seed(1)  # of dropout
        loss = task.loss(task.load(micro_batch)).loss
        loss.backward()
        found.append(
            {name: p.grad for name, p in task.module.named_parameters() if p.grad is not None} | {"loss": loss}
        )
    kept, again = found
    assert kept.keys() == again.keys()
    for name, expected in kept.items():
        torch.testing.assert_close(again[name], expected, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.slow
def test_two_processes_compute_what_one_does(shapes, tiny, tmp_path):
    settings = [*tiny, *SSP, "model.input_dropout=0", "encoder.drop_path=0", "train.batch_size=6"]
    arguments = ["adapt", "--config", shapes / "config.yaml", "--videos", shapes / "videos"]
    arguments += ["--backbone", shapes / "base", *(x for setting in settings for x in ("--set", setting))]
    rows = []
    for n in (1, 2):
        out = tmp_path / str(n)
        result = CliRunner().invoke(app, [*map(str, arguments), "--out", str(out), "--processes", str(n)])
        assert result.exit_code == 0, result.output
        rows.append(json.loads((out / "metrics.jsonl").read_text().splitlines()[0]))
    one, two = rows
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert two["gradient_norm"] == pytest.approx(one["gradient_norm"], rel=1e-4)
    assert two["val"] == one["val"]


def test_the_command_says_how_much_is_trained(shapes, tiny, tmp_path):
    arguments = ["adapt", "--config", shapes / "config.yaml", "--videos", shapes / "videos", "--json"]
    arguments += ["--backbone", shapes / "base", "--out", tmp_path / "run", "--method", "adapter"]
    settings = [*tiny, "train.epochs=1", "encoder.adaptation.adapter.inner_width=1"]
    arguments += [x for setting in settings for x in ("--set", setting)]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "parameters are trained" in result.stderr
    assert json.loads(result.stdout)["encoder"]["trained"] == 2 * (16 + 1 + 16 + 16) + 2 * 16


def test_a_trained_grounding_model_may_stay_as_it_is(adapted, configured):
    task = make_task(configured("train_grounder=false", start=adapted))
    assert not any(p.requires_grad for p in task.module.grounder.parameters())
    before = {name: value.clone() for name, value in task.module.grounder.state_dict().items()}
    (micro_batches,) = list(BatchPlan(task.n_examples, task.n_examples).steps(0))
    task.module.train()
    task.loss(task.load(micro_batches[0])).loss.backward()
    assert task.module.encoder.edit.gathering.up.weight.grad.any()
    assert all(value.equal(before[name]) for name, value in task.module.grounder.state_dict().items())
    with pytest.raises(FeaturesMismatch, match="reads 16 numbers per clip"):
        make_task(configured(start=adapted, backbone=_other_width(adapted.parent)))


def _other_width(folder):
    save_video_checkpoint(folder / "wide", VideoCheckpoint(VideoMamba(VideoMambaConfig.parse({**TINY, "width": 24}))))
    return folder / "wide"


@pytest.mark.parametrize("preset", ["opengvlab-ti", "opengvlab-s", "opengvlab-m", "park-s"])
def test_prompting_stays_under_three_per_cent_of_every_published_size(preset):
    config = VideoMambaConfig.parse({"preset": preset, "n_classes": 0})
    narrow = ssp_within(SSPConfig(), config, 0.03)
    with torch.device("meta"):
        count = adapt_model(VideoMamba(config), AdaptationConfig(ssp=narrow)).count()
    assert 0.015 < count.share < 0.03
    with pytest.raises(ConfigError, match="max_share: prompting has no settings with under 0.0%"):
        ssp_within(SSPConfig(), config, 1e-5)


def test_clips_of_other_sizes_than_the_backbones(configured):
    encoder, _ = make_encoder(configured("encoder.n_frames=8", "encoder.size_px=48").encoder)
    assert encoder.backbone.config.grid.n_tokens == 1 + 4 * 9
    assert parameter_count(configured()).norm == 32


def test_a_configuration_of_features_becomes_one_of_raw_videos(shapes, tmp_path):
    config = adaptation_config(shapes / "config.yaml", videos=shapes / "videos", backbone=shapes / "base")
    assert (config.task, config.data.video_features, config.train.batch_size) == ("adaptation", (), 8)
    assert not adaptation_config(config_path("shapes"), videos=tmp_path, backbone=tmp_path).model.query_similarity
    (tmp_path / "own.yaml").write_text(to_yaml(config.model_copy(update={"name": "own"})))
    again = adaptation_config(tmp_path / "own.yaml", ["train.batch_size=3"])
    assert again.name == "own"
    assert again.encoder == config.encoder
    assert again.train.batch_size == 3
    assert load_run_config(tmp_path / "own.yaml").task == "adaptation"


def test_what_does_not_go_together_is_refused(configured, adapted, tmp_path):
    with pytest.raises(ConfigError, match="leave it empty"):
        configured("data.video_features=[features]")
    with pytest.raises(ConfigError, match="name a checkpoint of a grounding model"):
        configured("train_grounder=false")
    with pytest.raises(ConfigError, match="encoder.backbone: is required"):
        adaptation_config(None, [], videos=tmp_path)
    with pytest.raises(CheckpointError, match="is adapted already; name"):
        make_task(configured(backbone=adapted / "best" / "encoders" / "videomamba"))

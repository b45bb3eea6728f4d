"""The configurations of recognition hold the recipes that were published."""

import pytest

from pipelines.runs.config import config_names, config_path
from pipelines.tasks.recognition.config import RunConfig as RecognitionConfig
from pipelines.tasks.registry import load_run_config
from spikemba.datasets.labelled.video_lists import VIDEO_SETS
from spikemba.errors import ConfigError

PARK = {"hmdb51": 50, "ucf101": 50, "ssv2": 35, "kinetics400": 30, "breakfast": 50}  # epochs
SSP = {  # epochs, effective learning rate, frames, views, optimiser batch of videos
    "hmdb51": (10, 7.5e-4, 8, (8, 3), 32),
    "ucf101": (10, 1.25e-3, 8, (4, 3), 32),
    "ssv2": (7, 8e-4, 8, (2, 9), 512),
    "breakfast": (20, 5e-4, 32, (8, 6), 64),
}


@pytest.mark.parametrize("name", PARK)
def test_videomamba_is_trained_as_its_paper_says(name):
    config = load_run_config(config_path(f"videomamba_{name}"))
    assert isinstance(config, RecognitionConfig)
    t = config.train
    assert (t.epochs, t.batch_size, t.learning_rate, t.optimizer) == (PARK[name], 64, 3e-4, "adamw")
    assert (t.schedule, t.weight_decay, config.loss.label_smoothing) == ("cosine", 0.05, 0.1)
    if name in ("hmdb51", "kinetics400"):
        assert (config.data.frames.rule, config.data.frames.stride) == ("dense", 2)
        assert round(t.warmup * t.epochs) == 1
    assert config.data.augment.flip == (name != "ssv2")
    assert (config.model.width, config.model.tubelet, config.adapt.method) == (384, (2, 16, 16), "full")
    assert t.watch_test == VIDEO_SETS[name].hold_out


@pytest.mark.parametrize("name", SSP)
def test_state_space_prompting_is_trained_as_released(name):
    config = load_run_config(config_path(f"ssp_{name}"))
    t, data = config.train, config.data
    views = data.test_segments, data.test_crops
    assert (t.epochs, t.learning_rate, data.frames.n_frames, views, t.batch_size) == SSP[name]
    assert round(t.warmup * t.epochs) == 5
    assert (data.repeats, config.loss.mix.mixup, config.loss.mix.cutmix, data.augment.erase) == (2, 0.8, 1.0, 0.25)
    assert (data.augment.rand_augment_ops, data.augment.rand_augment_magnitude) == (4, 7)
    assert (config.adapt.method, config.adapt.ssp.gathering_width, config.model.width) == ("ssp", 384, 576)
    assert config.model.drop_path == 0.4


def test_every_published_set_has_a_configuration():
    assert {f"videomamba_{name}" for name in VIDEO_SETS} <= set(config_names())


def test_what_needs_a_backbone_says_so():
    with pytest.raises(ConfigError, match="adapt.method is 'ssp', which needs a backbone; name one as `weights`"):
        RecognitionConfig.parse({"adapt": {"method": "ssp"}})

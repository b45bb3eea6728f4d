"""The configurations of the benchmarks hold the source's settings."""

import pytest

from pipelines.runs.config import config_path, prepared_config
from pipelines.tasks.grounding.config import load_config
from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.errors import ConfigError, UnknownName

SOURCE = {  # batch size, learning rate, spike steps
    "qvhighlights": (64, 2e-4, 8),
    "charades_sta": (64, 4e-4, 8),
    "tacos": (64, 4e-4, 8),  # not given: as Charades-STA
    "tvsum": (8, 2e-3, 10),
    "youtube_highlights": (8, 4e-4, 10),
}


@pytest.mark.parametrize("name", SOURCE)
def test_a_benchmark_is_trained_as_its_source_says(name):
    config = load_config(config_path(name))
    steps = config.model.spiking_saliency.n_spike_steps
    assert (config.train.batch_size, config.train.learning_rate, steps) == SOURCE[name]
    assert (config.train.optimizer, config.train.weight_decay, config.model.n_blocks) == ("adam", 1e-4, 6)
    assert config.data.benchmark == config.name == name
    assert config.train.watch_test == (name != "qvhighlights")  # whose papers select on its validation split
    assert config.train.best_metric == ("mAP" if find_benchmark(name).protocol.highlights else "MR-full-mAP")


def test_the_settings_of_every_source_are_checked():
    assert set(SOURCE) == set(benchmark_names())


def test_what_was_prepared_stands_over_the_benchmark_and_under_the_command_line(tmp_path):
    (tmp_path / "config.yaml").write_text("data: {train: mine.jsonl, clip_s: 3}\nmodel: {width: 8}\n")
    prepared = prepared_config("tvsum", tmp_path)
    config = load_config(config_path("tvsum"), ["data.clip_s=4"], prepared=prepared)
    assert (str(config.data.train), config.data.clip_s) == ("mine.jsonl", 4)
    assert config.data.max_clips == 1000
    assert config.model.width == load_config(config_path("tvsum")).model.width
    with pytest.raises(ConfigError, match="holds no config.yaml; make it with `spikemba prepare`"):
        prepared_config("tvsum", tmp_path / "none")


def test_data_prepared_in_the_usual_place_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepared_config("tvsum") is None
    (tmp_path / "data" / "tvsum").mkdir(parents=True)
    (tmp_path / "data" / "tvsum" / "config.yaml").write_text("data: {clip_s: 3}\n")
    assert load_config(config_path("tvsum"), prepared=prepared_config("tvsum")).data.clip_s == 3


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UnknownName, match="there are: charades_sta, demo, .*qvhighlights"):
        config_path("tvsumm")

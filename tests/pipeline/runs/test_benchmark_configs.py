"""The configurations of the benchmarks: the source's settings, or those that were measured to learn better."""

import pytest

from pipelines.runs.config import config_path, prepared_config
from pipelines.tasks.grounding.config import load_config
from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.errors import ConfigError, UnknownName

CHOSEN = {  # batch size, learning rate, schedule, spike steps; of highlight sets all are the source's
    "qvhighlights": (32, 1e-3, "cosine", 8),
    "charades_sta": (32, 1e-3, "cosine", 8),
    "gmr": (32, 1e-3, "cosine", 8),
    "na_vmr": (32, 1e-3, "cosine", 8),
    "tacos": (32, 1e-3, "cosine", 8),
    "tvsum": (8, 2e-3, "constant", 10),
    "youtube_highlights": (8, 4e-4, "constant", 10),
}
SOURCE = {  # batch size, learning rate
    "qvhighlights": (64, 2e-4),
    "charades_sta": (64, 4e-4),
    "gmr": (64, 2e-4),  # not given, like those of na_vmr: as QVHighlights
    "na_vmr": (64, 2e-4),
    "tacos": (64, 4e-4),  # not given: as Charades-STA
    "tvsum": (8, 2e-3),
    "youtube_highlights": (8, 4e-4),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_a_benchmark_is_trained_as_it_was_chosen(name):
    config = load_config(config_path(name))
    train, steps = config.train, config.model.spiking_saliency.n_spike_steps
    assert (train.batch_size, train.learning_rate, train.schedule, steps) == CHOSEN[name]
    assert (train.optimizer, train.weight_decay, config.model.n_blocks) == ("adam", 1e-4, 2)
    assert config.data.benchmark == config.name == name
    own_split = name in ("qvhighlights", "gmr")  # whose papers select on its validation split
    assert config.train.watch_test != own_split
    assert config.train.best_metric == ("mAP" if find_benchmark(name).protocol.highlights else "MR-full-mAP")


@pytest.mark.parametrize("name", SOURCE)
def test_the_page_of_benchmarks_says_how_to_train_as_the_source_does(name):
    batch, rate = SOURCE[name]
    config = load_config(
        config_path(name),
        ["preset=paper", f"train.batch_size={batch}", f"train.learning_rate={rate}", "train.schedule=constant"],
    )
    assert (config.train.optimizer, config.model.n_blocks, config.model.slots.n_slots) == ("adam", 6, 16)
    page = (config_path(name).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert f"| `{name}` | {batch} | {rate:g} |" in page


def test_the_settings_of_every_source_are_checked():
    assert set(SOURCE) == set(CHOSEN) == set(benchmark_names())


def test_what_was_prepared_stands_over_the_benchmark_and_under_the_command_line(tmp_path):
    (tmp_path / "config.yaml").write_text("data: {train: mine.jsonl, clip_s: 3}\nmodel: {width: 8}\n")
    prepared = prepared_config("tvsum", tmp_path)
    config = load_config(config_path("tvsum"), ["data.clip_s=4"], prepared=prepared)
    assert (str(config.data.train), config.data.clip_s) == ("mine.jsonl", 4)
    assert config.data.max_clips == 1000
    assert config.model.width == load_config(config_path("tvsum")).model.width
    with pytest.raises(ConfigError, match="holds no config.yaml; `spikemba prepare --help` lists"):
        prepared_config("tvsum", tmp_path / "none")


def test_data_prepared_in_the_usual_place_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepared_config("tvsum") is None
    (tmp_path / "data" / "tvsum").mkdir(parents=True)
    (tmp_path / "data" / "tvsum" / "config.yaml").write_text("data: {clip_s: 3}\n")
    assert load_config(config_path("tvsum"), prepared=prepared_config("tvsum")).data.clip_s == 3


def test_unknown_names_list_the_known_ones():
    with pytest.raises(UnknownName, match="did you mean 'tvsum'"):
        config_path("tvsumm")

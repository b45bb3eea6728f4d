"""What every benchmark promises, whichever there are: its entry, configuration, forms, packs and scores."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
from benchmark_sources import N_CLIPS, WIDTH, forms, perfect, write_features, write_source
from typer.testing import CliRunner

from pipelines.runs.config import config_path
from pipelines.scoring.scores import MAIN
from pipelines.tasks.grounding.config import load_config
from spikemba.datasets import benchmarks
from spikemba.datasets.annotations import read_annotations, write_predictions
from spikemba.datasets.base import DataConfig, GroundingDataset
from spikemba.datasets.registry import OWN, benchmark_names, find_benchmark
from spikemba.errors import ConfigError
from spikemba_cli.main import app

ENTRIES = [find_benchmark(name) for name in benchmark_names()]
DOCS = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text("utf-8")

every_benchmark = pytest.mark.parametrize("about", ENTRIES, ids=lambda about: about.name)
every_form = pytest.mark.parametrize(
    ("about", "form"), [(a, form) for a in ENTRIES for form in forms(a)], ids=lambda x: getattr(x, "name", x)
)
every_pack = pytest.mark.parametrize(
    ("about", "pack"), [(a, pack) for a in ENTRIES for pack in a.packs], ids=lambda x: x.name
)


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def printed(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@every_benchmark
def test_an_entry_is_complete(about):
    assert about.title
    assert set(about.files) | {"val"} >= {"train", "val", "test"}
    assert ("all" in about.files) == (about.is_test is not None)
    assert set(about.sizes) == set(about.files) - {"all"}
    assert bool(about.held_out) == ("val" not in about.files)  # something must choose the epoch
    assert bool(about.domains) == bool(about.protocol.highlights)
    assert about.packs
    assert len({pack.name for pack in about.packs}) == len(about.packs)
    assert about.published
    names = {name for of_split in about.files.values() for name in of_split}
    assert {wanted.name for wanted in about.downloads if not wanted.large} <= names


@every_benchmark
def test_its_configuration_trains_on_it_and_lies_where_prepare_writes(about):
    config = load_config(config_path(about.name))
    assert config.name == config.data.benchmark == about.name
    assert config.data.domains == about.domains
    folder = Path("data") / about.name
    assert [config.data.train, config.data.val, config.data.test] == [
        folder / f"{split}.jsonl" for split in ("train", "val", "test")
    ]
    for path, names in zip(config.data.video_features, about.packs[0].video, strict=True):
        assert path.relative_to(folder / "features").as_posix() in names
    assert config.data.text_features.relative_to(folder / "features").as_posix() in about.packs[0].text


@every_benchmark
def test_the_documentation_tells_of_it(about):
    assert about.title in DOCS
    table = re.search(rf"^\| `{about.name}` \|.*$", DOCS, re.M)
    assert table, f"no row for {about.name} under Prepare"
    for pack in about.packs:
        assert f"`{pack.name}`" in DOCS or (pack.name.endswith("+pann") and "`...+pann`" in DOCS)


@every_benchmark
def test_what_is_missing_is_named_with_where_it_comes_from(about, tmp_path):
    result = run("prepare", about.name, "--source", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    for names in about.files.values():
        assert f"no {' or '.join(names)}" in said
    assert about.home in said
    assert not (tmp_path / "out").exists()


@every_form
def test_every_form_becomes_annotations_on_which_the_truth_scores_a_hundred(about, form, tmp_path):
    write_source(about, form, tmp_path / "raw")
    prepared = printed("prepare", about.name, "--source", tmp_path / "raw", "--out", tmp_path / "data")
    assert prepared["left_out"] == []
    assert {"train", "val", "test"} <= set(prepared["queries"])
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert {Path(name).suffix for name in manifest["sources"]} == {form}
    truth = read_annotations(tmp_path / "data" / "test.jsonl")
    write_predictions(tmp_path / "p.jsonl", map(perfect, truth))
    files = "--predictions", tmp_path / "p.jsonl", "--annotations", tmp_path / "data" / "test.jsonl"
    assert run("evaluate", "--dataset", about.name, *files, "--check").exit_code == 0
    document = printed("evaluate", "--dataset", about.name, *files)
    found = document.get("brief") or {"mAP": document["mAP"]} | {
        f"mAP-{domain}": value for domain, value in document["domains"].items()
    }
    main = {name: value for name, value in found.items() if name in (*MAIN, *about.published.columns)}
    assert load_config(config_path(about.name)).train.best_metric in main
    assert set(about.published.columns) <= set(main)
    assert main == pytest.approx(dict.fromkeys(main, 100.0))


@every_pack
def test_features_of_every_pack_make_pairs(about, pack, tmp_path):
    config = load_config(config_path(about.name))
    clip_s = pack.settings.get("clip_s", config.data.clip_s)
    dataset = prepared_with(about, pack, clip_s, tmp_path)
    pair = dataset[0]
    labelled = bool(dataset.annotations[0].labels)
    assert pair.video.shape == (N_CLIPS if labelled else 2 * N_CLIPS / clip_s, WIDTH * len(pack.video))
    assert pair.targets.foreground.any()
    assert not pair.targets.foreground.all()


@pytest.mark.parametrize(
    ("about", "pack"),
    [(a, pack) for a in ENTRIES for pack in a.packs if pack.n_sound and a.name != "na_vmr"],  # has one video here
    ids=lambda x: x.name,
)
def test_a_video_without_sound_is_trained_on_all_the_same(about, pack, tmp_path):
    dataset = prepared_with(about, pack, load_config(config_path(about.name)).data.clip_s, tmp_path)
    (sound,) = dataset.config.sound_features
    assert sound.name == pack.video[-1][0]
    assert len(dataset.config.video_features) == len(pack.video) - 1
    silent = dataset.annotations[0].video_id
    (sound / f"{silent}.npz").unlink()
    options = "--features", tmp_path / "features", "--pack", pack.name
    prepared = printed("prepare", about.name, "--source", tmp_path / "raw", "--out", tmp_path / "again", *options)
    assert prepared["left_out"] == []
    again = GroundingDataset(load_config(config_path(about.name), prepared=Path(prepared["config"])).data, "train")
    assert len(again) == len(dataset)
    assert not again[0].video[:, -WIDTH:].any()
    assert (again[0].video[:, :-WIDTH] == dataset[0].video[:, :-WIDTH]).all()
    for left in sound.glob("*.npz"):
        left.unlink()
    result = run("prepare", about.name, "--source", tmp_path / "raw", "--out", tmp_path / "none", *options)
    assert result.exit_code == 1
    assert sound.name in "".join(result.stderr.split())


@every_benchmark
def test_features_made_here_make_pairs_too(about, tmp_path):
    config = load_config(config_path(about.name))
    dataset = prepared_with(about, about.packs[0], config.data.clip_s, tmp_path, own=True)
    assert dataset.spec.video[0].encoder == "ours"
    settings = dataset.config.model_dump()
    assert settings == settings | about.own_features
    assert dataset[0].targets.foreground.any()


def prepared_with(about, pack, clip_s, folder, **more):
    """The training pairs that `prepare` and the benchmark's configuration make with features of a pack."""
    write_source(about, ".jsonl", folder / "raw")
    printed("prepare", about.name, "--source", folder / "raw", "--out", folder / "bare")
    rows = [row for path in (folder / "bare").glob("*.jsonl") for row in read_annotations(path)]
    write_features(pack, rows, folder / "features", clip_s, **more)
    options = "--features", folder / "features", "--pack", pack.name
    prepared = printed("prepare", about.name, "--source", folder / "raw", "--out", folder / "data", *options)
    assert prepared["pack"] == pack.name
    alone = load_config(Path(prepared["config"]))  # scored and named as the benchmark without configs/NAME.yaml, too
    assert (alone.name, alone.data.benchmark, alone.data.name) == (about.name, about.name, about.title)
    return GroundingDataset(load_config(config_path(about.name), prepared=Path(prepared["config"])).data, "train")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The benchmark of the documentation, one file in a folder that the package of benchmarks then has, too."""
    folder = tmp_path / "more"
    folder.mkdir()
    shown = DOCS.partition("## Add a benchmark")[2].partition("```python\n")[2].partition("```")[0]
    (folder / "toy.py").write_text(shown.replace("my_set", "toy").replace("My Set", "Toy Story"))
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(folder)])
    importlib.invalidate_caches()
    yield find_benchmark("toy")
    del sys.modules[f"{benchmarks.__name__}.toy"], benchmarks.toy


def test_one_new_file_is_a_benchmark_everywhere(toy, tmp_path):
    assert "Toy Story" in run("prepare", "--help").stdout
    assert "no toy_train.jsonl" in run("prepare", "toy", "--source", tmp_path).stderr
    write_source(toy, ".jsonl", tmp_path / "raw")
    prepared = printed("prepare", "toy", "--source", tmp_path / "raw", "--out", tmp_path / "data")
    assert prepared["queries"] == {"train": 4, "val": 4, "test": 4}
    truth = tmp_path / "data" / "test.jsonl"
    write_predictions(tmp_path / "p.jsonl", map(perfect, read_annotations(truth)))
    files = "--predictions", tmp_path / "p.jsonl", "--annotations", truth
    found = printed("evaluate", "--dataset", "toy", *files)
    assert found["brief"]["MR-full-mIoU"] == 100
    assert DataConfig.parse({"benchmark": "toy"}).benchmark == "toy"
    table = run("evaluate", "--dataset", "toy", *files, "--table", "csv")
    assert "no benchmark with published results is called 'toy'; there are: charades_sta" in table.stderr


def test_an_unknown_benchmark_in_a_configuration_lists_the_known_ones():
    with pytest.raises(ConfigError, match="benchmark: 'tvsumm': is no benchmark; there are: charades_sta, .*tvsum"):
        DataConfig.parse({"benchmark": "tvsumm"})
    assert DataConfig().benchmark == OWN


def test_the_domains_that_the_videos_lack_are_named(tmp_path):
    about = find_benchmark("youtube_highlights")
    write_source(about, ".jsonl", tmp_path / "raw")
    path = tmp_path / "raw" / "youtube_highlight_train_release.jsonl"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "skating" not in line))
    notes = printed("prepare", about.name, "--source", tmp_path / "raw", "--out", tmp_path / "data")["notes"]
    shown = "data.domains=[dog,gymnastics,parkour,skiing,surfing]"
    assert f"train has no video of skating; train the others with --set {shown}" in notes

import pytest
import yaml

from pipelines.runs.config import config_names, config_path
from pipelines.tasks.adaptation.config import RunConfig as AdaptationConfig
from pipelines.tasks.grounding.config import PRESETS, RunConfig, load_config
from pipelines.tasks.recognition.config import RunConfig as RecognitionConfig
from pipelines.tasks.registry import load_run_config
from spikemba.config import load_yaml, merge, parse_overrides, to_yaml
from spikemba.errors import ConfigError, UnknownName
from spikemba.model.video_mamba.network import VideoMambaConfig


def test_all_faults_of_a_file_are_reported_together(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("train: {batch_size: -3, learning_rat: 1}\nmodel: {width: wide}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert "3 faults" in str(caught.value)
    assert "train.batch_size: -3: input should be greater than 0" in str(caught.value)
    assert "train.learning_rat: no such key; did you mean 'learning_rate'?" in str(caught.value)
    assert "model.width: 'wide'" in str(caught.value)


def test_an_unknown_key_without_a_likeness_lists_what_there_is():
    with pytest.raises(ConfigError, match="known keys: task, name, train, preset, data, model, loss, grounding"):
        RunConfig.parse({"zzz": 1})


@pytest.mark.parametrize(
    ("text", "problem"),
    [("- a\n- b\n", "found list"), ("a: [1\n", "line 2"), ("train: 3\n", "train"), ("\0", "bad.yaml")],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path, text, problem):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        load_config(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none.yaml has 1 fault: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")


def test_numbers_with_an_exponent_are_numbers(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("x: 1e-3\ny: -2E+4\nz: e3\n")
    assert load_yaml(path) == {"x": 0.001, "y": -20000.0, "z": "e3"}


def test_overrides_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("preset: paper\nloss: {foreground: 3.0}\ntrain: {epochs: 5, learning_rate: 1e-4}\n")
    config = load_config(path, ["train.learning_rate=1e-2", "model.slots.n_slots=0"])
    assert config.train.optimizer == "adam"
    assert config.loss.foreground == 3.0
    assert config.loss.overlap == 0.0
    assert (config.train.epochs, config.train.learning_rate) == (5, 0.01)
    assert config.model.slots.n_slots == 0


def test_the_paper_preset_has_the_three_losses_and_the_closed_gate():
    config = RunConfig.parse({"preset": "paper"})
    used = {name for name in ("contrastive", "boundary", "entropy") if getattr(config.loss, name) > 0}
    others = ("foreground", "overlap", "negative_pair", "proposal", "firing_rate")
    assert config.model.proposals.read == "rates"  # with nothing to learn, which none of the three would teach
    assert used == {"contrastive", "boundary", "entropy"}
    assert not any(getattr(config.loss, name) for name in others)
    assert config.model.relevant_mamba.gate_bias == 0
    assert config.grounding.score == "saliency"


def old_run(**settings):
    """A grounding run's configuration as 0.1.0 wrote it."""
    tree = RunConfig.parse(settings).model_dump(mode="json")
    for key in ("heads", "token_similarity"):
        del tree["model"][key]
    del tree["model"]["proposals"]["read"]
    for key in (
        "negatives",
        "negatives_every",
        "negatives_norm",
        "negatives_read",
        "boundary_unit",
        "quality",
        "edges",
    ):
        del tree["loss"][key]
    return tree


@pytest.mark.parametrize("preset", ["full", "paper"])
def test_a_run_of_before_keeps_its_network_and_its_losses_under_either_preset(preset):
    found = RunConfig.parse(old_run(preset=preset))
    assert found.model.proposals.read == "neuron"
    assert found.model.heads.clamp
    assert (found.loss.negatives, found.loss.negatives_norm) == ("previous", "batch")
    assert RunConfig.parse(found.model_dump(mode="json")) == found
    more = RunConfig.parse(merge(old_run(preset=preset), {"model": {"proposals": {"read": "rates"}}}))
    assert more.model.proposals.read == "rates"
    assert more.model.heads.clamp


def test_an_adaptation_of_before_keeps_its_network_too_and_a_new_one_has_todays():
    given = {"videos": "v", "encoder": {"backbone": "b"}, "preset": "paper"}
    before = {**given, **{key: old_run(preset="paper")[key] for key in ("model", "loss")}}
    for tree, read, clamp, norm in ((given, "rates", False, "kept"), (before, "neuron", True, "batch")):
        found = AdaptationConfig.parse({**tree, "task": "adaptation"})
        assert (found.model.proposals.read, found.model.heads.clamp, found.loss.negatives_norm) == (read, clamp, norm)


def test_ranking_by_quality_needs_the_head_that_tells_it():
    with pytest.raises(ConfigError, match=r"grounding.score is 'quality', .* set model.heads.quality=true too"):
        RunConfig.parse({"grounding": {"score": "quality"}, "model": {"heads": {"quality": False}}})
    RunConfig.parse({"grounding": {"score": "quality"}, "model": {"heads": {"quality": True}}})


def test_overrides_must_be_assignments():
    with pytest.raises(ConfigError, match=r"--set has 2 faults"):
        parse_overrides(["train.epochs", ".x=1", "a.b=2"])
    assert parse_overrides(["a.b=2", "a.c=[1, x]", "d=null"]) == {"a": {"b": 2, "c": [1, "x"]}, "d": None}


def test_merging_is_deep():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"d": 4}) == {"a": {"b": 1, "c": 3}, "d": 4}


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_that_comes_along_loads_and_opens_with_its_command(name):
    assert load_run_config(config_path(name)).name == name
    assert config_path(name).read_text().startswith("# spikemba ")


def test_a_written_configuration_reads_back_equal(tmp_path):
    config = load_config(config_path("shapes"), ["preset=paper"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert load_config(path) == config


def test_an_unknown_dataset_lists_the_known_ones():
    with pytest.raises(UnknownName, match="no dataset is called 'tvsumm'; did you mean 'tvsum'"):
        config_path("tvsumm")


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(ConfigError, match="drop_epoch is not given"):
        RunConfig.parse({"train": {"schedule": "step"}})
    with pytest.raises(ConfigError, match="set data.sentence_token=true too"):
        RunConfig.parse({"model": {"query_similarity": True}})


def documented(model, prefix=""):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and hasattr(kind, "model_fields"):
            yield from documented(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.description


@pytest.mark.parametrize("kind", [RunConfig, RecognitionConfig, VideoMambaConfig])
def test_every_setting_says_what_it_means(kind):
    assert [key for key, text in documented(kind) if not text] == []


def test_presets_name_settings_that_exist():
    for tree in PRESETS.values():
        RunConfig.parse(tree)


@pytest.mark.parametrize("name", config_names())
def test_a_file_holds_only_what_differs_from_its_base_or_the_defaults(name):
    tree = yaml.safe_load(config_path(name).read_text())
    base = tree.pop("base", None)
    found = load_run_config(config_path(name))
    below = (load_run_config(config_path(base)) if base else type(found)()).model_dump(mode="json")
    for section, keys in tree.items():
        if isinstance(keys, dict) and below[section] is not None:
            same = [f"{section}.{k}" for k, v in keys.items() if not isinstance(v, dict) and below[section][k] == v]
            assert not same


# Bases


@pytest.fixture
def write(tmp_path):
    """A function that writes a YAML file and says where."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_a_file_stands_over_its_base_and_under_the_command_line(write):
    path = write("mine.yaml", "base: tvsum\nname: mine\ndata: {domains: [BK]}\ntrain: {epochs: 3, seed: 4}\n")
    config = load_run_config(path, ["train.seed=5"])
    wanted = load_run_config(config_path("tvsum"), ["name=mine", "data.domains=[BK]", "train.epochs=3", "train.seed=5"])
    assert config == wanted
    assert "base" not in to_yaml(config)


def test_a_base_of_ones_own_is_looked_for_beside_the_file_and_may_have_one_itself(write, monkeypatch, tmp_path):
    write("shared.yaml", "base: shapes\ntrain: {epochs: 3, batch_size: 5}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(write("small/mine.yaml", "base: ../shared.yaml\ntrain: {batch_size: 6}\n"))
    assert (config.train.epochs, config.train.batch_size, config.model.width) == (3, 6, 64)


def test_a_preset_lies_under_the_base_that_names_it(write):
    write("low.yaml", "preset: paper\nloss: {overlap: 2.0}\n")
    low = load_config(write("a.yaml", "base: low.yaml\nloss: {foreground: 3.0}\n"))
    assert (low.loss.overlap, low.loss.foreground, low.loss.proposal, low.train.optimizer) == (2.0, 3.0, 0.0, "adam")
    full = load_config(write("b.yaml", "base: low.yaml\npreset: full\n"))
    assert (full.loss.overlap, full.loss.proposal, full.train.optimizer) == (2.0, 1.0, "adamw")


def test_what_prepare_wrote_may_have_a_base_too(write):
    prepared = write("config.yaml", "base: base.yaml\ndata: {clip_s: 3}\n")
    write("base.yaml", "data: {clip_s: 4, max_tokens: 7}\nmodel: {width: 8}\n")
    config = load_config(config_path("tvsum"), prepared=prepared)
    assert (config.data.clip_s, config.data.max_tokens, config.model.width) == (3, 7, 256)


@pytest.mark.parametrize(
    ("base", "problem"),
    [
        ("shape", r"mine.yaml has 1 fault: base: there is no file .*shape, nor one of these names: .*demo.*shapes"),
        ("none.yaml", "base: there is no file .*none.yaml"),
        ("[shapes]", r"base: \['shapes'\]: expected a path or one of .*shapes"),
        ("mine.yaml", r"base: leads back to itself \(.*mine.yaml -> .*mine.yaml\)"),
        ("other.yaml", r"other.yaml has 1 fault: base: leads back to itself \(.*mine.* -> .*other.* -> .*mine.yaml\)"),
    ],
)
def test_a_base_that_is_none_is_one_clear_error(write, base, problem):
    write("other.yaml", "base: mine.yaml\n")
    with pytest.raises(ConfigError, match=problem):
        load_run_config(write("mine.yaml", f"base: {base}\n"))


def test_faults_of_a_file_and_its_base_are_reported_together(write):
    write("low.yaml", "train: {batch_size: -3}\n")
    with pytest.raises(ConfigError, match=r"(?s)2 faults.*train.batch_size: -3.*model.width: 'wide'"):
        load_config(write("mine.yaml", "base: low.yaml\nmodel: {width: wide}\n"))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.learning_rate=.inf", "train.learning_rate: inf: input should be a finite number"),
        ("train.warmup=.nan", "train.warmup: nan: input should be"),
        ("train.weight_decay=1e300", "train: weight_decay is larger than a number can be; expected at most 3.4e+38"),
        (f"train.seed={10**400}", "train: seed is larger than a number can be; expected at most 9.22e+18"),
        ("data.clip_s=1e9", "data.clip_s: 1000000000.0: input should be less than or equal to 3600"),
        ("data.clip_s=1e-300", "data.clip_s: 1e-300: input should be greater than or equal to 0.01"),
    ],
)
def test_numbers_that_nothing_can_be_counted_with_are_refused(setting, said):
    with pytest.raises(ConfigError) as raised:
        load_run_config(config_path("shapes"), [setting])
    assert said in str(raised.value)


@pytest.mark.parametrize("setting", ["train.epoch=3", "train.epochs=none", "model.width=-1", "trein.epochs=1"])
def test_a_faulty_setting_is_blamed_on_set_and_not_on_a_file_without_faults(write, setting):
    with pytest.raises(ConfigError, match=rf"^--set has 1 fault: {setting[:5]}"):
        load_run_config(config_path("shapes"), [setting])
    own = write("mine.yaml", "train: {epochs: 0}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml has 2 faults"):
        load_run_config(own, [setting if "epochs" not in setting else "model.width=-1"])


def test_a_section_cannot_be_set_to_a_value_and_have_keys():
    with pytest.raises(ConfigError, match=r"'train.epochs=2': train was set to 5 before, and is a section"):
        parse_overrides(["train=5", "train.epochs=2"])

"""Ablations: variants of a configuration, one table, nothing trained twice."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from pipelines.runs.config import config_path
from pipelines.runs.study_folder import Study, StudyRun, mean_and_spread, read_study
from pipelines.scoring.scores import protocol_of
from pipelines.studies.ablation_runs import ablate, trained_before
from pipelines.studies.ablation_scores import Measured, Reported, measure, outcome, reported
from pipelines.studies.ablation_tables import Ablation, difference, document, kinds_table, notes, plus_minus, table
from pipelines.studies.ablations import ABLATIONS, settings_of, variants
from pipelines.studies.study import run_study
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.evaluate import evaluate
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.tasks.train import train
from pipelines.training.batch_plan import BatchPlan
from spikemba.config import flat, parse_overrides
from spikemba.datasets.annotations import Annotation, PredictedRow, read_predictions, write_predictions
from spikemba.errors import ConfigError, FeaturesMissing, OutputError, UnknownName
from spikemba.features import FeatureFolder, write_query_features
from spikemba.model import SpikeMba
from spikemba.moments import Moment, Window
from spikemba_cli.main import app


@pytest.fixture
def settings(tiny):
    return [*tiny, "train.epochs=1"]


@pytest.fixture
def some(corpus, settings):
    return variants(corpus / "config.yaml", settings, ["detector=on", "detector=off", "slots=0"], None)


def test_there_is_a_variant_for_every_ablation_of_the_methods():
    assert list(ABLATIONS["detector"]) == ["on", "off", "silent"]
    assert list(ABLATIONS["slots"]) == ["0", "4", "8", "16", "32", "none_wider", "reaching"]
    assert list(ABLATIONS["spike_steps"]) == ["1", "2", "4", "8", "10"]
    assert list(ABLATIONS["blocks"]) == ["2", "4", "6", "8"]
    assert list(ABLATIONS["mixer"]) == ["scan", "mamba2", "hydra", "conv", "attention", "attention_conv"]
    more = {"scan", "gate", "spike_gate", "slots_place", "slots_carry", "position", "heads", "negatives", "preset"}
    assert more < set(ABLATIONS)


@pytest.mark.parametrize("setting", [setting for _, _, setting in settings_of()])
def test_every_setting_of_the_table_is_one_of_the_configuration(setting):
    given = flat(parse_overrides(setting.split()))
    resolved = flat(load_config(None, setting.split()).model_dump())
    assert {name: resolved[name] for name in given} == given


def test_every_variant_differs_as_its_name_says(corpus):
    chosen = ["detector=on", "detector=off", "slots=none_wider", "blocks", "gate", "mixer", "preset"]
    named = {variant.name: variant.config for variant in variants(corpus / "config.yaml", [], chosen, None)}
    assert len(named) == 1 + len(settings_of(chosen))
    assert not named["detector=off"].model.spiking_saliency.enabled
    assert named["detector=on"].model.spiking_saliency.enabled
    assert named["slots=none_wider"].model.slots.n_slots == 0
    assert named["slots=none_wider"].model.mixer.conv_width == 5
    assert named["blocks=8"].model.n_blocks == 8
    assert named["gate=closed"].model.relevant_mamba.gate_bias == 0
    assert named["preset=paper"].loss.foreground == 0
    assert named["mixer=mamba2"].model.mixer.state_size == named["mixer=hydra"].model.mixer.state_size == 64
    assert named["mixer=attention_conv"].model.mixer.kind == "attention_conv"


def test_the_network_without_slots_has_no_fewer_parameters_where_it_is_wider():
    def count(*settings):
        network = SpikeMba(load_config(config_path("claims"), settings).model, 192, 192)
        return sum(parameter.numel() for parameter in network.parameters())

    base, without = count(), count("model.slots.n_slots=0")
    wider = count(*ABLATIONS["slots"]["none_wider"].split())
    assert without < base < wider < 1.003 * base


def gates(model):
    return [p for name, p in model.named_parameters() if name.endswith("gate_proj.bias")]


def names(model):
    return {name for name, parameter in model.named_parameters() if parameter.numel()}


def parts(model, word):
    return {name for name in names(model) if word in name}


SAID = {
    "model.spiking_saliency.enabled=false": lambda base, model, out, terms: (
        names(model) == names(base) - parts(base, "detectors") - parts(base, "heads.rates") and out.spikes == ()
    ),
    "model.slots.n_slots=0": lambda base, model, out, terms: names(model) == names(base) - parts(base, "_slots"),
    "model.mixer={kind: attention, n_heads: 2}": lambda base, model, out, terms: (
        parts(base, "A_log") and not parts(model, "A_log") and not parts(model, "conv1d") and parts(model, "mixer.qkv")
    ),
    "model.mixer.kind=conv": lambda base, model, out, terms: (
        not parts(model, "A_log") and not parts(model, "x_proj") and parts(model, "conv1d")
    ),
    "model.mixer={kind: attention_conv, n_heads: 2}": lambda base, model, out, terms: (
        not parts(model, "A_log") and parts(model, "mixer.qkv") and parts(model, "conv1d")
    ),
    "model.mixer.directions=forward": lambda base, model, out, terms: (
        parts(base, "backward_scan") and names(model) == names(base) - parts(base, "backward_scan")
    ),
    "model.spiking_saliency.n_spike_steps=1": lambda base, model, out, terms: (
        names(model) == names(base) and [len(fired.trains) for fired in out.spikes] == [1]
    ),
    "model.n_blocks=2": lambda base, model, out, terms: (
        {name.replace(".1.", ".0.", 1) for name in parts(model, "blocks.1.")} == parts(base, "blocks.0.")
        and len(out.spikes) == 2
    ),
    "loss.firing_rate=0.1": lambda base, model, out, terms: names(model) == names(base) and "firing_rate" in terms,
    "model.relevant_mamba.gate_bias=0": lambda base, model, out, terms: (
        names(model) == names(base) and not any(bias.any() for bias in gates(model))
    ),
}
"""Setting -> whether it does what it says: the base's network, its own, what that predicts, the terms of its loss."""

TERMS = {"paper": {"contrastive", "boundary", "entropy"}}
TERMS["full"] = TERMS["paper"] | {"foreground", "overlap", "negative_pair", "proposal"}
NEGATIVES = {"paper": [], "full": ["loss.negative_pair=1"]}


@pytest.mark.parametrize("preset", TERMS)
@pytest.mark.parametrize("change", SAID)
def test_every_ablation_changes_what_it_says_and_learns(corpus, tiny, change, preset):
    def task_of(*settings):
        torch.manual_seed(0)
        return GroundingTask(
            load_config(corpus / "config.yaml", [*tiny, f"preset={preset}", *NEGATIVES[preset], *settings])
        )

    base, task = task_of(), task_of(change)
    assert bool(gates(base.module)[0].any()) == (preset == "full")
    (micro_batch,) = next(BatchPlan(task.n_examples, 8).steps(0))
    pairs = task.load(micro_batch)
    assert (pairs.negative is not None) == (preset == "full")
    loss, terms, _ = task.loss(pairs)
    assert set(terms) - {"firing_rate"} == TERMS[preset]
    loss.backward()
    assert SAID[change](base.module, task.module, task.module(pairs.batch), terms)
    gradients = [p.grad for p in task.module.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.square().sum() for gradient in gradients) > 0


def test_a_variant_that_is_the_base_shares_its_runs(corpus, settings):
    folders = {v.name: v.folder for v in variants(corpus / "config.yaml", settings, ["slots", "scan"], None)}
    assert folders["scan=both"] == folders["base"] == "base"
    assert folders["scan=forward"] == "scan-forward"
    same = {v.name: v.folder for v in variants(corpus / "config.yaml", ["model.slots.n_slots=4"], ["slots"], None)}
    assert same["slots=4"] == "base"


def test_an_unknown_part_is_named_with_the_list(corpus):
    with pytest.raises(UnknownName, match=r"no ablation is called 'slot'; did you mean 'slots'.* slots=0"):
        variants(corpus / "config.yaml", [], ["slot"], None)


def test_ablating_trains_each_configuration_once_per_seed_and_resumes(some, tmp_path):
    started: list[str] = []
    found = ablate(some, tmp_path, [0, 1], starting=lambda name, *_: started.append(name))
    base, same, off, without = found.outcomes
    assert started == ["base", "detector=off", "slots=0"]
    assert [one.variant.name for one in found.outcomes] == ["base", "detector=on", "detector=off", "slots=0"]
    for one in found.outcomes:
        assert set(one.all.by_seed) == {0, 1}
        assert set(one.all.std) == set(one.all.mean)
        assert one.seconds > 0
    assert {p.parent.name for p in tmp_path.glob("*/seed0/best")} == {"seed0"}
    assert len(list(tmp_path.glob("*/seed*/metrics.jsonl"))) == 6
    assert len(list(tmp_path.glob("*/seed*/predictions_test.jsonl"))) == 6
    assert base.all.by_seed == same.all.by_seed
    assert base.all.against == same.all.against == {}
    assert off.n_parameters < base.n_parameters == without.n_parameters + 2 * 2 * 16
    assert off.compared == (0, 1)

    kept = {p: p.stat().st_mtime_ns for name in ("last/model.safetensors", "predictions_test.jsonl")
            for p in tmp_path.glob(f"*/seed*/{name}")}  # fmt: skip
    again = ablate(some, tmp_path, [0, 1], resume=True)
    assert document(again) == document(found)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept

    stored = json.loads((tmp_path / "ablations.json").read_text())
    assert stored == json.loads(json.dumps(document(found)))
    assert [row["name"] for row in stored["variants"]] == ["base", "detector=on", "detector=off", "slots=0"]
    assert stored["variants"][3]["setting"] == "model.slots.n_slots=0"
    text = (tmp_path / "ablations.md").read_text()
    assert f"Split test: {stored['split']['queries']} queries about 5 videos" in text
    assert "±" in text
    assert "By kind of query" in text


def test_the_numbers_are_those_of_the_split_and_of_the_best_checkpoint(some, tmp_path):
    (only,) = ablate(some[:1], tmp_path, [3]).outcomes
    run_folder = tmp_path / "base" / "seed3"
    assert only.all.by_seed[3] == pytest.approx(evaluate(run_folder, "test")["brief"])
    assert only.by_kind["plain"].by_seed[3] == evaluate(run_folder / "best", "test")["by_kind"]["plain"]["brief"]
    study = Study(benchmark="qvhighlights", runs=(StudyRun(folder="seed3", seed=3),))
    stored = run_folder / "predictions_test.jsonl"
    answers = read_predictions(stored)
    marked = [replace(one, saliency=(9.0,)) for one in answers]
    write_predictions(stored, marked)
    os.utime(stored, ns=(0, 0))
    assert measure(tmp_path / "base", study, "test").by_seed[3] == marked  # read as they are, whatever their date
    said: list[str] = []
    write_predictions(stored, marked[1:])
    assert measure(tmp_path / "base", study, "test", said.append).by_seed[3] == answers
    assert said == [f"{stored}: it is of other queries, so all its queries are answered anew"]
    assert measure(tmp_path / "base", study, "test", said.append).by_seed[3] == answers
    assert len(said) == 1


@pytest.mark.parametrize("changed", ["annotations", "features", "checkpoint", "record"])
def test_answers_to_other_data_are_never_taken_for_those_to_these(corpus, settings, tmp_path, changed):
    data = tmp_path / "data"
    shutil.copytree(corpus, data)
    tree = yaml.safe_load((data / "config.yaml").read_text().replace(str(corpus), str(data)))
    (data / "config.yaml").write_text(yaml.safe_dump(tree))
    wanted = variants(data / "config.yaml", settings, ["detector=on"], None)
    ablate(wanted, tmp_path / "out")
    (stored,) = tmp_path.glob("out/base/predictions_test.jsonl")
    write_predictions(stored, [replace(one, moments=()) for one in read_predictions(stored)])
    if changed == "annotations":
        lines = (data / "test.jsonl").read_text().splitlines()
        row = json.loads(lines[0])
        row["query"] += " again"
        (data / "test.jsonl").write_text("\n".join([json.dumps(row), *lines[1:]]) + "\n")
        said_of = FeatureFolder(data / "features" / "mini_text")  # features of the other sentence belong to it
        tokens, pooled = said_of.text(row["qid"]), said_of.sentence(row["qid"])
        write_query_features(said_of.folder, row["qid"], tokens, pooled, query=row["query"])
    elif changed == "features":
        video = json.loads((data / "test.jsonl").read_text().splitlines()[0])["vid"]
        path = data / "features" / "mini" / f"{video}.npz"
        with np.load(path) as arrays:
            np.savez(path, features=arrays["features"] * 2)
    elif changed == "checkpoint":
        weights = tmp_path / "out" / "base" / "best" / "model.safetensors"
        tensors = load_file(weights)
        save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights)
    else:
        stored.with_suffix(".made.json").unlink()
    said: list[str] = []
    found = ablate(wanted, tmp_path / "out", resume=True, told=said.append)
    assert found.outcomes[0].all.mean
    expected = {"record": "it does not say which", "features": "the features in"}.get(changed, f"the {changed} changed")
    assert len(said) == 1
    assert expected in said[0]
    assert any(row.moments for row in read_predictions(stored))
    asked = [
        (json.loads(line)["vid"], json.loads(line)["query"]) for line in (data / "test.jsonl").read_text().splitlines()
    ]
    assert [(row.video_id, row.query) for row in read_predictions(stored)] == asked


def test_the_test_split_is_reported_where_it_shows_its_truth(corpus, tmp_path):
    def split_of(*settings):
        found = reported(load_config(corpus / "config.yaml", settings).data)
        return found and found.split

    rows = [json.loads(line) for line in (corpus / "test.jsonl").read_text().splitlines()]
    wanted = ("qid", "query", "vid", "duration")
    hidden = tmp_path / "hidden.jsonl"
    hidden.write_text("".join(json.dumps({key: row[key] for key in wanted}) + "\n" for row in rows))
    assert split_of() == "test"
    assert split_of("data.test=null") == split_of(f"data.test={hidden}") == "val"
    assert split_of("data.test=null", "data.val=null") is None


def test_features_that_the_split_lacks_are_said_before_anything_is_trained(corpus, settings, tmp_path):
    row = json.loads((corpus / "test.jsonl").read_text().splitlines()[0])
    (tmp_path / "other.jsonl").write_text(json.dumps({**row, "vid": "another"}) + "\n")
    wanted = variants(corpus / "config.yaml", [*settings, f"data.test={tmp_path / 'other.jsonl'}"], ["slots=0"], None)
    with pytest.raises(FeaturesMissing):
        ablate(wanted, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_variant_that_cannot_be_trained_does_not_stop_the_others(some, tmp_path):
    (tmp_path / "detector-off").touch()  # no folder can be made there
    failures: list[str] = []
    found = ablate(some, tmp_path, failed=lambda name, problem: failures.append(name))
    assert failures == ["detector=off"]
    assert [bool(one.problem) for one in found.outcomes] == [False, False, True, False]
    columns, rows = table(found)
    assert rows[2][1:] == ["0", *[""] * (len(columns) - 2)]
    assert rows[3][columns.index("mAP - base (95 %)")]


VIDEOS, PER_VIDEO = 30, 3


def answers(rng, share):
    """Rows that are right, as far as R1@0.5 and mAP go, with that probability each."""
    starts = np.where(rng.random(VIDEOS * PER_VIDEO) < share, 10.0, 50.0)
    return [
        PredictedRow(i, f"v{i // PER_VIDEO}", "q", (Moment(start, start + 10, 1.0),), ())
        for i, start in enumerate(starts)
    ]


def hits(rows):
    """Query and seed -> 0 or 1, (Q, seeds)."""
    return np.array([[row.moments[0][0] == 10 for row in of_seed] for of_seed in rows], float).T


@pytest.fixture
def measured():
    rng = np.random.default_rng(0)
    base = Measured({seed: answers(rng, 0.4) for seed in (0, 1, 2)}, 10, 1.0)
    return base, Measured({seed: answers(rng, 0.6) for seed in (1, 2, 7)}, 20, 2.0)


@pytest.fixture
def about():
    kinds = ["plain", "first/last", "plain"] * VIDEOS
    truth = [
        Annotation(i, "q", f"v{i // PER_VIDEO}", 100.0, (Window(10, 20),), kind=kind) for i, kind in enumerate(kinds)
    ]
    return Reported("test", truth, protocol_of("qvhighlights"))


def directly(gains, videos, n=4000):
    """Mean and percentile interval of (Q,) gains, whole videos drawn with replacement, one loop per resample."""
    rng = np.random.default_rng(5)
    names = sorted(set(videos))
    of = {name: gains[[i for i, video in enumerate(videos) if video == name]] for name in names}
    means = [np.concatenate([of[name] for name in rng.choice(names, len(names))]).mean() for _ in range(n)]
    return 100 * gains.mean(), *(100 * np.quantile(means, (0.025, 0.975)))


def test_a_difference_and_its_interval_are_those_of_a_direct_computation(some, measured, about):
    base, other = measured
    found = outcome(some[2], other, base, about)
    assert found.compared == (1, 2)  # those that both have, while the mean is over its own
    assert set(found.all.by_seed) == {1, 2, 7}
    assert outcome(some[0], base, None, about).all.against == {}

    first, second = (hits([one.by_seed[seed] for seed in (1, 2)]) for one in measured)
    gains, videos = (second - first).mean(1), [one.video_id for one in about.truth]
    for kind, chosen in (("", np.ones(len(gains), bool)), ("plain", np.arange(len(gains)) % 3 != 1)):
        numbers = found.by_kind[kind] if kind else found.all
        mean, low, high = directly(gains[chosen], [video for video, its in zip(videos, chosen, strict=True) if its])
        for name in ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP"):  # all are right or wrong together here
            compared = numbers.against[name].difference
            assert compared.mean == pytest.approx(mean)
            assert (compared.low, compared.high) == pytest.approx(
                (low, high), abs=1.5
            )  # two sets of resamples; the half width is 10
            assert low < mean < high
        assert numbers.mean["MR-full-R1@0.5"] == pytest.approx(
            100 * hits(other.by_seed.values())[chosen].mean(), abs=0.01
        )


def test_differences_are_taken_on_the_same_queries_with_the_same_seed(some, about):
    """Two seeds that are right on different halves; the variant is right on one query more under each."""
    half = VIDEOS * PER_VIDEO // 2
    right = {0: set(range(half)), 1: set(range(half, 2 * half))}

    def rows(which):
        starts = [10 if i in which else 50 for i in range(2 * half)]
        return [PredictedRow(i, f"v{i // 3}", "q", (Moment(s, s + 10, 1.0),), ()) for i, s in enumerate(starts)]

    base = Measured({seed: rows(which) for seed, which in right.items()}, 1, 1.0)
    more = Measured({0: rows(right[0] | {half}), 1: rows(right[1] | {0})}, 1, 1.0)
    gain = outcome(some[2], more, base, about).all.against["MR-full-R1@0.5"]
    assert gain.difference.mean == pytest.approx(100 / (2 * half))
    assert (gain.better, gain.worse) == (2, 0)
    assert gain.difference.high < 4  # although the seeds differ by everything


def test_both_tables_show_differences_with_their_intervals(some, measured, about):
    base, other = measured
    found = Ablation([outcome(some[0], base, None, about), outcome(some[2], other, base, about)], about)
    columns, rows = table(found)
    assert columns[:3] == ["variant", "seeds", "mAP"]
    assert columns[-2:] == ["parameters", "seconds"]
    place = columns.index("R1@0.5 - base (95 %)")
    assert rows[0][place] == ""
    assert rows[1][place] == difference(found.outcomes[1].all.against["MR-full-R1@0.5"])
    assert rows[1][-2:] == ["20", "2"]
    columns, rows = kinds_table(found)
    assert columns == ["variant", "kind", "queries", "R1@0.5", "R1@0.5 - base (95 %)"]
    assert [row[:3] for row in rows] == [
        ["base", "plain", "60"],
        ["base", "first/last", "30"],
        ["detector=off", "plain", "60"],
        ["detector=off", "first/last", "30"],
    ]
    assert (plus_minus(1.234, 0.5), plus_minus(3.0, None), plus_minus(None, None)) == ("1.23 ± 0.50", "3.00", "")


def test_numbers_without_kinds_have_no_second_table(some, measured, about):
    plain = Reported("val", [replace(one, kind=None) for one in about.truth], about.protocol)
    assert kinds_table(Ablation([outcome(some[0], measured[0], None, plain)], plain))[1] == []


def told_of(corpus, settings, only, folders=None):
    return variants(corpus / "config.yaml", settings, only, None, folders or {})


def seeds_of(out):
    """What the stored table has: name -> seeds."""
    return {row["name"]: sorted(row["seeds"]) for row in json.loads((out / "ablations.json").read_text())["variants"]}


def test_the_table_grows_by_seeds_and_by_variants(corpus, settings, tmp_path):
    ablate(told_of(corpus, settings, ["detector=off"]), tmp_path, [0, 1])
    weights = {p: p.read_bytes() for p in tmp_path.glob("*/seed*/last/model.safetensors")}
    ablate(told_of(corpus, settings, ["detector=off"]), tmp_path, [2], resume=True)
    assert seeds_of(tmp_path) == {"base": ["0", "1", "2"], "detector=off": ["0", "1", "2"]}

    names = trained_before(tmp_path)
    assert names == {"base": "base", "detector=off": "detector-off"}
    both = told_of(corpus, settings, ["slots=0", *set(names) - {"base"}], names)
    found = ablate(both, tmp_path, [3], resume=True, asked=("base", "slots=0"))
    grown = {"base": ["0", "1", "2", "3"], "detector=off": ["0", "1", "2"], "slots=0": ["3"]}
    assert seeds_of(tmp_path) == grown
    assert {one.variant.name: one.compared for one in found.outcomes} == {
        "base": (),
        "detector=off": (0, 1, 2),
        "slots=0": (3,),
    }
    study = json.loads((tmp_path / "base" / "study.json").read_text())
    assert [run["seed"] for run in study["runs"]] == [0, 1, 2, 3]
    assert {p: p.read_bytes() for p in weights} == weights


def broken(config, out, **how):
    """A trainer for which one variant is too much."""
    if "detector-off/seed1" in str(out):
        raise OutputError(out, "no space left on device")
    return train(config, out, **how)


def test_a_run_that_fails_takes_nothing_from_the_table(corpus, settings, tmp_path):
    wanted = told_of(corpus, settings, ["detector=off"])
    ablate(wanted, tmp_path, [0, 2])
    said: dict[str, str] = {}
    found = ablate(wanted, tmp_path, [0, 1, 2], resume=True, run=broken, failed=said.__setitem__)
    assert "no space left on device" in said["detector=off"]
    assert seeds_of(tmp_path) == {"base": ["0", "1", "2"], "detector=off": ["0", "2"]}
    assert found.outcomes[1].problem
    assert found.outcomes[1].compared == (0, 2)
    assert json.loads((tmp_path / "ablations.json").read_text())["variants"][1]["problem"]


def stopped(config, out, **how):
    if "detector-off" in str(out):
        raise KeyboardInterrupt
    return train(config, out, **how)


def test_an_interruption_leaves_what_the_table_had(corpus, settings, tmp_path):
    ablate(told_of(corpus, settings, ["slots=0", "detector=off"]), tmp_path, [0])
    with pytest.raises(KeyboardInterrupt):
        ablate(told_of(corpus, settings, ["detector=off", "slots=0"]), tmp_path, [1], resume=True, run=stopped)
    assert seeds_of(tmp_path) == {"base": ["0", "1"], "detector=off": ["0"], "slots=0": ["0"]}


def test_settings_that_do_not_fit_leave_the_tables_as_they_were(corpus, settings, tmp_path):
    ablate(told_of(corpus, settings, ["detector=off"]), tmp_path, [0])
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    other = told_of(corpus, [*settings, "train.learning_rate=0.5"], ["detector=off"])
    with pytest.raises(ConfigError, match=r"train.learning_rate: the run was started with"):
        ablate(other, tmp_path, [1], resume=True)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_what_cannot_start_writes_nothing(corpus, settings, tmp_path):
    for more in ("data.train=null", "train.best_metric=mAPP"):
        with pytest.raises(ConfigError):
            ablate(told_of(corpus, [*settings, more], ["detector=off"]), tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_study_of_seeds_keeps_those_that_it_has(corpus, settings, tmp_path):
    config = load_config(corpus / "config.yaml", settings)
    run_study(config, tmp_path, [4])
    study = run_study(config, tmp_path, [2], resume=True)
    assert [one.seed for one in study.runs] == [2, 4]
    assert read_study(tmp_path) == study
    assert [one.folder for one in run_study(config, tmp_path, resume=True).runs] == ["seed2", "seed4"]
    with pytest.raises(ConfigError, match="width"):
        run_study(load_config(corpus / "config.yaml", [*settings, "model.width=32"]), tmp_path, [7], resume=True)
    assert read_study(tmp_path) == study


def test_a_variant_whose_setting_has_no_effect_is_the_base_and_says_why(corpus, settings, tmp_path):
    given = [*settings, "model.slots.n_slots=0"]
    only = ["slots_place", "slots_carry=on", "scan", "detector=on"]
    wanted = told_of(corpus, given, only)
    assert {one.folder for one in wanted} == {"base", "scan-forward"}
    started: list[str] = []
    found = ablate(
        [one for one in wanted if one.folder == "base"], tmp_path, starting=lambda name, *_: started.append(name)
    )
    assert started == ["base"]
    assert all(one.all.against == {} for one in found.outcomes)
    why = "has no effect unless model.slots.n_slots is above 0"
    text = (tmp_path / "ablations.md").read_text()
    assert f"slots_place=front, slots_place=source, slots_place=both are base: model.slots.place {why}." in text
    assert f"slots_carry=on is base: model.slots.carry {why}." in text
    assert "detector=on is base" not in text  # which is said by its name
    rows = {row["name"]: row.get("idle") for row in document(found)["variants"]}
    assert rows["slots_carry=on"] == f"model.slots.carry {why}"
    attention = told_of(corpus, [*given, "model.mixer={kind: attention, n_heads: 2}"], ["scan"])
    assert {one.folder for one in attention} == {"base"}


def test_values_of_a_part_are_listed_and_taken_together(corpus):
    assert [row[1] for row in settings_of(["slots=0,4", "negatives"])] == ["0", "4", "0.0", "1.0"]
    with pytest.raises(UnknownName, match=r"no value of slots is called '3'; there are: 0, 4, 8, 16, 32, none_wider"):
        settings_of(["slots=3"])
    listed = run("ablate", "--list", "--only", "slots=0, 4")
    assert len(listed.stdout.splitlines()) == 3


def test_what_is_not_grounding_is_refused_in_one_line():
    refused = run("ablate", "motions")
    assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert "ablate is for grounding" in refused.stderr


def test_without_prepared_data_one_line_says_how_to_make_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (("ablate", "claims"), ("train", "--dataset", "claims")):
        refused = run(*command)
        assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
        assert "make them with `spikemba prepare claims --grammar far --out data/claims`" in refused.stderr
        assert list(tmp_path.iterdir()) == []


def test_ablations_of_several_data_lie_apart(tmp_path):
    from spikemba_cli.ablate import _folder_name

    names = [_folder_name("claims", tmp_path / grammar) for grammar in ("far", "scripts")]
    assert names == ["claims-far-ablations", "claims-scripts-ablations"]
    assert _folder_name("shapes", None) == _folder_name("shapes", tmp_path / "shapes") == "shapes-ablations"


def test_a_spread_is_rounded_once():
    spread = mean_and_spread([{"mAP": 0.0}, {"mAP": 0.0849 * 2**0.5}])[1]["mAP"]
    assert spread == pytest.approx(0.0849)
    assert plus_minus(0.06, spread) == "0.06 ± 0.08"


def test_queries_without_a_kind_are_counted(some, measured, about):
    mixed = replace(about, truth=[replace(one, kind=None if i == 0 else one.kind) for i, one in enumerate(about.truth)])
    assert "Note: 1 query has no kind." in notes(Ablation([outcome(some[0], measured[0], None, mixed)], mixed))


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_prints_the_table(corpus, settings, tmp_path):
    given = [part for setting in settings for part in ("--set", setting)]
    base = ("ablate", "--config", corpus / "config.yaml", "--only", "detector=off", "--out", tmp_path / "a", *given)
    done = run(*base, "--seeds", "3")
    assert done.exit_code == 0, done.output
    (head, *rows), (of_kinds, *kinds) = (
        [line.split("\t") for line in part.splitlines()] for part in done.stdout.split("\n\n")
    )
    assert head[:3] == ["variant", "seeds", "mAP"]
    assert [row[0] for row in rows] == ["base", "detector=off"]
    assert of_kinds[:3] == ["variant", "kind", "queries"]
    assert {row[0] for row in kinds} == {"base", "detector=off"}
    assert "Split test: " in done.stderr
    assert run(*base, "--seeds", "3").exit_code == 1  # not without --resume
    again = run(*base, "--seeds", "3", "--resume", "--json")
    assert [row["folder"] for row in json.loads(again.stdout)["variants"]] == ["base", "detector-off"]


def test_the_command_lists_what_there_is():
    done = run("ablate", "--list")
    assert done.exit_code == 0
    assert "slots\t32\tmodel.slots.n_slots=32" in done.stdout
    assert run("ablate").exit_code == 2
    assert len(done.stdout.splitlines()) == 1 + len(settings_of())
    chosen = run("ablate", "--list", "--only", "slots=0", "--only", "scan").stdout.splitlines()[1:]
    assert [line.split("\t")[:2] for line in chosen] == [["slots", "0"], ["scan", "both"], ["scan", "forward"]]
    listed = json.loads(run("ablate", "--list", "--only", "slots=0", "--json").stdout)
    assert listed == [{"part": "slots", "value": "0", "setting": "model.slots.n_slots=0"}]
    unknown = run("ablate", "--list", "--only", "slot")
    assert (unknown.exit_code, unknown.stdout) == (1, "")


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("3", [3]), ("0, 2,5-6", [0, 2, 5, 6]), ("7-7", [7]), (None, [])]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    from spikemba_cli.seeds import parse_seeds

    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "4-0", "0-", "-3", "1,,2", "0-2,1", "1.5", "²", "9" * 20, "0-99999999", "9" * 5000]
)
def test_seeds_that_are_none_exit_with_two(text, corpus):
    assert run("ablate", "--config", corpus / "config.yaml", "--seeds", text).exit_code == 2
    assert run("train", "--config", corpus / "config.yaml", "--seeds", text).exit_code == 2

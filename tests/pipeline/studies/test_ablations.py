"""Ablations: variants of a configuration, one table, nothing trained twice."""

import json

import pytest
import torch
from typer.testing import CliRunner

from pipelines.studies import ablations
from pipelines.studies.ablations import ABLATIONS, Outcome, ablate, plus_minus, table, variants
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.task import GroundingTask
from pipelines.training.batch_plan import BatchPlan
from spikemba.errors import UnknownName
from spikemba_cli.main import app


@pytest.fixture
def settings(tiny):
    return [*tiny, "train.epochs=1"]


@pytest.fixture
def some(corpus, settings):
    return variants(corpus / "config.yaml", settings, ["detector", "slots=0"], None)


def test_there_is_a_variant_for_every_ablation_of_the_methods():
    assert list(ABLATIONS["slots"]) == ["0", "4", "8", "16", "32"]
    assert list(ABLATIONS["spike_steps"]) == ["1", "2", "4", "8", "10"]
    assert list(ABLATIONS["blocks"]) == ["2", "4", "6", "8"]
    assert {"detector", "scan", "gate", "mixer", "preset"} < set(ABLATIONS)


def test_every_variant_is_a_valid_configuration_that_differs_as_its_name_says(corpus, tiny):
    found = variants(corpus / "config.yaml", tiny[:0], [], None)
    named = {variant.name: variant.config for variant in found}
    assert len(found) == 1 + sum(map(len, ABLATIONS.values()))
    assert not named["detector=off"].model.spiking_saliency.enabled
    assert named["detector=on"].model.spiking_saliency.enabled
    assert named["blocks=8"].model.n_blocks == 8
    assert named["gate=closed"].model.relevant_mamba.gate_bias == 0
    assert named["preset=paper"].loss.foreground == 0
    assert named["mixer=attention"].model.mixer.kind == "attention"


def gates(model):
    return [p for name, p in model.named_parameters() if name.endswith("gate_proj.bias")]


def names(model):
    return {name for name, parameter in model.named_parameters() if parameter.numel()}


def parts(model, word):
    return {name for name in names(model) if word in name}


SAID = {
    "model.spiking_saliency.enabled=false": lambda base, model, out, terms: (
        names(model) == names(base) - parts(base, "detectors") and out.spikes == ()
    ),
    "model.slots.n_slots=0": lambda base, model, out, terms: names(model) == names(base) - parts(base, "_slots"),
    "model.mixer={kind: attention, n_heads: 2}": lambda base, model, out, terms: (
        parts(base, "A_log") and not parts(model, "A_log") and not parts(model, "conv1d") and parts(model, "mixer.qkv")
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
    assert SAID[change](base.module, task.module, task.module(pairs.batch), terms)
    loss.backward()
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
    with pytest.raises(UnknownName, match=r"no ablation is called 'slot'; there are: detector, slots, .* slots=0"):
        variants(corpus / "config.yaml", [], ["slot"], None)


def test_ablating_trains_each_configuration_once_per_seed_and_resumes(some, tmp_path):
    started: list[str] = []
    outcomes = ablate(some, tmp_path, [0, 1], starting=lambda name, *_: started.append(name))
    assert started == ["base", "detector=off", "slots=0"]
    assert [one.variant.name for one in outcomes] == ["base", "detector=on", "detector=off", "slots=0"]
    for one in outcomes:
        assert set(one.by_seed) == {0, 1}
        assert set(one.std) == set(one.mean)
    assert {p.parent.name for p in tmp_path.glob("*/seed0/best")} == {"seed0"}
    assert len(list(tmp_path.glob("*/seed*/metrics.jsonl"))) == 6
    assert outcomes[0].by_seed == outcomes[1].by_seed
    assert set(outcomes[1].against(outcomes[0])["MR-full-mAP"]) == {0.0}

    weights = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/seed*/last/model.safetensors")}
    again = ablate(some, tmp_path, [0, 1], resume=True)
    assert [one.by_seed for one in again] == [one.by_seed for one in outcomes]
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/seed*/last/model.safetensors")} == weights

    stored = json.loads((tmp_path / "ablations.json").read_text())["variants"]
    assert [row["name"] for row in stored] == ["base", "detector=on", "detector=off", "slots=0"]
    assert stored[3]["setting"] == "model.slots.n_slots=0"
    lines = (tmp_path / "ablations.md").read_text().splitlines()
    assert len(lines) == 2 + len(stored)
    assert "±" in lines[2]


def test_a_variant_that_cannot_be_trained_does_not_stop_the_others(some, tmp_path):
    (tmp_path / "detector-off").touch()  # no folder can be made there
    failures: list[str] = []
    outcomes = ablate(some, tmp_path, failed=lambda name, problem: failures.append(name))
    assert failures == ["detector=off"]
    assert [bool(one.problem) for one in outcomes] == [False, False, True, False]
    assert table(outcomes)[1][2][1:] == ["0", *[""] * (len(table(outcomes)[0]) - 2)]


def test_differences_are_taken_seed_by_seed(some):
    base = Outcome(some[0], "val", {0: {"mAP": 10.0}, 1: {"mAP": 20.0}})
    other = Outcome(some[2], "val", {0: {"mAP": 13.0}, 1: {"mAP": 23.0}, 2: {"mAP": 99.0}})
    assert other.against(base) == {"mAP": (3.0, 0.0)}  # the seeds differ by 10, the gain does not
    assert (plus_minus(1.234, 0.5), plus_minus(3.0, None, "+"), plus_minus(None, None)) == ("1.23 ± 0.50", "+3.00", "")


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_the_command_prints_the_table(corpus, settings, tmp_path):
    given = [part for setting in settings for part in ("--set", setting)]
    base = ("ablate", "--config", corpus / "config.yaml", "--only", "detector=off", "--out", tmp_path / "a", *given)
    done = run(*base, "--seeds", "3")
    assert done.exit_code == 0, done.output
    head, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert head[:3] == ["variant", "seeds", "mAP"]
    assert [row[0] for row in rows] == ["base", "detector=off"]
    assert run(*base, "--seeds", "3").exit_code == 1  # not without --resume
    again = run(*base, "--seeds", "3", "--resume", "--json")
    assert [row["folder"] for row in json.loads(again.stdout)["variants"]] == ["base", "detector-off"]


def test_the_command_lists_what_there_is():
    done = run("ablate", "--list")
    assert done.exit_code == 0
    assert "slots\t32\tmodel.slots.n_slots=32" in done.stdout
    assert run("ablate").exit_code == 2
    assert len(done.stdout.splitlines()) == 1 + len(ablations.settings_of())
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


@pytest.mark.parametrize("text", ["", "a", "4-0", "0-", "-3", "1,,2", "0-2,1", "1.5", "²"])
def test_seeds_that_are_none_exit_with_two(text, corpus):
    assert run("ablate", "--config", corpus / "config.yaml", "--seeds", text).exit_code == 2
    assert run("train", "--config", corpus / "config.yaml", "--seeds", text).exit_code == 2

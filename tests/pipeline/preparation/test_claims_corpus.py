"""`spikemba prepare claims`: a folder that trains at once, and what likeness alone finds in it."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from pipelines.preparation.claims_corpus import ClaimsConfig, prepare_claims
from pipelines.runs.config import config_path
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.train import train
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.base import GroundingDataset
from spikemba.datasets.synthetic.claims import GRAMMARS, annotate_claims, claim_video_of
from spikemba.datasets.synthetic.planted import NOISE, Planted
from spikemba.errors import ConfigError, OutputError
from spikemba.features import read_manifest
from spikemba_cli.main import app

SIZES = {"train": 6, "val": 3, "test": 3}


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def prepare(out, grammar, *more):
    sizes = [part for split, n in SIZES.items() for part in (f"--{split}", n)]
    return run("prepare", "claims", "--grammar", grammar, "--out", out, *sizes, *more)


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_what_the_command_writes_is_read_by_training(tmp_path, grammar):
    result = prepare(tmp_path, grammar)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert f"next: spikemba train --dataset claims --data {tmp_path}" in result.stderr
    config = load_config(tmp_path / "config.yaml")
    assert (config.data.sentence_token, config.data.normalise_video) == (True, False)
    for split in SIZES:
        dataset = GroundingDataset(config.data, split)
        assert len({row.video_id for row in dataset.annotations}) == SIZES[split]
        dataset.check_features()
        for i, row in enumerate(dataset.annotations):
            pair, video = dataset[i], claim_video_of(row.video_id)
            assert row in annotate_claims(video, row.query_id // 10 * 10)
            np.testing.assert_array_equal(pair.video, Planted().video(video.board))
            assert len(pair.tokens) == len(row.query.split()) + 1
            assert pair.targets is not None
    assert dataset.spec.n_video_features == dataset.spec.text.dim == 128


def test_the_command_prints_one_json_document(tmp_path):
    document = json.loads(prepare(tmp_path, "far", "--json").stdout)
    rows = {split: read_annotations(tmp_path / f"{split}.jsonl") for split in SIZES}
    assert document["out"] == str(tmp_path)
    assert document["config"] == str(tmp_path / "config.yaml")
    assert document["queries"] == {split: len(of_split) for split, of_split in rows.items()}
    assert sum(document["kinds"].values()) == sum(map(len, rows.values()))
    assert set(document["kinds"]) == {row.kind for of_split in rows.values() for row in of_split}


def files(folder):
    """What lies below a folder; arrays as such, for archives carry the time at which they were written."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                found[path.relative_to(folder)] = {name: arrays[name].tobytes() for name in arrays.files}
        elif path.is_file() and path.name != "config.yaml":  # which names the folder
            found[path.relative_to(folder)] = path.read_bytes()
    return found


def test_equal_settings_write_equal_files_and_another_seed_shares_no_video(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare_claims(tmp_path / name, ClaimsConfig(grammar="far", seed=seed, **SIZES))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    videos = {
        (name, split): {row.video_id for row in read_annotations(tmp_path / name / f"{split}.jsonl")}
        for name in "ac"
        for split in SIZES
    }
    assert len(set().union(*videos.values())) == sum(map(len, videos.values()))


def test_manifests_say_what_made_the_features(tmp_path):
    prepare_claims(tmp_path, ClaimsConfig(grammar="scripts", **SIZES))
    clips = read_manifest(tmp_path / "features" / "planted")
    sentences = read_manifest(tmp_path / "features" / "planted_text")
    assert (clips.encoder, clips.kind, clips.dim, clips.clip_s) == ("planted", "video", 128, 2.0)
    assert (sentences.encoder, sentences.kind, sentences.dim) == ("planted_text", "text", 128)
    assert clips.weights == sentences.weights == Planted(NOISE).weights


@pytest.mark.parametrize(
    ("options", "code", "problem"),
    [
        (["--grammar", "near"], 2, "'near' is not one of 'outshone'"),
        (["--grammar", "far", "--train", 0], 2, "Invalid value for '--train'"),
        (["--grammar", "far", "--noise", -1], 2, "Invalid value for '--noise'"),
        (["--grammar", "far", "--noise", "inf"], 1, "prepare claims has 1 fault: noise: inf: "),
        (["--grammar", "far", "--noise", 1e30], 1, "noise: 1e+30: input should be less than or equal to 1000"),
        (["--grammar", "far", "--seed", 10**23], 1, f"prepare claims has 1 fault: seed: {10**23}: input should be"),
        (["--grammar", "far", "--train", 100001], 1, "train: 100001: input should be less than or equal to 100000"),
        (["--grammar", "far", "--seed", -1], 2, "Invalid value for '--seed'"),
    ],
)
def test_wrong_inputs_are_refused(tmp_path, options, code, problem):
    result = run("prepare", "claims", "--out", tmp_path / "out", *options)
    assert result.exit_code == code
    assert problem in result.stderr
    assert not (tmp_path / "out").exists()
    if code == 1:
        assert len(result.stderr.splitlines()) == 1


def test_wrong_settings_are_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"claims has 1 fault: grammar: 'near': input should be 'outshone', 'far'"):
        ClaimsConfig.parse({"grammar": "near"}, "claims")


def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = prepare(tmp_path / "file" / "out", "far")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """R1@0.5, R1@0.7 and mAP of chance, similarity and oracle by grammar, on a small set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[3] / "benchmarks"))
        bench = importlib.import_module("bench_claims")
    found = {}
    for grammar in GRAMMARS:
        corpus = tmp_path_factory.mktemp(grammar)
        prepare_claims(corpus, ClaimsConfig(grammar=grammar, train=10, val=10, test=40))
        test = read_annotations(corpus / "test.jsonl")
        answers = bench.answers(corpus, grammar, NOISE)
        found[grammar] = {name.split()[0]: bench.figures(rows, test) for name, rows in answers.items()}
    return found


@pytest.mark.parametrize("grammar", ["outshone", "scripts"])
def test_similarity_alone_is_no_better_than_chance(figures, grammar):
    for of_similarity, of_chance in zip(
        figures[grammar]["similarity"][:2], figures[grammar]["chance"][:2], strict=True
    ):
        assert of_similarity < of_chance + 3


def test_similarity_alone_finds_one_of_several_equal_occurrences(figures):
    assert figures["far"]["similarity"][0] < 100 / 3  # of three to five


@pytest.mark.parametrize("grammar", GRAMMARS)
def test_an_oracle_finds_nearly_all(figures, grammar):
    assert min(figures[grammar]["oracle"]) > 95


@pytest.mark.parametrize(
    ("option", "value", "seen"),
    [
        ("--grammar", "outshone", r"grammar far \(now outshone\)"),
        ("--train", 7, r"train 6 \(now 7\)"),
        ("--seed", 1, r"seed 0 \(now 1\)"),
        ("--noise", 3, r"noise 1.6 \(now 3.0\)"),
    ],
)
def test_a_folder_of_another_making_is_refused_and_stays_as_it_is(tmp_path, option, value, seen):
    prepare(tmp_path, "far")
    before = files(tmp_path)
    result = prepare(tmp_path, "far", option, value)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert re.search(f"holds claims made otherwise: {seen}; choose another folder with --out", result.stderr)
    assert files(tmp_path) == before


def broken_off(out, after):
    """A preparation of far that ends in the middle."""

    def report(done, total):
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_claims(out, ClaimsConfig(grammar="far", **SIZES), report)


def test_what_was_broken_off_goes_on_as_it_began_and_as_nothing_else(tmp_path):
    broken_off(tmp_path / "a", 4)
    with pytest.raises(OutputError, match="made otherwise: grammar far"):
        prepare_claims(tmp_path / "a", ClaimsConfig(grammar="outshone", **SIZES))
    for name in "ab":
        prepare_claims(tmp_path / name, ClaimsConfig(grammar="far", **SIZES))
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_a_folder_that_says_nothing_is_known_by_what_it_asks(tmp_path):
    prepare_claims(tmp_path, ClaimsConfig(grammar="far", **SIZES))
    (tmp_path / "made.json").unlink()
    with pytest.raises(OutputError, match=r"train.jsonl and val.jsonl and test.jsonl of another making lie there"):
        prepare_claims(tmp_path, ClaimsConfig(grammar="scripts", **SIZES))
    prepare_claims(tmp_path, ClaimsConfig(grammar="far", **SIZES))


def test_its_configuration_is_that_of_claims_under_its_own_data(tmp_path):
    prepare(tmp_path, "far")
    own, usual = load_config(tmp_path / "config.yaml"), load_config(config_path("claims"))
    assert own.name == "claims-far"
    assert own.model == usual.model
    assert own.train == usual.train
    read = ("sentence_token", "normalise_video", "max_tokens")
    assert not set(read) & set(yaml.safe_load((tmp_path / "config.yaml").read_text())["data"])
    assert [getattr(own.data, name) for name in read] == [True, False, 40]


def test_a_run_of_claims_says_that_it_cannot_ground_a_video(tmp_path, make_video):
    prepare(tmp_path / "data", "far")
    settings = ["train.epochs=1", "model.width=16", "model.n_blocks=1", "train.batch_size=8"]
    train(load_config(tmp_path / "data" / "config.yaml", settings), tmp_path / "run")
    video = make_video("clip.mp4", np.zeros((10, 32, 32, 3), dtype=np.uint8), fps=5)
    refused = run("ground", video, "a red square", "--checkpoint", tmp_path / "run")
    assert (refused.exit_code, refused.stdout, len(refused.stderr.splitlines())) == (1, "", 1)
    assert "trained on features called 'planted', which are drawn without a video" in refused.stderr

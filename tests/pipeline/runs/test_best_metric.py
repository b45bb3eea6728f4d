"""The metric that chooses the best epoch: known before a run begins, also by the name that tables show."""

import pytest
from typer.testing import CliRunner

from pipelines.runs.config import config_path
from pipelines.scoring.metric_names import long_name
from pipelines.tasks.grounding.config import load_config
from spikemba_cli.main import app


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("mAP", "MR-full-mAP"),
        ("R1@0.5", "MR-full-R1@0.5"),
        ("mIoU", "MR-full-mIoU"),
        ("HL-mAP", "HL-min-VeryGood-mAP"),
        ("MR-short-mAP", "MR-short-mAP"),
        ("nothing", "nothing"),
    ],
)
def test_short_names_of_tables_are_taken_for_the_long_ones(short, long):
    assert long_name(short, "qvhighlights") == long
    assert load_config(None, [f"train.best_metric={short}"]).train.best_metric == long


def test_highlight_sets_have_short_names_of_their_own():
    assert load_config(config_path("tvsum")).train.best_metric == "mAP"


@pytest.mark.parametrize(("name", "close"), [("mapp", "MR-full-mAP"), ("r1@.5", "MR-full-R1@0.5")])
def test_a_metric_that_there_is_not_is_refused_before_anything_is_written(corpus, tiny, tmp_path, name, close):
    given = [part for one in (*tiny, f"train.best_metric={name}") for part in ("--set", one)]
    out = tmp_path / "run"
    refused = CliRunner().invoke(app, ["train", "--config", str(corpus / "config.yaml"), "--out", str(out), *given])
    assert (refused.exit_code, refused.stdout, out.exists()) == (1, "", False)
    assert f"best_metric: {name!r} is not measured here" in refused.stderr
    assert f"did you mean {close!r}? there are MR-full-" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_settings_that_do_nothing_are_said_and_train_all_the_same(corpus, tiny, tmp_path):
    more = ["train.epochs=1", "model.slots.n_slots=0", "model.slots.place=both", "train.best_metric=mAP"]
    given = [part for one in (*tiny, *more) for part in ("--set", one)]
    out = tmp_path / "run"
    done = CliRunner().invoke(app, ["train", "--config", str(corpus / "config.yaml"), "--out", str(out), *given])
    assert done.exit_code == 0, done.output
    assert "warning: model.slots.place has no effect unless model.slots.n_slots is above 0" in done.stderr
    assert done.stderr.count("no effect") == 1

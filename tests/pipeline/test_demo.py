"""The demo from end to end on a handful of videos, and the report that it leaves."""

import re

import pytest

from pipelines.demo import demo
from pipelines.preparation.shapes_corpus import ShapesConfig

STAGES = ["draw videos", "extract features", "train", "evaluate", "ground", "report"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory, tiny):
    stages = []
    out = tmp_path_factory.mktemp("demo")
    sizes = ShapesConfig(train=4, val=2, test=3, seed=7)
    return out, demo(out, sizes=sizes, settings=tiny, stage=stages.append), stages


def test_every_stage_runs_and_is_timed(shown):
    _, result, stages = shown
    assert stages == STAGES
    assert list(result.seconds) == STAGES
    assert all(seconds > 0 for seconds in result.seconds.values())


def test_it_ends_with_metrics_on_held_out_videos_and_a_grounded_query(shown):
    out, result, _ = shown
    assert {"MR-full-R1@0.5", "MR-full-mAP", "HL-min-VeryGood-Hit1"} <= set(result.metrics)
    trained_on = (out / "shapes" / "train.jsonl").read_text()
    assert result.grounded.video.stem not in trained_on
    assert result.grounded.answer.moments


def test_the_page_leads_with_what_was_found_and_needs_no_other_file(shown):
    _, result, _ = shown
    page = result.report.read_text(encoding="utf-8")
    assert [path.name for path in result.report.parent.iterdir()] == ["index.html"]
    assert set(re.findall(r"src='([^,]+),", page)) == {"data:image/jpeg;base64"}
    assert "http" not in page.replace("http-equiv", "")
    found, n = map(int, re.search(r"Found (\d+) of (\d+) sentences", page).groups())
    assert page.count("<span class='unseen'>found: </span>") == found
    assert len(re.findall("<li><b", page)) == n
    assert page.index("class='lead'") < page.index("<figure>") < page.index("class='marks'") < page.index("<table")
    assert page.count("How to read the pictures") == 1
    assert f"found {found} of {n} sentences at IoU 0.5" in result.verdict
    assert 100 * found / n == pytest.approx(result.metrics["MR-full-R1@0.5"], abs=0.006)
    for name, value in result.metrics.items():
        assert re.search(rf"<td>{re.escape(name)}<small>[^<]+</small></td><td>{value:.2f}</td>", page), name


def test_a_second_demo_keeps_what_the_first_finished(shown, tiny):
    out, first, _ = shown
    weights = out / "run" / "best" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = demo(out, sizes=ShapesConfig(train=4, val=2, test=3, seed=7), settings=tiny)
    assert weights.stat().st_mtime_ns == before
    assert again.metrics == first.metrics

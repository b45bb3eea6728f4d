"""The demo from end to end on a handful of videos, and the report that it leaves."""

import base64
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


def test_the_page_needs_no_other_file_and_shows_every_query(shown):
    _, result, _ = shown
    page = result.report.read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    stored = sorted(result.report.parent.glob("*.png"))
    assert len(pictures) == len(stored) == 5
    assert {base64.b64decode(picture) for picture in pictures} == {path.read_bytes() for path in stored}
    assert "src=" not in page.replace('src="data:', "")
    assert "http" not in page
    for name, value in result.metrics.items():
        assert f"<td>{name}</td><td>{value:.2f}</td>" in page


def test_a_second_demo_keeps_what_the_first_finished(shown, tiny):
    out, first, _ = shown
    weights = out / "run" / "best" / "model.safetensors"
    before = weights.stat().st_mtime_ns
    again = demo(out, sizes=ShapesConfig(train=4, val=2, test=3, seed=7), settings=tiny)
    assert weights.stat().st_mtime_ns == before
    assert again.metrics == first.metrics

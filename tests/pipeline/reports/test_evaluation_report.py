"""The page of an evaluation: marks, the order of its parts, bounded size, no foreign bytes."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.reports.case import Case
from pipelines.reports.chart import MOST_POINTS, chart
from pipelines.reports.metric_words import metric_words
from pipelines.reports.report import MOST_MARKS
from pipelines.scoring.metric_names import MAIN
from spikemba.datasets.annotations import Annotation, PredictedRow, write_predictions
from spikemba.files import write_jsonl
from spikemba.grounding import Answer
from spikemba.moments import Moment, Window
from spikemba_cli.main import app

VOID = {"meta", "img", "rect", "path"}


class Tags(HTMLParser):
    """Open tags, to find one that is never closed."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):  # noqa: ARG002
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open.pop() == tag


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def files(tmp_path):
    """A function that writes n annotated queries, each fourth null, and answers: found, near, missed, refused."""

    def write(n):
        truth, rows = [], []
        for i in range(n):
            windows = () if i % 4 == 3 else (Window(0, 10),)
            query = f"<b>{i}</b> & more"
            truth.append(Annotation(i, query, f"v{i}", 100.0, windows))
            first = [(0, 10), (0, 30), (60, 70), (60, 70)][i % 4]
            exists = 0.1 if i % 4 == 3 else 0.9
            rows.append(PredictedRow(i, f"v{i}", query, (Moment(*first, 0.8),), (0.1, 0.9), exists))
        write_jsonl(tmp_path / "a.jsonl", [one.to_row() for one in truth])
        write_predictions(tmp_path / "p.jsonl", rows)
        return "--predictions", tmp_path / "p.jsonl", "--annotations", tmp_path / "a.jsonl"

    return write


def test_predictions_have_a_page_and_a_verdict_and_the_numbers_stay_on_stdout(files, tmp_path):
    plain = run("evaluate", *files(8))
    result = run("evaluate", *files(8), "--report", tmp_path / "page.html")
    assert result.exit_code == 0
    assert result.stdout == plain.stdout
    last = result.stderr.splitlines()[-1]
    assert last == plain.stderr.splitlines()[-1]
    assert last.startswith("found 2 of 6 sentences at IoU 0.5 (33.3 %, 95 %:")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Of 2 about what the videos do not show it said of 2 rightly: no such moment." in page
    headings = re.findall("<h2>([^<]+)", page)
    order = ["Each of the 8 sentences", "The best answers", "How to read the pictures", "Near misses", "Misses"]
    assert headings == [*order, "Said rightly: no such moment", "Numbers"]
    assert "<b>0</b>" not in page
    assert "&lt;b&gt;0&lt;/b&gt; &amp; more" in page
    assert not re.search(r"(src|href)=|https?://|@import|url\(", page)


def test_the_page_is_well_formed_and_has_both_colours_and_small_screens(files, tmp_path):
    run("evaluate", *files(8), "--report", tmp_path / "r")
    page = (tmp_path / "r" / "index.html").read_text("utf-8")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "name='viewport'" in page
    assert "prefers-color-scheme: dark" in page
    assert "max-width: 40rem" in page
    assert page.count("<h1>") == 1
    assert len(re.findall("role='img' aria-label='[^']+'", page)) == page.count("<figure>")


def test_many_sentences_are_counted_and_not_all_listed(files, tmp_path):
    run("evaluate", *files(400), "--report", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert page.count("<li>") == MOST_MARKS
    assert (
        f"the first {MOST_MARKS}; of the other 280 it has 140 right" in page
    )  # every fourth found, every fourth refused
    assert len(page) < 60_000


def test_a_page_is_refused_where_there_can_be_none(files, tmp_path):
    assert run("evaluate", *files(8), "--check", "--report", tmp_path / "r").exit_code == 2
    assert run("evaluate", *files(8), "--videos", tmp_path).exit_code == 2
    refused = run("evaluate", *files(8), "--report", tmp_path / "r.pdf")
    assert refused.exit_code == 1
    assert "expected a folder, or .html" in " ".join(refused.stderr.split())


def test_a_chart_of_ten_hours_is_as_small_as_one_of_minutes():
    rng = np.random.default_rng(0)
    n = 18_000
    values = rng.random(n).astype(np.float32)
    answer = Answer((Moment(3600.0, 3700.0, 0.5),), values, values, (), rng.random((n, 10)) < 0.3)
    drawn = chart(Case("q", "v", 2.0 * n, 2.0, answer, (Window(3600, 3720),)))
    assert len(drawn) < 3 * 20 * MOST_POINTS + 3000
    assert "1:00:00-1:01:40" in drawn
    assert f"x='{1000 * 3600 / 36000:.1f}'" in drawn


@pytest.mark.parametrize("name", MAIN)
def test_every_main_metric_has_a_line_of_words(name):
    assert metric_words(name)

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
    order = ["The best answers", "Each of the 8 sentences", "Near misses", "Misses"]
    assert headings == [*order, "Said rightly: no such moment", "Numbers"]
    assert page.index("<summary>How to read the pictures") < page.index("<figure>") < page.index("<h2>Each of")
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


def test_the_list_says_what_its_numbers_are_and_a_near_miss_is_explained_where_it_is_first_named(files, tmp_path):
    run("evaluate", *files(8), "--report", tmp_path / "r.html")
    words = re.sub("<[^>]+>", "", (tmp_path / "r.html").read_text("utf-8"))
    assert "overlap 1.00" in words
    assert "near miss, overlap 0.33" in words
    assert "missed: &lt;b&gt;2&lt;/b&gt; &amp; more overlap 0.00" in words
    explained = (
        "2 near misses (the first moment overlaps a true one by 0.25 or more but not by 0.5, or one of the next "
    )
    assert words.lower().index("near miss") == words.index(explained) + 2


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


def strengths(drawn, n=100):
    """Of n places over the width, how strong the predicted lane is there; no two rectangles overlap."""
    lane = drawn.split("predicted</div>")[1].split("</svg>")[0]
    boxes = re.findall("<rect class='said' x='([^']+)' y='0' width='([^']+)' height='100' opacity='([^']+)'", lane)
    found = [[float(o) for x, w, o in boxes if float(x) <= at < float(x) + float(w)] for at in np.arange(n) * 1000 / n]
    assert all(len(one) <= 1 for one in found)
    return [one[0] if one else 0.0 for one in found]


@pytest.mark.parametrize("seed", range(3))
def test_each_place_of_the_predicted_lane_has_the_strength_of_its_best_moment(seed):
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.integers(0, 101, (5, 2)), axis=1) + np.array([0, 1])
    scores = np.sort(rng.random(5))[::-1]
    moments = tuple(Moment(float(a), float(min(b, 100)), float(s)) for (a, b), s in zip(edges, scores, strict=True))
    empty = np.zeros(0, np.float32)
    drawn = chart(Case("q", "v", 100.0, 1.0, Answer(moments, empty, empty, (), np.zeros((0, 0), bool))))
    for at, strength in enumerate(strengths(drawn)):
        best = max((one.score for one in moments if one.start_s <= at < one.end_s), default=None)
        assert strength == (0.0 if best is None else pytest.approx(0.15 + 0.85 * best, abs=0.0051)), at
    first = re.search("<rect class='first' x='([^']+)' y='6' width='([^']+)'", drawn)
    assert (float(first[1]), float(first[2])) == pytest.approx(
        (10 * moments[0].start_s, 10 * (moments[0].end_s - moments[0].start_s))
    )


@pytest.mark.parametrize("name", MAIN)
def test_every_main_metric_has_words(name):
    assert metric_words(name)


GMR = ["AUROC", "Rej-F1@0.4", "Rej-P@0.4", "Rej-R@0.4", "Acc@0.4", "G-mIoU@1", "G-mIoU@3", "mAP"]
GMR += [f"{name}@{k}" for name in ("mR", "mR+", "mIoU", "mIoU+") for k in (1, 3)]
NAMES = [
    *MAIN,
    *(f"MR-{one}-mAP" for one in ("full", "short", "middle", "long")),
    "MR-full-mAP@0.5",
    "MR-full-mAP@0.75",
]
NAMES += [*(f"HL-min-{one}-{of}" for one in ("Fair", "Good") for of in ("mAP", "Hit1")), "mean_class", "mAP-dog"]
NAMES += [f"GMR-{name}" for name in GMR]


def test_the_words_of_each_metric_are_a_sentence_of_its_own_that_leans_on_no_other_row():
    said = {name: metric_words(name) for name in dict.fromkeys(NAMES)}
    for name, words in said.items():
        assert re.fullmatch(r"[A-Z][^{}]+\.", words), name
        assert "the same" not in words, name
    assert len(set(said.values())) == len(said)
    assert "average precision" in said["MR-full-mAP"]
    assert "first moment" in said["MR-full-R1@0.7"]
    assert "0.7 " in said["MR-full-R1@0.7"]
    assert "at most 10 s" in said["MR-short-mAP"]

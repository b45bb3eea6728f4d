"""What each word does for a moment: planted answers with effects in closed form, real encoders on planted videos."""

import json
from pathlib import Path

import numpy as np
import pytest

from spikemba.datasets.synthetic.drawing import render
from spikemba.datasets.synthetic.shapes import FPS, Actor, Event, Scene, Storyboard
from spikemba.encoders import TextFeatures
from spikemba.encoders.mini import load as load_mini
from spikemba.encoders.mini import split_words
from spikemba.encoding.videos import EncodedVideo
from spikemba.errors import QueryError, SpikeMbaError, VideoError
from spikemba.grounder import grounder as module
from spikemba.grounder.grounder import Grounder, load
from spikemba.grounder.occlusion import share_within, without, word_effects, words_of
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.video.files import write_video

WORDS = ("a", "red", "circle")
SCORES = {"a": [0, 0, 0, 0], "red": [0, 3, 0, 1], "circle": [1, 1, 1, 1]}
"""What each word adds to the score of each of four clips."""


class PlantedText:
    """A sentence is the sum of its words, each a direction of its own; it knows no others."""

    name, text_dim, weights, max_words = "planted_text", 3, "0", 100

    def __init__(self, placeholder=None):
        if placeholder is not None:
            self.placeholder = placeholder

    def encode_texts(self, sentences):
        found = [[word == known for known in WORDS] for sentence in sentences for word in [*sentence.split(), ""]]
        rows = iter(np.array(found, np.float32))
        tokens = [np.stack([next(rows) for _ in [*sentence.split(), ""]]) for sentence in sentences]
        return [TextFeatures(one, one.sum(0)) for one in tokens]


class PlantedModel:
    """A clip's score is the sum of what the sentence's words add to it; its existence is a tenth of the largest."""

    name, encoders, clip_s, min_exists, tells_existence, calibrated = "planted", (), 2.0, None, True, False

    def __init__(self, text):
        self.text, self.asked = text, []

    def answers(self, videos, texts, top):  # noqa: ARG002
        self.asked.append(len(texts))
        (video,) = videos
        for text in texts:
            scores = video.features[0] @ text.pooled
            yield Answer((), scores, scores, (), np.zeros((4, 1), np.bool_), float(scores.max()) / 10, scores)


@pytest.fixture
def planted(monkeypatch):
    """A Grounder of clips that hold what each word adds."""
    clips = np.array([SCORES[word] for word in WORDS], np.float32).T
    monkeypatch.setattr(module, "encode_video", lambda *how: EncodedVideo((clips,), 8.0))

    def ask(query, start_s=2.0, end_s=4.0, **text):
        model = PlantedModel(PlantedText(**text))
        return Grounder(model).word_effects("a.mp4", query, start_s, end_s, cache=False), model

    return ask


def test_a_words_effect_is_the_part_of_the_share_that_is_lost_without_it(planted):
    found, model = planted("a red circle")
    # in the clip from 2 to 4 s: 4 of 8; without "red" 1 of 4; without "circle" 3 of 4
    assert found.whole == pytest.approx(4 / 8)
    assert [one.word for one in found.words] == ["a", "red", "circle"]
    assert [one.effect for one in found.words] == pytest.approx([0, 1 - (1 / 4) / (1 / 2), (1 / 2) / (3 / 4) - 1])
    assert found.exists == pytest.approx(0.4)
    assert [one.exists for one in found.words] == pytest.approx([0, 0.3, 0.1])
    assert model.asked == [4]  # together, so that they share what is computed of the video


def test_the_places_are_those_of_the_sentence_as_it_was_given(planted):
    query = " a  red, circle! "
    found, _ = planted(query)
    assert [(one.first, one.last) for one in found.words] == [(1, 2), (4, 7), (9, 15)]
    assert [query[one.first : one.last] for one in found.words] == [one.word for one in found.words]


def test_a_placeholder_stands_where_a_word_was():
    asked = []

    def ask(sentences):
        asked.extend(sentences)
        return [planted_grounding(np.ones(4))] * len(sentences)

    word_effects(ask, "a red circle.", 0, 2, "<unknown>")
    assert asked == ["a red circle.", "<unknown> red circle.", "a <unknown> circle.", "a red <unknown>."]


def planted_grounding(scores):
    scores = np.asarray(scores, np.float32)
    answer = Answer((), scores, scores, (), np.zeros((len(scores), 1), np.bool_), ranking=scores)
    return Grounding(Path("a.mp4"), "q", 2.0 * len(scores), 2.0, answer, "planted")


def test_without_its_only_word_a_sentence_prefers_no_part_of_the_video(planted):
    found, model = planted("red")
    assert found.whole == pytest.approx(3 / 4)
    assert [one.effect for one in found.words] == pytest.approx([1 - (1 / 4) / (3 / 4)])
    assert [one.exists for one in found.words] == [None]
    assert model.asked == [1]
    shown, model = planted("red", placeholder="<unknown>")
    assert [one.effect for one in shown.words] == pytest.approx([1 - (1 / 4) / (3 / 4)])  # it scores 0 everywhere
    assert model.asked == [2]


def test_a_sentence_without_words_has_no_effects(planted):
    found, _ = planted("?!")
    assert (found.words, found.whole) == ((), pytest.approx(1 / 4))


def test_windows_count_clips_by_the_part_that_they_cover():
    scores = np.array([1, 2, 3, 4], np.float32)
    assert share_within(scores, 2.0, 0, 8) == pytest.approx(1)
    assert share_within(scores, 2.0, 3, 6) == pytest.approx((1 + 3) / 10)
    assert share_within(scores, 2.0, 7, 100) == pytest.approx(2 / 10)
    assert share_within(np.zeros(4, np.float32), 2.0, 0, 3) == pytest.approx(3 / 8)


@pytest.mark.parametrize("window", [(4, 2), (2, 2), (-1, 2), (float("nan"), 2), (0, float("inf"))])
def test_a_moment_that_is_none_is_refused(planted, window):
    with pytest.raises(SpikeMbaError, match=r"is none; expected 0 <= start < end"):
        planted("a red circle", *window)


def test_a_moment_behind_the_end_is_refused(planted):
    with pytest.raises(SpikeMbaError, match="a moment from 8 s is behind the video's end, at 8 s"):
        planted("a red circle", 8, 9)


def test_more_than_64_words_are_refused_before_the_video_is_read(monkeypatch):
    grounder = Grounder(PlantedModel(PlantedText()))
    with pytest.raises(QueryError, match="the sentence has 65 words; what each one does is told of at most 64"):
        grounder.word_effects("no such file.mp4", "red " * 65, 0, 2)
    with pytest.raises(QueryError, match="empty"):
        grounder.word_effects("no such file.mp4", " ", 0, 2)
    with pytest.raises(VideoError, match="no such file"):
        load(encoder="mini").word_effects("no such file.mp4", "red", 0, 2)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("a red circle enters", "a|red|circle|enters"),
        ("  It's a t-shirt -- 'red',  isn’t it? ", "It's|a|t-shirt|red|isn’t|it"),
        ("红色的圆进入", "红|色|的|圆|进|入"),
        ("赤い円がボールに当たる", "赤|い|円|が|ボール|に|当|たる"),
        ("빨간 원이 들어온다", "빨간|원이|들어온다"),
        ("लाल वृत्त अंदर आता है", "लाल|वृत्त|अंदर|आता|है"),
        ("مربع أحمر يدخل", "مربع|أحمر|يدخل"),
        ("วงกลมสีแดง เข้ามา", "วงกลมสีแดง|เข้ามา"),
        ("e\u0301te\u0301 café", "e\u0301te\u0301|café"),
        ("👩🏽\u200d🚒 climbs", "👩🏽\u200d🚒|climbs"),
        ("?!…", ""),
    ],
)
def test_words_are_found_in_many_scripts(sentence, words):
    assert "|".join(sentence[first:last] for first, last in words_of(sentence)) == words


def test_a_word_leaves_no_space_behind():
    assert without("a red circle", (2, 5), "") == "a circle"
    assert without("red circle", (0, 3), "") == "circle"
    assert without("a circle", (2, 8), "") == "a"
    assert without("红色的圆", (1, 2), "") == "红的圆"
    assert without("a red circle", (2, 5), "<unknown>") == "a <unknown> circle"


def test_the_dictionary_is_plain(planted):
    document = planted("a red circle")[0].to_dict()
    assert document["words"][1] == {"word": "red", "first": 2, "last": 5, "effect": 0.5, "exists": 0.3}
    assert (document["whole"], document["exists"]) == (0.5, 0.4)
    assert json.loads(json.dumps(document)) == document


def test_minis_placeholder_is_no_word_that_it_knows():
    mini = load_mini()
    indices, _ = mini.model.words([mini.placeholder, "never heard"])
    assert indices[0].tolist() == [0, 0][: indices.shape[1]]
    assert len(split_words(mini.placeholder)) == 1


@pytest.fixture(scope="module")
def two_circles(tmp_path_factory):
    """A red circle enters from 6 to 14 s, a blue one from 24 to 32 s."""
    red, blue = Actor("red", "circle", 0.25, 0.5, 0.13), Actor("blue", "circle", 0.75, 0.5, 0.13)
    events = Event(red, "enters", 6.0, 14.0), Event(blue, "enters", 24.0, 32.0)
    board = Storyboard("two", 40.0, (Scene(0.0, 40.0, (20, 20, 60), (red, blue), events),), ())
    path = tmp_path_factory.mktemp("planted") / "two.mp4"
    write_video(path, render(board), FPS)
    return path


@pytest.mark.parametrize("how", [{"checkpoint": "mini"}, {"encoder": "mini"}])
@pytest.mark.parametrize(("colour", "window"), [("red", (6.0, 14.0)), ("blue", (24.0, 32.0))])
def test_of_two_circles_that_enter_the_colour_tells_which_is_meant(how, colour, window, two_circles):
    found = load(**how).word_effects(two_circles, f"a {colour} circle enters", *window, cache=False)
    effects = {one.word: one.effect for one in found.words}
    assert max(effects, key=effects.get) == colour
    assert effects[colour] > 0.05
    assert abs(effects["a"]) < effects[colour] / 2
    assert (found.exists is not None) == ("checkpoint" in how)


def test_effects_are_those_of_asking_each_sentence_alone(two_circles):
    grounder = load("mini")
    found = grounder.word_effects(two_circles, "a red circle enters", 6, 14)
    alone = [grounder.ground(two_circles, query) for query in ("a red circle enters", "a <unknown> circle enters")]
    whole, without_red = (share_within(one.answer.ranking, 2.0, 6, 14) for one in alone)
    assert found.whole == pytest.approx(whole, abs=1e-5)
    assert found.words[1].effect == pytest.approx(1 - without_red / whole, abs=1e-5)
    assert found.words[1].exists == pytest.approx(alone[0].exists - alone[1].exists, abs=1e-5)

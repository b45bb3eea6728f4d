"""The front door: `load(...).ground(...)` and what comes out of it."""

import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from spikemba.checkpoints.grounding import BUNDLED, load_checkpoint
from spikemba.errors import CheckpointError, QueryError, SpikeMbaError, UnknownName, VideoError, WeightsMissing
from spikemba.grounder import feature_cache
from spikemba.grounder import grounder as module
from spikemba.grounder.grounder import load
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment
from spikemba.user_folders import cache_folder

EXAMPLE = Path(__file__).parents[3] / "examples" / "shapes.mp4"
VERBS = ("enters", "leaves")


def images(seed, n=40):
    return np.random.default_rng(seed).integers(0, 255, (n, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def video(make_video):
    return make_video("one.mp4", images(0), fps=5)


@pytest.fixture
def grounder(random_mini):
    return load(encoder="mini", weights={"mini": str(random_mini)})


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in their order."""
    names, encode = [], module.encode_video

    def counting(path, *how):
        names.append(path.name)
        return encode(path, *how)

    for place in (module, feature_cache):
        monkeypatch.setattr(place, "encode_video", counting)
    return names


def result(*moments, query="a dog"):
    none = np.zeros(2, np.float32)
    answer = Answer(moments, none, none, (), np.zeros((2, 1), np.bool_))
    return Grounding(Path("clips/a.mp4"), query, 100.0, 2.0, answer, "mini")


def test_one_file_and_one_sentence_give_one_result(grounder, video):
    for given in (video, str(video)):
        found = grounder.ground(given, " a dog ")
        assert (found.video, found.query, found.clip_s, found.model) == (video, "a dog", 2.0, "zero-shot mini")
        assert found.duration_s == pytest.approx(8.0)
        assert found.moments == found.answer.moments
        assert len(found.saliency) == 4
        assert all(0 <= m.start_s < m.end_s <= 8 and 0 <= m.score <= 1 for m in found.moments)


def test_lists_give_a_list_by_video_then_by_sentence(grounder, video, make_video):
    other = make_video("two.mp4", images(1, 20), fps=5)

    def asked(videos, queries):
        return [(one.video, one.query) for one in grounder.ground(videos, queries)]

    assert asked(video, ["a dog", "red"]) == [(video, "a dog"), (video, "red")]
    assert asked([video, str(other)], "red") == [(video, "red"), (other, "red")]
    assert asked((other, video), ("red", "a dog")) == [
        *((other, "red"), (other, "a dog")),
        *((video, "red"), (video, "a dog")),
    ]
    assert asked([video], ["red"]) == [(video, "red")]


def test_nothing_asked_is_nothing_found_and_nothing_decoded(grounder, video, decoded):
    assert grounder.ground(video, []) == []
    assert grounder.ground([], "a dog") == []
    assert decoded == []


def test_several_sentences_decode_once_and_change_nothing_for_each_other(grounder, video, decoded):
    together = grounder.ground(video, ["a dog", "a red dog"], cache=False)
    assert decoded == ["one.mp4"]
    for one in together:
        alone = grounder.ground(video, one.query, cache=False)
        np.testing.assert_allclose(one.saliency, alone.saliency, atol=1e-5)


def test_a_second_question_does_not_decode(grounder, video, decoded):
    first = grounder.ground(video, "a dog")
    second = grounder.ground(video, "a dog", top=1)
    assert decoded == ["one.mp4"]
    assert second.moments == first.moments[:1]
    assert second.duration_s == first.duration_s
    grounder.ground(video, "a dog", cache=False)
    assert decoded == ["one.mp4"] * 2


def test_a_file_that_changed_is_read_again(grounder, video, make_video):
    before = grounder.ground(video, "a dog")
    shutil.copy(make_video("other.mp4", images(1, 60), fps=5), video)
    changed = grounder.ground(video, "a dog")
    assert changed != before
    assert changed == grounder.ground(video, "a dog", cache=False)


def test_a_damaged_or_forbidden_cache_costs_time_only(grounder, video, tmp_path, monkeypatch):
    first = grounder.ground(video, "a dog")
    (kept,) = (cache_folder() / "features").glob("*.npz")
    kept.write_bytes(b"PK broken")
    assert grounder.ground(video, "a dog") == first
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPIKEMBA_CACHE", str(tmp_path / "file"))
    assert grounder.ground(video, "a dog") == first


def test_a_file_replaced_by_one_of_the_same_size_and_time_has_another_place_in_the_cache(video, tmp_path):
    before, content, status = feature_cache._place(video, [], 2.0), video.read_bytes(), video.stat()
    (tmp_path / "other.mp4").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(tmp_path / "other.mp4", ns=(status.st_atime_ns, status.st_mtime_ns))
    (tmp_path / "other.mp4").replace(video)
    assert video.stat().st_mtime_ns == status.st_mtime_ns
    assert feature_cache._place(video, [], 2.0) != before


def test_of_a_file_that_is_not_there_for_a_moment_nothing_is_kept(grounder, video, monkeypatch):
    encode = feature_cache.encode_video

    def reappears(path, *given):
        moved.rename(path)
        return encode(path, *given)

    moved = video.rename(video.with_suffix(".away"))
    monkeypatch.setattr(feature_cache, "encode_video", reappears)
    assert not grounder.has_features(video)
    grounder.ground(video, "a dog")
    assert not list((cache_folder() / "features").glob("*.npz"))


def test_the_dictionary_has_the_promised_keys_and_plain_values(grounder, video):
    found = grounder.ground(video, "red dog", top=1)  # all that it knows
    document = found.to_dict()
    assert json.loads(json.dumps(document)) == document
    assert list(document) == ["video", "query", "duration_s", "clip_s", "exists", "moments", "saliency", "model"]
    assert [list(moment) for moment in document["moments"]] == [["start_s", "end_s", "score"]]
    assert document["video"] == str(video)
    np.testing.assert_allclose(document["saliency"], found.saliency, atol=5e-5)


def test_a_printed_result_is_what_was_asked_and_a_line_per_moment_best_first():
    found = result(Moment(22.0, 24.5, 0.71), Moment(0.0, 100.0, 0.2))
    assert str(found).splitlines() == [
        'clips/a.mp4: "a dog"',
        "   22.00 to  24.50 s, score 0.710",
        "    0.00 to 100.00 s (0:00-1:40), score 0.200",
    ]
    assert str(result()).splitlines() == ['clips/a.mp4: "a dog"', "  no moment"]


def test_results_are_values():
    one, same = result(Moment(0.0, 2.0, 0.5)), result(Moment(0.0, 2.0, 0.5))
    assert one == same
    assert len({one, same, result(), result(query="a cat")}) == 3
    saliency = np.array([0, 1], np.float32)
    answer = Answer(one.moments, saliency, saliency, (), one.answer.spikes)
    assert one.answer != answer
    assert one.answer != "an answer"
    assert "array" not in repr(one)


@pytest.mark.parametrize(
    ("query", "problem"), [("", "the query is empty"), (" \n", "empty"), ("word " * 10_000, "has 10000 words")]
)
def test_queries_that_cannot_be_asked_are_refused_before_decoding(grounder, query, problem):
    with pytest.raises(QueryError, match=problem):
        grounder.ground("no such file.mp4", ["a dog", query])


@pytest.mark.parametrize(("name", "problem"), [("none.mp4", "no such file"), ("text.mp4", "is not a video")])
def test_a_video_that_cannot_be_read_is_named(grounder, tmp_path, name, problem):
    (tmp_path / "text.mp4").write_text("words")
    with pytest.raises(VideoError, match=rf"{name}: .*{problem}"):
        grounder.ground(tmp_path / name, "a dog")


def test_less_than_one_moment_cannot_be_asked_for(grounder, video):
    with pytest.raises(SpikeMbaError, match="top is 0; expected at least 1"):
        grounder.ground(video, "a dog", top=0)


def test_a_bundled_name_a_folder_and_a_loaded_checkpoint_answer_alike(tmp_path):
    shutil.copytree(BUNDLED["mini"], tmp_path / "run" / "best")
    found = [
        load(one).ground(EXAMPLE, "a red circle enters")
        for one in ("mini", tmp_path / "run", str(tmp_path / "run" / "best"), load_checkpoint("mini"))
    ]
    assert [one.model for one in found] == [
        "mini",
        *(str(tmp_path / "run" / part) for part in ("", "best")),
        "checkpoint",
    ]
    assert all(one.answer == found[0].answer for one in found)


def test_without_a_checkpoint_the_user_is_told_what_to_do():
    with pytest.raises(WeightsMissing, match="--checkpoint mini"):
        load()


def test_the_users_settings_name_the_default_checkpoint_and_a_named_encoder_comes_before_it(
    random_mini, tmp_path, monkeypatch
):
    monkeypatch.setenv("SPIKEMBA_HOME", str(tmp_path))
    (tmp_path / "settings.yaml").write_text("checkpoint: mini\n")
    grounder = load()
    assert (grounder.name, grounder.trained) == ("mini", True)
    assert repr(grounder) == "<Grounder mini: clips of 2 s by mini>"
    asked = load(encoder="mini", weights={"mini": random_mini})
    assert (asked.name, asked.trained) == ("zero-shot mini", False)


def test_a_checkpoint_and_an_encoder_are_not_taken_together():
    with pytest.raises(SpikeMbaError, match="a checkpoint brings its own encoders"):
        load("mini", encoder="clip")


@pytest.mark.parametrize(
    ("how", "error", "problem"),
    [
        ({"checkpoint": "nothing"}, CheckpointError, "no checkpoint 'nothing'"),
        ({"encoder": "nothing"}, UnknownName, "no encoder is called 'nothing'"),
        ({"encoder": "mini+clip"}, SpikeMbaError, "takes one encoder, not mini\\+clip"),
    ],
)
def test_what_cannot_be_loaded_is_said(how, error, problem):
    with pytest.raises(error, match=problem):
        load(**how)


def test_features_are_read_once_and_known_to_be_there(grounder, video, decoded):
    assert not grounder.has_features(video)
    assert not grounder.has_features("no such file.mp4")
    grounder.read(video, cache=False)
    assert not grounder.has_features(video)
    read = grounder.read(str(video))
    assert grounder.has_features(video)
    grounder.ground(video, "a dog")
    np.testing.assert_array_equal(grounder.read(video).features[0], read.features[0])
    assert (read.features[0].shape, read.duration_s) == ((4, grounder.encoders[0].dim), pytest.approx(8.0))
    assert decoded == ["one.mp4"] * 2
    video.touch()
    assert not grounder.has_features(video)


def test_what_the_report_raises_ends_the_reading_and_the_next_one_goes_on(grounder, video):
    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        grounder.read(video, report=stop)
    assert not grounder.has_features(video)
    assert grounder.ground(video, "a dog").moments


def test_who_waits_for_anothers_video_can_give_up(grounder, video):
    begun, told, finish = threading.Event(), threading.Event(), threading.Event()

    def slow(done, total):
        begun.set()
        assert finish.wait(20)

    def impatient(done, total):
        assert (done, total) == (0, None)
        told.set()
        raise InterruptedError

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(grounder.read, video, report=slow)
        assert begun.wait(20)
        second = pool.submit(grounder.read, video, report=impatient)
        assert told.wait(20)
        with pytest.raises(InterruptedError):
            second.result(20)
        finish.set()
        assert len(first.result(20).features) == 1


@pytest.mark.parametrize("how", [{"checkpoint": "mini"}, {"encoder": "mini"}])
def test_threads_that_ask_one_grounder_at_once_get_the_answers_that_each_gets_alone(how, video, decoded):
    asked = [f"a {colour} {form} {verb}" for colour in ("red", "blue") for form in ("ring", "box") for verb in VERBS]
    grounder = load(**how)
    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(lambda query: grounder.ground(video, query), asked))
    assert decoded == ["one.mp4"]
    assert found == [load(**how).ground(video, query) for query in asked]


def test_a_text_encoder_reads_for_one_thread_at_a_time(grounder, video):
    inside, most, encode = [], [], grounder.text.encode_texts
    together = threading.Barrier(4)

    class Counting:
        max_words = 64

        def encode_texts(self, sentences):
            inside.append(1)
            most.append(len(inside))
            found = encode(sentences)
            inside.pop()
            return found

    grounder.text = Counting()
    grounder.read(video)

    def ask(query):
        together.wait(20)
        return grounder.ground(video, query)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, ["a dog", "red", "a cat", "blue"]))
    assert most == [1] * 4


def test_what_is_explained_is_the_answer_in_plain_numbers():
    spikes = np.array([[1, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]], np.bool_)
    numbers = np.array([0.12345, 1, 0], np.float32), np.array([0.5, 0.25, 2 / 3], np.float32)
    answer = Answer((), *numbers, (Moment(0.0, 4.0, 0.62512),), spikes, exists=0.01)
    explained = Grounding(Path("a.mp4"), "a dog", 6.0, 2.0, answer, "mini", min_exists=0.5).explained()
    assert explained == {
        "clip_s": 2.0,
        "saliency": [0.123, 1.0, 0.0],
        "foreground": [0.5, 0.25, 0.667],
        "spikes": [0.5, 0.75, 0.0],
        "n_spike_steps": 4,
        "spike_steps": [[1, 0, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]],
        "proposals": [{"start_s": 0.0, "end_s": 4.0, "score": 0.625}],
    }
    assert json.loads(json.dumps(explained)) == explained


@pytest.mark.parametrize("how", [{"checkpoint": "mini"}, {"encoder": "mini"}])
def test_trained_or_not_everything_is_told_per_clip(how, video):
    found = load(**how).ground(video, "a red circle enters")
    explained, n = found.explained(), len(found.saliency)
    assert {len(explained[name]) for name in ("saliency", "foreground", "spikes", "spike_steps")} == {n}
    assert {len(steps) for steps in explained["spike_steps"]} == {explained["n_spike_steps"]}
    np.testing.assert_allclose(explained["spikes"], np.mean(explained["spike_steps"], axis=1), atol=5e-4)
    assert json.loads(json.dumps(explained)) == explained


def test_an_hour_of_clips_is_explained_in_less_than_300_kb():
    rng = np.random.default_rng(0)
    many = tuple(Moment(i * 3.0, i * 3.0 + 1.999, 0.123) for i in range(1200))
    numbers = rng.random((2, 3600)).astype(np.float32)
    answer = Answer((), *numbers, many, rng.random((3600, 10)) < 0.5)
    assert len(json.dumps(Grounding(Path("a"), "b", 3600, 1.0, answer, "c").explained())) < 300_000


def test_a_detector_without_steps_fires_nothing():
    none = np.zeros(2, np.float32)
    explained = Grounding(
        Path("a"), "b", 4, 2.0, Answer((), none, none, (), np.zeros((2, 0), np.bool_)), "c"
    ).explained()
    assert (explained["spikes"], explained["n_spike_steps"], explained["spike_steps"]) == ([0.0, 0.0], 0, [[], []])

"""Questions take turns, share readings, and stop when nobody waits: with models that answer by rule."""

import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.serving.asking import lanes as module
from pipelines.serving.asking.lanes import Lanes
from pipelines.serving.asking.questions import Asked
from pipelines.serving.faults import Busy, NotThere
from pipelines.serving.footage.catalogue import ServedVideo
from spikemba.errors import OutputError, VideoError
from spikemba.grounder import feature_cache
from spikemba.grounder.grounder import load
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment
from spikemba.user_folders import cache_folder

PATIENCE_S = 10


def served(folder, name):
    path = folder / name
    path.write_bytes(b"x")
    return ServedVideo(f"{name}-id", name, "", name, path, 1, 0.0)


class Reader:
    """Stands for the reading of files: each waits for leave, unless it has it already."""

    def __init__(self):
        self.read, self.begun, self.stopped = [], [], []
        self.cached, self.broken = set(), set()
        self.leave = threading.Event()

    def cached_features(self, path, encoders, clip_s, report):  # noqa: ARG002
        self.begun.append(path.name)
        try:
            while not self.leave.is_set():
                report(1, 2)
                time.sleep(0.002)
        except module.Stopped:
            self.stopped.append(path.name)
            raise
        if path.name in self.broken:
            raise VideoError(path, "is no video")
        self.cached.add(path)
        self.read.append(path.name)


class Model:
    """Answers with one moment."""

    def __init__(self, reader, name="a"):
        self.name, self.reader, self.clip_s = name, reader, 2.0
        self.encoders, self.asked = [SimpleNamespace(name="mini")], []

    def has_features(self, path):
        return path in self.reader.cached

    def ground(self, path, query, *, top, min_exists, report):  # noqa: ARG002
        self.asked.append((path.name, query))
        zeros = np.zeros(1, np.float32)
        answer = Answer((Moment(0.0, 1.0, 0.5),), zeros, zeros, (), np.zeros((1, 2), np.bool_))
        return Grounding(Path(path), query, 2.0, 2.0, answer, self.name)


@pytest.fixture
def reader(monkeypatch):
    one = Reader()
    monkeypatch.setattr(module, "cached_features", one.cached_features)
    monkeypatch.setattr(module, "TOLD_EVERY_S", 0.0)
    return one


@pytest.fixture
def model(reader):
    return Model(reader)


@pytest.fixture
def lanes(model):
    one = Lanes({"a": model}, readers=1)
    yield one
    model.reader.leave.set()
    one.close()


def wait_for(what):
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.002)


def asked(*videos, query="a dog", checkpoints=("a",)):
    return Asked(query, videos, checkpoints, 5, None)


def test_a_question_about_read_videos_does_not_wait_behind_a_long_reading(lanes, reader, tmp_path):
    long, short = served(tmp_path, "long.mp4"), served(tmp_path, "short.mp4")
    reader.cached.add(short.path)
    first = lanes.ask(asked(long))
    wait_for(lambda: reader.begun == ["long.mp4"])
    second = lanes.ask(asked(short))
    wait_for(lambda: second.state == "done")
    assert first.state == "working"
    assert not reader.read


def test_a_file_is_read_once_for_all_who_wait_and_each_is_told_how_far_it_is(lanes, reader, tmp_path):
    video = served(tmp_path, "long.mp4")
    questions = [lanes.ask(asked(video, query=f"sentence {i}")) for i in range(3)]
    wait_for(lambda: all(one.reading is not None for one in questions))
    assert {one.reading.model_dump_json() for one in questions} == {'{"video":"long.mp4-id","done":1,"total":2}'}
    reader.leave.set()
    wait_for(lambda: all(one.state == "done" for one in questions))
    assert reader.begun == ["long.mp4"]


def test_one_video_of_somebody_comes_after_one_of_a_large_question_not_after_all(lanes, reader, tmp_path):
    many = [served(tmp_path, f"m{i}.mp4") for i in range(5)]
    large = lanes.ask(asked(*many))
    wait_for(lambda: reader.begun == ["m0.mp4"])
    small = lanes.ask(asked(served(tmp_path, "mine.mp4")))
    wait_for(lambda: small in lanes._to_read)
    reader.leave.set()
    wait_for(lambda: large.is_over and small.is_over)
    assert reader.begun.index("mine.mp4") <= 2


def test_a_reading_stops_when_its_last_question_is_cancelled_and_not_before(lanes, reader, tmp_path):
    video = served(tmp_path, "long.mp4")
    first, second = lanes.ask(asked(video)), lanes.ask(asked(video, query="a cat"))
    wait_for(lambda: first.reading is not None and second.reading is not None)
    lanes.cancel(first.id)
    time.sleep(0.02)
    assert not reader.stopped
    lanes.cancel(second.id)
    wait_for(lambda: reader.stopped == ["long.mp4"])
    assert [first.state, second.state] == ["cancelled", "cancelled"]
    assert first.log[-1].kind == "end"


def test_a_broken_file_is_an_entry_and_stops_no_other(lanes, reader, tmp_path):
    reader.leave.set()
    reader.broken.add("broken.mp4")
    question = lanes.ask(asked(served(tmp_path, "broken.mp4"), served(tmp_path, "fine.mp4")))
    wait_for(lambda: question.is_over)
    assert question.state == "done"
    assert [one.video.name for one in question.answers] == ["fine.mp4"]
    assert [(one.video, one.problem) for one in question.failed] == [("broken.mp4-id", "broken.mp4: is no video")]


def test_a_question_without_one_answer_has_failed(lanes, reader, tmp_path):
    reader.leave.set()
    reader.broken.add("broken.mp4")
    question = lanes.ask(asked(served(tmp_path, "broken.mp4")))
    wait_for(lambda: question.is_over)
    assert question.state == "failed"


def test_the_same_question_is_not_computed_twice_until_the_file_changes(lanes, reader, model, tmp_path):
    reader.leave.set()
    video = served(tmp_path, "a.mp4")
    for content in (b"x", b"x", b"longer"):
        video.path.write_bytes(content) if content != b"x" else None
        question = lanes.ask(asked(video))
        wait_for(lambda: question.state == "done")  # noqa: B023
    assert model.asked == [("a.mp4", "a dog")] * 2


def test_two_checkpoints_of_the_same_encoders_share_one_reading(reader, tmp_path):
    lanes = Lanes({"a": Model(reader, "a"), "b": Model(reader, "b")}, readers=1)
    reader.leave.set()
    question = lanes.ask(asked(served(tmp_path, "a.mp4"), checkpoints=("a", "b")))
    wait_for(lambda: question.state == "done")
    lanes.close()
    assert reader.read == ["a.mp4"]
    assert sorted(one.checkpoint for one in question.answers) == ["a", "b"]


def test_a_model_that_breaks_is_told_of_as_a_failure_and_the_next_question_is_answered(lanes, reader, model, tmp_path):
    reader.leave.set()
    video, ground = served(tmp_path, "a.mp4"), model.ground
    model.ground = lambda *_, **__: 1 / 0
    question = lanes.ask(asked(video))
    wait_for(lambda: question.is_over)
    assert "failed unexpectedly (ZeroDivisionError" in question.failed[0].problem
    model.ground = ground
    following = lanes.ask(asked(video))
    wait_for(lambda: following.state == "done")


def test_too_many_open_questions_are_refused_until_some_are_over(lanes, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MOST_OPEN", 2)
    video = served(tmp_path, "long.mp4")
    first = lanes.ask(asked(video))
    lanes.ask(asked(video))
    with pytest.raises(Busy, match="2 questions are open already, and at most 2 are taken"):
        lanes.ask(asked(video))
    lanes.cancel(first.id)
    lanes.ask(asked(video))


def test_of_questions_that_are_over_the_last_ones_are_kept(lanes, reader, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    reader.leave.set()
    video, questions = served(tmp_path, "a.mp4"), []
    for i in range(4):
        questions.append(lanes.ask(asked(video, query=f"sentence {i}")))
        wait_for(lambda: questions[-1].is_over)
    wait_for(lambda: len(lanes._questions) == 2)
    with pytest.raises(NotThere, match="it may be forgotten: ask again"):
        lanes.get(questions[0].id)
    assert lanes.get(questions[3].id) is questions[3]


def test_waiting_questions_know_how_many_come_first(lanes, reader, tmp_path):
    questions = [lanes.ask(asked(served(tmp_path, f"{i}.mp4"))) for i in range(3)]
    wait_for(lambda: [one.place for one in questions] == [0, 1, 2])
    assert [one.state for one in questions] == ["working", "waiting", "waiting"]
    lanes.cancel(questions[1].id)
    wait_for(lambda: questions[2].place == 1)
    reader.leave.set()


def test_closing_ends_a_reading_that_is_under_way(lanes, reader, tmp_path):
    question = lanes.ask(asked(served(tmp_path, "long.mp4")))
    wait_for(lambda: reader.begun == ["long.mp4"])
    assert lanes.close(patience_s=PATIENCE_S)
    assert reader.stopped == ["long.mp4"]
    assert question.state == "cancelled"


def test_a_file_that_changes_while_it_is_read_is_said_to_have_changed(lanes, reader, tmp_path):
    video = served(tmp_path, "long.mp4")
    question = lanes.ask(asked(video))
    wait_for(lambda: reader.begun == ["long.mp4"])
    video.path.write_bytes(b"it grows")
    reader.leave.set()
    wait_for(lambda: question.is_over)
    assert question.failed[0].problem == "long.mp4: changed while it was read; ask again"


def test_features_that_are_gone_again_after_each_reading_end_the_question(lanes, reader, model, tmp_path):
    reader.leave.set()

    def gone(path, query, *, top, min_exists, report):
        report(0, None)

    model.ground = gone
    question = lanes.ask(asked(served(tmp_path, "a.mp4")))
    wait_for(lambda: question.is_over)
    assert reader.read == ["a.mp4"] * module.MOST_READINGS
    assert "was read 3 times, and its features are gone" in question.failed[0].problem


def test_a_damaged_entry_on_a_full_disk_is_read_once_and_answered(make_video, random_mini, monkeypatch):
    video = make_video("one.mp4", [np.full((64, 64, 3), 20 * k, np.uint8) for k in range(8)], fps=4)
    model = load(encoder="mini", weights={"mini": str(random_mini)})
    model.ground(video, "a dog")
    (entry,) = (cache_folder() / "features").glob("*.npz")
    entry.write_bytes(entry.read_bytes()[:100])

    @contextmanager
    def full(path):
        yield path.with_name("part")
        raise OutputError(path, "no space left on device")

    monkeypatch.setattr(feature_cache, "writing", full)
    lanes, whole, encode = Lanes({"a": model}, readers=1), [], feature_cache.encode_video

    def counting(*how):
        found = encode(*how)
        whole.append(1)
        return found

    monkeypatch.setattr(feature_cache, "encode_video", counting)
    one = ServedVideo("one-id", "one.mp4", "", "one", video, 1, 0.0)
    for query in ("a dog", "a cat"):
        question = lanes.ask(asked(one, query=query))
        wait_for(lambda: question.is_over)  # noqa: B023
        assert question.state == "done", question.failed
    lanes.close()
    assert whole == [1]


def test_features_that_neither_disk_nor_memory_takes_end_the_question_with_a_line(make_video, random_mini, monkeypatch):
    video = make_video("one.mp4", [np.full((64, 64, 3), 20 * k, np.uint8) for k in range(8)], fps=4)
    model = load(encoder="mini", weights={"mini": str(random_mini)})
    monkeypatch.setattr(feature_cache, "KEPT_BYTES", 10)
    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / "features").write_text("no folder")
    lanes = Lanes({"a": model}, readers=1)
    question = lanes.ask(asked(ServedVideo("one-id", "one.mp4", "", "one", video, 1, 0.0)))
    wait_for(lambda: question.is_over)
    lanes.close()
    assert question.failed[0].problem.startswith("one.mp4: its features cannot be kept in the cache folder, and are")

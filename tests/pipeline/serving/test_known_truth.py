"""What people say is shown of the file that they said it of, whatever else lies in the folder; as it is taught."""

import json

import numpy as np
import pytest

from pipelines.preparation.prepare import video_duration_s
from pipelines.serving.corrections_messages import Correction
from pipelines.serving.footage.catalogue import ServedVideos
from pipelines.serving.known.truth import KnownTruth
from spikemba.datasets.custom_sources import read_sources
from spikemba.errors import AnnotationError

pytestmark = pytest.mark.usefixtures("always_fresh")


@pytest.fixture
def film(make_video, tmp_path):
    """Makes a video of so many seconds; what it is called says how it is packed."""

    def film(name, seconds):
        path = make_video(f"films/{name}", [np.full((32, 32, 3), k, np.uint8) for k in range(5 * seconds)], fps=5)
        assert path == tmp_path / "films" / name
        return path

    return film


class Known:
    """What is known of a folder; and what is taught of it."""

    def __init__(self, place, annotations=()):
        self.place, self.served = place, ServedVideos([place / "films"])
        length_of = lambda video: video_duration_s(video.path)  # noqa: E731
        self.known = KnownTruth(annotations, place / "said", self.served, length_of)

    def video(self, name):
        return next(one for one in self.served.all() if one.name == name)

    def say(self, name, query="a dog", **how):
        said = Correction(name="Ana", video="v", query=query, **(how or {"windows": [[0, 1]]}))
        return self.known.add(said, self.video(name))

    def shown(self):
        """File -> windows of what people said."""
        found = {one.path.name: [truth.windows for truth in self.known.of(one)] for one in self.served.all()}
        return {name: windows for name, windows in found.items() if windows}

    def taught(self):
        """The same of what is trained on; or why it is refused."""
        try:
            data = read_sources([self.place / "said"], self.place / "films", video_duration_s)
        except AnnotationError as error:
            return str(error)
        names = {one.video_id: one.path.name for one in self.served.all()}
        rows = [(names[one.video_id], [[w.start_s, w.end_s] for w in one.windows]) for one in data.annotations]
        return {name: [windows for other, windows in rows if other == name] for name, _ in rows}


@pytest.fixture
def known(film, tmp_path):
    film("shapes.mp4", 4)
    return Known(tmp_path)


def test_a_file_keeps_its_corrections_when_another_of_its_name_comes_and_goes(known, film):
    known.say("shapes.mp4")
    other = film("shapes.mkv", 8)
    assert known.shown() == known.taught() == {"shapes.mp4": [[[0, 1]]]}
    known.say("shapes.mp4", windows=[[1, 2]])
    known.say("shapes.mkv", windows=[[5, 6]])
    assert known.shown() == known.taught() == {"shapes.mp4": [[[1, 2]]], "shapes.mkv": [[[5, 6]]]}
    assert known.known.counts() == {known.video("shapes.mp4").id: 1, known.video("shapes.mkv").id: 1}
    other.unlink()
    assert known.shown() == {"shapes.mp4": [[[1, 2]]]}  # and not what was superseded
    assert known.known.problems()[0].startswith("Ana.jsonl line 3: no video below ")
    assert "Ana.jsonl line 3: no video below " in known.taught()
    known.say("shapes.mp4", absent=True)
    assert known.shown() == {"shapes.mp4": [[]]}


def test_another_file_of_that_name_inherits_nothing_and_that_is_said(known, film):
    row = known.say("shapes.mp4")
    assert [one.qid for one in known.known.rows(None, " a dog ")] == [row.qid]
    film("shapes.mp4", 9)
    assert known.shown() == {}
    assert known.known.rows(None, None) == known.known.rows(known.video("shapes.mp4"), None) == []
    (problem,) = known.known.problems()
    assert problem.startswith("Ana.jsonl line 1: is about a video 'shapes' of 4 s, and ")
    assert "Ana.jsonl line 1: is about a video 'shapes' of 4 s, and " in known.taught()


def test_of_two_files_that_could_both_be_meant_neither_is_shown(known, film):
    known.say("shapes.mp4")
    film("shapes.mkv", 4)
    assert known.shown() == {}
    assert "video 'shapes' could be" in known.known.problems()[0]
    assert "video 'shapes' could be" in known.taught()


def test_what_is_said_of_a_file_beside_one_as_long_of_the_same_name_is_found_again(known, film):
    film("A/shapes.mp4", 4)
    for name in ("shapes.mp4", "A/shapes.mp4"):
        row = known.say(name, query=name)
        (found,) = known.known.rows(known.video(name), None)
        assert found.qid == row.qid
    assert known.known.problems() == []
    assert isinstance(known.taught(), dict)


def test_annotations_are_of_the_file_that_they_name_and_is_about_as_long(known, film, tmp_path):
    rows = [
        {"qid": n, "query": f"q{n}", "vid": vid, "duration": duration, "relevant_windows": [[0, 1]]}
        for n, (vid, duration) in enumerate([("shapes", 4), ("shapes", 30), ("gone", 4)])
    ]
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = Known(tmp_path, [tmp_path / "truth.jsonl"])
    assert [one.query for one in own.known.of(own.video("shapes.mp4"))] == ["q0"]
    assert own.known.videos() == {own.video("shapes.mp4").id}

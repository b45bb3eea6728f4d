"""Which files are served, and what they are called."""

import os
import threading
import time

import pytest

from pipelines.serving.faults import NotThere
from pipelines.serving.footage import catalogue
from pipelines.serving.footage.catalogue import ServedVideos
from spikemba.errors import VideoError
from spikemba.video.folders import search

pytestmark = pytest.mark.usefixtures("always_fresh")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "films" / "more").mkdir(parents=True)
    for name in ("films/b.mp4", "films/more/a.mp4", "secret.mp4"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def names(served):
    return [one.name for one in served.all()]


def test_videos_are_listed_by_name_with_the_folder_that_they_lie_in(folder):
    served = ServedVideos([folder / "films"])
    assert [(one.name, one.folder, one.size_bytes) for one in served.all()] == [
        ("a.mp4", "more", 16),
        ("b.mp4", "", 11),
    ]


def test_a_link_that_leads_out_of_the_folder_is_not_served(folder):
    (folder / "films" / "link.mp4").symlink_to(folder / "secret.mp4")
    (folder / "films" / "all").symlink_to(folder)
    assert names(ServedVideos([folder / "films"])) == ["a.mp4", "b.mp4"]


def test_a_link_inside_the_folder_is_served_under_its_own_name(folder):
    (folder / "films" / "link.mp4").symlink_to(folder / "films" / "b.mp4")
    assert names(ServedVideos([folder / "films"])) == ["a.mp4", "b.mp4", "link.mp4"]


def test_a_link_that_was_named_itself_is_served(folder):
    (folder / "link.mp4").symlink_to(folder / "secret.mp4")
    assert names(ServedVideos([folder / "link.mp4"])) == ["link.mp4"]


def test_a_listed_file_that_becomes_a_link_outwards_is_not_there_any_more(folder):
    served = ServedVideos([folder / "films"])
    video = next(one for one in served.all() if one.name == "b.mp4")
    video.path.unlink()
    video.path.symlink_to(folder / "secret.mp4")
    with pytest.raises(NotThere, match="no video has the id 'b-"):
        served.get(video.id)


def test_an_id_means_the_same_file_whatever_comes_beside_it(folder):
    served = ServedVideos([folder / "films"])
    before = {one.id: one.path for one in served.all()}
    (folder / "films" / "more" / "b.mp4").write_bytes(b"another of that name")
    after = {one.id: one.path for one in served.all()}
    assert len(after) == 3
    assert {name: after[name] for name in before} == before


def test_an_id_is_one_plain_segment_of_an_address(tmp_path):
    for name in ("Küche & 厨房 #1.mp4", "a%2f...mp4", "x" * 200 + ".mp4", "\u202etxt.mp4", "🎬.mp4"):
        (tmp_path / name).write_bytes(b"x")
    ids = [one.id for one in ServedVideos([tmp_path]).all()]
    assert len(set(ids)) == 5
    assert all(set(one) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") and len(one) <= 53 for one in ids)


@pytest.mark.parametrize("asked", ["../secret.mp4", "", "b.mp4", "/etc/passwd", "b-000000000000", "\x00", "\ud800"])
def test_what_is_no_id_is_refused_in_one_line(folder, asked):
    with pytest.raises(NotThere) as caught:
        ServedVideos([folder / "films"]).get(asked)
    assert "\n" not in str(caught.value)


def test_a_file_that_comes_later_is_listed_and_one_that_goes_is_not(folder):
    served = ServedVideos([folder / "films"])
    (folder / "films" / "c.mp4").write_bytes(b"new")
    assert names(served) == ["a.mp4", "b.mp4", "c.mp4"]
    (folder / "films" / "b.mp4").unlink()
    assert names(served) == ["a.mp4", "c.mp4"]


def test_a_folder_without_videos_is_refused_unless_it_is_to_grow(tmp_path):
    with pytest.raises(VideoError, match="holds no videos"):
        ServedVideos([tmp_path])
    assert ServedVideos([], growing=[tmp_path]).all() == []


def test_a_pipe_that_is_called_like_a_video_is_not_served(folder):
    os.mkfifo(folder / "films" / "pipe.mp4")
    assert names(ServedVideos([folder / "films"])) == ["a.mp4", "b.mp4"]


def test_while_somebody_looks_at_many_files_others_get_the_last_listing_at_once_and_nobody_looks_twice(
    folder, monkeypatch
):
    served, looks, go_on = ServedVideos([folder / "films"]), [], threading.Event()

    def slow(paths):
        looks.append(paths)
        go_on.wait(10)
        return search(paths)

    monkeypatch.setattr(catalogue, "search", slow)
    monkeypatch.setattr(catalogue, "QUICK_S", 0.0)
    (folder / "films" / "c.mp4").write_bytes(b"new")
    for _ in range(5):
        assert names(served) == ["a.mp4", "b.mp4"]
        with pytest.raises(NotThere):
            served.get("c-000000000000")
    while not looks:
        time.sleep(0.001)
    assert len(looks) == 1
    (folder / "films" / "d.mp4").write_bytes(b"uploaded")
    assert served.add(folder / "films" / "d.mp4").name == "d.mp4"
    assert names(served) == ["a.mp4", "b.mp4", "d.mp4"]
    go_on.set()
    served._looking.wait(10)
    assert names(served) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    served._looking.wait(10)


def test_the_next_look_comes_no_sooner_than_ten_times_as_long_as_the_last_one_took(folder, monkeypatch):
    now, looks = [1000.0], []

    def slow(paths):
        looks.append(now[0])
        now[0] += 30.0
        return search(paths)

    monkeypatch.setattr(catalogue, "search", slow)
    monkeypatch.setattr(catalogue.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(catalogue, "SHARE", 10)
    served = ServedVideos([folder / "films"])
    for _ in range(400):
        now[0] += 1.0
        served.all()
        served._looking.wait(10)
        if len(looks) > 1:
            break
    assert looks == [1000.0, 1330.0]


def test_a_new_file_of_a_known_name_makes_both_names_longer(folder):
    served = ServedVideos([folder / "films"])
    before = {one.path: one.id for one in served.all()}
    (folder / "films" / "more" / "b.mp4").write_bytes(b"another")
    served._due_at = float("inf")
    assert served.add(folder / "films" / "more" / "b.mp4").video_id == "more/b"
    after = {one.path: one for one in served.all()}
    assert after[folder / "films" / "b.mp4"].id == before[folder / "films" / "b.mp4"]
    assert len(after) == 3
    assert served.add(folder / "secret.mp4") is None

"""`index`: a library that follows its folders, and outlives being killed anywhere."""

import os
import shutil
import signal
import sys

import numpy as np
import pytest

from pipelines.extraction import job
from pipelines.extraction.job import ExtractEvents, RunOptions
from pipelines.library import incoming, plan, staging
from pipelines.library import index as indexing
from pipelines.library.index import index
from pipelines.library.upkeep import check_library, compact_library, drop_below, drop_encoder, library_info
from pipelines.shards import Shard
from spikemba.encoders import load_encoder
from spikemba.encoding.videos import encode_video
from spikemba.errors import LibraryError, OutputError, UnknownName, VideoError
from spikemba.library import Library, open_library

mini = "mini"


def frames(n, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (n, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def videos(make_video, tmp_path):
    """A folder of four videos, one of them bad."""
    for i, name in enumerate(("a", "b", "sub/c")):
        make_video(f"videos/{name}.mp4", frames(20 + 10 * i, i), fps=5)
    (tmp_path / "videos" / "bad.mp4").write_text("not a video")
    return tmp_path / "videos"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded from here on."""
    names = []
    real = job.encode_videos

    def watched(paths, *rest, **how):
        paths = list(paths)
        names.extend(path.name for path in paths)
        return real(paths, *rest, **how)

    monkeypatch.setattr(job, "encode_videos", watched)
    return names


def content(folder):
    """Path -> rows, of every video of a library."""
    with open_library(folder) as library:
        return {one.path: library.features(one, [mini]).features[0].tobytes() for one in library.videos()}


def names(paths):
    return sorted(path.name for path in paths)


def test_videos_are_found_again_as_they_were_encoded(videos, tmp_path):
    told = []
    result = index([videos], mini, tmp_path / "l", events=ExtractEvents(failed=lambda path, _: told.append(path.name)))
    assert names(result.added) == ["a.mp4", "b.mp4", "c.mp4"]
    assert names(result.failed) == told == ["bad.mp4"]
    encoder = load_encoder(mini)
    with Library.open(tmp_path / "l") as library:
        assert library.encoders()[mini].manifest.weights == encoder.weights
        for video in library.videos():
            stored, fresh = library.features(video, [mini]), encode_video(video.path, [encoder], 2.0)
            assert stored.duration_s == fresh.duration_s
            np.testing.assert_array_equal(stored.features[0], fresh.features[0].astype(np.float16))
            best = library.scan(mini, fresh.features[0][1], 1)[0]
            assert (best.video.path, best.clip) == (video.path, 1)
        (bad,) = (one for one in library.videos(broken=True) if one.problem)
        assert "is not a video that FFmpeg can read" in bad.problem
    assert not list((tmp_path / "l" / "incoming").rglob("*.npz"))
    assert check_library(tmp_path / "l") == []


def test_what_is_there_is_not_decoded_again(videos, tmp_path, decoded):
    index([videos], mini, tmp_path / "l")
    decoded.clear()
    result = index([videos], mini, tmp_path / "l")
    assert decoded == []
    assert names(result.kept) == ["a.mp4", "b.mp4", "c.mp4"]
    assert "--retry-failed tries it again" in result.failed[videos / "bad.mp4"]
    index([videos], mini, tmp_path / "l", run=RunOptions(retry_failed=True))
    assert decoded == ["bad.mp4"]


def test_changed_moved_copied_touched_and_removed_videos_are_followed(videos, tmp_path, decoded, make_video):
    index([videos], mini, tmp_path / "l")
    before = content(tmp_path / "l")
    decoded.clear()
    shutil.copy(videos / "a.mp4", videos / "sub" / "a copy.mp4")
    os.utime(videos / "a.mp4", ns=(1, 1))
    (videos / "sub" / "c.mp4").rename(videos / "moved.mp4")
    make_video("videos/b.mp4", frames(15, 7), fps=5)
    make_video("videos/bad.mp4", frames(12, 8), fps=5)
    result = index([videos], mini, tmp_path / "l")
    assert sorted(decoded) == ["b.mp4", "bad.mp4"]
    assert (names(result.renewed), result.failed, result.dropped) == (["b.mp4", "bad.mp4"], {}, [])
    assert result.moved == {videos / "moved.mp4": videos / "sub" / "c.mp4"}
    assert result.copies == {videos / "sub" / "a copy.mp4": videos / "a.mp4"}
    after = content(tmp_path / "l")
    assert after[videos / "moved.mp4"] == before[videos / "sub" / "c.mp4"]
    assert after[videos / "sub" / "a copy.mp4"] == after[videos / "a.mp4"] == before[videos / "a.mp4"]
    assert after[videos / "b.mp4"] != before[videos / "b.mp4"]
    (videos / "a.mp4").unlink()
    result = index([videos], mini, tmp_path / "l")
    assert result.dropped == [videos / "a.mp4"]
    assert content(tmp_path / "l") == {path: rows for path, rows in after.items() if path != videos / "a.mp4"}
    rows, freed = compact_library(tmp_path / "l")
    assert rows > 0
    assert freed == rows * (2 * load_encoder(mini).dim + 4)
    assert content(tmp_path / "l") == {path: rows for path, rows in after.items() if path != videos / "a.mp4"}


def test_copies_that_come_together_are_decoded_once(videos, tmp_path, decoded):
    shutil.copy(videos / "a.mp4", videos / "z.mp4")
    shutil.copy(videos / "bad.mp4", videos / "bad too.mp4")
    result = index([videos], mini, tmp_path / "l")
    assert sorted(decoded) == ["a.mp4", "b.mp4", "bad too.mp4", "bad.mp4", "c.mp4"]
    assert result.copies == {videos / "z.mp4": videos / "a.mp4"}
    assert names(result.failed) == ["bad too.mp4", "bad.mp4"]
    assert library_info(tmp_path / "l").copies == [
        [videos / "a.mp4", videos / "z.mp4"],
        [videos / "bad too.mp4", videos / "bad.mp4"],
    ]


def test_two_videos_that_change_places_keep_what_is_theirs(videos, tmp_path):
    index([videos], mini, tmp_path / "l")
    before = content(tmp_path / "l")
    for a, b in (("a", "t"), ("b", "a"), ("t", "b")):
        (videos / f"{a}.mp4").rename(videos / f"{b}.mp4")
    index([videos], mini, tmp_path / "l")
    after = content(tmp_path / "l")
    assert after[videos / "a.mp4"] == before[videos / "b.mp4"]
    assert after[videos / "b.mp4"] == before[videos / "a.mp4"]


def test_a_move_that_another_run_was_quicker_with_is_no_loss(videos, tmp_path, monkeypatch):
    index([videos], mini, tmp_path / "l")
    before = content(tmp_path / "l")
    (videos / "a.mp4").rename(videos / "new.mp4")
    real = indexing.make_plan

    def overtaken(*args, **how):
        found = real(*args, **how)
        drop_below(tmp_path / "l", videos / "a.mp4")
        return found

    monkeypatch.setattr(indexing, "make_plan", overtaken)
    result = index([videos], mini, tmp_path / "l")
    assert (result.added, result.moved) == ([videos / "new.mp4"], {})
    assert content(tmp_path / "l")[videos / "new.mp4"] == before[videos / "a.mp4"]


def test_nothing_is_dropped_outside_of_the_folders_given(videos, tmp_path):
    index([videos], mini, tmp_path / "l")
    (videos / "a.mp4").unlink()
    assert index([videos / "sub"], mini, tmp_path / "l").dropped == []
    assert videos / "a.mp4" in content(tmp_path / "l")


def test_a_disk_that_is_not_mounted_costs_nothing(videos, tmp_path):
    index([videos], mini, tmp_path / "l")
    before = content(tmp_path / "l")
    videos.rename(tmp_path / "away")
    with pytest.raises(LibraryError, match=r"no such file or folder, but 4 of its videos are in .*nothing was changed"):
        index([videos], mini, tmp_path / "l")
    videos.mkdir()
    with pytest.raises(LibraryError, match="holds no videos, but 4 of its videos are in the library"):
        index([videos], mini, tmp_path / "l")
    videos.rmdir()
    (tmp_path / "away").rename(videos)
    (videos / "sub" / "c.mp4").rename(tmp_path / "c.mp4")  # the place of a disk below the folder given
    result = index([videos], mini, tmp_path / "l")
    assert (result.dropped, result.unreachable) == ([], [videos / "sub" / "c.mp4"])
    assert content(tmp_path / "l") == before
    (videos / "sub").rmdir()
    assert index([videos], mini, tmp_path / "l").dropped == [videos / "sub" / "c.mp4"]


def test_a_link_to_nothing_drops_nothing(videos, tmp_path):
    (videos / "link").symlink_to(videos.parent / "elsewhere")
    shutil.copytree(videos / "sub", videos.parent / "elsewhere")
    index([videos], mini, tmp_path / "l")
    shutil.rmtree(videos.parent / "elsewhere")
    result = index([videos], mini, tmp_path / "l")
    assert (result.dropped, result.unreachable) == ([], [videos / "link" / "c.mp4"])


def test_clips_of_another_length_are_refused_before_anything_is_decoded(videos, tmp_path, decoded):
    index([videos], mini, tmp_path / "l")
    decoded.clear()
    with pytest.raises(LibraryError, match=r"rows of mini were made otherwise: clip_s 2.0 \(now 1.0\)"):
        index([videos], mini, tmp_path / "l", clip_s=1.0)
    assert decoded == []
    drop_encoder(tmp_path / "l", mini)
    assert names(index([videos], mini, tmp_path / "l", clip_s=1.0).renewed) == ["a.mp4", "b.mp4", "c.mp4"]


def test_nothing_starts_with_what_cannot_work(videos, tmp_path):
    (tmp_path / "bare").mkdir()
    with pytest.raises(VideoError, match="holds no videos"):
        index([tmp_path / "bare"], mini, tmp_path / "l")
    with pytest.raises(UnknownName, match="no encoder is called 'minni'"):
        index([videos], "minni", tmp_path / "l")
    assert not (tmp_path / "l").exists()
    with pytest.raises(OutputError, match="cannot write .*choose another folder with --library"):
        index([videos], mini, videos / "bad.mp4")
    with pytest.raises(LibraryError, match="there is no library"):
        drop_encoder(tmp_path / "l", mini)


def test_a_full_disk_keeps_what_was_taken_in(videos, tmp_path, monkeypatch):
    index([videos / "a.mp4"], mini, tmp_path / "l")
    before = content(tmp_path / "l")

    def full(*args, **how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(incoming.np, "savez", full)
    with pytest.raises(OutputError, match="no space left on device; make room and run the same command again"):
        index([videos], mini, tmp_path / "l")
    monkeypatch.undo()
    assert content(tmp_path / "l") == before
    assert names(index([videos], mini, tmp_path / "l").added) == ["b.mp4", "c.mp4"]


def test_numbers_that_a_library_cannot_hold_fail_their_video_alone(videos, tmp_path, monkeypatch):
    def stored(rows):
        if len(rows) == 3:
            raise OverflowError("a feature is 70000; a library holds float16, up to 65,504")
        return rows.astype(np.float16)

    monkeypatch.setattr(incoming, "stored", stored)
    result = index([videos / "a.mp4", videos / "b.mp4"], mini, tmp_path / "l")
    assert result.failed == {
        videos / "b.mp4": f"{videos / 'b.mp4'}: a feature is 70000; a library holds float16, up to 65,504"
    }


def test_parts_make_one_library(videos, tmp_path):
    index([videos], mini, tmp_path / "whole")
    for i in range(2):
        index([videos], mini, tmp_path / "parts", run=RunOptions(shard=Shard(i, 2)))
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_videos_below_a_folder_can_be_dropped_whether_it_is_there_or_not(videos, tmp_path):
    index([videos], mini, tmp_path / "l")
    assert drop_below(tmp_path / "l", videos / "sub") == [videos / "sub" / "c.mp4"]
    shutil.rmtree(videos)
    assert names(drop_below(tmp_path / "l", videos)) == ["a.mp4", "b.mp4", "bad.mp4"]
    with pytest.raises(LibraryError, match="it has no video below"):
        drop_below(tmp_path / "l", videos)


def test_damaged_rows_are_named(videos, tmp_path):
    index([videos], mini, tmp_path / "l")
    path = tmp_path / "l" / "mini.f16"
    damaged = bytearray(path.read_bytes())
    damaged[5] ^= 0x7C
    path.write_bytes(damaged)
    assert [fault.partition(" of video")[0] for fault in check_library(tmp_path / "l")] == ["mini: 1 rows"]


def child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def killed_at(line, work):
    """A child that kills itself, as kill -9 does, before the line-th line that it runs of the stages of indexing."""
    files = {module.__file__ for module in (indexing, incoming, plan)}
    count = 0

    def local(frame, event, argument):
        nonlocal count
        count += event == "line"
        if count == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return local

    def traced():
        sys.settrace(lambda frame, event, argument: local if frame.f_code.co_filename in files else None)
        work()

    return os.waitpid(child(traced), 0)[1]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_killed_anywhere_the_next_run_makes_the_same_library(videos, tmp_path):
    index([videos], mini, tmp_path / "l0")
    whole = content(tmp_path / "l0")
    for line in range(1, 4000, 23):
        library = tmp_path / f"l{line}"
        status = killed_at(line, lambda library=library: index([videos], mini, library))
        if (library / "library.sqlite").exists() and (library / "library.sqlite").stat().st_size:
            index([videos], mini, library)
        assert index([videos], mini, library).added in ([], sorted(whole))
        assert content(library) == whole, line
        assert check_library(library) == []
        assert not list((library / "incoming").rglob("*.npz"))
        shutil.rmtree(library)
        if not status:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert line > 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_two_runs_at_once_make_the_same_library(videos, tmp_path):
    index([videos], mini, tmp_path / "alone")
    children = [child(lambda: index([videos], mini, tmp_path / "l")) for _ in range(2)]
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    assert content(tmp_path / "l") == content(tmp_path / "alone")
    assert check_library(tmp_path / "l") == []


@pytest.fixture
def cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


def test_workers_of_ray_fill_a_library_of_either_form(videos, tmp_path, cluster):
    index([videos], mini, tmp_path / "here")
    for form in ("local", "lance"):
        result = index([videos], mini, tmp_path / form, form=form, run=RunOptions(engine="ray"))
        assert names(result.added) == ["a.mp4", "b.mp4", "c.mp4"]
        assert names(result.failed) == ["bad.mp4"]
        assert content(tmp_path / form) == content(tmp_path / "here")
        assert names(index([videos], mini, tmp_path / form).kept) == ["a.mp4", "b.mp4", "c.mp4"]


def test_what_a_killed_run_has_left_is_taken_in_by_the_next(videos, tmp_path, decoded):
    """Of a library of LanceDB, whose runs keep their features apart until they are taken in."""
    index([videos], mini, tmp_path / "whole")
    left = staging.staged(tmp_path / "l") / "of-a-killed-run"
    encoders = load_encoder(mini)
    job_of_then = incoming.IndexJob(mini, left, 2.0, "float16", RunOptions())
    todo = {incoming.state_of(path)[0]: path for path in (videos / "a.mp4", videos / "b.mp4")}
    assert [problem for *_, problem in job.encode_here(job_of_then, todo, [encoders], ExtractEvents())] == [None, None]
    decoded.clear()
    index([videos], mini, tmp_path / "l", form="lance")
    assert sorted(decoded) == ["bad.mp4", "c.mp4"]
    assert content(tmp_path / "l") == content(tmp_path / "whole")
    assert list(staging.staged(tmp_path / "l").iterdir()) == []

"""A video is its path: found under every name that it has, named by the shortest part that tells it apart."""

import logging
import os
import random
import shutil

import pytest

from spikemba.errors import VideoError
from spikemba.features import FeatureFolder, Manifest, write_manifest, write_video_features
from spikemba.files import writing
from spikemba.reading.printable import utf8_text
from spikemba.video.folders import find_videos
from spikemba.video.names import LONGEST_NAME, file_about, fitting, named_videos, shown_name


@pytest.fixture
def touch(tmp_path):
    def touch(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return touch


def names(*paths):
    return sorted(named_videos(paths))


def test_a_name_of_its_own_stays_short(touch):
    assert names(touch("a.mp4", "deep/er/b.MKV", "c.d.webm")) == ["a", "b", "c.d"]


def test_cards_that_repeat_names_are_told_apart_by_their_folders(touch):
    assert names(touch("A/C0001.MP4", "B/C0001.MP4", "B/C0002.MP4")) == ["A/C0001", "B/C0001", "C0002"]
    deep = touch("A/1/x.mp4", "B/1/x.mp4", "B/2/x.mp4")
    assert [one for one in names(deep) if one.endswith("x")] == ["A/1/x", "B/1/x", "B/2/x"]


def test_containers_beside_each_other_are_told_apart_by_their_suffix(touch):
    assert names(touch("clip.mov", "clip.mp4", "clip.mp4.mkv")) == ["clip.mov", "clip.mp4", "clip.mp4.mkv"]


def test_a_file_at_the_top_keeps_its_name_and_no_name_depends_on_the_folder_above(touch):
    top = touch("x.mp4", "day/x.mp4")
    assert names(top) == ["day/x", "x"]
    moved = top.rename(top.with_name("moved"))
    assert names(moved) == ["day/x", "x"]


def test_several_folders_are_told_apart_by_their_own_names(touch):
    top = touch("A/p/C1.mp4", "B/p/C1.mp4", "B/own.mp4")
    assert names(top / "A", top / "B") == ["A/p/C1", "B/p/C1", "own"]
    assert names(top / "A/p/C1.mp4", top / "B/p/C1.mp4") == ["A/p/C1", "B/p/C1"]
    assert names(top / "A/p/C1.mp4") == ["C1"]


def test_any_tree_has_a_name_for_each_file(touch):
    rng = random.Random(0)
    for trial in range(20):
        files = {
            "/".join([f"t{trial}", *rng.choices("ab", k=rng.randrange(4)), rng.choice("xy")])
            + rng.choice([".mp4", ".mov", ".mp4.mkv", ".x.mp4"])
            for _ in range(25)
        }
        top = touch(*files) / f"t{trial}"
        found = named_videos([top])
        assert len(found) == len(files)
        assert {path.relative_to(top.parent).as_posix() for path in found.values()} == files
        assert all(str(path.with_suffix("")).endswith(one) or str(path).endswith(one) for one, path in found.items())


def test_links_to_files_and_folders_are_followed_and_both_names_of_a_file_found(touch):
    top = touch("v/own.mp4", "store/real.mp4", "store/more/deep.mp4")
    (top / "v/one.mp4").symlink_to(top / "store/real.mp4")
    (top / "v/two.mp4").symlink_to("one.mp4")
    (top / "v/part").symlink_to(top / "store/more")
    (top / "v/part again").symlink_to("part")
    assert names(top / "v") == ["one", "own", "part again/deep", "part/deep", "two"]


def test_links_in_circles_end_and_what_is_searched_anyway_is_found_once(touch):
    top = touch("v/a/x.mp4", "v/b/y.mp4", "o/p/z.mp4", "o/q/w.mp4")
    for link, target in {
        "v/a/back": "v",
        "v/up": ".",
        "v/root": "/",
        "v/b/a": "v/a",
        "o/p/q": "o/q",
        "o/q/p": "o/p",
    }.items():
        (top / link).symlink_to(top / target)
    assert names(top / "v") == ["x", "y"]
    (top / "v/out").symlink_to(top / "o/p")
    assert names(top / "v") == ["w", "x", "y", "z"]


def test_a_link_to_nothing_is_found_so_that_it_is_reported(touch):
    top = touch("v/a.mp4")
    (top / "v/gone.mp4").symlink_to("nowhere.mp4")
    (top / "v/circle.mp4").symlink_to("circle.mp4")
    assert names(top / "v") == ["a", "circle", "gone"]


def test_a_folder_that_cannot_be_read_is_warned_of(touch, caplog, monkeypatch):
    top, scandir = touch("v/a.mp4", "v/closed/b.mp4"), os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # a folder's mode does not stop root
    with caplog.at_level(logging.WARNING, logger="spikemba"):
        assert names(top / "v") == ["a"]
    assert "closed: this folder cannot be searched (permission denied)" in caplog.text


def test_other_kinds_of_footage_are_found(touch):
    kinds = ("mxf", "vob", "dv", "3g2", "f4v", "gif", "asf", "MXF")
    assert len(find_videos([touch(*(f"{i}.{kind}" for i, kind in enumerate(kinds)))])) == len(kinds)


def test_a_path_that_no_disk_takes_is_refused(tmp_path):
    with pytest.raises(VideoError, match=r"cannot be opened \(file name too long\)"):
        find_videos([tmp_path / ("x" * 300)])


def test_names_as_long_as_disks_allow_are_written_and_differ(tmp_path):
    for letter, n in (("x", 251), ("工", 83)):
        name = letter * n
        for ending in (".npz", ".ffmetadata", "_a-red-dog-1234abcd_12.mp4"):
            first, second = fitting(name, ending), fitting(name[:-1] + "y", ending)
            assert len(os.fsencode(first)) <= LONGEST_NAME
            assert first != second
            assert first.endswith(ending)
            with writing(tmp_path / first) as temporary:
                temporary.write_bytes(b"x")
            assert (tmp_path / first).is_file()


def test_features_of_names_with_folders_and_of_long_ones_are_found_again(tmp_path):
    import numpy as np

    write_manifest(tmp_path / "mini", Manifest(encoder="mini", dim=3))
    rows = np.ones((2, 3), np.float32)
    for video_id in ("A/C0001", "B/C0001", "x" * 251, "x" * 251 + ".mp4", "caf\udce9"):
        assert not FeatureFolder(tmp_path / "mini").has_video(video_id)
        write_video_features(tmp_path / "mini", video_id, rows)
        assert FeatureFolder(tmp_path / "mini").video(video_id).shape == (2, 3)
    assert (tmp_path / "mini/A/C0001.npz").is_file()


def test_names_that_are_not_utf8_can_be_printed(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    assert shown_name(path, "caf\udce9") == "caf\\xe9.mp4"
    assert shown_name(tmp_path / "A/x.mp4", "A/x") == "A/x.mp4"
    assert utf8_text("é \udce9 工") == "é \\xe9 工"
    assert utf8_text("\ud800") == "\\ud800"
    assert file_about(tmp_path, "A/x", ".npz") == tmp_path / "A/x.npz"


def test_folders_deeper_than_a_path_may_be_long_are_warned_of(touch, caplog):
    top, name = touch("v/a.mp4", "v/deep/b.mp4"), "fifteen letters"
    handle = os.open(top / "v/deep", os.O_RDONLY)
    try:
        for _ in range(300):
            os.mkdir(name, dir_fd=handle)
            inner = os.open(name, os.O_RDONLY, dir_fd=handle)
            os.close(handle)
            handle = inner
        os.close(os.open("c.mp4", os.O_CREAT, dir_fd=handle))
        with caplog.at_level(logging.WARNING):
            assert names(top / "v") == ["a", "b"]
        assert len(caplog.messages) == 1
        assert caplog.messages[0].endswith("this folder cannot be searched (file name too long)")
    finally:
        os.close(handle)
        shutil.rmtree(top / "v/deep")

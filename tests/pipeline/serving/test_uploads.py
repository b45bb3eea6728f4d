"""New videos: in parts, whole or not at all, over nothing that is there."""

import os
import shutil
from collections import namedtuple
from itertools import pairwise

import numpy as np
import pytest

from pipelines.serving.faults import Busy, NotThere, TooLarge
from pipelines.serving.footage import uploads as module
from pipelines.serving.footage.uploads import AT_ONCE, IDLE_S, Uploads, WrongPlace, safe_name
from spikemba.errors import OutputError, SpikeMbaError, VideoError
from spikemba.files import move_onto_free, part_beside
from spikemba.video.sampling import probe


@pytest.fixture
def film(make_video):
    """The bytes of a small video."""
    images = [np.full((32, 32, 3), 10 * k, np.uint8) for k in range(10)]
    return make_video("source/film.mp4", images).read_bytes()


@pytest.fixture
def taken(tmp_path):
    """Uploads into an empty folder."""
    return Uploads(tmp_path / "new", limit_bytes=10**6)


def send(taken, upload, data, at=0):
    """One part."""
    with taken.receiving(upload.id, at) as part:
        part.write(data)


def whole(taken, name, data):
    """A file in one part; its path in the end."""
    upload = taken.begin(name, len(data))
    send(taken, upload, data)
    return taken.finish(upload)


def names(folder):
    """All that lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_in_three_parts_is_there_under_its_name_when_the_last_one_is(taken, film):
    upload = taken.begin("film.mp4", len(film))
    cuts = [0, len(film) // 3, len(film) // 2, len(film)]
    for start, end in pairwise(cuts):
        assert not [name for name in names(taken.folder) if not name.startswith(".")]
        send(taken, upload, film[start:end], start)
    path = taken.finish(upload)
    assert names(taken.folder) == ["film.mp4"]
    assert path.read_bytes() == film


def test_a_part_elsewhere_than_the_last_one_ended_is_refused_with_where_it_did(taken, film):
    upload = taken.begin("film.mp4", len(film))
    send(taken, upload, film[:100])
    for at in (0, 50, 101, len(film), 10**15):
        with pytest.raises(WrongPlace, match=f"the part begins at byte {at}; 100 bytes are here: go on with at=100"):
            send(taken, upload, b"x", at)
    send(taken, upload, film[100:], 100)
    assert taken.finish(upload).read_bytes() == film


def test_two_parts_at_once_do_not_mix(taken, film):
    upload = taken.begin("film.mp4", len(film))
    with taken.receiving(upload.id, 0) as part:
        part.write(film[:10])
        with pytest.raises(WrongPlace, match="another part of this file is being received; 10 bytes are here"):
            send(taken, upload, film)


def test_what_came_of_a_part_that_broke_off_is_kept(taken, film):
    upload = taken.begin("film.mp4", len(film))
    with pytest.raises(RuntimeError, match="gone"), taken.receiving(upload.id, 0) as part:
        part.write(film[:70])
        raise RuntimeError("gone")
    assert upload.received == 70
    send(taken, upload, film[70:], 70)
    assert taken.finish(upload).read_bytes() == film


def test_a_name_that_is_there_gets_a_number_and_nothing_is_overwritten(taken, film):
    taken.folder.joinpath("film.mp4").write_bytes(b"mine")
    taken.folder.joinpath("film-2.mp4").mkdir()
    assert whole(taken, "film.mp4", film).name == "film-3.mp4"
    assert whole(taken, "film.mp4", film).name == "film-4.mp4"
    assert taken.folder.joinpath("film.mp4").read_bytes() == b"mine"


def test_a_link_of_that_name_is_a_name_that_is_there(taken, film, tmp_path):
    taken.folder.joinpath("film.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    assert whole(taken, "film.mp4", film).name == "film-2.mp4"
    assert not tmp_path.joinpath("elsewhere.mp4").exists()


def test_where_files_have_one_name_only_nothing_is_overwritten_either(tmp_path, monkeypatch):
    def no_links(source, target):
        raise PermissionError(1, "not on this file system")

    monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "a.mp4"
    first, second = part_beside(target), part_beside(target)
    first.write_bytes(b"first")
    assert move_onto_free(first, target)
    assert not move_onto_free(second, target)
    assert target.read_bytes() == b"first"


@pytest.mark.parametrize(
    "data",
    [
        b"no video at all",
        b"\0" * 5000,
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<html><script>alert(1)</script></html>",
    ],
)
def test_what_is_no_video_is_refused_by_the_name_that_was_given_and_removed(taken, data):
    with pytest.raises(VideoError) as refused:
        whole(taken, "film.mp4", data)
    assert str(refused.value).startswith("film.mp4: ")
    assert str(taken.folder) not in str(refused.value)
    assert names(taken.folder) == []


def test_more_bytes_than_were_announced_are_refused(taken, film):
    upload = taken.begin("film.mp4", 100)
    with pytest.raises(TooLarge, match="was said to have 100 bytes, and more came"):
        send(taken, upload, film)


def test_a_file_over_the_limit_is_refused_before_anything_is_sent(taken):
    with pytest.raises(TooLarge, match="the file has 1,000,001 bytes, and 1,000,000 are taken; --upload-limit sets"):
        taken.begin("film.mp4", 10**6 + 1)
    assert names(taken.folder) == []


@pytest.mark.parametrize("size", [0, -5])
def test_a_file_without_bytes_is_refused(taken, size):
    with pytest.raises(SpikeMbaError, match=f"size_bytes is {size}"):
        taken.begin("film.mp4", size)


def test_the_folder_has_a_limit_that_counts_what_was_promised(tmp_path, film):
    taken = Uploads(tmp_path / "new", limit_bytes=1000, total_bytes=2500)
    taken.folder.joinpath("old.mp4").write_bytes(bytes(700))
    upload = taken.begin("a.mp4", 1000)
    send(taken, upload, film[:300])  # received or promised: counted once
    with pytest.raises(TooLarge, match="the folder of uploads has 1,700 bytes of 2,500, and 801 more are too many"):
        taken.begin("b.mp4", 801)
    taken.begin("b.mp4", 800)


def test_the_disk_keeps_some_space(taken, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, module.KEPT_FREE + 1000))
    taken.begin("a.mp4", 600)
    with pytest.raises(TooLarge, match="has 401 bytes, and the server's disk has 400 to spare"):
        taken.begin("b.mp4", 401)


def test_few_uploads_are_open_at_once_and_one_without_parts_is_given_up(taken, monkeypatch):
    first = taken.begin("a.mp4", 10)
    for _ in range(AT_ONCE - 1):
        taken.begin("a.mp4", 10)
    with pytest.raises(Busy, match="16 files are being received already"):
        taken.begin("a.mp4", 10)
    first.touched -= IDLE_S + 1
    taken.begin("a.mp4", 10)
    with pytest.raises(NotThere, match="no upload has the id"):
        taken.get(first.id)
    assert len(names(taken.folder)) == AT_ONCE


def test_at_the_end_nothing_unfinished_stays(taken, film):
    send(taken, taken.begin("a.mp4", len(film)), film[:50])
    taken.close()
    assert names(taken.folder) == []


def test_what_a_killed_server_left_is_removed_and_files_of_others_stay(tmp_path, monkeypatch):
    folder = tmp_path / "new"
    left = part_beside(folder / "film.mp4")
    others = folder / ".film.0123456789ab-1.abcdefgh.mp4", folder / ".hidden", folder / "film.mp4"
    for one in others:
        one.write_bytes(b"x")
    assert Uploads(folder, 10).cleared == []  # this process lives
    monkeypatch.setattr("spikemba.files._lives", lambda pid: False)
    assert Uploads(folder, 10).cleared == [left]
    assert all(one.exists() for one in others)


def test_a_finished_file_is_found_by_others_and_readable_by_them(taken, film):
    path = whole(taken, "film.mp4", film)
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert probe(path).width == 32


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("kitchen.mp4", "kitchen.mp4"),
        ("Küche 2.MOV", "Küche 2.mov"),
        ("厨房.mkv", "厨房.mkv"),
        ("../../etc/cron.d/x.mp4", "x.mp4"),
        ("/etc/x.mp4", "x.mp4"),
        ("C:\\films\\x.mp4", "x.mp4"),
        ("..\\..\\x.mp4", "x.mp4"),
        (".hidden.mp4", "hidden.mp4"),
        ("...mp4", "video.mp4"),
        (".mp4", "video.mp4"),
        (" . .mp4", "video.mp4"),
        ("a\0b\n\x1b[31m.mp4", "ab[31m.mp4"),
        ("gpj.\u202e4pm.mp4", "gpj.4pm.mp4"),
        ("a:b|c?.mp4", "a_b_c_.mp4"),
        ("NUL.mp4", "NUL_.mp4"),
        ("aux.txt.mp4", "aux_.txt.mp4"),
        ("con.a.mp4", "con_.a.mp4"),
        ("COM¹.mp4", "COM¹_.mp4"),
        ("lpt9 .mp4", "lpt9_.mp4"),
        ("console.mp4", "console.mp4"),
        ("u\u0308.mp4", "ü.mp4"),
        ("%2e%2e%2fx.mp4", "%2e%2e%2fx.mp4"),
        ("film.mp4 ", "film.mp4"),
        ("film.php.mp4", "film.php.mp4"),
    ],
)
def test_a_name_keeps_its_letters_and_loses_what_leads_elsewhere(given, expected):
    assert safe_name(given) == expected


@pytest.mark.parametrize("given", ["x.html", "x", "", "/", "..", "x.mp4/", "x.mp4.exe", "x.m3u8", "mp4", "x.mp4\\"])
def test_a_name_of_no_video_is_refused(given):
    with pytest.raises(SpikeMbaError, match="is no name of a video; expected one that ends in .mp4"):
        safe_name(given)


def test_a_long_name_fits_and_is_told_from_others_that_begin_like_it():
    one, other = safe_name("ä" * 300 + "1.mp4"), safe_name("ä" * 300 + "2.mp4")
    assert one != other
    assert max(len(name.encode()) for name in (one, other)) <= 255


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(SpikeMbaError, match="name another one, --uploads"):
        Uploads(file / "below", 10)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_upload_that_is_over_is_known_for_a_while(taken, film, monkeypatch):
    upload = taken.begin("film.mp4", len(film))
    assert taken.done(upload.id) is None
    send(taken, upload, film)
    path = taken.finish(upload)
    assert taken.done(upload.id).path == path
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + module.DONE_S + 1)
    assert taken.done(upload.id) is None


def test_a_link_in_the_place_of_a_part_is_neither_written_through_nor_made_readable(taken, film, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"secret")
    other.chmod(0o600)
    upload = taken.begin("film.mp4", len(film))
    upload.part.unlink()
    upload.part.symlink_to(other)
    with pytest.raises(OutputError, match="is a link"):
        send(taken, upload, film)
    with pytest.raises(OSError, match="is a link"):
        move_onto_free(upload.part, tmp_path / "new" / "film.mp4")
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (b"secret", 0o600)

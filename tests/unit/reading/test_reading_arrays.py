"""Arrays, MATLAB's files and archives of strangers: read as they are, or refused before memory is taken."""

import io
import json
import re
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

from spikemba.datasets.benchmarks.tvsum import read_tvsum
from spikemba.datasets.word_vectors import WordVectors
from spikemba.errors import AnnotationError, FeaturesMismatch, OutputError, QueryError
from spikemba.features import FeatureFolder
from spikemba.files import writing
from spikemba.reading.arrays import parse_array, read_array, read_arrays
from spikemba.reading.printable import one_cell, printable
from spikemba.reading.unpacking import unpack
from spikemba.reading.unreadable import Unreadable

KINDS = ["f2", "<f4", ">f4", "f8", "i1", "u1", ">i2", "i4", "u8", "?"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (2, 1, 3)])
def test_arrays_are_what_numpy_reads(tmp_path, kind, shape):
    wanted = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(kind)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", a=wanted, b=np.asfortranarray(wanted))
        for found in (read_array(tmp_path / "a.npz", "a"), read_arrays(tmp_path / "a.npz")["b"]):
            np.testing.assert_array_equal(found, wanted)
            assert found.dtype == wanted.dtype
    np.save(tmp_path / "a.npy", wanted)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", ""), wanted)


def npy(header, content=b"", version=1):
    text = header.encode().ljust(118) + b"\n"
    return bytearray(b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text + content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 8), }"), "more than the 0 bytes"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", bytes(15)), "more than the 15 bytes"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", bytes(8)), "expected one of numbers"),
        (npy("{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }", bytes(16)), "expected one of numbers"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", bytes(8)), "an array of records"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", bytes(8)), "header"),
        (npy("((((", bytes(8)), "header"),
        (npy("", version=9), "not an array"),
        (bytearray(b"\x93NUMPY\x01\x00\xff\xff"), "not an array"),
        (bytearray(), "not an array"),
    ],
)
def test_an_array_that_is_none_is_said_to_be(content, reason):
    with pytest.raises(Unreadable, match=reason):
        parse_array(content)


def test_an_array_of_python_2_is_read():
    assert parse_array(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L), }", bytes(8))).shape == (2, 1)


def test_a_small_file_of_many_equal_numbers_is_read_and_a_bomb_is_not(tmp_path):
    still = np.zeros((75, 2304), np.float32)
    np.savez_compressed(tmp_path / "still.npz", features=still)
    np.testing.assert_array_equal(FeatureFolder(tmp_path).video("still"), still)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", bytes(257 << 20))
    with pytest.raises(FeaturesMismatch, match=r"bomb.npz is damaged; .*more than the file holds"):
        FeatureFolder(tmp_path).video("bomb")


@pytest.mark.parametrize("line", ["a 1 x", "a 1 nan", "a 1 1e999", "a", "a 1 2 3"])
def test_a_line_that_is_no_word_vector_is_named(tmp_path, line):
    (tmp_path / "glove.txt").write_text(f"b 1 2\n{line}\n")
    with pytest.raises(
        FeaturesMismatch, match=r"glove.txt: line 2 (is not a word and 2 numbers|holds a number that is not finite)"
    ):
        WordVectors(tmp_path / "glove.txt")


def tvsum(path, **changes):
    """TVSum's file with one video, and some columns otherwise."""
    codes = {
        name: np.array([[ord(c)] for c in text], np.uint16) for name, text in (("video", "abc"), ("category", "BK"))
    }
    columns = {
        **codes,
        "title": codes["video"],
        "length": np.array([[10.0]]),
        "user_anno": np.ones((20, 300)),
        **changes,
    }
    with h5py.File(path, "w") as file:
        table = file.create_group("tvsum50")
        for name, value in columns.items():
            if isinstance(value, (h5py.ExternalLink, h5py.SoftLink)):
                table[name] = value
                continue
            held = (
                value(file, f"#refs#/{name}") if callable(value) else file.create_dataset(f"#refs#/{name}", data=value)
            )
            table.create_dataset(name, (1, 1), dtype=h5py.ref_dtype)[0, 0] = held.ref
    return path


def huge(file, name):
    return file.create_dataset(name, (1 << 20, 1 << 20), dtype="f8", chunks=(64, 64))


def elsewhere(file, name):
    return file.create_dataset(name, (4,), dtype="u1", external=[("/etc/passwd", 0, 4)])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_anno": huge}, "more than the file can hold"),
        ({"title": elsewhere}, "lie in another file"),
        ({"video": h5py.ExternalLink("other.mat", "/x")}, "holds no tvsum50/video of its own"),
        ({"video": h5py.SoftLink("/tvsum50")}, "holds no tvsum50/video of its own"),
        ({"length": np.array([[0.0]])}, "has no length"),
        ({"length": np.array([[np.nan]])}, "has no length"),
        ({"user_anno": np.ones(5)}, "no importances"),
        ({"title": np.ones(5)}, "a text is stored as float64"),
    ],
)
def test_a_matlab_file_gives_what_it_holds_itself_or_nothing(tmp_path, changes, reason):
    assert len(read_tvsum(tvsum(tmp_path / "good.mat")).rows) == 1
    with pytest.raises(AnnotationError, match=re.escape(reason)):
        read_tvsum(tvsum(tmp_path / "bad.mat", **changes))


# --- archives


def zipped(members):
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return file.getvalue()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"n" * 300: b"x"}, "with the name"),
        ({"a\x1b[31m": b"x"}, "with the name"),
        ({".": b"x"}, "with the name"),
        ({"a": b"1", "a/b": b"2"}, "written over another file"),
        ({"a.zip": b"another"}, "written over another file"),
    ],
)
def test_names_in_an_archive_are_those_of_files(tmp_path, members, reason):
    (tmp_path / "a.zip").write_bytes(zipped(members))
    with pytest.raises(Unreadable, match=reason):
        unpack(tmp_path / "a.zip", tmp_path, 1000)


def test_archives_in_archives_end(tmp_path):
    content = b"end"
    for i in range(40):
        content = zipped({f"{i}.zip" if i else "end.txt": content})
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Unreadable, match="more than 4 deep"):
        unpack(tmp_path / "a.zip", tmp_path / "out", 1_000_000)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, b"Z"])
def test_no_length_in_a_tar_is_believed(tmp_path, kind):
    header = tarfile.TarInfo("a")
    header.size, header.type = 1 << 40, kind
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(20_000))
    with pytest.raises(Unreadable):
        unpack(tmp_path / "a.tar", tmp_path / "out", 1000)


def test_a_place_that_cannot_be_written_is_no_fault_of_the_archive(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped({"b/c.txt": b"x"}))
    (tmp_path / "b").touch()
    with pytest.raises(OutputError):
        unpack(tmp_path / "a.zip", tmp_path, 1000)


# --- what is shown of them


def test_what_a_name_holds_is_shown_and_not_done():
    assert printable("a\x1b]0;x\x07\nb\x9b31m\u202e\udcff é中") == "a\\x1b]0;x\\x07\nb\\x9b31m\\u202e\\xff é中"
    assert one_cell("a\tb\nc") == "a\\tb\\nc"


def test_errors_tables_and_json_do_nothing_to_the_terminal(capsys):
    from spikemba_cli import console

    name = "a\x1b]0;owned\x07\x9b31m\u202e[/bold]\udcff"
    console.print_error(name)
    console.print_warning(name)
    console.print_note(name)
    console.err.print(name)
    console.out.print(name)
    console.print_table(name, [name], [[name]])
    console.print_json({name: name})
    shown = "".join(capsys.readouterr())
    assert not set("\x1b\x07\x9b\u202e\udcff") & set(shown)
    assert shown.count("[/bold]") == 10 - 1
    lines = shown[shown.index("{") :].partition("}")[0] + "}"
    assert json.loads(lines) == {name: name}


def test_writing_leaves_nothing_where_reading_failed(tmp_path):
    with pytest.raises(Unreadable), writing(tmp_path / "a") as temporary:
        temporary.write_bytes(b"half")
        raise Unreadable("damaged")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 300, "a\x00b"])
def test_a_name_that_no_file_can_have_is_of_a_file_that_is_not_there(tmp_path, name):
    np.savez(tmp_path / "v.npz", features=np.ones((2, 512)))
    folder = FeatureFolder(tmp_path)
    assert not folder.has_video(name)
    with pytest.raises(QueryError, match="cannot name a file of features"):
        folder.has_text(name)

"""A library of LanceDB that is damaged, replaced or named badly: what is said is right, and its advice mends it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from lance_library import answers, filled, manifest, new, rows_of
from typed import run

from pipelines.library.copying import copy_library
from pipelines.library.search import compared, left_out
from pipelines.library.upkeep import check_library, drop_damaged
from pipelines.serving.faults import NotThere
from pipelines.serving.searching.served_library import ServedLibrary
from spikemba.errors import FeaturesMissing, LibraryError, command_line
from spikemba.library import open_library
from spikemba.library.address import library_address
from spikemba.library.forms import changing, is_library
from spikemba.library.lance import upkeep
from spikemba.library.lance.log import GONE, TEXTS, VIDEO, Record, folded
from spikemba.library.lance.place import told
from spikemba.library.writer import FileState

ASKED = np.ones(6, np.float32)


class Clip:
    """What the notes of a search need of an encoder."""

    name = "clip"


def without_rows(writer):
    run = writer.store.state.videos["/videos/0.mp4"].runs["clip"]
    writer.store.tables["clip"].delete(f"entry = {run.entry} AND clip = 1")


def without_any(writer):
    run = writer.store.state.videos["/videos/0.mp4"].runs["clip"]
    writer.store.tables["clip"].delete(f"entry = {run.entry}")


def twice(writer):
    run = writer.store.state.videos["/videos/0.mp4"].runs["clip"]
    table = writer.store.tables["clip"]
    table.add(table.search().where(f"entry = {run.entry}").limit(None).to_arrow().select(table.schema.names))


def lost_and_unnamed(writer):
    """As many rows as there must be, and more, though some are lost."""
    writer.drop([one.id for one in writer.videos() if one.name == "2.mp4"])
    without_any(writer)


def wrong_norm(writer):
    run = writer.store.state.videos["/videos/0.mp4"].runs["clip"]
    writer.store.tables["clip"].update(where=f"entry = {run.entry} AND clip = 0", values={"norm": 9.0})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_rows, "clip: rows of 2 videos are not there, or not all of them"),
        (without_any, "clip: rows of 2 videos are not there, or not all of them"),
        (lost_and_unnamed, "clip: rows of 2 videos are not there, or not all of them"),
        (twice, "clip: 2 videos have more rows than clips"),
        (wrong_norm, "clip: 1 row is damaged"),
    ],
)
def test_damage_is_named_left_out_aloud_and_mended_by_what_is_advised(tmp_path, damage, said):
    place = tmp_path / "my l"
    copied = FileState(Path("/videos/0b.mp4"), 3, 7, "0.mp4")
    with changing(filled(place)) as writer:
        assert writer.copy(writer.videos()[0], copied)
    right = answers(place)
    with changing(place) as writer:
        damage(writer)
    cure = f"run `spikemba library drop --damaged --library '{place}'`"
    index = f"`spikemba index VIDEOS --encoder clip --library '{place}'`"
    assert check_library(place) == [f"{said}; {cure}, then {index}"]
    if damage is not wrong_norm:
        with open_library(place) as library:
            lost = [one for one in library.videos() if one.name.startswith("0")]
            found = library.clip_scores("clip", ASKED)
            assert np.isfinite(found.levelled("centred").scores).all()
            assert not {one.id for one in lost} & set(found.videos.tolist())
            assert library.lacking("clip") == {one.id for one in lost}
            assert compared(library, Clip, None) == len(library.videos()) - 2
            assert left_out(library, Clip) == [
                "2 videos were not looked at, as rows of clip are not there as they were written; "
                f"run `spikemba library check --library '{place}'`, which says how to mend it"
            ]
            for ask in (lambda: library.features(lost[0], ["clip"]), lambda: library.scores("clip", ASKED, lost)):
                with pytest.raises(FeaturesMissing, match="run `spikemba library check --library"):
                    ask()
        with pytest.raises(LibraryError, match="rows of clip of 2 videos are not there as they were written; run"):
            copy_library(place, tmp_path / "copy")
    assert drop_damaged(place) == ([Path("/videos/0.mp4"), Path("/videos/0b.mp4")], [])
    with changing(place) as writer:  # what `index` does with videos that it does not know, and with their copies
        writer.take_in([new("0.mp4", 3, 0)])
        assert writer.copy(writer.videos()[0], copied)
        if damage is lost_and_unnamed:
            writer.take_in([new("2.mp4", 4, 2)])
    assert check_library(place) == []
    assert drop_damaged(place) == ([], [])
    assert sorted(answers(place)[0]) == sorted(right[0])
    with open_library(place) as library:
        assert left_out(library, Clip) == []


def test_damaged_rows_of_a_local_library_are_mended_by_what_is_advised(tmp_path):
    place = filled(tmp_path / "l", form="local")
    rows = place / "clip.f16"
    content = rows.read_bytes()
    rows.write_bytes(np.float16(500).tobytes() + content[2:])
    (fault,) = check_library(place)
    assert "1 rows of video 1 are damaged; run `spikemba library drop --damaged --library" in fault
    assert drop_damaged(place) == ([Path("/videos/0.mp4")], [])
    with changing(place) as writer:
        writer.take_in([new("0.mp4", 3, 0)])
    assert check_library(place) == []


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-2]), lambda path: path.unlink()])
def test_a_matrix_of_which_rows_are_lost_is_mended_by_what_dropping_damaged_videos_says(tmp_path, damage):
    place = filled(tmp_path / "l", form="local")
    damage(place / "clip.f16")
    (fault,) = check_library(place)
    library = "--library", place
    cure = command_line("spikemba", "library", "drop", "--encoder", "clip", *library)
    again = command_line("spikemba", "index", "VIDEOS", "--encoder", "clip", *library)
    assert fault.endswith(f"; run `{cure}`, then `{again}`")
    result = run("library", "drop", "--damaged", *library)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "dropped 0 videos" in result.stderr
    assert fault in " ".join(result.stderr.split())
    assert run("library", "drop", "--encoder", "clip", *library).exit_code == 0
    assert check_library(place) == []


def test_texts_of_a_file_that_was_replaced_do_not_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "GRACE_S", 0.0)
    with changing(filled(tmp_path / "l", (3,))) as writer:
        id_ = writer.videos()[0].id
        writer.replace_texts({(id_, "name"): [(None, None, "0")], (id_, "subtitles"): [(1.0, 2.0, "of the old film")]})
        writer.take_in([new("0.mp4", 2, 8, digest="another film")])
        writer.replace_texts({(id_, "name"): [(None, None, "0")]})
        expected = {(id_, "name"): [(None, None, "0")]}
        assert writer.texts() == expected
        writer.compact()
        assert writer.texts() == expected
        assert [one.kind for one in writer.store.records] == [VIDEO, TEXTS]
    with changing(tmp_path / "l") as writer:
        assert list(writer.texts().values()) == [[(None, None, "0")]]


def record(seq, kind, path="a", **value):
    film = {"size": 1, "mtime_ns": 1, "duration_s": 6.0, "problem": None, "added_s": 0.0, "runs": {}}
    return Record(seq, str(seq), kind, {"path": path} | (film if kind == VIDEO else {}) | value)


def said(state):
    return {path: {source: texts[0][2] for source, texts in by.items()} for path, by in state.texts.items()}


@pytest.mark.parametrize("named", [True, False], ids=["digest named", "as before it was named"])
def test_removing_records_that_say_nothing_changes_no_text(named):
    def texts(seq, source, text, digest, path="a"):
        extra = {"digest": digest} if named else {}
        return record(seq, TEXTS, path, source=source, texts=[[None, None, text]], **extra)

    records = [
        record(1, VIDEO, digest="x"),
        texts(2, "subtitles", "old", "x"),
        texts(3, "name", "a", "x"),
        record(4, VIDEO, digest="y"),
        texts(5, "name", "a", "y"),
        record(6, VIDEO, "b", digest="z"),
        texts(7, "subtitles", "gone", "z", "b"),
        record(8, GONE, "b"),
        record(9, VIDEO, "b", digest="z"),
        texts(10, "name", "b", "z", "b"),
        texts(11, "name", "nowhere", "w", "c"),
    ]
    whole = folded(records)
    assert said(whole) == {"a": {"name": "a"}, "b": {"name": "b"}}
    assert set(whole.stale) == {"1", "2", "3", "6", "7", "8", "11"}
    stale = list(whole.stale)
    for n in range(len(stale) + 1):  # a process may be killed after any of the deletions, which go in this order
        kept = [one for one in records if one.uid not in stale[:n]]
        if named or n == len(stale):
            assert said(folded(kept)) == said(whole), stale[:n]


def test_what_was_written_of_an_older_file_by_a_slow_writer_does_not_count():
    texts = [record(3, TEXTS, source="name", texts=[[None, None, "new"]], digest="y")]
    texts.append(record(4, TEXTS, source="name", texts=[[None, None, "late"]], digest="x"))
    state = folded([record(1, VIDEO, digest="x"), record(2, VIDEO, digest="y"), *texts])
    assert said(state) == {"a": {"name": "new"}}
    assert set(state.stale) == {"1", "4"}


def test_another_library_in_the_same_place_is_noticed(tmp_path):
    place = filled(tmp_path / "l", (3, 1))
    with open_library(place) as library:
        served = ServedLibrary(place)
        assert {one.name for one in served.library().videos()} == {"0.mp4", "1.mp4"}
        shutil.rmtree(place)
        with changing(place, "lance") as writer:
            writer.add_encoder(manifest(weights="b" * 64))
            writer.take_in([new("8.mp4", 2, 8), new("9.mp4", 2, 9)])
        assert set(served.taken_in()) == {Path("/videos/8.mp4"), Path("/videos/9.mp4")}
        for one in (library, served.library()):
            assert one.encoders()["clip"].manifest.weights == "b" * 64
            assert {hit.video.name for hit in one.best_videos("clip", ASKED, 9)} == {"8.mp4", "9.mp4"}
            np.testing.assert_array_equal(one.features(one.videos()[0], ["clip"]).features[0], rows_of(8, 2))
        shutil.rmtree(place)
        with pytest.raises(LibraryError, match="there is no library; run `spikemba index"):
            served.taken_in()


def test_only_videos_named_is_asked_of_the_newest_state(tmp_path):
    served = ServedLibrary(filled(tmp_path / "l", (3,)))
    with pytest.raises(NotThere):
        served.among("seven")
    with changing(tmp_path / "l") as writer:
        writer.take_in([new("seven.mp4", 2, 7)])
    (id_,) = served.among("seven")
    assert served.library().video(id_).name == "seven.mp4"
    served.library().close()


def test_whether_there_is_a_library_is_known(tmp_path):
    assert not is_library(tmp_path / "none")
    assert is_library(filled(tmp_path / "l", (1,)))
    assert is_library(filled(tmp_path / "local", (1,), form="local"))
    (tmp_path / "half" / "log.lance").mkdir(parents=True)
    assert not is_library(tmp_path / "half")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("S3://bucket/lib/", "s3://bucket/lib"),
        ("Gs://bucket", "gs://bucket"),
        ("videos/lib", Path("videos/lib")),
        ("C:/videos", Path("C:/videos")),
        ("./s4:/lib", Path("s4:/lib")),
        (Path("ab:/lib"), Path("ab:/lib")),
    ],
)
def test_an_address_is_read_as_it_is_meant(given, expected):
    assert library_address(given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("http://host/lib", "library http://host/lib: http:// is no object store that LanceDB reads; give a folder"),
        ("s4://bucket/lib", "s4:// is no object store"),
        ("file:///lib", "file:// is no object store"),
        ("s3:/bucket/lib", "an address has two strokes and is text, no path; give 's3://bucket/lib'"),
        (Path("S3://bucket/lib"), "give 's3://bucket/lib'"),
        ("s3://", "it names no bucket; give a folder, or an address such as s3://BUCKET/PLACE"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(given, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LibraryError) as raised, changing(given):
        pass
    assert said in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["lance", "local"])
def test_a_library_is_not_copied_into_itself_however_it_is_written(tmp_path, monkeypatch, form):
    place = filled(tmp_path / "l", (1,), form=form)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(place)
    for one, other in [("l", place), (place, f"{place}/"), ("l", "link"), (tmp_path / "x" / ".." / "l", "./l")]:
        with pytest.raises(LibraryError, match="it is the library itself; name another with --to"):
            copy_library(one, other)
    for one, other in [("s3://b/l", "S3://b/l/"), ("s3://b/l", "s3://b/x/../l"), ("s3://b/l", "s3+ddb://b/l")]:
        with pytest.raises(LibraryError, match="it is the library itself"):
            copy_library(one, other)
    copy_library("l", "another")
    assert (tmp_path / "another").is_dir()


@pytest.mark.parametrize("name", ["credential", "a conflict", "forbidden", "timed out"])
def test_a_word_of_a_path_is_no_fault(tmp_path, name):
    place = tmp_path / name
    for shown in (str(place), str(place).lstrip("/"), str(place).replace(" ", "%20")):
        with pytest.raises(LibraryError) as raised, told(place):
            raise RuntimeError(f"lance error: Not found: {shown}/log.lance/_versions/1.manifest")
        assert f"library {place}: LanceDB says: lance error: Not found: {shown}/log.lance" in str(raised.value)
    with pytest.raises(LibraryError, match="another process changed it at the same moment"), told(place):
        raise RuntimeError(f"lance error: Commit conflict for version 7 of {place}/log.lance")
    with pytest.raises(LibraryError, match="another process changed it at the same moment"), told(Path("conflict")):
        raise RuntimeError("lance error: Commit conflict for version 7")


def test_advice_quotes_paths(tmp_path):
    place = filled(tmp_path / "my l", (1,))
    with pytest.raises(LibraryError, match=r"run `spikemba library copy '.*/my l' --to ANOTHER --form local`"):  # noqa: SIM117
        with changing(place, "local"):
            pass
    with pytest.raises(LibraryError, match="run `spikemba library check --library '.*/my l'`"), told(place):
        raise RuntimeError("something new")
    (tmp_path / "my half" / "log.lance").mkdir(parents=True)
    with pytest.raises(LibraryError, match="run `spikemba index VIDEOS --encoder ENCODER --library '.*/my half'`"):
        open_library(tmp_path / "my half")

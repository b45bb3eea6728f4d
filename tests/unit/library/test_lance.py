"""A library of LanceDB: what is put in comes out as of a local one, and what nothing names is not there."""

from pathlib import Path

import numpy as np
import pytest
from lance_library import DIM, answers, filled, manifest, new, rows_of

from pipelines.library.upkeep import compact_library, drop_below, drop_encoder, tune_library
from spikemba.errors import FeaturesMissing, LibraryError, NoLibrary, PackageMissing, SpikeMbaError, UnknownName
from spikemba.library import open_library
from spikemba.library.forms import changing
from spikemba.library.lance import upkeep, vector_index
from spikemba.library.lance.log import GONE, VIDEO, Record, folded
from spikemba.library.lance.place import told
from spikemba.library.lance.reader import LanceLibrary
from spikemba.library.lance.rows import arrow
from spikemba.library.lance.store import Store
from spikemba.library.lance.vector_index import IndexSettings, index_state
from spikemba.library.writer import FileState


def test_both_forms_answer_alike(tmp_path):
    filled(tmp_path / "local", form="local")
    filled(tmp_path / "lance")
    assert answers(tmp_path / "lance") == answers(tmp_path / "local")
    assert answers(tmp_path / "lance", ["1.mp4", "2.mp4"]) == answers(tmp_path / "local", ["1.mp4", "2.mp4"])
    assert answers(tmp_path / "lance")[3]["2.mp4"] == rows_of(2, 4).astype(np.float32).tolist()


def test_what_is_put_in_stays_and_follows_changes(tmp_path):
    with changing(filled(tmp_path / "l")) as writer:
        by_name = {one.name: one for one in writer.videos()}
        writer.take_in([new("1.mp4", 2, 50, size=99, digest="another")])
        writer.drop([by_name["0.mp4"].id])
        writer.restate(by_name["2.mp4"], FileState(Path("/moved/2.mp4"), 4, 8, "2.mp4"))
        assert writer.copy(by_name["3.mp4"], FileState(Path("/else/3b.mp4"), 2, 9, "3.mp4"))
        assert not writer.copy(by_name["3.mp4"], FileState(Path("/else/3c.mp4"), 2, 9, "another"))
        writer.note_problem(FileState(Path("/videos/bad.mp4"), 1, 1, "bad"), "no video")
    with open_library(tmp_path / "l") as library:
        found = {
            str(one.path): library.features(one, ["clip"]).features[0].astype(np.float16) for one in library.videos()
        }
        copy = library.video(Path("/else/3b.mp4"))
        assert [one.name for one in library.copies(copy)] == ["3.mp4"]
        assert [one.problem for one in library.videos(broken=True) if one.problem] == ["no video"]
        assert len(library.scan("clip", np.ones(DIM), 99)) == 2 + 4 + 2 + 2
    expected = {"/videos/1.mp4": (50, 2), "/moved/2.mp4": (2, 4), "/videos/3.mp4": (3, 2), "/else/3b.mp4": (3, 2)}
    assert set(found) == set(expected)
    for path, (seed, n) in expected.items():
        np.testing.assert_array_equal(found[path], rows_of(seed, n))


def test_a_library_that_is_open_follows_changes_and_videos_keep_their_numbers(tmp_path):
    filled(tmp_path / "l")
    with open_library(tmp_path / "l") as library:
        before = {one.name: one.id for one in library.videos()}
        with changing(tmp_path / "l") as writer:
            writer.drop([one.id for one in writer.videos() if one.name == "0.mp4"])
            writer.take_in([new("9.mp4", 5, 9)])
        assert list(library.encoders()) == ["clip"]
        after = {one.name: one.id for one in library.videos()}
    assert {name: id_ for name, id_ in after.items() if name != "9.mp4"} == {
        name: id_ for name, id_ in before.items() if name != "0.mp4"
    }
    assert after["9.mp4"] not in before.values()


def test_what_nothing_names_is_removed_once_nobody_can_be_about_to_name_it(tmp_path, monkeypatch):
    filled(tmp_path / "l")
    with changing(tmp_path / "l") as writer:
        writer.store.tables["clip"].add(arrow([(77, rows_of(7, 5))], DIM))  # of a process that was killed, long ago
        writer.drop([one.id for one in writer.videos() if one.name in ("0.mp4", "3.mp4")])
        before = answers(tmp_path / "l")
        assert writer.compact() == 5
        assert writer.encoders()["clip"].n_rows == 10
        monkeypatch.setattr(upkeep, "GRACE_S", 0.001)
        assert writer.compact() == 5
        assert writer.encoders()["clip"].n_rows == 5
        assert len(writer.store.records) == 2  # of the videos that are left
    assert answers(tmp_path / "l") == before


@pytest.mark.parametrize(
    "change",
    [
        compact_library,
        lambda place: drop_below(place, Path("/videos/0.mp4")),
        lambda place: drop_encoder(place, "clip"),
        lambda place: tune_library(place, "clip", nprobes=2),
    ],
)
def test_a_library_that_may_be_far_away_is_opened_once_and_none_is_made(tmp_path, monkeypatch, change):
    with pytest.raises(NoLibrary):
        change(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    opened, opening = [], Store.__init__
    filled(tmp_path / "l")
    monkeypatch.setattr(
        Store, "__init__", lambda self, address, **how: opened.append(address) or opening(self, address, **how)
    )
    change(tmp_path / "l")
    assert opened == [tmp_path / "l"]


def test_an_encoder_that_was_dropped_can_be_added_with_other_weights(tmp_path):
    filled(tmp_path / "l")
    with changing(tmp_path / "l") as writer:
        with pytest.raises(LibraryError, match=r"were made otherwise: weights a{12} \(now b{12}\)"):
            writer.add_encoder(manifest(weights="b" * 64))
        writer.drop_encoder("clip")
        assert writer.encoders() == {}
        assert writer.add_encoder(manifest(weights="b" * 64)).file == "clip.2"
        assert writer.encoders_of_videos() == {}
        writer.take_in([new("0.mp4", 3, 8)])
    with open_library(tmp_path / "l") as library:
        np.testing.assert_array_equal(library.features(library.videos()[0], ["clip"]).features[0], rows_of(8, 3))
        with pytest.raises(FeaturesMissing, match="spikemba index VIDEOS --encoder clip"):
            library.features(library.videos()[1], ["clip"])
        with pytest.raises(UnknownName, match="no encoder of library .* is called 'mini'; there are: clip"):
            library.scan("mini", np.ones(DIM), 1)


def video(seq, path, table=None, entry=0, uid="", **how):
    runs = {table: [entry, 3, 2.0]} if table else {}
    value = {"path": path, "size": 1, "mtime_ns": 1, "digest": "d", "duration_s": 6.0, "problem": None, "added_s": 0.0}
    return Record(seq, uid or f"{seq}", VIDEO, value | {"runs": runs} | how)


def test_two_that_add_an_encoder_at_once_make_one_place_for_it(tmp_path, monkeypatch):
    filled(tmp_path / "l", ())
    with changing(tmp_path / "l") as writer, changing(tmp_path / "l") as other:
        refresh = writer.store.refresh

        def refreshed():
            refresh()
            other.add_encoder(manifest("mini"))

        monkeypatch.setattr(writer.store, "refresh", refreshed)
        assert writer.add_encoder(manifest("mini")).file == "mini"
    with open_library(tmp_path / "l") as library:
        assert list(library.encoders()) == ["clip", "mini"]


def test_the_order_in_which_records_were_written_changes_nothing():
    records = [
        video(1, "a", "clip", 1),
        video(2, "a", "clip", 2),  # the same video by another shard
        video(3, "a", "mini", 3),  # another encoder by a third
        video(4, "b", "clip", 4),
        Record(5, "5", GONE, {"path": "b"}),
        video(6, "c", "clip", 6),
        video(7, "c", "clip", 7, digest="changed"),
    ]
    rng = np.random.default_rng(0)
    for _ in range(20):
        state = folded([records[i] for i in rng.permutation(len(records))])
        assert {path: {name: rows.entry for name, rows in one.runs.items()} for path, one in state.videos.items()} == {
            "a": {"clip": 2, "mini": 3},
            "c": {"clip": 7},
        }
        assert set(state.dead) == {("clip", 1), ("clip", 4), ("clip", 6)}
        assert set(state.stale) == {"4", "5", "6"}  # of a no record names both encoders


def test_texts_ride_along_and_are_found(tmp_path):
    from spikemba.library.texts import search_texts
    from spikemba.library.where import videos_where

    with changing(filled(tmp_path / "l")) as writer:
        (two,) = (one for one in writer.videos() if one.name == "2.mp4")
        writer.replace_texts({(two.id, "subtitles"): [(0.0, 2.0, "two eggs")]})
        writer.restate(two, FileState(Path("/moved/2.mp4"), 4, 8, "2.mp4"))
    with open_library(tmp_path / "l") as library:
        (hit,) = search_texts(library, "eggs")
        assert library.video(hit.video).path == Path("/moved/2.mp4")
        assert videos_where(library.catalogue, "path LIKE '/moved/%'", library.folder) == [hit.video]


@pytest.fixture
def indexed(tmp_path, monkeypatch):
    """A library of 40 videos of 20 clips with an index, and one that was added after it was made."""
    monkeypatch.setattr(vector_index, "INDEXED_FROM", 500)
    monkeypatch.setattr(upkeep, "INDEXED_FROM", 500)
    with changing(tmp_path / "l", "lance") as writer:
        writer.add_encoder(manifest())
        writer.take_in([new(f"{i}.mp4", 20, i) for i in range(40)])
        writer.compact()
        writer.take_in([new("late.mp4", 20, 99)])
    return tmp_path / "l"


def test_clips_that_are_not_in_the_index_yet_are_found(indexed):
    with open_library(indexed) as library:
        assert isinstance(library, LanceLibrary)
        state = index_state(library.store.tables["clip"])
        assert (state.kind, state.n_indexed, state.n_left) == ("IVF_HNSW_FLAT", 800, 20)
        hit = library.scan("clip", rows_of(99, 20)[7].astype(np.float32), 1)[0]
        assert (hit.video.name, hit.clip) == ("late.mp4", 7)
    with changing(indexed) as writer:
        writer.compact()
        state = index_state(writer.store.tables["clip"])
        assert (state.n_indexed, state.n_left) == (820, 0)


def test_check_measures_what_the_index_finds_and_advises(indexed, monkeypatch):
    from spikemba.library.lance import check

    with open_library(indexed) as library:
        found = check.check(library, lambda done, total: None)
        (recall,) = found.recalls
        assert (found.faults, found.videos) == ([], set())
        assert recall.is_enough
        assert recall.n_questions == check.QUESTIONS
        monkeypatch.setattr(check, "QUESTIONS", 8)
        real = check.nearest

        def short(table, vector, k, settings):
            entries, clips = real(table, vector, k, settings)
            n = k if settings.ef >= 400 else k // 2
            return entries[:n], clips[:n]

        monkeypatch.setattr(check, "nearest", short)
        (recall,) = check.check(library, lambda done, total: None).recalls
    assert recall.found == pytest.approx(0.5, abs=0.02)
    assert recall.better == IndexSettings(nprobes=32, ef=400)


def test_the_exact_answers_of_check_are_those_of_the_product(indexed):
    from spikemba.library.lance import check

    with open_library(indexed) as library:
        stored = library.encoders()["clip"]
        seen = check._Seen(library, stored, library.store.tables["clip"], measure=True)
        assert sum(seen.read()) == 820
        names = {run.first_row: library.video(run.video).name for run in library.runs("clip")}
    wide = {f"{i}.mp4": rows_of(i, 20).astype(np.float64) for i in range(40)} | {"late.mp4": rows_of(99, 20)}
    for vector, (_, rows) in zip(seen.questions[:5], seen.best[:5], strict=True):
        cosine = {
            (name, clip): row @ vector / np.linalg.norm(row)
            for name, own in wide.items()
            for clip, row in enumerate(own)
        }
        truth = sorted(cosine, key=lambda key: -cosine[key])[: check.NEAREST]
        assert {(names[entry], clip) for entry, clip in rows.tolist()} == set(truth)


def test_no_product_quantisation_unasked():
    assert IndexSettings().kind == "IVF_HNSW_FLAT"
    with pytest.raises(UnknownName, match="type of index"):
        IndexSettings(kind="IVF_MAGIC")


def test_what_lies_elsewhere_is_said(tmp_path, monkeypatch):
    filled(tmp_path / "local", form="local")
    with pytest.raises(LibraryError, match="it is of the form local, not lance"), changing(tmp_path / "local", "lance"):
        pass
    monkeypatch.setattr("spikemba.library.lance.place.is_installed", lambda name: False)
    with pytest.raises(
        PackageMissing, match=r"needs lancedb, which is not installed; run `pip install 'spikemba\[library\]'`"
    ):
        filled(tmp_path / "l")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("S3 error: <Code>NoSuchBucket</Code>", "there is no such bucket; make it"),
        (
            "Status { status: 403, body: <Code>SignatureDoesNotMatch</Code>",
            "access was refused; check AWS_ACCESS_KEY_ID",
        ),
        ("<Code>InvalidAccessKeyId</Code>", "access was refused; check AWS_ACCESS_KEY_ID"),
        ("http://169.254.169.254/latest/api/token: timed out", "access was refused; check AWS_ACCESS_KEY_ID"),
        (
            "RetryError { kind: Connect, source: tcp connect error }",
            "cannot be reached; check the network and AWS_ENDPOINT",
        ),
        ("Commit conflict for version 7", "another process changed it at the same moment; nothing was lost"),
        ("LanceError(IO): No space left on device (os error 28)", "there is no room left; make room and run the same"),
        (
            "Not found: s3://b/l/log.lance/forbidden/conflict",
            "LanceDB says: lance error: Not found: s3://b/l/log.lance/forbidden/conflict at line 7; run `spikemba",
        ),
        (
            "something new",
            "LanceDB says: lance error: something new at line 7; run `spikemba library check --library s3://b/l`",
        ),
    ],
)
def test_what_lancedb_raises_is_one_line(said, expected):
    with pytest.raises(SpikeMbaError, match="s3://b/l: ") as raised, told("s3://b/l"):
        raise RuntimeError(f"lance error: {said}\nat line 7")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("address", "said", "expected"),
    [
        ("gs://b/l", "GCP credential error: Unable to open service account", "refused; check GOOGLE_SERVICE_ACCOUNT"),
        ("az://c/l", "no Azure account name in URI, and no storage account configured.", "AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://c/l", "Invalid Access Key: Invalid padding", "refused; check AZURE_STORAGE_ACCOUNT_NAME"),
        ("az://c/l", "kind: Connect, source: tcp", "cannot be reached; check the network and AZURE_STORAGE_ENDPOINT;"),
        ("gs://b/l", "kind: Connect, source: tcp", "cannot be reached; check the network; nothing was lost"),
        ("s3://b/l", "Generic S3 error: Failed to resolve region for bucket 'b'", "set AWS_REGION, and check the net"),
    ],
)
def test_of_each_object_store_its_own_variables_are_named(address, said, expected):
    with pytest.raises(LibraryError, match=f"^library {address}: ") as raised, told(address):
        raise RuntimeError(said)
    assert expected in str(raised.value)

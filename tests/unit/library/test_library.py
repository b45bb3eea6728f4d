"""A library: what is put in comes out, holes are passed over, compacting changes nothing that can be asked."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from pipelines.library.upkeep import check_library
from spikemba.errors import FeaturesMissing, LibraryError, ShapeError, UnknownName
from spikemba.features import Manifest
from spikemba.library import Library
from spikemba.library.writer import FileState, NewVideo, changing

DIM = 6


def manifest(encoder="clip", **how):
    return Manifest(**{"encoder": encoder, "dim": DIM, "weights": "a" * 64, "clip_s": 2.0, "dtype": "float16"} | how)


def rows_of(seed, n):
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float16)


def new(name, n, seed, **how):
    state = FileState(Path(f"/videos/{name}"), how.get("size", n), 7, how.get("digest", name))
    return NewVideo(state, 2.0 * n - 0.5, {"clip": rows_of(seed, n)})


def filled(folder, lengths=(3, 1, 4, 2)):
    with changing(folder) as writer:
        writer.add_encoder(manifest())
        writer.take_in([new(f"{i}.mp4", n, i) for i, n in enumerate(lengths)])
    return folder


def expected(vector, lengths, without=()):
    """(score, video, clip) of every clip, the best first."""
    found = []
    for i, n in enumerate(lengths):
        wide = rows_of(i, n).astype(np.float64)
        cosine = wide @ vector / np.linalg.norm(wide, axis=1) / np.linalg.norm(vector)
        found += [(float(score), f"{i}.mp4", clip) for clip, score in enumerate(cosine) if i not in without]
    return sorted(found, reverse=True)


def check_answers(folder, lengths=(3, 1, 4, 2), without=()):
    vector = np.random.default_rng(99).standard_normal(DIM)
    truth = expected(vector, lengths, without)
    with Library.open(folder) as library:
        hits = library.scan("clip", vector, 100)
        assert [(hit.video.name, hit.clip) for hit in hits] == [one[1:] for one in truth]
        np.testing.assert_allclose([hit.score for hit in hits], [one[0] for one in truth], atol=1e-6)
        best = {}
        for score, name, clip in truth:
            best.setdefault(name, (score, clip))
        videos = library.best_videos("clip", vector, 100)
        assert [(hit.video.name, hit.clip) for hit in videos] == [(name, clip) for name, (_, clip) in best.items()]
        for i, n in enumerate(lengths):
            if i not in without:
                video = library.video(Path(f"/videos/{i}.mp4"))
                np.testing.assert_array_equal(library.features(video, ["clip"]).features[0], rows_of(i, n))


def test_the_nearest_clips_are_those_of_the_largest_cosine(tmp_path):
    check_answers(filled(tmp_path))


def test_clips_have_their_times_and_end_with_the_video(tmp_path):
    with Library.open(filled(tmp_path)) as library:
        hits = library.scan("clip", np.ones(DIM), 100)
        times = {(hit.video.name, hit.clip): (hit.start_s, hit.end_s) for hit in hits}
        assert times["2.mp4", 0] == (0.0, 2.0)
        assert times["2.mp4", 3] == (6.0, 7.5)
        with library.reading() as connection:
            rows = connection.execute("SELECT path, clip, start_s, end_s FROM clips").fetchall()
        assert {(Path(path).name, clip): (start, end) for path, clip, start, end in rows} == times


@pytest.mark.parametrize("without", [(0,), (1, 2), (3,), (0, 1, 2, 3)])
def test_dropped_videos_are_found_no_more_before_and_after_compacting(tmp_path, without):
    filled(tmp_path)
    with changing(tmp_path) as writer:
        writer.drop([one.id for one in writer.videos() if int(one.path.stem) in without])
    check_answers(tmp_path, without=without)
    with changing(tmp_path) as writer:
        assert writer.compact() == sum((3, 1, 4, 2)[i] for i in without)
    check_answers(tmp_path, without=without)
    assert sorted(path.name for path in tmp_path.glob("*.f16")) == ["clip.2.f16"]
    assert (tmp_path / "clip.2.f16").stat().st_size == 2 * DIM * sum(
        n for i, n in enumerate((3, 1, 4, 2)) if i not in without
    )


def test_a_library_that_is_open_follows_changes_and_compacting(tmp_path):
    filled(tmp_path)
    vector = np.random.default_rng(99).standard_normal(DIM)
    with Library.open(tmp_path) as library:
        before = [hit.video.name for hit in library.best_videos("clip", vector, 9)]
        with changing(tmp_path) as writer:
            writer.drop([one.id for one in writer.videos() if one.name == before[0]])
            writer.compact()
            writer.take_in([new("9.mp4", 5, 9)])
        after = [hit.video.name for hit in library.best_videos("clip", vector, 9)]
    assert [name for name in after if name != "9.mp4"] == before[1:]
    assert "9.mp4" in after


def test_a_changed_video_has_its_new_rows_alone(tmp_path):
    filled(tmp_path)
    with changing(tmp_path) as writer:
        writer.take_in([new("1.mp4", 2, 50, size=99)])
    with Library.open(tmp_path) as library:
        video = library.video(Path("/videos/1.mp4"))
        np.testing.assert_array_equal(library.features(video, ["clip"]).features[0], rows_of(50, 2))
        assert video.size == 99
        assert len(library.scan("clip", np.ones(DIM), 100)) == 3 + 2 + 4 + 2


def test_what_is_taken_in_twice_is_there_once(tmp_path):
    filled(tmp_path)
    filled(tmp_path)
    check_answers(tmp_path)
    assert (tmp_path / "clip.f16").stat().st_size == 2 * DIM * 10


def test_only_some_videos_can_be_asked_about(tmp_path):
    with Library.open(filled(tmp_path)) as library:
        ids = [one.id for one in library.videos() if one.name in ("1.mp4", "3.mp4")]
        hits = library.scan("clip", np.ones(DIM), 100, among=ids)
        assert sorted((hit.video.name, hit.clip) for hit in hits) == [("1.mp4", 0), ("3.mp4", 0), ("3.mp4", 1)]
        assert {hit.video.name for hit in library.best_videos("clip", np.ones(DIM), 9, among=ids)} == {"1.mp4", "3.mp4"}
        assert library.scan("clip", np.ones(DIM), 9, among=[]) == []


def test_scores_of_videos_come_in_the_order_asked_for(tmp_path):
    vector = np.random.default_rng(99).standard_normal(DIM)
    with Library.open(filled(tmp_path)) as library:
        videos = [library.video(Path(f"/videos/{i}.mp4")) for i in (3, 0)]
        found = library.scores("clip", vector, videos)
    for scores, (i, n) in zip(found, ((3, 2), (0, 3)), strict=True):
        wide = rows_of(i, n).astype(np.float64)
        np.testing.assert_allclose(
            scores, wide @ vector / np.linalg.norm(wide, axis=1) / np.linalg.norm(vector), atol=1e-6
        )


def test_a_copy_has_the_rows_of_the_original_and_outlives_it(tmp_path):
    filled(tmp_path)
    with changing(tmp_path) as writer:
        (original,) = (one for one in writer.videos() if one.name == "2.mp4")
        assert writer.copy(original, FileState(Path("/else/2b.mp4"), 4, 8, "2.mp4"))
        assert not writer.copy(original, FileState(Path("/else/2c.mp4"), 4, 8, "another"))
    with Library.open(tmp_path) as library:
        copy = library.video(Path("/else/2b.mp4"))
        assert [one.name for one in library.copies(copy)] == ["2.mp4"]
    with changing(tmp_path) as writer:
        writer.drop([original.id])
    with Library.open(tmp_path) as library:
        np.testing.assert_array_equal(library.features(copy, ["clip"]).features[0], rows_of(2, 4))


def test_rows_of_other_weights_are_refused_with_the_cure(tmp_path):
    filled(tmp_path)
    with changing(tmp_path) as writer:
        with pytest.raises(
            LibraryError, match=r"rows of clip were made otherwise: weights a{12} \(now b{12}\); .*drop --encoder clip"
        ):
            writer.add_encoder(manifest(weights="b" * 64))
        with pytest.raises(LibraryError, match=r"clip_s 2.0 \(now 1.0\)"):
            writer.add_encoder(manifest(clip_s=1.0))
    check_answers(tmp_path)


def test_an_encoder_that_was_dropped_can_be_added_with_other_weights(tmp_path):
    filled(tmp_path)
    with changing(tmp_path) as writer:
        writer.drop_encoder("clip")
        assert not list(tmp_path.glob("*.f16"))
        writer.add_encoder(manifest(weights="b" * 64))
        assert writer.encoders()["clip"].n_rows == 0
        assert len(writer.videos()) == 4


def test_names_of_encoders_never_share_a_file(tmp_path):
    with changing(tmp_path) as writer:
        files = [writer.add_encoder(manifest(name)).file for name in ("clip:B/32", "clip:B_32", "clip:B 32", "clip")]
    assert files == ["clip_B_32", "clip_B_32.2", "clip_B_32.3", "clip"]


def test_what_cannot_be_asked_is_said(tmp_path):
    with Library.open(filled(tmp_path)) as library:
        with pytest.raises(UnknownName, match=r"no encoder of library .* is called 'mini'; there are: clip"):
            library.scan("mini", np.ones(DIM), 1)
        with pytest.raises(ShapeError, match=r"the vector is \(3,\); rows of clip expect \(6,\)"):
            library.scan("clip", np.ones(3), 1)
        with pytest.raises(FeaturesMissing, match=r"no features for video 77 .*spikemba index VIDEOS --encoder clip"):
            library.features(77, ["clip"])
        with library.reading() as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM videos")


def test_folders_that_hold_no_library_are_refused(tmp_path):
    with pytest.raises(
        LibraryError, match=r"there is no library; run `spikemba index VIDEOS --encoder ENCODER --library .*nothing`"
    ):
        Library.open(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "library.sqlite").write_text("no database, but longer than the head of one" * 9)
    with pytest.raises(LibraryError, match="library.sqlite is damaged"):
        Library.open(tmp_path / "text")
    (tmp_path / "other").mkdir()
    with sqlite3.connect(tmp_path / "other" / "library.sqlite") as connection:
        connection.execute("CREATE TABLE books (title)")
    with pytest.raises(LibraryError, match="is no library"), changing(tmp_path / "other"):
        pass
    with sqlite3.connect(tmp_path / "other" / "library.sqlite") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("books",)]


@pytest.mark.parametrize(
    ("n", "said"), [(1, ""), (3, "3 faults, the first: "), (130, "100 faults or more, the first: ")]
)
def test_what_the_database_lacks_is_one_fault_that_counts(n, said, tmp_path):
    database = filled(tmp_path) / "library.sqlite"
    with sqlite3.connect(database) as connection:
        rows = [(None if i < n else 1.0,) for i in range(n + 2)]
        connection.executemany("INSERT INTO texts (video, source, start_s, text) VALUES (1, 's', ?, 't')", rows)
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'start_s REAL,', 'start_s REAL NOT NULL,')")
    connection.close()
    (fault,) = check_library(tmp_path)
    assert f"library.sqlite is damaged ({said}NULL value in texts.start_s); move library.sqlite away" in fault


def test_a_library_of_a_later_release_is_left_alone(tmp_path):
    filled(tmp_path)
    connection = sqlite3.connect(tmp_path / "library.sqlite")
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(LibraryError, match="it is of version 9; this release reads version 1; update spikemba"):
        Library.open(tmp_path)
    with pytest.raises(LibraryError, match="version 9"), changing(tmp_path):
        pass


def test_a_matrix_that_lost_rows_is_named(tmp_path):
    filled(tmp_path)
    with (tmp_path / "clip.f16").open("r+b") as file:
        file.truncate(20)
    with Library.open(tmp_path) as library, pytest.raises(LibraryError, match="clip.f16 has 20 bytes of 120"):
        library.scan("clip", np.ones(DIM), 1)
    with changing(tmp_path) as writer, pytest.raises(LibraryError, match="rows were lost"):
        writer.take_in([new("9.mp4", 5, 9)])
    (tmp_path / "clip.f16").unlink()
    with Library.open(tmp_path) as library, pytest.raises(LibraryError, match="the rows of clip are gone"):
        library.scan("clip", np.ones(DIM), 1)


def test_paths_that_are_no_text_are_kept_as_they_are(tmp_path):
    odd = Path("/videos/caf\udce9.mp4")
    with changing(tmp_path) as writer:
        writer.add_encoder(manifest())
        writer.take_in([NewVideo(FileState(odd, 1, 1, "x"), 2.0, {"clip": rows_of(0, 1)})])
    with Library.open(tmp_path) as library:
        assert [(one.path, one.name) for one in library.videos()] == [(odd, odd.name)]
        assert library.video(odd) is not None


def test_texts_are_found_by_their_words(tmp_path):
    filled(tmp_path)
    with changing(tmp_path) as writer:
        first = writer.videos()[0].id
        writer.replace_texts({(first, "subtitles"): [(0.0, 2.0, "Two eggs"), (2.0, 4.0, "a café")]})
        writer.replace_texts({(first, "subtitles"): [(2.0, 4.0, "a café")]})
    question = (
        "SELECT video, start_s FROM texts JOIN texts_found ON texts_found.rowid = texts.id WHERE texts_found MATCH ?"
    )
    with Library.open(tmp_path) as library, library.reading() as connection:
        assert connection.execute(question, ("cafe",)).fetchall() == [(first, 2.0)]
        assert connection.execute(question, ("eggs",)).fetchall() == []
    with changing(tmp_path) as writer:
        writer.drop([first])
    with Library.open(tmp_path) as library, library.reading() as connection:
        assert connection.execute(question, ("cafe",)).fetchall() == []


def test_the_command_that_indexes_again_names_encoders_and_a_clip_length_that_is_not_the_usual(tmp_path):
    with changing(tmp_path / "two") as writer:
        writer.add_encoder(manifest())
        writer.add_encoder(manifest("mini"))
    with changing(tmp_path / "four") as writer:
        writer.add_encoder(manifest(clip_s=4.0))
    with Library.open(tmp_path / "two") as library:
        place = f"--library {tmp_path / 'two'}"
        assert library.index_command() == f"spikemba index VIDEOS --encoder clip+mini {place}"
        assert library.index_command(["mini"], Path("a b")) == f"spikemba index 'a b' --encoder mini {place}"
    with Library.open(tmp_path / "four") as library:
        how = f"--encoder clip --clip-length 4 --library {tmp_path / 'four'}"
        assert library.index_command() == f"spikemba index VIDEOS {how}"
        with pytest.raises(FeaturesMissing, match=f"spikemba index VIDEOS {how}"):
            library.features(17, ["clip"])

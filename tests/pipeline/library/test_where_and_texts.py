"""What restricts a question, and what is written about videos."""

import pytest
from planted_library import NOTHING, plant

from spikemba.errors import LibraryError
from spikemba.library import Library
from spikemba.library.texts import content_words, search_texts
from spikemba.library.where import videos_where


@pytest.fixture
def library(tmp_path):
    paths = [tmp_path / folder / "clip.mp4" for folder in ("holiday", "work")]
    texts = {
        paths[0]: [(0.0, 2.0, "we need two eggs"), (2.5, 4.0, "two eggs and salt"), (60.0, 62.0, "good bye")],
        paths[1]: [(10.0, 12.0, "Zwei Éggs in a meeting")],
    }
    plant(tmp_path / "library", {paths[0]: [NOTHING] * 40, paths[1]: [NOTHING] * 10}, texts=texts)
    return tmp_path / "library"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("path LIKE '%holiday%'", [1]),
        ("duration_s < 60 -- short ones", [2]),
        ("name = 'clip.mp4' AND length(path) > 0", [1, 2]),
        ("id IN (SELECT id FROM videos WHERE duration_s > 60)", [1]),
        ("0", []),
    ],
)
def test_a_condition_chooses_videos(library, condition, expected):
    assert videos_where(library, condition) == expected


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("path LIKE", "'path LIKE': it ends too early; expected"),
        ("duration_s > 60 AND (", "it ends too early"),
        ("name = 'a", "its ' is never closed; expected"),
        ("max(", "it ends too early; expected"),
        ("name = 1 AND (SELECT 1", "it ends too early; expected"),
        ("id = 1 -- and\nAND", r"'id = 1 -- and\\nAND': it ends too early; expected"),
        ('name = "a', 'its " is never closed; expected'),
        ("name = 'it''s ''", "its ' is never closed; expected"),
        ("name = x'ab", "its ' is never closed; expected"),
        ("name = X'ab'' AND 1", "its ' is never closed; expected"),
        ("name = x'zz'", "unrecognized token: \"x'zz'\"; expected"),
        ("[name = 1", r"its \[ is never closed; expected"),
        ("`name = 1", "its ` is never closed; expected"),
        ("id = 1 /* one", r"its /\* is never closed; expected"),
        ("duration_s > 60)", 'near "\\)": syntax error'),
        ("colour = 'red'", "no such column: colour"),
        ("1) UNION SELECT id FROM texts --", "more than the columns of the videos|syntax error"),
        ("EXISTS (SELECT 1 FROM sqlite_master)", "it asks about more than the columns of the videos"),
        ("load_extension('x')", "it may not call load_extension"),
        ("randomblob(1000000000)", "it may not call randomblob"),
        ("1; DROP TABLE videos", "syntax error|one statement"),
        ("", "it is empty"),
    ],
)
def test_what_is_no_condition_on_columns_is_refused_in_one_line(library, condition, problem):
    with pytest.raises(LibraryError, match=problem) as refused:
        videos_where(library, condition)
    assert "columns are path, name" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "ORDER" not in str(refused.value)


def test_a_condition_that_never_ends_is_broken_off(library, monkeypatch):
    monkeypatch.setattr("spikemba.library.where.PATIENCE_S", -1.0)
    many = " AND ".join(f"EXISTS (SELECT 1 FROM videos a{i}, videos b{i}, videos c{i})" for i in range(3))
    endless = f"(SELECT count(*) FROM {', '.join(f'videos v{i}' for i in range(24))}) > 0 AND {many}"
    with pytest.raises(LibraryError, match="takes longer"):
        videos_where(library, endless)


def test_little_words_are_not_searched_for_unless_there_is_nothing_else():
    assert content_words("She needs two EGGS, in the kitchen") == {"needs", "two", "eggs", "kitchen"}
    assert content_words("to be") == {"to", "be"}
    assert content_words("?!") == set()


def test_texts_that_hold_half_of_the_words_are_hits_and_neighbours_are_one(library):
    with Library.open(library) as opened:
        (hit, other) = search_texts(opened, "two eggs")
        assert (hit.video, hit.start_s, hit.end_s) == (1, 0.0, 4.0)
        assert hit.text == "we need two eggs two eggs and salt"
        assert (other.video, other.text) == (2, "Zwei Éggs in a meeting")
        assert [one.video for one in search_texts(opened, "two eggs", among=[2])] == [2]
        assert search_texts(opened, "an elephant dances with eggs") == []


def test_signs_of_the_query_language_are_words_like_any_other(library):
    with Library.open(library) as opened:
        assert [hit.video for hit in search_texts(opened, 'eggs" OR * NEAR( ^ salt')] == [1]
        assert search_texts(opened, '"*') == []

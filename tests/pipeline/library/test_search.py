"""A question to a library whose right answers are planted."""

import json

import numpy as np
import pytest
from planted_library import BLUE, GREEN, NOTHING, RED, plant, planted_grounder

from pipelines.library.alike import parse_part, search_image, search_like
from pipelines.library.results import CLIPS
from pipelines.library.search import SearchSettings, search
from spikemba.errors import LibraryError, QueryError, SpikeMbaError, VideoError
from spikemba.library import Library


def shown(found):
    return [(one.video.name, one.start_s, one.end_s) for one in found.moments]


@pytest.fixture
def films(tmp_path):
    """a: red from 2 to 6 s; b: half as red from 8 to 10 s; c: green alone."""
    a, b, c = (tmp_path / "films" / name for name in ("a.mp4", "b.mp4", "c.mp4"))
    a.parent.mkdir()
    for path in (a, b, c):
        path.write_bytes(path.name.encode())
    rows = {
        a: [NOTHING, RED, 0.8 * RED, NOTHING, NOTHING],
        b: [NOTHING] * 4 + [0.6 * RED + 0.4 * NOTHING, NOTHING],
        c: [NOTHING, NOTHING, GREEN],
    }
    plant(tmp_path / "library", rows)
    return tmp_path / "library", a, b, c


def test_moments_of_all_videos_have_one_order_by_calibrated_score(films):
    with Library.open(films[0]) as library:
        found = search(library, planted_grounder(), "red")
    assert shown(found) == [("a.mp4", 2.0, 6.0), ("b.mp4", 8.0, 10.0)]
    assert [one.score for one in found.moments] == pytest.approx([1.0, 0.6], abs=1e-3)
    assert (found.order, found.n_videos, len(found.groundings)) == ("calibrated", 3, 3)
    assert all(one.sources == (CLIPS,) for one in found.moments)


def test_top_and_videos_limit_what_is_shown_and_what_is_grounded(films):
    with Library.open(films[0]) as library:
        found = search(library, planted_grounder(), "red", SearchSettings(top=1, videos=2))
        assert shown(found) == [("a.mp4", 2.0, 6.0)]
        assert len(found.groundings) == 2
        with pytest.raises(SpikeMbaError, match="top is 0; expected at least 1"):
            search(library, planted_grounder(), "red", SearchSettings(top=0))


def test_where_no_video_shows_it_there_is_no_such_moment_unless_all_are_asked_for(films):
    with Library.open(films[0]) as library:
        found = search(library, planted_grounder(), "blue")
        assert found.moments == ()
        assert found.nothing == "no such moment (0.00)"
        strict = search(library, planted_grounder(), "red", SearchSettings(min_exists=0.9))
        assert shown(strict) == [("a.mp4", 2.0, 6.0)]
        lax = search(library, planted_grounder(min_exists=1.0), "red", SearchSettings(min_exists=0.0))
        assert len(lax.moments) == 2


def test_scores_that_share_no_scale_are_fused_with_the_nearest_clips(films):
    model = planted_grounder(calibrated=False, tells_existence=False, min_exists=None)
    with Library.open(films[0]) as library:
        found = search(library, model, "red")
    assert found.order == "fused"
    assert shown(found)[:2] == [("a.mp4", 2.0, 6.0), ("b.mp4", 8.0, 10.0)]


def test_copies_are_one_answer_that_names_the_other_files(tmp_path):
    first, second, other = (tmp_path / name for name in ("x.mp4", "y.mp4", "z.mp4"))
    second.write_bytes(b"y")
    rows = [NOTHING, RED]
    digests = {first: "same", second: "same"}
    plant(tmp_path / "library", {first: rows, second: rows, other: [0.7 * RED, NOTHING]}, digests=digests)
    with Library.open(tmp_path / "library") as library:
        found = search(library, planted_grounder(), "red")
    assert shown(found) == [("y.mp4", 2.0, 4.0), ("z.mp4", 0.0, 2.0)]  # y is there, x is not
    assert found.moments[0].copies == (first,)
    assert len(found.groundings) == 2


def test_only_videos_that_fit_the_condition_are_looked_at(films):
    with Library.open(films[0]) as library:
        found = search(library, planted_grounder(), "red", SearchSettings(where="name = 'b.mp4'"))
        assert shown(found) == [("b.mp4", 8.0, 10.0)]
        assert found.n_videos == 1
        with pytest.raises(LibraryError, match="no video fits --where"):
            search(library, planted_grounder(), "red", SearchSettings(where="0"))


def test_subtitles_raise_the_moment_that_they_overlap_and_are_answers_where_they_overlap_none(films):
    folder, _, b, c = films
    plant(folder, {}, texts={b: [(8.0, 9.0, "how red it is")], c: [(1.0, 3.0, "a red thing")]})
    with Library.open(folder) as library:
        found = search(library, planted_grounder(), "red")
        without = search(library, planted_grounder(), "red", SearchSettings(texts=False))
    assert found.order == "fused"
    by_name = {one.video.name: one for one in found.moments}
    assert found.moments[0].video.name == "b.mp4"  # 1/62 + 1/61 against 1/61 of a
    assert by_name["b.mp4"].sources == (CLIPS, "subtitles")
    assert by_name["b.mp4"].text == "how red it is"
    assert (by_name["c.mp4"].sources, by_name["c.mp4"].score) == (("subtitles",), None)
    assert (by_name["c.mp4"].start_s, by_name["c.mp4"].end_s) == (1.0, 3.0)
    assert without.order == "calibrated"
    assert shown(without) == [("a.mp4", 2.0, 6.0), ("b.mp4", 8.0, 10.0)]


def test_a_text_that_was_found_is_shown_where_nothing_was_seen(films):
    folder, *_, c = films
    plant(folder, {}, texts={c: [(1.0, 3.0, "all in blue")]})
    with Library.open(folder) as library:
        found = search(library, planted_grounder(), "blue")
    assert shown(found) == [("c.mp4", 1.0, 3.0)]
    assert found.by_video()[0].moments == ((1.0, 3.0, 0.0),)


def test_rows_of_other_weights_are_refused_with_the_way_out(films):
    with Library.open(films[0]) as library, pytest.raises(LibraryError) as refused:
        search(library, planted_grounder(weights="second"), "red")
    assert "rows of colour were made otherwise: weights first (now second)" in str(refused.value)
    assert f"run `spikemba library drop --encoder colour --library {films[0]}`" in str(refused.value)


def test_rows_of_another_clip_length_are_refused(films):
    with Library.open(films[0]) as library, pytest.raises(LibraryError, match=r"clip_s 2\.0 \(now 1\.0\)"):
        search(library, planted_grounder(clip_s=1.0), "red")


def test_a_library_without_the_encoder_names_the_command_that_adds_it(films):
    import spikemba

    with Library.open(films[0]) as library, pytest.raises(LibraryError) as refused:
        search(library, spikemba.load("mini"), "a red circle enters")
    assert "mini needs rows of mini; it has those of colour" in str(refused.value)
    assert f"run `spikemba index VIDEOS --encoder mini --library {films[0]}`" in str(refused.value)


def test_a_sentence_that_is_too_long_or_empty_is_one_line(films):
    with Library.open(films[0]) as library:
        with pytest.raises(QueryError, match="9 words; this encoder reads at most 8"):
            search(library, planted_grounder(), "red " * 9)
        with pytest.raises(QueryError, match="empty"):
            search(library, planted_grounder(), " ")


def test_files_that_are_gone_or_changed_are_told_and_still_answered(films):
    folder, a, b, _ = films
    a.unlink()
    b.write_bytes(b"another film")
    with Library.open(folder) as library:
        found = search(library, planted_grounder(), "red")
    assert len(found.moments) == 2
    assert [note.split(";")[0] for note in found.notes] == [
        f"{a} is not there any more",
        f"{b} has changed since it was taken in, and this is of what it was",
    ]


def test_videos_without_rows_are_counted(films):
    from spikemba.library.writer import FileState, NewVideo, changing

    with changing(films[0]) as writer:
        writer.take_in([NewVideo(FileState(films[1].with_name("d.mp4"), 1, 1, "d"), 4.0)])
    with Library.open(films[0]) as library:
        found = search(library, planted_grounder(), "red")
    assert found.notes[0].startswith("1 video without rows of colour was not looked at; run `spikemba index")


def test_of_overlapping_moments_of_a_video_the_better_is_kept(films, monkeypatch):
    from dataclasses import replace

    from spikemba.moments import Moment

    grounder = planted_grounder()
    plain = grounder.model._answer

    def twice(shares, top):
        answer = plain(shares, top)
        more = tuple(Moment(m.start_s, m.end_s + 1, m.score - 0.1) for m in answer.moments)
        return replace(answer, moments=answer.moments + more)

    monkeypatch.setattr(grounder.model, "_answer", twice)
    with Library.open(films[0]) as library:
        assert shown(search(library, grounder, "red")) == [("a.mp4", 2.0, 6.0), ("b.mp4", 8.0, 10.0)]


def test_a_picture_finds_clips_like_it_and_says_that_nothing_was_grounded(films, tmp_path):
    from PIL import Image

    Image.fromarray(np.full((32, 32, 3), [250, 0, 0], np.uint8)).save(tmp_path / "red.png")
    with Library.open(films[0]) as library:
        found = search_image(library, planted_grounder(), tmp_path / "red.png", SearchSettings(top=1))
        with pytest.raises(VideoError, match="there is no such file"):
            search_image(library, planted_grounder(), tmp_path / "none.png")
    assert shown(found) == [("a.mp4", 2.0, 6.0)]
    assert found.moments[0].score == pytest.approx(1, abs=1e-2)
    assert (found.order, found.groundings) == ("similarity", ())
    assert "no sentence to ground" in found.notes[0]


def test_a_part_of_a_video_finds_the_others_and_not_itself(films):
    folder, a, *_ = films
    with Library.open(folder) as library:
        found = search_like(library, planted_grounder(), parse_part(f"{a}@2-6"), SearchSettings(top=1))
        assert shown(found) == [("b.mp4", 8.0, 10.0)]
        with pytest.raises(QueryError, match="begins behind the video's end at 10 s"):
            search_like(library, planted_grounder(), parse_part(f"{a}@20-26"))


def test_a_part_is_written_as_path_at_start_and_end():
    part = parse_part("my@film.mp4@1:02-1:06.5")
    assert (str(part.path), part.start_s, part.end_s) == ("my@film.mp4", 62.0, 66.5)
    for wrong in ("film.mp4", "film.mp4@6-2", "film.mp4@a-b", "@1-2", "film.mp4@1..2-3"):
        with pytest.raises(QueryError, match="VIDEO@START-END"):
            parse_part(wrong)


def test_the_document_holds_plain_values_in_the_order_of_the_moments(films):
    with Library.open(films[0]) as library:
        document = json.loads(json.dumps(search(library, planted_grounder(), "red").to_dict()))
    assert [(one["rank"], one["start_s"], one["from"]) for one in document["moments"]] == [
        (1, 2.0, ["clips"]),
        (2, 8.0, ["clips"]),
    ]
    assert document["exists"] == 1.0


def test_two_colours_are_near_to_both(films):
    with Library.open(films[0]) as library:
        found = library.clip_scores("colour", RED + BLUE)
    np.testing.assert_allclose(found.of(0), [0, 2**-0.5, 2**-0.5, 0, 0], atol=1e-3)

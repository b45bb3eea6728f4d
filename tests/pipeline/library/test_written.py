"""What is written about videos follows the files beside them."""

from planted_library import NOTHING, plant

from pipelines.library.written import bring_in_texts
from spikemba.library import Library
from spikemba.library.texts import search_texts

CUE = "1\n00:00:01,000 --> 00:00:02,000\n{}\n"


def found(folder, sentence):
    with Library.open(folder) as library:
        return [(hit.source, hit.start_s, hit.text) for hit in search_texts(library, sentence)]


def test_subtitles_are_taken_in_renewed_and_dropped_with_their_file(tmp_path):
    folder, video, beside = tmp_path / "library", tmp_path / "clip.mp4", tmp_path / "clip.srt"
    plant(folder, {video: [NOTHING]})
    assert bring_in_texts(folder) == {}
    assert found(folder, "eggs") == []
    beside.write_text(CUE.format("two eggs"), "utf-8")
    bring_in_texts(folder)
    assert found(folder, "eggs") == [("subtitles", 1.0, "two eggs")]
    beside.write_text(CUE.format("salt"), "utf-8")
    bring_in_texts(folder)
    assert (found(folder, "eggs"), found(folder, "salt")) == ([], [("subtitles", 1.0, "salt")])
    beside.unlink()
    bring_in_texts(folder)
    assert found(folder, "salt") == []


def test_the_files_name_is_a_text_about_all_of_it(tmp_path):
    plant(tmp_path / "library", {tmp_path / "summer_holiday-2024.mp4": [NOTHING]})
    bring_in_texts(tmp_path / "library")
    assert found(tmp_path / "library", "a holiday") == [("name", None, "summer_holiday-2024")]


def test_a_file_that_holds_no_subtitles_is_told_and_a_folder_that_is_away_changes_nothing(tmp_path):
    folder, video = tmp_path / "library", tmp_path / "disk" / "clip.mp4"
    video.parent.mkdir()
    plant(folder, {video: [NOTHING]}, texts={video: [(0.0, 1.0, "eggs")]})
    video.with_suffix(".vtt").write_bytes(b"\x00\x01")
    assert list(bring_in_texts(folder)) == [video.with_suffix(".vtt")]
    plant(folder, {}, texts={video: [(0.0, 1.0, "eggs")]})
    video.parent.rename(tmp_path / "away")
    assert bring_in_texts(folder) == {}
    assert found(folder, "eggs") == [("subtitles", 0.0, "eggs")]

"""Answers about a library as tables."""

import csv
import io
from pathlib import Path

from pipelines.library.results import LibraryAnswer, LibraryMoment
from pipelines.library.search_forms import library_csv
from spikemba.tables.text import from_text


def test_no_cell_of_the_table_is_a_formula():
    moment = LibraryMoment(
        *(Path("=a.mp4"), 1.0, 2.0, 0.5, None, ("clips", "subtitles")), text="+two eggs", copies=(Path("-b.mp4"),)
    )
    table = library_csv(LibraryAnswer("@sum", (moment,), "fused", "mini", 1))
    (row,) = csv.DictReader(io.StringIO(table))
    assert [row[name] for name in ("query", "video", "text", "copies")] == ["'@sum", "'=a.mp4", "'+two eggs", "'-b.mp4"]
    assert [from_text(row[name]) for name in ("query", "text")] == ["@sum", "+two eggs"]
    assert (row["score"], row["exists"], row["from"]) == ("0.5000", "", "clips;subtitles")

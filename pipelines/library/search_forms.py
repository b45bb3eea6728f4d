"""Answers about a library in the forms of `ground`: the own order where a form has one, else by video."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.grounding.answer_files import AnswerEvents, Answers, Outputs, write_answers
from pipelines.grounding.formats import PER_VIDEO, rendered
from pipelines.grounding.moment_cuts import MomentCut
from pipelines.library.filmstrip import write_filmstrip
from pipelines.library.results import LibraryAnswer
from spikemba.errors import SpikeMbaError
from spikemba.files import json_text, write_text
from spikemba.tables.text import as_text
from spikemba.video.folders import FoundVideo
from spikemba.video.names import shown_name, video_ids

OWN = ("json", "csv")
"""Forms that keep the order of the moments over all videos."""


def library_csv(found: LibraryAnswer) -> str:
    """query, rank, video, start_s, end_s, score, exists, from, text, copies; several of one cell are joined by ;

    No spreadsheet takes a name or a text for a formula: see `spikemba.tables.text.as_text`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["query", "rank", "video", "start_s", "end_s", "score", "exists", "from", "text", "copies"])
    for rank, one in enumerate(found.moments, start=1):
        numbers = ["" if number is None else f"{number:.4f}" for number in (one.score, one.exists)]
        times = f"{one.start_s:.3f}", f"{one.end_s:.3f}"
        files, asked, video = (as_text(text) for text in (";".join(map(str, one.copies)), found.query, str(one.video)))
        writer.writerow([asked, rank, video, *times, *numbers, ";".join(one.sources), as_text(one.text or ""), files])
    return out.getvalue()


def rendered_answer(form: str, found: LibraryAnswer, outputs: Outputs, folder: Path) -> str:
    """What is printed, in one of the forms of `ground`. Raises SpikeMbaError for a form that is about one video."""
    if form == "csv":
        return library_csv(found)
    if form == "json":
        return json_text(found.to_dict())
    if form in PER_VIDEO:
        raise SpikeMbaError(f"{form} is a file per video; name a folder for them with --out")
    return rendered(form, found.by_video(), outputs.layout(folder))


def write_outputs(
    found: LibraryAnswer, outputs: Outputs, filmstrip: Path | None = None, events: AnswerEvents | None = None
) -> Answers:
    """Files, cuts and pictures of an answer; a video that cannot be read any more stops no other.

    json and csv are one file with the order over all videos where `out` ends as they do.
    """
    one_file = outputs.out is not None and outputs.format in OWN and outputs.out.suffix == f".{outputs.format}"
    written = write_answers(found.by_video(), replace(outputs, out=None) if one_file else outputs, events)
    if one_file and outputs.out is not None:
        write_text(outputs.out, rendered_answer(outputs.format, found, outputs, outputs.out.parent))
        written.written.append(outputs.out)
    if filmstrip is not None:
        for path, problem in write_filmstrip(filmstrip, found).items():
            written.failed.setdefault(path, problem)
            (events or AnswerEvents()).failed(path, problem)
        written.written.append(filmstrip)
    return written


def names_of(found: LibraryAnswer) -> dict[Path, str]:
    """What each video is called in a table: its file's name, with the folders that tell it from others."""
    files = video_ids([FoundVideo(path) for path in dict.fromkeys(one.video for one in found.moments)])
    return {path: shown_name(path, video_id) for video_id, path in files.items()}


def document(found: LibraryAnswer, cuts: list[MomentCut]) -> Mapping[str, Any]:
    """What `--json` prints: with the cuts that were made, each with the times at which it really begins and ends."""
    return found.to_dict() | (
        {
            "cuts": [
                {
                    "video": str(one.video),
                    "file": str(one.cut.out),
                    "start_s": round(one.cut.start_s, 3),
                    "end_s": round(one.cut.end_s, 3),
                }
                for one in cuts
            ]
        }
        if cuts
        else {}
    )

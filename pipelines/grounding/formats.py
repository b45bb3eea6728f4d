"""Moments in the formats of other programs: tables, subtitles, chapters, and timelines of editors."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from pipelines.timelines.forms import TIMELINES, as_timeline
from pipelines.timelines.plan import Layout
from spikemba.files import json_text
from spikemba.grounder.result import Grounding
from spikemba.moments import Moment
from spikemba.tables.text import as_text


class Cue(NamedTuple):
    """A moment and the words that stand beside it."""

    start_s: float
    end_s: float
    score: float
    query: str


def as_json(found: Sequence[Grounding]) -> str:
    """A list of what `Grounding.to_dict` gives, by video, then by query."""
    return json_text([one.to_dict() for one in found])


def as_csv(found: Sequence[Grounding]) -> str:
    """video, query, rank, start_s, end_s, score, exists, model; exists is empty where nothing tells it.

    No spreadsheet takes a name or a sentence for a formula: see `spikemba.tables.text.as_text`.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["video", "query", "rank", "start_s", "end_s", "score", "exists", "model"])
    for one in found:
        exists = "" if one.exists is None else f"{one.exists:.4f}"
        for rank, m in enumerate(one.moments, start=1):
            times = f"{m.start_s:.3f}", f"{m.end_s:.3f}"
            names = as_text(str(one.video)), as_text(one.query)
            writer.writerow([*names, rank, *times, f"{m.score:.4f}", exists, as_text(one.model)])
    return out.getvalue()


def as_srt(found: Sequence[Grounding]) -> str:
    """SubRip subtitles in the order of time."""
    blocks = [
        f"{i}\n{_clock(cue.start_s, ',')} --> {_clock(cue.end_s, ',')}\n{_words(cue)}\n"
        for i, cue in enumerate(cues(found), start=1)
    ]
    return "\n".join(blocks)


def as_vtt(found: Sequence[Grounding]) -> str:
    """WebVTT subtitles in the order of time."""
    escape = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
    blocks = [
        f"{_clock(cue.start_s, '.')} --> {_clock(cue.end_s, '.')}\n{_words(cue).translate(escape)}\n"
        for cue in cues(found)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def as_chapters(found: Sequence[Grounding]) -> str:
    """FFmpeg's metadata file, as `ffmpeg -i video -i chapters.txt -map_chapters 1` reads it. Chapters do not overlap:
    of two moments that do, the better one is kept.
    """
    kept: list[Cue] = []
    for cue in sorted(cues(found), key=lambda cue: -cue.score):
        if all(cue.end_s <= other.start_s or cue.start_s >= other.end_s for other in kept):
            kept.append(cue)
    lines = [";FFMETADATA1"]
    for cue in sorted(kept):
        times = [f"START={round(1000 * cue.start_s)}", f"END={round(1000 * cue.end_s)}"]
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", *times, "title=" + re.sub(r"([=;#\\])", r"\\\1", _line(cue.query))]
    return "\n".join(lines) + "\n"


FORMATS: dict[str, tuple[str, Callable[[Sequence[Grounding]], str]]] = {
    "json": (".json", as_json),
    "csv": (".csv", as_csv),
    "srt": (".srt", as_srt),
    "vtt": (".vtt", as_vtt),
    "chapters": (".ffmetadata", as_chapters),
    **{name: (form.suffix, partial(as_timeline, name)) for name, form in TIMELINES.items()},
}
"""Name -> (suffix of a file of it, what makes it)."""

PER_VIDEO = ("srt", "vtt", "chapters")
"""Formats of which a file belongs to one video."""


def rendered(name: str, found: Sequence[Grounding], layout: Layout) -> str:
    """What was found, in one of FORMATS; the layout is that of timelines."""
    return as_timeline(name, found, layout) if name in TIMELINES else FORMATS[name][1](found)


def cues(found: Iterable[Grounding]) -> list[Cue]:
    """All moments in the order of time."""
    moments: Iterable[tuple[Moment, str]] = ((m, one.query) for one in found for m in one.moments)
    return sorted(Cue(m.start_s, m.end_s, m.score, query) for m, query in moments)


def _words(cue: Cue) -> str:
    return f"{_line(cue.query)} ({cue.score:.2f})"


def _line(text: str) -> str:
    return " ".join(text.split())


def _clock(seconds: float, point: str) -> str:
    """00:01:02.500"""
    ms = round(1000 * seconds)
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}{point}{ms % 1000:03d}"

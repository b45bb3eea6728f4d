"""A question's answers as a file to take along, in the formats of `spikemba ground`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from pipelines.grounding.answer_order import best_first
from pipelines.grounding.formats import FORMATS, PER_VIDEO, rendered
from pipelines.grounding.losses import EMPTY_ALLOWED
from pipelines.grounding.output_names import slug
from pipelines.serving.asking.questions import Answered, Question
from pipelines.serving.faults import NotNow, NotThere
from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.messages import Export
from pipelines.timelines.forms import TIMELINES, check_form
from pipelines.timelines.plan import Layout
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.reading.printable import printable, utf8_text
from spikemba.video.names import fitting, no_device

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "fcpxml": "application/xml",
    "xml": "application/xml",
    "otio": "application/json",
    "markers.csv": "text/csv; charset=utf-8",
}
"""Where it is not plain text."""


@dataclass(frozen=True)
class ExportedFile:
    """A file that is made for whoever asks, and kept nowhere."""

    name: str
    media_type: str
    body: bytes


def export(question: Question, asked: Export, *, absolute: bool) -> ExportedFile:
    """The answers of one checkpoint in one format.

    absolute: timelines name the videos by their full address, which an editor on this machine finds; else from the
    folder that all of them lie in. Tables name a video as the page does.
    Raises NotThere, NotNow when there is no answer yet, SpikeMbaError for a format that cannot hold it, PackageMissing.
    """
    check_shape(asked)
    answers = _chosen(question, asked)
    videos = list(dict.fromkeys(one.video for one in answers))
    if asked.format in PER_VIDEO and len(videos) > 1:
        raise SpikeMbaError(f"{asked.format} is a file of one video, and there are {len(videos)}; name one in videos")
    not_empty(asked.format, any_moments=any(one.grounding.moments for one in answers))
    suffix, _ = FORMATS[asked.format]
    try:
        text = _text(answers, asked, videos, absolute=absolute)
    except VideoError as error:
        raise told(error, videos) from None
    return exported(_name(videos, question, answers[0].checkpoint, suffix), asked.format, text)


def check_shape(asked: Export) -> None:
    """Raises SpikeMbaError for a format that cannot be made here, or that has no shape and is given one."""
    check_form(asked.format)
    if asked.shape is not None and asked.format not in TIMELINES:
        raise SpikeMbaError(f"{asked.format} is no timeline, so it has no shape; give one of {', '.join(TIMELINES)}")


def not_empty(form: str, *, any_moments: bool) -> None:
    """Raises SpikeMbaError for a file that could only say nothing."""
    if form not in EMPTY_ALLOWED and not any_moments:
        raise SpikeMbaError(
            f"there is no moment to write as {form}; ask with show_all, or take {' or '.join(EMPTY_ALLOWED)}, "
            "which can say so"
        )


def exported(name: str, form: str, text: str) -> ExportedFile:
    """A text of a format as a file."""
    return ExportedFile(name, MEDIA_TYPES.get(form, "text/plain; charset=utf-8"), utf8_text(text).encode())


def _chosen(question: Question, asked: Export) -> list[Answered]:
    """The answers that are wanted, of several videos the best first, as `spikemba ground` has them."""
    checkpoints, wanted = question.asked.checkpoints, None if asked.videos is None else set(asked.videos)
    name = asked.checkpoint or checkpoints[0]
    if name not in checkpoints:
        raise NotThere(f"the question was not put to {name!r}; it was to {', '.join(checkpoints)}")
    with question.lock:
        found = [
            one for one in question.answers if one.checkpoint == name and (wanted is None or one.video.id in wanted)
        ]
    if missing := (wanted or set()) - {one.video.id for one in found}:
        raise NotNow(f"there is no answer about {sorted(missing)[0]!r}; wait for it, or leave that video out")
    if not found:
        raise NotNow("there is no answer yet; wait for one")
    order = {video: place for place, video in enumerate(question.asked.videos)}
    found.sort(key=lambda one: order[one.video])
    return sorted(found, key=lambda one: best_first(one.grounding)) if len(found) > 1 else found


def _text(answers: Sequence[Answered], asked: Export, videos: Sequence[ServedVideo], *, absolute: bool) -> str:
    if asked.format in TIMELINES:
        folder = None if absolute else Path(os.path.commonpath([one.path.absolute().parent for one in videos]))
        return rendered(asked.format, [one.grounding for one in answers], Layout(asked.shape, folder))
    found = [replace(one.grounding, video=Path(one.video.name)) for one in answers]
    return rendered(asked.format, found, Layout())


def told(error: VideoError, videos: Sequence[ServedVideo]) -> VideoError:
    """A fault of one of the videos, with its name in place of its path."""
    about = next((video for video in videos if str(error).startswith(f"{video.path}: ")), None)
    return error if about is None else about.fault(error)


def _name(videos: Sequence[ServedVideo], question: Question, checkpoint: str, suffix: str) -> str:
    """By the video and the sentence, and by the checkpoint where several were asked."""
    stem = videos[0].path.stem if len(videos) == 1 else "moments"
    model = f"_{slug(checkpoint)}" if len(question.asked.checkpoints) > 1 else ""
    return safe_name(f"{stem}_{slug(question.asked.query)}{model}", suffix)


def safe_name(stem: str, suffix: str) -> str:
    """A file's name that any system takes, however it began."""
    clean = "".join("_" if sign in '<>:"/\\|?*\n\r\t' else sign for sign in printable(stem)).strip(" .") or "video"
    return fitting(no_device(clean), suffix)


def attachment(name: str) -> str:
    """The header by which a browser saves a file under its name, of whatever letters (RFC 6266)."""
    plain = "".join(sign if sign.isascii() and sign.isprintable() and sign not in '"\\%' else "_" for sign in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

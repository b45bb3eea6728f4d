"""A page that shows an answer about a library: a strip of pictures per moment, everything in one HTML file."""

import base64
import html
from pathlib import Path

from pipelines.library.results import LibraryAnswer, LibraryMoment
from spikemba.errors import SpikeMbaError
from spikemba.files import write_text
from spikemba.reading.amounts import seconds_span, shown_score
from spikemba.reading.printable import utf8_text
from spikemba.video.stills import Stills

N_PICTURES = 6
HEIGHT_PX = 180
"""Of a picture, one of `stills.HEIGHTS`."""

STYLE = """
:root { color-scheme: light dark; --line: #d6dae1; --soft: #667085 }
@media (prefers-color-scheme: dark) { :root { --line: #3a4150; --soft: #9aa4b2 } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
h1 { font-size: 1.5rem } ol { list-style: none; padding: 0 } li { border-top: 1px solid var(--line); padding: 1rem 0 }
h2 { font-size: 1.05rem; margin: 0 0 .4rem; overflow-wrap: anywhere } .soft { color: var(--soft) }
.strip { display: flex; gap: 2px; overflow-x: auto } .strip img { height: 7rem; border-radius: 3px }
p { margin: .3rem 0; overflow-wrap: anywhere }
"""


def write_filmstrip(path: Path, found: LibraryAnswer) -> dict[Path, str]:
    """Write the page; returns the videos of which it could not show pictures, and why. Raises OutputError."""
    failed: dict[Path, str] = {}
    stills = Stills()
    try:
        rows = [_row(rank, one, stills, failed) for rank, one in enumerate(found.moments, start=1)]
    finally:
        stills.close()
    title = html.escape(utf8_text(found.query))
    said = f"{found.n_videos} videos, {found.model}, order: {found.order}"
    body = "\n".join(rows) or f"<li>{html.escape(found.nothing)}</li>"
    notes = "".join(f"<p class='soft'>{html.escape(utf8_text(note))}</p>" for note in found.notes)
    write_text(
        path,
        f"<!doctype html>\n<html lang='en'><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{title}</title><style>{STYLE}</style>\n"
        f"<h1>{title}</h1><p class='soft'>{html.escape(said)}</p>{notes}\n<ol>\n{body}\n</ol>\n</html>\n",
    )
    return failed


def _row(rank: int, one: LibraryMoment, stills: Stills, failed: dict[Path, str]) -> str:
    name = html.escape(utf8_text(str(one.video)))
    score = "" if one.score is None else f", {shown_score(one.score)}"
    times = f"{seconds_span(one.start_s, one.end_s)}{score}"
    said = [f"<p>{html.escape(utf8_text(one.text))}</p>"] if one.text else []
    said += [f"<p class='soft'>also {html.escape(utf8_text(str(copy)))}</p>" for copy in one.copies]
    address = _address(one)
    linked = f"<a href='{html.escape(address)}'>{name}</a>" if address else name
    pictures = _pictures(one, stills, failed)
    strip = f"<div class='strip'>{pictures}</div>" if pictures else "<p class='soft'>no pictures</p>"
    sources = html.escape(" and ".join(one.sources))
    return f"<li><h2>{rank}. {linked} <span class='soft'>{times}, {sources}</span></h2>{strip}{''.join(said)}</li>"


def _address(one: LibraryMoment) -> str | None:
    """Opens the file at the moment, in browsers that play it."""
    try:
        return f"{one.video.absolute().as_uri()}#t={one.start_s:.2f},{one.end_s:.2f}"
    except (ValueError, UnicodeError):
        return None


def _pictures(one: LibraryMoment, stills: Stills, failed: dict[Path, str]) -> str:
    """Evenly over the moment, each from the middle of its part."""
    shown = []
    for k in range(N_PICTURES):
        at_s = one.start_s + (k + 0.5) * (one.end_s - one.start_s) / N_PICTURES
        try:
            content = stills.still(one.video, at_s, HEIGHT_PX)
        except SpikeMbaError as error:
            failed.setdefault(one.video, str(error))
            return ""
        picture = base64.b64encode(content).decode()
        shown.append(f"<img alt='{at_s:.2f} s' title='{at_s:.2f} s' src='data:image/jpeg;base64,{picture}'>")
    return "".join(shown)

"""The picture of one answered query in a page: frames of the best moment above the chart, and what it says in words."""

import base64

from pipelines.reports.case import Case
from pipelines.reports.chart import chart
from pipelines.reports.html_page import text
from spikemba.errors import SpikeMbaError
from spikemba.reading.amounts import seconds_span, shown_score
from spikemba.video.stills import Stills

STYLE = """
figure { margin: 1rem 0 2.2rem } figcaption { font-size: .9rem; color: var(--soft); margin-top: .5rem }
.strip { display: grid; grid-template-columns: repeat(6, 1fr); gap: 4px }
.strip img { width: 100%; display: block; border-radius: 3px; border: 1px solid var(--line) }
@media (max-width: 40rem) { .strip { grid-template-columns: repeat(3, 1fr) } }
"""
N_FRAMES = 6
HEIGHT_PX = 360
"""Of a frame; the very one of its time."""


def figure(case: Case, stills: Stills) -> tuple[str, str | None]:
    """The picture as HTML, and what hindered its frames, if anything did."""
    frames, problem = _frames(case, stills)
    mark = _mark(case)
    head = f"<h3>{mark}“{text(case.query.strip())}”</h3>"
    return f"<figure>{head}{frames}{chart(case)}<figcaption>{_caption(case)}</figcaption></figure>", problem


def _mark(case: Case) -> str:
    if case.outcome is None:
        return ""
    if case.outcome.is_right:
        return "<span class='good' aria-hidden='true'>✓</span> "
    return "<span class='bad' aria-hidden='true'>✗</span> "


def _caption(case: Case) -> str:
    parts = [text(case.video_id)]
    if case.moments:
        best = case.moments[0]
        parts.append(f"predicted {seconds_span(*best[:2])}, score {shown_score(best.score, 2)}")
    else:
        parts.append(f"predicted: {case.answer.nothing}")
    if case.truth is not None:
        parts.append("true " + (", ".join(seconds_span(*one) for one in case.truth) or "in no part of it"))
    if case.outcome is not None and case.truth:
        parts.append(f"overlap {case.outcome.overlap:.2f}")
        if (case.outcome.right_rank or 1) > 1:
            parts.append(f"the moment of rank {case.outcome.right_rank} is right")
        if not case.moments and case.answer.moments:
            parts.append("its first moment was held back, for it said that there is none")
    return "; ".join(parts)


def _frames(case: Case, stills: Stills) -> tuple[str, str | None]:
    """Spread over the best moment; of what is not there over the whole video."""
    if case.video is None:
        return "", None
    start_s, end_s = case.moments[0][:2] if case.moments else (0.0, case.duration_s)
    shown = []
    for k in range(N_FRAMES):
        at_s = start_s + (k + 0.5) * max(end_s - start_s, 0.2) / N_FRAMES
        try:
            content = base64.b64encode(stills.still(case.video, at_s, HEIGHT_PX)).decode()
        except SpikeMbaError as error:
            return "", str(error)
        shown.append(f"<img alt='frame at {at_s:.1f} s' src='data:image/jpeg;base64,{content}'>")
    return f"<div class='strip'>{''.join(shown)}</div>", None

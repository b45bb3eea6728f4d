"""What a model answered over the time of a video, as a chart in HTML: it follows the page's width and colours.

Rows below each other on one axis of time: true windows, predicted ones, saliency and foreground, spikes and proposals.
Long videos are drawn in as many parts as can be seen, so that a chart has a bounded size.
"""

# Shapes: L clips, S spike steps.

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipelines.reports.case import Case
from pipelines.reports.html_page import text
from spikemba.moments import Window
from spikemba.reading.amounts import MINUTE_S, clock, seconds_span, shown_score

STYLE = """
.chart { margin: .5rem 0 0; display: grid; grid-template-columns: 7.5rem 1fr; gap: .3rem .6rem; align-items: center }
.chart .name { font-size: .8rem; line-height: 1.2; color: var(--soft); text-align: right }
.chart svg { width: 100%; display: block; background: var(--tint); border-radius: 3px }
.chart .lane { height: 1.1rem } .chart .curves { height: 4.5rem } .chart .spikes { height: 3rem }
.chart .axis { position: relative; height: 1.2rem; font-size: .75rem; color: var(--soft) }
.chart .axis span { position: absolute; transform: translateX(-50%); white-space: nowrap }
.chart .axis span:first-child { transform: none } .chart .axis span:last-child { transform: translateX(-100%) }
.chart .words { font-size: .85rem; background: var(--tint); border-radius: 3px; padding: 0 .4rem }
.true { fill: var(--true) } .said { fill: var(--said); shape-rendering: crispEdges }
.shade { fill: var(--true); opacity: .16 } .runs { fill: var(--curve); opacity: .2 }
.first { fill: none; stroke: var(--ink); stroke-width: 2; vector-effect: non-scaling-stroke }
.line { fill: none; vector-effect: non-scaling-stroke; stroke-width: 1.8 } .line.curve { stroke: var(--curve) }
.line.fore { stroke: var(--fore); stroke-dasharray: 5 3 } .line.spike { stroke: var(--ink); stroke-width: 1.2 }
@media (max-width: 40rem) { .chart { grid-template-columns: 1fr; gap: .1rem } .chart .name { text-align: left } }
"""

WIDE = 1000
"""Of a chart's own units; how wide they are is the page's matter."""
MOST_POINTS, MOST_TICKS = 500, 2400
"""Of a curve, and spikes that are drawn one by one."""
SHOWN = 5
"""Predicted moments."""


def chart(case: Case) -> str:
    """The chart as HTML, with words for who cannot see it."""
    rows = [_lane("true", _true(case), case), _lane("predicted", _predicted(case), case), _curves(case), _spikes(case)]
    axis = f"<div class='name' aria-hidden='true'></div>{_axis(case.duration_s)}"
    return f"<div class='chart' role='img' aria-label='{text(_in_words(case))}'>{''.join(rows)}{axis}</div>"


def _in_words(case: Case) -> str:
    true = case.truth
    if true is None:
        said = "the true windows are not known"
    else:
        said = f"true: {', '.join(seconds_span(*one) for one in true) or 'no such moment'}"
    first = case.moments[0] if case.moments else None
    answer = (
        case.answer.nothing if first is None else f"{seconds_span(*first[:2])}, score {shown_score(first.score, 2)}"
    )
    return f"Time axis of {case.duration_s:.0f} s; {said}; predicted first: {answer}"


def _true(case: Case) -> str:
    if not case.truth:
        return ""
    return "".join(_box(window, case.duration_s, "true") for window in case.truth)


def _predicted(case: Case) -> str:
    """Each place as strong as the best moment there, however many overlap; the first moment is framed."""
    shown = [(*_across(one.start_s, one.end_s, case.duration_s), one.score) for one in case.moments[:SHOWN]]
    if not shown:
        return ""
    edges = sorted({at for start, end, _ in shown for at in (start, end)})
    parts = []
    for start, end in pairwise(edges):
        if scores := [score for first, last, score in shown if first <= start and end <= last]:
            opacity = 0.15 + 0.85 * min(1.0, max(0.0, *scores))
            parts.append(_rect("said", start, end, f" opacity='{opacity:.2f}'"))
    start, end, _ = shown[0]
    return "".join(parts) + f"<rect class='first' x='{start:.1f}' y='6' width='{end - start:.1f}' height='88'/>"


def _lane(name: str, boxes: str, case: Case) -> str:
    if boxes:
        return _row(name, "lane", boxes)
    nothing = case.answer.nothing if name == "predicted" else "not known" if case.truth is None else "no such moment"
    return f"<div class='name' aria-hidden='true'>{name}</div><div class='words'>{text(nothing)}</div>"


def _row(name: str, kind: str, content: str) -> str:
    drawn = f"<svg class='{kind}' viewBox='0 0 {WIDE} 100' preserveAspectRatio='none'>{content}</svg>"
    return f"<div class='name' aria-hidden='true'>{name}</div>{drawn}"


def _box(window: Window, duration_s: float, kind: str) -> str:
    return _rect(kind, *_across(*window, duration_s))


def _across(start_s: float, end_s: float, duration_s: float) -> tuple[float, float]:
    """Where a window begins and ends in a chart's units; a short one is as wide as can be seen."""
    start, end = (WIDE * min(1.0, max(0.0, at / duration_s)) for at in (start_s, end_s))
    start = min(start, WIDE - 2.0)
    return start, max(start + 2.0, end)


def _rect(kind: str, start: float, end: float, look: str = "") -> str:
    return f"<rect class='{kind}' x='{start:.1f}' y='0' width='{end - start:.1f}' height='100'{look}/>"


def _group(kind: str, windows: Iterable[Window], case: Case) -> str:
    """Windows in one pale colour, which does not add up where they overlap."""
    boxes = "".join(_box(window, case.duration_s, "") for window in windows)
    return f"<g class='{kind}'>{boxes}</g>" if boxes else ""


def _curves(case: Case) -> str:
    if not len(case.answer.saliency):
        return ""
    shades = _group("shade", case.truth or (), case)
    lines = [_steps(_to_its_range(case.answer.saliency), case, "curve")]
    name = "saliency"
    if len(case.answer.foreground):
        lines.insert(0, _steps(case.answer.foreground, case, "fore"))
        name = "saliency, foreground (dashed)"
    return _row(name, "curves", shades + "".join(lines))


def _steps(values: NDArray[np.floating], case: Case, kind: str) -> str:
    """A line of steps; of a long video the largest value of each part."""
    values, cell_s = _pooled(np.asarray(values, np.float64), case.clip_s)
    edges = np.minimum(np.arange(len(values) + 1) * cell_s / case.duration_s, 1) * WIDE
    parts = [f"{x:.0f} {y:.0f}H{end:.0f}" for x, y, end in zip(edges, 97 - 94 * values, edges[1:], strict=False)]
    return f"<path class='line {kind}' d='M{'L'.join(parts)}'/>"


def _pooled(values: NDArray[np.float64], clip_s: float) -> tuple[NDArray[np.float64], float]:
    """(L,) as at most MOST_POINTS values, and the seconds of each."""
    each = -(-len(values) // MOST_POINTS)
    if each == 1:
        return values, clip_s
    short = -len(values) % each
    return np.pad(values, (0, short), mode="edge").reshape(-1, each).max(1), clip_s * each


def _to_its_range(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """From 0 to 1 over the video: only the order of saliencies is trained, not their level."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _spikes(case: Case) -> str:
    spikes = case.answer.spikes
    if not spikes.size:
        return ""
    runs = _group("runs", [Window(one.start_s, one.end_s) for one in case.answer.proposals], case)
    if int(spikes.sum()) > MOST_TICKS:
        return _row("spikes (their rate), proposals", "spikes", runs + _steps(spikes.mean(1), case, "spike"))
    clip, step = np.nonzero(spikes)
    high = 100 / spikes.shape[1]
    x = (clip + 0.5) * case.clip_s / case.duration_s * WIDE
    ticks = [f"M{at:.1f} {high * (k + 0.12):.1f}v{high * 0.76:.1f}" for at, k in zip(x, step, strict=True)]
    return _row("spikes, proposals", "spikes", f"{runs}<path class='line spike' d='{''.join(ticks)}'/>")


def _axis(duration_s: float) -> str:
    shares: Sequence[float] = (0, 0.25, 0.5, 0.75, 1)
    labels = [clock(at * duration_s) if duration_s >= MINUTE_S else f"{at * duration_s:.0f} s" for at in shares]
    marks = (f"<span style='left:{100 * at:.0f}%'>{said}</span>" for at, said in zip(shares, labels, strict=True))
    return f"<div class='axis' aria-hidden='true'>{''.join(marks)}</div>"

"""A page about an evaluation: how much was found, the best pictures, each sentence with its mark, numbers last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.reports import chart
from pipelines.reports import figure as figures
from pipelines.reports.case import Case
from pipelines.reports.html_page import page, table, text
from pipelines.reports.metric_words import metric_words
from pipelines.scoring.outcomes import FOUND_IOU, NEAR_IOU, NEXT, RIGHT, Outcome
from spikemba.files import write_text
from spikemba.reading.printable import counted
from spikemba.video.stills import Stills

STYLE = """
.marks { list-style: none; margin: 1rem 0; padding: 0; columns: 20rem 3; column-gap: 1.5rem; font-size: .875rem }
.marks li { break-inside: avoid; padding: .1rem 0 .1rem 1.4rem; text-indent: -1.4rem }
.marks b { display: inline-block; width: 1.4rem; text-indent: 0 }
summary { cursor: pointer; color: var(--said); width: max-content; max-width: 100% } details { margin: .6rem 0 1rem }
.key { display: inline-block; width: .9rem; height: .7rem; border-radius: 2px; margin-right: .3rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; max-width: 48rem } dd { margin: 0 }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dd { margin-bottom: .4rem } }
"""
MOST_MARKS, OPEN_MARKS = 120, 10
"""Sentences that are listed, and how many make a list that need not be opened; the page says how many there are."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Column names and rows."""


@dataclass(frozen=True)
class ReportContent:
    """What a page says."""

    title: str
    lead: str
    """The result, in a sentence."""
    beside: Sequence[str] = ()
    """What the result means, and what it is to be held against; a paragraph each."""
    intro: str = ""
    found: Sequence[Outcome] = ()
    """All queries, each for a mark."""
    cases: Mapping[str, Sequence[Case]] = field(default_factory=dict)
    """Fate -> queries to show in pictures, in this order; a key of HEADINGS."""
    brief: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    """Heading -> what else stands at the end."""
    notes: Sequence[str] = ()


_NEAR = (
    f"the first moment overlaps a true one by {NEAR_IOU:g} or more but not by {FOUND_IOU:g}, or one of the next {NEXT} "
    "is right"
)
HEADINGS = {
    "found": ("The best answers", "Of the sentences that were found, those whose first moment fits best."),
    "near": ("Near misses", f"{_NEAR[:1].upper()}{_NEAR[1:]}."),
    "missed": ("Misses", "Those of which it was surest first."),
    "rejected": ("Said rightly: no such moment", ""),
    "taken": ("Answered, although the video does not show it", ""),
    "": ("Answers", ""),
}
"""Fate -> heading, and what it means; empty: of no known truth."""

LEGEND = {
    "true": ("true", "where people said that it happens"),
    "said": (
        "predicted",
        "the moments of the answer: each place is as strong in colour as the best moment there scores; the framed "
        "one is the first, which is what counts",
    ),
    "curve": (
        "saliency",
        "how well each clip of the video fits the sentence, drawn from its lowest to its highest value in this video",
    ),
    "fore": ("foreground", "the probability that a clip lies in the moment, from 0 to 1"),
    "ink": (
        "spikes",
        "what the proposal neuron of each clip fired, one row per step; where it fires often enough, the shaded runs "
        "of clips are proposed as moments",
    ),
}
"""Colour -> what is drawn in it, and what that is; explained once in a page."""


def write_report(path: Path, content: ReportContent) -> tuple[Path, list[str]]:
    """Write the page, which needs no other file: into a folder as index.html, or to a file that ends in .html.

    Returns it, and what hindered pictures, each a line. Raises OutputError.
    """
    file = path if path.suffix.lower() in (".html", ".htm") and not path.is_dir() else path / "index.html"
    stills, problems = Stills(), list[str]()
    try:
        pictures = _pictures(content, stills, problems)
    finally:
        stills.close()
    parts = [f"<p class='lead'>{text(content.lead)}</p>"]
    parts += [f"<p>{text(content.intro)}</p>"] if content.intro else []
    parts += [*pictures[:1], *_marks(content), *pictures[1:], *_numbers(content)]
    unique = list(dict.fromkeys(problems))
    parts += [f"<p class='note'>{text(note)}</p>" for note in (*content.notes, *unique)]
    write_text(file, page(content.title, parts, STYLE + chart.STYLE + figures.STYLE))
    return file, unique


_MARKS = {
    "found": "found",
    "near": "near miss",
    "missed": "missed",
    "unanswered": "no answer",
    "rejected": "not there, and said so",
    "taken": "not there, and answered",
}


def _marks(content: ReportContent) -> list[str]:
    """What the result means, the counts, and below them the list of ticks and crosses, and how many it leaves out."""
    found = content.found
    parts = [f"<p class='note'>{text(said)}</p>" for said in content.beside]
    if not found:
        return parts
    parts.insert(0, f"<h2>Each of the {counted(len(found), 'sentence', 'sentences')}</h2><p>{_counts(found)}</p>")
    items = "".join(map(_item, found[:MOST_MARKS]))
    is_open = " open" if len(found) <= OPEN_MARKS else ""
    said = "Each with its mark" if len(found) <= MOST_MARKS else f"The first {MOST_MARKS}, each with its mark"
    parts.append(f"<details{is_open}><summary>{said}</summary><ul class='marks'>{items}</ul></details>")
    if len(found) > MOST_MARKS:
        right = sum(one.is_right for one in found[MOST_MARKS:])
        left = len(found) - MOST_MARKS
        parts.append(f"<p class='note'>These are the first {MOST_MARKS}; of the other {left} it has {right} right.</p>")
    return parts


def _counts(found: Sequence[Outcome]) -> str:
    """How many have each mark; a near miss is explained here, where it is first named."""
    parts = []
    for fate, name in _MARKS.items():
        n = sum(one.fate == fate for one in found)
        if fate == "near":
            name = f"{'near miss' if n == 1 else 'near misses'} ({_NEAR})"
        parts += [f"{_sign(fate in RIGHT)} {n} {name}"] if n else []
    return "; ".join(parts) + "."


def _sign(right: bool) -> str:
    return "<b class='good' aria-hidden='true'>✓</b>" if right else "<b class='bad' aria-hidden='true'>✗</b>"


def _item(one: Outcome) -> str:
    beside = _MARKS[one.fate]
    if one.fate in ("found", "missed"):
        beside = f"overlap {one.overlap:.2f}"
    elif one.fate == "near":
        where = f"overlap {one.overlap:.2f}" if one.right_rank is None else f"right at rank {one.right_rank}"
        beside = f"near miss, {where}"
    mark = f"{_sign(one.is_right)}<span class='unseen'>{_MARKS[one.fate]}: </span>"
    return f"<li>{mark}{text(one.truth.query)} <span class='soft'>{beside}</span></li>"


def _pictures(content: ReportContent, stills: Stills, problems: list[str]) -> list[str]:
    """A part of each fate; how pictures are read is said in the first, above its pictures."""
    parts: list[str] = []
    for fate, cases in content.cases.items():
        heading, said = HEADINGS[fate]
        part = [f"<h2>{heading}</h2>" + (f"<p class='note'>{said}</p>" if said else "")]
        part += [] if parts else [_legend([case for own in content.cases.values() for case in own])]
        for case in cases:
            drawn, problem = figures.figure(case, stills)
            part.append(drawn)
            problems += [problem] if problem else []
        parts.append("\n".join(part))
    return parts


def _legend(cases: Sequence[Case]) -> str:
    """What is drawn in any of the pictures."""
    drawn = {
        "curve": any(len(case.answer.saliency) for case in cases),
        "fore": any(len(case.answer.foreground) for case in cases),
        "ink": any(case.answer.spikes.size for case in cases),
    }
    items = "".join(
        f"<dt><span class='key' style='background:var(--{colour})'></span>{name}</dt><dd>{said}</dd>"
        for colour, (name, said) in LEGEND.items()
        if drawn.get(colour, True)
    )
    frames = (
        "<p class='note'>The frames are of the first predicted moment, or of the whole video where there is none.</p>"
    )
    below = frames if any(case.video for case in cases) else ""
    return f"<details><summary>How to read the pictures</summary><dl>{items}</dl>{below}</details>"


def _numbers(content: ReportContent) -> list[str]:
    parts = []
    if content.brief:
        rows = [[name, f"{value:.2f}"] for name, value in content.brief.items()]
        parts += ["<h2>Numbers</h2><p class='note'>In percent; more is better.</p>"]
        parts.append(table(("metric", "%"), rows, [metric_words(name) for name in content.brief]))
    for heading, (columns, rows_of_it) in content.tables.items():
        parts += [f"<h2>{text(heading)}</h2>", table(columns, rows_of_it)]
    return parts

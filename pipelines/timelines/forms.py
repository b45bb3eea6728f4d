"""The forms by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from pipelines.timelines.edl import as_edl
from pipelines.timelines.fcp7 import as_fcp7
from pipelines.timelines.fcpxml import as_fcpxml
from pipelines.timelines.marker_table import as_table
from pipelines.timelines.otio import as_otio, check_installed
from pipelines.timelines.plan import Layout, Shape, Timeline, plan
from spikemba.grounder.result import Grounding


class TimelineForm(NamedTuple):
    """A form of timelines."""

    suffix: str
    """Of a file of it."""
    written: Callable[[Timeline], str]
    shape: Shape
    """What it is mostly for."""


TIMELINES = {
    "otio": TimelineForm(".otio", as_otio, "cut"),
    "fcpxml": TimelineForm(".fcpxml", as_fcpxml, "cut"),
    "xml": TimelineForm(".xml", as_fcp7, "cut"),
    "edl": TimelineForm(".edl", as_edl, "cut"),
    "markers.csv": TimelineForm(".markers.csv", as_table, "markers"),
}


def as_timeline(form: str, found: Sequence[Grounding], layout: Layout | None = None) -> str:
    """What was found, in a form of TIMELINES.

    Raises PackageMissing where the form needs a library, VideoError when a video cannot be read any more.
    """
    layout = layout or Layout()
    known = TIMELINES[form]
    return known.written(plan(found, replace(layout, shape=layout.shape or known.shape)))


def check_form(form: str) -> None:
    """Raises PackageMissing when that form, of whatever kind, needs a library that is absent."""
    if form == "otio":
        check_installed()

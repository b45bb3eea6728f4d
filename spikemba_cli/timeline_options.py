"""Options of `ground` about timelines of editing programs."""

from typing import Annotated, Literal

import typer

ShapeOption = Annotated[
    Literal["cut", "markers"] | None,
    typer.Option(help="Of a timeline: a rough cut of the moments, or the videos with markers."),
]
RelativeOption = Annotated[
    bool, typer.Option("--relative", help="Timelines name the videos from their own folder, so that both can move.")
]


def check_timeline(form: str, shape: str | None, relative: bool) -> None:
    """Raises BadParameter for an option that the format lacks, PackageMissing when it needs an absent library."""
    from pipelines.timelines.forms import TIMELINES, check_form

    check_form(form)
    if (shape or relative) and form not in TIMELINES:
        option = "--shape" if shape else "--relative"
        raise typer.BadParameter(f"{form} is no timeline; give --format {' or '.join(TIMELINES)}", param_hint=option)

"""`spikemba ground`."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli.console import print_json, print_table, progress


def ground(
    video: Annotated[Path, typer.Argument(help="Video file to search.")],
    text: Annotated[str, typer.Argument(help="One sentence: what to look for.")],
    checkpoint: Annotated[
        str | None, typer.Option(help="Run folder, checkpoint folder, or name of a bundled model.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many moments to print, at most.")] = 5,
    cache: Annotated[bool, typer.Option(help="Keep the video's features, so that the next question is quick.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Find the moments of VIDEO that TEXT describes.

    Example: spikemba ground kitchen.mp4 "she cracks two eggs" --checkpoint runs/qvhighlights
    """
    from pipelines.ground import Grounder  # torch loads here, not for --help

    with progress("reading the video", "clips") as report:
        (found,) = Grounder(checkpoint).ground(video, [text], top=top, cache=cache, report=report)
    if as_json:
        print_json(found.to_json())
        return
    rows = [[f"{m.start_s:.2f}", f"{m.end_s:.2f}", f"{m.score:.3f}"] for m in found.answer.moments]
    print_table(f"{video.name}: {found.query}", ["start_s", "end_s", "score"], rows)

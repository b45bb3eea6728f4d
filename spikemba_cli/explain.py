"""`spikemba explain`."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli import completion
from spikemba_cli.console import JsonOption, err, print_json, progress


def explain(
    video: Annotated[Path, typer.Argument(help="Video file.")],
    checkpoint: Annotated[
        Path,
        typer.Option(
            help="Video checkpoint, run folder, or public file of VideoMamba's weights.",
            autocompletion=completion.runs,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Picture (.png, .svg, .pdf, .jpg) or video (.mp4).")] = Path("explain.png"),
    blocks: Annotated[
        str | None, typer.Option(help="Blocks, as 5,11,23, counted from 0; by default three depths.")
    ] = None,
    start: Annotated[float | None, typer.Option(min=0, help="Seconds at which the part begins.")] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Seconds at which it ends.")] = None,
    clip_length: Annotated[float, typer.Option(min=0.05, help="For a video: seconds seen at once.")] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Show where a video encoder looks: how much each patch writes into the state.

    Example: spikemba explain clip.mp4 --checkpoint runs/motions --out clip.png
    """
    chosen = _numbers(blocks)
    from pipelines.recognition.explain import explain as run

    with progress("looking", "clips") as report:
        found = run(video, checkpoint, out, blocks=chosen, start_s=start, end_s=end, clip_s=clip_length, report=report)
    if as_json:
        classes = [{"label": label, "probability": share} for label, share in found.classes]
        print_json({"out": str(found.out), "blocks": found.blocks, "frames": found.n_frames, "classes": classes})
        return
    for label, share in found.classes:
        err.print(f"{share:6.1%}  {label}")
    err.print(f"{found.n_frames} frames, blocks {', '.join(map(str, found.blocks))} -> {found.out}")


def _numbers(text: str | None) -> list[int]:
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdigit() for part in parts):
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers such as 5,11,23", param_hint="--blocks")
    return [int(part) for part in parts]

"""`spikemba recognize`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba_cli import completion
from spikemba_cli.console import print_error, print_json, print_line, print_table, progress
from spikemba_cli.encoder_options import DeviceOption

if TYPE_CHECKING:
    from pipelines.recognition.recognize import Recognized


def recognize(
    videos: Annotated[list[Path], typer.Argument(help="Video files, or folders that are searched for them.")],
    checkpoint: Annotated[
        Path,
        typer.Option(help="Run folder of `spikemba train`, or a checkpoint folder.", autocompletion=completion.runs),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many classes to print, at most.")] = 5,
    window: Annotated[
        float, typer.Option(min=0, help="Longer videos are also looked at in windows of so many seconds; 0: never.")
    ] = 10.0,
    segments: Annotated[int, typer.Option(min=1, help="Clips per stretch, whose probabilities are averaged.")] = 1,
    crops: Annotated[int, typer.Option(min=1, help="Squares per clip, along the longer side of the picture.")] = 1,
    device: DeviceOption = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document; for several videos a list of them.")
    ] = False,
) -> None:
    """Name the classes that VIDEOS show, with their probabilities; of long ones also over time.

    Example: spikemba recognize clip.mp4 --checkpoint runs/motions
    """
    from pipelines.recognition.recognize import Recognizer
    from spikemba.errors import SpikeMbaError, problem_with
    from spikemba.progress import reported
    from spikemba.video.names import named_videos, shown_name

    files = {path: shown_name(path, video_id) for video_id, path in named_videos(videos).items()}
    several = len(files) > 1 or videos[0].is_dir()
    recognizer = Recognizer(checkpoint, device=device, segments=segments, crops=crops)
    found: list[Recognized] = []
    failed = False
    with progress("looking", "videos", "stretches") as report:
        for file in reported(files, len(files), report):
            try:
                found.append(recognizer.recognize(file, top=top, window_s=window or None, report=report.of_unit))
            except Exception as error:
                if not several and not isinstance(error, SpikeMbaError):
                    raise
                print_error(problem_with(file, error))
                failed = True
    if as_json and (found or several):
        print_json([one.to_dict() for one in found] if several else found[0].to_dict())
    elif found:
        _print(found, files, several)
    if failed:
        raise typer.Exit(1)


def _print(found: list["Recognized"], names: dict[Path, str], several: bool) -> None:
    """The whole of each video and its windows, one line per class."""
    rows = [
        [names[one.video], f"{start_s:.2f}", f"{end_s:.2f}", row["label"], f"{row['probability']:.3f}"]
        for one in found
        for start_s, end_s, top in [
            (0.0, one.duration_s, one.top),
            *((part.start_s, part.end_s, part.top) for part in one.over_time),
        ]
        for row in top
    ]
    columns = ["video", "start_s", "end_s", "label", "probability"]
    if not several:
        print_line(names[found[0].video])
        rows, columns = [row[1:] for row in rows], columns[1:]
    print_table("", columns, rows)

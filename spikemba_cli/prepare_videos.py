"""`spikemba prepare` for recognition: videos with a class each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikemba.errors import command_line
from spikemba_cli.console import JsonOption, err, print_json, print_warning, progress

if TYPE_CHECKING:
    from pipelines.preparation.prepare_videos import PreparedVideos


def motions(
    out: Annotated[Path, typer.Option(help="Folder for videos and lists.")] = Path("data/motions"),
    which: Annotated[
        Literal["moves", "orders"], typer.Option("--set", help="Twelve single moves, or eight orders of two.")
    ] = "moves",
    look: Annotated[Literal["dark", "light"], typer.Option(help="Of the stage.")] = "dark",
    train: Annotated[int, typer.Option(min=1, help="Training videos per class.")] = 200,
    val: Annotated[int, typer.Option(min=1, help="Validation videos per class.")] = 10,
    test: Annotated[int, typer.Option(min=1, help="Test videos per class.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another corpus.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Draw the synthetic corpus for recognition: real video files whose classes differ in their motion only.

    Example: spikemba prepare motions --train 50
    """
    from pipelines.preparation.motions_corpus import MotionsConfig
    from pipelines.preparation.prepare_videos import prepare_motions

    with progress("drawing", "videos") as report:
        sizes = {"which": which, "look": look, "train": train, "val": val, "test": test, "seed": seed}
        config = MotionsConfig.parse(sizes, "prepare motions")
        prepared = prepare_motions(out, config, report)
    usual: list[str | Path] = [] if out == Path("data/motions") else ["--data", out]
    _print(prepared, command_line("spikemba", "train", "--dataset", "motions", *usual), as_json)


def videos(
    source: Annotated[Path, typer.Option(help="Folder with a folder of videos per class, or a list of videos.")],
    out: Annotated[Path, typer.Option(help="Folder for the lists.")],
    root: Annotated[
        Path | None, typer.Option("--videos", help="Where the paths of a list begin; by default beside it.")
    ] = None,
    val_share: Annotated[float, typer.Option(min=0, max=0.9, help="Share of each class to validate on.")] = 0.1,
    test_share: Annotated[float, typer.Option(min=0, max=0.9, help="Share of each class to test on.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Decides which videos.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Split your own labelled videos for recognition.

    Example: spikemba prepare videos --source footage/ --out data/mine
    """
    from pipelines.preparation.prepare_videos import prepare_folders

    prepared = prepare_folders(source, out, videos=root, val_share=val_share, test_share=test_share, seed=seed)
    _print(prepared, command_line("spikemba", "train", "--config", prepared.config), as_json)


def add_video_sets(app: typer.Typer) -> None:
    """Add `prepare NAME` for each published set."""
    app.command()(motions)
    app.command()(videos)
    for name, title in {
        "hmdb51": "HMDB51",
        "ucf101": "UCF101",
        "ssv2": "Something-Something V2",
        "kinetics400": "Kinetics-400",
        "breakfast": "Breakfast",
    }.items():
        _video_set(app, name, title)


def _video_set(app: typer.Typer, name: str, title: str) -> None:
    def command(
        source: Annotated[Path, typer.Option(help="Folder of the published lists.")],
        root: Annotated[
            Path | None, typer.Option("--videos", help="Folder of the videos; by default the same.")
        ] = None,
        out: Annotated[Path | None, typer.Option(help="Folder to write to; by default data/<name>.")] = None,
        split: Annotated[int, typer.Option(min=1, help="Which of the published splits.")] = 1,
        drop_faulty: Annotated[
            bool, typer.Option("--drop-faulty", help="Leave out rows with faults and missing videos, and say which.")
        ] = False,
        as_json: JsonOption = False,
    ) -> None:
        from pipelines.preparation.prepare_videos import prepare_video_set

        folder = out or Path("data") / name
        prepared = prepare_video_set(name, source, folder, videos=root, split=split, drop_faulty=drop_faulty)
        usual: list[str | Path] = [] if out is None else ["--data", folder]
        _print(prepared, command_line("spikemba", "train", "--dataset", f"videomamba_{name}", *usual), as_json)

    command.__doc__ = f"""Check the lists of {title} against its videos and write what training reads.

    Example: spikemba prepare {name} --source DIR --videos DIR/videos
    """
    app.command(name)(command)


def _print(prepared: "PreparedVideos", command: str, as_json: bool) -> None:
    for row in prepared.left_out:
        print_warning(f"left out: {row}")
    for note in prepared.notes:
        print_warning(note)
    if as_json:
        counts = {"out": str(prepared.out), "videos": prepared.n_videos, "classes": prepared.n_classes}
        print_json({**counts, "config": str(prepared.config), "left_out": prepared.left_out, "notes": prepared.notes})
        return
    counts_text = ", ".join(f"{split} {n}" for split, n in prepared.n_videos.items())
    err.print(f"{prepared.title}: {prepared.n_classes} classes, videos {counts_text} -> {prepared.out}")
    err.print(f"next: {command}")

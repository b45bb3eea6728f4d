"""`spikemba library`: looking after a library of videos."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba.reading.printable import counted
from spikemba_cli.console import JsonOption, err, print_error, print_json, print_table, print_warning, progress
from spikemba_cli.index import LibraryOption

app = typer.Typer(no_args_is_help=True, help="Look after a library of videos: info, check, compact, drop.")

FOLDER = Path("library")


@app.command()
def info(library: LibraryOption = FOLDER, as_json: JsonOption = False) -> None:
    """Say what is in a library: encoders, videos, clips, and what could not be read.

    Example: spikemba library info
    """
    from pipelines.library.upkeep import library_info

    found = library_info(library)
    if as_json:
        print_json(found.to_dict())
        return
    columns = ["encoder", "videos", "clips", "holes", "clip length", "width", "weights", "GB"]
    rows = []
    for one in found.encoders:
        manifest = one.encoder.manifest
        counts = [str(count) for count in (one.n_videos, one.n_clips, one.n_holes)]
        made = [f"{one.encoder.clip_s:g} s", str(manifest.dim), (manifest.weights or "unknown")[:12]]
        rows.append([one.encoder.name, *counts, *made, f"{one.n_bytes / 1e9:.3f}"])
    print_table("", columns, rows)
    copies = sum(len(group) - 1 for group in found.copies)
    more = f", {counted(copies, 'copy', 'copies')} among them" if copies else ""
    waiting = f"; {found.n_incoming} files wait in incoming/ for the next `spikemba index`" if found.n_incoming else ""
    err.print(f"{counted(found.n_videos, 'video', 'videos')}{more}{waiting}")
    for problem in found.broken.values():
        print_warning(problem)


@app.command()
def check(library: LibraryOption = FOLDER, as_json: JsonOption = False) -> None:
    """Read every row of a library and say what is damaged.

    Example: spikemba library check
    """
    from pipelines.library.upkeep import check_library

    with progress("checking", "rows") as report:
        faults = check_library(library, report)
    if as_json:
        print_json({"library": str(library), "faults": faults})
    for fault in faults:
        print_error(fault)
    if faults:
        raise typer.Exit(1)
    if not as_json:
        err.print(f"{library} is whole")


@app.command()
def compact(library: LibraryOption = FOLDER, as_json: JsonOption = False) -> None:
    """Give back the room of videos that were dropped or changed. Needs room for a copy while it works.

    Example: spikemba library compact
    """
    from pipelines.library.upkeep import compact_library

    with progress("copying", "rows") as report:
        rows, freed = compact_library(library, report)
    if as_json:
        print_json({"library": str(library), "rows": rows, "bytes": freed})
    else:
        err.print(f"{counted(rows, 'row', 'rows')} given back, {freed / 1e6:,.1f} MB")


@app.command()
def drop(
    library: LibraryOption = FOLDER,
    encoder: Annotated[str | None, typer.Option(help="Take out all rows of an encoder.")] = None,
    below: Annotated[Path | None, typer.Option(help="Take out a video, or all below a folder, there or not.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Take an encoder's rows, or videos, out of a library; no video file is touched.

    Example: spikemba library drop --below /archive/old
    """
    if (encoder is None) == (below is None):
        raise typer.BadParameter("give one of --encoder NAME and --below FOLDER", param_hint="drop")
    from pipelines.library.upkeep import drop_below, drop_encoder

    dropped = []
    if encoder is not None:
        drop_encoder(library, encoder)
    else:
        assert below is not None
        dropped = drop_below(library, below)
    if as_json:
        print_json({"library": str(library), "encoder": encoder, "videos": list(map(str, dropped))})
    else:
        err.print(f"dropped {encoder or counted(len(dropped), 'video', 'videos')}")

"""`spikemba library`: looking after a library of videos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikemba.errors import command_line
from spikemba.reading.printable import counted
from spikemba_cli.console import JsonOption, err, print_error, print_json, print_table, print_warning, progress
from spikemba_cli.index import FormOption, LibraryOption

if TYPE_CHECKING:
    from spikemba.library.lance.check import Recall

app = typer.Typer(no_args_is_help=True, help="Look after a library of videos: info, check, compact, drop, copy, tune.")

FOLDER = "library"


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
        rows.append([one.encoder.name, *counts, *made, f"{one.n_bytes / 1e9:.3f}", *([one.index] if one.index else [])])
    columns += ["index"] if any(one.index for one in found.encoders) else []
    print_table("", columns, rows)
    copies = sum(len(group) - 1 for group in found.copies)
    more = f", {counted(copies, 'copy', 'copies')} among them" if copies else ""
    waiting = f"; {found.n_incoming} files wait in incoming/ for the next `spikemba index`" if found.n_incoming else ""
    err.print(f"{counted(found.n_videos, 'video', 'videos')}{more}{waiting}")
    for problem in found.broken.values():
        print_warning(problem)


@app.command()
def check(library: LibraryOption = FOLDER, as_json: JsonOption = False) -> None:
    """Read every row of a library and say what is damaged, and how much its indices find where it has some.

    Example: spikemba library check
    """
    from pipelines.library.upkeep import check_and_measure

    with progress("checking", "rows") as report:
        faults, recalls = check_and_measure(library, report)
    if as_json:
        measured = {one.encoder: {"recall": round(one.found, 4), "questions": one.n_questions} for one in recalls}
        print_json({"library": str(library), "faults": faults} | ({"index": measured} if recalls else {}))
    for fault in faults:
        print_error(fault)
    for one in recalls:
        _print_recall(library, one)
    if faults:
        raise typer.Exit(1)
    if not as_json:
        err.print(f"{library} is whole")


def _print_recall(library: str, one: "Recall") -> None:
    """What an index finds, and what to do where that is too little."""
    how = f"nprobes {one.settings.nprobes}, ef {one.settings.ef}"
    share = f"{one.found:.1%} of the 20 nearest clips by the exact scan, over {one.n_questions} sampled rows ({how})"
    if one.is_enough:
        err.print(f"the index of {one.encoder} finds {share}")
        return
    tune = "spikemba", "library", "tune", "--encoder", one.encoder
    compact = "spikemba", "library", "compact"
    cure = f"run `{command_line(*compact, '--rebuild', '--library', library)}`"
    if one.better is not None:
        more = "--nprobes", str(one.better.nprobes), "--ef", str(one.better.ef)
        cure = f"run `{command_line(*tune, *more, '--library', library)}`, which finds enough"
    elif "FLAT" not in one.settings.kind:
        flat = command_line(*tune, "--index", "IVF_HNSW_FLAT", "--library", library)
        cure = f"run `{flat}` and `{command_line(*compact, '--library', library)}`"
    print_warning(f"the index of {one.encoder} finds {share}; {cure}")


@app.command()
def compact(
    library: LibraryOption = FOLDER,
    rebuild: Annotated[bool, typer.Option(help="Make the indices of a library of LanceDB anew.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Give back the room of videos that were dropped or changed. Needs room for a copy while it works.

    Of a library of LanceDB the indices are made, or brought up to date, too.

    Example: spikemba library compact
    """
    from pipelines.library.upkeep import compact_library

    with progress("compacting", "parts") as report:
        rows, freed = compact_library(library, report, rebuild=rebuild)
    if as_json:
        print_json({"library": str(library), "rows": rows, "bytes": freed})
    else:
        err.print(f"{counted(rows, 'row', 'rows')} given back, {freed / 1e6:,.1f} MB")


@app.command()
def drop(
    library: LibraryOption = FOLDER,
    encoder: Annotated[str | None, typer.Option(help="Take out all rows of an encoder.")] = None,
    below: Annotated[Path | None, typer.Option(help="Take out a video, or all below a folder, there or not.")] = None,
    damaged: Annotated[bool, typer.Option("--damaged", help="Take out videos whose rows are damaged.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take an encoder's rows, or videos, out of a library; no video file is touched.

    Example: spikemba library drop --below /archive/old
    """
    if (encoder is not None) + (below is not None) + damaged != 1:
        raise typer.BadParameter("give one of --encoder NAME, --below FOLDER and --damaged", param_hint="drop")
    from pipelines.library.upkeep import drop_below, drop_damaged, drop_encoder

    dropped: list[Path] = []
    left: list[str] = []
    if encoder is not None:
        drop_encoder(library, encoder)
    elif damaged:
        with progress("checking", "rows") as report:
            dropped, left = drop_damaged(library, report)
    elif below is not None:
        dropped = drop_below(library, below)
    if as_json:
        print_json({"library": str(library), "encoder": encoder, "videos": list(map(str, dropped))})
    else:
        err.print(f"dropped {encoder or counted(len(dropped), 'video', 'videos')}")
    for fault in left:
        print_error(fault)
    if left:
        raise typer.Exit(1)


@app.command()
def copy(
    library: Annotated[str, typer.Argument(metavar="LIBRARY", help="Folder or address of the library to copy.")],
    to: Annotated[str, typer.Option(metavar="PLACE", help="Folder or address, such as s3://BUCKET/PLACE.")],
    form: FormOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a library into another, of either form: what is missing there or was another. Again, it goes on.

    Example: spikemba library copy library --to s3://archive/library
    """
    from pipelines.library.copying import copy_library

    with progress("copying", "videos") as report:
        done = copy_library(library, to, form=form, report=report)
    if as_json:
        lists = {"copied": list(map(str, done.copied)), "kept": list(map(str, done.kept))}
        lists["broken"] = list(map(str, done.broken))
        print_json({"library": library, "to": to} | lists)
    else:
        broken = f", {len(done.broken)} that could not be read" if done.broken else ""
        err.print(
            f"{counted(len(done.copied), 'video', 'videos')} copied, {len(done.kept)} as they were{broken} -> {to}"
        )


@app.command()
def tune(
    encoder: Annotated[str, typer.Option(help="Whose index.")],
    library: LibraryOption = FOLDER,
    nprobes: Annotated[int | None, typer.Option(min=1, max=4096, help="Partitions that are looked into.")] = None,
    ef: Annotated[int | None, typer.Option(min=20, max=10_000, help="Rows looked at in each, at least.")] = None,
    index: Annotated[str | None, typer.Option(help="Type that `compact` makes: IVF_HNSW_FLAT, IVF_FLAT …")] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep in a library of LanceDB how an encoder's index is asked and made; `check` measures what it finds.

    Example: spikemba library tune --encoder clip --nprobes 32 --ef 200 --library s3://archive/library
    """
    from pipelines.library.upkeep import tune_library

    now = tune_library(library, encoder, nprobes=nprobes, ef=ef, kind=index)
    if as_json:
        print_json({"library": library, "encoder": encoder, **vars(now)})
    else:
        err.print(f"{encoder}: {now.kind}, nprobes {now.nprobes}, ef {now.ef}")

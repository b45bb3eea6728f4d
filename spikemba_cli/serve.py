"""`spikemba serve`."""

import os
import secrets
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import spikemba
from spikemba.reading.printable import counted
from spikemba_cli.console import JsonOption, print_json, print_line, print_note
from spikemba_cli.encoder_options import (
    AskingPrecisionOption,
    DeviceOption,
    WeightsOption,
    asking_options,
    parse_weights,
)
from spikemba_cli.example import EXAMPLE, example_or

if TYPE_CHECKING:
    from spikemba.grounder.grounder import Grounder

CheckpointsOption = Annotated[
    list[str] | None,
    typer.Option("--checkpoint", help="Run folder, checkpoint folder, bundled name, or OWNER/NAME; may be repeated."),
]
AnnotationsOption = Annotated[
    list[Path] | None,
    typer.Option("--annotations", help="True windows to show, as QVHighlights jsonl; may be repeated."),
]


def serve(
    videos: Annotated[list[Path] | None, typer.Argument(help="Video files and folders; without, the example.")] = None,
    checkpoint: CheckpointsOption = None,
    encoder: Annotated[str | None, typer.Option(help="Ask this encoder, too, without any checkpoint: clip ...")] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; other than this machine's own it needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8765,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    corrections: Annotated[Path, typer.Option(help="Folder for what people correct.")] = Path("corrections"),
    annotations: AnnotationsOption = None,
    uploads: Annotated[Path | None, typer.Option(help="Folder for new videos; without it none are taken.")] = None,
    upload_limit: Annotated[str, typer.Option(help="Size of a new video, at most: 500MB, 4GB.")] = "4GB",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Questions that are answered at once.")] = 1,
    known_as: Annotated[
        list[str] | None,
        typer.Option("--known-as", help="NAME or NAME:PORT that the server is also asked under, as behind a proxy."),
    ] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: AskingPrecisionOption = "fp32",
    as_json: JsonOption = False,
) -> None:
    """Look at videos in a browser, ask, and correct.

    The page is for this machine alone, as long as --host names no other address.

    Example: spikemba serve footage/ --checkpoint runs/qvhighlights
    """
    limit = bytes_of(upload_limit)
    paths = [example_or(path) for path in videos] if videos else [example_or(EXAMPLE)]
    needed()
    from pipelines.serving.access import Access, guarded
    from pipelines.serving.admission import needs_token
    from pipelines.serving.server import address_of, leave, listening  # torch and starlette load here, not for --help
    from pipelines.serving.server import serve as run
    from pipelines.serving.service import Service, ServiceOptions
    from pipelines.serving.warming import warm
    from pipelines.serving.web import web_app

    token = secrets.token_urlsafe(24) if needs_token(host, tuple(known_as or ())) else None
    access, bound = Access.on(host, tuple(known_as or ()), token), listening(host, port)
    how = asking_options(precision, device) | {"weights": parse_weights(weights)}
    models = load_models(checkpoint or [], encoder, bundled=not videos, **how)
    share_cores(workers)
    options = ServiceOptions(workers, corrections, uploads, limit, tuple(annotations or ()), token is None)
    service = Service(paths, models, options)
    if service.uploads is not None and (left := len(service.uploads.cleared)):
        print_note(f"removed {counted(left, 'new video', 'new videos')} that an earlier run had received in part")
    warm(models.values())
    address = address_of(host, bound) + (f"?token={token}" if token else "")

    def started() -> None:
        if as_json:
            print_json({"address": address, "token": token})
            sys.stdout.flush()
        print_line(f"{counted(service.state().n_videos, 'video', 'videos')} at {address} (Ctrl-C ends it)")
        if browser:
            webbrowser.open(address)

    run(guarded(web_app(service), access), service, bound, started)
    leave()


def needed() -> None:
    """Raises LibraryBroken or PackageMissing where the extra is not installed."""
    from spikemba.errors import PackageMissing
    from spikemba.libraries import is_installed, library

    for name in ("starlette", "uvicorn"):
        if not is_installed(name):
            raise PackageMissing(name, "the page in a browser", "serve")
    with library("starlette"):
        import starlette.applications  # noqa: F401
    with library("uvicorn"):
        import uvicorn  # noqa: F401


def share_cores(workers: int) -> None:
    """Let threads that compute side by side not ask for more cores than there are."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // workers))


def load_models(checkpoints: Sequence[str], encoder: str | None, *, bundled: bool, **how: Any) -> "dict[str, Grounder]":
    """Name -> what answers under it, in the order given. bundled: where none is named, take the model of the package.

    Raises CheckpointError and others when one cannot be used here, SpikeMbaError for a name that is there twice.
    """
    from spikemba.errors import SpikeMbaError
    from spikemba.user_folders import load_settings

    if twice := sorted({name for name in checkpoints if checkpoints.count(name) > 1}):
        raise SpikeMbaError(f"--checkpoint {twice[0]} is given twice; name each once")
    if not checkpoints and not encoder and bundled and not load_settings().checkpoint:
        checkpoints = ["mini"]
    found = [spikemba.load(name, **how) for name in checkpoints]
    if encoder or not found:
        found.append(spikemba.load(None, encoder=encoder, **how))
        if not found[-1].trained:
            print_note(f"{found[-1].name}: untrained, it cannot know whether a video shows what is asked at all")
    return {one.name: one for one in found}


def bytes_of(size: str) -> int:
    """`500MB` as a number. Raises BadParameter."""
    number, units = size.strip().upper(), {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "B": 1}
    unit = next((one for one in units if number.endswith(one)), "")
    digits = number.removesuffix(unit).strip()
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) * units.get(unit, 1) <= 2**53):
        raise typer.BadParameter(f"{size!r} is no size; expected a whole number of B, KB, MB, GB or TB: 4GB")
    return int(digits) * units.get(unit, 1)

"""`spikemba serve`."""

import os
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
from spikemba_cli.serve_models import CheckpointsOption, ServedLibraryOption, check_served, load_models

if TYPE_CHECKING:
    from socket import socket

    from pipelines.serving.service import Service

AnnotationsOption = Annotated[
    list[Path] | None,
    typer.Option("--annotations", help="True windows to show, as QVHighlights jsonl; may be repeated."),
]
HostOption = Annotated[str, typer.Option(help="Address to listen at; other than this machine's own it needs a token.")]
KnownAsOption = Annotated[
    list[str] | None,
    typer.Option("--known-as", help="NAME or NAME:PORT that the server is also asked under, as behind a proxy."),
]


def serve(
    videos: Annotated[list[Path] | None, typer.Argument(help="Video files and folders; without, the example.")] = None,
    library: ServedLibraryOption = None,
    checkpoint: CheckpointsOption = None,
    encoder: Annotated[str | None, typer.Option(help="Ask this encoder, too, without any checkpoint: clip ...")] = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8765,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    corrections: Annotated[Path, typer.Option(help="Folder for what people correct.")] = Path("corrections"),
    annotations: AnnotationsOption = None,
    uploads: Annotated[Path | None, typer.Option(help="Folder for new videos; without it none are taken.")] = None,
    upload_limit: Annotated[str, typer.Option(help="Size of a new video, at most: 500MB, 4GB.")] = "4GB",
    workers: Annotated[int, typer.Option(min=1, max=64, help="Questions that are answered at once.")] = 1,
    known_as: KnownAsOption = None,
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
    paths = [example_or(path) for path in videos or ([] if library else [EXAMPLE])]
    needed()
    check_served(paths, library, [*(checkpoint or []), encoder])  # before anything slow
    from pipelines.serving.door.admission import needs_token  # torch and starlette load here, not for --help
    from pipelines.serving.service import Service, ServiceOptions
    from pipelines.serving.web.server import listening

    names = tuple(known_as or ())
    token, bound = secrets.token_urlsafe(24) if needs_token(host, names) else None, listening(host, port)
    how = asking_options(precision, device) | {"weights": parse_weights(weights)}
    print_note("loading " + (", ".join(filter(None, [*(checkpoint or []), encoder])) or "the model"))
    models = load_models(checkpoint or [], encoder, bundled=not (videos or library), **how)
    share_cores(workers)
    options = ServiceOptions(workers, corrections, uploads, limit, tuple(annotations or ()), token is None, library)
    service = Service(paths, models, options)
    _run(service, host, names, token, bound, as_json=as_json, browser=browser)


def _run(
    service: "Service",
    host: str,
    names: tuple[str, ...],
    token: str | None,
    bound: "socket",
    *,
    as_json: bool,
    browser: bool,
) -> None:
    """Answer until somebody ends it; says where, once it does."""
    from pipelines.serving.asking.warming import warm
    from pipelines.serving.door.access import Access, guarded
    from pipelines.serving.web.app import web_app
    from pipelines.serving.web.server import address_of, leave, serve

    access = Access.on(host, names, token)
    if service.uploads is not None and (left := len(service.uploads.cleared)):
        print_note(f"removed {counted(left, 'new video', 'new videos')} that an earlier run had received in part")
    warm(service.models.values())
    address = address_of(host, bound) + (f"?token={token}" if token else "")

    def started() -> None:
        if as_json:
            print_json({"address": address, "token": token})
            sys.stdout.flush()
        state = service.state()
        searched = "" if state.library is None else f", {state.library.n_videos:,} in the library,"
        print_line(f"{counted(state.n_videos, 'video', 'videos')}{searched} at {address} (Ctrl-C ends it)")
        if browser:
            webbrowser.open(address)

    serve(guarded(web_app(service), access), service, bound, started)
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


def bytes_of(size: str) -> int:
    """`500MB` as a number. Raises BadParameter."""
    number, units = size.strip().upper(), {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "B": 1}
    unit = next((one for one in units if number.endswith(one)), "")
    digits = number.removesuffix(unit).strip()
    if not (digits.isascii() and digits.isdigit() and 0 < int(digits) * units.get(unit, 1) <= 2**53):
        raise typer.BadParameter(f"{size!r} is no size; expected a whole number of B, KB, MB, GB or TB: 4GB")
    return int(digits) * units.get(unit, 1)

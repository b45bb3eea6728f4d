"""`spikemba mcp`."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli.console import print_note
from spikemba_cli.encoder_options import (
    AskingPrecisionOption,
    DeviceOption,
    WeightsOption,
    asking_options,
    parse_weights,
)
from spikemba_cli.example import EXAMPLE, example_or
from spikemba_cli.serve_models import CheckpointsOption, ServedLibraryOption, check_served, load_models


def mcp(
    videos: Annotated[list[Path] | None, typer.Argument(help="Video files and folders; without, the example.")] = None,
    library: ServedLibraryOption = None,
    checkpoint: CheckpointsOption = None,
    encoder: Annotated[str | None, typer.Option(help="Ask this encoder, too, without any checkpoint: clip ...")] = None,
    cuts: Annotated[Path | None, typer.Option(help="Folder for parts cut out; without it no file is written.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Questions that are answered at once.")] = 1,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: AskingPrecisionOption = "fp32",
) -> None:
    """Let language models ask about videos, over the Model Context Protocol on stdin and stdout.

    A client starts it: its settings name this command with its arguments. Only these videos can be asked about.

    Example: spikemba mcp footage/ --checkpoint runs/qvhighlights --cuts cuts/
    """
    paths = [example_or(path) for path in videos or ([] if library else [EXAMPLE])]
    needed()
    check_served(paths, library, [*(checkpoint or []), encoder])  # before anything slow
    with _stdout_kept():
        from pipelines.serving.mcp_server import mcp_server, serve  # torch loads here, not for --help
        from pipelines.serving.service import Service, ServiceOptions
        from pipelines.serving.web.server import leave

        how = asking_options(precision, device) | {"weights": parse_weights(weights)}
        models = load_models(checkpoint or [], encoder, bundled=not (videos or library), **how)
        service = Service(paths, models, ServiceOptions(workers, library=library))
        server = mcp_server(service, cuts)
        print_note(f"{service.state().n_videos} videos for the client at stdin")
    ended = False
    try:
        serve(server)
    finally:
        ended = service.close()
    if not ended:  # a thread is inside a library, and the client is gone
        leave()


def needed() -> None:
    """Raises LibraryBroken or PackageMissing where the extra is not installed."""
    from spikemba.errors import PackageMissing
    from spikemba.libraries import is_installed, library

    if not is_installed("mcp"):
        raise PackageMissing("mcp", "answering language models", "mcp")
    with library("mcp"):
        import mcp.server.mcpserver  # noqa: F401


@contextmanager
def _stdout_kept() -> Iterator[None]:
    """Send to stderr what anybody prints meanwhile: of stdout the client reads every line."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)

"""`spikemba`: the command line. Nothing here imports torch, so that --help answers at once."""

import re
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from spikemba import __version__
from spikemba.errors import SpikeMbaError, closest
from spikemba_cli import (
    ablate,
    adapt,
    calibrate,
    compare,
    config,
    demo,
    doctor,
    evaluate,
    explain,
    extract,
    features,
    ground,
    index,
    library,
    mcp,
    prepare,
    recognize,
    runs,
    search,
    serve,
    share,
    train,
)
from spikemba_cli.console import out, print_error, show_warnings

ORDER = (
    *("demo", "extract", "prepare", "train", "adapt", "ablate", "runs", "evaluate", "calibrate", "compare", "ground"),
    *("index", "search", "library", "serve", "mcp", "recognize", "explain", "share", "features", "config", "doctor"),
)
"""Commands in the order in which they are used, as --help lists them."""


class _Commands(TyperGroup):
    """Commands whose mendable errors become one line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SpikeMbaError as error:
            print_error(str(error))
            raise typer.Exit(1) from None
        except typer.BadParameter as error:
            error.message = _with_hint(error.message)
            raise
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "DefaultCPUAllocator" not in str(error):
                raise
            wanted = re.search(r"allocate (\d+) bytes", str(error))
            size = f", which asked for {int(wanted[1]) / 2**30:,.1f} GB" if wanted else ""
            print_error(
                f"not enough memory for this{size}; lower what was asked for, such as a batch size or model.width"
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt as stop:
            # training writes its state first, and says so
            print_error(str(stop) or "interrupted; what was finished is kept, the same command goes on from there")
            raise typer.Exit(getattr(stop, "exit_code", 130)) from None

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return sorted(self.commands, key=ORDER.index)


def _with_hint(message: str) -> str:
    """What Typer says of a value that is none of an option's, with the one that may have been meant."""
    message = message.removeprefix("Value error, ")
    if found := re.fullmatch(r"'(.*?)' is not one of (.*)\.", message, re.DOTALL):
        close = closest(found[1], re.findall(r"'(.*?)'", found[2]))
        message += f" Did you mean {close[0]!r}?" if close else ""
    return message


app = typer.Typer(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From a folder of videos to the moments that a sentence describes: extract, train, ground.",
)
app.command()(demo.demo)
app.command()(extract.extract)
app.add_typer(prepare.app, name="prepare")
app.command()(train.train)
app.command()(adapt.adapt)
app.command()(ablate.ablate)
app.command()(calibrate.calibrate)
app.command()(runs.runs)
app.command()(evaluate.evaluate)
app.command()(compare.compare)
app.command()(ground.ground)
app.command()(index.index)
app.command()(search.search)
app.add_typer(library.app, name="library")
app.command()(serve.serve)
app.command()(mcp.mcp)
app.command()(recognize.recognize)
app.command()(explain.explain)
app.command()(share.share)
app.add_typer(features.app, name="features")
app.add_typer(config.app, name="config")
app.command()(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    show_warnings()


def main() -> None:
    """Entry point of the `spikemba` command."""
    app()

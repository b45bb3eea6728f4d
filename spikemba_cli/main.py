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
    convert,
    demo,
    doctor,
    evaluate,
    examples,
    explain,
    export,
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
from spikemba_cli.first_screen import show_first_screen

STAGES: dict[str, dict[str, Any]] = {
    "First steps": {"examples": examples.examples, "demo": demo.demo},
    "Prepare": {"extract": extract.extract, "prepare": prepare.app, "features": features.app},
    "Train": {"train": train.train, "adapt": adapt.adapt, "ablate": ablate.ablate, "runs": runs.runs},
    "Measure": {
        "evaluate": evaluate.evaluate,
        "calibrate": calibrate.calibrate,
        "compare": compare.compare,
        "convert": convert.convert,
    },
    "Find moments": {
        "ground": ground.ground,
        "index": index.index,
        "search": search.search,
        "library": library.app,
        "serve": serve.serve,
        "mcp": mcp.mcp,
    },
    "Recognize": {"recognize": recognize.recognize, "explain": explain.explain},
    "Everything else": {"share": share.share, "export": export.export, "config": config.app, "doctor": doctor.doctor},
}
"""Commands and groups of them in the order in which they are used, as --help lists them, by stage."""


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
        return [name for commands in STAGES.values() for name in commands]


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
    pretty_exceptions_enable=False,
    help="From a folder of videos to the moments that a sentence describes: extract, train, ground.",
)
for _stage, _commands in STAGES.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_stage)
        else:
            app.command(_name, rich_help_panel=_stage)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    show_warnings()
    if ctx.invoked_subcommand is None:
        show_first_screen()


def main() -> None:
    """Entry point of the `spikemba` command."""
    app()

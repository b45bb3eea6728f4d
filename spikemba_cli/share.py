"""`spikemba share`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from spikemba.errors import command_line
from spikemba_cli import completion
from spikemba_cli.console import JsonOption, out, print_json, print_note


def share(
    run: Annotated[
        str,
        typer.Argument(
            help="Run folder, checkpoint folder, or name of a bundled model.", autocompletion=completion.checkpoints
        ),
    ],
    to: Annotated[str, typer.Option(help="A folder (./folder), or OWNER/NAME: a repository of the hub.")],
    split: Annotated[
        list[str] | None,
        typer.Option(
            help="Also score this split for the model card; may be repeated.", autocompletion=completion.splits
        ),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the weights, as the hub writes it: apache-2.0 ...")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody read a new repository; by default it is private.")
    ] = False,
    new_card: Annotated[
        bool, typer.Option("--new-card", help="Replace a README.md that is there; by default it is kept.")
    ] = False,
    message: Annotated[str | None, typer.Option(help="Message of the commit on the hub.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the best checkpoint of RUN, with a model card, where others can load it with one line.

    Example: spikemba share runs/qvhighlights --to somebody/spikemba-qvhighlights --split test
    """
    wrong = [name for name in split or [] if name not in ("train", "val", "test")]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is none of train, val, test", param_hint="--split")
    from pipelines import share as pipeline  # torch loads here, not for --help

    chosen = [name for name in pipeline.SPLITS if name in (split or [])]
    done = pipeline.share(run, to, splits=chosen, licence=licence, public=public, new_card=new_card, message=message)
    if done.kept_card:
        print_note("its README.md was there and is kept; --new-card replaces it")
    if as_json:
        print_json(asdict(done))
        return
    out.print(done.place)
    where = to if pipeline.is_repository(to) else Path(done.place)
    print_note(command_line("spikemba", "ground", "VIDEO", "what to look for", "--checkpoint", where))

"""`spikemba export`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikemba_cli import completion
from spikemba_cli.console import JsonOption, out, print_json, print_note


def export(
    run: Annotated[
        str,
        typer.Argument(
            help="Run folder, checkpoint folder, or name of a bundled model.", autocompletion=completion.checkpoints
        ),
    ],
    form: Annotated[
        Literal["onnx", "torch"], typer.Option("--format", help="onnx: for ONNX runtimes; torch: of torch.export.")
    ] = "onnx",
    folder: Annotated[
        Path | None, typer.Option("--out", help="A new folder; by default export-RUN, by the name of RUN.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the model of RUN as graphs that run without this program.

    Example: spikemba export runs/qvhighlights --out graphs
    """
    from spikemba.exporting.folder import export as write  # torch loads here, not for --help
    from spikemba.files import refuse_file_name

    if folder is not None:
        refuse_file_name("--out", folder)
    done = write(run, form, folder)
    if done.needs:
        print_note(
            f"the grounder alone: its clips are features of {'+'.join(done.needs)}, which `spikemba extract` writes; "
            "export.json says how they are joined"
        )
    if as_json:
        print_json({"folder": str(done.folder), "files": done.files, "needs": done.needs})
        return
    for name in done.files:
        out.print(str(done.folder / name))

"""`spikemba doctor`."""

from dataclasses import asdict
from typing import Annotated

import typer

from spikemba_cli.console import JsonOption, print_json, print_table

COLOURS = {"ok": "", "absent": "dim", "fault": "bold red"}


OnlyOption = Annotated[
    list[str] | None, typer.Option(metavar="WHAT", help="Try only this line of the report; can be given again.")
]


def doctor(only: OnlyOption = None, as_json: JsonOption = False) -> None:
    """Try what is installed, and say which weights are here and what runs where. Exits with 1 when something is broken.

    Every package, encoder, neuron and scan does one small step in a process of its own; nobody is asked for anything.
    """
    from pipelines.doctor.report import examine

    findings = examine(only or ())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [[f.topic, f.state, f.detail] for f in findings]
        print_table("", ["what", "state", "detail"], rows, [COLOURS[f.state] for f in findings])
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)

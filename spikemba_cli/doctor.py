"""`spikemba doctor`."""

from dataclasses import asdict
from typing import Annotated

import typer

from spikemba.reading.printable import counted
from spikemba_cli.console import JsonOption, print_json, print_note, print_table, progress

COLOURS = {"ok": "", "absent": "dim", "slow": "yellow", "fault": "bold red"}


OnlyOption = Annotated[
    list[str] | None, typer.Option(metavar="WHAT", help="Try only this line of the report; can be given again.")
]


def doctor(only: OnlyOption = None, as_json: JsonOption = False) -> None:
    """Try what is installed, and say which weights are here and what runs where. Exits with 1 when something is broken.

    Every package, encoder, neuron and scan does one small step in a process of its own; nobody is asked for anything.
    One that gives no answer is slow, which is no fault and exits with 0: a busy machine says nothing of a package.
    """
    from pipelines.doctor.report import examine

    with progress("trying", "parts") as report:
        findings = examine(only or (), report=report)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows = [[f.topic, f.state, f.detail] for f in findings]
        print_table("", ["what", "state", "detail"], rows, [COLOURS[f.state] for f in findings])
    if slow := sum(finding.state == "slow" for finding in findings):
        print_note(f"{counted(slow, 'line', 'lines')} without an answer: whether that works is not known")
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)

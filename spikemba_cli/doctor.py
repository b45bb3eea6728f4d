"""`spikemba doctor`."""

from dataclasses import asdict

import typer

from spikemba_cli.console import JsonOption, print_json, print_table


def doctor(as_json: JsonOption = False) -> None:
    """Say what is installed, which weights are here and what runs where. Exits with 1 when something is broken."""
    from pipelines.doctor import examine

    findings = examine()
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table("", ["what", "state", "detail"], [[f.topic, f.state, f.detail] for f in findings])
    if any(finding.state == "fault" for finding in findings):
        raise typer.Exit(1)

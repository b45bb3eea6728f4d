"""`spikemba demo`."""

from pathlib import Path
from typing import Annotated

import typer

from spikemba_cli.console import JsonOption, err, out, print_json, print_note, print_table, progress


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder for everything the demo makes.")] = Path("demo"),
    as_json: JsonOption = False,
) -> None:
    """Draw videos, extract, train, evaluate on unseen ones, ground a sentence; offline, in a few minutes.

    Example: spikemba demo --out demo
    """
    from pipelines.demo import demo as run
    from spikemba.files import refuse_file_name
    from spikemba.reading.amounts import shown_score
    from spikemba_cli.train import Printed

    refuse_file_name("--out", folder)
    with progress("demo", "videos") as report:

        def stage(name: str) -> None:
            print_note(name)
            report.begin(name, *(("epochs", "steps") if name == "train" else ("videos",)))

        result = run(folder, stage=stage, report=report, events=Printed(report))
    if as_json:
        print_json(
            {"metrics": result.metrics, "grounded": result.grounded.to_dict(), "report": str(result.report)}
            | {"verdict": result.verdict}
            | {"seconds": {name: round(seconds, 2) for name, seconds in result.seconds.items()}}
        )
        return
    print_table("held-out videos", ["metric", "%"], [[name, f"{v:.2f}"] for name, v in result.metrics.items()])
    err.print(result.verdict)
    rows = [[f"{m.start_s:.2f}", f"{m.end_s:.2f}", shown_score(m.score)] for m in result.grounded.moments[:5]]
    title = f"{result.grounded.video.name}: {result.grounded.query}"
    err.print(title)
    print_table("", ["start_s", "end_s", "score"], rows)
    out.print(f"report: {result.report}")

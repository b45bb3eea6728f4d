"""Train the variants of a configuration with several seeds, answer the same queries with each, keep the tables.

<variant>/               a study of run folders each, below seed<n>/ where several seeds were asked for
ablations.json, .md      the tables, rewritten after each variant
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.studies.ablation_scores import Measured, Outcome, measure, outcome, reported
from pipelines.studies.ablation_tables import TABLE, Ablation, write_tables
from pipelines.studies.ablations import Variant
from pipelines.studies.study import Trainer, run_study
from pipelines.tasks.train import train
from spikemba.errors import OutputError, SpikeMbaError


def ablate(
    wanted: Sequence[Variant],
    out: Path,
    seeds: Sequence[int] = (),
    *,
    resume: bool = False,
    run: Trainer = train,
    starting: Callable[[str, int, int], None] = lambda name, done, total: None,
    failed: Callable[[str, str], None] = lambda name, problem: None,
) -> Ablation:
    """Train every variant with every seed, the base first; the tables in `out` grow with each.

    resume: what is finished is kept, a broken-off run goes on.  run: what trains one of them.
    starting: told the name of each variant, and its place.
    failed: told of a variant that cannot be trained; the others go on.
    Raises OutputError when the folder holds a table that is not to be continued; before anything is trained, what
    `reported` raises.
    """
    if (out / TABLE).exists() and not resume:
        raise OutputError(out, "it holds ablations already; go on with --resume")
    about = reported(wanted[0].config.data)
    folders = list(dict.fromkeys(variant.folder for variant in wanted))
    base: Measured | None = None
    known: dict[str, Outcome] = {}
    outcomes: list[Outcome] = []
    for variant in wanted:
        if variant.folder not in known:
            starting(variant.name, folders.index(variant.folder), len(folders))
            config = variant.config.model_copy(update={"name": f"{variant.config.name}/{variant.folder}"})
            try:
                study = run_study(config, out / variant.folder, seeds, resume=resume, run=run)
                measured = measure(out / variant.folder, study, about.split if about else None)
                known[variant.folder] = outcome(variant, measured, base, about)
                base = measured if variant is wanted[0] else base
            except SpikeMbaError as error:
                known[variant.folder] = Outcome(variant, problem=str(error))
                failed(variant.name, str(error))
        outcomes.append(replace(known[variant.folder], variant=variant))
        write_tables(out, Ablation(outcomes, about))
    return Ablation(outcomes, about)

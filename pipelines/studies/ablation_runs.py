"""Train the variants of a configuration with several seeds, answer the same queries with each, keep the tables.

<variant>/               a study of run folders each, below seed<n>/ where several seeds were asked for
ablations.json, .md      the tables, rewritten after each variant; they only ever grow
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.runs.study_folder import read_study
from pipelines.studies.ablation_scores import Measured, Outcome, Reported, measure, outcome, reported
from pipelines.studies.ablation_tables import TABLE, Ablation, write_tables
from pipelines.studies.ablations import Variant
from pipelines.studies.study import Trainer, check_study, run_study
from pipelines.tasks.grounding.config import RunConfig
from pipelines.tasks.train import check_start, train
from spikemba.errors import CheckpointError, OutputError, SpikeMbaError
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

Told = Callable[[str], None]


def ablate(
    wanted: Sequence[Variant],
    out: Path,
    seeds: Sequence[int] = (),
    *,
    resume: bool = False,
    asked: Collection[str] | None = None,
    run: Trainer = train,
    starting: Callable[[str, int, int], None] = lambda name, done, total: None,
    failed: Callable[[str, str], None] = lambda name, problem: None,
    told: Told = lambda said: None,
) -> Ablation:
    """Train every variant with every seed, the base first; the tables in `out` grow with each.

    resume: what is finished is kept, of other seeds too, and a broken-off run goes on.
    asked: names of those that get the seeds; others go on with the seeds that they have. None: all.
    run: what trains one of them.  starting: told the name of each variant, and its place.
    failed: told of a variant that cannot be trained; the others go on.  told: of answers that are made anew.
    Raises OutputError when the folder holds a table that is not to be continued. Before anything is trained or written:
    what `reported` and `check_start` raise, and ConfigError when runs there were started with other settings.
    """
    if (out / TABLE).exists() and not resume:
        raise OutputError(out, "it holds ablations already", "go on with --resume, or choose another --out")
    about = reported(wanted[0].config.data)
    check_start(wanted[0].config)
    found = _Found(out, wanted, about, told)
    gets = {one.folder: seeds for one in wanted if asked is None or one.name in asked}
    todo = {one.folder: one for one in reversed(wanted) if one.folder in gets or (out / one.folder).is_dir()}
    todo = {one.folder: todo[one.folder] for one in wanted if one.folder in todo}
    if resume:
        for folder, variant in todo.items():
            check_study(_named(variant), out / folder, gets.get(folder, ()))
        for folder in todo:
            found.look(folder)
    for done, (folder, variant) in enumerate(todo.items()):
        if folder in gets:
            starting(variant.name, done, len(todo))
        elif folder not in found.measured:
            continue
        found.problems.pop(folder, None)
        try:
            run_study(_named(variant), out / folder, gets.get(folder, ()), resume=resume, run=run)
        except SpikeMbaError as error:
            found.problems[folder] = str(error)
            failed(variant.name, str(error))
        found.look(folder)
        if found.measured or (out / TABLE).exists():
            write_tables(out, found.table())
    return found.table()


def _named(variant: Variant) -> RunConfig:
    return variant.config.model_copy(update={"name": f"{variant.config.name}/{variant.folder}"})


@dataclass
class _Found:
    """What lies in the folder."""

    out: Path
    wanted: Sequence[Variant]
    about: Reported | None
    told: Told
    measured: dict[str, Measured] = field(default_factory=dict)
    """By folder."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why the last training there has failed, by folder."""
    _scored: dict[str, tuple[Measured, Measured | None, Outcome]] = field(default_factory=dict)

    def look(self, folder: str) -> None:
        """Measure what the study in a folder has."""
        try:
            study = read_study(self.out / folder)
            if study is not None and study.runs:
                split = self.about.split if self.about else None
                self.measured[folder] = measure(self.out / folder, study, split, self.told)
        except SpikeMbaError as error:
            self.problems.setdefault(folder, str(error))

    def table(self) -> Ablation:
        """All variants so far."""
        there = [one for one in self.wanted if one.folder in self.measured or one.folder in self.problems]
        return Ablation([self._outcome(one) for one in there], self.about)

    def _outcome(self, variant: Variant) -> Outcome:
        folder, problem = variant.folder, self.problems.get(variant.folder, "")
        if folder not in self.measured:
            return Outcome(variant, problem=problem)
        of_base = self.wanted[0].folder
        measured, base = self.measured[folder], self.measured.get(of_base) if folder != of_base else None
        known = self._scored.get(folder)
        if known is None or known[0] is not measured or known[1] is not base:
            known = self._scored[folder] = measured, base, outcome(variant, measured, base, self.about)
        return replace(known[2], variant=variant, problem=problem)


def trained_before(out: Path) -> dict[str, str]:
    """Name and folder of each variant of the table in a folder, if there is one. Raises CheckpointError."""
    path = out / TABLE
    if not path.is_file():
        return {}
    try:
        return {str(row["name"]): str(row["folder"]) for row in read_json(path)["variants"]}
    except (OSError, Unreadable, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}); remove it and go on with --resume"
        ) from None

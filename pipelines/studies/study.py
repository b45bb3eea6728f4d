"""Train one configuration for each domain of a highlight set, for several seeds, or both."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from pipelines.runs.run_dir import RunDir
from pipelines.runs.study_folder import Study, StudyRun, read_study, write_study
from pipelines.tasks.grounding.config import RunConfig
from pipelines.tasks.train import TrainEvents, TrainResult, train


class Trainer(Protocol):
    """`train`, or another function that does it in other processes."""

    def __call__(
        self, config: RunConfig, out: Path, *, resume: bool = False, events: TrainEvents | None = None
    ) -> TrainResult:
        """Train one run."""


def is_study(config: RunConfig, seeds: Sequence[int]) -> bool:
    """Whether the configuration needs more than one run."""
    return bool(seeds) or (bool(config.data.domains) and config.data.domain is None)


def run_study(
    config: RunConfig,
    out: Path,
    seeds: Sequence[int] = (),
    *,
    resume: bool = False,
    events: TrainEvents | None = None,
    run: Trainer = train,
    starting: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Study:
    """Train every domain with every seed into folders below `out`; study.json grows as runs end.

    resume: finished runs are kept, a broken-off one goes on.  run: what trains one of them.
    starting: told the name of each run, and its place.
    Raises what `train` raises.
    """
    parts = [(seed, domain) for seed in seeds or [config.train.seed] for domain in _domains(config)]
    finished: list[StudyRun] = []
    known = read_study(out) if resume else None
    old = {run.folder: run for run in known.runs} if known else {}
    for done, (seed, domain) in enumerate(parts):
        folder = "/".join([*([f"seed{seed}"] if seeds else []), *([domain] if domain else [])])
        starting(folder, done, len(parts))
        own = _config_of(config, folder, seed, domain)
        if folder in old and old[folder].epochs >= own.train.epochs:
            RunDir(out / folder).check(own)
            finished.append(old[folder])
            continue
        result = run(own, out / folder, resume=resume and (out / folder).exists(), events=events)
        finished.append(_run(folder, seed, domain, result))
        write_study(out, Study(benchmark=config.data.benchmark, runs=tuple(finished)))
    study = Study(benchmark=config.data.benchmark, runs=tuple(finished))
    write_study(out, study)
    return study


def _domains(config: RunConfig) -> list[str | None]:
    if config.data.domain is not None or not config.data.domains:
        return [config.data.domain]
    return list(config.data.domains)


def _config_of(config: RunConfig, folder: str, seed: int, domain: str | None) -> RunConfig:
    data = config.data.model_copy(update={"domain": domain})
    settings = config.train.model_copy(update={"seed": seed})
    return config.model_copy(update={"name": f"{config.name}/{folder}", "data": data, "train": settings})


def _run(folder: str, seed: int, domain: str | None, result: TrainResult) -> StudyRun:
    return StudyRun(
        folder=folder,
        seed=seed,
        domain=domain,
        epochs=result.epochs,
        best_epoch=result.best_epoch,
        val=result.best,
        test=result.test,
        best_on_test=result.best_on_test,
    )

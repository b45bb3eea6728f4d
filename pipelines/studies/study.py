"""Train one configuration for each domain of a highlight set, for several seeds, or both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

    resume: what the study has is kept, of other seeds too; all its runs get as many epochs as are asked for, and a
    broken-off one goes on.  run: what trains one of them.  starting: told the name of each run, and its place.
    Raises what `train` raises; before anything is trained, ConfigError when the study has runs of other settings.
    """
    known = read_study(out) if resume else None
    runs = {(one.seed, one.domain): one for one in known.runs} if known else {}
    parts = _parts(config, seeds, runs)
    if resume:
        _check(parts, out)
    for done, part in enumerate(parts):
        old = runs.get((part.seed, part.domain))
        starting(part.folder, done, len(parts))
        if old is None or old.epochs < part.config.train.epochs:
            there = resume and (out / part.folder).exists()
            result = run(part.config, out / part.folder, resume=there, events=events)
            runs[part.seed, part.domain] = _run(part.folder, part.seed, part.domain, result)
            write_study(out, _study(config, parts, runs))
    study = _study(config, parts, runs)
    write_study(out, study)
    return study


def check_study(config: RunConfig, out: Path, seeds: Sequence[int] = ()) -> None:
    """Raise ConfigError when runs that a study would go on with were started with other settings."""
    known = read_study(out)
    _check(_parts(config, seeds, {(one.seed, one.domain): one for one in known.runs} if known else {}), out)


@dataclass(frozen=True)
class _Part:
    """One run of a study."""

    folder: str
    seed: int
    domain: str | None
    config: RunConfig


Runs = Mapping[tuple[int, str | None], StudyRun]


def _parts(config: RunConfig, seeds: Sequence[int], known: Runs) -> list[_Part]:
    """The runs that a study has, and those that are asked for, by seed.

    seeds: none goes on with those that the study has, where it has any.
    """
    by_seed = bool(seeds) or any(run.folder.startswith("seed") for run in known.values())
    own = [config.train.seed]
    if known and (by_seed or config.train.seed in {seed for seed, _ in known}):
        own = list(dict.fromkeys(seed for seed, _ in known))
    asked = [(seed, domain) for seed in seeds or own for domain in _domains(config)]
    places = {one: "/".join([*([f"seed{one[0]}"] if by_seed else []), *([one[1]] if one[1] else [])]) for one in asked}
    places |= {one: run.folder for one, run in known.items()}
    order = sorted(places, key=lambda one: one[0])
    return [_Part(places[one], *one, _config_of(config, places[one], *one)) for one in order]


def _check(parts: Sequence[_Part], out: Path) -> None:
    for part in parts:
        folder = RunDir(out / part.folder)
        if folder.exists:
            folder.check(part.config)


def _study(config: RunConfig, parts: Sequence[_Part], runs: Runs) -> Study:
    there = [runs[part.seed, part.domain] for part in parts if (part.seed, part.domain) in runs]
    return Study(benchmark=config.data.benchmark, runs=tuple(there))


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

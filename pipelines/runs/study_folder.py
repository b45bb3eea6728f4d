"""A study: one configuration trained for each domain of a highlight set, for several seeds, or both.

study.json                       what runs there are, and their results
<domain>/                        a run folder each; below seed<n>/ where several seeds were asked for
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from spikemba.config import Config
from spikemba.errors import CheckpointError
from spikemba.files import write_json
from spikemba.reading.trees import read_json
from spikemba.reading.unreadable import Unreadable

STUDY = "study.json"


class StudyRun(Config):
    """One run of a study and what it reached."""

    folder: str
    """Below the study's folder."""
    seed: int
    domain: str | None = None
    epochs: int = 0
    best_epoch: int | None = None
    val: dict[str, float] = Field(default_factory=dict)
    """The brief on the split that chose the epoch."""
    test: dict[str, float] = Field(default_factory=dict)
    """The brief on the test split at that epoch."""
    best_on_test: dict[str, float] = Field(default_factory=dict)
    """The brief at the epoch that is best on the test split."""


class Study(Config):
    """All runs of a study."""

    benchmark: str
    runs: tuple[StudyRun, ...]

    def by_seed(self, root: Path) -> dict[str, list[Path]]:
        """Run folders of each seed."""
        found: dict[str, list[Path]] = {}
        for run in self.runs:
            found.setdefault(f"seed{run.seed}", []).append(root / run.folder)
        return found

    def by_seed_brief(self, which: str) -> dict[int, dict[str, float]]:
        """Seed -> metric -> percent, domains averaged; which: `val`, `test` or `best_on_test`."""
        seeds: dict[int, list[dict[str, float]]] = {}
        for run in self.runs:
            if of_run := getattr(run, which):
                seeds.setdefault(run.seed, []).append(of_run)
        return {seed: _over_domains(of_seed) for seed, of_seed in seeds.items()}

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """`val`, `test` and `best_on_test` -> metric -> mean and std over the seeds, domains averaged."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for which in ("val", "test", "best_on_test"):
            if seeds := self.by_seed_brief(which):
                mean, spread = mean_and_spread(list(seeds.values()))
                found[which] = {name: {"mean": mean[name], "std": spread.get(name, 0.0)} for name in mean}
        return found


def _over_domains(briefs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Briefs of one seed's domains as one: mAP is averaged, what one domain alone has is taken over."""
    names = {name: None for of_run in briefs for name in of_run}
    return {name: float(np.mean([of_run[name] for of_run in briefs if name in of_run])) for name in names}


def write_study(root: Path, study: Study) -> None:
    """Write study.json with its summary. Raises OutputError."""
    write_json(root / STUDY, study.model_dump(mode="json") | {"summary": study.summary()})


def read_study(root: Path) -> Study | None:
    """The study in a folder, or None when there is none. Raises CheckpointError when it is damaged."""
    path = Path(root) / STUDY
    if not path.is_file():
        return None
    try:
        tree = read_json(path)
        return Study.parse({name: tree[name] for name in ("benchmark", "runs")}, str(path))
    except (OSError, Unreadable, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged ({type(error).__name__}); run the same training again") from None


def mean_and_spread(briefs: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean over seeds of each number, and the sample standard deviation where there are two seeds or more.

    Neither is rounded: what prints them rounds once.
    """
    names = [name for name in briefs[0] if all(name in one for one in briefs)]
    values = {name: np.array([one[name] for one in briefs]) for name in names}
    mean = {name: float(of.mean()) for name, of in values.items()}
    if len(briefs) < 2:
        return mean, {}
    return mean, {name: float(of.std(ddof=1)) for name, of in values.items()}


def seeds_document(
    documents: Sequence[Mapping[str, Any]], mean: Mapping[str, float], spread: Mapping[str, float]
) -> dict[str, Any]:
    """The document of several seeds: the means in their usual place, then the spread and each seed's own document."""
    if "domains" in documents[0]:
        domains = {name: mean[f"mAP-{name}"] for name in documents[0]["domains"]}
        head: dict[str, Any] = {"mAP": mean["mAP"], "domains": domains}
    else:
        head = {"brief": dict(mean)}
    if kinds := documents[0].get("by_kind"):
        head["by_kind"] = {
            kind: {**one, "brief": mean_and_spread([document["by_kind"][kind]["brief"] for document in documents])[0]}
            for kind, one in kinds.items()
        }
    if null := documents[0].get("GMR"):
        seeds = {name: [one["GMR"]["beside"][name] for one in documents] for name in null["beside"]}
        head["GMR"] = {"beside": {name: mean_and_spread(of_name)[0] for name, of_name in seeds.items()}}
    return {**head, "std": dict(spread), "seeds": list(documents)}

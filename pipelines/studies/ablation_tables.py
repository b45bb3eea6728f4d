"""The tables of an ablation: what every variant reached, and how far that is from the base, for people and programs.

ablations.json, .md      rewritten after each variant
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.scoring.comparisons import too_few
from pipelines.scoring.scores import main_metrics, short_name
from pipelines.studies.ablation_scores import Numbers, Outcome, Reported
from spikemba.files import write_json, write_text
from spikemba.metrics.bootstrap import Comparison
from spikemba.reading.printable import counted

TABLE = "ablations.json"

COMPARED = ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP", "mAP")
"""Metrics whose differences stand in the table; `mAP` is that of highlight sets. The document has all of them."""
OF_KINDS = COMPARED[0]

Cells = tuple[list[str], list[list[str]]]
"""Column names, and rows."""


@dataclass(frozen=True)
class Ablation:
    """All variants so far, the base first."""

    outcomes: Sequence[Outcome]
    about: Reported | None
    """The split that the numbers are about; None where the configuration names none to look at."""


def write_tables(out: Path, found: Ablation) -> None:
    """Write ablations.json and ablations.md. Raises OutputError."""
    write_json(out / TABLE, document(found))
    kinds = kinds_table(found)
    parts = [*notes(found), _markdown(table(found)), *(["By kind of query:", _markdown(kinds)] if kinds[1] else [])]
    write_text(out / "ablations.md", "\n\n".join(parts) + "\n")


def notes(found: Ablation) -> list[str]:
    """What the numbers are about, in sentences."""
    if found.about is None:
        return ["There is neither a test nor a validation split, so there are no numbers."]
    about = found.about
    chosen = "best on val" if found.outcomes[0].variant.config.data.val else "its last: there is no val to choose on"
    queries = counted(len(about.truth), "query", "queries")
    videos = counted(about.n_videos, "video", "videos")
    return [
        f"Split {about.split}: {queries} about {videos}, answered by the checkpoint of each run that is {chosen}.",
        "Differences to the base: query by query, over the seeds that both have, with 95 % intervals over resampled "
        "videos. They say what other videos would give with these seeds; ± is the deviation over the seeds.",
        *(f"Note: {said}." for said in [*too_few(about.truth), *_without_kind(about), *_idle(found.outcomes)]),
    ]


def _without_kind(about: Reported) -> list[str]:
    n = len(about.truth) - sum(map(len, about.kinds.values()))
    return [f"{counted(n, 'query has', 'queries have')} no kind"] if n and about.kinds else []


def _idle(outcomes: Sequence[Outcome]) -> list[str]:
    """Which variants are another one, because their settings have no effect."""
    why: dict[tuple[str, str], list[str]] = {}
    for one in outcomes:
        first = next(other.variant.name for other in outcomes if other.variant.folder == one.variant.folder)
        if one.variant.idle and first != one.variant.name:
            why.setdefault((first, one.variant.idle), []).append(one.variant.name)
    return [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {first}: {said}"
        for (first, said), names in why.items()
    ]


def document(found: Ablation) -> dict[str, Any]:
    """All numbers, for programs."""
    about, kinds = found.about, found.about.kinds if found.about else {}
    split = {"name": about.split, "queries": len(about.truth), "videos": about.n_videos} if about else None
    return {
        "split": split,
        "variants": [_row(one, {kind: len(of) for kind, of in kinds.items()}) for one in found.outcomes],
    }


def _row(one: Outcome, n_of_kind: Mapping[str, int]) -> dict[str, Any]:
    return {
        "name": one.variant.name,
        "setting": one.variant.setting,
        "folder": one.variant.folder,
        "parameters": one.n_parameters,
        "seconds": one.seconds,
        "compared_seeds": list(one.compared),
        **_numbers(one.all),
        "by_kind": {kind: {"n_queries": n_of_kind[kind], **_numbers(of)} for kind, of in one.by_kind.items()},
        **({"idle": one.variant.idle} if one.variant.idle else {}),
        **({"problem": one.problem} if one.problem else {}),
    }


def _numbers(of: Numbers) -> dict[str, Any]:
    return {
        "seeds": {str(seed): metrics for seed, metrics in of.by_seed.items()},
        "mean": of.mean,
        "std": of.std,
        "against_base": {name: asdict(compared) for name, compared in of.against.items()},
    }


def table(found: Ablation) -> Cells:
    """Mean ± standard deviation of the main metrics, differences to the base with their intervals, size and time."""
    outcomes = found.outcomes
    chooses = outcomes[0].variant.config.train.best_metric
    metrics = main_metrics(next((one.all.mean for one in outcomes if one.all.mean), {}), first=chooses)
    compared = [name for name in COMPARED if any(name in one.all.mean for one in outcomes)]
    columns = [
        *("variant", "seeds", *map(short_name, metrics)),
        *(f"{short_name(name)} - base (95 %)" for name in compared),
        *("parameters", "seconds"),
    ]
    rows = [
        [
            *(one.variant.name, str(len(one.all.by_seed))),
            *(plus_minus(one.all.mean.get(name), one.all.std.get(name)) for name in metrics),
            *(difference(one.all.against.get(name)) for name in compared),
            "" if one.n_parameters is None else f"{one.n_parameters:,}",
            "" if one.seconds is None else f"{one.seconds:.0f}",
        ]
        for one in outcomes
    ]
    return columns, rows


def kinds_table(found: Ablation) -> Cells:
    """The same for each kind of query, of one metric; no rows where the queries have no kinds."""
    kinds = found.about.kinds if found.about else {}
    name = short_name(OF_KINDS)
    columns = ["variant", "kind", "queries", name, f"{name} - base (95 %)"]
    rows = [
        [
            *(one.variant.name, kind, str(len(kinds[kind]))),
            plus_minus(of.mean.get(OF_KINDS), of.std.get(OF_KINDS)),
            difference(of.against.get(OF_KINDS)),
        ]
        for one in found.outcomes
        for kind, of in one.by_kind.items()
        if OF_KINDS in of.mean
    ]
    return columns, rows


def plus_minus(mean: float | None, std: float | None) -> str:
    """As 41.20 ± 0.53; without a deviation the mean alone."""
    if mean is None:
        return ""
    return f"{mean:.2f}" + ("" if std is None else f" ± {std:.2f}")


def difference(found: Comparison | None) -> str:
    """As +1.20 (-0.30 to +2.70); without an interval the difference alone."""
    if found is None:
        return ""
    mean, low, high = found.difference.mean, found.difference.low, found.difference.high
    return f"{mean:+.2f}" + ("" if low is None or high is None else f" ({low:+.2f} to {high:+.2f})")


def _markdown(cells: Cells) -> str:
    columns, rows = cells
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

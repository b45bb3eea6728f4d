"""What happens without each part: variants of one configuration, trained with several seeds and put into a table.

<variant>/               a study of run folders each, below seed<n>/ where several seeds were asked for
ablations.json, .md      the table, rewritten after each variant
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.runs.study_folder import Study, mean_and_spread
from pipelines.scoring.scores import main_metrics, short_name
from pipelines.studies.study import Trainer, run_study
from pipelines.tasks.grounding.config import RunConfig, load_config
from pipelines.tasks.train import train
from spikemba.errors import OutputError, SpikeMbaError, UnknownName
from spikemba.files import write_json, write_text
from spikemba.model.mamba_block import OPEN_GATE_BIAS

ABLATIONS: dict[str, dict[str, str]] = {
    # off: the relevant Mamba is gated by its own input instead of spikes
    "detector": {value: f"model.spiking_saliency.enabled={value == 'on'}" for value in ("on", "off")},
    "slots": {value: f"model.slots.n_slots={value}" for value in ("0", "4", "8", "16", "32")},
    "spike_steps": {value: f"model.spiking_saliency.n_spike_steps={value}" for value in ("1", "2", "4", "8", "10")},
    "blocks": {value: f"model.n_blocks={value}" for value in ("2", "4", "6", "8")},
    "scan": {value: f"model.mixer.directions={value}" for value in ("both", "forward")},
    # closed: the source's form, where silence closes the gate
    "gate": {
        "open": f"model.relevant_mamba.gate_bias={OPEN_GATE_BIAS}",
        "closed": "model.relevant_mamba.gate_bias=0.0",
    },
    # the source's comparison with a transformer of the same width
    "mixer": {value: f"model.mixer.kind={value}" for value in ("scan", "attention")},
    "preset": {value: f"preset={value}" for value in ("full", "paper")},
}
"""Part -> value -> the setting that a person would type after --set."""

BASE = "base"
TABLE = "ablations.json"


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: str
    """`base`, or part=value."""
    setting: str
    """What it changes; empty for the base."""
    config: RunConfig
    folder: str
    """Below the output; that of an earlier variant when both are the same configuration."""


@dataclass(frozen=True)
class Outcome:
    """What a variant reached."""

    variant: Variant
    split: str
    """`test` where it was watched, else `val`; the epoch was chosen on `val` either way."""
    by_seed: dict[int, dict[str, float]] = field(default_factory=dict)
    """Seed -> metric -> percent, domains averaged."""
    problem: str = ""
    """Why there are no numbers."""

    @property
    def mean(self) -> dict[str, float]:
        """Over the seeds."""
        return mean_and_spread(list(self.by_seed.values()))[0] if self.by_seed else {}

    @property
    def std(self) -> dict[str, float]:
        """Sample standard deviation; empty for one seed."""
        return mean_and_spread(list(self.by_seed.values()))[1] if self.by_seed else {}

    def against(self, base: "Outcome") -> dict[str, tuple[float, float | None]]:
        """Mean and deviation of the difference to the base, seed by seed: what both seeds share falls out."""
        pairs = [(mine, base.by_seed[seed]) for seed, mine in self.by_seed.items() if seed in base.by_seed]
        gains = [{name: a[name] - b[name] for name in a if name in b} for a, b in pairs]
        if not gains:
            return {}
        mean, std = mean_and_spread(gains)
        return {name: (value, std.get(name)) for name, value in mean.items()}


def variants(path: Path | None, settings: Sequence[str], only: Sequence[str], prepared: Path | None) -> list[Variant]:
    """The base and the chosen variants of a configuration, each with its own setting put last.

    only: parts of ABLATIONS, or part=value; all when empty. Raises UnknownName, ConfigError.
    """
    chosen = {f"{part}={value}": setting for part, value, setting in settings_of(only)}
    found: list[Variant] = []
    for name, setting in {BASE: "", **chosen}.items():
        config = load_config(path, [*settings, *([setting] if setting else [])], prepared=prepared)
        same = next((one for one in found if _same(one.config, config)), None)
        folder = same.folder if same else name.replace("=", "-")
        found.append(Variant(name, setting, config, folder))
    return found


def _same(a: RunConfig, b: RunConfig) -> bool:
    """Whether two configurations train the same; a preset is no more than the values that it fills in."""
    left_out = {"name", "preset"}
    return a.model_dump(exclude=left_out) == b.model_dump(exclude=left_out)


def ablate(
    wanted: Sequence[Variant],
    out: Path,
    seeds: Sequence[int] = (),
    *,
    resume: bool = False,
    run: Trainer = train,
    starting: Callable[[str, int, int], None] = lambda name, done, total: None,
    failed: Callable[[str, str], None] = lambda name, problem: None,
) -> list[Outcome]:
    """Train every variant with every seed, the base first; the table in `out` grows with each.

    resume: what is finished is kept, a broken-off run goes on.  run: what trains one of them.
    starting: told the name of each variant, and its place.
    failed: told of a variant that cannot be trained; the others go on.
    Raises OutputError when the folder holds a table that is not to be continued.
    """
    if (out / TABLE).exists() and not resume:
        raise OutputError(out, "it holds ablations already; go on with --resume")
    folders = list(dict.fromkeys(variant.folder for variant in wanted))
    studies: dict[str, Study | str] = {}
    outcomes: list[Outcome] = []
    for variant in wanted:
        if variant.folder not in studies:
            starting(variant.name, folders.index(variant.folder), len(folders))
            config = variant.config.model_copy(update={"name": f"{variant.config.name}/{variant.folder}"})
            try:
                done = run_study(config, out / variant.folder, seeds, resume=resume, run=run)
                studies[variant.folder] = done
            except SpikeMbaError as error:
                studies[variant.folder] = str(error)
                failed(variant.name, str(error))
        outcomes.append(_outcome(variant, studies[variant.folder]))
        write_table(out, outcomes)
    return outcomes


def _outcome(variant: Variant, study: Study | str) -> Outcome:
    if isinstance(study, str):
        return Outcome(variant, "val", problem=study)
    test = study.by_seed_brief("test")
    return Outcome(variant, "test", test) if test else Outcome(variant, "val", study.by_seed_brief("val"))


def write_table(out: Path, outcomes: Sequence[Outcome]) -> None:
    """Write ablations.json and ablations.md. Raises OutputError."""
    write_json(out / TABLE, document(outcomes))
    columns, rows = table(outcomes)
    lines = [columns, ["---"] * len(columns), *rows]
    write_text(out / "ablations.md", "".join(f"| {' | '.join(line)} |\n" for line in lines))


def document(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """All numbers, for programs."""
    base = outcomes[0]
    return {
        "variants": [
            {
                "name": one.variant.name,
                "setting": one.variant.setting,
                "folder": one.variant.folder,
                "split": one.split,
                "seeds": {str(seed): metrics for seed, metrics in one.by_seed.items()},
                "mean": one.mean,
                "std": one.std,
                "against_base": {name: {"mean": mean, "std": std} for name, (mean, std) in one.against(base).items()},
                **({"problem": one.problem} if one.problem else {}),
            }
            for one in outcomes
        ]
    }


def table(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows for people: mean ± standard deviation of the main metrics, and the gain in the first."""
    base = outcomes[0]
    chooses = base.variant.config.train.best_metric
    metrics = main_metrics(base.mean or next((one.mean for one in outcomes if one.mean), {}), first=chooses)
    columns = [
        "variant",
        "seeds",
        *map(short_name, metrics),
        *([f"{short_name(metrics[0])} - base"] if metrics else []),
    ]
    rows = []
    for one in outcomes:
        mean, std, gain = one.mean, one.std, one.against(base)
        numbers = [plus_minus(mean.get(name), std.get(name)) for name in metrics]
        for name in metrics[:1]:
            by, spread = gain.get(name, (None, None))
            numbers.append("" if one is base else plus_minus(by, spread, "+"))
        rows.append([one.variant.name, str(len(one.by_seed)), *numbers])
    return columns, rows


def plus_minus(mean: float | None, std: float | None, sign: str = "") -> str:
    """As 41.20 ± 0.53; without a deviation the mean alone."""
    if mean is None:
        return ""
    return f"{mean:{sign}.2f}" + ("" if std is None else f" ± {std:.2f}")


def settings_of(only: Sequence[str] = ()) -> list[list[str]]:
    """Part, value and setting of each variant there is, or of the parts and single values named.

    only: parts of ABLATIONS, or part=value; all when empty. Raises UnknownName.
    """
    rows = [[part, value, setting] for part, values in ABLATIONS.items() for value, setting in values.items()]
    names = {name for part, value, _ in rows for name in (part, f"{part}={value}")}
    for name in only:
        if name not in names:
            raise UnknownName("ablation", name, [*ABLATIONS, "or one value of them, as slots=0"])
    return [row for row in rows if not only or row[0] in only or f"{row[0]}={row[1]}" in only]

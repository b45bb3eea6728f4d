"""Curves of runs: losses, metrics, firing rates and the pace of one run, or several runs side by side."""

import html
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.grounding.lettering import lettering
from pipelines.reports.html_page import page, table
from pipelines.runs.overview import Run
from pipelines.scoring.scores import main_metrics, short_name
from pipelines.training.firing_rates import HEALTHY
from spikemba.errors import CheckpointError, OutputError
from spikemba.files import write_text, writing
from spikemba.reading.printable import counted

FORMATS = (".png", ".svg", ".pdf", ".html")
SPLITS = {"val": "-", "test": "--"}
LAYERS = {"query": "#2f6fde", "key": "#2a9d5c", "value": "#c2410c", "saliency": "#111827"}
COLOURS = ("#2f6fde", "#c2410c", "#2a9d5c", "#7c3aed", "#0891b2", "#b91c1c", "#a16207", "#4b5563", "#db2777", "#65a30d")
DASHES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Line:
    """One curve."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    style: str = "-"
    shade: float = 1.0
    """Opacity."""


@dataclass(frozen=True)
class Panel:
    """One plot."""

    title: str
    lines: Sequence[Line]
    log: bool = False
    """Logarithmic, where the values differ enough and are all positive."""
    from_zero: bool = False
    """The axis begins at zero."""
    marks: Sequence[tuple[float, str]] = ()
    """Vertical lines, as the best epoch."""
    band: tuple[float, float] | None = None
    """A range of values that is as it should be."""
    key: Mapping[str, str] = field(default_factory=dict)
    """Label -> colour, in place of the lines' own labels."""


def write_curves(path: Path, runs: Sequence[Run]) -> None:
    """Draw the runs into a .png, .svg, .pdf or a self-contained .html. Raises CheckpointError, OutputError."""
    if path.suffix.lower() not in FORMATS:
        raise OutputError(path, f"{path.suffix or 'no ending'!r} is none of {', '.join(FORMATS)}")
    drawn = [run for run in runs if run.rows]
    if not drawn:
        raise CheckpointError(f"{runs[0].path} has no finished epoch yet, so there is nothing to draw")
    panels = one_run(drawn[0]) if len(drawn) == 1 else several_runs(drawn)
    if path.suffix.lower() == ".html":
        write_text(path, _page(drawn, panels))
        return
    with writing(path) as temporary:
        temporary.write_bytes(_figure(panels, _title(drawn), path.suffix.lower()[1:]))


def one_run(run: Run) -> list[Panel]:
    """What there is to see of one run; a panel without values is left out."""
    terms = _names(run.rows, lambda row: row.get("terms", {}))
    best = run.best
    marks = [(float(best["epoch"]), f"best epoch {best['epoch']}")] if best else []
    panels = [
        Panel("loss", [_line(run.rows, "", lambda row: row.get("loss"), 0)]),
        Panel("terms of the loss", [_of(run.rows, ("terms", name), name, i) for i, name in enumerate(terms)], log=True),
        Panel("metrics, %", list(_metrics(run)), marks=marks),
        Panel("learning rate", [_line(run.rows, "", lambda row: row.get("learning_rate"), 0)], from_zero=True),
        *_firing(run.rows),
        Panel("norm of the gradient", [_line(run.rows, "", lambda row: row.get("gradient_norm"), 0)], log=True),
        Panel("examples per second", [_line(run.rows, "", lambda row: row.get("pairs_per_s"), 0)], from_zero=True),
    ]
    return [panel for panel in panels if any(line.x for line in panel.lines)]


def several_runs(runs: Sequence[Run]) -> list[Panel]:
    """A line per run: the loss, and the metric that chooses the epoch on each split."""
    metric = next((run.metric for run in runs if run.best), runs[0].metric)
    named = list(zip(_short_names(runs), [run.rows for run in runs], strict=True))
    panels = [Panel("loss", [_of(rows, ("loss",), name, i) for i, (name, rows) in enumerate(named)])]
    for split, title in {"val": "validation", "test": "test"}.items():
        lines = [_of(rows, (split, metric), name, i) for i, (name, rows) in enumerate(named)]
        panels.append(Panel(f"{short_name(metric)} on {title}, %", lines))
    rates = [_line(rows, name, _mean_rate, i) for i, (name, rows) in enumerate(named)]
    panels.append(Panel("mean firing rate of all layers", rates))
    return [panel for panel in panels if any(line.x for line in panel.lines)]


def _short_names(runs: Sequence[Run]) -> list[str]:
    """Their paths without the folder that all share."""
    paths = [run.path.resolve() for run in runs]
    common = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(common)) for path in paths]


def _metrics(run: Run) -> Iterator[Line]:
    """Validation and test, each metric in a colour of its own."""
    for split, style in SPLITS.items():
        scored: Mapping[str, float] = next((row[split] for row in reversed(run.rows) if row.get(split)), {})
        for i, name in enumerate(main_metrics(scored, first=run.metric)):
            label = short_name(name) + (", test" if split == "test" else "")
            yield _of(run.rows, (split, name), label, i, style)
            if split == "val":  # what some tasks measure while they train
                yield _of(run.rows, (f"train_{name}",), f"{label}, training", i, ":")


def _firing(rows: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Rates and dead channels: a colour per kind of layer, the later the block the darker."""
    layers = _names(rows, lambda row: row.get("firing", {}))
    n_blocks = len({name.partition(".")[0] for name in layers}) or 1
    blocks = {name: i for i, name in enumerate(dict.fromkeys(name.partition(".")[0] for name in layers))}
    panels = []
    for what, title, band in (("rate", "firing rates", HEALTHY), ("dead", "channels that never fire", None)):
        lines = []
        for name in layers:
            block, _, kind = name.partition(".")
            line = _of(rows, ("firing", name, what), name, 0)
            shade = 0.3 + 0.7 * (blocks[block] + 1) / n_blocks
            lines.append(Line(line.label, line.x, line.y, LAYERS.get(kind, COLOURS[0]), shade=shade))
        kinds = {name.partition(".")[2]: None for name in layers}
        key = {kind: LAYERS.get(kind, COLOURS[0]) for kind in kinds}
        if n_blocks > 1:
            title += f", pale block0 to dark block{n_blocks - 1}"
        panels.append(Panel(title, lines, from_zero=True, band=band, key=key))
    return panels


def _names(rows: Sequence[Mapping[str, Any]], part: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in part(row)))


def _of(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], label: str, i: int, style: str = "-") -> Line:
    """The curve of a nested value."""

    def value(row: Mapping[str, Any]) -> Any:
        found: Any = row
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    return _line(rows, label, value, i, style)


def _line(
    rows: Sequence[Mapping[str, Any]], label: str, value: Callable[[Mapping[str, Any]], Any], i: int, style: str = "-"
) -> Line:
    """The curve of a value over the epochs that have it; i chooses its colour, and more than those, its dashes."""
    points = [(float(row["epoch"]), float(v)) for row in rows if (v := value(row)) is not None]
    style = style if i < len(COLOURS) else DASHES[i // len(COLOURS) % len(DASHES)]
    return Line(label, [x for x, _ in points], [y for _, y in points], COLOURS[i % len(COLOURS)], style)


def _mean_rate(row: Mapping[str, Any]) -> float | None:
    rates = [layer["rate"] for layer in row.get("firing", {}).values()]
    return sum(rates) / len(rates) if rates else None


def _figure(panels: Sequence[Panel], title: str, form: str, n_columns: int = 4) -> bytes:
    """The picture as a file of that form."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    n_columns = min(n_columns, {4: 2, 5: 3, 6: 3}.get(len(panels), len(panels)))
    n_rows = -(-len(panels) // n_columns)
    words = [title, *(panel.title for panel in panels), *(line.label for panel in panels for line in panel.lines)]
    with lettering(words), mpl.rc_context({"svg.hashsalt": "spikemba", "font.size": 9}):
        figure, grid = plt.subplots(
            n_rows, n_columns, figsize=(4.6 * n_columns, 3.3 * n_rows), layout="constrained", squeeze=False, dpi=110
        )
        if title:
            figure.suptitle(title, fontsize=12, x=0.01, ha="left", fontweight="bold")
        places = [place for row in grid for place in row]
        for place, panel in zip(places, panels, strict=False):
            _draw(place, panel)
        for place in places[len(panels) :]:
            place.axis("off")
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else None)
        plt.close(figure)
    return buffer.getvalue()


def _draw(place: Any, panel: Panel) -> None:
    from matplotlib.ticker import MaxNLocator

    place.set_title(panel.title, fontsize=10, loc="left")
    if panel.band:
        place.axhspan(*panel.band, color=LAYERS["key"], alpha=0.08, lw=0)
    for line in panel.lines:
        marker = "o" if len(line.x) == 1 else None
        look = {
            "color": line.colour,
            "linestyle": line.style,
            "alpha": line.shade,
            "lw": 1.4,
            "marker": marker,
            "ms": 4,
        }
        place.plot(line.x, line.y, label=None if panel.key else line.label or None, **look)
    for label, colour in panel.key.items():
        place.plot([], [], color=colour, label=label)
    for x, label in panel.marks:
        place.axvline(x, color="#6b7280", lw=0.9, linestyle=":", label=label)
    values = [y for line in panel.lines for y in line.y]
    if panel.log and 0 < 20 * min(values) < max(values):
        place.set_yscale("log")
    if panel.from_zero:
        place.set_ylim(0, 1.08 * max(values) or 1)
    place.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    epochs = {x for line in panel.lines for x in line.x}
    if len(epochs) == 1:  # the locator would offer fractions of an epoch
        place.set_xlim(min(epochs) - 1, min(epochs) + 1)
    place.spines[["top", "right"]].set_visible(False)
    place.set_xlabel("epoch", fontsize=8)
    labels = place.get_legend_handles_labels()[1]
    if labels:
        place.legend(fontsize=7, frameon=False, ncols=2 if len(labels) > 5 else 1)


def _title(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return counted(len(runs), "run", "runs")
    (run,) = runs
    done, wanted = run.epochs
    best = run.best
    reached = f", best {short_name(run.metric)} {best['val'][run.metric]:.2f} at epoch {best['epoch']}" if best else ""
    return f"{run.name}: {run.data_set}, {done} of {wanted} epochs{reached}"


def _page(runs: Sequence[Run], panels: Sequence[Panel]) -> str:
    """A page that needs no other file: what the runs reached, the curves, and one run's settings."""
    picture = _figure(panels, "", "svg", 2).decode()
    picture = picture[picture.index("<svg") :]
    parts = [table(*listing(runs)), f'<div class="picture">{picture}</div>']
    if len(runs) == 1:
        (run,) = runs
        if run.best:
            splits = [split for split in SPLITS if run.best.get(split)]
            rows = [[name, *(f"{run.best[s].get(name, float('nan')):.2f}" for s in splits)] for name in run.best["val"]]
            parts += [f"<h2>Epoch {run.best['epoch']}, the best</h2>", table(["%", *splits], rows)]
        text = html.escape((run.path / "config.yaml").read_text(encoding="utf-8"))
        parts.append(f"<h2>Settings</h2><details><summary>config.yaml</summary><pre>{text}</pre></details>")
    return page(_title(runs), parts)


def listing(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of the table of runs."""
    columns = ["run", "data", "state", "epochs", "metric", "best", "at epoch", "test", "last change (UTC)"]
    return columns, [_listed(run) for run in runs]


def _listed(run: Run) -> list[str]:
    done, wanted = run.epochs
    changed = f"{run.changed:%Y-%m-%d %H:%M}" if run.changed else ""
    if run.state == "damaged":
        return [run.name, "", run.state, "", "", "", "", "", changed]
    best, name = run.best, run.metric
    value = f"{best['val'][name]:.2f}" if best else ""
    test = best["test"].get(name) if best and best.get("test") else None
    epoch = str(best["epoch"]) if best else ""
    figures = [short_name(name), value, epoch, "" if test is None else f"{test:.2f}"]
    return [run.name, run.data_set, run.state, f"{done}/{wanted}", *figures, changed]

"""The pages of encoders, benchmarks, formats and calls: what the registries know of each."""

import inspect
from collections.abc import Iterable

from reference.markdown import code, plain, table

from pipelines.grounding.formats import FORMATS, PER_VIDEO
from pipelines.serving.web.api import openapi
from pipelines.timelines import edl, fcp7, fcpxml, marker_table, otio
from pipelines.timelines.forms import TIMELINES
from spikemba.datasets.benchmark import Benchmark, Pack
from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.encoders.entry import EncoderEntry
from spikemba.encoders.registry import OWN, find_encoder

MODULES = {"edl": edl, "xml": fcp7, "fcpxml": fcpxml, "markers.csv": marker_table, "otio": otio}
"""Timeline -> the module that writes it, whose first line says what it is."""


ENCODERS = """\
# Encoders

What `--encoder` takes, several joined by `+`. Where weights are looked for, which frames are taken and how to bring
your own: [how to choose an encoder](../encoders.md). `spikemba config encoders` lists those of other packages, too.
"""
BENCHMARKS = """\
# Benchmarks

What `spikemba prepare NAME`, `train --dataset NAME` and `evaluate --dataset NAME` know. Which files are searched for
and how to go on: [how to prepare a benchmark](../benchmarks.md).
"""
OUTPUTS = """\
# Output formats

What `--format` of `ground` and `search` writes; without it, a table of start, end and score. What each is for, and what
editors read: [how to ask a video](../grounding.md).
"""
CALLS = """\
# Calls of the server

What [`spikemba serve`](../serve.md) answers besides the page; `spikemba mcp` offers the same to language models.
[openapi.json](../openapi.json) has every field.
"""


def encoders() -> str:
    """The encoders of the package, as their entries declare them."""
    parts = [ENCODERS]
    for name in OWN:
        entry = find_encoder(name)
        source = entry.source and entry.source()
        facts = [
            ("asked for as", ", ".join(map(code, entry.forms))),
            ("reads sentences", "yes" if entry.reads_text else "no"),
            ("weights", plain(source.file) if source else _without_source(entry)),
            ("from", _linked(source.address) if source else ""),
            ("longer clips, longer vectors", "yes" if entry.length_matters else "no"),
            ("library", code(entry.library) if entry.library else ""),
        ]
        parts.append(f"\n## {name}\n\n{plain(entry.what)[:1].upper()}{plain(entry.what)[1:]}.\n{_facts(facts)}")
    return "".join(parts)


def _without_source(entry: EncoderEntry) -> str:
    """Where weights are that have no place of their own."""
    if entry.of_another is not None:
        return "those of the encoder behind the colon"
    return "in the package" if entry.name == "mini" else "a folder"


def benchmarks() -> str:
    """The benchmarks, as their modules declare them."""
    return BENCHMARKS + "".join(_benchmark(find_benchmark(name)) for name in benchmark_names())


def _benchmark(one: Benchmark) -> str:
    sizes = [f"{split} {size.rows:,} of {size.videos:,} videos" for split, size in one.sizes.items()]
    facts = [
        ("scored by", _protocol(one)),
        ("rows in every paper", "; ".join(sizes)),
        ("domains", ", ".join(map(code, one.domains))),
        ("kept back to choose the epoch", f"{one.held_out:.0%} of the training videos" if one.held_out else ""),
        ("from", plain(one.home)),
        (
            "fetched by --download",
            ", ".join(code(file.name) + (" (with --with-videos)" if file.large else "") for file in one.downloads),
        ),
        (
            "published results",
            f"{len(one.published.test) + len(one.published.val)} rows, `evaluate --table`" if one.published else "",
        ),
    ]
    files = [[code(split), ", ".join(map(code, names))] for split, names in one.files.items()]
    packs = [[code(pack.name), _streams(pack), ", ".join(map(code, pack.text))] for pack in one.packs]
    return (
        f"\n## {one.name}\n\n{plain(one.title)}.\n{_facts(facts)}"
        + table(["split", "files, the first that is there"], files)
        + table(["features", "folders, stream by stream", "of the queries"], packs)
    )


def _protocol(one: Benchmark) -> str:
    scores = one.protocol
    if scores.highlights:
        return "saliency against labels of clips, a mean over domains"
    thresholds = ", ".join(f"{number:g}" for number in scores.r1_thresholds)
    return f"R1 at IoU {thresholds}; mAP; windows of {', '.join(scores.ranges)}" + (
        "; mean IoU" if scores.with_miou else ""
    )


def _streams(pack: Pack) -> str:
    return "; ".join(" or ".join(map(code, names)) for names in pack.video)


def formats() -> str:
    """What `--format` writes."""
    rows = []
    for name, (suffix, written) in FORMATS.items():
        said = MODULES.get(name, written)
        what = inspect.cleandoc(said.__doc__ or "").partition("\n\n")[0]
        holds = "one video" if name in PER_VIDEO else "all videos, or one"
        shape = code(TIMELINES[name].shape) if name in TIMELINES else ""
        rows.append([code(name, f"format-{name.replace('.', '-')}"), code(suffix), plain(what), holds, shape])
    head = ["format", "file", "what it is", "a file is of", "timeline's usual shape"]
    return OUTPUTS + table(head, rows)


def calls() -> str:
    """What `spikemba serve` answers."""
    rows = [
        [
            f"{code(method.upper())} {code(path)}",
            f"{plain(call['summary'])} <small>{plain(call.get('description', ''))}</small>",
        ]
        for path, methods in openapi()["paths"].items()
        for method, call in methods.items()
        if "responses" in call
    ]
    return CALLS + table(["call", "what it does"], rows)


def _linked(address: str) -> str:
    """An address, with what is said behind it."""
    place, _, rest = address.partition(" ")
    return f"<{place}> {plain(rest)}" if place.startswith("http") else plain(address)


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return table(["", ""], [[name, value] for name, value in facts if value])

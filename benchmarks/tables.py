"""Which figures README and docs/results.md show, and in which tables; render.py fills them from results/*.csv."""

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Shown:
    """How a figure is written."""

    digits: int = 1
    """Behind the point."""
    interval: bool = False
    """With the low and the high end, where there are some."""
    signed: bool = False


@dataclass(frozen=True)
class Cell:
    """The newest row of a case and a metric."""

    case: str
    metric: str
    threads: str = ""
    """Rows of so many threads alone; empty: of any."""
    shown: Shown | None = None
    """Another way than the table's."""


Cells = Cell | None | tuple[Cell | None, ...]
"""One figure, none, or several that are written with a stroke between."""


@dataclass(frozen=True)
class Table:
    """A table: its head, and rows of a label (or two) and cells."""

    name: str
    """In README's marks."""
    title: str
    head: Sequence[str]
    rows: Sequence[tuple[str | tuple[str, ...] | Cells, ...]]
    shown: Shown = field(default_factory=Shown)
    note: str = ""
    """How it is read."""


INTRODUCTION = """# Results

<!-- written by `make results` from results/*.csv: change those, or benchmarks/tables.py -->

The newest measurement of each case, and below each table when, of which commit, where and by which command it was
measured. Percent, where no unit stands. Machines were shared: times drift by a third and more from run to run, so read
ratios within one table. All rows, with intervals and ranges, lie in `results/quality.csv` and `results/speed.csv`; what
was tried and did not help, and why things are as they are, in `results/LOG.md`. Rows whose versions do not name av were
carried over from notes; their commit is the one that noted them.

No model has been trained here on the real benchmarks, so no number of ours on them is claimed; that their metrics are
computed as published is what the tests show.

**To add a result**, give its script `--record` (`python benchmarks/bench_scan.py --record`), which appends a row per
figure when it has ended well; `make results` renders README and this page; commit the sheets with what is measured.
A new table is an entry in `benchmarks/tables.py`, a new script a `bench_*.py` that takes `options` and `Record` from
`benchmarks/record.py`; `python benchmarks/render.py --of bench_scan` prints all that a script has measured.
"""

R5, R7, MAP, HIT = "MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP", "HL-min-VeryGood-Hit1"
EXACT = Shown(digits=2, interval=True)


def _shapes(who: str) -> tuple[Cells, ...]:
    """A row of the table of shapes."""
    whole = tuple(Cell(f"shapes, test: {who}", metric) for metric in (R5, R7, MAP, HIT))
    return (*whole, *(Cell(f"shapes, {subset}: {who}", R5) for subset in ("test_distractor", "test_long_range")))


SHAPES = Table(
    "shapes",
    "Moments of 150 held-out videos",
    ("", "R1@0.5", "R1@0.7", "mAP", "HIT@1", "distractors: R1@0.5", "long range: R1@0.5"),
    [
        ("chance", *_shapes("chance")),
        ("similarity of clip and sentence, best threshold", *_shapes("similarity")),
        ("the checkpoint of version 0.1.0", *_shapes("the checkpoint of version 0.1.0")),
        ("SpikeMba, the bundled checkpoint", *_shapes("mini")),
    ],
    note="630 sentences about synthetic videos that nothing was trained or chosen on (`make weights` draws "
    "them). R1@t: how often the first moment overlaps a true one by t; mAP: over ten overlaps; HIT@1: how often the "
    "clip with the highest saliency is one of the best. The threshold is the best on validation.",
)
INTERVALS = Table(
    "shapes-intervals",
    "The bundled checkpoint, with 95 % intervals over videos",
    ("", "R1@0.5", "R1@0.7", "mAP"),
    [
        ("half precision, as bundled", *(Cell("shapes, test: mini", metric) for metric in (R5, R7, MAP))),
        ("float32", *(Cell("shapes, test: mini in float32", metric) for metric in (R5, R7, MAP))),
        ("answered in bf16", *(Cell("shapes, test: mini answered in bf16", metric) for metric in (R5, R7, MAP))),
    ],
    EXACT,
)
KINDS = Table(
    "kinds",
    "By kind of sentence",
    ("", "sentences", "R1@0.5", "R1@0.7", "mAP"),
    [
        (
            label,
            Cell(f"shapes, test, {kind}: mini", "queries", shown=Shown(0)),
            *(Cell(f"shapes, test, {kind}: mini", metric) for metric in (R5, R7, MAP)),
        )
        for label, kind in {
            "all that can be said is said": "plain",
            "one attribute is left out": "one attribute",
            '"for the first time", "for the last time"': "first/last",
            '"before ...", "after ..."': "before/after",
        }.items()
    ],
)
NULLS = Table(
    "nulls",
    "What is not there",
    ("what is not there", "sentences", "AUROC"),
    [
        *(
            (
                label,
                Cell(f"shapes, test, null queries of kind {kind}: mini", "queries", shown=Shown(0)),
                Cell(f"shapes, test, null queries of kind {kind}: mini", "GMR-AUROC"),
            )
            for label, kind in {
                "a form that never appears": "absent",
                "a colour that the form has not": "colour",
                "what the thing never does": "action",
                "two things, in the wrong order": "order",
            }.items()
        ),
        (
            "the same, against true sentences of that form alone",
            Cell("shapes, test, null queries of kind order: mini", "queries", shown=Shown(0)),
            Cell("shapes, test, null queries of kind order beside true ones of that form: mini", "GMR-AUROC"),
        ),
    ],
    note="How well existence tells them from the 630 sentences that are true; chance 50.",
)
EXISTENCE = Table(
    "existence",
    "Existence, beside answers that know half of the question",
    ("", "AUROC", "Rej-F1@0.4", "Rej-F1@0.6", "G-mIoU@1"),
    [
        (
            who if who != "mini" else "the bundled checkpoint",
            *(
                Cell(f"shapes, test, 600 null queries: {who}", f"GMR-{metric}")
                for metric in ("AUROC", "Rej-F1@0.4", *(["Rej-F1@0.6"] if "video alone" not in who else []))
            ),
            *([None] if "video alone" in who else []),
            Cell(f"shapes, test, 600 null queries: {who}", "GMR-G-mIoU@1"),
        )
        for who in (
            "mini",
            "always answer",
            "always reject",
            "the sentence alone (on other videos)",
            "the video alone (other sentences)",
        )
    ],
    Shown(2),
)
CALIBRATION = Table(
    "calibration",
    "How far its probabilities are off, on average",
    ("", "existence", "the first moment overlaps by half"),
    [
        (
            "expected calibration error",
            Cell("shapes, test: mini", "expected_calibration_error_of_existence"),
            Cell("shapes, test: mini", "expected_calibration_error_of_the_first_moment"),
        )
    ],
)


def _without(label: str, grammar: str, variant: str, claim: str = "") -> tuple[str | tuple[str, ...] | Cells, ...]:
    return (claim, label), Cell(f"{grammar}: {variant} - base", R5)


CLAIMS = Table(
    "claims",
    "What each part earns",
    ("claim", "without", "difference"),
    [
        _without("the scan, its convolution kept", "far", "mixer=conv", "scans reach what is far away"),
        _without("the scan, attention behind the convolution in its place", "far", "mixer=attention_conv"),
        _without(
            "spikes, the detector silent",
            "outshone",
            "detector=silent",
            "spikes find the answer among what outshines it",
        ),
        _without("the detector, the gate reading the states", "outshone", "detector=off"),
        _without(
            "slots, with as many parameters elsewhere", "scripts", "slots=none_wider", "slots hold what videos share"
        ),
        _without("the source's slots, others that reach further in their place", "scripts", "slots=reaching"),
    ],
    Shown(interval=True, signed=True),
    note="Differences to the whole network in points of R1@0.5, three seeds each, with 95 % intervals over 150 videos, "
    "on data on which similarity is of little use ([experiments.md](experiments.md)).",
)
_DATA = ("shapes", "far")
MIXED = Table(
    "mixers-learned",
    "What the network learns with each mixer",
    ("", *(head for data in _DATA for head in (f"`{data}`", "R1@0.5 to the scan's"))),
    [
        (
            label,
            *(
                cell
                for data in _DATA
                for cell in (
                    tuple(Cell(f"{data}: {variant}, 3 seeds", metric) for metric in (R5, R7, MAP)),
                    Cell(f"{data}: {variant} - base", R5, shown=Shown(interval=True, signed=True)) if beside else None,
                )
            ),
        )
        for label, variant, beside in (
            ("scan, 16 states", "base", False),
            ("Mamba-2, 64 states", "mixer=mamba2", True),
            ("Hydra, 64 states", "mixer=hydra", True),
        )
    ],
    note="R1@0.5 / R1@0.7 / mAP of 100 test videos of `shapes` and 150 of `far`, three seeds; differences are paired, "
    "with 95 % intervals over videos.",
)
LEFT = Table(
    "claims-floor",
    "What those data leave to chance and to similarity",
    ("", "chance", "similarity, best threshold", "an oracle that knows the codes"),
    [
        (
            f"`{grammar}`",
            *(
                tuple(Cell(f"claims {grammar}, 400/60/150 videos, noise 1.6: {who}", m) for m in (R5, R7, MAP))
                for who in ("chance", "similarity", "oracle")
            ),
        )
        for grammar in ("outshone", "far", "scripts")
    ],
    note="R1@0.5 / R1@0.7 / mAP.",
)
_ASKED = "200 videos, seed 31"
SEARCH = Table(
    "search",
    "One sentence asked of 200 videos",
    ("", "merged hits", "`search`", "difference"),
    [
        (
            label,
            Cell(f"{_ASKED}: merged hits", metric),
            Cell(f"{_ASKED}: search", metric),
            Cell(f"{_ASKED}: search - merged hits", metric, shown=Shown(2, interval=True, signed=True)),
        )
        for label, metric in {
            "R@1, IoU 0.5": "VCMR-R1@0.5",
            "R@10, IoU 0.5": "VCMR-R10@0.5",
            "R@1, IoU 0.7": "VCMR-R1@0.7",
            "R@10, IoU 0.7": "VCMR-R10@0.7",
            "NDCG@10, IoU 0.5": "NDCG10@0.5",
            "NDCG@20, IoU 0.5": "NDCG20@0.5",
            "the video alone, R@1": "VR-R1",
            "the video alone, R@10": "VR-R10",
        }.items()
    ],
    Shown(2),
    note="Merged hits: clips above a threshold, neighbours merged, scored by the nearest clip, as other tools search; "
    "their threshold was chosen on other videos. Differences are paired, with 95 % intervals over videos.",
)
_SAID = {
    "left out of the encoded sentence": "the states without the word's",
    "left out of the sentence": "the sentence with 'nothing' for the word",
    "replaced by `<unknown>`": "the sentence with '<unknown>' for the word",
}
WORDS = Table(
    "words",
    "Which way of hiding a word tells the word that matters",
    ("the word is", "mini", "its encoder, untrained"),
    [
        (
            label,
            *(
                None
                if "untrained" in who and "states" in way
                else Cell(f"{who}, 120 videos: {way}, log share", "right_word")
                for who in ("mini", "its encoder, untrained")
            ),
        )
        for label, way in _SAID.items()
    ],
    Shown(0),
    note="How often the word that tells two events apart has the largest effect of four on the moment's share of all "
    "scores; chance 25.",
)
ENCODER = Table(
    "mini",
    "What mini tells apart",
    ("", "colour", "form", "action", "matching precision"),
    [
        (
            "24 validation videos",
            *(Cell("mini, 24 validation videos", name) for name in ("colour", "form", "action", "matching_precision")),
        )
    ],
    note="How often the sentence of what goes on in a clip scores higher than one with a part of another event "
    "of the clip, chance 50; average precision of true pairs among near misses.",
)
MOTIONS = Table(
    "motions",
    "What VideoMamba learns where single frames say nothing",
    ("set", "backward scan reverses", "in order", "pair", "shuffled", "pair", "one frame", "pair"),
    [
        (
            (name, scan),
            *(
                Cell(f"{name}, 200 videos a class, backward scan reverses {scan}", f"{way}_{metric}")
                for way in ("in_order", "shuffled", "one_frame")
                for metric in ("top1", "pair")
            ),
        )
        for name, scan in (
            ("moves", "spatio_temporal"),
            ("moves", "spatial"),
            ("moves", "temporal"),
            ("orders", "spatio_temporal"),
        )
    ],
    note="Top-1 (chance 8.3 for the twelve classes of `moves`, 12.5 for the eight of `orders`); pair: how often its "
    "own class is likelier than its reversal, chance 50. In `orders` all classes have the same frames.",
)
_ADAPTED = "moves to orders, 40 videos a class: "
ADAPTED = Table(
    "adaptation",
    "Ways to adapt it to other classes",
    ("method", "top-1", "± over seeds", "trained parameters", "s", "peak MB", "stored KB"),
    [
        (
            name,
            Cell(_ADAPTED + name, "top1", shown=Shown(1)),
            Cell(_ADAPTED + name, "top1_sd", shown=Shown(1)),
            *(Cell(_ADAPTED + name, key) for key in ("trained_parameters", "train_s", "peak_mb", "stored_kb")),
        )
        for name in ("scratch", "full", "linear", "prompts", "adapter", "ssp")
    ],
    Shown(0),
    note="A network that learned `moves`, adapted to `orders` on other stages; three seeds, chance 12.5. `ssp`: State "
    "Space Prompting.",
)

_SCANS = ("(32,512,75,16)", "(8,512,1000,16)", "(1,512,8192,16)", "(1,1536,1569,16)")


def _scan(threads: str) -> list[tuple[str | tuple[str, ...] | Cells, ...]]:
    names = {
        "the official loop, unbound": "the same with unbind",
        "plain PyTorch": "plain PyTorch",
        "compiled kernels": "compiled kernels",
    }
    if threads == "2":
        names = {"mambapy's pscan": "mambapy pscan", "our reference": "our reference", **names}
    return [
        (label, *(tuple(Cell(f"{s} {name}", key, threads) for key in ("forward_ms", "both_ms")) for s in _SCANS))
        for label, name in names.items()
    ]


SCAN = Table("scan", "The selective scan on a CPU, two threads", ("ms", *_SCANS), _scan("2"))
SCAN = Table(SCAN.name, SCAN.title, SCAN.head, SCAN.rows, note="Forward / forward and backward; (B, E, L, N), fp32.")
SCAN_ONE = Table("scan-one", "The same on one thread", ("ms", *_SCANS), _scan("1"))
_BLOCKS = "32,107,256,8,8 "
BLOCKS = Table(
    "blocks",
    "What stands around the scan",
    ("ms", "compiled kernels", "plain PyTorch", "spikingjelly, or Conv1d"),
    [
        (
            part,
            *(
                tuple(Cell(f"{_BLOCKS}{part}: {way}", key) for key in ("forward_ms", "both_ms"))
                for way in ("compiled kernels", "ours in plain PyTorch", theirs)
            ),
        )
        for part, theirs in {
            "neurons": "spikingjelly",
            "attention over spikes": "spikingjelly",
            "convolution, both directions": "depthwise Conv1d",
        }.items()
    ],
    note="32 pairs, 107 positions, width 256, 8 steps, 8 heads; forward / forward and backward.",
)
MIXERS = Table(
    "mixers",
    "Whole mixers on a CPU, one thread",
    ("", "forward, ms", "forward and backward, ms", "x the scan's", "peak MiB"),
    [
        (
            name,
            *(Cell(f"(32,75,256) {name}", key, "1") for key in ("forward_ms", "both_ms")),
            Cell(f"(32,75,256) {name}", "times_the_scan", "1", Shown(2)) if beside else None,
            Cell(f"(32,75,256) {name}", "peak_mb", "1", Shown(0)),
        )
        for name, beside in {
            "scan, both": False,
            "mamba2, both": True,
            "hydra": True,
            "scan, forward": False,
            "mamba2, forward": True,
        }.items()
    ],
    note="32 pairs, 75 clips, width 256; the scan has 16 states, the others 64; the ratio is to the same directions.",
)
WHEEL = Table(
    "wheel",
    "Kernels of a wheel",
    ("", "one thread: forward / and backward, ms", "two threads"),
    [
        (
            name,
            *(
                tuple(Cell(f"(8,512,200,16) kernels {name}", way, threads) for way in ("forward_ms", "both_ms"))
                for threads in ("1", "2")
            ),
        )
        for name in ("compiled here", "of a wheel", "of a wheel without threads", "plain PyTorch")
    ],
    note="8 pairs, 512 channels, 200 positions, 16 states; a wheel's kernels are for any x86-64 with AVX2.",
)
_RATES = ("train_pairs_per_s", "train_with_negatives_pairs_per_s")
NETWORK = Table(
    "network",
    "A training step and an answer of the whole network",
    ("", "`shapes`: 60 clips, 0.4 M", "benchmark: 75 clips x 2816, 12.3 M", "1,800 clips"),
    [
        *(
            (f"{label}, {way}", *(Cell(f"{case}: {way}", key) for case in ("shapes", "benchmark")), None)
            for key, label in zip(_RATES, ("training, pairs/s", "with negatives, pairs/s"), strict=True)
            for way in ("kernels", "plain PyTorch")
        ),
        *(
            (
                f"one answer, ms, {way}",
                *(Cell(f"{case}: {way}", "answer_ms") for case in ("shapes", "benchmark", "long")),
            )
            for way in ("kernels", "plain PyTorch")
        ),
    ],
)
_PARTS = (
    *("input projections", "in/out projections", "x/dt projections", "detector projections", "scan"),
    *("convolution and gate", "neurons", "attention over spikes", "heads", "dropout"),
)
ROOFLINE = Table(
    "roofline",
    "Where the work of a training step goes",
    ("ms a pair, forward / backward", "float32", "% of the bound", "bf16", "% of the bound"),
    [
        (
            part,
            *(
                tuple(Cell(f"qvhighlights, {p}: {part}, {which}", key, shown=s) for which in ("forward", "backward"))
                for p in ("fp32", "bf16")
                for key, s in (("ms", Shown(2)), ("reached_percent", Shown(0)))
            ),
        )
        for part in _PARTS
    ],
    note="configs/qvhighlights.yaml, 32 pairs. Bound: the longer of operations / peak and bytes / bandwidth; above "
    "100 % tensors were in the cache.",
)
_LENGTHS = (75, 300, 1200, 4800, 18000)
GROWTH = Table(
    "growth",
    "Growth with the length of the video",
    ("clips", "ms", "MiB", "attention for the scan, ms", "MiB"),
    [
        (
            f"{n:,}",
            *(
                None if who == "attention" and n > 4800 else Cell(f"{who}, {n} clips", key, "1")
                for who in ("scan", "attention")
                for key in ("cpu_ms", "mib")
            ),
        )
        for n in _LENGTHS
    ],
    Shown(0),
    note="One inference of the default network, processor time; memory: the peak above the loaded model and its input.",
)
_BESIDE = {
    "training step, ms": ("training step", "ms"),
    "answer, 75 clips, ms": ("answer, 75 clips", "ms"),
    "answer, 300 clips, ms": ("answer, 300 clips", "ms"),
    "answer, 1,800 clips, ms": ("answer, 1800 clips", "ms"),
    "a sentence of 32 about 75 clips, ms": ("sentence of 32, 75 clips", "ms"),
    "peak memory of training, MB": ("peak memory of training", "peak_mb"),
}
PEER = Table(
    "peer",
    "Beside CG-DETR's own code",
    ("", "ours, fp32", "ours, bf16", "CG-DETR", "fp32 / CG-DETR", "bf16 / CG-DETR"),
    [
        (
            label,
            *(Cell(f"{case}: {who}", key, shown=Shown(0)) for who in ("ours", "auto", "peer")),
            *(Cell(f"{case}: {who}", "times_the_peer", shown=Shown(2)) for who in ("ours", "auto")),
        )
        for label, (case, key) in _BESIDE.items()
    ],
    note="configs/qvhighlights.yaml and its QVHighlights script, in turns in one process; medians of rounds.",
)
LIBRARY = Table(
    "library",
    "A query over a library of clips",
    ("clips", "opening, ms", "ten best clips, ms", "twenty best videos, ms", "float32 BLAS, ms", "ratio", "peak MB"),
    [
        (
            f"{n:,}",
            Cell(f"{n} clips of 512", "open_ms", shown=Shown(1)),
            *(Cell(f"{n} clips of 512", key) for key in ("query_ms", "videos_ms", "blas_ms")),
            Cell(f"{n} clips of 512", "ratio", shown=Shown(2)),
            Cell(f"{n} clips of 512", "peak_mb"),
        )
        for n in (100_000, 1_000_000, 10_000_000)
    ],
    Shown(0),
    note="512 numbers a clip in float16; the product beside it is of float32 that was made and in memory beforehand.",
)
LANCE = Table(
    "lance",
    "The same over a library of LanceDB, a million clips, by its index",
    ("partitions looked into", "rows looked at: 100: recall@20", "ms", "200: recall@20", "ms"),
    [
        (
            str(probes),
            *(
                Cell(f"walk, 1,000,000 clips, nprobes {probes}, ef {ef}", metric, shown=Shown(digits))
                for ef in (100, 200)
                for metric, digits in (("recall@20", 2), ("query_ms", 0))
            ),
        )
        for probes in (4, 8, 16, 32)
    ],
    note="IVF_HNSW_FLAT over float32; recall of the exact scan's 20, which took 5.7 s; videos walk from clip to clip.",
)
SERVE = Table(
    "serve",
    "Many who ask a server",
    ("50 clients, one worker", "one alone, ms", "p50", "p95", "bound of p95", "processor, ms a question"),
    [
        (
            label,
            *(Cell(f"{name}, 50 clients, workers 1", key) for key in ("one_answer_ms", "p50_ms", "p95_ms", "bound_ms")),
            Cell(f"{name}, 50 clients, workers 1", "cpu_ms", shown=Shown(1)),
        )
        for label, name in {"asked before": "remembered", "new sentences": "new"}.items()
    ],
    Shown(0),
    note="The bound is 3 x clients x one answer. Medians of rounds; the newest of each column may be of another run.",
)
EXTRACTION = Table(
    "extraction",
    "Extraction: decoding, encoding and both",
    ("frames a second", "decode alone", "encode alone", "one after the other", "`extract`", "of the slower", "loaded"),
    [
        (
            name,
            *(
                Cell(f"{name}: videos of 10 s, 256 px", key)
                for key in ("decode_fps", "encode_fps", "one_after_the_other_fps", "extract_fps")
            ),
            *(
                Cell(f"{name}: videos of 10 s, 256 px", key, shown=Shown(2))
                for key in ("extract_over_slower", "extract_over_slower_once_loaded")
            ),
        )
        for name in ("mini", "clip", "slowfast")
    ],
    Shown(0),
)
FRAMES = Table(
    "frames",
    "VideoMamba against the number of frames",
    ("frames", "VideoMamba, ms", "MiB", "ViT, fused attention, ms", "MiB", "ViT, scores written out, ms", "MiB"),
    [
        (
            str(n),
            *(
                None if who == "vit-plain" and n > 32 else Cell(f"{who}, {n} frames", key, "2")
                for who in ("videomamba", "vit", "vit-plain")
                for key in ("ms", "mib")
            ),
        )
        for n in (8, 16, 32, 64, 128)
    ],
    Shown(0),
    note="One forward pass, 196 tokens a frame, equal widths.",
)

THEMES = {
    "Moments": [SHAPES, INTERVALS, KINDS, NULLS, EXISTENCE, CALIBRATION],
    "Parts of the network": [CLAIMS, MIXED, LEFT],
    "Libraries and words": [SEARCH, WORDS],
    "Encoders and recognition": [ENCODER, MOTIONS, ADAPTED],
    "Speed of the network": [SCAN, SCAN_ONE, WHEEL, MIXERS, BLOCKS, NETWORK, ROOFLINE, GROWTH, PEER],
    "Speed of the rest": [LIBRARY, LANCE, SERVE, EXTRACTION, FRAMES],
}
"""The page, theme by theme."""

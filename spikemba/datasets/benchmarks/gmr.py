"""Soccer-GMR: football, and queries with one moment, several or none. Labels MIT; the videos are not passed on."""

from spikemba.datasets.benchmark import CLIP_ONLY, SLOWFAST_CLIP, Benchmark, Download, Size
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.datasets.published import published_table
from spikemba.datasets.raw_rows import read_jsonl_rows
from spikemba.metrics import OPEN_ENDED_RANGES

PUBLISHED = published_table(
    "GMR-AUROC GMR-Rej-F1@0.4 GMR-G-mIoU@1 GMR-G-mIoU@3 GMR-G-mIoU@5 GMR-mAP",
    test="""
    sample predictions | 72.09 64.01 35.84 32.89 32.14 7.52 | generalized-moment-retrieval repository, eval/example
    """,
)

_LABELS = "https://raw.githubusercontent.com/dymm9977/generalized-moment-retrieval/main/data/label/Standard"
_SHA256 = {
    "train": "2936ba7b39dc3d8a1759f42ef17500207d18d14c18aa695aecfb739d9e284d91",
    "val": "218537b2fccd604d795c3237a1b351e7288c2ff909a722f1f23b82d1082240a0",
    "test": "d8c47dee986b3ea87ba3e008ac2f5f34b0ab000337631e324a6ecffd1dea910c",
}

BENCHMARK = Benchmark(
    name="gmr",
    title="Soccer-GMR",
    # the repository's other folder, Full, has files of the same names
    files={split: (f"soccer_gmr_{split}.jsonl", f"Standard/{split}.jsonl", f"{split}.jsonl") for split in _SHA256},
    read=lambda path, folder, split: read_jsonl_rows(path),
    home="labels (MIT): github.com/dymm9977/generalized-moment-retrieval, data/label/Standard; features: make your own",
    protocol=ScoringProtocol(ranges=OPEN_ENDED_RANGES),
    sizes={"train": Size(4138, 1369), "val": Size(465, 127), "test": Size(1036, 461)},
    packs=(SLOWFAST_CLIP, CLIP_ONLY),
    downloads=tuple(
        Download(f"{_LABELS}/{split}.jsonl", f"soccer_gmr_{split}.jsonl", sha256) for split, sha256 in _SHA256.items()
    ),
    published=PUBLISHED,
)

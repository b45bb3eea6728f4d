"""The five benchmarks: their files, published sizes, feature packs, and where everything comes from. Needs no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spikemba.config import Tree
from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmarks import charades_sta, tacos, tvsum, youtube_highlights
from spikemba.datasets.benchmarks.raw import RawRows, read_jsonl_rows
from spikemba.errors import UnknownName

Reader = Callable[[Path, Path, str], RawRows]
"""(file, folder it was found in, split) -> rows."""


@dataclass(frozen=True)
class Size:
    """What a split holds in every paper."""

    rows: int
    videos: int


@dataclass(frozen=True)
class Pack:
    """A layout of feature folders that is in circulation."""

    name: str
    video: tuple[tuple[str, ...], ...]
    """For each stream, in the order in which they are joined, the names its folder goes by."""
    text: tuple[str, ...]
    """Names of the folder of query features, or of a file of word vectors."""
    settings: Tree = field(default_factory=dict)
    """Keys of the data section that this pack wants otherwise than the benchmark's configuration."""


@dataclass(frozen=True)
class Download:
    """A file that is public by direct link."""

    url: str
    name: str
    """Under which it is kept."""
    sha256: str | None = None
    """None where no trustworthy checksum is known; what was fetched is then recorded instead."""
    max_bytes: int = 64_000_000
    """What the file may hold at most, unpacked."""
    large: bool = False
    """Only fetched with --videos, because it is hundreds of megabytes."""


@dataclass(frozen=True)
class BenchmarkFiles:
    """All that preparing a benchmark has to know."""

    name: str
    title: str
    files: Mapping[str, tuple[str, ...]]
    """Split -> names of the file that holds it, in order of preference; `all` for a file with every split."""
    sizes: Mapping[str, Size]
    read: Reader
    packs: tuple[Pack, ...]
    home: str
    """Where annotations and features come from, in a sentence."""
    is_test: Callable[[Annotation], bool] | None = None
    """Which rows of a file with every split are for testing."""
    held_out: float = 0.0
    """Share of the training videos kept back to choose the epoch, where papers choose it on the test split."""
    downloads: tuple[Download, ...] = ()


SLOWFAST = ("slowfast_features", "vid_slowfast", "slowfast")
CLIP = ("clip_features", "vid_clip", "clip")
CLIP_TEXT = ("clip_text_features", "txt_clip", "clip_text")
PANNS = ("pann_features", "audio_features", "pann")

_SLOWFAST_CLIP = Pack("slowfast+clip", (SLOWFAST, CLIP), CLIP_TEXT)
_CLIP_SLOWFAST = Pack("clip+slowfast", (CLIP, SLOWFAST), CLIP_TEXT)
_CLIP_ONLY = Pack("clip", (CLIP,), CLIP_TEXT)
_WITH_AUDIO = Pack("slowfast+clip+pann", (SLOWFAST, CLIP, PANNS), CLIP_TEXT)
_VGG = Pack(
    "vgg+glove",
    (("vgg_features/rgb_features", "vgg_features", "rgb_features"),),
    ("glove.6B.300d.txt", "glove.txt"),
    {"clip_s": 1 / 6},
)
_I3D = Pack("i3d", (("video_features", "i3d"),), ("query_features", *CLIP_TEXT))
_I3D_WITH_AUDIO = Pack("i3d+pann", (("video_features", "i3d"), PANNS), ("query_features", *CLIP_TEXT))


def _jsonl(path: Path, folder: Path, split: str) -> RawRows:  # noqa: ARG001
    return read_jsonl_rows(path)


def _charades(path: Path, folder: Path, split: str) -> RawRows:
    return charades_sta.read_charades(path, folder, charades_sta.FIRST_TEST_ID if split == "test" else 0)


_MOMENT_DETR = "https://raw.githubusercontent.com/jayleicn/moment_detr/main/data"
_QVH_FILES = {
    "highlight_train_release.jsonl": "fd28404187468f57cf99242be2963127dc9b4aef26c7de3cb9469569801f2625",
    "highlight_val_release.jsonl": "f668a1eaea156ec5315e14718999cea043a8cf948d3cafbd8e8d655318c3cd02",
    "highlight_test_with_gt.jsonl": "bd50ec6bb5dd3f72571126ba5fdc7418efdd9219a9487984e483a02e2ce5d493",
}
_LIGHTHOUSE = "https://raw.githubusercontent.com/line/lighthouse/main/data"
_LIGHTHOUSE_FILES = {
    "charades": {
        "charades_train_release.jsonl": "bcb0deddbb552354323a26dd39d3d9f2fe6d9b70fd9e51697344317364962442",
        "charades_test_release.jsonl": "13d6e9152794d87bb501a827edcbe69e5c0428f0af60e926e6b87e4f452ad5b2",
    },
    "tacos": {
        "tacos_train_release.jsonl": "d5c931511093d0e4a4a7f5b6592420ac1c33e2a824eb3024408f538593959e7f",
        "tacos_val_release.jsonl": "1f75348f28e3dcf1e4941eb3477cf7c7b6d587ca21c060d38a35b25029090107",
        "tacos_test_release.jsonl": "07e29508bfc2d512f1ec2f7b70b289ab094dd8ed8f39403fc42be14be62bb675",
    },
    "youtube_highlight": {
        "youtube_highlight_train_release.jsonl": "42eeb3ff6a600edadb8174cba3051cea2b323029b71e6aee750fef70f606a71e",
        "youtube_highlight_val_release.jsonl": "3a0ffaa30695952f9f8c882947825328f4fea71dd34ce47b30d4160c79b37785",
    },
}


def _lighthouse(folder: str) -> tuple[Download, ...]:
    files = _LIGHTHOUSE_FILES[folder].items()
    return tuple(Download(f"{_LIGHTHOUSE}/{folder}/{name}", name, sha256) for name, sha256 in files)


BENCHMARKS: dict[str, BenchmarkFiles] = {
    "qvhighlights": BenchmarkFiles(
        name="qvhighlights",
        title="QVHighlights",
        files={
            "train": ("highlight_train_release.jsonl",),
            "val": ("highlight_val_release.jsonl",),
            "test": ("highlight_test_with_gt.jsonl", "highlight_test_release.jsonl"),
        },
        sizes={"train": Size(7218, 7100), "val": Size(1550, 1519), "test": Size(1542, 1529)},
        read=_jsonl,
        packs=(_SLOWFAST_CLIP, _CLIP_ONLY, _WITH_AUDIO),
        home="annotations: github.com/jayleicn/moment_detr, data/; features: moment_detr_features.tar.gz, linked there",
        downloads=tuple(Download(f"{_MOMENT_DETR}/{name}", name, sha256) for name, sha256 in _QVH_FILES.items()),
    ),
    "charades_sta": BenchmarkFiles(
        name="charades_sta",
        title="Charades-STA",
        files={
            split: (
                f"charades_{split}_release.jsonl",
                f"charades_sta_{split}_tvr_format.jsonl",
                f"charades_sta_{split}.jsonl",
                f"charades_sta_{split}.txt",
            )
            for split in ("train", "test")
        },
        sizes={"train": Size(12_404, 5336), "test": Size(3720, 1334)},
        read=_charades,
        packs=(_SLOWFAST_CLIP, _CLIP_ONLY, _VGG),
        home="annotations: github.com/line/lighthouse, data/charades; features: links in github.com/wjun0830/CGDETR",
        held_out=0.1,
        downloads=_lighthouse("charades"),
    ),
    "tacos": BenchmarkFiles(
        name="tacos",
        title="TACoS",
        files={
            split: (f"tacos_{split}_release.jsonl", f"{split}.jsonl", f"{split}.json")
            for split in ("train", "val", "test")
        },
        sizes={"train": Size(9790, 75), "val": Size(4436, 27), "test": Size(4001, 25)},
        read=lambda path, folder, split: tacos.read_tacos(path),
        packs=(_SLOWFAST_CLIP, _CLIP_ONLY),
        home="annotations: github.com/line/lighthouse, data/tacos; features: links in github.com/wjun0830/CGDETR",
        downloads=_lighthouse("tacos"),
    ),
    "tvsum": BenchmarkFiles(
        name="tvsum",
        title="TVSum",
        files={
            "all": ("ydata-tvsum50.mat",),
            "train": ("tvsum_train_release.jsonl", "tvsum_train.jsonl"),
            "test": ("tvsum_val_release.jsonl", "tvsum_val.jsonl"),
        },
        sizes={"train": Size(40, 40), "test": Size(10, 10)},
        read=lambda path, folder, split: tvsum.read_tvsum(path),
        packs=(_I3D, _CLIP_SLOWFAST, _CLIP_ONLY, _I3D_WITH_AUDIO),
        home="labels and videos: people.csail.mit.edu/yalesong/tvsum; I3D features: links in github.com/TencentARC/UMT",
        is_test=tvsum.is_test,
        held_out=0.25,
        downloads=(
            Download(
                "https://raw.githubusercontent.com/yalesong/tvsum/master/matlab/ydata-tvsum50.mat",
                "ydata-tvsum50.mat",
                "6a9d2a0cee7f577736cd38ba3cdb746f86635012791eaaec933480ec00eb9d36",
            ),
            Download(
                "https://people.csail.mit.edu/yalesong/tvsum/tvsum50_ver_1_1.tgz",
                "tvsum50_ver_1_1.tgz",
                max_bytes=2_000_000_000,
                large=True,
            ),
        ),
    ),
    "youtube_highlights": BenchmarkFiles(
        name="youtube_highlights",
        title="YouTube Highlights",
        files={
            "train": ("youtube_highlight_train_release.jsonl", "youtube_train.jsonl"),
            "test": ("youtube_highlight_val_release.jsonl", "youtube_valid.jsonl"),
            "all": ("youtube_anno.json",),
        },
        sizes={"train": Size(233, 233), "test": Size(152, 152)},
        read=lambda path, folder, split: youtube_highlights.read_youtube(path),
        packs=(_CLIP_SLOWFAST, _CLIP_ONLY, _I3D),
        home="labels: github.com/line/lighthouse, data/youtube_highlight; features: links in github.com/showlab/UniVTG",
        is_test=youtube_highlights.is_test,
        held_out=0.2,
        downloads=_lighthouse("youtube_highlight"),
    ),
}


def benchmark_files(name: str) -> BenchmarkFiles:
    """All about one benchmark. Raises UnknownName with the list of names."""
    if name not in BENCHMARKS:
        raise UnknownName("benchmark", name, sorted(BENCHMARKS))
    return BENCHMARKS[name]

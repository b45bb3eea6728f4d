"""The form of a benchmark: all that its one file in `benchmarks/` says of it, and the feature packs they share.

Everything that handles benchmarks asks such an entry: preparing, downloading, scoring, the command line. No torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from spikemba.config import Tree
from spikemba.datasets.annotations import Annotation
from spikemba.datasets.protocol import ScoringProtocol
from spikemba.datasets.published import PublishedTable
from spikemba.datasets.raw_rows import RawRows

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

    @property
    def n_sound(self) -> int:
        """How many of the last streams are sound, which not every video has; there is another one before them."""
        return sum(1 for _ in takewhile(set(PANNS).issuperset, reversed(self.video[1:])))


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
    """Only fetched with --with-videos, because it is hundreds of megabytes."""


@dataclass(frozen=True)
class Benchmark:
    """All that anything needs to know of a benchmark; how it is trained is in `configs/NAME.yaml`."""

    name: str
    """That of its module and of its configuration."""
    title: str
    """As papers write it."""
    files: Mapping[str, tuple[str, ...]]
    """Split, or `all` for every split -> names of the file that holds it, in order of preference.

    Whether the splits or `all` come first says what is looked for first.
    """
    read: Reader
    """Reads any of these files."""
    home: str
    """Where annotations and features come from, in a sentence."""
    protocol: ScoringProtocol = field(default_factory=ScoringProtocol)
    """How it is scored."""
    sizes: Mapping[str, Size] = field(default_factory=dict)
    """Split -> what papers have; other counts are a warning."""
    packs: tuple[Pack, ...] = ()
    """Feature packs in circulation, in order of preference."""
    domains: tuple[str, ...] = ()
    """Highlight sets: the kinds of video, each of which gets a model of its own."""
    is_test: Callable[[Annotation], bool] | None = None
    """Which rows of a file with every split are for testing."""
    held_out: float = 0.0
    """Share of the training videos kept back to choose the epoch, where papers choose it on the test split."""
    downloads: tuple[Download, ...] = ()
    """What `prepare NAME --download` fetches."""
    own_features: Tree = field(default_factory=dict)
    """Keys of the data section for features that were made here, a row every `clip_s`, and not by the pack's makers."""
    published: PublishedTable | None = None
    """Results that `evaluate --table` prints beside ours."""


def files_at(address: str, files: Mapping[str, str]) -> tuple[Download, ...]:
    """Files of one folder of a site. files: name -> SHA-256."""
    return tuple(Download(f"{address}/{name}", name, sha256) for name, sha256 in files.items())


SLOWFAST = ("slowfast_features", "vid_slowfast", "slowfast")
CLIP = ("clip_features", "vid_clip", "clip")
CLIP_TEXT = ("clip_text_features", "txt_clip", "clip_text")
PANNS = ("pann_features", "audio_features", "pann")
_I3D = ("video_features", "i3d")
_I3D_TEXT = ("query_features", *CLIP_TEXT)

_BLIP2, _BLIP2_TEXT = ("blip_video_features",), ("blip_text_features", "blip_aug_text_features_openai")
_INTERNVIDEO2 = (
    "qvhighlight_internvideo2_videoclip_6b_w2s",
    "internvideo2_videoclip_6b_w2s",
    "qvhighlight_internvideo2_6b",
    "qvhighlight_6b",
)
_LLAMA = (
    "qvhighlight_internvideo2_llama_text_feature",
    "internvideo2_llama_text_feature",
    "qvhighlight_llama_text_feature",
)

SLOWFAST_CLIP = Pack("slowfast+clip", (SLOWFAST, CLIP), CLIP_TEXT)
CLIP_SLOWFAST = Pack("clip+slowfast", (CLIP, SLOWFAST), CLIP_TEXT)
CLIP_ONLY = Pack("clip", (CLIP,), CLIP_TEXT)
WITH_AUDIO = Pack("slowfast+clip+pann", (SLOWFAST, CLIP, PANNS), CLIP_TEXT)
INTERNVIDEO2 = Pack("internvideo2", (_INTERNVIDEO2,), _LLAMA, {"max_tokens": 40})
WITH_BLIP2 = Pack("slowfast+clip+blip2", (SLOWFAST, CLIP, _BLIP2), _BLIP2_TEXT)
PE_CORE = Pack("pe_core", (("pe_core", "pe_core_features"),), ("pe_core_text", "pe_core_text_features"))
I3D = Pack("i3d", (_I3D,), _I3D_TEXT)
I3D_WITH_AUDIO = Pack("i3d+pann", (_I3D, PANNS), _I3D_TEXT)

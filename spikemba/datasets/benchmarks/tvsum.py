"""TVSum: the official MATLAB file, and the peers' jsonl, to which the true seconds are restored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.benchmark import (
    CLIP_ONLY,
    CLIP_SLOWFAST,
    I3D,
    I3D_WITH_AUDIO,
    Benchmark,
    Download,
    Size,
)
from spikemba.datasets.protocol import TOP5_OF_ANNOTATORS
from spikemba.datasets.published import published_table
from spikemba.datasets.raw_rows import RawRows, read_jsonl_rows
from spikemba.errors import AnnotationError
from spikemba.reading.hdf5 import open_hdf5
from spikemba.reading.unreadable import Unreadable

SHOT_S = 2.0
"""Seconds that one label is about."""

FRAME_RATES = (24_000 / 1001, 24.0, 25.0, 30_000 / 1001, 30.0)
"""Frames per second that the videos can have."""

COLUMNS = ("video", "category", "title", "length", "user_anno")
"""Of the official file's table."""
MAX_VIDEOS = 10_000
LONGEST_S = 1e6

TEST_VIDEOS = frozenset(
    {"Se3oxnaPsz0", "JgHubY5Vw3Y", "E11zDS9XGzg", "JKpqYvAdIsw", "Bhxk-O1Y7Ho"}
    | {"Yi4Ij2NM7U4", "cjibtmSLxQ4", "fWutDQy1nnY", "J0nA4VgnoCo", "sTEELN-vY30"}
)
"""The video of each domain on which every paper reports; the other four are for training."""

# Seconds of each video; the peers' jsonl gives the number of shots instead.
_LENGTHS = """
    AwmHb44_ouw=353.593 98MoyGZKHXc=187.524 J0nA4VgnoCo=584.725 gzDbaEs1Rlg=288.415 XzYM3PfTM4w=111.015
    HT5vyqe0Xaw=322.711 sTEELN-vY30=148.956 vdmoEJ5YbrQ=329.352 xwqBXPGE9pQ=233.918 akI8YFjEmUw=133.306
    i3wAGJaaktw=156.828 Bhxk-O1Y7Ho=450.839 0tmA_C6XwfM=141.293 3eYKfiOEJNs=194.142 xxdtq8mxegs=144.149
    WG0MBPpPC6I=397.689 Hl-__g2gn_A=243.833 Yi4Ij2NM7U4=405.467 37rzWOQsNIw=191.611 LRw_obCPUt0=260.319
    cjibtmSLxQ4=647.535 b626MiF1ew4=235.891 XkqCExn6_Us=187.896 GsAD1KT1xo8=145.357 PJrm840pAUI=274.181
    91IHQYk1IQM=110.527 RBCABdttQmI=364.275 z_6gVvQb2d0=276.317 fWutDQy1nnY=585.863 4wU_LUjG5Ic=167.044
    VuWGsYPqAX8=216.503 JKpqYvAdIsw=152.091 xmEERLqJ2kU=445.962 byxOvuiIJV0=154.552 _xMr-HKMfVA=148.933
    WxtbjNsCQ8A=265.567 uGu_10sucQo=167.044 EE-bNr36nyA=98.151 Se3oxnaPsz0=138.867 oDXZc0tZe04=380.854
    qqR6AEXwxoQ=269.375 EYqVtI9YWJA=198.182 eQu1rNs0an0=164.537 JgHubY5Vw3Y=143.615 iVt07TCkFM0=104.281
    E11zDS9XGzg=510.235 NyBmCxDoHJU=189.614 kLxoNp-UchI=130.008 jcoYJXDG9sw=199.25 -esJrBWj2d8=230.412
"""
LENGTH_S = {video: float(seconds) for video, seconds in (item.split("=") for item in _LENGTHS.split())}


def read_tvsum(path: Path) -> RawRows:
    """The MATLAB file, with all 50 videos, or a jsonl of some. Raises AnnotationError."""
    if path.suffix == ".mat":
        return _read_mat(path)
    found = read_jsonl_rows(path)
    found.rows = [(place, _with_seconds(row)) for place, row in found.rows]
    return found


def is_test(annotation: Annotation) -> bool:
    """Whether the video is of the test split."""
    return annotation.video_id in TEST_VIDEOS


def shot_labels(of_frames: NDArray[Any], duration_s: float) -> NDArray[Any]:
    """(A, T) importances per frame -> (L, A) per shot: those of the frame in the middle of each whole shot.

    Shots were counted at the nominal frame rate, which is the standard rate nearest to frames by seconds: the video
    that ends 8 ms after its 65th shot has 64. Importances are constant within a shot but for its borders, which the
    middle keeps clear of.
    """
    n_frames = of_frames.shape[1]
    fps = n_frames / duration_s
    nominal = min(FRAME_RATES, key=lambda rate: abs(rate - fps))
    n_shots = int(n_frames / (SHOT_S * nominal))
    middles = ((np.arange(n_shots) + 0.5) * SHOT_S * fps).astype(np.intp)
    return of_frames[:, np.minimum(middles, n_frames - 1)].T


def _with_seconds(row: Annotation) -> Annotation:
    """The row with its true duration where the jsonl holds the number of labels."""
    counts = row.duration_s == len(row.labels)
    return replace(row, duration_s=LENGTH_S.get(row.video_id, SHOT_S * len(row.labels))) if counts else row


def _read_mat(path: Path) -> RawRows:
    found = RawRows(path)
    try:
        with open_hdf5(path) as file:
            columns = {name: file.array("tvsum50", name).ravel() for name in COLUMNS}
            n = len(columns["video"])
            if n > MAX_VIDEOS or any(len(of) != n for of in columns.values()):
                raise Unreadable(f"its columns are {', '.join(str(len(of)) for of in columns.values())} long")
            for i in range(n):
                found.rows.append((f"video {i + 1}", _row({name: file.array(columns[name][i]) for name in COLUMNS})))
    except OSError as error:
        raise AnnotationError(path, [f"cannot be read: {error.strerror or error}"]) from None
    except Unreadable as fault:
        raise AnnotationError(
            path, [f"is not TVSum's MATLAB file ({fault}); expected MATLAB 7.3 with tvsum50"]
        ) from None
    return found


def _row(columns: dict[str, NDArray[Any]]) -> Annotation:
    video_id, seconds, importances = _text(columns["video"]), columns["length"], columns["user_anno"]
    if seconds.size != 1 or not 0 < float(seconds.item()) < LONGEST_S or importances.ndim != 2 or not importances.size:
        raise Unreadable(f"video {video_id!r} has no length or no importances")
    duration_s = float(seconds.item())
    return Annotation(
        query_id=video_id,
        query=_text(columns["title"]).strip('"'),
        video_id=video_id,
        duration_s=duration_s,
        labels=tuple(tuple(map(float, of_shot)) for of_shot in shot_labels(importances, duration_s)),
        domain=_text(columns["category"]),
    )


def _text(codes: NDArray[Any]) -> str:
    """MATLAB's characters; the titles are UTF-8 that was stored byte by byte."""
    if codes.dtype.kind not in "iu":
        raise Unreadable(f"a text is stored as {codes.dtype}")
    return bytes(codes.ravel().astype(np.uint8)).decode("utf-8", "replace")


PUBLISHED = published_table(
    "mAP-VT mAP-VU mAP-GA mAP-MS mAP-PK mAP-PR mAP-FM mAP-BK mAP-BT mAP-DS mAP",
    test="""
    UMT-S | 87.54 81.51 88.22 78.81 81.42 86.96 75.96 86.89 84.42 79.63 83.14 | UMT repository, README
    UniVTG PT | 92.04 77.81 89.78 83.83 82.22 85.81 74.33 91.78 90.47 77.57 84.56 | UniVTG repository, model.md
    R2-Tuning | 89.81 85.90 89.51 85.01 82.82 90.39 75.61 91.23 92.35 80.88 86.35 | R2-Tuning repository, README
    Moment-DETR (lighthouse) | ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ 86.7 | lighthouse repository, reproduced_results.md, I3D and CLIP
    QD-DETR (lighthouse) | ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ 87.1 | lighthouse repository, reproduced_results.md, I3D and CLIP
    EaTR (lighthouse) | ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ 85.0 | lighthouse repository, reproduced_results.md, I3D and CLIP
    UVCOM (lighthouse) | ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ 87.9 | lighthouse repository, reproduced_results.md, I3D and CLIP
    TaskWeave (lighthouse) | ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ 83.5 | lighthouse repository, reproduced_results.md, I3D and CLIP
    CG-DETR (lighthouse) | ~ ~ ~ ~ ~ ~ ~ ~ ~ ~ 87.9 | lighthouse repository, reproduced_results.md, I3D and CLIP
    """,
)

BENCHMARK = Benchmark(
    name="tvsum",
    title="TVSum",
    files={
        "all": ("ydata-tvsum50.mat",),
        "train": ("tvsum_train_release.jsonl", "tvsum_train.jsonl"),
        "test": ("tvsum_val_release.jsonl", "tvsum_val.jsonl"),
    },
    read=lambda path, folder, split: read_tvsum(path),
    home="labels and videos: people.csail.mit.edu/yalesong/tvsum; I3D features: links in github.com/TencentARC/UMT",
    protocol=TOP5_OF_ANNOTATORS,
    sizes={"train": Size(40, 40), "test": Size(10, 10)},
    packs=(I3D, CLIP_SLOWFAST, CLIP_ONLY, I3D_WITH_AUDIO),
    domains=("BK", "BT", "DS", "FM", "GA", "MS", "PK", "PR", "VT", "VU"),
    is_test=is_test,
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
    published=PUBLISHED,
)

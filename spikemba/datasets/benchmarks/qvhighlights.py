"""QVHighlights: the jsonl of Moment-DETR, whose form the others have taken over."""

from spikemba.datasets.benchmark import (
    CLIP_ONLY,
    INTERNVIDEO2,
    PE_CORE,
    SLOWFAST_CLIP,
    WITH_AUDIO,
    WITH_BLIP2,
    Benchmark,
    Size,
    files_at,
)
from spikemba.datasets.published import published_table
from spikemba.datasets.raw_rows import read_jsonl_rows

PUBLISHED = published_table(
    "MR-full-R1@0.5 MR-full-R1@0.7 MR-full-mAP@0.5 MR-full-mAP@0.75 MR-full-mAP "
    "HL-min-VeryGood-mAP HL-min-VeryGood-Hit1",
    test="""
    Moment-DETR | 52.89 33.02 54.82 29.40 30.73 ~ ~ | second-hand: tables of Sim-DETR, BAM-DETR, TD-DETR
    QD-DETR | 62.40 44.98 62.52 39.88 39.86 ~ ~ | second-hand: tables of Sim-DETR, BAM-DETR, TD-DETR
    UniVTG | ~ ~ ~ ~ 35.47 ~ 60.96 | UniVTG repository, model.md
    UniVTG PT | ~ ~ ~ ~ 43.63 ~ 66.28 | UniVTG repository, model.md
    UVCOM | 63.55 47.47 ~ ~ 43.18 39.74 64.20 | UVCOM repository, README
    TR-DETR | 64.66 48.96 63.98 43.73 42.62 ~ ~ | second-hand: table of Sim-DETR
    CG-DETR | 65.43 48.38 64.51 42.77 42.86 ~ ~ | second-hand: table of Sim-DETR
    BAM-DETR | 62.71 48.64 64.57 46.33 45.36 ~ ~ | second-hand: tables of Sim-DETR, BAM-DETR
    TD-DETR | 64.53 50.37 66.21 47.32 46.69 ~ ~ | second-hand: a reading note on TD-DETR
    Sim-DETR | 67.64 50.91 67.81 47.59 46.93 ~ ~ | second-hand: a reading note on Sim-DETR
    SpikingVTG | 65.29 ~ 64.31 ~ ~ ~ 65.82 | second-hand: a reading note on SpikingVTG
    Moment-DETR (lighthouse) | 54.4 33.9 ~ ~ ~ 32.6 56.7 | lighthouse repository, reproduced_results.md
    QD-DETR (lighthouse) | 62.1 44.6 ~ ~ ~ 38.8 61.6 | lighthouse repository, reproduced_results.md
    EaTR (lighthouse) | 57.2 38.9 ~ ~ ~ 36.6 57.9 | lighthouse repository, reproduced_results.md
    TR-DETR (lighthouse) | 65.2 48.8 ~ ~ ~ 39.8 62.1 | lighthouse repository, reproduced_results.md
    UVCOM (lighthouse) | 62.6 47.6 ~ ~ ~ 39.6 62.8 | lighthouse repository, reproduced_results.md
    CG-DETR (lighthouse) | 64.9 48.1 ~ ~ ~ 40.7 67.0 | lighthouse repository, reproduced_results.md
    """,
    val="""
    QD-DETR | 62.90 46.77 62.66 41.51 41.24 39.49 64.13 | logged metrics in the authors' repository
    TR-DETR | 67.10 51.48 66.27 46.42 45.09 40.55 64.77 | logged metrics in the authors' repository
    CG-DETR | 67.35 52.06 65.57 45.73 44.93 40.79 66.71 | logged metrics in the authors' repository
    CG-DETR (CLIP only) | 65.42 49.61 65.99 44.39 43.56 39.03 62.97 | logged metrics in the authors' repository
    UVCOM | 65.10 51.81 ~ ~ 45.79 40.03 63.29 | UVCOM repository, README
    R2-Tuning (CLIP) | 67.74 51.87 ~ ~ 47.86 39.45 ~ | R2-Tuning repository, README
    UniVTG (re-run) | 59.87 44.32 59.09 40.25 38.48 39.22 64.71 | Video-Mamba-Suite repository, README
    UniVTG with ViM | 65.55 50.77 63.97 46.11 44.74 40.22 64.26 | Video-Mamba-Suite repository, README
    UniVTG with DBM | 66.65 52.19 64.37 46.68 45.18 40.18 64.77 | Video-Mamba-Suite repository, README
    """,
)

BENCHMARK = Benchmark(
    name="qvhighlights",
    title="QVHighlights",
    files={
        "train": ("highlight_train_release.jsonl",),
        "val": ("highlight_val_release.jsonl",),
        "test": ("highlight_test_with_gt.jsonl", "highlight_test_release.jsonl"),
    },
    read=lambda path, folder, split: read_jsonl_rows(path),
    home="annotations: github.com/jayleicn/moment_detr, data/; features: moment_detr_features.tar.gz, linked there",
    sizes={"train": Size(7218, 7100), "val": Size(1550, 1519), "test": Size(1542, 1529)},
    packs=(SLOWFAST_CLIP, CLIP_ONLY, WITH_AUDIO, INTERNVIDEO2, WITH_BLIP2, PE_CORE),
    downloads=files_at(
        "https://raw.githubusercontent.com/jayleicn/moment_detr/main/data",
        {
            "highlight_train_release.jsonl": "fd28404187468f57cf99242be2963127dc9b4aef26c7de3cb9469569801f2625",
            "highlight_val_release.jsonl": "f668a1eaea156ec5315e14718999cea043a8cf948d3cafbd8e8d655318c3cd02",
            "highlight_test_with_gt.jsonl": "bd50ec6bb5dd3f72571126ba5fdc7418efdd9219a9487984e483a02e2ce5d493",
        },
    ),
    published=PUBLISHED,
)

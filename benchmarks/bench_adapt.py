"""What a video encoder gains by learning through the grounding loss: ways to adapt it, on drawn shapes.

    python benchmarks/bench_adapt.py --work FOLDER [--backbone FILE|FOLDER] [--methods linear ssp full]

Draws videos, encodes the queries with the mini encoder, and trains the same small SpikeMba on the same clips with each
method; without --backbone the encoder begins at random, so that all it knows comes through the grounding loss. One JSON
line per method: metrics on held-out videos, trained parameters of the encoder, seconds, peak memory of the process.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from record import Record, options

SIZES = {"width": 64, "n_blocks": 4, "n_frames": 8, "size_px": 64, "tubelet": [2, 8, 8], "n_classes": 1}
"""Of the encoder that begins at random."""
SHOWN = ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP", "HL-min-VeryGood-mAP", "HL-min-VeryGood-Hit1")


def prepare(work: Path, n_train: int, n_val: int) -> None:
    """The corpus, its queries' features, and the encoder that begins at random."""
    import torch

    from pipelines.extraction.extract import extract
    from pipelines.preparation.prepare import prepare_shapes
    from pipelines.preparation.shapes_corpus import ShapesConfig
    from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, save_video_checkpoint
    from spikemba.model.video_mamba.network import VideoMamba, VideoMambaConfig

    prepared = prepare_shapes(work / "shapes", ShapesConfig(train=n_train, val=n_val, test=0, seed=21))
    files = [work / "shapes" / f"{name}.jsonl" for name in prepared.n_queries]
    extract([], "mini", work / "shapes" / "features", queries=files)
    torch.manual_seed(0)
    model = VideoMamba(VideoMambaConfig.parse(SIZES))
    save_video_checkpoint(work / "random", VideoCheckpoint(model))


def measure(method: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train with one method; the metrics of its best epoch."""
    from pipelines.tasks.adaptation.adapt import adaptation_config, parameter_count
    from pipelines.tasks.train import train
    from pipelines.training.device_memory import peak_memory_mb
    from pipelines.training.loop import device_of

    work = arguments.work
    settings = [
        *("model.width=64", "model.n_blocks=2", "model.slots.n_slots=4", "model.spiking_saliency.n_spike_steps=4"),
        *(f"train.epochs={arguments.epochs}", f"train.seed={seed}", "train.batch_size=16", "train.schedule=cosine"),
        *("train.learning_rate=1e-3", "train.clip_norm=1.0", "model.input_dropout=0.1", "encoder.drop_path=0"),
        *("encoder.readout=mean", "encoder.clips_at_once=16", f"train.validate_every={arguments.validate_every}"),
        *("encoder.max_share=null" if arguments.wide else "encoder.max_share=0.03",),
    ]
    config = adaptation_config(
        work / "shapes" / "config.yaml",
        settings,
        videos=work / "shapes" / "videos",
        backbone=arguments.backbone or work / "random",
        method=method,  # type: ignore[arg-type]
    )
    count, started = parameter_count(config), time.perf_counter()
    result = train(config, work / f"{method}-{seed}", resume=True)
    seconds = time.perf_counter() - started
    return {
        "method": method,
        "seed": seed,
        "trained": count.trained,
        "share": round(count.share, 4),
        **{name: result.best[name] for name in SHOWN if name in result.best},
        "best_epoch": result.best_epoch,
        "seconds": round(seconds, 1),
        "mb": round(peak_memory_mb(device_of(config.train))),
    }


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for videos and runs")
    parser.add_argument("--backbone", type=Path, help="video checkpoint or public file; by default random")
    parser.add_argument("--methods", nargs="*", default=["linear", "ssp", "prompts", "adapter", "full"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--train", type=int, default=80, help="training videos")
    parser.add_argument("--val", type=int, default=20, help="held-out videos")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--validate-every", type=int, default=5)
    parser.add_argument("--wide", action="store_true", help="prompting as published, not within 3 %% of the encoder")
    parser.add_argument("--case", nargs=2, metavar=("METHOD", "SEED"), help="measure one case in this process")
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case[0], int(arguments.case[1]), arguments)))
        return
    record = Record(arguments)
    prepare(arguments.work, arguments.train, arguments.val)
    for method in arguments.methods:
        for seed in arguments.seeds:
            case = [sys.executable, __file__, *sys.argv[1:], "--case", method, str(seed)]
            line = subprocess.run(case, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            print(line, flush=True)
            row = json.loads(line)
            name = f"{method} through the grounding loss, {arguments.train} videos, seed {seed}"
            record.quality(name, {key: row.get(key) for key in SHOWN})
            record.speed(name, {"trained_parameters": row["trained"], "train_s": row["seconds"], "peak_mb": row["mb"]})
    record.keep()


if __name__ == "__main__":
    main()

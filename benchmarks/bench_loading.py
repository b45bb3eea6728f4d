"""What loading costs beside the model: QVHighlights-sized pairs read from disk, from memory, and trained on.

    python benchmarks/bench_loading.py --pairs 512

Prints pairs per second of each part, and the share of an epoch over cached features that is spent loading.
"""

import json
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import Record, options

from pipelines.tasks.grounding.config import load_config
from pipelines.training.optimizer import decay_groups, make_optimizer
from spikemba import features
from spikemba.batch import Batch
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.base import DataConfig, GroundingDataset
from spikemba.datasets.collate import collate
from spikemba.features import Manifest
from spikemba.losses import grounding_loss
from spikemba.model import SpikeMba
from spikemba.moments import Window

BATCH = 64
WIDTHS = {"slowfast": 2304, "clip": 512}


def main() -> None:
    """Print one JSON line."""
    parser = options(__doc__)
    parser.add_argument("--pairs", type=int, default=512, help="Pairs in the data set, a multiple of 64.")
    parser.add_argument("--steps", type=int, default=3, help="Training steps that are timed.")
    parser.add_argument("--step-pairs", type=int, default=8, help="Pairs per timed step: 64 take 10 GB in training.")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    record = Record(arguments)
    with tempfile.TemporaryDirectory() as folder:
        dataset = GroundingDataset(write_pairs(Path(folder), arguments.pairs), "train")
        disk = _seconds(dataset)
        cached = min(_seconds(dataset) for _ in range(3))
        step = _step_seconds(dataset, arguments.step_pairs, arguments.steps, torch.device(arguments.device))
    loading, training = cached / arguments.pairs, step / arguments.step_pairs
    row = {
        "case": f"loading, {arguments.pairs} pairs of 75 clips x 2816 and 12 tokens x 512, batches of {BATCH}",
        "from_disk_pairs_per_s": round(arguments.pairs / disk),
        "from_memory_pairs_per_s": round(1 / loading),
        "training_pairs_per_s": round(1 / training, 1),
        "loading_share_of_an_epoch": round(loading / (loading + training), 4),
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(row))
    shown = ("from_disk_pairs_per_s", "from_memory_pairs_per_s", "training_pairs_per_s", "loading_share_of_an_epoch")
    record.speed("pairs of 75 clips x 2816 and 12 tokens x 512", {key: row[key] for key in shown})
    record.keep()


def write_pairs(
    folder: Path, n_pairs: int, *, n_clips: int = 75, n_tokens: int = 12, dims: Mapping[str, int] = WIDTHS
) -> DataConfig:
    """Random pairs with features in the published packs' layout; dims: stream -> width."""
    rng = np.random.default_rng(0)
    seconds = 2.0 * n_clips
    windows = (Window(seconds * 0.15, seconds * 0.4),)
    rows = [Annotation(i, "q " * 10, f"v{i}", seconds, windows) for i in range(n_pairs)]
    write_annotations(folder / "train.jsonl", rows)
    for name, dim in dims.items():
        features.write_manifest(folder / name, Manifest(encoder=name, dim=dim, clip_s=2.0, dtype="float16"))
        for row in rows:
            clips = rng.standard_normal((n_clips, dim), np.float32)
            features.write_video_features(folder / name, row.video_id, clips, "float16")
    features.write_manifest(folder / "text", Manifest(encoder="text", kind="text", dim=512))
    for row in rows:
        tokens = rng.standard_normal((n_tokens, 512), np.float32)
        features.write_query_features(folder / "text", row.query_id, tokens, tokens[0], "float16")
    streams = tuple(folder / name for name in dims)
    return DataConfig(train=folder / "train.jsonl", video_features=streams, text_features=folder / "text")


def _batches(dataset: GroundingDataset) -> Iterator[Batch]:
    order = np.random.default_rng(1).permutation(len(dataset))
    for start in range(0, len(order), BATCH):
        yield collate([dataset[int(i)] for i in order[start : start + BATCH]])


def _seconds(dataset: GroundingDataset) -> float:
    started = time.perf_counter()
    for _ in _batches(dataset):
        pass
    return time.perf_counter() - started


def _step_seconds(dataset: GroundingDataset, n_pairs: int, n_steps: int, device: torch.device) -> float:
    """Median seconds of one step of the published size, after one that is not timed."""
    config = load_config(None)
    model = SpikeMba(config.model, dataset.spec.n_video_features, dataset.spec.text.dim).to(device).train()
    optimizer = make_optimizer(decay_groups(model, config.train.weight_decay), config.train)
    batch = collate([dataset[i] for i in range(n_pairs)]).to(device)
    # the same videos, each under the query of the pair before it
    negative = replace(batch, query_tokens=batch.query_tokens.roll(1, 0), query_mask=batch.query_mask.roll(1, 0))
    times: list[Any] = []
    for _ in range(n_steps + 1):
        started = time.perf_counter()
        loss, _ = grounding_loss(model(batch), batch, config.loss, model(negative))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return float(np.median(times[1:]))


if __name__ == "__main__":
    main()

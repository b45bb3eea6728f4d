"""Evaluate a recogniser on a split: accuracy over all views of every video, class by class."""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.runs.run_dir import run_around
from pipelines.scoring.asked_settings import (
    refuse_ignored,
    refuse_other_sections,
    refuse_precision,
    refuse_unused,
    with_settings,
)
from pipelines.scoring.evaluate_files import EvaluateOptions, Evaluation
from pipelines.tasks.recognition.config import RunConfig
from pipelines.tasks.recognition.task import predict
from spikemba.datasets.base import Split
from spikemba.datasets.labelled.pairs import VideoDataConfig, VideoDataset
from spikemba.device import device_named
from spikemba.errors import CheckpointError, ConfigError, UnknownName
from spikemba.files import write_jsonl
from spikemba.metrics.recognition import recognition_document
from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, load_video_checkpoint
from spikemba.recognition import Probabilities

SHOWN = 5
"""Classes of a video that predictions name."""


def evaluate_run(checkpoint: Path, split: Split = "val", options: EvaluateOptions | None = None) -> Evaluation:
    """Score a run's best checkpoint, or a checkpoint, on a split.

    options.data: where the videos lie and how many views are taken; by default what the run was trained with.
    Raises CheckpointError, AnnotationError, and ConfigError for what recognition does not have.
    """
    how = options or EvaluateOptions()
    refuse_precision(how.precision)
    if how.resamples:
        raise ConfigError("--bootstrap", ["intervals are there for grounding only; leave it out for recognition"])
    if how.benchmark not in (None, "recognition"):
        raise UnknownName("metric of recognition", str(how.benchmark), ["recognition"])
    loaded = load_video_checkpoint(checkpoint)
    run = _run_of(checkpoint)
    wanted = how.data or (run.data if run else None)
    if wanted is None:
        raise CheckpointError(f"{checkpoint} lies in no run folder; name its videos with --config FILE")
    if not isinstance(wanted, VideoDataConfig):
        raise ConfigError("--config", ["data: is that of another task; expected that of a recognition run"])
    refuse_other_sections(how.settings, ("data",))
    refuse_unused(how.settings, "data", ("short_side_px", "repeats", "augment", "labels"))
    asked = with_settings(wanted, how.settings, "data")
    used = fitted(asked, loaded)
    refuse_ignored(how.settings, "data", asked, used)
    dataset = VideoDataset(used, split, labels=loaded.labels)
    workers = run.train.workers if run else 0
    model, told = loaded.model.to(device_named("auto")), how.report
    rows = predict(model, dataset, loaded.preprocessing, workers=workers, report=told)
    document = recognition_document(np.stack(rows), np.array(dataset.numbers), dataset.labels)
    if how.out is not None:
        write_jsonl(how.out, [_row(dataset, i, row) for i, row in enumerate(rows)])
    return Evaluation("recognition", document, document["brief"])


def fitted(data: VideoDataConfig, loaded: VideoCheckpoint) -> VideoDataConfig:
    """The data as the checkpoint's network reads them: its frames, its sampling and its size."""
    how = loaded.preprocessing
    frames = {"n_frames": loaded.config.n_frames, "rule": how.sampling, "stride": how.stride or data.frames.stride}
    return data.model_copy(
        update={"frames": data.frames.model_copy(update=frames), "size_px": loaded.config.size_px, "memory_gb": 0.0}
    )


def top_classes(labels: list[str], row: Probabilities, top: int) -> list[dict[str, Any]]:
    """The likeliest classes, best first."""
    best = np.argsort(-row, kind="stable")[:top]
    return [{"label": labels[k], "probability": round(float(row[k]), 4)} for k in best]


def _row(dataset: VideoDataset, index: int, row: Probabilities) -> dict[str, Any]:
    video = dataset.videos[index]
    return {"video": str(video.path), "label": video.label, "top": top_classes(dataset.labels, row, SHOWN)}


def _run_of(checkpoint: Path) -> RunConfig | None:
    """The configuration of the run that a checkpoint belongs to, if it belongs to one."""
    run = run_around(checkpoint)
    return run.config(RunConfig) if run.exists else None

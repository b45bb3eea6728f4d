"""Extraction on the workers of a Ray cluster, one machine or many; they read and write the same folders as this one."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.extraction.job import ExtractEvents, Job, Outcome, encode_here
from spikemba.encoders import ClipEncoder
from spikemba.errors import PackageMissing
from spikemba.libraries import is_installed, library
from spikemba.user_folders import load_settings, weights_folder

VIDEOS_PER_TASK = 8
RETRIES = 5
"""How often the videos of a worker that died are given to another one."""


def encode_on_ray(
    job: Job,
    todo: Mapping[str, Path],
    encoders: Sequence[ClipEncoder],  # noqa: ARG001  # each worker loads its own
    events: ExtractEvents,  # noqa: ARG001
) -> Iterator[Outcome]:
    """Encode and store videos, a few per task; what a dying worker had not stored yet is done by another.

    The cluster is the one that RAY_ADDRESS names or that runs on this machine; without one, a local one is started
    and stopped again. Raises PackageMissing.
    """
    ray = _ray()
    own = not ray.is_initialized()
    if own:
        ray.init(log_to_driver=False, logging_level="ERROR")
    try:
        gpus = 1 if job.run.options.device.startswith("cuda") else 0
        task = ray.remote(max_retries=RETRIES, num_gpus=gpus)(_encode_part)
        sent = _absolute(job)
        videos = list(todo.items())
        parts = [dict(videos[i : i + VIDEOS_PER_TASK]) for i in range(0, len(videos), VIDEOS_PER_TASK)]
        running = [task.remote(sent, {name: path.absolute() for name, path in part.items()}) for part in parts]
        while running:
            done, running = ray.wait(running)
            for video_id, problem in ray.get(done[0]):
                yield video_id, todo[video_id], problem
    finally:
        if own:
            ray.shutdown()


def _encode_part(job: Job, part: Mapping[str, Path]) -> list[tuple[str, str | None]]:
    """What a worker does: the same as one process does alone, less the videos that its predecessor had finished."""
    weights = tuple(sorted(job.run.weights.items()))
    encoders = _encoders(job.encoder, job.run.options, weights)
    folders = job.prepare(encoders)
    missing = {name: path for name, path in part.items() if not all(folder.has_video(name) for folder in folders)}
    outcomes = {name: problem for name, _, problem in encode_here(job, missing, encoders, ExtractEvents())}
    return [(name, outcomes.get(name)) for name in part]


@functools.lru_cache(maxsize=1)
def _encoders(names: str, options: Any, weights: tuple[tuple[str, Path], ...]) -> list[ClipEncoder]:
    """The worker's encoders, loaded once."""
    from spikemba.encoders import load_encoders

    return load_encoders(names, options, dict(weights))


def _absolute(job: Job) -> Job:
    """Workers stand in folders of their own."""
    options = job.run.options
    options = replace(options, folder=(options.folder or weights_folder()).resolve())
    weights = {name: path.resolve() for name, path in {**load_settings().weights, **job.run.weights}.items()}
    return replace(job, out=job.out.resolve(), run=replace(job.run, options=options, weights=weights))


def _ray() -> Any:
    if not is_installed("ray"):
        raise PackageMissing("ray", "--engine ray", "ray")
    with library("ray"):
        import ray
    return ray

"""A library whose rows are drawn from a seed, of either form, and all that it answers."""

from pathlib import Path

import numpy as np

from spikemba.features import Manifest
from spikemba.library import open_library
from spikemba.library.forms import changing
from spikemba.library.writer import FileState, NewVideo

DIM = 6


def manifest(encoder="clip", **how):
    return Manifest(**{"encoder": encoder, "dim": DIM, "weights": "a" * 64, "clip_s": 2.0, "dtype": "float16"} | how)


def rows_of(seed, n):
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float16)


def new(name, n, seed, **how):
    state = FileState(Path(f"/videos/{name}"), how.get("size", n), how.get("mtime_ns", 7), how.get("digest", name))
    return NewVideo(state, 2.0 * n - 0.5, {how.get("encoder", "clip"): rows_of(seed, n)})


def filled(folder, lengths=(3, 1, 4, 2), form="lance"):
    with changing(folder, form) as writer:
        writer.add_encoder(manifest())
        writer.take_in([new(f"{i}.mp4", n, i) for i, n in enumerate(lengths)])
    return folder


def answers(folder, among=None):
    vector = np.random.default_rng(99).standard_normal(DIM)
    with open_library(folder) as library:
        ids = None if among is None else [one.id for one in library.videos() if one.name in among]
        names = {one.id: one.name for one in library.videos()}
        hits = [
            (hit.video.name, hit.clip, hit.start_s, hit.end_s, round(hit.score, 5))
            for hit in library.scan("clip", vector, 99, among=ids)
        ]
        best = [(hit.video.name, hit.clip, hit.n_clips) for hit in library.best_videos("clip", vector, 99, among=ids)]
        found = library.clip_scores("clip", vector, product=True, among=ids)
        scores = {names[int(video)]: np.round(found.of(i), 4).tolist() for i, video in enumerate(found.videos)}
        rows = {one.name: library.features(one, ["clip"]).features[0].tolist() for one in library.videos()}
        return hits, best, dict(sorted(scores.items())), rows

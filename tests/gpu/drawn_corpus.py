"""A corpus of drawn features, small enough to be trained on in seconds: what a sentence means lies in its window."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikemba import features
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.features import Manifest
from spikemba.moments import Window

CLIP_S = 2.0
SPLITS = {"train": 128, "val": 16}
"""Videos, each with one sentence."""


def draw_corpus(folder: Path, widths: tuple[int, ...], query_width: int, n_clips: int, n_tokens: int) -> list[str]:
    """Write it; returns the settings under which a configuration trains on it.

    widths: of the video's streams, joined in this order.  Clips of a window hold the sentence's vector, beside noise.
    """
    draw = np.random.default_rng(0)
    streams = [folder / f"stream{i}" for i in range(len(widths))]
    made = [Manifest(encoder=one.name, dim=width, clip_s=CLIP_S) for one, width in zip(streams, widths, strict=True)]
    text = Manifest(encoder="words", kind="text", dim=query_width)
    for one, manifest in (*zip(streams, made, strict=True), (folder / "words", text)):
        features.write_manifest(one, manifest)
    meanings = [draw.standard_normal((12, width)).astype(np.float32) for width in (*widths, query_width)]
    if len(set(widths) | {query_width}) == 1:
        # one space, in which the likeness of clip and sentence means something
        meanings = [meanings[-1]] * len(meanings)
    number = 0
    for split, count in SPLITS.items():
        rows = []
        for _ in range(count):
            kind, first = int(draw.integers(12)), int(draw.integers(0, n_clips - 10))
            last = first + int(draw.integers(4, 10))
            for stream, width, meaning in zip(streams, widths, meanings, strict=False):
                clips = noise(draw, n_clips, width)
                clips[first:last] += meaning[kind]
                features.write_video_features(stream, f"video{number}", clips)
            tokens = noise(draw, n_tokens, query_width)
            tokens[0] += meanings[-1][kind]
            features.write_query_features(folder / "words", number, tokens, meanings[-1][kind], query=f"number {kind}")
            rows.append(annotation(number, kind, (CLIP_S * first, CLIP_S * last), n_clips))
            number += 1
        write_annotations(folder / f"{split}.jsonl", rows)
    data = {split: folder / f"{split}.jsonl" for split in SPLITS} | {"text_features": folder / "words"}
    named = [f"data.{name}={value}" for name, value in data.items()]
    return [*named, f"data.video_features=[{', '.join(map(str, streams))}]", f"data.clip_s={CLIP_S}"]


def noise(draw: np.random.Generator, rows: int, width: int) -> NDArray[np.float32]:
    """(rows, width), half as long as a meaning."""
    return (0.5 * draw.standard_normal((rows, width))).astype(np.float32)


def annotation(number: int, kind: int, window: Window, n_clips: int) -> Annotation:
    """A row with ratings of the clips in its window."""
    clips = tuple(range(int(window[0] / CLIP_S), int(window[1] / CLIP_S)))
    ratings = tuple((4, 3, 4) for _ in clips)
    duration = CLIP_S * n_clips
    return Annotation(number, f"number {kind}", f"video{number}", duration, (window,), clips, ratings)

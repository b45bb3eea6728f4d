"""Ask an exported model about a video, with onnxruntime, numpy and PyAV alone.

spikemba export mini --out graphs
python examples/onnx_answer.py graphs examples/shapes.mp4 "a red circle enters"

For files that count from 0 and whose picture stands upright, in one chunk; docs/export.md says what is left out.
"""

import argparse
import json
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import onnxruntime
from av.filter import Graph


def read_clips(video, encoder):
    """Frames at a steady rate as (n, T, H, Wd, 3) uint8, and the end of the last source frame in seconds."""
    fps, images, end, picture = Fraction(encoder["fps"]), [], Fraction(0), None
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        for frame in container.decode(stream):
            if not images and picture is None:
                graph = Graph()
                entry = graph.add_buffer(None, frame.width, frame.height, frame.format, time_base=frame.time_base)
                filters = [*encoder["filters"], ["buffersink", ""]]
                graph.link_nodes(entry, *(graph.add(*one) for one in filters)).configure()
            graph.vpush(frame)
            picture = graph.vpull().to_ndarray()
            end = (frame.pts + frame.duration) * stream.time_base
            while (2 * len(images) + 1) / (2 * fps) <= end:  # frame k is the one shown just before (k + 0.5) / fps
                images.append(picture)
    images = images or [picture]
    n_frames = encoder["frames_per_clip"]
    rest = len(images) % n_frames
    if rest and (2 * rest >= n_frames or len(images) < n_frames):
        images += [images[-1]] * (n_frames - rest)
    whole = len(images) // n_frames * n_frames
    return np.stack(images[:whole]).reshape(-1, n_frames, *images[0].shape), float(end)


def normalised(rows):
    """Each row over its length."""
    return rows / (np.linalg.norm(rows, axis=-1, keepdims=True) + np.float32(1e-5))


def sigmoid(x):
    """The logistic function in float64."""
    return 0.5 * (1 + np.tanh(np.asarray(x, np.float64) / 2))


def probability(inputs, fitted):
    """A fitted calibration: (n, k) -> (n,)."""
    assert not fitted["curve"], "a calibration with a curve"
    return sigmoid(inputs @ np.array(fitted["scale"]) + fitted["offset"])


def suppressed(windows, scores, max_iou, keep):
    """Indices of the best windows, none of which overlaps a better one by more than max_iou."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order) and len(kept) < keep:
        best, order = order[0], order[1:]
        kept.append(best)
        common = np.minimum(windows[best, 1], windows[order, 1]) - np.maximum(windows[best, 0], windows[order, 0])
        common = common.clip(0)
        union = np.ptp(windows[best]) + np.ptp(windows[order], axis=1) - common
        order = order[common / union <= max_iou]
    return kept


def moments(found, duration_s, clip_s, rules):
    """What the grounder says of clips -> (start, end, score), best first, and whether there is such a moment."""
    saliency = sigmoid(found["saliency_logits"][0]).astype(np.float32)
    fractions, n = found["boundaries"][0].astype(np.float64), len(saliency)
    assert rules["score"] == "inside"
    assert not rules["add_proposals"]
    edges = fractions.clip(0, 1) * n
    summed = np.concatenate(([0], saliency.cumsum(dtype=np.float64)))
    begin, end = (np.interp(edges[:, side], np.arange(n + 1), summed) for side in (0, 1))
    scores = (saliency * (end - begin) / np.ptp(edges, axis=1).clip(1e-6)).astype(np.float32).astype(np.float64)
    latest = rules["clamp_s"] or duration_s
    windows = (fractions * (n * clip_s)).clip(0, latest)
    longer = windows[:, 1] > windows[:, 0]
    windows, scores = windows[longer], scores[longer]
    if step := rules["round_to_s"]:
        rounded = np.minimum(np.round(windows / step) * step, latest)
        gone = rounded[:, 1] <= rounded[:, 0]
        first = np.floor(windows[gone].mean(1) / step) * step
        rounded[gone] = np.stack((first, np.minimum(first + step, latest)), axis=1)
        windows = rounded
    kept = suppressed(windows, scores, rules["max_iou"], rules["n_moments"])
    windows, scores, exists, fitted = windows[kept], scores[kept], 1.0, rules["calibration"] or {}
    if fitted.get("existence"):
        exists = float(probability(found["exists_logits"][:, None].clip(-20, 20), fitted["existence"])[0])
    if fitted.get("score"):
        told = np.column_stack((np.log(scores) - np.log1p(-scores), np.arange(len(scores)) == 0))
        scores = exists * probability(told, fitted["score"])
    return np.column_stack((windows, scores)), exists


def main(folder, video, sentence, top):
    """Print the moments as `spikemba ground` does."""
    document = json.loads((folder / "export.json").read_text())

    def run(graph, **inputs):
        known = document["graphs"][graph]
        session = onnxruntime.InferenceSession(str(folder / known["file"]), providers=["CPUExecutionProvider"])
        return dict(zip(known["outputs"], session.run(None, inputs), strict=True))

    encoder, features, rules = document["encoder"], document["features"], document["grounding"]
    clips, duration_s = read_clips(video, encoder)
    assert len(clips) <= rules["chunk_clips"], "a video longer than a chunk"
    rows = run("clips", frames=clips)["features"]
    places = {word: i for i, word in enumerate(encoder["vocabulary"])}
    words = [places.get(word, 0) for word in re.findall(encoder["words"], sentence.lower())] or [0]
    text = run("sentence", words=np.array([words]))
    tokens = text["tokens"][0][: features["max_tokens"]]
    if features["sentence_token"]:
        tokens = np.concatenate((tokens, text["pooled"]))
    rows = normalised(rows) if features["normalise_video"] else rows
    tokens = normalised(tokens) if features["normalise_text"] else tokens
    found, exists = moments(
        run("grounder", video=rows[None], query_tokens=tokens[None]), duration_s, features["clip_s"], rules
    )
    if document["min_exists"] is not None and exists < document["min_exists"]:
        print(f"no such moment ({exists:.2f})")
        return
    print("start_s\tend_s\tscore")
    for start_s, end_s, score in found[:top]:
        print(f"{start_s:.2f}\t{end_s:.2f}\t{score:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("sentence")
    parser.add_argument("--top", type=int, default=5)
    arguments = parser.parse_args()
    main(arguments.folder, arguments.video, arguments.sentence, arguments.top)

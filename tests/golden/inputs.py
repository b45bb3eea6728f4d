"""What the golden numbers are computed from: exact integers made into features, pictures and a small corpus.

No random generator of any library draws here, so every version of Python, NumPy and torch gets the same input.
"""

# Shapes: B pairs, L clips, W query tokens, F feature width, n clips of T frames, H, Wd pixels.

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
PHASE = 90
"""Which fixed batch: of 500 tried, the one whose neurons stay furthest (1e-4) from their thresholds, so that last bits
cannot turn a spike."""
CLIPS, TOKENS = (9, 24, 1, 14), (5, 1, 9, 3)
"""L and W of the pairs of the fixed batch: a video of one clip, a query of one token."""


def numbers(*shape: int, phase: int) -> Floats:
    """Numbers in [-1, 1) that look drawn at random: splitmix64 of the index, in integers until the last step."""
    x = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(1_000_003 * phase + 1)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return ((x >> np.uint64(40)).astype(np.float64) / 2**23 - 1).reshape(shape).astype(np.float32)


def fixed_batch(n_video: int, n_text: int, phase: int = PHASE) -> dict[str, NDArray[np.generic]]:
    """video: (B, L, F), query_tokens: (B, W, F'), zero at padding, and video_mask, query_mask.

    n_video, n_text: F of clips and of tokens, F' <= F. A quarter of each video resembles its query's last token.
    """
    video = np.zeros((len(CLIPS), max(CLIPS), n_video), np.float32)
    tokens = np.zeros((len(TOKENS), max(TOKENS), n_text), np.float32)
    for i, (n_clips, n_tokens) in enumerate(zip(CLIPS, TOKENS, strict=True)):
        tokens[i, :n_tokens] = unit(numbers(n_tokens, n_text, phase=phase + 100 + i))
        video[i, :n_clips] = 0.06 * numbers(n_clips, n_video, phase=phase + 200 + i)
        moment = slice(n_clips // 3, n_clips // 3 + max(1, n_clips // 4))
        video[i, moment, :n_text] += np.float32(0.8) * tokens[i, n_tokens - 1]
    masks = {"video_mask": _mask(CLIPS), "query_mask": _mask(TOKENS)}
    return {"video": video, "query_tokens": tokens, **masks}


def _mask(lengths: tuple[int, ...]) -> NDArray[np.bool_]:
    """(B, longest) bool, True = real."""
    mask: NDArray[np.bool_] = np.arange(max(lengths)) < np.array(lengths)[:, None]
    return mask


def unit(x: Floats) -> Floats:
    """Rows scaled to length 1."""
    scaled: Floats = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


def pictures(n: int, n_frames: int, size_px: int) -> NDArray[np.uint8]:
    """(n, T, H, Wd, 3) RGB: a square in another colour per clip that moves over a slope of grey."""
    frames = np.zeros((n, n_frames, size_px, size_px, 3), np.uint8)
    frames[...] = (np.arange(size_px) * 96 // size_px + 64).astype(np.uint8)[None, None, None, :, None]
    side = size_px // 4
    for i in range(n):
        for t in range(n_frames):
            left = (i * side + t * size_px // 16) % (size_px - side)
            top = (i * 2 * side + t * size_px // 32) % (size_px - side)
            frames[i, t, top : top + side, left : left + side] = (250, 30, 40) if i % 2 == 0 else (30, 60, 240)
    return frames


N_VIDEOS, N_QUERIES = 4, 2
WORDS = ("a red circle enters", "the square spins", "something blue leaves on the left", "jumps")


def write_corpus(folder: Path, width: int = 192) -> Path:
    """Eight pairs of four videos in the layout that training reads; returns the folder.

    pairs.jsonl, features/made/<video>.npz and features/made_text/qid<query>.npz, all `width` numbers wide.
    """
    videos, texts = folder / "features" / "made", folder / "features" / "made_text"
    for place, about in ((videos, {"kind": "video", "clip_s": 2.0}), (texts, {"kind": "text"})):
        place.mkdir(parents=True)
        (place / "manifest.json").write_text(json.dumps({"encoder": place.name, "dim": width, **about}))
    rows = []
    for k in range(N_VIDEOS):
        n_clips = 5 + 3 * k % 5
        clips = 0.06 * numbers(n_clips, width, phase=1000 + k)
        for j in range(N_QUERIES):
            query_id = N_QUERIES * k + j
            sentence = unit(numbers(1, width, phase=2000 + query_id))[0]
            tokens = 0.7 * numbers(1 + (3 * query_id) % 5, width, phase=3000 + query_id)
            np.savez(texts / f"qid{query_id}.npz", last_hidden_state=tokens, pooler_output=sentence)
            first = (3 * k + 5 * j) % (n_clips - 2)
            last = min(n_clips, first + 2 + k % 4)
            clips[first:last] += np.float32(0.8) * sentence
            ratings = [[(c + query_id + a) % 5 for a in range(3)] for c in range(first, last)]
            rows.append(
                {
                    "qid": query_id,
                    "query": WORDS[query_id % len(WORDS)],
                    "duration": 2.0 * n_clips,
                    "vid": f"made{k}",
                    "relevant_windows": [[2.0 * first, 2.0 * last]],
                    "relevant_clip_ids": list(range(first, last)),
                    "saliency_scores": ratings,
                }
            )
        np.savez(videos / f"made{k}.npz", features=clips)
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder

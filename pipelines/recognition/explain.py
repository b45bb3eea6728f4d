"""Where a video encoder looks: the step size of every patch, laid over the frames, as a picture or a video.

A state-space block writes a token into its state by a step that it chooses; the mean of these steps over the channels,
patch by patch, is what Park et al. show as delta maps. Bright is a large step, relative to the rest of the same block.
"""

# Shapes: T frames, t slices, H, Wd pixels.

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from spikemba.errors import SpikeMbaError, VideoError
from spikemba.files import writing
from spikemba.model.video_mamba.checkpoint import VideoCheckpoint, open_video_model
from spikemba.progress import Report, silent
from spikemba.video.clips import into_clips
from spikemba.video.files import write_video
from spikemba.video.sampling import Frame, FrameRule, VideoReader, probe

PICTURES = (".png", ".svg", ".pdf", ".jpg")
SHOWN_PX = 224
"""Frames are shown at least this large."""
MAX_COLUMNS = 8
OPACITY = 0.6

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Explained:
    """What was drawn."""

    out: Path
    blocks: tuple[int, ...]
    """Counted from 0."""
    n_frames: int
    classes: tuple[tuple[str, float], ...]
    """The three likeliest classes of the first clip and their probabilities, where the classes have names."""


def explain(
    video: Path,
    weights: Path,
    out: Path,
    *,
    blocks: Sequence[int] = (),
    start_s: float | None = None,
    end_s: float | None = None,
    clip_s: float = 2.0,
    report: Report = silent,
) -> Explained:
    """Draw the step sizes of a video's patches; the ending of `out` says whether as a picture or as an mp4.

    weights: video checkpoint, run folder (also of a grounding model that was adapted), or public file.
    blocks: which, from 0; by default three depths for a picture and the last for a video.  start_s, end_s: a part of
    the video.  clip_s: for a video, seconds that the encoder sees at once.
    Raises VideoError, CheckpointError, OutputError, SpikeMbaError for a block that there is not.
    """
    if out.suffix.lower() not in (*PICTURES, ".mp4"):
        raise SpikeMbaError(f"{out}: cannot be drawn; expected a name that ends in .mp4 or {', '.join(PICTURES)}")
    if out.resolve() == video.resolve():
        raise SpikeMbaError(f"{out} is the video itself; choose another name with --out")
    opened = open_video_model(weights)
    chosen = _blocks(opened, blocks, last_only=out.suffix.lower() == ".mp4")
    if out.suffix.lower() == ".mp4":
        return _draw_video(video, opened, out, chosen, (start_s, end_s), clip_s, report)
    return _draw_picture(video, opened, out, chosen, (start_s, end_s))


def step_maps(opened: VideoCheckpoint, clip: NDArray[np.uint8], blocks: Sequence[int]) -> Maps:
    """clip: (T, H, Wd, 3) uint8 -> (blocks, t, rows, columns): the step sizes of its patches."""
    video = opened.preprocessing.normalised(torch.from_numpy(clip)[None])
    found: Maps = opened.model.step_maps(video)[0, list(blocks)].numpy()
    return found


def spread(heat: Maps, opened: VideoCheckpoint, n_frames: int) -> Maps:
    """(t, rows, columns) of one clip's patches -> (T, H, Wd), as frames are shown: a tubelet's frames have the same."""
    size = _shown_px(opened)
    fine = F.interpolate(torch.from_numpy(heat)[None], size=(size, size), mode="bilinear", align_corners=False)[0]
    slices = torch.arange(n_frames) // opened.config.tubelet[0]
    found: Maps = fine[slices.clamp(max=len(fine) - 1)].numpy()
    return found


def scaled(maps: Maps) -> Maps:
    """(blocks, ...) -> the same from 0 to 1 within each block; one per cent at each end is cut off."""
    flat = maps.reshape(len(maps), -1)
    low, high = (np.quantile(flat, q, axis=1).reshape(-1, *[1] * (maps.ndim - 1)) for q in (0.01, 0.99))
    out: Maps = np.clip((maps - low) / np.maximum(high - low, 1e-12), 0, 1).astype(np.float32)
    return out


def overlaid(frames: NDArray[np.uint8], heat: Maps) -> NDArray[np.uint8]:
    """frames: (T, H, Wd, 3).  heat: (T, H, Wd), 0 to 1.  Returns the frames, greyed, with the heat over them."""
    from matplotlib import colormaps

    grey = np.repeat(frames.mean(-1, keepdims=True), 3, axis=-1)
    colour = 255 * colormaps["inferno"](heat)[..., :3]
    out: NDArray[np.uint8] = ((1 - OPACITY) * grey + OPACITY * colour).round().astype(np.uint8)
    return out


def _draw_picture(
    video: Path, opened: VideoCheckpoint, out: Path, blocks: tuple[int, ...], part: tuple[float | None, float | None]
) -> Explained:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    clip, shown, times = _one_clip(video, opened, part)
    heat = [spread(of_block, opened, len(clip)) for of_block in scaled(step_maps(opened, clip, blocks))]
    columns = np.linspace(0, len(clip) - 1, min(MAX_COLUMNS, len(clip))).round().astype(int)
    rows = 1 + len(blocks)
    figure, axes = plt.subplots(
        rows, len(columns), figsize=(1.6 * len(columns), 1.75 * rows), layout="constrained", squeeze=False, dpi=110
    )
    for axis, k in zip(axes[0], columns, strict=True):
        axis.imshow(shown[k])
        axis.set_title(f"{times[k]:.2f} s", fontsize=8)
    for row, block, of_block in zip(axes[1:], blocks, heat, strict=True):
        for axis, image in zip(row, overlaid(shown[columns], of_block[columns]), strict=True):
            axis.imshow(image)
        row[0].set_ylabel(f"block {block}", fontsize=9)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{video.name}: where the state is written", fontsize=10)
    with writing(out) as temporary:
        figure.savefig(temporary, format=out.suffix.lstrip(".").lower())
    plt.close(figure)
    return Explained(out, blocks, len(clip), _classes(opened, clip))


def _draw_video(
    video: Path,
    opened: VideoCheckpoint,
    out: Path,
    blocks: tuple[int, ...],
    part: tuple[float | None, float | None],
    clip_s: float,
    report: Report,
) -> Explained:
    """Frame and overlay side by side; several blocks are averaged after they were scaled.

    The video is read twice, since the scale needs all of it, and kept as the few numbers of its patches in between.
    """
    n, size = opened.config.n_frames, opened.config.size_px
    rule, reader = FrameRule(fps=n / clip_s, size_px=size), VideoReader(video)
    first, found = None, []
    end_s = min((one for one in (part[1], probe(video).duration_s) if one is not None), default=None)
    expected = None if end_s is None else max(1, math.ceil((end_s - (part[0] or 0.0)) / clip_s))
    for clip in into_clips(reader.frames(rule, start_s=part[0], end_s=part[1]), n):
        first = clip if first is None else first
        found.append(step_maps(opened, clip, blocks))
        report(len(found), expected)
    if first is None:
        raise VideoError(video, "has no frame in the part that was asked for")
    heat = scaled(np.stack(found, axis=1)).mean(0)  # (clips, t, rows, columns)
    larger = FrameRule(fps=n / clip_s, size_px=_shown_px(opened))
    clips = into_clips(reader.frames(larger, start_s=part[0], end_s=part[1]), n)
    images = (
        image
        for clip, of_clip in zip(clips, heat, strict=True)
        for image in _side_by_side(clip, spread(of_clip, opened, n))
    )
    write_video(out, images, n / clip_s)
    return Explained(out, blocks, n * len(heat), _classes(opened, first))


def _side_by_side(images: NDArray[np.uint8], heat: Maps) -> Iterator[NDArray[np.uint8]]:
    for image, over in zip(images, overlaid(images, heat), strict=True):
        yield np.concatenate((image, over), axis=1)


def _one_clip(
    video: Path, opened: VideoCheckpoint, part: tuple[float | None, float | None]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[float]]:
    """T frames spread over a part of the video, as they are seen and as they are shown, and when each is."""
    reader = VideoReader(video)
    start_s = part[0] or 0.0
    end_s = part[1] if part[1] is not None else reader.info.duration_s
    if end_s is None:
        raise VideoError(video, "does not say how long it is; name the end of a part with --end")
    if end_s <= start_s:
        raise VideoError(video, f"has nothing from {start_s:g} s to {end_s:g} s; it lasts {end_s:g} s")
    n = opened.config.n_frames
    fps = n / (end_s - start_s)
    rules = [FrameRule(fps=fps, size_px=size) for size in (opened.config.size_px, _shown_px(opened))]
    found: tuple[list[Frame], list[Frame]] = [], []
    for i, frame in reader.frames_for(rules, start_s=start_s, end_s=end_s):
        found[i].append(frame)
    if not found[0]:
        raise VideoError(video, f"has no frame from {start_s:g} s to {end_s:g} s")
    seen, shown = ([*frames, *[frames[-1]] * (n - len(frames))][:n] for frames in found)
    images, larger = (np.stack([frame.image for frame in frames]) for frames in (seen, shown))
    return images, larger, [frame.index / fps for frame in seen]


def _shown_px(opened: VideoCheckpoint) -> int:
    return max(SHOWN_PX, opened.config.size_px)


def _blocks(opened: VideoCheckpoint, wanted: Sequence[int], *, last_only: bool) -> tuple[int, ...]:
    n = opened.config.n_blocks
    if any(not 0 <= block < n for block in wanted):
        raise SpikeMbaError(f"blocks {', '.join(map(str, wanted))}: this encoder has {n}, counted from 0")
    if wanted:
        return tuple(wanted)
    return (n - 1,) if last_only else tuple(sorted({n // 4, n // 2, n - 1}))


@torch.no_grad()
def _classes(opened: VideoCheckpoint, clip: NDArray[np.uint8]) -> tuple[tuple[str, float], ...]:
    if not opened.labels:
        return ()
    logits: Any = opened.model(opened.preprocessing.normalised(torch.from_numpy(clip)[None]))[0]
    share, index = logits.softmax(-1).topk(min(3, len(opened.labels)))
    return tuple((opened.labels[i], round(p, 4)) for i, p in zip(index.tolist(), share.tolist(), strict=True))

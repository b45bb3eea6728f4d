"""What each encoder takes of each clip of a video: frames, the sound, or the subtitles that stand meanwhile."""

# Shapes: L clips, T frames of a clip, H, Wd pixels, S samples of a clip's sound.

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, NamedTuple

from numpy.typing import NDArray

from spikemba.encoders import ClipEncoder, SoundEncoder, SubtitleEncoder, VideoEncoder
from spikemba.encoders.base import clip_rule
from spikemba.features import SHORT_VIDEO_S
from spikemba.video.clips import ClipCutter, clips_in
from spikemba.video.sampling import FrameRule, VideoReader
from spikemba.video.sound_windows import SoundWindows
from spikemba.video.subtitles import in_clips, subtitles_of


class ClipInput(NamedTuple):
    """One clip for one of the encoders."""

    encoder: int
    values: NDArray[Any]
    """(T, H, Wd, 3) uint8 frames, or (S,) float32 samples."""


class Cues(NamedTuple):
    """All clips for an encoder of subtitles."""

    encoder: int
    clips: list[list[str]]


class Nothing(NamedTuple):
    """There is nothing for an encoder: no sound, no subtitles. What was given to it before does not count."""

    encoder: int
    n_clips: int


Input = ClipInput | Cues | Nothing


def clip_inputs(reader: VideoReader, encoders: Sequence[ClipEncoder], clip_s: float) -> Generator[Input]:
    """What a video gives to the encoders, in the order of the clips for each; pictures first, decoded once for all.

    Sound and subtitles have as many clips as an encoder of one frame per clip has. Afterwards `reader.duration_s` is
    known.  Raises VideoError.
    """
    yield from _frames(reader, encoders, clip_s)
    n = clips_in(reader.timed(), clip_s)
    for i, encoder in enumerate(encoders):
        if isinstance(encoder, SoundEncoder):
            with closing(SoundWindows(reader.path, encoder.rate_hz, reader.joins)) as sound:
                if sound.can_be_heard:
                    yield from (ClipInput(i, window) for window in sound.cut(clip_s, n))
                if not sound.heard:
                    yield Nothing(i, n)
        elif isinstance(encoder, SubtitleEncoder):
            clips = in_clips(subtitles_of(reader.path), clip_s, n)
            yield Cues(i, clips) if any(clips) else Nothing(i, n)


def _frames(reader: VideoReader, encoders: Sequence[ClipEncoder], clip_s: float) -> Iterator[ClipInput]:
    seeing = [(i, encoder) for i, encoder in enumerate(encoders) if isinstance(encoder, VideoEncoder)]
    if not seeing:
        return
    source = replace(reader.info, duration_s=_true_duration(reader, clip_s))
    rules = [clip_rule(encoder, clip_s, source) for _, encoder in seeing]
    cutters = [ClipCutter(rule.n_frames) for rule in rules]
    for k, frame in reader.frames_for([rule.frames for rule in rules]):
        for images in cutters[k].add(frame.image):
            yield ClipInput(seeing[k][0], rules[k].arrange(images))
    for k, cutter in enumerate(cutters):
        for images in cutter.finish():
            yield ClipInput(seeing[k][0], rules[k].arrange(images))


def _true_duration(reader: VideoReader, clip_s: float) -> float | None:
    """What the file declares, or what decodes where it declares a very short video that is none.

    Very short videos are read by rules of their own; those of a long one would give it rows of another length.
    """
    declared = reader.info.duration_s
    if declared is None or declared >= clip_s + SHORT_VIDEO_S:
        return declared
    for _ in reader.frames(FrameRule(fps=1 / clip_s, size_px=16)):
        pass
    assert reader.duration_s is not None
    return declared if reader.duration_s < clip_s + SHORT_VIDEO_S else reader.duration_s

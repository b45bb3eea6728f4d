"""Videos through one or several encoders: decoding and encoding overlap, batches cross the borders of files, each
video is decoded once for all encoders, and what stands in memory does not grow with the length of a video.
"""

# Shapes: L clips, T frames of a clip, H, Wd pixels, F feature width.

import queue
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikemba.encoders import VideoEncoder
from spikemba.encoders.base import BATCH_CLIPS, clip_rule
from spikemba.errors import VideoError
from spikemba.features import Array
from spikemba.progress import Report, silent
from spikemba.video.clips import Clip, ClipCutter
from spikemba.video.sampling import VideoReader

WAITING_CLIPS = 16
"""Decoded clips that wait for an encoder, at most; one of SlowFast has 5 MB."""


@dataclass(frozen=True)
class EncodedVideo:
    """What the encoders made of one video."""

    features: tuple[Array, ...]
    """(L, F) per encoder, in their order."""
    duration_s: float
    """End of the last frame that decoded."""


def encode_video(path: Path, encoders: Sequence[VideoEncoder], clip_s: float, report: Report = silent) -> EncodedVideo:
    """Decode the video once and encode its clips, each row `clip_s` seconds, also where published features have more.

    Raises VideoError when the video cannot be read to its end.
    report counts clips; their number is that of the declared duration, where the file declares one.
    """
    ((_, found),) = encode_videos([path], encoders, clip_s, steady=True, report=report)
    if isinstance(found, VideoError):
        raise found
    return found


def encode_videos(
    paths: Iterable[Path],
    encoders: Sequence[VideoEncoder],
    clip_s: float,
    *,
    decoders: int = 1,
    steady: bool = False,
    report: Report = silent,
) -> Generator[tuple[Path, EncodedVideo | VideoError]]:
    """Every video with its features, or with the reason why it could not be read, as each is done.

    decoders: videos decoded at once, each in a thread of its own; they wait when the encoders are slower.
    steady: every row stands for `clip_s` seconds; published features have more of them for very short videos.
    report counts the clips of the first encoder, over all videos.
    Every call of an encoder gets a full batch, so a video's features are the same whatever is encoded with it.
    """
    work = _Decoding(iter(paths), encoders, clip_s, decoders, steady)
    batches = [_Batch(encoder) for encoder in encoders]
    pending: dict[int, _Pending] = {}
    n_clips = 0
    try:
        for message in work.messages():
            video = pending.setdefault(message.video, _Pending(message.path, len(encoders)))
            if isinstance(message, _Decoded):
                i = message.encoder
                video.n_given[i] += 1
                n_clips += i == 0
                batches[i].add(video, i, message.clip)
                report(n_clips, message.expected if decoders == 1 else None)
            else:
                video.end = message.end
            for key in [key for key, one in pending.items() if one.complete]:
                done = pending.pop(key)
                yield done.path, done.result()
        for batch in batches:
            batch.flush()
        for done in pending.values():
            yield done.path, done.result()
        report(n_clips, n_clips)
    finally:
        work.stop()


class _Decoded(NamedTuple):
    """A clip for one of the encoders."""

    video: int
    path: Path
    encoder: int
    clip: Clip
    expected: int | None


class _Ended(NamedTuple):
    """A video has no more clips: its duration in seconds, or why it could not be read."""

    video: int
    path: Path
    end: float | Exception


class _Decoding:
    """Threads that take videos one after the other and hand over their clips, as fast as these are taken."""

    def __init__(
        self, paths: Iterator[Path], encoders: Sequence[VideoEncoder], clip_s: float, n: int, steady: bool
    ) -> None:
        self.encoders, self.clip_s, self.steady = encoders, clip_s, steady
        self._paths, self._lock, self._stopped = enumerate(paths), threading.Lock(), threading.Event()
        self._queue: queue.Queue[_Decoded | _Ended | None] = queue.Queue(WAITING_CLIPS)
        self._several = n > 1
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(max(1, n))]
        for thread in self._threads:
            thread.start()

    def messages(self) -> Iterator[_Decoded | _Ended]:
        """What the threads hand over, until all videos are through."""
        running = len(self._threads)
        while running:
            message = self._queue.get()
            if message is None:
                running -= 1
            else:
                yield message

    def stop(self) -> None:
        """End the threads, wherever they are."""
        self._stopped.set()
        while any(thread.is_alive() for thread in self._threads):
            with suppress(queue.Empty):
                self._queue.get(timeout=0.01)

    def _run(self) -> None:
        while (following := self._next()) is not None:
            video, path = following
            try:
                end: float | Exception = self._decode(video, path)
            except Exception as error:  # VideoError is reported, anything else raised by whoever takes the result
                end = error
            self._put(_Ended(video, path, end))
        self._put(None)

    def _next(self) -> tuple[int, Path] | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._paths, None)

    def _decode(self, video: int, path: Path) -> float:
        """Hand over the clips of one video; returns its duration."""
        reader = VideoReader(path, threads="NONE" if self._several else "AUTO")
        source = replace(reader.info, duration_s=None) if self.steady else reader.info
        rules = [clip_rule(encoder, self.clip_s, source) for encoder in self.encoders]
        cutters = [ClipCutter(rule.n_frames) for rule in rules]
        declared = reader.info.duration_s
        expected = max(1, round(declared / self.clip_s)) if declared else None
        for i, frame in reader.frames_for([rule.frames for rule in rules]):
            for images in cutters[i].add(frame.image):
                self._put(_Decoded(video, path, i, rules[i].arrange(images), expected))
            if self._stopped.is_set():
                return 0.0
        for i, cutter in enumerate(cutters):
            for images in cutter.finish():
                self._put(_Decoded(video, path, i, rules[i].arrange(images), expected))
        assert reader.duration_s is not None
        return reader.duration_s

    def _put(self, message: _Decoded | _Ended | None) -> None:
        while not self._stopped.is_set():
            with suppress(queue.Full):
                self._queue.put(message, timeout=0.1)
                return


@dataclass
class _Pending:
    """A video on its way through the encoders."""

    path: Path
    n_encoders: int
    end: float | Exception | None = None
    rows: list[list[Array]] = field(default_factory=list)
    n_given: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows, self.n_given = [[] for _ in range(self.n_encoders)], [0] * self.n_encoders

    @property
    def complete(self) -> bool:
        """Whether its end is known and every clip is encoded; one that failed waits for nothing."""
        if isinstance(self.end, Exception):
            return True
        return self.end is not None and all(len(r) == n for r, n in zip(self.rows, self.n_given, strict=True))

    def result(self) -> EncodedVideo | VideoError:
        """Its features, or why it could not be read."""
        if isinstance(self.end, VideoError):
            return self.end
        if isinstance(self.end, Exception):
            raise self.end
        assert self.end is not None
        return EncodedVideo(tuple(np.stack(rows) for rows in self.rows), self.end)


class _Batch:
    """Clips on their way through one encoder."""

    def __init__(self, encoder: VideoEncoder) -> None:
        self.encoder, self.size = encoder, int(getattr(encoder, "batch_clips", BATCH_CLIPS))
        self._clips: list[Clip] = []
        self._owners: list[list[Array]] = []

    def add(self, video: _Pending, i: int, clip: Clip) -> None:
        """Take a clip; its row goes to the video when the batch is full."""
        self._clips.append(clip)
        self._owners.append(video.rows[i])
        if len(self._clips) == self.size:
            self.flush()

    def flush(self) -> None:
        """Encode what is there. The batch is filled up: kernels are chosen by shape, and their sums differ in the
        last digits; so a clip's features do not depend on how many came with it.
        """
        if not self._clips:
            return
        full = self._clips + [self._clips[-1]] * (self.size - len(self._clips))
        rows = self.encoder.encode_clips(np.stack(full))
        for owner, row in zip(self._owners, rows, strict=False):
            owner.append(row)
        self._clips, self._owners = [], []

"""Videos through one or several encoders: decoding and encoding overlap, batches cross the borders of files, each
video is decoded once for all encoders, and what stands in memory does not grow with the length of a video.
"""

# Shapes: L clips, F feature width.

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikemba.encoders import ClipEncoder, SoundEncoder, SubtitleEncoder, VideoEncoder
from spikemba.encoders.base import BATCH_CLIPS
from spikemba.encoding.clip_inputs import ClipInput, Cues, Input, clip_inputs
from spikemba.features import SOUND, SUBTITLES, Array
from spikemba.progress import Report, silent
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
    nothing: tuple[bool | None, ...] = ()
    """Per encoder, whether the video has no sound, or no subtitles, and so rows of zeros; None of pictures."""

    def lacks(self, encoders: Sequence[ClipEncoder]) -> tuple[str, ...]:
        """What it has nothing of, in words: `sound`, `subtitles`, as these encoders found."""
        found = (what_it_takes(one) for one, nothing in zip(encoders, self.nothing, strict=False) if nothing)
        return tuple(dict.fromkeys(found))


def encode_video(path: Path, encoders: Sequence[ClipEncoder], clip_s: float, report: Report = silent) -> EncodedVideo:
    """Decode the video once and encode its clips. Raises VideoError when it cannot be read to its end.

    report counts clips; their number is that of the declared duration, where the file declares one.
    """
    ((_, found),) = encode_videos([path], encoders, clip_s, report=report)
    if isinstance(found, Exception):
        raise found
    return found


def encode_videos(
    paths: Iterable[Path],
    encoders: Sequence[ClipEncoder],
    clip_s: float,
    *,
    decoders: int = 1,
    report: Report = silent,
) -> Generator[tuple[Path, EncodedVideo | Exception]]:
    """Every video with its features, or with the reason why it could not be read, as each is done.

    The reason is a VideoError; whatever else goes wrong in decoding a video is handed over, too, and stops no other.

    decoders: videos decoded at once, each in a thread of its own; they wait when the encoders are slower.
    report counts the clips of the first encoder, over all videos.
    Every call of an encoder gets a full batch, so a video's features are the same whatever is encoded with it.
    """
    work = _Decoding(iter(paths), encoders, clip_s, decoders)
    batches = [_Batch(encoder) if isinstance(encoder, VideoEncoder | SoundEncoder) else None for encoder in encoders]
    pending: dict[int, _Pending] = {}
    n_clips = 0
    try:
        for message in work.messages():
            video = pending.setdefault(message.video, _Pending(message.path, encoders))
            if isinstance(message, _Decoded):
                n_clips += video.take(message.given, batches)
                report(n_clips, message.expected if decoders == 1 else None)
            else:
                video.end = message.end
            for key in [key for key, one in pending.items() if one.complete]:
                done = pending.pop(key)
                yield done.path, done.result()
        for batch in filter(None, batches):
            batch.flush()
        for done in pending.values():
            yield done.path, done.result()
        report(n_clips, n_clips)
    finally:
        work.stop()


def what_it_takes(encoder: ClipEncoder) -> str:
    """`pictures`, `sound` or `subtitles`."""
    if isinstance(encoder, SoundEncoder):
        return SOUND
    return SUBTITLES if isinstance(encoder, SubtitleEncoder) else "pictures"


class _Decoded(NamedTuple):
    """Something for one of the encoders."""

    video: int
    path: Path
    given: Input
    expected: int | None


class _Ended(NamedTuple):
    """A video has no more clips: its duration in seconds, or why it could not be read."""

    video: int
    path: Path
    end: float | Exception


class _Decoding:
    """Threads that take videos one after the other and hand over their clips, as fast as these are taken."""

    def __init__(self, paths: Iterator[Path], encoders: Sequence[ClipEncoder], clip_s: float, n: int) -> None:
        self.encoders, self.clip_s = encoders, clip_s
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
            except Exception as error:  # whoever takes the result decides
                end = error
            self._put(_Ended(video, path, end))
        self._put(None)

    def _next(self) -> tuple[int, Path] | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._paths, None)

    def _decode(self, video: int, path: Path) -> float:
        """Hand over the clips of one video; returns its duration."""
        reader = VideoReader(path, threads="NONE" if self._several else "AUTO")
        declared = reader.info.duration_s
        expected = max(1, round(declared / self.clip_s)) if declared else None
        with closing(clip_inputs(reader, self.encoders, self.clip_s)) as inputs:
            for given in inputs:
                self._put(_Decoded(video, path, given, expected))
                if self._stopped.is_set():
                    return 0.0
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
    encoders: Sequence[ClipEncoder]
    end: float | Exception | None = None
    rows: list[list[Array]] = field(default_factory=list)
    n_given: list[int] = field(default_factory=list)
    nothing: dict[int, int] = field(default_factory=dict)
    """Encoder -> clips of a video that has nothing for it."""

    def __post_init__(self) -> None:
        self.rows, self.n_given = [[] for _ in self.encoders], [0] * len(self.encoders)

    def take(self, given: Input, batches: Sequence["_Batch | None"]) -> int:
        """Bring what a video gives to its encoder; returns how many clips of the first encoder that is."""
        i, n, encoder = given.encoder, 1, self.encoders[given.encoder]
        if isinstance(given, ClipInput):
            batch = batches[i]
            assert batch is not None
            self.n_given[i] += 1
            batch.add(self, i, given.values)
        elif isinstance(given, Cues):
            assert isinstance(encoder, SubtitleEncoder)
            self.rows[i], n = list(encoder.encode_cues(given.clips)), len(given.clips)
            self.n_given[i] = n
        else:
            self.nothing[i] = n = given.n_clips
        return n if i == 0 else 0

    @property
    def complete(self) -> bool:
        """Whether its end is known and every clip is encoded; one that failed waits for nothing."""
        if isinstance(self.end, Exception):
            return True
        return self.end is not None and all(len(r) == n for r, n in zip(self.rows, self.n_given, strict=True))

    def result(self) -> EncodedVideo | Exception:
        """Its features, or why it could not be read."""
        if isinstance(self.end, Exception):
            return self.end
        assert self.end is not None
        features, nothing = list[Array](), list[bool | None]()
        for i, encoder in enumerate(self.encoders):
            n = self.nothing.get(i)
            features.append(np.stack(self.rows[i]) if n is None else np.zeros((n, encoder.dim), np.float32))
            nothing.append(None if isinstance(encoder, VideoEncoder) else n is not None)
        return EncodedVideo(tuple(features), self.end, tuple(nothing))


class _Batch:
    """Clips on their way through one encoder."""

    def __init__(self, encoder: VideoEncoder | SoundEncoder) -> None:
        self.size = int(getattr(encoder, "batch_clips", BATCH_CLIPS))
        self._encode: Callable[[NDArray[Any]], Array] = (
            encoder.encode_sounds if isinstance(encoder, SoundEncoder) else encoder.encode_clips
        )
        self._clips: list[NDArray[Any]] = []
        self._owners: list[list[Array]] = []

    def add(self, video: _Pending, i: int, clip: NDArray[Any]) -> None:
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
        rows = self._encode(np.stack(full))
        for owner, row in zip(self._owners, rows, strict=False):
            owner.append(row)
        self._clips, self._owners = [], []

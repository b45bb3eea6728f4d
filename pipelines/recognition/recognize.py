"""Which class a video shows: as a whole, and over time where it is long."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.tasks.recognition.evaluate import fitted, top_classes
from spikemba.datasets.labelled.footage import duration_s, on_disk
from spikemba.datasets.labelled.pairs import VideoDataConfig, views
from spikemba.datasets.labelled.videos import LabelledVideo
from spikemba.device import device_named
from spikemba.errors import CheckpointError
from spikemba.model.video_mamba.checkpoint import load_video_checkpoint
from spikemba.progress import Report, silent
from spikemba.recognition import Probabilities, averaged, probabilities
from spikemba.video.sampling import VideoReader

SHORTEST = 0.5
"""A rest of the video of less than this share of a window belongs to the window before."""


@dataclass(frozen=True)
class Stretch:
    """A part of a video and its likeliest classes, best first."""

    start_s: float
    end_s: float
    top: list[dict[str, Any]]


@dataclass(frozen=True)
class Recognized:
    """What a video shows."""

    video: Path
    duration_s: float
    top: list[dict[str, Any]]
    """The likeliest classes of the whole, each `label` and `probability`, best first."""
    over_time: list[Stretch]
    """The same for each window; empty where the video is no longer than one."""
    model: str

    def to_dict(self) -> dict[str, Any]:
        """The document that `spikemba recognize --json` prints."""
        windows = [{"start_s": w.start_s, "end_s": w.end_s, "top": w.top} for w in self.over_time]
        head = {"video": str(self.video), "duration_s": round(self.duration_s, 3), "top": self.top}
        return {**head, "over_time": windows, "model": self.model}


class Recognizer:
    """A checkpoint that recognises videos."""

    def __init__(self, checkpoint: Path, *, device: str = "auto", segments: int = 1, crops: int = 1) -> None:
        """segments, crops: views of each stretch, see VideoDataConfig.  Raises CheckpointError, ConfigError."""
        loaded = load_video_checkpoint(checkpoint)
        if not loaded.labels:
            raise CheckpointError(f"{checkpoint} does not say what its classes are called; train it for your own")
        self.name, self.loaded = str(checkpoint), loaded
        self.data = fitted(VideoDataConfig(test_segments=segments, test_crops=crops), loaded)
        self.model = loaded.model.to(device_named(device))

    def recognize(
        self, video: Path, *, top: int = 5, window_s: float | None = 10.0, report: Report = silent
    ) -> Recognized:
        """The likeliest classes of a video, and of each window of a longer one.

        window_s: length of the windows; None looks at the whole only.  report: counts stretches.
        Raises VideoError when the file cannot be read as a video.
        """
        whole_s = duration_s(VideoReader(video))
        parts = [] if window_s is None else list(_windows(whole_s, window_s))
        parts = parts if len(parts) > 1 else []
        total = len(parts) + 1
        whole = self._look(video, 0.0, None)
        report(1, total)
        over_time = []
        for done, (start_s, end_s) in enumerate(parts, start=2):
            row = self._look(video, start_s, end_s)
            over_time.append(Stretch(round(start_s, 3), round(end_s, 3), self._top(row, top)))
            report(done, total)
        return Recognized(video, whole_s, self._top(whole, top), over_time, self.name)

    def _look(self, video: Path, start_s: float, end_s: float | None) -> Probabilities:
        footage = on_disk(LabelledVideo(video, "", start_s, end_s), self.data.size_px)
        clips = views(footage, self.data)
        return next(averaged(probabilities(self.model, clips, self.loaded.preprocessing), [len(clips)]))

    def _top(self, row: Probabilities, top: int) -> list[dict[str, Any]]:
        return top_classes(list(self.loaded.labels), row, top)


def _windows(duration_s: float, window_s: float) -> Iterator[tuple[float, float]]:
    """Windows one after another; the last one takes in a short rest."""
    n = max(1, math.floor(duration_s / window_s + 1 - SHORTEST))
    for i in range(n):
        yield i * window_s, duration_s if i + 1 == n else (i + 1) * window_s

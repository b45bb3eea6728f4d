"""Labelled videos as a recogniser sees them: clips with a class, changed at random in training."""

# Shapes: R clips of one video, T frames, S pixels a side, B clips of a batch.

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from spikemba.config import Config
from spikemba.datasets.base import Split
from spikemba.datasets.labelled.footage import Footage, in_memory, on_disk
from spikemba.datasets.labelled.frame_choice import FrameChoice, Indices, training_frames, viewed_frames
from spikemba.datasets.labelled.video_augment import AugmentConfig, drawing_from, training_transform, viewed_crops
from spikemba.datasets.labelled.videos import label_names, numbered, read_labelled_videos, read_labels
from spikemba.errors import ConfigError, SpikeMbaError
from spikemba.video.decoding import Threads


class VideoDataConfig(Config):
    """Videos with a class each: folders per class, or lists as `spikemba prepare` writes them."""

    train: Path | None = None
    """List to train on, or a folder with a folder per class."""
    val: Path | None = None
    """The same of the videos that choose the best epoch."""
    test: Path | None = None
    """The same of the test split."""
    videos: Path | None = None
    """Where the paths of the lists begin; by default beside each list."""
    labels: Path | None = None
    """Class names in order, one per line; by default labels.txt beside the training list, or its classes, sorted."""
    frames: FrameChoice = FrameChoice()
    size_px: PositiveInt = 224
    """S, side of the square that the network sees."""
    short_side_px: PositiveInt = 256
    """Training crops are cut from pictures whose short side has this many pixels."""
    repeats: PositiveInt = 1
    """Clips of each video in a batch, each changed in its own way; the batch grows by that factor."""
    augment: AugmentConfig = AugmentConfig()
    test_segments: PositiveInt = 1
    """Clips per video in a test, spread over its length; the probabilities of all views are averaged."""
    test_crops: PositiveInt = 1
    """Squares per clip in a test, spread over the longer side."""
    memory_gb: NonNegativeFloat = 0.0
    """Whole videos kept in memory after they were first decoded, at most; for small sets, with train.workers 0."""

    @property
    def n_views(self) -> int:
        """Clips per video in a test."""
        return self.test_segments * self.test_crops


@dataclass(frozen=True)
class VideoExample:
    """The clips of one video, or what is wrong with it."""

    index: int
    label: int
    clips: Tensor
    """(R, T, 3, S, S) uint8."""
    fault: str = ""
    """Why the video could not be read. Errors do not pass from a loading process whole; see VideoBatch.check."""


@dataclass(frozen=True)
class VideoBatch:
    """Clips with their classes."""

    video: Tensor
    """(B, T, 3, S, S) uint8."""
    labels: Tensor
    """(B,) int64."""
    indices: Tensor
    """(B,) int64, of the videos in their split."""
    faults: tuple[str, ...] = ()
    weight: float = 1.0
    """Of each clip in the loss: one by the clips of all processes."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "VideoBatch":
        """The batch on another device."""
        moved = {name: getattr(self, name).to(device) for name in ("video", "labels", "indices")}
        return replace(self, **moved)

    def check(self) -> None:
        """Raise SpikeMbaError for the first video that could not be read."""
        if self.faults:
            raise SpikeMbaError(self.faults[0])


def collate_videos(examples: Sequence[VideoExample]) -> VideoBatch:
    """Join the clips of several videos; those that could not be read are only reported."""
    read = [example for example in examples if not example.fault]
    counts = torch.tensor([len(example.clips) for example in read], dtype=torch.int64)
    return VideoBatch(
        video=torch.cat([example.clips for example in read]) if read else torch.empty(0),
        labels=torch.tensor([example.label for example in read], dtype=torch.int64).repeat_interleave(counts),
        indices=torch.tensor([example.index for example in read], dtype=torch.int64).repeat_interleave(counts),
        faults=tuple(example.fault for example in examples if example.fault),
    )


class VideoDataset(Dataset[VideoExample]):
    """The videos of one split: as items the fixed views of a test, or clips `drawn` at random."""

    def __init__(self, config: VideoDataConfig, split: Split, *, labels: Sequence[str] = ()) -> None:
        """labels: names of the classes; by default the configuration's.

        Raises AnnotationError or ConfigError, each naming what is missing or wrong.
        """
        source = getattr(config, split)
        if source is None:
            raise ConfigError("data", [f"{split}: is required and was not given"])
        if not source.exists():
            how = "`spikemba prepare --help` lists what makes it, or give --data DIR"
            raise ConfigError("data", [f"{split}: there is no {source}; {how}"])
        self.config = config
        self.videos = read_labelled_videos(source, config.videos)
        self.labels = list(labels) or class_names(config)
        self.numbers = numbered(self.videos, self.labels, source)
        self._transform = training_transform(config.augment, config.size_px)
        self._memory: dict[tuple[int, int], Footage] = {}
        self._memory_bytes = 0

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> VideoExample:
        return self._example(index, lambda: self._viewed(index))

    def drawn(self, index: int, seed: int) -> VideoExample:
        """Random clips of a video; equal seeds draw equal clips, in whatever process."""
        return self._example(index, lambda: self._drawn(index, seed))

    def _example(self, index: int, clips: Callable[[], Tensor]) -> VideoExample:
        try:
            return VideoExample(index, self.numbers[index], clips())
        except SpikeMbaError as error:
            return VideoExample(index, self.numbers[index], torch.empty(0), str(error))

    def _drawn(self, index: int, seed: int) -> Tensor:
        footage, rng = self._footage(index, self.config.short_side_px), np.random.default_rng(seed)
        clips = []
        for _ in range(self.config.repeats):
            frames = _taken(footage, training_frames(self.config.frames, footage.n_frames, rng))
            with drawing_from(int(rng.integers(2**62))):
                clips.append(self._transform(frames))
        return torch.stack(clips)

    def _viewed(self, index: int) -> Tensor:
        return views(self._footage(index, self.config.size_px), self.config)

    def _footage(self, index: int, side: int) -> Footage:
        """The video from memory, or decoded whole while the budget lasts, or else by the frames that are wanted."""
        if (index, side) in self._memory:
            return self._memory[index, side]
        threads: Threads = "AUTO" if get_worker_info() is None else "NONE"
        read = on_disk(self.videos[index], side, threads)
        if self._memory_bytes + read.n_bytes > self.config.memory_gb * 1e9:
            return read
        footage = in_memory(self.videos[index], side, threads)
        self._memory[index, side] = footage
        self._memory_bytes += footage.n_bytes
        return footage


def views(footage: Footage, config: VideoDataConfig) -> Tensor:
    """What a test looks at: (segments x crops, T, 3, S, S) uint8."""
    clips = [
        crop
        for indices in viewed_frames(config.frames, footage.n_frames, config.test_segments)
        for crop in viewed_crops(_taken(footage, indices), config.size_px, config.test_crops)
    ]
    return torch.stack(clips)


def class_names(config: VideoDataConfig) -> list[str]:
    """The classes in the order of the network's outputs. Raises ConfigError, AnnotationError."""
    if config.labels is not None:
        return read_labels(config.labels)
    if config.train is None:
        raise ConfigError("data", ["labels: is required where there is no training list; give a file of class names"])
    beside = config.train.parent / "labels.txt"
    if config.train.is_file() and beside.is_file():
        return read_labels(beside)
    return label_names(read_labelled_videos(config.train, config.videos))


def _taken(footage: Footage, indices: Indices) -> Tensor:
    """(T, 3, H, Wd) uint8."""
    return torch.from_numpy(np.ascontiguousarray(footage.take(indices))).permute(0, 3, 1, 2)

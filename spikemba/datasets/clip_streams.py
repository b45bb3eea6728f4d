"""Where rows of clips come from: packs of features, and packs of sound, in which silent videos may be missing."""

# Shapes: L clips, F feature width.

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spikemba.errors import FeaturesMissing, command_line
from spikemba.features import FeatureFolder, Manifest
from spikemba.reading.printable import counted

_log = logging.getLogger(__name__)


class ClipStream(Protocol):
    """Where rows of clips come from: a folder of features, or what stands in its place."""

    folder: Path
    manifest: Manifest

    def video(self, video_id: str) -> NDArray[Any]:
        """(L, F) rows of a video's clips."""
        ...

    def n_rows(self, video_id: str) -> int | None:
        """L, or None where that is not known before the video is read."""
        ...

    def has_video(self, video_id: str) -> bool:
        """Whether the video is there."""
        ...


class SoundPack:
    """A pack of the sound of videos: one that it lacks has no sound, and rows of zeros."""

    def __init__(self, pack: FeatureFolder, beside: ClipStream) -> None:
        """beside: a stream of the same videos, which says how many rows stand for silence."""
        self.folder, self.manifest = pack.folder, pack.manifest
        self._pack, self._beside = pack, beside

    def video(self, video_id: str) -> NDArray[Any]:
        """(L, F). Raises FeaturesMismatch."""
        if self.hears(video_id):
            return self._pack.video(video_id)
        n = self._beside.n_rows(video_id)
        return np.zeros((len(self._beside.video(video_id)) if n is None else n, self.manifest.dim), np.float32)

    def n_rows(self, video_id: str) -> int | None:
        """L; None for a silent one, which fits whatever there is."""
        return self._pack.n_rows(video_id) if self.hears(video_id) else None

    def has_video(self, video_id: str) -> bool:  # noqa: ARG002
        """All of them."""
        return True

    def hears(self, video_id: str) -> bool:
        """Whether the pack has the video's sound."""
        return self._pack.has_video(video_id)


def sound_packs(
    packs: Sequence[Path],
    beside: Sequence[ClipStream],
    clips: Mapping[str, float],
    what: str,
    others: Callable[[], Iterable[str]] = tuple,
) -> list[SoundPack]:
    """Packs of the sound of videos; says once of each how many it lacks.

    beside: streams that have all videos.  clips: the videos, and the rows that they should have by their durations.
    what: whose videos they are, in words.  others: videos of the same data, asked where a pack has none of these.
    Raises FeaturesMissing for a pack that is not there, or that has none of several videos, nor of the others: it is
    that of other data.
    """
    names = sorted(clips)
    found = [SoundPack(FeatureFolder(path, "video", clips), beside[0]) for path in packs] if beside else []
    for one in found:
        silent = [name for name in names if not one.hears(name)]
        if 1 < len(names) == len(silent) and not any(map(one.hears, others())):
            show = command_line("spikemba", "features", "show", one.folder, "--annotations", "ANNOTATIONS")
            raise FeaturesMissing(f"any of {counted(len(names), 'video', 'videos')} of {what}", one.folder, show)
        if silent:
            have = "has" if len(silent) == 1 else "have"
            _log.warning(
                "%s: %d of %s %s no sound in %s, such as %s: zeros stand for it",
                *(what, len(silent), counted(len(names), "video", "videos"), have, one.folder, silent[0]),
            )
    return found

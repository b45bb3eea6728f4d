"""Which videos are worth a close look, copies of one file folded into one."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spikemba.library import Library, StoredVideo
from spikemba.library.clip_scores import ClipScores
from spikemba.library.fusion import fused
from spikemba.library.rows import videos_by_id

_AT_ONCE = 64
"""Videos that are looked up at once."""


@dataclass(frozen=True)
class Candidate:
    """A content that may be in several files."""

    rows: StoredVideo
    """Whose rows are read."""
    shown: StoredVideo
    """Which file is named: the first that is there."""
    copies: tuple[StoredVideo, ...] = ()
    """The other files."""

    @property
    def path(self) -> Path:
        """Of the file that is named."""
        return self.shown.path

    @property
    def paths(self) -> tuple[Path, ...]:
        """Of the other files."""
        return tuple(one.path for one in self.copies)

    def problem(self, library: Library) -> str | None:
        """What happened to the file since it was taken in, if anything did."""
        try:
            if self.shown.is_as_it_was(self.path.stat()):
                return None
            what = "has changed since it was taken in, and this is of what it was"
        except OSError:
            what = "is not there any more"
        return f"{self.path} {what}; run `{library.index_command(videos=self.path.parent)}` once more"


def by_ranks(found: ClipScores, also: Sequence[int] = ()) -> list[int]:
    """Ids of the videos, the one with the nearest clip first; fused with another order of some of them, if given."""
    ranked: list[int] = found.videos[found.ranked()].tolist()
    if not also:
        return ranked
    there = set(ranked)
    return list(fused(ranked, [id_ for id_ in dict.fromkeys(also) if id_ in there]))


def distinct(library: Library, ids: Iterable[int], among: Collection[int] | None = None) -> Iterator[Candidate]:
    """The videos in their order, every content once.

    among: ids of the videos that were asked about, whose files are named before those of their copies.
    """
    seen: set[str] = set()
    waiting = list(ids)
    for i in range(0, len(waiting), _AT_ONCE):
        part = waiting[i : i + _AT_ONCE]
        with library.reading() as connection:
            videos = videos_by_id(connection, part)
        for id_ in part:
            video = videos.get(id_)
            if video is None or video.digest in seen:
                continue
            seen.add(video.digest)
            yield candidate(library, video, among)


def candidate(library: Library, video: StoredVideo, among: Collection[int] | None = None) -> Candidate:
    """The video with its copies; among: as of `distinct`."""
    files = sorted(
        [video, *library.copies(video)],
        key=lambda one: (not one.path.exists(), among is not None and one.id not in among, one.path),
    )
    return Candidate(video, files[0], tuple(files[1:]))

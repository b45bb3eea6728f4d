"""Whether the rows of features fit the videos: as many as clips, and as many in each stream.

A published pack has no manifest, so how long its rows are is what the configuration says; 150 rows of a video of 150 s
under `clip_s: 2` would be trained with every window in the wrong place.
"""

# Shapes: L rows of a stream.

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from spikemba.datasets.annotations import Annotation
from spikemba.errors import FeaturesMismatch
from spikemba.features import SHORT_VIDEO_S

LEAST, MOST = 0.8, 1.25
"""Rows by clips, and the shortest stream by the longest, beyond which they cannot be of one video."""
SLACK = 1.0
"""Rows that may be missing or too many whatever the ratio: encoders round a started clip up or down."""


@dataclass(frozen=True)
class VideoRows:
    """How many rows a video has, and how many it should have."""

    video_id: str
    rows: tuple[tuple[str, int], ...]
    """Name of each stream and its L."""
    wanted: float
    """Clips of the video: its labels, or its duration by clip_s."""
    what: str
    """The same in words."""
    is_short: bool = False
    """Hardly longer than one clip: published pipelines read such a video more often."""

    @property
    def worst(self) -> str:
        """What does not fit, in words; empty when all fits to a row."""
        if self.is_short:
            return ""
        name, n = max(self.rows, key=lambda row: abs(row[1] - self.wanted))
        lengths = [length for _, length in self.rows]
        if max(lengths) - min(lengths) > SLACK:
            return f"{' and '.join(f'{length} rows in {stream}' for stream, length in self.rows)}"
        return f"{n} rows in {name}, and it {self.what}" if abs(n - self.wanted) > SLACK else ""

    @property
    def is_wrong(self) -> bool:
        """Whether they cannot be rows of this video, or not of one video."""
        lengths = [float(n) for _, n in self.rows]
        pairs = [(max(lengths), min(lengths)), *((n, self.wanted) for n in lengths)]
        return not self.is_short and any(abs(a - b) > SLACK and not LEAST * b <= a <= MOST * b for a, b in pairs)


def videos_with_rows(
    annotations: Iterable[Annotation], n_rows: Sequence[tuple[str, dict[str, int]]], clip_s: float
) -> Iterator[VideoRows]:
    """Each video once, as often as it is said to last otherwise; those whose rows are not known are left out.

    n_rows: name of each stream, and L by video.
    """
    seen: set[tuple[str, float, int]] = set()
    for one in annotations:
        rows = tuple((name, of_stream[one.video_id]) for name, of_stream in n_rows if one.video_id in of_stream)
        key = one.video_id, one.duration_s, len(one.labels)
        if key in seen or not rows:
            continue
        seen.add(key)
        if one.labels:
            yield VideoRows(one.video_id, rows, len(one.labels), f"has {len(one.labels)} labelled clips")
        else:
            what = f"lasts {one.duration_s:g} s, {one.duration_s / clip_s:.1f} clips of {clip_s:g} s"
            short = one.duration_s < clip_s + SHORT_VIDEO_S and max(n for _, n in rows) <= 3
            yield VideoRows(one.video_id, rows, one.duration_s / clip_s, what, short)


def check_rows(videos: Sequence[VideoRows], clip_s: float, *, accept: bool) -> str:
    """What does not fit to a row, as a warning; empty when all does.

    clip_s: what the rows were taken to last, in seconds.  accept: warn of what is wrong, too.
    Raises FeaturesMismatch with the cure when the rows of a video cannot be its own.
    """
    wrong = [one for one in videos if one.is_wrong]
    if wrong and not accept:
        raise FeaturesMismatch(
            f"{_some(wrong, len(videos))}; {_cure(wrong, clip_s)}or accept it with --set data.accept_misfit=true"
        )
    loose = wrong or [one for one in videos if one.worst]
    return _some(loose, len(videos)) if loose else ""


def _some(videos: Sequence[VideoRows], n: int) -> str:
    first = videos[0]
    return (
        f"{len(videos)} of {n} videos have features whose rows do not fit, as {first.video_id!r}: "
        f"{first.worst or 'too many or too few rows'}"
    )


def _cure(wrong: Sequence[VideoRows], clip_s: float) -> str:
    """What the user can set: the one length of a row with which all would fit, and stretching."""
    lengths = [clip_s * one.wanted / n for one in wrong for _, n in one.rows]
    known = max(lengths) - min(lengths) <= 0.1 * max(lengths)
    own = f"if a row lasts {sum(lengths) / len(lengths):.2g} s, say so with --set data.clip_s, " if known else ""
    return f"{own}bring them to one length with --set data.lengths=stretch, "

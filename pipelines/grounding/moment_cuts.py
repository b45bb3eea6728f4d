"""The moments of one video as files of their own: cut out in one go, and told what became of each."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spikemba.files import json_text
from spikemba.grounder.result import Grounding
from spikemba.video.cuts import CutMode, cut_parts
from spikemba.video.parts import Cut, Part


class MomentCut(NamedTuple):
    """What became of one moment."""

    video: Path
    query: str
    rank: int
    """From 1, the best."""
    cut: Cut
    """With the times at which it really begins and ends, and the fault where there is one."""


def cut_moments(
    video: Path, found: Sequence[Grounding], name: Callable[[str, int], Path], mode: CutMode = "exact"
) -> Iterator[MomentCut]:
    """Cut every moment of the answers about one video; one that fails stops no other.

    name: the file for a query and a rank.  Raises VideoError when the video cannot be read, OutputError where no folder
    can be made.
    """
    asked: dict[Part, list[tuple[str, int]]] = {}
    for one in found:
        for rank, moment in enumerate(one.moments, start=1):
            part = Part(name(one.query, rank), moment.start_s, moment.end_s)
            asked.setdefault(part, []).append((one.query, rank))
    for cut in cut_parts(video, list(asked), mode=mode):
        yield from (MomentCut(video, query, rank, cut) for query, rank in asked[cut.part])


def moved(done: MomentCut) -> bool:
    """Whether a cut begins elsewhere than its moment, as copies do."""
    return done.cut.start_s != done.cut.part.start_s


def real_times(cuts: Sequence[MomentCut], one: Grounding) -> dict[int, tuple[float, float]]:
    """Rank -> where its cut really begins and ends, for the cuts of an answer; empty where all are to the frame."""
    own = [done for done in cuts if (done.video, done.query) == (one.video, one.query)]
    return {done.rank: (done.cut.start_s, done.cut.end_s) for done in own} if any(map(moved, own)) else {}


def with_cuts(one: Grounding, cuts: Sequence[MomentCut]) -> dict[str, Any]:
    """`Grounding.to_dict`, and per moment `cut_start_s` and `cut_end_s` where packets were copied."""
    document = one.to_dict()
    for rank, (start_s, end_s) in real_times(cuts, one).items():
        document["moments"][rank - 1] |= {"cut_start_s": round(start_s, 3), "cut_end_s": round(end_s, 3)}
    return document


def json_with_cuts(found: Sequence[Grounding], cuts: Sequence[MomentCut]) -> str:
    """`formats.as_json` with the real times of the cuts."""
    return json_text([with_cuts(one, cuts) for one in found])

"""claims: three seeded grammars on which the similarity of clip and sentence is of little use.

outshone   what is meant is quiet; louder and longer near misses resemble the sentence more
far        what is described happens several times, and order or far anchors tell which time is meant
scripts    what is meant is hidden, and only the scripts that all videos share tell where

claim_video(seed, grammar) -> ClaimVideo: Storyboard and Claims -> planted.Planted -> features
                                                                -> annotate_claims -> Annotation rows with a kind
"""

import random
from dataclasses import replace
from typing import Literal, cast, get_args

from spikemba.datasets.annotations import Annotation
from spikemba.datasets.synthetic import far, outshone, scripts
from spikemba.datasets.synthetic.claim_parts import ClaimVideo
from spikemba.datasets.synthetic.shapes import annotate
from spikemba.errors import UnknownName

Grammar = Literal["outshone", "far", "scripts"]

GRAMMARS: tuple[Grammar, ...] = get_args(Grammar)

_DRAW = {"outshone": outshone.draw, "far": far.draw, "scripts": scripts.draw}


def claim_video(seed: int, grammar: Grammar) -> ClaimVideo:
    """Invent a video with its sentences. Equal arguments give equal videos. Raises UnknownName."""
    if grammar not in _DRAW:
        raise UnknownName("grammar", grammar, list(GRAMMARS))
    return _DRAW[grammar](random.Random(f"claims {grammar} {seed}"), f"claims_{grammar}_{seed:06d}")


def claim_video_of(video_id: str) -> ClaimVideo:
    """The video of the corpus with this name, `claims_<grammar>_<seed>`. Raises UnknownName."""
    grammar, seed = video_id.removeprefix("claims_").rsplit("_", 1)
    return claim_video(int(seed), cast(Grammar, grammar))


def annotate_claims(video: ClaimVideo, first_query_id: int) -> list[Annotation]:
    """The video's claims as annotation rows with their kind; windows are unions of clips, with ratings inside."""
    rows = annotate(video.board, first_query_id, [claim.query for claim in video.claims])
    return [replace(row, kind=claim.kind) for row, claim in zip(rows, video.claims, strict=True)]

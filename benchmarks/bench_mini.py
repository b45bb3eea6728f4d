"""What the bundled encoder tells apart: colour, form and action of the events of held-out shapes videos.

    python benchmarks/bench_mini.py build/mini                    # 24 validation videos of the corpus of `make weights`

Of the clips in which something goes on, how often its sentence scores higher than the same with one part taken from
something else that goes on in the clip, in percent, chance 50; and the average precision of all pairs of clip and
sentence that are true, among near misses. The videos are drawn below the folder, and stay.
"""

import json
import random
from dataclasses import replace
from pathlib import Path

import torch
from record import Record, options

from pipelines.bundled.pretrain_mini import Corpus, matching_precision
from pipelines.preparation.prepare import prepare_shapes
from pipelines.preparation.shapes_corpus import ShapesConfig
from spikemba.datasets.annotations import read_annotations
from spikemba.datasets.synthetic.shapes import describe, phrase
from spikemba.encoders import mini

PARTS = ("colour", "form", "action")
BATCH = 64
"""Clips that are encoded at once."""


@torch.inference_mode()
def told_apart(model: mini.Mini, corpus: Corpus, seed: int = 0) -> dict[str, list[bool]]:
    """Part -> of each event in a clip beside another that differs in it, whether its own sentence scores higher."""
    draw, right = random.Random(seed), {part: list[bool]() for part in PARTS}
    for first in range(0, len(corpus.frames), BATCH):
        clips = model.video(torch.from_numpy(corpus.frames[first : first + BATCH]))
        for i, happening in enumerate(corpus.happenings[first : first + BATCH]):
            going_on = [describe(event) for event, share in happening if share >= 0.5]
            for own in going_on:
                for part in PARTS:
                    others = {getattr(other, part) for other in going_on} - {getattr(own, part)}
                    wrong = [replace(own, **{part: value}) for value in sorted(others)]
                    wrong = [one for one in wrong if one not in going_on]
                    if wrong:
                        said = [phrase(draw, own), phrase(draw, draw.choice(wrong))]
                        scores = model.match(clips[i : i + 1], model.text(*model.words(said))[1])[0]
                        right[part].append(bool(scores[0] > scores[1]))
    return right


def main() -> None:
    """Print one JSON line."""
    parser = options(__doc__)
    parser.add_argument("folder", type=Path, help="for the drawn videos")
    parser.add_argument("--videos", type=int, default=24)
    arguments = parser.parse_args()
    record = Record(arguments)
    prepare_shapes(arguments.folder, ShapesConfig(train=0, val=arguments.videos, test=0))
    names = dict.fromkeys(row.video_id for row in read_annotations(arguments.folder / "val.jsonl"))
    model = mini.load().model
    corpus = Corpus.read([arguments.folder / "videos" / f"{name}.mp4" for name in names], model.config)
    found = told_apart(model, corpus)
    row = {part: round(100 * sum(right) / len(right), 2) for part, right in found.items()}
    counts = {f"{part}_pairs": len(right) for part, right in found.items()}
    row["matching_precision"] = round(100 * matching_precision(model, corpus), 2)
    case = f"mini, {arguments.videos} validation videos"
    print(json.dumps({"case": case, **row, **counts}))
    record.quality(case, {**row, **counts})
    record.keep()


if __name__ == "__main__":
    main()

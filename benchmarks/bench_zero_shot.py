"""Grounding without training on shapes, beside chance, a threshold and the trained model.

    python benchmarks/bench_zero_shot.py build/weights/shapes --checkpoint mini

The corpus is the one that `make weights` draws and extracts, with the mini encoder. Zero-shot sees no training video;
the threshold of the plain baseline is chosen on val.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_shapes import CLIP_S, show, show_baselines, show_checkpoint
from record import Record, options

from spikemba.datasets.annotations import Annotation, PredictedRow, read_annotations
from spikemba.features import FeatureFolder
from spikemba.grounder.zero_shot import ZeroShotConfig, answer_zero_shot


def zero_shot(corpus: Path, annotations: Sequence[Annotation], config: ZeroShotConfig) -> list[PredictedRow]:
    """Answers from the stored features alone."""
    clips, rows = FeatureFolder(corpus / "features" / "mini"), []
    for a in annotations:
        with np.load(corpus / "features" / "mini_text" / f"qid{a.query_id}.npz") as arrays:
            sentence = arrays["pooler_output"]
        answer = answer_zero_shot(clips.video(a.video_id), sentence, a.duration_s, CLIP_S, config)
        rows.append(PredictedRow(a.query_id, a.video_id, a.query, answer.moments, tuple(answer.saliency.tolist())))
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--checkpoint", help="also score this checkpoint, as mini, the bundled one")
    arguments = parser.parse_args()
    corpus: Path = arguments.corpus
    test = read_annotations(corpus / "test.jsonl")
    record = Record(arguments)
    show_baselines(corpus, record)
    for kind in ("product", "cosine"):
        show(corpus, f"zero-shot, {kind}", zero_shot(corpus, test, ZeroShotConfig(similarity=kind)), record)  # type: ignore[arg-type]
    if arguments.checkpoint:
        show_checkpoint(corpus, arguments.checkpoint, arguments.checkpoint, record)
    record.keep()


if __name__ == "__main__":
    main()

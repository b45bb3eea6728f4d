"""Grounding without training on shapes, beside chance, a threshold and the trained model.

    python tests/benchmarks/bench_zero_shot.py build/weights/shapes --checkpoint mini

The corpus is the one that `make weights` draws and extracts, with the mini encoder. Zero-shot sees no training video;
the threshold of the plain baseline is chosen on val.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_shapes import SHOWN, SUBSETS, Similarity, by_subset, chance

from pipelines.config import config_path, load_config
from pipelines.evaluate import predict
from spikemba.checkpoint import load_checkpoint
from spikemba.datasets.annotations import Annotation, PredictedRow, read_annotations
from spikemba.datasets.base import GroundingDataset
from spikemba.features import FeatureFolder
from spikemba.zero_shot import ZeroShotConfig, answer_zero_shot

CLIP_S = 2.0


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--checkpoint", help="also score this checkpoint, as mini, the bundled one")
    arguments = parser.parse_args()
    corpus: Path = arguments.corpus
    test, val, learn = (read_annotations(corpus / f"{split}.jsonl") for split in ("test", "val", "train"))
    print("\t".join(["", *(f"{subset} {name}" for subset in SUBSETS for name in SHOWN)]))

    def show(name: str, rows: Sequence[PredictedRow]) -> None:
        found = by_subset(corpus, rows)
        print("\t".join([name, *(f"{value:.2f}" for values in found.values() for value in values)]), flush=True)
        print(json.dumps({"variant": name, **found}), flush=True)

    show("chance", chance(test, [w.end_s - w.start_s for a in learn for w in a.windows or ()]))
    similarity = Similarity(corpus / "features")
    threshold = similarity.best_threshold(val)
    show(f"similarity > {threshold:.3f}", [similarity.answer(annotation, threshold) for annotation in test])
    for kind in ("product", "cosine"):
        show(f"zero-shot, {kind}", zero_shot(corpus, test, ZeroShotConfig(similarity=kind)))  # type: ignore[arg-type]
    if arguments.checkpoint:
        data = [f"data.{split}={corpus / split}.jsonl" for split in ("train", "val", "test")]
        features = corpus / "features"
        data += [f"data.video_features=[{features / 'mini'}]", f"data.text_features={features / 'mini_text'}"]
        loaded = load_checkpoint(arguments.checkpoint)
        dataset = GroundingDataset(load_config(config_path("shapes"), data).data, "test")
        show(arguments.checkpoint, predict(loaded.model, dataset, loaded.grounding))


if __name__ == "__main__":
    main()

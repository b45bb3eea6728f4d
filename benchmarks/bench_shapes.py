"""What the model earns on shapes: beside chance and a similarity threshold, and without its parts.

    python benchmarks/bench_shapes.py build/weights/shapes --epochs 30 --out build/bench_shapes

The corpus is the one that `make weights` draws and extracts. Every variant is trained for the same number of epochs
from the same seed; all are scored on the same held-out videos.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from record import Record, options

from pipelines.runs.config import config_path
from pipelines.scoring.scores import score
from pipelines.tasks.grounding.config import load_config
from pipelines.tasks.grounding.evaluate import predict
from pipelines.tasks.train import train
from spikemba.checkpoints.grounding import load_checkpoint
from spikemba.datasets.annotations import Annotation, PredictedRow, read_annotations
from spikemba.datasets.base import GroundingDataset
from spikemba.features import FeatureFolder
from spikemba.moments import Moment, runs

CLIP_S = 2.0
SHOWN = ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP", "HL-min-VeryGood-Hit1")
SUBSETS = ("test", "test_distractor", "test_long_range")
VARIANTS = {
    "SpikeMba": [],
    "without detector": ["model.spiking_saliency.enabled=false"],
    "without slots": ["model.slots.n_slots=0"],
    "attention for scan": ["model.mixer.kind=attention", "model.mixer.n_heads=4"],
}

Answerer = Callable[[Annotation], PredictedRow]


def chance(annotations: Sequence[Annotation], lengths_s: Sequence[float], seed: int = 0) -> list[PredictedRow]:
    """Ten windows anywhere, as long as training windows are, and random saliency."""
    rng = np.random.default_rng(seed)
    rows = []
    for annotation in annotations:
        moments = []
        for length in rng.choice(lengths_s, 10):
            start = rng.uniform(0, max(0.0, annotation.duration_s - length))
            moments.append(Moment(start, start + length, rng.random()))
        moments.sort(key=lambda moment: -moment.score)
        saliency = rng.random(int(annotation.duration_s / CLIP_S + 0.5))
        rows.append(answer_row(annotation, moments, saliency))
    return rows


class Similarity:
    """Product of clip and sentence, a threshold, runs of clips above it."""

    def __init__(self, features: Path, encoder: str = "mini") -> None:
        self.clips, self.sentences = FeatureFolder(features / encoder), features / f"{encoder}_text"

    def answer(self, annotation: Annotation, threshold: float) -> PredictedRow:
        clips = self.clips.video(annotation.video_id)
        with np.load(self.sentences / f"qid{annotation.query_id}.npz") as arrays:
            sentence = arrays["pooler_output"]
        saliency = clips @ (sentence / np.linalg.norm(sentence))
        found = [
            Moment(start * CLIP_S, min(stop * CLIP_S, annotation.duration_s), float(saliency[start:stop].mean()))
            for start, stop in runs(saliency > threshold, 1)
        ]
        best = int(saliency.argmax())
        found = found or [Moment(best * CLIP_S, min((best + 1) * CLIP_S, annotation.duration_s), float(saliency[best]))]
        return answer_row(annotation, sorted(found, key=lambda moment: -moment.score)[:10], saliency)

    def best_threshold(self, annotations: Sequence[Annotation]) -> float:
        """The threshold with the best mAP on other videos."""

        def quality(threshold: float) -> float:
            rows = [self.answer(annotation, threshold) for annotation in annotations]
            return float(score(rows, annotations)["brief"]["MR-full-mAP"])

        return float(max(np.linspace(0.05, 1.0, 39), key=quality))


def answer_row(annotation: Annotation, moments: Sequence[Moment], saliency: np.ndarray) -> PredictedRow:
    return PredictedRow(
        annotation.query_id, annotation.video_id, annotation.query, tuple(moments), tuple(saliency.tolist())
    )


def by_subset(corpus: Path, rows: Sequence[PredictedRow]) -> dict[str, list[float]]:
    """The shown metrics of each subset of the test split."""
    answered = {row.query_id: row for row in rows}
    found = {}
    for subset in SUBSETS:
        annotations = read_annotations(corpus / f"{subset}.jsonl")
        brief = score([answered[a.query_id] for a in annotations], annotations)["brief"]
        found[subset] = [brief[name] for name in SHOWN]
    return found


def show(corpus: Path, name: str, rows: Sequence[PredictedRow], record: Record) -> None:
    """Print a row of the table, and the same as JSON, and note it."""
    found = by_subset(corpus, rows)
    who, _, threshold = name.partition(" > ")
    for subset, values in found.items():
        record.quality(f"shapes, {subset}: {who}", dict(zip(SHOWN, values, strict=True)))
    record.quality(f"shapes, val: {who}", {"threshold": float(threshold) if threshold else None})
    print("\t".join([name, *(f"{value:.2f}" for values in found.values() for value in values)]), flush=True)
    print(json.dumps({"variant": name, **found}), flush=True)


def show_baselines(corpus: Path, record: Record) -> None:
    """Print the head of the table, chance, and the threshold that is best on val."""
    test, val, learn = (read_annotations(corpus / f"{split}.jsonl") for split in ("test", "val", "train"))
    print("\t".join(["", *(f"{subset} {name}" for subset in SUBSETS for name in SHOWN)]))
    show(corpus, "chance", chance(test, [w.end_s - w.start_s for a in learn for w in a.windows or ()]), record)
    similarity = Similarity(corpus / "features")
    threshold = similarity.best_threshold(val)
    rows = [similarity.answer(annotation, threshold) for annotation in test]
    show(corpus, f"similarity > {threshold:.3f}", rows, record)


def show_checkpoint(corpus: Path, name: str, checkpoint: str | Path, record: Record) -> None:
    """Print what a checkpoint answers on the test split."""
    loaded = load_checkpoint(checkpoint)
    dataset = GroundingDataset(load_config(config_path("shapes"), where(corpus)).data, "test")
    show(corpus, name, predict(loaded.model, dataset, loaded.grounding), record)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("build/bench_shapes"))
    parser.add_argument("--checkpoint", help="also score this checkpoint, as mini, the bundled one")
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    arguments = parser.parse_args()
    corpus: Path = arguments.corpus
    record = Record(arguments)
    show_baselines(corpus, record)
    for name in arguments.variants:
        changed = [f"train.epochs={arguments.epochs}", *where(corpus), *VARIANTS[name]]
        run = train(
            load_config(config_path("shapes"), changed), arguments.out / name.replace(" ", "_"), resume=True
        ).run
        show_checkpoint(corpus, name, run, record)
    if arguments.checkpoint:
        show_checkpoint(corpus, arguments.checkpoint, arguments.checkpoint, record)
    record.keep()


def where(corpus: Path) -> list[str]:
    """Settings that name the corpus's files."""
    data = [f"data.{split}={corpus / split}.jsonl" for split in ("train", "val", "test")]
    features = corpus / "features"
    return [*data, f"data.video_features=[{features / 'mini'}]", f"data.text_features={features / 'mini_text'}"]


if __name__ == "__main__":
    main()

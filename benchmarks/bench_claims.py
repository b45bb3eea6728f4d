"""What each grammar of claims leaves to chance and to similarity, and what can be had at most.

    python benchmarks/bench_claims.py build/claims --train 400 --val 60 --test 150

Draws the three corpora below the folder, and answers their test splits by chance (windows anywhere, as long as those
of training), by similarity above the threshold that is best on val, and by an oracle that knows grammar and codes and
reads the noisy features. Nothing is trained.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_shapes import CLIP_S, Similarity, answer_row, chance
from claims_oracle import Oracle
from record import Record, options

from pipelines.preparation.claims_corpus import ClaimsConfig, prepare_claims
from pipelines.scoring.scores import score
from spikemba.datasets.annotations import Annotation, PredictedRow, read_annotations
from spikemba.datasets.synthetic.claims import GRAMMARS, claim_video_of
from spikemba.datasets.synthetic.planted import NOISE, Planted
from spikemba.features import FeatureFolder
from spikemba.moments import Moment

SHOWN = ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP")


def oracle(corpus: Path, grammar: str, annotations: Sequence[Annotation], noise: float) -> list[PredictedRow]:
    """What can be had: the sentence's meaning is known, the times are read out of the features."""
    reader, clips = Oracle(grammar, Planted(noise)), FeatureFolder(corpus / "features" / "planted")
    seen = {video_id: reader.read(clips.video(video_id)) for video_id in {a.video_id for a in annotations}}
    rows = []
    for annotation in annotations:
        claims = claim_video_of(annotation.video_id).claims
        claim = next(claim for claim in claims if claim.query.text == annotation.query)
        start, stop = reader.window(claim, seen[annotation.video_id])
        saliency = np.zeros(round(annotation.duration_s / CLIP_S))
        saliency[start:stop] = 1
        rows.append(answer_row(annotation, [Moment(start * CLIP_S, stop * CLIP_S, 1.0)], saliency))
    return rows


def answers(corpus: Path, grammar: str, noise: float) -> dict[str, list[PredictedRow]]:
    """Answers to the test split by name of what answers."""
    test, val, learn = (read_annotations(corpus / f"{split}.jsonl") for split in ("test", "val", "train"))
    similarity = Similarity(corpus / "features", "planted")
    threshold = similarity.best_threshold(val)
    return {
        "chance": chance(test, [w.end_s - w.start_s for a in learn for w in a.windows or ()]),
        f"similarity > {threshold:.3f}": [similarity.answer(annotation, threshold) for annotation in test],
        "oracle": oracle(corpus, grammar, test, noise),
    }


def figures(rows: Sequence[PredictedRow], annotations: Sequence[Annotation]) -> list[float]:
    """The shown metrics."""
    brief = score(rows, annotations)["brief"]
    return [brief[name] for name in SHOWN]


def by_kind(rows: Sequence[PredictedRow], annotations: Sequence[Annotation]) -> dict[str, float]:
    """The first of the shown metrics for each kind of query."""
    found = {}
    for kind in sorted({annotation.kind or "" for annotation in annotations}):
        of_kind = {a.query_id: a for a in annotations if a.kind == kind}
        found[kind] = figures([row for row in rows if row.query_id in of_kind], list(of_kind.values()))[0]
    return found


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--grammars", nargs="*", choices=GRAMMARS, default=list(GRAMMARS))
    for split, n in (("train", 400), ("val", 60), ("test", 150)):
        parser.add_argument(f"--{split}", type=int, default=n)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=NOISE)
    arguments = parser.parse_args()
    record = Record(arguments)
    sizes = {name: getattr(arguments, name) for name in ("train", "val", "test", "seed", "noise")}
    print("\t".join(["grammar", "answered by", "queries", *SHOWN, "R1@0.5 by kind"]))
    for grammar in arguments.grammars:
        corpus = arguments.out / grammar
        prepare_claims(corpus, ClaimsConfig(grammar=grammar, **sizes))
        test = read_annotations(corpus / "test.jsonl")
        for name, rows in answers(corpus, grammar, arguments.noise).items():
            cells = [grammar, name, str(len(test)), *(f"{value:.2f}" for value in figures(rows, test))]
            cells.append(json.dumps(by_kind(rows, test)))
            print("\t".join(cells), flush=True)
            kinds = by_kind(rows, test)
            print(json.dumps({"grammar": grammar, "answered by": name, "by kind": kinds}), flush=True)
            who, _, threshold = name.partition(" > ")
            noted = dict(zip(SHOWN, figures(rows, test), strict=True))
            videos = "/".join(str(sizes[split]) for split in ("train", "val", "test"))
            case = f"claims {grammar}, {videos} videos, noise {arguments.noise:g}: {who}"
            record.quality(case, {**noted, "queries": len(test), "threshold": float(threshold) if threshold else None})
    record.keep()


if __name__ == "__main__":
    main()

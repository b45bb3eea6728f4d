"""One sentence asked of 200 videos: `spikemba search` beside clip search whose neighbouring hits are merged.

    python benchmarks/bench_search.py --work FOLDER [--seed 31] [--videos 200]

Draws shapes that nothing was trained on, indexes them with the mini encoder, and asks every sentence that is true of at
least one of the videos. Everything that can be chosen, the threshold of the merged hits and how clips of several videos
are compared, is chosen by R@1 at IoU 0.5 on other videos (the val split, half as many). Prints JSON lines, and writes
FOLDER/merged.jsonl and FOLDER/search.jsonl, which `evaluate --corpus` and `compare --corpus` read with
FOLDER/truth.jsonl.
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from record import Record, options

from spikemba.datasets.corpus_rows import (
    CorpusAnswer,
    CorpusQuery,
    read_corpus_truth,
    write_corpus_answers,
    write_corpus_truth,
)
from spikemba.library import Library
from spikemba.library.clip_scores import LEVELS, ClipScores, merged_hits
from spikemba.metrics.corpus import CorpusAnswers, CorpusMoment, corpus_samples

SHOWN = ("VCMR-R1@0.5", "VCMR-R10@0.5", "VCMR-R1@0.7", "VCMR-R10@0.7", "VR-R1", "VR-R10", "NDCG10@0.5", "NDCG20@0.5")
CHOSEN_BY = SHOWN[0]
QUANTILES = (0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.9925, 0.995, 0.9975)
SHARES = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
"""Thresholds of the merged hits: quantiles of the scores, or shares of the query's best one."""
ANSWERS = 20
"""Per query; NDCG@20 reads as many."""


@dataclass(frozen=True)
class Split:
    """A library and what is asked of it."""

    library: Library
    queries: Sequence[CorpusQuery]
    names: Mapping[int, str]
    """Of the videos, as the truth calls them."""
    vectors: Mapping[str, np.ndarray]
    """Sentence -> what clips are compared with."""

    def clip_scores(self, query: CorpusQuery, *, product: bool) -> ClipScores:
        """How near every clip is."""
        return self.library.clip_scores("mini", self.vectors[query.query], product=product)


def prepare(work: Path, seed: int, n_videos: int) -> None:
    """Draw the videos of both splits and index each; what is there is left alone."""
    from pipelines.library.index import index
    from pipelines.preparation.prepare import prepare_shapes
    from pipelines.preparation.shapes_corpus import ShapesConfig

    if not (work / "shapes" / "test_corpus.jsonl").exists():
        config = ShapesConfig(train=1, val=n_videos // 2, test=n_videos, seed=seed)
        prepare_shapes(work / "shapes", config, corpus=True)
    for split in ("val", "test"):
        rows = map(json.loads, (work / "shapes" / f"{split}.jsonl").read_text("utf-8").splitlines())
        videos = sorted({work / "shapes" / "videos" / f"{row['vid']}.mp4" for row in rows})
        index(videos, "mini", work / f"library-{split}")


def read_split(work: Path, split: str, grounder: Any) -> Split:
    """The queries that something in the split is true of."""
    library = Library.open(work / f"library-{split}")
    truth = read_corpus_truth(work / "shapes" / f"{split}_corpus.jsonl")
    queries = [one for one in truth if one.truth]
    sentences = list(dict.fromkeys(one.query for one in queries))
    vectors = {text: found.pooled for text, found in zip(sentences, grounder.encode_queries(sentences), strict=True)}
    names = {video.id: video.path.stem for video in library.videos()}
    return Split(library, queries, names, vectors)


def scored(queries: Sequence[CorpusQuery], answers: Iterable[CorpusAnswer]) -> dict[str, np.ndarray]:
    """Metric -> values per query, in percent."""
    by_id = {one.query_id: one.moments for one in answers}
    found = corpus_samples(CorpusAnswers(by_id, {one.query_id: one.truth for one in queries}, {}))
    return {name: 100 * found[name] for name in SHOWN}


def merged(split: Split, query: CorpusQuery, found: ClipScores, share: float | None, least: float) -> CorpusAnswer:
    """Clip search: clips above a threshold, neighbours merged, scored by their nearest clip.

    share: of the query's best score instead of `least`, where a tool's threshold is relative.
    """
    limit = least if share is None else share * float(found.scores.max())
    hits = merged_hits(found, limit)[:ANSWERS]
    moments = [
        CorpusMoment(
            split.names[int(found.videos[hit.place])],
            hit.start * float(found.row_s[hit.place]),
            hit.stop * float(found.row_s[hit.place]),
            hit.score,
        )
        for hit in hits
    ]
    return CorpusAnswer(query.query_id, query.query, tuple(moments))


def all_merged(split: Split, how: Mapping[str, Any]) -> Iterator[CorpusAnswer]:
    """Clip search for every query."""
    for query in split.queries:
        found = split.clip_scores(query, product=how["product"]).levelled(how["level"])
        yield merged(split, query, found, how["share"], how["least"])


def best_merging(split: Split) -> dict[str, Any]:
    """The comparison of clips and the threshold with the best R@1: quantiles of all scores, or shares of the best."""
    rows: list[dict[str, Any]] = []
    for by_product, level in product((False, True), LEVELS):
        found = [split.clip_scores(query, product=by_product).levelled(level) for query in split.queries]
        every = np.concatenate([one.scores for one in found])
        limits: list[tuple[float | None, float]] = [(None, float(np.quantile(every, q))) for q in QUANTILES]
        for share, least in limits + [(share, 0.0) for share in SHARES]:
            asked = zip(split.queries, found, strict=True)
            values = scored(split.queries, [merged(split, query, one, share, least) for query, one in asked])
            way = {"product": by_product, "level": level, "share": share, "least": least}
            rows.append(way | {name: round(float(values[name].mean()), 2) for name in SHOWN})
        print(json.dumps({"merged on val": max(rows[-len(limits) - len(SHARES) :], key=by_r1)}), flush=True)
    return max(rows, key=by_r1)


def by_r1(row: Mapping[str, Any]) -> float:
    """What is chosen by."""
    return float(row[CHOSEN_BY])


def ours(split: Split, grounder: Any, **settings: Any) -> Iterator[CorpusAnswer]:
    """`spikemba search` for every query."""
    from pipelines.library.search import SearchSettings, search

    how = SearchSettings(top=ANSWERS, min_exists=0.0 if grounder.model.tells_existence else None, **settings)
    paths = {video.path: split.names[video.id] for video in split.library.videos()}
    for query in split.queries:
        found = search(split.library, grounder, query.query, how)
        moments = [CorpusMoment(paths[one.video], one.start_s, one.end_s, one.score or 0.0) for one in found.moments]
        yield CorpusAnswer(query.query_id, query.query, tuple(moments), found.exists)


def best_level(split: Split, grounder: Any) -> dict[str, Any]:
    """How clips of several videos are compared in stage one, by the best R@1 of the answers."""
    rows: list[dict[str, Any]] = []
    for level in LEVELS:
        values = scored(split.queries, ours(split, grounder, level=level))
        rows.append({"level": level} | {name: round(float(values[name].mean()), 2) for name in SHOWN})
        print(json.dumps({"search on val": rows[-1]}), flush=True)
    return max(rows, key=by_r1)


def main() -> None:
    """Measure, as the module says."""
    parser = options(__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--every", type=int, default=4, help="of val's queries each n-th chooses")
    arguments = parser.parse_args()
    import torch

    import spikemba

    torch.set_num_threads(1)
    record = Record(arguments)
    prepare(arguments.work, arguments.seed, arguments.videos)
    grounder = spikemba.load("mini")
    val, test = (read_split(arguments.work, split, grounder) for split in ("val", "test"))
    few = Split(val.library, val.queries[:: arguments.every], val.names, val.vectors)

    merging, best = best_merging(few), best_level(few, grounder)
    start = time.perf_counter()
    answers = {"merged": list(all_merged(test, merging)), "search": list(ours(test, grounder, level=best["level"]))}
    seconds = time.perf_counter() - start
    write_corpus_truth(arguments.work / "truth.jsonl", test.queries)
    for name, found in answers.items():
        write_corpus_answers(arguments.work / f"{name}.jsonl", found)
    print(json.dumps({"merged": merging, "search": best, "n_queries": len(test.queries), "seconds": round(seconds)}))
    record.speed(
        f"{arguments.videos} videos, both ways, all queries", {"queries": len(test.queries), "seconds": seconds}
    )
    report(test, answers, record, f"{arguments.videos} videos, seed {arguments.seed}")
    record.keep()


def report(test: Split, answers: Mapping[str, Sequence[CorpusAnswer]], record: Record, corpus: str) -> None:
    """Both ways on test, with the paired difference and its 95 % interval over the videos of the queries."""
    from spikemba.metrics.bootstrap import Sample, compare

    units = tuple(str(one.video_id) for one in test.queries)
    both = [scored(test.queries, found) for found in answers.values()]
    for name in SHOWN:
        samples = [Sample(values[name], units, ("all",) * len(units)) for values in both]
        found = compare(samples[0], samples[1])
        bounds = [None if one is None else round(one, 2) for one in (found.difference.low, found.difference.high)]
        record.quality(f"{corpus}: merged hits", {name: found.a})
        record.quality(f"{corpus}: search", {name: found.b})
        record.quality(f"{corpus}: search - merged hits", {name: (found.b - found.a, *bounds)})
        row = {"metric": name, "merged": round(found.a, 2), "search": round(found.b, 2)}
        print(json.dumps(row | {"difference": round(found.b - found.a, 2), "95 %": bounds}))


if __name__ == "__main__":
    main()

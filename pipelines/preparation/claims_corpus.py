"""Writes a corpus of claims into a folder: features straight from storyboards, and one annotation file per split."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from pipelines.preparation.data_config import write_data_config
from spikemba import features
from spikemba.config import Config, Tree
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.synthetic.claims import Grammar, annotate_claims, claim_video
from spikemba.datasets.synthetic.planted import NOISE, Planted
from spikemba.datasets.synthetic.shapes import CLIP_S
from spikemba.features import Manifest
from spikemba.files import clear_abandoned
from spikemba.progress import Report, silent

SPLITS = ("train", "val", "test")
_QUERIES_PER_VIDEO = 10  # room for the query ids of one video
_SPLIT_SEEDS = 100_000  # seeds of one split; no two splits share a video
_MAX_TOKENS = 40
"""No sentence has more words."""


class ClaimsConfig(Config):
    """What is drawn, and how much of it."""

    grammar: Grammar
    """What has to be understood: `outshone`, `far` or `scripts`."""
    train: PositiveInt = 400
    """Training videos."""
    val: PositiveInt = 60
    """Validation videos."""
    test: PositiveInt = 150
    """Test videos."""
    seed: NonNegativeInt = 0
    """Another seed draws another corpus."""
    noise: NonNegativeFloat = NOISE
    """Expected norm of a clip's noise; a plain event has norm 1."""


@dataclass(frozen=True)
class PreparedClaims:
    """What was written."""

    out: Path
    n_queries: dict[str, int]
    """Queries per split."""
    kinds: dict[str, int]
    """Queries of each kind, over all splits."""
    config: Path
    """YAML that trains on it."""


def prepare_claims(out: Path, config: ClaimsConfig, report: Report = silent) -> PreparedClaims:
    """Write `out/{train,val,test}.jsonl`, `out/features/planted`, `out/features/planted_text` and `out/config.yaml`.

    What is there already is written anew. Raises FeaturesMismatch when the folders hold features of other noise,
    OutputError.
    """
    encoder = Planted(config.noise)
    clips, sentences = _folders(out / "features", encoder)
    seeds = {split: _seeds(config, split) for split in SPLITS}
    n_videos, done, rows = sum(map(len, seeds.values())), 0, dict[str, list[Annotation]]()
    for split, of_split in seeds.items():
        rows[split] = []
        for seed in of_split:
            rows[split] += _write_video(encoder, seed, config.grammar, clips, sentences)
            done += 1
            report(done, n_videos)
        write_annotations(out / f"{split}.jsonl", rows[split])
    kinds = Counter(row.kind or "" for of_split in rows.values() for row in of_split)
    n_queries = {split: len(of_split) for split, of_split in rows.items()}
    return PreparedClaims(out, n_queries, dict(kinds), _write_config(out, config.grammar, clips, sentences))


def _folders(root: Path, encoder: Planted) -> tuple[Path, Path]:
    """The folders of clips and of sentences, with their manifests. Raises FeaturesMismatch, OutputError."""
    clips, sentences = root / encoder.name, root / f"{encoder.name}_text"
    frames = f"no pictures, noise {encoder.noise:g}"
    made = Manifest(encoder=encoder.name, dim=encoder.dim, weights=encoder.weights, clip_s=CLIP_S, frames=frames)
    features.write_manifest(clips, made)
    read = Manifest(encoder=f"{encoder.name}_text", kind="text", dim=encoder.dim, weights=encoder.weights)
    features.write_manifest(sentences, read)
    for folder in (clips, sentences):
        clear_abandoned(folder)
    return clips, sentences


def _seeds(config: ClaimsConfig, split: str) -> range:
    first = (config.seed * len(SPLITS) + SPLITS.index(split)) * _SPLIT_SEEDS
    return range(first, first + getattr(config, split))


def _write_video(encoder: Planted, seed: int, grammar: Grammar, clips: Path, sentences: Path) -> list[Annotation]:
    """Write the features of a video and of its sentences; returns its annotations."""
    video = claim_video(seed, grammar)
    rows = annotate_claims(video, seed * _QUERIES_PER_VIDEO)
    features.write_video_features(clips, video.board.video_id, encoder.video(video.board))
    for row, claim in zip(rows, video.claims, strict=True):
        features.write_query_features(sentences, row.query_id, *encoder.sentence(claim))
    return rows


def _write_config(out: Path, grammar: Grammar, clips: Path, sentences: Path) -> Path:
    """The configuration that trains on it."""
    data: Tree = {split: str(out / f"{split}.jsonl") for split in SPLITS}
    data |= {"video_features": [str(clips)], "text_features": str(sentences), "clip_s": CLIP_S}
    data |= {"max_tokens": _MAX_TOKENS, "sentence_token": True, "normalise_video": False}
    return write_data_config(out, f"spikemba train --dataset claims --data {out}", data, f"claims, {grammar}")

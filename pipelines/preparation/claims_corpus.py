"""Writes a corpus of claims into a folder: features straight from storyboards, and one annotation file per split."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from pipelines.preparation.data_config import write_data_config
from pipelines.preparation.making import LARGEST_SEED, SPLIT_SEEDS, begin, other_annotations
from spikemba import features
from spikemba.config import Config, Tree
from spikemba.datasets.annotations import Annotation, write_annotations
from spikemba.datasets.synthetic.claim_parts import ClaimVideo
from spikemba.datasets.synthetic.claims import Grammar, annotate_claims, claim_video
from spikemba.datasets.synthetic.planted import NOISE, Planted
from spikemba.datasets.synthetic.shapes import CLIP_S
from spikemba.errors import command_line
from spikemba.features import Manifest
from spikemba.files import clear_abandoned
from spikemba.progress import Report, reported, silent

SPLITS = ("train", "val", "test")
_QUERIES_PER_VIDEO = 10  # room for the query ids of one video


class ClaimsConfig(Config):
    """What is drawn, and how much of it."""

    grammar: Grammar
    """What has to be understood: `outshone`, `far` or `scripts`."""
    train: int = Field(400, ge=1, le=SPLIT_SEEDS)
    """Training videos."""
    val: int = Field(60, ge=1, le=SPLIT_SEEDS)
    """Validation videos."""
    test: int = Field(150, ge=1, le=SPLIT_SEEDS)
    """Test videos."""
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    """Another seed draws another corpus."""
    noise: float = Field(NOISE, ge=0, le=1000)
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

    What is there already is written anew. Raises OutputError when `out` cannot be written or holds a corpus made
    otherwise: queries of all grammars have the same ids, so features of one would pass for those of another.
    """
    encoder = Planted(config.noise)
    drawn = {split: [_draw(seed, config.grammar) for seed in _seeds(config, split)] for split in SPLITS}
    annotations = {split: [row for _, rows in of_split for row in rows] for split, of_split in drawn.items()}
    begin(out, "claims", config, other_annotations(out, annotations))
    clips, sentences = _folders(out / "features", encoder)
    videos = [one for of_split in drawn.values() for one in of_split]
    for video, rows in reported(videos, len(videos), report):
        _write_features(encoder, video, rows, clips, sentences)
    for split, of_split in annotations.items():
        write_annotations(out / f"{split}.jsonl", of_split)
    kinds = Counter(row.kind or "" for _, rows in videos for row in rows)
    n_queries = {split: len(of_split) for split, of_split in annotations.items()}
    return PreparedClaims(out, n_queries, dict(kinds), _write_config(out, config.grammar, clips, sentences))


def _folders(root: Path, encoder: Planted) -> tuple[Path, Path]:
    """The folders of clips and of sentences, with their manifests. Raises FeaturesMismatch, OutputError."""
    clips, sentences = root / encoder.name, root / f"{encoder.name}_text"
    frames = f"{features.DRAWN}, noise {encoder.noise:g}"
    made = Manifest(encoder=encoder.name, dim=encoder.dim, weights=encoder.weights, clip_s=CLIP_S, frames=frames)
    features.write_manifest(clips, made)
    read = Manifest(encoder=f"{encoder.name}_text", kind="text", dim=encoder.dim, weights=encoder.weights)
    features.write_manifest(sentences, read)
    for folder in (clips, sentences):
        clear_abandoned(folder)
    return clips, sentences


def _seeds(config: ClaimsConfig, split: str) -> range:
    first = (config.seed * len(SPLITS) + SPLITS.index(split)) * SPLIT_SEEDS
    return range(first, first + getattr(config, split))


def _draw(seed: int, grammar: Grammar) -> tuple[ClaimVideo, list[Annotation]]:
    video = claim_video(seed, grammar)
    return video, annotate_claims(video, seed * _QUERIES_PER_VIDEO)


def _write_features(
    encoder: Planted, video: ClaimVideo, rows: Sequence[Annotation], clips: Path, sentences: Path
) -> None:
    """The features of a video and of its sentences."""
    features.write_video_features(clips, video.board.video_id, encoder.video(video.board))
    for row, claim in zip(rows, video.claims, strict=True):
        features.write_query_features(sentences, row.query_id, *encoder.sentence(claim), query=row.query)


def _write_config(out: Path, grammar: Grammar, clips: Path, sentences: Path) -> Path:
    """The configuration that trains on it; how the features are read is said in configs/claims.yaml."""
    data: Tree = {split: str(out / f"{split}.jsonl") for split in SPLITS}
    data |= {"video_features": [str(clips)], "text_features": str(sentences), "clip_s": CLIP_S}
    command = command_line("spikemba", "train", "--dataset", "claims", "--data", out)
    return write_data_config(out, command, data, f"claims-{grammar}", base="claims")

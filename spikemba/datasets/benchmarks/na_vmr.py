"""NA-VMR (Moment of Untruth, WACV 2025): QVHighlights, and sentences that its videos do not show.

The null queries are those of another video (`qvhl_id_neg_*`, in-domain) and invented ones (`qvhl_ood_neg_*`). They are
published as a window [0, 0] and one empty rating, under the ids of other rows: here they have no window and an id of
their own, so their text features have to be made. The source has no licence: nothing of it is passed on or downloaded.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from spikemba.datasets.annotations import QueryId
from spikemba.datasets.benchmark import CLIP_ONLY, SLOWFAST_CLIP, WITH_AUDIO, Benchmark, Size
from spikemba.datasets.published import published_table
from spikemba.datasets.raw_rows import RawRows, read_jsonl_rows

KINDS = {"id": "in-domain", "ood": "out-of-domain"}
"""Part of the file's name -> `kind` of its null queries."""

THEIRS = {"train": "train", "test": "val"}
"""Our split -> theirs: papers report on the validation split and choose on it."""


def read_na_vmr(path: Path, folder: Path, split: str) -> RawRows:
    """All null queries of a split that lie in the folder, behind the queries with a moment, where those are there.

    The latter are QVHighlights' own file, the source's copy of it, or what its mixed files hold. A row of a file other
    than `path` says its file's name.
    """
    theirs = THEIRS[split]
    shown = _find(folder, f"highlight_{theirs}_release.jsonl", f"qvhl_pos_{theirs}.jsonl")
    null = {
        kind: _find(folder, f"qvhl_{part}_neg_{theirs}.jsonl", f"qvhl_{part}_pos_neg_{theirs}.jsonl")
        for part, kind in KINDS.items()
    }
    found = RawRows(path)
    seen: set[QueryId] = set()
    for kind, of_kind in {"": shown, **null}.items():
        if of_kind is None:
            continue
        rows = read_jsonl_rows(of_kind, _as_null(kind))
        name = "" if of_kind == path else f"{of_kind.name} "
        for place, row in rows.rows:
            if row.is_null or of_kind == shown or (shown is None and row.query_id not in seen):
                found.rows.append((f"{name}{place}", row))
            seen.add(row.query_id)
        found.faults += [f"{name}{fault}" for fault in rows.faults]
        found.others += [] if of_kind == path else [of_kind]
    found.rows.sort(key=lambda place_and_row: place_and_row[1].is_null)
    return found


def _find(folder: Path, *names: str) -> Path | None:
    """The first name that is there, as near to the folder as it is."""
    for name in names:
        if found := min(folder.rglob(name), key=lambda path: (len(path.parts), path), default=None):
            return found
    return None


def _as_null(kind: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """What makes a null query of a row whose only window is [0, 0]."""
    part = next((part for part, name in KINDS.items() if name == kind), "")

    def change(row: Mapping[str, Any]) -> Mapping[str, Any]:
        if row.get("relevant_windows") not in ([[0, 0]], []) or not part:
            return row
        nothing: dict[str, list[Any]] = {"relevant_windows": [], "relevant_clip_ids": [], "saliency_scores": []}
        return {**row, **nothing, "qid": f"na_{part}_{row.get('qid')}", "kind": kind}

    return change


PUBLISHED = published_table(
    "MR-full-R1@0.5 MR-full-R1@0.7 MR-full-mAP GMR-AUROC GMR-Rej-R@0.4 GMR-G-mIoU@1",
    test="""
    UniVTG-NA | ~ ~ ~ ~ 98.4 ~ | Moment of Untruth, WACV 2025, at a threshold of its own
    """,
)

BENCHMARK = Benchmark(
    name="na_vmr",
    title="NA-VMR",
    files={
        split: tuple(f"qvhl_{part}_{what}_{theirs}.jsonl" for what in ("neg", "pos_neg") for part in KINDS)
        for split, theirs in THEIRS.items()
    },
    read=read_na_vmr,
    home="null queries (no licence): github.com/keflanagan/MomentofUntruth, dataset/qvhighlights; beside them "
    "QVHighlights' own files; text features: make your own",
    sizes={"train": Size(7218 + 7218 + 7230, 7100), "test": Size(3 * 1550, 1519)},
    packs=(SLOWFAST_CLIP, CLIP_ONLY, WITH_AUDIO),
    held_out=0.1,
    published=PUBLISHED,
)

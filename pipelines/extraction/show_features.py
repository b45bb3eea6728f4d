"""What a pack of features holds, what probably made it, and what of it would stop a training."""

# Shapes: L rows of a video or tokens of a query, F feature width.

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from numpy.typing import NDArray

from spikemba.datasets.annotations import Annotation, read_annotations
from spikemba.datasets.row_fit import VideoRows
from spikemba.errors import FeaturesMismatch, FeaturesMissing, SpikeMbaError
from spikemba.features import NOTHING_KEY, SOUND, SUBTITLES, FeatureFolder
from spikemba.packs.known import KNOWN, KnownPack, guesses
from spikemba.packs.opening import EXPECTED, pack_place
from spikemba.packs.pack import digest_of
from spikemba.progress import Report, silent
from spikemba.reading.printable import counted

MOST_OFF = 2.0
"""Rows by which a video may miss its duration before it is said: encoders round a started clip up or down."""
USUAL_CLIPS_S = (0.5, 1.0, 4 / 3, 1.5, 2.0, 8 / 3, 3.0, 4.0, 5.0)
"""Lengths of rows that packs have; a guess that is close to one is it."""
KINDS: tuple[Literal["video", "text"], ...] = ("video", "text")
SHOWN = 3
"""Items that a finding names."""


@dataclass(frozen=True)
class Finding:
    """Something about a pack that a person should know."""

    stops: bool
    """Whether a training on it would stop, or be of wrong rows."""
    what: str
    cure: str
    """What mends it; empty where nothing needs to be."""


@dataclass
class PackReport:
    """A pack as `features show` tells of it."""

    pack: str
    kind: Literal["video", "text"]
    encoder: str
    """By its manifest, or what it may be by its name and width."""
    recipes: list[str]
    """Configurations that train on such a pack."""
    items: int
    width: int
    types: list[str]
    rows: list[int]
    """Least, median and most rows of a video or tokens of a query."""
    clip_s: float | None
    """Seconds of a row, by the manifest or by the durations; None where neither is known."""
    n_annotated: int | None
    """Videos or queries of the annotations that were given."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def stops(self) -> bool:
        """Whether something would stop a training."""
        return any(finding.stops for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """What `features show --json` prints."""
        return asdict(self) | {"stops": self.stops}


@dataclass
class _Seen:
    """What reading all items gave."""

    lengths: dict[str, int] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)
    """Videos whose files say that they have no sound, or no subtitles."""
    alike: list[str] = field(default_factory=list)
    zero_rows: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    marks: dict[str, list[str]] = field(default_factory=dict)


def show_features(path: Path, annotations: Sequence[Path] = (), report: Report = silent) -> PackReport:
    """Read a pack whole and hold it against annotations.

    Raises SpikeMbaError where nothing is, FeaturesMismatch for one that cannot be opened, AnnotationError.
    """
    _check_there(path)
    rows = [row for file in annotations for row in read_annotations(file)]
    try:
        folder = _opened(path, rows)
    except FeaturesMissing:  # what would have made them is not known
        others = sorted(one.name for one in pack_place(path).path.iterdir() if not one.name.startswith("."))
        held = f", but {counted(len(others), 'other file', 'other files')}, as {others[0]}" if others else ""
        raise SpikeMbaError(f"{path}: the folder holds no feature files{held}; expected {EXPECTED}") from None
    kind = folder.manifest.kind
    seen = _read_all(folder, report)
    lengths = sorted(seen.lengths.values()) or [0]
    fitting = [] if folder.manifest.content is None else guesses(path.name, folder.manifest.dim, kind)
    durations = {row.video_id: row.duration_s for row in rows} if kind == "video" else {}
    clip_s = folder.manifest.clip_s or _clip_length(folder, seen, durations)
    found = PackReport(
        pack=str(path),
        kind=kind,
        encoder=_encoder(folder, fitting),
        recipes=sorted({pack.recipe for pack in fitting if pack.recipe}),
        items=len(folder.items()),
        width=folder.manifest.dim,
        types=sorted(seen.types),
        rows=[lengths[0], int(median(lengths)), lengths[-1]],
        clip_s=clip_s,
        n_annotated=len({row.video_id if kind == "video" else row.query_id for row in rows}) if rows else None,
    )
    found.findings = [
        *_of_arrays(seen, folder),
        *_of_durations(folder, seen, durations, clip_s),
        *_of_rows(folder, rows),
    ]
    found.findings.sort(key=lambda finding: not finding.stops)
    return found


def _check_there(path: Path) -> None:
    """Raise SpikeMbaError where there are no features: what would have made them is not known."""
    place = pack_place(path).path
    if not place.exists():
        raise SpikeMbaError(f"{path}: no such file or folder; expected features: {EXPECTED}")
    if not place.is_dir() and not place.is_file():
        raise SpikeMbaError(f"{path}: neither a file nor a folder; expected features: {EXPECTED}")


def _opened(path: Path, rows: Sequence[Annotation]) -> FeatureFolder:
    """The pack, read as what the annotations find in it."""
    durations = {row.video_id: row.duration_s / 2.0 for row in rows}
    found = dict[str, FeatureFolder]()
    try:
        folder = FeatureFolder(path, None, durations)
        if folder.manifest.content is None or not rows:
            return folder
        found[folder.pack.kind] = folder
    except FeaturesMismatch:
        if not rows:
            raise
    for kind in KINDS:  # read as what it is not, it may be refused
        with suppress(FeaturesMismatch):
            found.setdefault(kind, FeatureFolder(path, kind, durations))
    n_videos = sum(found["video"].has_video(name) for name in durations) if "video" in found else 0
    n_queries = sum(found["text"].has_text(row.query_id) for row in rows) if "text" in found else 0
    if n_videos or n_queries:
        return found["video" if n_videos >= n_queries else "text"]
    return FeatureFolder(path, None, durations)


def _encoder(folder: FeatureFolder, fitting: Sequence[KnownPack]) -> str:
    if folder.manifest.content is None:
        return f"{folder.manifest.encoder}, by its manifest"
    if not fitting:
        return f"unknown: none that is known has {folder.manifest.dim} numbers"
    names = list(dict.fromkeys(pack.encoder for pack in fitting))
    called = Path(folder.folder).name.lower()
    if any(part in called for pack in fitting for part in pack.names):
        return f"probably {' or '.join(names[:SHOWN])}; guessed by the name and the width"
    others = [pack.encoder for pack in KNOWN if pack.dim == folder.manifest.dim and pack.encoder not in names[:SHOWN]]
    also = f"; also fits {_listed(others)}" if others else ""
    return f"probably {' or '.join(names[:SHOWN])}; guessed by the width alone{also}"


def _read_all(folder: FeatureFolder, report: Report) -> _Seen:
    pack, seen = folder.pack, _Seen()
    names = pack.store.names()
    for done, name in enumerate(names, start=1):
        try:
            rows = pack.tokens(name) if pack.kind == "text" else pack.rows(name)
        except FeaturesMismatch as fault:
            seen.faults[name] = str(fault)
        else:
            _note(seen, name, rows, nothing=_nothing(folder, name))
            if pack.is_turned(name):
                seen.turned.append(name)
        report(done, len(names))
    return seen


def _nothing(folder: FeatureFolder, name: str) -> bool | None:
    """Whether a video's file says that there is no sound, or nothing said, in it; None where it does not tell."""
    tells = folder.pack.kind == "video" and NOTHING_KEY in folder.pack.shapes(name)
    return folder.has_nothing(name) if tells else None


def _note(seen: _Seen, name: str, rows: NDArray[Any], nothing: bool | None) -> None:
    """nothing: as `_nothing` says; where it tells, rows of zeros are clips in which nothing is said."""
    seen.lengths[name] = len(rows)
    seen.types[rows.dtype.name] += 1
    seen.marks.setdefault(digest_of(rows), []).append(name)
    if not rows.any():
        (seen.nothing if nothing else seen.empty).append(name)
    elif len(rows) > 1 and (rows == rows[0]).all():
        seen.alike.append(name)
    elif nothing is None and (~rows.any(axis=1)).any():
        seen.zero_rows.append(name)


def _clip_length(folder: FeatureFolder, seen: _Seen, durations: dict[str, float]) -> float | None:
    """Seconds of a row: what most videos' durations give, and the usual length that is within 3 % of it."""
    lasting = [
        seconds / seen.lengths[item]
        for name, seconds in durations.items()
        if (item := folder.pack.item(name)) in seen.lengths
    ]
    if not lasting:
        return None
    found = median(lasting)
    nearest = min(USUAL_CLIPS_S, key=lambda usual: abs(usual - found))
    return nearest if abs(nearest - found) <= 0.03 * nearest else round(found, 3)


def _of_arrays(seen: _Seen, folder: FeatureFolder) -> Iterator[Finding]:
    """What is wrong with the numbers themselves."""
    again = "fetch or extract it again; or leave its rows out of the annotations"
    for fault in list(seen.faults.values())[:SHOWN]:
        yield Finding(True, fault, "" if ";" in fault else again)
    if len(seen.faults) > SHOWN:
        yield Finding(True, f"{len(seen.faults) - SHOWN} more of {_listed([*seen.faults][SHOWN:])}", again)
    if seen.empty:
        yield Finding(False, f"nothing but zeros: {_listed(seen.empty)}", again)
    if seen.nothing:
        what = SOUND if (folder.manifest.frames or "").startswith(SOUND) else SUBTITLES
        yield Finding(False, f"{len(seen.nothing)} of {len(seen.lengths)} have no {what}: {_listed(seen.nothing)}", "")
    if seen.alike:
        yield Finding(
            False, f"all rows are alike: {_listed(seen.alike)}", "look whether the video is a still; else " + again
        )
    if seen.zero_rows and not (folder.manifest.frames or "").startswith(SUBTITLES):  # nobody speaks all the time
        yield Finding(
            False, f"rows of zeros among others: {_listed(seen.zero_rows)}", "look whether all is black there"
        )
    if seen.turned:
        share = "all" if len(seen.turned) == len(seen.lengths) else f"{len(seen.turned)} of {len(seen.lengths)}"
        yield Finding(False, f"stored as (F, n): {share}, as {seen.turned[0]}", "")
    for names in seen.marks.values():
        if len(names) > 1 and folder.pack.kind == "video" and names[0] not in (*seen.empty, *seen.nothing):
            yield Finding(
                False, f"the same numbers: {_listed(names)}", "fetch them again, if they are different videos"
            )


def _of_durations(
    folder: FeatureFolder, seen: _Seen, durations: dict[str, float], clip_s: float | None
) -> Iterator[Finding]:
    """Videos that have other rows than their durations ask for."""
    if not clip_s or not durations:
        return
    if clip_s != 2.0 and folder.manifest.clip_s is None:
        yield Finding(False, f"a row lasts {clip_s:g} s", f"--set data.clip_s={clip_s:g}")
    off, wrong = list[str](), list[str]()
    for name, seconds in durations.items():
        n = seen.lengths.get(folder.pack.item(name) or "")
        if n is None:
            continue
        clips = seconds / clip_s
        if abs(n - clips) > MOST_OFF:
            said = f"{name} ({n} rows, {clips:.1f} clips)"
            (wrong if VideoRows(name, (("", n),), clips, "").is_wrong else off).append(said)
    if wrong:
        yield Finding(
            True, f"rows that cannot be theirs: {_listed(wrong)}", "--set data.lengths=stretch, if they span it"
        )
    if off:
        yield Finding(
            False, f"more than {MOST_OFF:g} rows off: {_listed(off)}", "--set data.lengths=stretch, if they span it"
        )


def _of_rows(folder: FeatureFolder, rows: Sequence[Annotation]) -> Iterator[Finding]:
    """What the annotations ask for and the pack has not, and what it has besides."""
    if not rows:
        return
    video = folder.manifest.kind == "video"
    wanted = list(dict.fromkeys(str(row.video_id if video else row.query_id) for row in rows))
    items = {name: folder.pack.item(name) for name in wanted}
    what = "videos" if video else "queries"
    if missing := [name for name, item in items.items() if item is None]:
        cure = "fetch the rest, or leave them out with `spikemba prepare NAME --source DIR --drop-faulty`"
        yield Finding(True, f"{len(missing)} of {len(wanted)} {what} are missing: {_listed(missing)}", cure)
    spelt = {name: item for name, item in items.items() if item not in (None, name, f"qid{name}")}
    if spelt:
        name, item = next(iter(spelt.items()))
        yield Finding(False, f"{len(spelt)} names are spelt otherwise, as {item} for {name}", "")
    if extra := sorted(set(folder.pack.store.names()) - {item for item in items.values() if item}):
        yield Finding(False, f"{len(extra)} more than the annotations have: {_listed(extra)}", "")
    if not video and (others := [row for row in rows if _says_otherwise(folder, row)]):
        first = others[0]
        said = f"{folder.asked(first.query_id)!r}, and the annotations say {first.query!r}"
        cure = "encode them anew: `spikemba extract` with --queries and these annotations"
        yield Finding(True, f"{len(others)} are of other sentences: qid {first.query_id} is of {said}", cure)


def _says_otherwise(folder: FeatureFolder, row: Annotation) -> bool:
    return folder.has_text(row.query_id) and folder.asked(row.query_id) not in (None, row.query)


def _listed(names: Iterable[str]) -> str:
    few = list(names)
    more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
    return ", ".join(few[:SHOWN]) + more

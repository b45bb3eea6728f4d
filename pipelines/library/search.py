"""A question to a whole library: clips of all videos are compared, then the likeliest videos are grounded.

    with Library.open(Path("library")) as library:
        found = search(library, spikemba.load("mini"), "a red circle enters")

Stage one compares the sentence with every clip, exactly, and keeps the videos with the nearest. Stage two asks the
checkpoint, or an encoder alone, about each of those from its rows; nothing is decoded. Calibrated scores are
probabilities, so that the moments of all videos have one order. Where there are none, scores of two videos share no
scale: the order is then fused from the ranks by score and by the nearest clip inside. Texts that hold the sentence's
words are fused with that by their ranks.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from pipelines.grounding.answer_order import MAX_IOU
from pipelines.library.candidates import Candidate, by_ranks, candidate, distinct
from pipelines.library.results import CLIPS, LibraryAnswer, LibraryMoment, Order
from pipelines.library.space import search_space
from spikemba.encoders import ClipEncoder, TextFeatures
from spikemba.errors import FeaturesMissing, LibraryError, SpikeMbaError, command_line
from spikemba.grounder.grounder import Grounder
from spikemba.grounder.result import Grounding
from spikemba.library import Library
from spikemba.library.clip_scores import ClipScores, Level
from spikemba.library.fusion import fused
from spikemba.library.texts import TextHit, search_texts
from spikemba.library.where import videos_where
from spikemba.moments import Moment, apart
from spikemba.progress import Report, silent
from spikemba.reading.printable import counted

AT_ONCE = 32
"""Videos that are grounded together."""


@dataclass(frozen=True)
class SearchSettings:
    """How a library is asked."""

    top: int = 10
    """Moments, at most."""
    videos: int = 20
    """Contents that are grounded, at most."""
    where: str | None = None
    """Condition in SQL on the videos' columns."""
    min_exists: float | None = None
    """Below this probability there is no such moment; None: as the checkpoint was calibrated."""
    level: Level = "plain"
    """How clips of several videos are compared."""
    texts: bool = True
    """Whether subtitles and other texts are searched, too."""
    max_iou: float = MAX_IOU
    """Of two moments of a video that overlap more than this, the better one is kept."""
    among: tuple[int, ...] | None = None
    """Ids of the videos that are asked about, in place of `where`."""
    at_once: int = AT_ONCE
    """Videos that are grounded together, between two reports."""

    def check(self, grounder: Grounder) -> None:
        """Raises SpikeMbaError for numbers that mean nothing."""
        for name, value in (("top", self.top), ("videos", self.videos)):
            if value < 1:
                raise SpikeMbaError(f"{name} is {value}; expected at least 1")
        grounder.check_min_exists(self.min_exists)


def search(
    library: Library,
    grounder: Grounder,
    query: str,
    settings: SearchSettings | None = None,
    report: Report = silent,
) -> LibraryAnswer:
    """The moments of all videos of a library that a sentence describes, best first.

    report: counts the videos that are grounded.
    Raises QueryError, and LibraryError when the library's rows are not those that the model needs: the line names the
    command that mends it.
    """
    settings = settings or SearchSettings()
    settings.check(grounder)
    (query,) = grounder.check([query])
    (text,) = grounder.encode_queries([query])
    space = search_space(library, grounder, text)
    among = asked_about(library, settings)
    hits = search_texts(library, query, among=None if among is None else set(among)) if settings.texts else []
    found = near(library, space.name, text.pooled, settings, among, [hit.video for hit in hits])
    found = found.levelled(settings.level)
    ids = by_ranks(found, [hit.video for hit in hits])
    chosen = list(islice(distinct(library, ids, among), settings.videos))
    seen, missing = _looked_at(library, grounder, query, chosen, found, text, settings, report)
    notes = [*left_out(library, space), *missing]
    moments, order = _in_order(library, grounder, seen, hits, settings, among)
    shown = tuple(moment for moment, _ in moments[: settings.top])
    notes += problems(library, [one for _, one in moments[: settings.top]])
    groundings = tuple(one.grounding for one in seen)
    return LibraryAnswer(query, shown, order, grounder.name, compared(library, space, among), groundings, tuple(notes))


def _looked_at(
    library: Library,
    grounder: Grounder,
    query: str,
    chosen: Sequence[Candidate],
    found: ClipScores,
    text: TextFeatures,
    settings: SearchSettings,
    report: Report,
) -> tuple[list["_Seen"], list[str]]:
    """The contents grounded from their rows, and what to say of those that lack some."""
    seen: list[_Seen] = []
    missing = []
    names = [encoder.name for encoder in grounder.encoders]
    for i in range(0, len(chosen), settings.at_once):
        report(i, len(chosen))
        encoded = []
        for one in chosen[i : i + settings.at_once]:
            try:
                encoded.append((one, library.features(one.rows, names)))
            except FeaturesMissing as error:
                missing.append(str(error))
        asked = [(one.path, features) for one, features in encoded]
        answers = grounder.ground_features(asked, [query], texts=[text], top=4 * settings.top)
        for (one, _), answer in zip(encoded, answers, strict=True):
            limited = answer if settings.min_exists is None else replace(answer, min_exists=settings.min_exists)
            seen.append(_Seen(one, limited, clips_of(found, one)))
    report(len(chosen), len(chosen))
    return seen, missing


@dataclass(frozen=True)
class _Seen:
    """A content that was grounded."""

    candidate: Candidate
    grounding: Grounding
    clips: np.ndarray
    """(L,): how near its clips are."""

    def moments(self, max_iou: float) -> list[Moment]:
        """None where there is no such moment; of two that overlap, the better."""
        found = self.grounding.moments
        return [found[i] for i in apart(found, max_iou)]

    def nearest(self, moment: Moment) -> float:
        """Of the clips inside, how near the nearest is."""
        clip_s = self.grounding.clip_s
        first = min(int(moment.start_s / clip_s), len(self.clips) - 1)
        return float(self.clips[first : max(first + 1, int(np.ceil(moment.end_s / clip_s)))].max())


_Placed = tuple[LibraryMoment, Candidate]


def _in_order(
    library: Library,
    grounder: Grounder,
    seen: Sequence[_Seen],
    hits: Sequence[TextHit],
    settings: SearchSettings,
    among: Collection[int] | None,
) -> tuple[list[_Placed], Order]:
    """All moments, best first."""
    every = [(one, moment) for one in seen for moment in one.moments(settings.max_iou)]
    by_score = sorted(range(len(every)), key=lambda i: -every[i][1].score)
    if grounder.calibrated:
        ranks = by_score
    else:
        by_clips = sorted(range(len(every)), key=lambda i: -every[i][0].nearest(every[i][1]))
        ranks = list(fused(by_score, by_clips))
    moments = [_of_grounding(*every[i]) for i in ranks]
    with_texts, fits = _with_texts(library, moments, hits, among)
    return with_texts, "fused" if fits or not grounder.calibrated else "calibrated"


def _of_grounding(seen: _Seen, moment: Moment) -> _Placed:
    one = seen.candidate
    exists = seen.grounding.exists
    found = LibraryMoment(one.path, moment.start_s, moment.end_s, moment.score, exists, (CLIPS,), copies=one.paths)
    return found, one


def _with_texts(
    library: Library, moments: list[_Placed], hits: Sequence[TextHit], among: Collection[int] | None
) -> tuple[list[_Placed], bool]:
    """The moments fused with the texts that were found, and whether there were any that say when.

    A text raises the best moment that it overlaps; one that overlaps none is an answer of its own.
    """
    every, order = list(moments), []
    folded: dict[str, None] = {}
    for hit in hits:
        video = library.video(hit.video)
        if video is None or (key := f"{video.digest} {hit.source} {hit.start_s}") in folded:
            continue
        folded[key] = None
        at = next((i for i, placed in enumerate(moments) if _overlaps(placed, hit, video.digest)), None)
        if at is not None:
            said = every[at][0]
            sources = said.sources if hit.source in said.sources else (*said.sources, hit.source)
            every[at] = replace(said, sources=sources, text=said.text or hit.text), every[at][1]
            order.append(at)
        elif hit.start_s is not None and hit.end_s is not None and hit.end_s > hit.start_s:
            one = candidate(library, video, among)
            own = LibraryMoment(one.path, hit.start_s, hit.end_s, None, None, (hit.source,), hit.text, one.paths)
            every.append((own, one))
            order.append(len(every) - 1)
    ranks = fused(range(len(moments)), order) if order else range(len(moments))
    return [every[i] for i in ranks], bool(order)


def _overlaps(placed: _Placed, hit: TextHit, digest: str) -> bool:
    moment, one = placed
    if one.rows.digest != digest:
        return False
    if hit.start_s is None or hit.end_s is None:
        return True
    return min(moment.end_s, hit.end_s) > max(moment.start_s, hit.start_s)


def near(
    library: Library,
    encoder: str,
    vector: np.ndarray,
    settings: SearchSettings,
    among: Sequence[int] | None,
    also: Sequence[int] = (),
) -> ClipScores:
    """The clips that may hold an answer, so that those of several videos can be compared."""
    if settings.level == "plain":
        return library.candidates(encoder, vector, max(settings.videos, settings.top) + 1, among=among, also=also)
    return library.clip_scores(encoder, vector, among=among)  # each is levelled beside the clips of all


def compared(library: Library, encoder: ClipEncoder, among: Collection[int] | None) -> int:
    """How many of the videos that were asked about have clips to compare."""
    with library.reading() as connection:
        rows = connection.execute(
            "SELECT video FROM runs JOIN encoders ON encoders.id = runs.encoder WHERE encoders.name = ?",
            (encoder.name,),
        ).fetchall()
    there = {video for (video,) in rows} - library.lacking(encoder.name)
    return len(there if among is None else there & set(among))


def asked_about(library: Library, settings: SearchSettings) -> list[int] | None:
    """Ids of the videos that fit `where`; None where all are asked about. Raises LibraryError when none fits."""
    if settings.among is not None:
        return list(settings.among)
    if settings.where is None:
        return None
    among = videos_where(library.catalogue, settings.where, library.folder)
    if not among:
        raise LibraryError(library.folder, f"no video fits --where {settings.where!r}", "ask about others")
    return among


def clips_of(found: ClipScores, one: Candidate) -> np.ndarray:
    """(L,): how near the clips of a candidate are."""
    (place,) = np.flatnonzero(found.videos == one.rows.id)
    return found.of(int(place))


def left_out(library: Library, encoder: ClipEncoder) -> list[str]:
    """Says how many videos have no rows to compare."""
    name = encoder.name
    with library.reading() as connection:
        (n,) = connection.execute(
            "SELECT count(*) FROM videos WHERE problem IS NULL AND id NOT IN (SELECT runs.video FROM runs "
            "JOIN encoders ON encoders.id = runs.encoder WHERE encoders.name = ?)",
            (name,),
        ).fetchone()
    lost, notes = len(library.lacking(name)), []
    if lost:
        whose = f"{counted(lost, 'video was', 'videos were')} not looked at, as rows of {name} are not there"
        check = command_line("spikemba", "library", "check", "--library", library.folder)
        notes = [f"{whose} as they were written; run `{check}`, which says how to mend it"]
    if not n:
        return notes
    said = f"{counted(n, 'video', 'videos')} without rows of {name} {'was' if n == 1 else 'were'} not looked at"
    return [f"{said}; run `{library.index_command([name])}`", *notes]


def problems(library: Library, shown: Sequence[Candidate]) -> list[str]:
    """What happened to the files of the answers since they were taken in, each once."""
    every = {one.rows.digest: one for one in shown}.values()
    return [problem for one in every if (problem := one.problem(library)) is not None]

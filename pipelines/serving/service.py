"""The calls, without any web: list, info, ask. Behind the page and behind `spikemba mcp`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path, PurePath

from pipelines.grounding.formats import FORMATS
from pipelines.serving.asking.lanes import SEARCHERS, Lanes
from pipelines.serving.asking.questions import Asked, Question
from pipelines.serving.asking.word_effects import word_effects
from pipelines.serving.corrections_messages import Correction, CorrectionRow, Corrections, CorrectionsQuery
from pipelines.serving.faults import NotNow, NotThere
from pipelines.serving.footage.catalogue import ServedVideo, ServedVideos
from pipelines.serving.footage.cut_store import CutStore
from pipelines.serving.footage.exports import ExportedFile, export
from pipelines.serving.footage.uploads import Uploads
from pipelines.serving.known.truth import KnownTruth
from pipelines.serving.messages import (
    Ask,
    AskCut,
    AskWords,
    CheckpointState,
    CorrectionState,
    CutMessage,
    Export,
    LibraryState,
    Play,
    State,
    Truths,
    UploadState,
    Video,
    VideoInfo,
    Videos,
    Words,
)
from pipelines.serving.search_messages import AskLibrary
from pipelines.serving.searching.asking import LibraryDesk
from pipelines.serving.searching.exports import export_search
from pipelines.serving.searching.search import Search
from pipelines.serving.searching.served_library import ServedLibrary
from spikemba import __version__
from spikemba.checkpoints.grounding import BUNDLED
from spikemba.errors import SpikeMbaError, VideoError, names_like
from spikemba.files import clear_abandoned
from spikemba.grounder.grounder import Grounder
from spikemba.library.address import Address, is_remote
from spikemba.reading.printable import printable
from spikemba.user_folders import cache_folder
from spikemba.video.pieces import PieceMaker
from spikemba.video.sampling import VideoReader

MOST_TRIED = 20
"""Files that are opened to find one that can be shown first."""
UNTRAINED = "untrained, it cannot know whether a video shows what is asked at all: these are its best moments"


@dataclass(frozen=True)
class ServiceOptions:
    """What is switched on, and how much is taken."""

    workers: int = 1
    """Threads that answer."""
    corrections: Path | None = None
    """Folder of corrections; None: none are taken."""
    uploads: Path | None = None
    """Folder for new files; None: none are taken."""
    upload_limit: int = 4 * 2**30
    """Bytes of a new file, at most."""
    annotations: tuple[Path, ...] = ()
    """Files of true windows."""
    full_addresses: bool = True
    """Timelines name videos, and commands folders, by their full address; not where other machines ask."""
    library: Address | None = None
    """Folder or address of a library that is searched, and whose videos are served; None: none is."""


class Service:
    """What can be asked of some videos and some models."""

    def __init__(
        self, videos: Sequence[Path], models: Mapping[str, Grounder], options: ServiceOptions | None = None
    ) -> None:
        """models: name -> what answers under it; the first one does where none is named.

        Raises VideoError, and LibraryError for a library that cannot be read, or that no model can be asked about.
        """
        self.options = options or ServiceOptions()
        into, limit = self.options.uploads, self.options.upload_limit
        self.uploads = None if into is None else Uploads(into, limit)
        growing = [] if into is None else [into]
        library = None if self.options.library is None else ServedLibrary(self.options.library)
        taken_in = None if library is None else library.taken_in
        self.videos, self.models = ServedVideos(videos, growing, taken_in), dict(models)
        full = self.options.full_addresses
        self.library = None if library is None else LibraryDesk(library, self.models, self.videos, full=full)
        clear_abandoned(cache_folder() / "features")  # of a server that was killed while it wrote
        self.cuts, self.pieces = CutStore(), PieceMaker()
        self.known = KnownTruth(self.options.annotations, self.options.corrections, self.videos, self.duration_s)
        self.lanes = Lanes(self.models, self.options.workers, searchers=0 if library is None else SEARCHERS)
        self._tried: dict[str, tuple[tuple[int, float], bool]] = {}

    def stop(self) -> None:
        """Let all work end, and wait for nothing."""
        self.lanes.stop()

    def close(self) -> bool:
        """End all work; returns whether it has ended."""
        self.pieces.close()
        if self.uploads is not None:
            self.uploads.close()
        return all([self.lanes.close(), self.cuts.close()])

    def state(self) -> State:
        """What this server is and can do."""
        return State(
            version=__version__,
            checkpoints=[_checkpoint(name, model, self._given(name)) for name, model in self.models.items()],
            uploads=UploadState(on=self.options.uploads is not None, limit_bytes=self.options.upload_limit),
            corrections=CorrectionState(on=self.options.corrections is not None),
            library=self._library_state(),
            formats=list(FORMATS),
            n_videos=len(self.videos.all()),
            first=self._first(),
        )

    def _library_state(self) -> LibraryState | None:
        if self.library is None:
            return None
        place = self.library.library.folder
        whole = place if is_remote(place) else Path(place).absolute()
        name = printable(PurePath(whole).name) or "library"
        given = str(whole) if self.options.full_addresses else name
        return LibraryState(
            name=name, given=printable(given), n_videos=self.library.n_videos(), checkpoints=self.library.fitting
        )

    def _given(self, checkpoint: str) -> str:
        """A checkpoint as a command in any folder names it."""
        folder = Path(checkpoint)
        is_place = self.options.full_addresses and checkpoint not in BUNDLED and folder.exists()
        return str(folder.absolute()) if is_place else checkpoint

    def _first(self) -> str | None:
        """The first video, by folder, then by name, numbers by value, that can be opened."""
        videos = nsmallest(MOST_TRIED, self.videos.all(), lambda one: (_by_value(one.folder), _by_value(one.name)))
        return next((one.id for one in videos if self._opens(one)), None)

    def _opens(self, video: ServedVideo) -> bool:
        """Whether it is a video; a file is tried once, as long as it stays what it is."""
        state = video.size_bytes, video.changed
        if self._tried.get(video.id, (None, False))[0] != state:
            try:
                VideoReader(video.path)
            except (SpikeMbaError, OSError):
                self._tried[video.id] = state, False
            else:
                self._tried[video.id] = state, True
        return self._tried[video.id][1]

    def list(self) -> Videos:
        """All videos; only those are opened that somebody corrected, once."""
        truths, counts = self.known.videos(), self.known.counts()
        return Videos(
            videos=[
                Video(
                    id=one.id,
                    name=one.name,
                    folder=one.folder,
                    size_bytes=one.size_bytes,
                    changed=one.changed,
                    has_truth=one.id in truths,
                    n_corrections=counts.get(one.id, 0),
                )
                for one in self.videos.all()
            ]
        )

    def video(self, video_id: str) -> ServedVideo:
        """The video of an id. Raises NotThere."""
        return self.videos.get(video_id)

    def info(self, video_id: str) -> VideoInfo:
        """What a file says of itself. Raises NotThere, VideoError for a file that cannot be read."""
        video = self.video(video_id)
        try:
            found, plays = VideoReader(video.path).info, self.pieces.playing(video.path)
        except VideoError as error:
            raise video.fault(error) from None
        return VideoInfo(
            id=video.id,
            name=video.name,
            duration_s=plays.pieces_s[-1][1] if plays.limits else found.duration_s,
            width=found.width,
            height=found.height,
            fps=found.fps or None,
            has_sound=found.has_audio,
            size_bytes=video.size_bytes,
            play=Play(
                kind="file" if plays.how.as_it_is else "pieces",
                type=plays.how.type,
                pieces=[[start_s, end_s] for start_s, end_s in plays.pieces_s],
                reason=plays.how.reason,
            ),
        )

    def ask(self, asked: Ask) -> Question:
        """A question that is worked on from now. Raises NotThere, QueryError, Busy, SpikeMbaError."""
        names = list(dict.fromkeys(asked.checkpoints or [*self.models][:1]))
        min_exists = 0.0 if asked.show_all else asked.min_exists
        if asked.show_all and asked.min_exists is not None:
            raise SpikeMbaError(
                "show_all shows every moment, so min_exists means nothing beside it; give one of the two"
            )
        query = asked.query
        for model in [self.model(name) for name in names] or [self.model(None)]:
            model.check_min_exists(min_exists)
            (query,) = model.check([asked.query])
        ids = None if asked.videos is None else list(dict.fromkeys(asked.videos))
        videos = self.videos.all() if ids is None else [self.video(one) for one in ids]
        if not videos:
            raise NotThere("there is no video to ask about; put one into the served folder")
        return self.lanes.ask(Asked(query, tuple(videos), tuple(names), asked.top, min_exists))

    def search(self, asked: AskLibrary) -> Search:
        """A search of the library that is worked on from now. Raises NotThere, QueryError, Busy, SpikeMbaError."""
        if self.library is None:
            raise NotThere("no library is searched here; start the server with --library DIR")
        if asked.checkpoint is not None:
            self.model(asked.checkpoint)
        search = self.library.ask(asked)
        self.lanes.search(search)
        return search

    def question(self, question_id: str) -> Question:
        """A question that was asked. Raises NotThere."""
        return self.lanes.get(question_id)

    def cancel(self, question_id: str) -> Question:
        """Stop working on a question. Raises NotThere."""
        return self.lanes.cancel(question_id)

    def model(self, name: str | None) -> Grounder:
        """What answers under a name; None: the first. Raises NotThere."""
        found = next(iter(self.models.values()), None) if name is None else self.models.get(name)
        if found is None:
            raise NotThere(f"no checkpoint is called {printable(str(name))!r}; {names_like(str(name), self.models)}")
        return found

    def truth(self, video_id: str) -> Truths:
        """What is known to be true of a video. Raises NotThere."""
        return Truths(queries=self.known.of(self.video(video_id)))

    def words(self, asked: AskWords) -> Words:
        """What each word contributes to a window's score; it computes long, so callers bound how many are at it.

        Raises NotThere, NotNow for a video that was not read yet, QueryError, SpikeMbaError.
        """
        model, video = self.model(asked.checkpoint), self.video(asked.video)
        if not asked.start_s < asked.end_s:
            raise SpikeMbaError(
                f"a window from {asked.start_s:g} to {asked.end_s:g} s is none; its end must lie behind its start"
            )
        if not model.has_features(video.path):
            raise NotNow(f"{video.name} was not read by {model.name} yet; ask it a question first")
        try:
            return word_effects(model, video, asked)
        except VideoError as error:
            raise video.fault(error) from None

    def cut(self, asked: AskCut) -> CutMessage:
        """A part of a video as a file. Raises NotThere, SpikeMbaError, VideoError, Busy."""
        done = self.cuts.cut(self.video(asked.video), asked.start_s, asked.end_s, asked.mode)
        return CutMessage(
            id=done.id,
            name=done.name,
            url=f"/api/cuts/{done.id}",
            start_s=done.start_s,
            end_s=done.end_s,
            note=done.note,
        )

    def export(self, asked: Export) -> ExportedFile:
        """The answers of a question or of a search as a file. Raises NotThere, NotNow, SpikeMbaError."""
        absolute = self.options.full_addresses
        if self.lanes.is_search(asked.question):
            return export_search(self.lanes.get_search(asked.question), asked, absolute=absolute)
        return export(self.question(asked.question), asked, absolute=absolute)

    def corrections(self, asked: CorrectionsQuery) -> Corrections:
        """What people said, of one video or sentence where one is given. Raises NotThere, NotNow."""
        video = None if asked.video is None else self.video(asked.video)
        rows, problems = self.known.rows(video, asked.query), self.known.problems()
        return Corrections(rows=rows, n_problems=len(problems), problem=problems[0] if problems else None)

    def correct(self, said: Correction) -> CorrectionRow:
        """Keep what somebody says. Raises NotThere, NotNow, CorrectionError, VideoError, OutputError."""
        return self.known.add(said, self.video(said.video))

    def duration_s(self, video: ServedVideo) -> float:
        """The end of a video's last picture: as it was decoded where it was, else as it says. Raises VideoError."""
        for model in self.models.values():
            if model.has_features(video.path):
                return model.read(video.path).duration_s
        try:
            reader = VideoReader(video.path)
            return reader.info.duration_s or reader.measured_end_s()
        except VideoError as error:
            raise video.fault(error) from None


def _by_value(name: str) -> list[tuple[int, int, str]]:
    """A name's parts, so that "clip 9" comes before "clip 10", and case counts for nothing."""
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in re.split(r"([0-9]+)", name.casefold())
        if part
    ]


def _checkpoint(name: str, model: Grounder, given: str) -> CheckpointState:
    return CheckpointState(
        name=name,
        trained=model.trained,
        tells_existence=model.model.tells_existence,
        min_exists=model.model.min_exists,
        clip_s=model.clip_s,
        encoders=[one.name for one in model.encoders],
        note="" if model.trained else UNTRAINED,
        given=printable(given),
    )

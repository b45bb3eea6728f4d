"""Videos into a library: what is new, changed, moved, copied or gone since the last time."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from pkgutil import resolve_name
from shutil import rmtree
from typing import Any

from pipelines.extraction.extract import ENGINES
from pipelines.extraction.job import Engine, ExtractEvents, RunOptions
from pipelines.library.incoming import IndexJob, key_of, take_in
from pipelines.library.plan import Known, Plan, Task, look_for, make_plan
from pipelines.library.staging import INCOMING, staging
from pipelines.library.written import bring_in_texts
from spikemba.encoders import ClipEncoder
from spikemba.encoders.base import folder_name
from spikemba.encoding.manifests import video_manifest
from spikemba.errors import ConfigError, OutputError, SpikeMbaError, command_line
from spikemba.features import read_manifest
from spikemba.library.address import Address, library_address
from spikemba.library.forms import Form, changing, check_form, is_library, open_library
from spikemba.library.writer import ROOM, FileState, check_encoder

TAKEN_AFTER_VIDEOS, TAKEN_AFTER_S = 64, 30.0
"""How often what was encoded is taken in while others are still being encoded."""


@dataclass
class IndexResult:
    """What an indexing did, by paths; every video of this process stands in one of the lists."""

    library: Address
    added: list[Path] = field(default_factory=list)
    renewed: list[Path] = field(default_factory=list)
    """Those whose file was another one before, or that lacked an encoder."""
    kept: list[Path] = field(default_factory=list)
    moved: dict[Path, Path] = field(default_factory=dict)
    """New path -> old path; nothing was decoded."""
    copies: dict[Path, Path] = field(default_factory=dict)
    """A copy -> the video that it is a copy of; nothing was decoded."""
    dropped: list[Path] = field(default_factory=list)
    unreachable: list[Path] = field(default_factory=list)
    """Not found, and kept: their disk or folder cannot be read now."""
    failed: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a person should know, each a line."""

    def to_dict(self) -> dict[str, Any]:
        """What `index --json` prints."""
        lists = {name: list(map(str, getattr(self, name))) for name in ("added", "renewed", "kept")}
        pairs = {name: {str(a): str(b) for a, b in getattr(self, name).items()} for name in ("moved", "copies")}
        rest = {name: list(map(str, getattr(self, name))) for name in ("dropped", "unreachable")}
        failed = {str(path): problem for path, problem in self.failed.items()}
        return {"library": str(self.library), **lists, **pairs, **rest, "failed": failed}


def index(
    inputs: Sequence[Path],
    encoder: str,
    library: Path | str,
    *,
    form: Form | None = None,
    clip_s: float = 2.0,
    run: RunOptions | None = None,
    events: ExtractEvents | None = None,
) -> IndexResult:
    """Bring a library up to date with videos: files, or folders that are searched.

    Videos are encoded as `extract` does and taken in by and by, so a broken-off run goes on where it stopped; several
    runs may go on at once. What is gone below the folders given is dropped, what moved is followed. Names of the files
    and subtitles that lie beside them ride along.
    library: a folder, or an address such as s3://bucket/place.  form: of a library that is made; see `forms.py`.
    Raises SpikeMbaError when nothing can start: no videos, a folder that is missing, an encoder whose rows in the
    library were made otherwise; OutputError when the disk is full: the library is then as it was after the last video.
    """
    place, events = library_address(library), events or ExtractEvents()
    form = check_form(place, form)
    job = IndexJob(encoder, Path(), clip_s, "float16", run or RunOptions())
    result = _Indexing(job, place, form, events).run([Path(one) for one in inputs])
    for path, problem in bring_in_texts(place).items():
        result.failed[path] = problem
        events.failed(path, problem)
    if form == "lance":
        result.notes += beside_the_index(place)
    return result


def beside_the_index(place: Address) -> list[str]:
    """Says how many clips of a library of LanceDB are compared one by one, where they are many."""
    from spikemba.library.lance.reader import LanceLibrary
    from spikemba.library.lance.vector_index import INDEXED_FROM, index_state

    with open_library(place) as library:
        assert isinstance(library, LanceLibrary)
        left = {name: index_state(library.store.tables[one.file]).n_left for name, one in library.encoders().items()}
    compact = command_line("spikemba", "library", "compact", "--library", place)
    return [
        f"{n:,} clips of {name} are not in the index and are compared one by one; run `{compact}`"
        for name, n in left.items()
        if n >= INDEXED_FROM
    ]


class _Indexing:
    """One run."""

    def __init__(self, job: IndexJob, library: Address, form: Form, events: ExtractEvents) -> None:
        self.job, self.library, self.form, self.events = job, library, form, events
        self.result = IndexResult(library)
        self.encoders: list[ClipEncoder] = []
        self.digests: dict[str, str] = {}
        self.problems: list[tuple[FileState, str]] = []
        self.before: set[Path] = set()
        self.done = self.total = 0

    def run(self, inputs: Sequence[Path]) -> IndexResult:
        """Everything, in the order in which it must be done."""
        known = self._known() if is_library(self.library) else Known((), {})
        paths = look_for(inputs, [one.path for one in known.videos], self.library)
        self.encoders = self.job.encoders()
        self._register()
        with staging(self.library, self.form, self._take_in) as incoming:
            self.job = replace(self.job, out=incoming)
            return self._run(inputs, paths)

    def _run(self, inputs: Sequence[Path], paths: Sequence[Path]) -> IndexResult:
        self._take_in()  # what a run that was broken off has left
        known, shard = self._known(), self.job.run.shard
        self.before = {one.path for one in known.videos}
        names = [one.name for one in self.encoders]
        plan = make_plan(paths, inputs, known, names, shard, retry=self.job.run.retry_failed)
        self.total = sum(shard.owns(str(path)) for path in paths)
        self.done = self.total - len(plan.todo) - len(plan.copies)
        self.events.videos(self.done, self.total)
        self._follow(plan)
        self._encode(plan.todo)
        self._encode(self._copy(plan))
        self.events.videos(self.total, self.total)
        for done in (self.result.added, self.result.renewed):
            done.sort()  # whichever decoder was done first
        return self.result

    def _known(self) -> Known:
        with changing(self.library) as writer:
            return Known(writer.videos(), writer.encoders_of_videos())

    def _register(self) -> None:
        """Give the encoders their places in the library, before anything is encoded for them."""
        manifests = [video_manifest(one, self.job.clip_s, self.job.dtype) for one in self.encoders]
        with changing(self.library, self.form) as writer:
            known = writer.encoders()
            for manifest in manifests:  # all of them or none
                check_encoder(self.library, known.get(manifest.encoder), manifest)
            for manifest in manifests:
                writer.add_encoder(manifest)
                if self.form == "lance":
                    continue
                place = Path(self.library) / INCOMING / folder_name(manifest.encoder)
                with suppress(ConfigError):
                    if read_manifest(place) in (None, manifest):
                        continue
                rmtree(place, ignore_errors=True)  # made for rows that were dropped since

    def _follow(self, plan: Plan) -> None:
        """What moved, what has another time, and what is gone."""
        result = self.result
        result.kept, result.failed = plan.kept, dict(plan.failed)
        result.unreachable = [one.path for one in plan.unreachable]
        for path, problem in plan.failed.items():
            self.events.failed(path, problem)
        with changing(self.library) as writer:
            there = {one.id: one for one in writer.videos()}
            for video, state in [*plan.moved, *plan.touched]:
                if there.get(video.id) == video:
                    writer.restate(video, state)
                elif state.path in plan.kept:  # another run was quicker, perhaps with another file
                    plan.kept.remove(state.path)
                    plan.copies.append((video.path, state))
            copied = {state.path for _, state in plan.copies}
            result.moved = {state.path: video.path for video, state in plan.moved if state.path not in copied}
            gone = [one for one in plan.gone if there.get(one.id) == one]
            writer.drop([one.id for one in gone])
            result.dropped = [one.path for one in gone]

    def _copy(self, plan: Plan) -> dict[str, Task]:
        """Copies get the rows of what they are copies of; returns those whose original has none, to be encoded."""
        left = {}
        with changing(self.library) as writer:
            by_path = {one.path: one for one in writer.videos()}
            for path, state in plan.copies:
                original = by_path.get(path)
                if original is not None and writer.copy(original, state):
                    self.result.copies[state.path] = path
                    self.done += 1
                else:
                    left[key_of(state.path, state.size, state.mtime_ns)] = state, plan.encoders
        return left

    def _encode(self, todo: Mapping[str, Task]) -> None:
        """Encode videos, those that lack the same encoders together, and take them in by and by."""
        groups: dict[tuple[str, ...], dict[str, FileState]] = {}
        for key, (state, missing) in todo.items():
            self.digests[key] = state.digest
            groups.setdefault(missing, {})[key] = state
        for missing, group in groups.items():
            try:
                self._encode_group(missing, group)
            except BaseException as error:
                with suppress(SpikeMbaError):
                    self._take_in()
                if isinstance(error, OutputError) and isinstance(cause := error.__cause__, OSError):
                    raise OutputError(self.library, (cause.strerror or str(cause)).lower(), ROOM) from error
                raise
            self._take_in()

    def _encode_group(self, names: Sequence[str], group: Mapping[str, FileState]) -> None:
        job = replace(self.job, encoder="+".join(names))
        encoders = [one for one in self.encoders if one.name in names]
        engine: Engine = resolve_name(ENGINES[job.run.engine])
        fresh, since = 0, time.monotonic()
        for key, path, problem in engine(job, {key: one.path for key, one in group.items()}, encoders, self.events):
            self.done, fresh = self.done + 1, fresh + 1
            if problem is None:
                (self.result.renewed if path in self.before else self.result.added).append(path)
            else:
                self.result.failed[path] = problem
                self.problems.append((group[key], problem))
                self.events.failed(path, problem)
            self.events.videos(self.done, self.total)
            if fresh >= TAKEN_AFTER_VIDEOS or time.monotonic() - since > TAKEN_AFTER_S:
                self._take_in()
                fresh, since = 0, time.monotonic()

    def _take_in(self, incoming: Path | None = None) -> None:
        """What waits in incoming/, of whatever process, and what this one could not read."""
        with changing(self.library) as writer:
            take_in(incoming or self.job.out, writer, self.digests)
            while self.problems:
                writer.note_problem(*self.problems[-1])
                self.problems.pop()

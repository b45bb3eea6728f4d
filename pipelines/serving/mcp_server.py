"""The calls for language models: list, info, ground, cut, search over the Model Context Protocol, on stdin and stdout.

The protocol owns stdout: while it is served, whatever else is printed there goes to stderr. A fault that a caller can
mend is a tool's error in one line; nothing outside the served videos is opened, and files are written into one folder
alone, where one was named.
"""

import shutil
import sys
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server
from mcp.types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import Field, ValidationError

from pipelines.grounding.answer_order import best_first
from pipelines.serving.asking.questions import Answered, Question
from pipelines.serving.faults import NotThere
from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.mcp_calls import Progress, mendable, until_over
from pipelines.serving.mcp_library import LibraryTool
from pipelines.serving.mcp_lines import AnsweredLines
from pipelines.serving.messages import (
    MAX_TOP,
    Ask,
    AskCut,
    Failure,
    Message,
    MomentMessage,
    Name,
    Probability,
    Query,
    Seconds,
    Video,
    VideoFacts,
    VideoId,
)
from pipelines.serving.service import Service
from spikemba import __version__
from spikemba.errors import OutputError, names_like
from spikemba.files import writing
from spikemba.reading.printable import printable
from spikemba.video.cuts import CutMode

T = TypeVar("T")

LISTED = 100
"""Videos of one listing, where the caller wants no other number."""
TOLD = 20
"""Answers of one question, where the caller wants no other number; the best."""


class VideoList(Message):
    """Videos that can be asked about."""

    videos: list[Video]
    n_videos: int
    """How many fit; more than are listed where the list is cut."""


class FoundVideo(VideoFacts):
    """What a video file says of itself, and whether it can be asked about at once."""

    is_read: bool
    """Whether the first checkpoint has read it already, so that a question is answered within seconds."""


class FoundMoments(Message):
    """The moments of one video that a sentence describes, as `spikemba ground --json` prints them."""

    video: str
    video_id: str
    query: str
    duration_s: float
    clip_s: float
    exists: float | None
    """That the video shows it at all, from 0 to 1; null where the checkpoint does not tell."""
    moments: list[MomentMessage]
    """Best first; none where there is no such moment."""
    nothing: str | None
    """What to say in place of moments, where there are none."""
    saliency: list[float] | None
    """How well each clip fits, from 0 to 1; null unless it was asked for."""
    model: str


class FoundAnswers(Message):
    """What was found, the best video first: by score where scores are probabilities, else by existence."""

    answers: list[FoundMoments]
    n_answers: int
    """Of how many; more than are told where there are many videos."""
    failed: list[Failure]
    """Videos that could not be read, and why."""


class CutFile(Message):
    """A part of a video as a file of its own."""

    path: str
    start_s: float
    """Where it really begins in the video."""
    end_s: float
    size_bytes: int
    note: str
    """What a person should know of it; mostly empty."""


class _Server(MCPServer[Any]):
    """Every fault of a call in one line."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: "Context[Any, Any] | None" = None
    ) -> CallToolResult | InputRequiredResult:
        try:
            known = {tool.name: tool for tool in await self.list_tools()}
            if name not in known:
                return _fault(f"no tool is called {name!r}; {names_like(name, known)}")
            takes = known[name].input_schema.get("properties", {})
            if unknown := sorted(set(arguments) - set(takes)):
                return _fault(f"{name} takes no {', '.join(map(repr, unknown))}; it takes: {', '.join(takes)}")
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            cause = error.__cause__ or error
            if type(error) is ToolError and isinstance(cause, ToolError | ValidationError):
                return _fault(_wrong_arguments(name, cause) if isinstance(cause, ValidationError) else str(cause))
            traceback.print_exception(cause, file=sys.stderr)
            return _fault(f"{name} failed unexpectedly ({type(cause).__name__}); please report what the server printed")


def mcp_server(service: Service, cuts: Path | None) -> MCPServer[Any]:
    """The server of a service's calls.  cuts: the folder of parts that are cut out; None: none are."""
    server = _Server("spikemba", version=__version__, instructions=_instructions(service), log_level="WARNING")
    tools = _Tools(service, cuts)
    reads = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    writes = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    server.add_tool(tools.list_videos, annotations=reads)
    server.add_tool(tools.video_info, annotations=reads)
    server.add_tool(tools.ground, annotations=reads)
    server.add_tool(tools.cut, annotations=writes)
    if service.library is not None:
        server.add_tool(LibraryTool(service, tools.video_of).search_library, annotations=reads)
    return server


def _instructions(service: Service) -> str:
    names = [f"{one.name} ({one.note})" if one.note else one.name for one in service.state().checkpoints]
    return (
        "Finds the moments of video files that a sentence describes. list_videos gives the ids that the other tools "
        "take. ground answers in seconds of the video; the first question about a video reads it, which takes long for "
        f"long ones.{_of_library(service)} Checkpoints: {'; '.join(names)}."
    )


def _of_library(service: Service) -> str:
    state = service.state().library
    if state is None:
        return ""
    return f" search_library looks through all {state.n_videos} videos of a library at once, and is quick: begin there."


VideoArgument = Annotated[VideoId, Field(description="Id of a video, as list_videos gives it.")]


class _Tools:
    """What a language model can call; the text of each function is what it is told of it."""

    def __init__(self, service: Service, cuts: Path | None) -> None:
        self._service, self._cuts = service, cuts

    async def list_videos(
        self,
        containing: Annotated[str, Field(max_length=200, description="Only videos with this in their name.")] = "",
        limit: Annotated[int, Field(ge=1, le=2000, description="Videos to list, at most.")] = LISTED,
    ) -> VideoList:
        """List the videos that can be asked about, with the ids that the other tools take. Opens no file."""
        listed = (await _in_thread(self._service.list)).videos
        fit = [one for one in listed if containing.casefold() in one.name.casefold()]
        return VideoList(videos=fit[:limit], n_videos=len(fit))

    async def video_info(self, video: VideoArgument) -> FoundVideo:
        """Tell how long a video is, its size in pixels, and whether it has been read for questions already."""

        def look() -> FoundVideo:
            served = self.video_of(video)
            found = self._service.info(served.id).model_dump(exclude={"play"})
            is_read = next(iter(self._service.models.values())).has_features(served.path)
            return FoundVideo(**found, is_read=is_read)

        return await _in_thread(look)

    async def ground(
        self,
        context: Context[Any, Any],
        query: Annotated[Query, Field(description='One sentence: what to look for, as in "a dog enters".')],
        videos: Annotated[
            list[VideoId] | None, Field(min_length=1, max_length=2000, description="Ids of videos; null: all.")
        ] = None,
        top: Annotated[int, Field(ge=1, le=MAX_TOP, description="Moments of a video, at most.")] = 5,
        min_exists: Annotated[
            Probability | None,
            Field(description="Below this probability there is no such moment; null: as the checkpoint is calibrated."),
        ] = None,
        show_all: Annotated[bool, Field(description="Moments, too, where there is probably no such moment.")] = False,
        checkpoint: Annotated[Name | None, Field(description="Name of a checkpoint; null: the first.")] = None,
        saliency: Annotated[bool, Field(description="Also a number per clip: long for long videos.")] = False,
        limit: Annotated[int, Field(ge=1, le=2000, description="Videos to tell of, at most, best first.")] = TOLD,
    ) -> FoundAnswers:
        """Find the moments of videos that a sentence describes, in seconds, with scores from 0 to 1, best first.

        A video that was not read before is read first, which takes long for long ones; progress is reported.
        """
        with mendable():
            asked = Ask(
                query=query,
                videos=None if videos is None else [self.video_of(one).id for one in videos],
                checkpoints=None if checkpoint is None else [checkpoint],
                top=top,
                min_exists=min_exists,
                show_all=show_all,
            )
            question = self._service.ask(asked)
        try:
            await until_over(question, context, lambda: _progress(question, self._name_of))
        finally:
            if not question.is_over:
                self._service.cancel(question.id)
        found = sorted(question.answers, key=lambda one: best_first(one.grounding))
        answers = [_told(one, saliency=saliency) for one in found[:limit]]
        if not answers and question.failed:
            raise ToolError("; ".join(one.problem for one in question.failed[:5]))
        return FoundAnswers(answers=answers, n_answers=len(found), failed=question.failed)

    async def cut(
        self,
        video: VideoArgument,
        start_s: Annotated[Seconds, Field(description="Where the part begins, in seconds.")],
        end_s: Annotated[Seconds, Field(description="Where it ends.")],
        mode: Annotated[
            CutMode,
            Field(description="exact: to the frame, encoded anew; copy: quick, from the key frame before, as it is."),
        ] = "exact",
    ) -> CutFile:
        """Cut a part out of a video, with its sound, into a new file on the machine of this server."""
        folder = self._cuts
        if folder is None:
            raise ToolError("this server writes no files; start it with `spikemba mcp VIDEOS --cuts DIR`")

        def made() -> CutFile:
            done = self._service.cut(AskCut(video=self.video_of(video).id, start_s=start_s, end_s=end_s, mode=mode))
            path = _placed(self._service.cuts.get(done.id).path, folder, done.name)
            size = path.stat().st_size
            return CutFile(path=str(path), start_s=done.start_s, end_s=done.end_s, size_bytes=size, note=done.note)

        return await _in_thread(made)

    def video_of(self, named: str) -> ServedVideo:
        """The video of an id, or of a name that no other one has. Raises NotThere."""
        served = self._service.videos.all()
        fit = (
            [one for one in served if one.id == named]
            or [one for one in served if one.name == named]
            or [one for one in served if one.name.rpartition("/")[2] == named]
        )
        if len(fit) > 1:
            names = ", ".join(one.name for one in fit[:5]) + (", …" if len(fit) > 5 else "")
            called = printable(named)[:100]
            raise NotThere(f"{len(fit)} videos are called {called!r}: {names}; give one of these, or an id")
        if not fit:
            raise NotThere(f"no video has the id {printable(named)[:100]!r}; list_videos lists them")
        return self._service.video(fit[0].id)

    def _name_of(self, video_id: str) -> str:
        return next((one.name for one in self._service.videos.all() if one.id == video_id), video_id)


def _progress(question: Question, name_of: Callable[[str], str]) -> Progress:
    state = question.status()
    done, message = float(state.n_done), f"{state.n_done} of {state.n_total} answered"
    if (reading := state.reading) is not None:
        # where the file does not say how long it is, nearer to its end with every clip
        total = reading.total or reading.done + 1000
        done += min(0.99, reading.done / total)
        message = f"reading {name_of(reading.video)}: {reading.done} of {reading.total or '?'} clips"
    return Progress(done, state.n_total, message)


def _told(answered: Answered, *, saliency: bool) -> FoundMoments:
    found = answered.document()
    kept = {name: found[name] for name in FoundMoments.model_fields}
    return FoundMoments(**kept | ({} if saliency else {"saliency": None}))


def _placed(made: Path, folder: Path, name: str) -> Path:
    """Move a file into a folder under its name, or the next that is free. Raises OutputError."""
    stem, suffix = Path(name).stem, Path(name).suffix
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for n in count(1):
            path = folder / (name if n == 1 else f"{stem}_{n}{suffix}")
            try:
                path.open("xb").close()  # nobody else takes the name from here on
            except FileExistsError:
                continue
            break
    except OSError as error:
        raise OutputError(folder, (error.strerror or str(error)).lower(), "choose another with --cuts") from None
    try:
        with writing(path) as temporary:
            shutil.copyfile(made, temporary)
    except OutputError:
        path.unlink(missing_ok=True)
        raise
    made.unlink(missing_ok=True)
    return path.resolve()


async def _in_thread(work: Callable[[], T]) -> T:
    """What a function gives that may take long; who stops waiting does not wait for its end."""
    with mendable():
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


def _fault(problem: str) -> CallToolResult:
    line = " ".join(problem.split())
    return CallToolResult(content=[TextContent(type="text", text=line)], is_error=True)


def _wrong_arguments(tool: str, error: ValidationError) -> str:
    """All faults of a call's arguments."""
    faults = []
    for one in error.errors(include_url=False):
        place = ".".join(str(part) for part in one["loc"])
        value = "" if one["type"] == "missing" else f", got {printable(repr(one['input']))[:100]}"
        faults.append(f"{place}: {one['msg'][:1].lower()}{one['msg'][1:]}{value}")
    return f"{tool}: {'; '.join(faults)}"


def serve(server: MCPServer[Any]) -> None:
    """Answer on stdin and stdout until stdin ends."""
    anyio.run(_on_stdio, server)


async def _on_stdio(server: MCPServer[Any]) -> None:
    """`MCPServer.run_stdio_async`, with an answer to lines that are no messages."""
    inner = server._lowlevel_server
    async with stdio_server() as (read, write):
        await inner.run(AnsweredLines(read, write), write, inner.create_initialization_options())

"""The tool by which a language model searches a library; it is there where a library is served."""

from collections.abc import Callable
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from pipelines.serving.footage.catalogue import ServedVideo
from pipelines.serving.mcp_calls import Progress, mendable, until_over
from pipelines.serving.messages import MAX_TOP, Name, Probability, Query, Seconds, VideoId
from pipelines.serving.search_messages import AskLibrary, FoundInLibrary, Part
from pipelines.serving.searching.search import Search
from pipelines.serving.service import Service


class LibraryTool:
    """What a language model can call; the text of the function is what it is told of it."""

    def __init__(self, service: Service, video_of: Callable[[str], ServedVideo]) -> None:
        """video_of: the video of an id or a name, as of the other tools."""
        self._service, self._video_of = service, video_of

    async def search_library(
        self,
        context: Context[Any, Any],
        query: Annotated[
            Query | None,
            Field(description='One sentence: what to look for, as in "a dog enters"; null: give like_video.'),
        ] = None,
        like_video: Annotated[
            VideoId | None, Field(description="In place of a sentence: what looks like a part of this video.")
        ] = None,
        like_start_s: Annotated[Seconds, Field(description="Where that part begins, in seconds.")] = 0.0,
        like_end_s: Annotated[Seconds, Field(description="Where it ends.")] = 0.0,
        only: Annotated[
            str, Field(max_length=200, description="Only videos with all of these words in their name or folder.")
        ] = "",
        top: Annotated[int, Field(ge=1, le=MAX_TOP, description="Moments of all videos, at most.")] = 10,
        min_exists: Annotated[
            Probability | None,
            Field(description="Below this probability there is no such moment; null: as the checkpoint is calibrated."),
        ] = None,
        show_all: Annotated[bool, Field(description="Moments, too, where there is probably no such moment.")] = False,
        checkpoint: Annotated[
            Name | None, Field(description="Name of a checkpoint; null: the first that fits.")
        ] = None,
        texts: Annotated[bool, Field(description="Search subtitles and names of files, too.")] = True,
    ) -> FoundInLibrary:
        """Find the moments of the whole library that a sentence describes, in one order over all videos, best first.

        Nothing is decoded: answers come within seconds, however many videos there are. Other tools take the ids.
        """
        with mendable():
            like = None
            if like_video is not None:
                like = Part(video=self._video_of(like_video).id, start_s=like_start_s, end_s=like_end_s)
            asked = AskLibrary(
                query=query,
                like=like,
                only=only,
                checkpoint=checkpoint,
                top=top,
                min_exists=min_exists,
                show_all=show_all,
                texts=texts,
            )
            search = self._service.search(asked)
        try:
            await until_over(search, context, lambda: _progress(search))
        finally:
            if not search.is_over:
                self._service.lanes.cancel_search(search.id)
        if search.found is None:
            raise ToolError(search.problem or "the search was cancelled")
        return search.found.message()


def _progress(search: Search) -> Progress:
    state = search.status()
    return Progress(state.n_done, state.n_total, f"{state.n_done} of {state.n_total} looked at")

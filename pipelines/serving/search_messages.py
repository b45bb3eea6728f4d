"""What goes in and out of the calls that search a library."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.serving.messages import (
    MAX_TOP,
    AnswerMessage,
    Message,
    Name,
    Probability,
    Query,
    Seconds,
    VideoId,
)

MAX_CLOSELY = 200
"""Videos that one search looks at closely."""
MAX_PICTURE = 48 * 1024
"""Characters of a picture; a few hundred pixels have less, and an encoder sees no more."""


class Part(Message):
    """A part of a video."""

    video: VideoId
    start_s: Seconds
    end_s: Seconds


class AskLibrary(Message):
    """A question to the whole library: one of a sentence, a part of a video, and a picture."""

    query: Query | None = None
    like: Part | None = None
    """What looks like that."""
    picture: Annotated[str, Field(min_length=1, max_length=MAX_PICTURE)] | None = None
    """What looks like that: a JPEG in base64."""
    only: Annotated[str, Field(max_length=200)] = ""
    """Words; each has to stand in a video's name or folder, in either case, with or without accents."""
    checkpoint: Name | None = None
    """null: the first that the library has rows for."""
    top: int = Field(10, ge=1, le=MAX_TOP)
    """Moments of all videos, at most."""
    closely: int = Field(20, ge=1, le=MAX_CLOSELY)
    """Videos that are looked at closely, at most: those with the nearest clips."""
    min_exists: Probability | None = None
    """Below this there is no such moment; null: as the checkpoint was calibrated."""
    show_all: bool = False
    """Moments, too, where there is probably no such moment."""
    texts: bool = True
    """Search subtitles and names of files, too."""


class SearchState(Message):
    """How far a search is."""

    id: str
    query: str
    """The sentence, or in words what was asked with."""
    state: Literal["waiting", "working", "done", "cancelled", "failed"]
    place: int
    """In the queue; 0: it is being worked on, or over."""
    n_done: int
    """Videos that were looked at closely, or clips of the one that is read first."""
    n_total: int
    """Of how many; 0 before that is known."""
    problem: str | None
    """Why it failed, in one line."""


class Copy(Message):
    """Another file with the same content."""

    video: str
    video_id: str | None


class FoundMoment(Message):
    """A moment of one of the library's videos."""

    rank: int
    video: str
    """Its name."""
    video_id: str | None
    """null: the file is gone, or no more what was taken in, and cannot be opened."""
    start_s: float
    end_s: float
    duration_s: float | None
    """Of the video."""
    score: float | None
    """In [0, 1]; the similarity where there is no sentence; null for what only a text says."""
    exists: float | None
    """That the video shows it at all; null where nothing tells."""
    sources: list[str]
    """Where it was found: `clips`, `subtitles`, `name`."""
    text: str | None
    """That was found."""
    copies: list[Copy]


class FoundInLibrary(Message):
    """The moments of all videos in one order."""

    moments: list[FoundMoment]
    order: Literal["calibrated", "fused", "similarity"]
    order_said: str
    """The same in a sentence."""
    exists: float | None
    """That some video shows it; null where nothing tells."""
    nothing: str | None
    """What to say in place of moments, where there are none."""
    model: str
    checkpoint: str
    n_videos: int
    """Whose clips were compared."""
    n_closely: int
    """That were looked at closely."""
    notes: list[str]
    """What a person should know: files that changed or are gone, videos without rows."""


class SearchMessage(SearchState):
    """A search with what was found."""

    found: FoundInLibrary | None
    answers: list[AnswerMessage]
    """Of the videos with a moment that were looked at closely: what the model made of each clip."""

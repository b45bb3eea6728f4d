"""What goes in and out of the calls of corrections."""

from typing import Annotated

from pydantic import Field

from pipelines.serving.messages import MAX_WINDOWS, Message, Query, Span, VideoId


class Correction(Message):
    """What a person says of a video and a sentence."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    video: VideoId
    query: Query
    windows: list[Span] = Field(default_factory=list, max_length=MAX_WINDOWS)
    """Where it is."""
    wrong: list[Span] = Field(default_factory=list, max_length=MAX_WINDOWS)
    """Where it is not, though a model said so."""
    absent: bool = False
    model: Annotated[str, Field(max_length=300)] = ""


class CorrectionRow(Message):
    """A row of QVHighlights with a few keys more, as it is kept and as `spikemba prepare custom` reads it."""

    qid: str
    query: str
    vid: str
    """What annotations call the video."""
    duration: float
    relevant_windows: list[list[float]] | None = None
    """Empty: the video shows nothing of it; missing: only what is wrong is known."""
    wrong_windows: list[list[float]]
    by: str
    at: str
    model: str | None = None


class CorrectionsQuery(Message):
    """Which corrections."""

    video: VideoId | None = None
    query: Query | None = None


class Corrections(Message):
    """The last row of each person about each video and sentence."""

    rows: list[CorrectionRow]
    n_problems: int = 0
    """Lines and files of the folder that cannot be read, or name no video for certain; `problem` is the first."""
    problem: str | None = None

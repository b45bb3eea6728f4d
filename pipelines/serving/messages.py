"""What goes in and out of each call, as typed records: of the service, of the web and of docs/openapi.json."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from pipelines.grounding.formats import FORMATS
from spikemba.video.cuts import CutMode

MAX_QUERY, MAX_VIDEOS = 1000, 2000
"""Characters of a sentence, videos that one question names; all of a folder may be more."""
MAX_CHECKPOINTS, MAX_TOP, MAX_WINDOWS = 8, 100, 200
"""Checkpoints of one question, moments of one answer, windows of one correction."""
MAX_S = 1_000_000.0
"""Seconds, eleven days: no time in a video is later."""

Seconds = Annotated[float, Field(ge=0, le=MAX_S)]
Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY)]
VideoId = Annotated[str, Field(min_length=1, max_length=100)]
Name = Annotated[str, Field(min_length=1, max_length=300)]
Span = Annotated[list[Seconds], Field(min_length=2, max_length=2)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Message(BaseModel):
    """Base of all: unknown keys and numbers that are none are refused; each field is described by the line below it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Nothing(Message):
    """An empty object."""


class Fault(Message):
    """Why a call was not done."""

    error: str
    """One line: what is wrong, the value seen, what was expected, what mends it."""
    received: int | None = None
    """Of an upload: the bytes that are here, behind which the next part begins."""


class CheckpointState(Message):
    """A model that can be asked."""

    name: str
    trained: bool
    tells_existence: bool
    """Whether it says if a video shows what is asked at all."""
    min_exists: float | None
    """Below this probability it says: no such moment."""
    clip_s: float
    """Seconds of a clip of its answers."""
    encoders: list[str]
    note: str
    """What a person should know of its answers; empty where they are as expected."""
    given: str
    """As a command names it: a run folder by its whole path where the server is asked from its own machine alone."""


class UploadState(Message):
    """Whether files may be added."""

    on: bool
    limit_bytes: int


class CorrectionState(Message):
    """Whether corrections are kept."""

    on: bool


class LibraryState(Message):
    """A library that can be searched."""

    name: str
    """Of its folder."""
    given: str
    """As a command names it, see `CheckpointState.given`."""
    n_videos: int
    checkpoints: list[str]
    """Those that read rows like its own; the first one answers where none is named."""


class State(Message):
    """What this server is and can do."""

    version: str
    checkpoints: list[CheckpointState]
    uploads: UploadState
    corrections: CorrectionState
    library: LibraryState | None
    formats: list[str]
    n_videos: int
    first: str | None
    """Id of the first video of the list that can be opened; null where none of the first twenty can."""


class Video(Message):
    """A video of the served folders."""

    id: str
    """Names it in every other call; the same as long as the file lies where it lies."""
    name: str
    """The file's name, with the folders that tell it from others of that name."""
    folder: str
    """Of the file, below the served folder; empty at its top."""
    size_bytes: int
    changed: float
    """Seconds since 1970."""
    has_truth: bool
    n_corrections: int


class Videos(Message):
    """All videos, by name."""

    videos: list[Video]


class Play(Message):
    """How a browser plays it."""

    kind: Literal["file", "pieces"]
    """The file as it is, or pieces of it made on demand."""
    type: str
    """As MediaSource.isTypeSupported takes it."""
    pieces: list[Span] = Field(default_factory=list)
    """Start and end of each piece in seconds."""
    reason: str = ""
    """Why the file cannot be played as it is."""


class VideoFacts(Message):
    """What a file says of itself."""

    id: str
    name: str
    duration_s: float | None
    width: int
    height: int
    fps: float | None
    has_sound: bool
    size_bytes: int


class VideoInfo(VideoFacts):
    """What a file says of itself, and how a browser plays it."""

    play: Play


def _whole(text: object) -> object:
    """A number out of an address, where it is one."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 8 else text


class StillQuery(Message):
    """Which picture."""

    at_s: Seconds = 0.0
    height: Annotated[Literal[90, 180, 360], BeforeValidator(_whole)] = 180


class Truth(Message):
    """What is known to be true of a video for one sentence."""

    query: str
    windows: list[list[float]]
    absent: bool
    """Whether the video is known to show nothing of it."""
    by: str
    """A file of annotations, or the person who corrected."""


class Truths(Message):
    """All that is known to be true of a video."""

    queries: list[Truth]


class Ask(Message):
    """A sentence for some videos and some checkpoints."""

    query: Query
    videos: list[VideoId] | None = Field(None, min_length=1, max_length=MAX_VIDEOS)
    """Ids; null: all."""
    checkpoints: list[Name] | None = Field(None, min_length=1, max_length=MAX_CHECKPOINTS)
    """Names; null: the first."""
    top: int = Field(5, ge=1, le=MAX_TOP)
    """Moments of an answer, at most."""
    min_exists: Probability | None = None
    """Below this there is no such moment; null: as the checkpoint was calibrated."""
    show_all: bool = False
    """Moments, too, where there is probably no such moment."""


class Reading(Message):
    """The video that is being read for a question."""

    video: str
    """Its id."""
    done: int
    total: int | None


class Failure(Message):
    """A video that could not be read."""

    video: str
    checkpoint: str
    problem: str


class QuestionState(Message):
    """How far a question is."""

    id: str
    query: str
    state: Literal["waiting", "working", "done", "cancelled", "failed"]
    """failed: there is not one answer."""
    place: int
    """In the queue; 0: it is being worked on, or over."""
    reading: Reading | None
    n_done: int
    """Answers and failures so far."""
    n_total: int
    """Videos times checkpoints."""


class MomentMessage(Message):
    """A part of a video."""

    start_s: float
    end_s: float
    score: float


class Explained(Message):
    """What the model made of each clip; L clips."""

    clip_s: float
    saliency: list[float]
    """(L,)"""
    foreground: list[float]
    """(L,)"""
    spikes: list[float]
    """(L,): share of the steps at which the clip's proposal neuron fired."""
    n_spike_steps: int
    spike_steps: list[list[int]]
    """(L, steps): 1 where it fired."""
    proposals: list[MomentMessage]


class AnswerMessage(Message):
    """What `spikemba ground --json` prints of a video and a sentence, and what is behind it."""

    video: str
    """Its name."""
    query: str
    duration_s: float
    clip_s: float
    exists: float | None
    """That the video shows it at all; null where the checkpoint does not tell."""
    moments: list[MomentMessage]
    saliency: list[float]
    model: str
    calibrated: bool
    """Whether scores are probabilities, so that those of several videos can be compared."""
    unknown_words: list[str] = Field(default_factory=list)
    """Words that the text encoder does not know, where it can tell; missing where there are none."""
    video_id: str
    checkpoint: str
    nothing: str | None
    """What to say in place of moments, where there are none."""
    explained: Explained


class QuestionMessage(QuestionState):
    """A question with its answers."""

    answers: list[AnswerMessage]
    failed: list[Failure]


class AskWords(Message):
    """Which words of a sentence made a window."""

    video: VideoId
    query: Query
    checkpoint: Name | None = None
    """null: the first."""
    start_s: Seconds
    end_s: Seconds


class Word(Message):
    """A word of a sentence."""

    word: str
    first: int
    """Characters (code points) before it."""
    last: int
    """Characters up to its end."""
    effect: float
    """From -1 to 1: by how much the window's share of what ranks the clips is larger with it, as part of the larger."""
    exists: float | None
    """By how much `exists` falls without it; null where the checkpoint does not tell."""


class Words(Message):
    """What each word contributes."""

    words: list[Word]
    whole: float
    """The window's share for the whole sentence, in [0, 1]."""
    exists: float | None
    """That the video shows it at all; null where the checkpoint does not tell."""


class Export(Message):
    """A file of the answers of a question, or of a search."""

    question: Annotated[str, Field(min_length=1, max_length=100)]
    """Its id."""
    format: Literal[tuple(FORMATS)]  # type: ignore[valid-type]
    videos: list[VideoId] | None = Field(None, min_length=1, max_length=MAX_VIDEOS)
    """Ids; null: all that were answered."""
    checkpoint: Name | None = None
    """null: the first of the question's."""
    shape: Literal["cut", "markers"] | None = None
    """Of timelines; null: what the format is mostly for."""


class AskCut(Message):
    """A part of a video as a file of its own."""

    video: VideoId
    start_s: Seconds
    end_s: Seconds
    mode: CutMode = "exact"
    """exact: to the frame, encoded anew; copy: quick, from the key frame before, as it is."""


class CutMessage(Message):
    """A part that was cut out."""

    id: str
    name: str
    url: str
    start_s: float
    """Where it really begins."""
    end_s: float
    note: str

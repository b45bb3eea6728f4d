"""What goes in and out of the calls that add a video."""

from typing import Annotated

from pydantic import Field

from pipelines.serving.messages import Message


class Upload(Message):
    """A file that is to be added."""

    name: Annotated[str, Field(min_length=1, max_length=1000)]
    size_bytes: Annotated[int, Field(ge=1, le=2**53)]


class UploadPart(Message):
    """Where the bytes belong."""

    at: Annotated[int, Field(ge=0, le=2**53)]
    """Bytes before them."""


class UploadProgress(Message):
    """How much of a file is here."""

    id: str
    received: int = 0
    video: str | None = None
    """Its id as a video, when all of it is here."""

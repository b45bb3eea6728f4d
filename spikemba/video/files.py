"""Writing video files."""

# Shapes: H height, Wd width.

import math
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from spikemba.errors import OutputError, ShapeError
from spikemba.files import writing
from spikemba.video.sampling import Image, exact


def write_video(
    path: Path | str,
    frames: Iterable[Image],
    fps: float | Fraction,
    *,
    crf: int = 23,
    preset: str = "veryfast",
    intra: bool = False,
) -> None:
    """Write an H.264 MP4, whole or not at all; the same frames give the same bytes.

    frames: each (H, Wd, 3) uint8 RGB, all of one size; an odd last row or column is dropped (4:2:0 needs even sides).
    fps: frames per second.  crf: 0 (lossless) to 51; 23 looks clean.  preset: x264's name for its effort; on small
    frames "veryfast" takes half the time of x264's default for files of the same size.  intra: every frame is coded for
    itself, so that none carries traces of the one before.
    Raises OutputError when the file cannot be written, ShapeError for an image of another shape or dtype, ValueError
    when there is no frame or the rate is not positive.
    """
    path, images = Path(path), iter(frames)
    first = next(images, None)
    if first is None or not 0 < fps < math.inf:
        raise ValueError(f"{path}: a video needs a frame and a positive rate; got {fps} fps")
    _check_image(0, first, first.shape)
    with writing(path) as temporary:
        container = av.open(str(temporary.absolute()), "w", format="mp4")
        try:
            options = {"crf": str(crf), "preset": preset} | ({"g": "1"} if intra else {})
            stream = container.add_stream("libx264", rate=exact(fps), options=options)
            stream.height, stream.width = (side // 2 * 2 for side in first.shape[:2])
            stream.pix_fmt, stream.thread_count = "yuv420p", 1  # more threads are slower on small frames
            for k, image in enumerate(chain([first], images)):
                _check_image(k, image, first.shape)
                frame = VideoFrame.from_ndarray(np.ascontiguousarray(image[: stream.height, : stream.width]))
                frame.pts, frame.time_base = k, 1 / exact(fps)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            container.close()
        except av.FFmpegError as error:
            raise OutputError(path, error.strerror or "the encoder failed") from error
        finally:
            with suppress(OSError, av.FFmpegError):  # after a fault closing may fail once more
                container.close()


def _check_image(k: int, image: Image, shape: tuple[int, ...]) -> None:
    if image.dtype != np.uint8 or image.shape != shape or len(shape) != 3 or shape[2] != 3 or min(shape) < 2:
        expected = "uint8 (H, Wd, 3), the same for all frames, with at least 2 x 2 pixels"
        raise ShapeError(f"frame {k} is {image.dtype} {image.shape}; expected {expected}")

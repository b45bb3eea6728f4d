"""Small videos to serve: drawn ones with their true windows, odd names, a broken file, and one of two hours."""

import shutil
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from spikemba.datasets.annotations import write_annotations
from spikemba.datasets.synthetic.drawing import draw_stage, render
from spikemba.datasets.synthetic.shapes import FPS, annotate, storyboard
from spikemba.video.files import write_video

EXAMPLE = Path(__file__).parents[2] / "examples" / "shapes.mp4"
ODD_NAME = "映画 & 'a b' %2F#1.mp4"
"""A file name that has to be written with care into an address, and shown as it is."""
TWO_HOURS_S = 7200


def draw_films(folder: Path) -> Path:
    """Files to serve in `folder`; returns the annotations of the drawn one, which lie beside it.

    shapes.mp4, the example; more/<id>.mp4, drawn with five sentences; the odd name; truncated.mp4, which is no video.
    """
    (folder / "more").mkdir(parents=True)
    shutil.copy(EXAMPLE, folder / "shapes.mp4")
    board = storyboard(41)
    drawn = folder / "more" / f"{board.video_id}.mp4"
    write_video(drawn, render(board), FPS)
    shutil.copy(drawn, folder / ODD_NAME)
    (folder / "truncated.mp4").write_bytes(EXAMPLE.read_bytes()[:3000])
    rows = annotate(board, 1)
    truth = folder.parent / "truth.jsonl"
    write_annotations(truth, rows)
    return truth


def draw_long(path: Path, seconds: int = TWO_HOURS_S) -> Path:
    """A long file, written in a moment: a picture per second, a key frame per minute, another scene every ten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=1, options={"preset": "ultrafast", "crf": "40", "g": "60"})
        stream.width, stream.height, stream.pix_fmt, stream.thread_count = 64, 64, "yuv420p", 1
        stages = [_stage(k) for k in range(12)]
        for second in range(seconds):
            frame = av.VideoFrame.from_ndarray(stages[second // 600 % 12])
            frame.pts = second
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def _stage(k: int) -> NDArray[np.uint8]:
    """The k-th of twelve pictures, (64, 64, 3)."""
    return np.asarray(draw_stage((10 + 18 * k, 20, 220 - 18 * k), 64))

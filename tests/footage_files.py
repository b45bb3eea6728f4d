"""Small files of any rate, timecode and sound, and answers about them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment


def write_footage(path, fps, *, seconds=6, timecode=None, channels=0, times=None):
    """A .mov or .mkv of grey pictures at a rate, or at uneven `times` in seconds, with silence on some channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fps = Fraction(fps)
    tick = 1 / fps if times is None else Fraction(1, 3000)
    with av.open(str(path), "w") as file:
        video = file.add_stream("mjpeg", rate=fps)
        video.width, video.height, video.pix_fmt = 32, 32, "yuvj420p"
        video.codec_context.time_base = tick
        if timecode:
            video.metadata["timecode"] = timecode
        if channels:
            layout = {1: "mono", 2: "stereo"}[channels]
            sound = file.add_stream("pcm_s16le", rate=48000, layout=layout)
            silence = np.zeros((1, round(seconds * 48000) * channels), np.int16)
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout=layout)
            frame.rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
            file.mux([*sound.encode(frame), *sound.encode(None)])
        image = av.VideoFrame(32, 32, "yuvj420p")
        for plane in image.planes:
            plane.update(bytes([128]) * plane.buffer_size)
        for time in times or [k / fps for k in range(max(1, round(seconds * fps)))]:
            image.pts, image.time_base = round(time / tick), tick
            file.mux(video.encode(image))
        file.mux(video.encode(None))
    return path


def answered(video, query, duration_s, *moments):
    """What a question found: (start_s, end_s, score) each."""
    none = np.zeros(3, np.float32)
    answer = Answer(tuple(Moment(*m) for m in moments), none, none, (), np.zeros((3, 1), bool))
    return Grounding(Path(video), query, duration_s, 2.0, answer, "m")

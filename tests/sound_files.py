"""Small videos whose sound is known: tones at known seconds, in any format, rate, layout and offset."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def tone(hz, rate_hz, seconds, at=(), loud=0.5):
    """(n,) float32 samples: silence, and a tone from and to the seconds of each pair in `at`."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    there = np.zeros(len(times), bool)
    for start_s, end_s in at:
        there |= (times >= start_s) & (times < end_s)
    return (loud * np.sin(2 * np.pi * hz * times) * there).astype(np.float32)


def write_sound_video(
    path,
    samples=None,
    *,
    seconds=8,
    rate_hz=16000,
    layout="mono",
    codec="pcm_s16le",
    form="s16",
    sound_at_s=0.0,
    picture_at_s=0.0,
    gap=None,
    fps=10,
):
    """A grey video with a sound track; .mov, .mkv and .mp4 (there with codec aac and form fltp).

    samples: (n,) of one channel, given to all, or (channels, n); None: no track.  sound_at_s, picture_at_s: when the
    first sample and picture stand.  gap: (start_s, end_s) of the samples' time that is left out of the file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = None if samples is None else file.add_stream(codec, rate=rate_hz, layout=layout)
        packets = []
        if sound is not None:
            for frame in _frames(samples, rate_hz, layout, form, sound_at_s, gap):
                packets += sound.encode(frame)
            packets += sound.encode(None)
        image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 128, np.uint8))
        for k in range(round(seconds * fps)):
            image.pts, image.time_base = k + round(picture_at_s * fps), Fraction(1, fps)
            packets += video.encode(image)
        packets += video.encode(None)
        file.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def _frames(samples, rate_hz, layout, form, at_s, gap):
    n_channels = av.AudioLayout(layout).nb_channels
    samples = np.broadcast_to(samples, (n_channels, np.shape(samples)[-1]))
    kind, scale, zero = {
        "u8": (np.uint8, 127, 128),
        "s16": (np.int16, 2**15 - 1, 0),
        "s32": (np.int32, 2**31 - 1, 0),
        "flt": (np.float32, 1, 0),
        "fltp": (np.float32, 1, 0),
        "dbl": (np.float64, 1, 0),
    }[form]
    values = np.rint(samples.astype(np.float64) * scale + zero) if scale != 1 else samples
    step = 1024
    for first in range(0, samples.shape[1], step):
        if gap and gap[0] <= first / rate_hz < gap[1]:
            continue
        part = values[:, first : first + step].astype(kind)
        part = part if form.endswith("p") else part.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format=form, layout=layout)
        frame.rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
        frame.pts = first + round(at_s * rate_hz)
        yield frame

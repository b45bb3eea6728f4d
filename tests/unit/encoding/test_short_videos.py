"""Very short videos, which the published pipelines read more often, and files that only say that they are short."""

from dataclasses import replace

import numpy as np
import pytest

from spikemba.encoding import videos as module
from spikemba.encoding.videos import encode_video
from spikemba.features import row_length_s
from spikemba.video.clips import ClipRule, published_fps
from spikemba.video.sampling import FrameRule, VideoReader


class AsPublished:
    """An encoder that takes the frames of the published CLIP features; a row is the frame's brightness."""

    name, dim, weights, frames_per_clip = "published", 1, "0" * 64, 1

    def frame_rule(self, clip_s):
        return FrameRule(fps=1 / clip_s, size_px=16)

    def clip_rule(self, clip_s, source):
        return ClipRule(FrameRule(published_fps(1 / clip_s, source), 16), 1)

    def encode_clips(self, frames):
        return frames.reshape(len(frames), -1).mean(1, keepdims=True).astype(np.float32)


def brightening(n, fps=10):
    """Seconds of a picture that is brighter with every frame."""
    return [np.full((16, 16, 3), round(255 * k / (n * fps)), np.uint8) for k in range(n * fps)]


@pytest.mark.parametrize(("seconds", "n_rows"), [(1, 2), (2, 2), (3, 2), (20, 10)])
@pytest.mark.parametrize("declared_s", [None, 0.4, 1.0, 2.0])
def test_a_header_that_lies_about_the_length_changes_no_time(make_video, monkeypatch, seconds, n_rows, declared_s):
    path = make_video("v.mp4", brightening(seconds))
    if declared_s is not None and seconds > 2:

        class Lying(VideoReader):
            def __init__(self, *given, **how):
                super().__init__(*given, **how)
                self.info = replace(self.info, duration_s=declared_s)

        monkeypatch.setattr(module, "VideoReader", Lying)
    found = encode_video(path, [AsPublished()], 2.0)
    assert found.duration_s == pytest.approx(seconds)
    assert len(found.features[0]) == n_rows
    row_s = row_length_s(n_rows, found.duration_s, 2.0)
    middles = (np.arange(n_rows) + 0.5) * row_s
    shown = found.features[0][:, 0] / 255 * seconds
    np.testing.assert_allclose(shown[:-1], middles[:-1], atol=0.5)


@pytest.mark.parametrize(
    ("n_rows", "duration_s", "row_s"),
    [(2, 2.0, 1.0), (2, 2.09, 1.045), (2, 1.0, 0.5), (1, 1.0, 2.0), (1, 2.0, 2.0), (2, 2.2, 2.0), (75, 150.0, 2.0)],
)
def test_rows_share_the_time_of_a_video_that_has_too_many(n_rows, duration_s, row_s):
    assert row_length_s(n_rows, duration_s, 2.0) == row_s

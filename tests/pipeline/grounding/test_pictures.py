"""Pictures of the answers: words as they are, frames in their shape, ranks that can be read, times with a unit."""

import logging
import re

import av
import numpy as np
import pytest

from pipelines.grounding import lettering as letters
from pipelines.grounding.timeline import _in_lanes, _strip, draw_timeline, frames_over
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment
from spikemba.video import decoding


def answer(video, query, duration_s=5.0):
    saliency = np.linspace(0, 1, max(1, int(duration_s / 2)), dtype=np.float32)
    spikes = np.zeros((len(saliency), 1), bool)
    return Grounding(
        video, query, duration_s, 2.0, Answer((Moment(1.0, 2.0, 0.9),), saliency, saliency, (), spikes), "m"
    )


def grey(n, height=64, width=64):
    return [np.full((height, width, 3), 5 * k, np.uint8) for k in range(n)]


@pytest.mark.parametrize(
    "query",
    [
        "he pays $5 and then $10",
        "Ba$$in plays",
        r"price $\frac and $5",
        "a\nb\x00\x07c",
        "\ud800 half",
        "x" * 900,
        "$",
        "  ",
    ],
)
def test_any_sentence_is_drawn_letter_by_letter(make_video, tmp_path, query):
    draw_timeline(tmp_path / "a.svg", [answer(make_video("$a_b$ {c}.mp4", grey(20)), query)])
    text = (tmp_path / "a.svg").read_text("utf-8")
    assert not re.search("STIX|Italic|Oblique", text)


def test_scripts_have_fonts_or_it_is_said_once(make_video, tmp_path, caplog, recwarn):
    video = make_video("a.mp4", grey(20))
    private = "\U0001f9ff"  # no font of matplotlib's has it
    letters._warn_once.cache_clear()
    letters._fonts_for.cache_clear()
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING, "spikemba"):
        patch.setattr(letters, "_candidates", list)
        for _ in range(2):
            draw_timeline(tmp_path / "a.png", [answer(video, f"a charm {private}")])
    letters._fonts_for.cache_clear()
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert private in said[0]
    assert not [one for one in recwarn if "Glyph" in str(one.message)]


def test_a_font_is_found_for_letters_that_the_usual_one_lacks():
    fonts, missing = letters._fonts_for(frozenset("aд"))
    assert (fonts, missing) == (["DejaVu Sans"], frozenset())
    fonts, missing = letters._fonts_for(frozenset("a洋"))
    assert len(fonts) == (1 if missing else 2)


def test_long_sentences_wrap_between_words_and_wide_letters():
    assert letters.wrapped("one two three four", 9) == "one two\nthree\nfour"
    assert letters.wrapped("洋葱洋葱洋葱", 4) == "洋葱\n洋葱\n洋葱"
    assert letters.wrapped("abcdefgh", 4) == "abcd\nefgh"
    assert letters.wrapped("a " * 100, 10).endswith(" …")
    assert letters.wrapped("a " * 100, 10).count("\n") == 4
    assert letters.shortened("abcdefghijkl", 6) == "ab…kl"


def test_ranks_of_moments_that_begin_together_stand_below_each_other():
    moments = [Moment(10, 20, 0.9), Moment(10.2, 30, 0.8), Moment(50, 60, 0.7), Moment(10.1, 12, 0.6)]
    assert [(rank, lane) for rank, lane, _ in _in_lanes(moments, 100)] == [(1, 0), (2, 1), (3, 0), (4, 2)]
    assert len(_in_lanes([Moment(1, 2, 0.5)] * 50, 100)) == 6


def test_long_files_are_read_in_hours_minutes_and_seconds(make_video, tmp_path):
    video = make_video("a.mp4", grey(20))
    for duration_s, unit in ((5.0, "seconds of a.mp4"), (4000.0, "h:mm:ss of a.mp4")):
        draw_timeline(tmp_path / "a.svg", [answer(video, "a dog", duration_s)])
        assert unit in (tmp_path / "a.svg").read_text("utf-8")


@pytest.mark.parametrize("duration_s", [4.0, 4.02, 4.023, 3.98, 4.1, 3.7, 1.333])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_a_strip_has_all_its_frames_at_any_length(make_video, name, duration_s):
    images = frames_over(make_video(name, grey(40), audio_s=4), duration_s, n=8)
    levels = [int(image.mean()) for image in images]
    assert len(levels) == 8
    assert levels == sorted(levels)
    assert len(set(levels)) == 8


def test_a_file_that_cannot_be_sought_is_read_once_for_the_strip(make_video, monkeypatch):
    path, passes, decoded = make_video("a.ts", grey(40)), [], decoding.decoded
    monkeypatch.setattr(decoding, "decoded", lambda *a: passes.append(1) or decoded(*a))
    frames_over(path, 4.0, n=8)
    assert len(passes) <= 1  # the first look at the file is the reader's own


def test_frames_keep_their_shape(tmp_path):
    for width, height, aspect in ((96, 48, 1), (48, 96, 1), (48, 48, 2)):
        path = tmp_path / "a.mp4"
        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.sample_aspect_ratio = aspect
            for image in grey(20, height, width):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            file.mux(stream.encode(None))
        images, pixel_aspect = _strip(path, 2.0)
        assert pixel_aspect == aspect
        shape = images[0].shape[1] * pixel_aspect / images[0].shape[0]
        assert shape == pytest.approx(width * aspect / height, rel=0.03)
        assert len(images) == {2.0: 5, 0.5: 20}[width * aspect / height]

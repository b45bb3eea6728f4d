"""What a format cannot hold of some answers: said by the command and by the page in the same words."""

import json
from pathlib import Path

import numpy as np
import pytest
from page_modules import evaluated

from pipelines.grounding.formats import FORMATS
from pipelines.grounding.losses import EMPTY_ALLOWED, note_of
from spikemba.grounder.result import Grounding
from spikemba.grounding import Answer
from spikemba.moments import Moment

FIVE = [(22, 26, 0.9), (20, 23, 0.5), (25, 30, 0.4), (26, 27.5, 0.3), (40, 42, 0.2)]
"""The best overlaps the second and the third, the third the fourth: without the two, three lie apart."""
APART = [(0, 1, 0.5), (1, 2, 0.5)]


def found(windows, name="a.mp4"):
    none = np.zeros(3, np.float32)
    answer = Answer(tuple(Moment(*one) for one in windows), none, none, (), np.zeros((3, 1), np.bool_), 0.4)
    return Grounding(Path(name), "a dog", 60.0, 2.0, answer, "m", 0.0 if windows else 0.5)


LEFT_OUT = "overlapping moments are left out: 2 of 5"
CASES = [
    ("csv", None, [FIVE], None),
    ("json", None, [FIVE], None),
    ("markers.csv", None, [FIVE], None),
    ("edl", "markers", [FIVE], None),
    ("edl", None, [FIVE], f"{LEFT_OUT}; as markers all are there"),
    ("markers.csv", "cut", [FIVE], f"{LEFT_OUT}; as markers all are there"),
    ("chapters", None, [FIVE], LEFT_OUT),
    ("otio", None, [APART], None),
    ("srt", None, [APART], None),
    ("vtt", None, [FIVE], "captions of overlapping moments lie over one another: 4 of 5"),
    ("fcpxml", None, [FIVE, APART, []], "overlapping moments are left out: 2 of 7; as markers all are there"),
]


@pytest.mark.parametrize(("form", "shape", "videos", "said"), CASES)
def test_what_is_left_out_is_counted(form, shape, videos, said):
    assert note_of(form, [found(one, f"{k}.mp4") for k, one in enumerate(videos)], shape) == said


def test_the_page_says_the_same():
    asked = [[form, shape or "", [found(one).to_dict() for one in videos]] for form, shape, videos, _ in CASES]
    said = evaluated(f"{json.dumps(asked)}.map((one) => m.noteOf(...one))", "left_out.js")
    assert said == [case[3] for case in CASES]


def test_where_there_is_no_moment_only_tables_and_json_are_written():
    answers = [found([]).to_dict() | {"nothing": "no such moment (0.40)"}]
    said = evaluated(
        f"{json.dumps(list(FORMATS))}.map((one) => [one, m.nothingOf(one, {json.dumps(answers)})])", "left_out.js"
    )
    assert {form for form, why in said if why is None} == {*EMPTY_ALLOWED}
    assert dict(said)["srt"] == "Nothing to save: no such moment (0.40). CSV and JSON can hold that."

"""Trials in processes of their own: whatever one does, the others are tried."""

import json

import pytest
from broken_packages import put_package

from pipelines.doctor import processes as probing
from pipelines.doctor.processes import try_all

TRIALS = """
import os, signal, time
from pipelines.doctor.processes import Absent

def works(word=""):
    print("noise on stdout")
    return f"did {word}".strip()

def has_torch():
    import sys
    return str("torch" in sys.modules)

def raises():
    raise ValueError("two\\nlines")

def absent():
    raise Absent("not here")

def aborts():
    os.abort()

def killed():
    os.kill(os.getpid(), signal.SIGKILL)

def leaves():
    os._exit(0)

def hangs():
    time.sleep(3600)
"""

ENDS = {
    "works": ("ok", "did"),
    "works(it)": ("ok", "did it"),
    "raises": ("fault", "ValueError: two lines"),
    "absent": ("absent", "not here"),
    "aborts": ("fault", "killed its process by SIGABRT (Fatal Python error: Aborted)"),
    "killed": ("fault", "killed its process by SIGKILL"),
    "leaves": ("fault", "ended its process with exit code 0"),
    "no_such_function": ("fault", "AttributeError: module 'trials_one' has no attribute 'no_such_function'"),
}


@pytest.fixture
def first(tmp_path, monkeypatch):
    """A folder that is first on the path, with the trials in it."""
    (tmp_path / "trials_one.py").write_text(TRIALS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def ends(*names, **how):
    found = try_all([f"trials_one:{name}" for name in names], **how)
    return {place.partition(":")[2]: (outcome.state, outcome.detail) for place, outcome in found.items()}


@pytest.mark.parametrize(("few", "imported"), [(0, "True"), (100, "False")], ids=["forked", "alone"])
def test_a_trial_that_dies_takes_no_other_with_it(first, monkeypatch, few, imported):
    monkeypatch.setattr(probing, "FEW", few)
    assert ends(*ENDS, "has_torch") == {**ENDS, "has_torch": ("ok", imported)}


@pytest.mark.parametrize("body", ["import os; os.abort()", "raise OSError('broken')"])
def test_where_the_common_imports_break_every_trial_starts_from_nothing(first, monkeypatch, body):
    monkeypatch.setattr(probing, "FEW", 0)
    put_package(first, "torch", body)
    assert ends("works", "has_torch") == {"works": ("ok", "did"), "has_torch": ("ok", "False")}


def test_a_trial_that_hangs_is_ended_and_called_slow(first):
    ((state, detail),) = ends("hangs", limit_s=0.5).values()
    assert state == "slow"
    assert detail.startswith("no answer in ")


class Stuck:
    """A process that never ends by itself."""

    pid = 0

    def poll(self):
        return None

    def kill(self):
        pass

    def wait(self):
        pass


def test_where_several_gave_no_answer_the_others_get_a_part_of_the_time(tmp_path, monkeypatch):
    allowed = []

    class Impatient:
        def __init__(self, limit_s, _):
            allowed.append(limit_s)

        def is_over(self):
            return True

        def __str__(self):
            return "no answer"

    monkeypatch.setattr(probing, "Patience", Impatient)
    monkeypatch.setattr(probing, "_at_once", lambda: 1)
    monkeypatch.setattr(probing, "TICK_S", 0)
    probing._run(tmp_path, [f"m:{i}" for i in range(5)], 60.0, lambda place: Stuck())
    assert allowed == [60.0, 60.0, 60.0, 10.0, 10.0]
    assert {json.loads(path.read_text())["state"] for path in tmp_path.glob("*.json")} == {"slow"}


def test_what_is_tried_is_counted_as_it_goes(first):
    told = []
    try_all(["trials_one:works", "trials_one:absent"], report=lambda done, total: told.append((done, total)))
    assert told[-1] == (2, 2)
    assert sorted(told) == told


def test_a_package_at_fault_is_named(first):
    put_package(first, "broken_one", "raise OSError('no')")
    (first / "trials_three.py").write_text("def tries():\n    import broken_one\n")
    (outcome,) = try_all(["trials_three:tries"]).values()
    assert (outcome.detail, outcome.broken) == ("OSError: no", "broken_one")

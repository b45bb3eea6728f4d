"""How long a trial is waited for: one that is starved goes on, one that does nothing or too much is ended."""

import os
import subprocess
import sys

import pytest

from pipelines.doctor import patience
from pipelines.doctor.patience import MOST, UNSEEN, Patience, computed_s

LIMIT_S = 60.0


def ends_after(computed, limit_s=LIMIT_S):
    """Seconds after which a process is ended that has computed `computed(t)` by then; looked at every second."""
    now = [0.0]
    one = Patience(limit_s, lambda: computed(now[0]), lambda: now[0])
    while not one.is_over():
        now[0] += 1.0
        assert now[0] < 10_000
    return now[0]


@pytest.mark.parametrize(
    ("computed", "seconds"),
    [
        (lambda t: t, LIMIT_S),  # it never ends
        (lambda t: 16 * t, LIMIT_S),  # many threads are no reason to be short with it
        (lambda t: min(t, 6.0), LIMIT_S + 6.0),  # it waits for something that never comes
        (lambda t: t / 4, 4 * LIMIT_S),  # three others want the processor
        (lambda t: t / 100, MOST * LIMIT_S),
        (lambda t: None, UNSEEN * LIMIT_S),
    ],
    ids=["endless", "threads", "stuck", "busy", "starved", "unseen"],
)
def test_a_process_is_given_up_by_what_it_computes(computed, seconds):
    assert ends_after(computed) == pytest.approx(seconds, abs=LIMIT_S / 20 + 1)


def test_what_is_said_names_the_wait_the_computing_and_the_load(monkeypatch):
    monkeypatch.setattr(patience.os, "getloadavg", lambda: (12.04, 0, 0))
    monkeypatch.setattr(patience.os, "cpu_count", lambda: 2)
    now = [0.0]
    one = Patience(LIMIT_S, lambda: 2.5, lambda: now[0])
    now[0] = 90.0
    assert not one.is_over()
    assert str(one) == "no answer in 90 s, of which it computed for 2.5 s; 12.0 programs want the 2 processors"


CHILDLESS = """
import os
from pipelines.doctor.patience import computed_s
sum(range(5_000_000))
before, counted, after = os.times(), computed_s(os.getpid()), os.times()
print(sum(before[:4]), counted, sum(after[:4]))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="the system does not tell")  # noqa: PTH110
def test_what_a_process_has_computed_is_the_systems_own_count():
    """In a process of its own: this one may have children that other tests have left."""
    done = subprocess.run([sys.executable, "-c", CHILDLESS], capture_output=True, text=True, check=True)
    before, counted, after = map(float, done.stdout.split())
    tick = 2 / os.sysconf("SC_CLK_TCK")
    assert 0 < before - tick <= counted <= after + tick
    assert computed_s(2**22 + 1) is None

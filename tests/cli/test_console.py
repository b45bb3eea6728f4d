"""What is printed for people: warnings of the library, and of a fault of this program where it is."""

import logging

import pytest

from spikemba.errors import SpikeMbaError
from spikemba_cli.console import _Warnings


def told(error):
    """Logs a record about an error as the server does."""
    record = logging.LogRecord("spikemba", logging.ERROR, __file__, 1, "GET /api/x failed", (), None)
    try:
        raise error
    except Exception as caught:
        record.exc_info = (type(caught), caught, caught.__traceback__)
    _Warnings().emit(record)


def test_a_fault_of_this_program_is_shown_with_its_place(capfd):
    told(ValueError("[bold] a bug"))
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("warning: GET /api/x failed\nTraceback (most recent call last):\n")
    assert "test_console.py" in err
    assert err.endswith("ValueError: [bold] a bug\n")


@pytest.mark.parametrize("error", [SpikeMbaError("it cannot be")])
def test_what_a_person_can_mend_has_no_place(error, capfd):
    told(error)
    assert capfd.readouterr().err == "warning: GET /api/x failed\n"

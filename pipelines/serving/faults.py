"""What a caller of the service did or met, told apart so that the web can answer each by its own number."""

from spikemba.errors import SpikeMbaError


class NotThere(SpikeMbaError):
    """Nothing is called that: a video, a question, a cut."""


class NotNow(SpikeMbaError):
    """It cannot be done yet, or no more; the message says what must come first."""


class Busy(SpikeMbaError):
    """Too much is asked for already; the same call works later."""


class TooLarge(SpikeMbaError):
    """A call carries more than is taken."""


class NotOurs(SpikeMbaError):
    """A call of a form that is not taken, such as a body that is not JSON."""

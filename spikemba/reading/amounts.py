"""Numbers as people read them, in tables and on pages: scores, and times beside their seconds."""

MINUTE_S = 60.0
"""From here on a time is read as minutes and hours."""


def shown_score(score: float, digits: int = 3) -> str:
    """A score in [0, 1]: `0.939`; one that would read 0.000 and is not nothing is `<0.001`."""
    least = 10.0**-digits
    return f"<{least:.{digits}f}" if 0 < score < least / 2 else f"{score:.{digits}f}"


def clock(seconds: float) -> str:
    """`0:21`, `12:05`, `1:02:03`: minutes and seconds, with hours where there are any; whole seconds."""
    whole = round(max(0.0, seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def clock_span(start_s: float, end_s: float) -> str:
    """`12:05-12:11`."""
    return f"{clock(start_s)}-{clock(end_s)}"


def seconds_span(start_s: float, end_s: float) -> str:
    """`21.3 to 25.8 s`; from a minute on with the clock: `3723.0 to 3728.0 s (1:02:03-1:02:08)`."""
    beside = f" ({clock_span(start_s, end_s)})" if end_s >= MINUTE_S else ""
    return f"{start_s:.1f} to {end_s:.1f} s{beside}"

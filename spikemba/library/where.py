"""`--where`: a condition in SQL on the videos' columns, which can do nothing but choose videos."""

import re
import sqlite3
import time
from pathlib import Path

from spikemba.errors import LibraryError
from spikemba.library.address import Address
from spikemba.library.schema import connect_to_read

COLUMNS = ("path", "name", "size", "duration_s", "added_s", "mtime_ns", "digest", "id")
"""What a condition may ask about."""
_CALLS = (
    "like glob lower upper length substr substring instr abs round min max coalesce ifnull nullif iif trim ltrim rtrim "
    "replace typeof unicode date time datetime julianday strftime unixepoch"
)
FUNCTIONS = frozenset(_CALLS.split())
"""What it may call: nothing that makes much out of little, or reads files."""
PATIENCE_S = 10.0
"""A condition that takes longer is broken off."""


def videos_where(folder: Path, condition: str, library: Address | None = None) -> list[int]:
    """Ids of the videos, in order, that could be read and that a condition is true of.

    Such as `path LIKE '%/2024/%' AND duration_s > 60`. It is run on a connection that cannot write and sees nothing
    but COLUMNS and FUNCTIONS.
    library: what to call it, where the folder is not its own. Raises LibraryError that says what is wrong with it.
    """
    shown = library or folder
    if not condition.strip():
        raise _refused(shown, condition, "it is empty")
    connection = connect_to_read(folder)
    until = time.monotonic() + PATIENCE_S
    try:
        connection.set_authorizer(_authorized)
        connection.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        # behind a line break, so that a comment at its end hides nothing of ours
        rows = connection.execute(f"SELECT id FROM videos WHERE problem IS NULL AND ({condition}\n) ORDER BY id")
        return [int(id_) for (id_,) in rows]
    except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError) as error:
        late = time.monotonic() > until
        problem = f"it takes longer than {PATIENCE_S:g} s" if late else _in_its_terms(connection, condition, error)
        raise _refused(shown, condition, problem) from None
    finally:
        connection.close()


_OPEN = re.compile(r"""unrecognized token: "(x?)(['"`\[])(.*)"$""", re.IGNORECASE | re.DOTALL)
"""What SQLite says of a quote or bracket that is not closed, and of x'..' that holds no bytes: then a quote is last."""


def _in_its_terms(connection: sqlite3.Connection, condition: str, error: Exception) -> str:
    """What SQLite says of a condition, in one line and without what stands around it."""
    text = str(error)
    if text.startswith("not authorized to use function: "):
        return f"it may not call {text.rpartition(' ')[2]}"
    if text.startswith(("not authorized", "access to ")):
        return "it asks about more than the columns of the videos"
    try:  # what was said may be of our text behind it, which a quote or a bracket takes in
        connection.execute(f"SELECT id FROM videos WHERE {condition}")
    except (sqlite3.Error, sqlite3.Warning, ValueError, UnicodeError) as alone:
        text = str(alone)
    else:
        if text == "incomplete input":  # only a comment hides what is behind it
            return "its /* is never closed"
    if (found := _OPEN.match(text)) and not (found[1] and found[3].endswith(found[2])):
        return f"its {found[2]} is never closed"
    return "it ends too early" if text == "incomplete input" else " ".join(text.split())


def _authorized(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first == "videos" and second in (*COLUMNS, "problem", ""):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _refused(folder: Address, condition: str, problem: str) -> LibraryError:
    shown = condition if len(condition) <= 60 else condition[:59] + "…"
    example = "expected SQL such as --where \"path LIKE '%holiday%' AND duration_s > 60\""
    return LibraryError(folder, f"--where {shown!r}: {problem}", f"{example}; columns are {', '.join(COLUMNS)}")

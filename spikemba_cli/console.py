"""Where things are printed: results to stdout, all else to stderr; bars on a terminal, a line a minute elsewhere."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

from spikemba.errors import SpikeMbaError
from spikemba.files import json_text
from spikemba.reading.printable import one_cell, printable, utf8_text
from spikemba_cli.pace import Lines, Pace, Progress


class _SafeConsole(Console):
    """A console on which names and messages out of files show what they hold, and do nothing to the terminal."""

    def print(self, *objects: Any, **how: Any) -> None:
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **how)


# square brackets in a name are no markup: what is styled says so
out = _SafeConsole(highlight=False, soft_wrap=True, markup=False)
err = _SafeConsole(stderr=True, highlight=False, soft_wrap=True, markup=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json_text(document, sys.stdout.encoding or "utf-8"))


def print_text(text: str) -> None:
    """Text as it is on stdout; what its encoding has no sign for is escaped, and on a terminal what would steer it."""
    encoding, shown = sys.stdout.encoding or "utf-8", printable(text) if out.is_terminal else utf8_text(text)
    sys.stdout.write(shown.encode(encoding, "backslashreplace").decode(encoding))


def print_error(message: str) -> None:
    """One fault on stderr."""
    err.print(f"[bold red]error[/]: {_plain(message)}", markup=True)


def print_warning(message: str) -> None:
    """Something to look at, on stderr."""
    err.print(f"[yellow]warning[/]: {_plain(message)}", markup=True)


class _Warnings(logging.Handler):
    """Prints what the library has to say, and of a fault of this program where it is."""

    def emit(self, record: logging.LogRecord) -> None:
        print_warning(record.getMessage())
        fault = record.exc_info[1] if record.exc_info else None
        if fault is not None and not isinstance(fault, SpikeMbaError):
            print_line("".join(traceback.format_exception(fault)).rstrip())


def show_warnings() -> None:
    """Print the library's warnings as this program's own."""
    log = logging.getLogger("spikemba")
    if not any(isinstance(handler, _Warnings) for handler in log.handlers):
        log.addHandler(_Warnings(logging.WARNING))


def print_note(message: str) -> None:
    """What is going on, on stderr."""
    err.print(f"[dim]{_plain(message)}[/]", markup=True)


def print_line(message: str) -> None:
    """A line on stderr, as it is: square brackets are no markup."""
    err.print(message)


def print_table(title: str, columns: list[str], rows: list[list[str]], styles: list[str] | None = None) -> None:
    """A table on stdout; in a pipe, tab-separated lines under a line of column names.

    styles: the look of each row on a terminal, in rich's words.
    """
    if not out.is_terminal:
        for row in [columns, *rows]:
            sys.stdout.write("\t".join(map(one_cell, row)) + "\n")
        return
    from spikemba_cli.tables import table

    cells = [list(map(one_cell, row)) for row in rows]
    out.print(table(title, columns, cells, styles or [""] * len(rows), out.width))


@contextmanager
def progress(title: str, unit: str, part: str = "") -> "Iterator[Progress]":
    """Yield what counts units of work, such as videos, and their parts, such as clips: with its rate and time left.

    On a terminal it draws a bar; elsewhere, with --json too, it says a plain line on stderr whenever a minute is over.
    """
    if not err.is_interactive:
        yield Progress(Lines(print_line), title, unit, part)
        return
    from rich import progress as rich

    columns = rich.TextColumn("{task.description}"), rich.BarColumn(20), rich.TextColumn("{task.fields[said]}")
    with rich.Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(_plain(title), total=None, said="")

        def show(title: str, pace: Pace) -> None:
            total, said = pace.total or None, str(pace)
            bar.update(task, description=_plain(title), total=total, completed=pace.so_far, said=said)

        yield Progress(show, title, unit, part)


def _plain(text: str) -> str:
    """Text whose square brackets are not markup."""
    from rich.markup import escape

    return escape(text)

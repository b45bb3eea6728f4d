"""The page of the command line: every command, argument and option, as the program itself declares them."""

import inspect
import re
from collections.abc import Iterator
from typing import Any

from reference.markdown import code, plain, table
from typer.main import get_command

from spikemba_cli.main import app

HEAD = """\
# Commands

Every command with all of its options, read from the program; `spikemba COMMAND --help` says the same in a terminal.
Results go to stdout, everything else to stderr; `--json` prints one JSON document. Exit codes: 0 done, 1 an error to
mend (one line that says how), 2 wrong usage, 130 interrupted.

"""


_VALUES = {"str": "text", "int": "whole number", "float": "number", "list[str]": "text", "list[path]": "path"}
"""What typer calls a type -> what a reader does."""


def page() -> str:
    """The page as Markdown."""
    found = list(commands(get_command(app), "spikemba"))
    short = [[f"[`{name}`](#{_slug(name)})", plain(_said(one)[0])] for name, one in found]
    return HEAD + table(["command", "what it does"], short) + "".join(_command(name, one) for name, one in found)


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Each command that does something, with its whole name, in the order of --help."""
    context = group.make_context(name, [], resilient_parsing=True)
    for word in group.list_commands(context):
        one = group.get_command(context, word)
        if one is None or one.hidden:
            continue
        if hasattr(one, "list_commands"):
            yield from commands(one, f"{name} {word}")
        else:
            yield f"{name} {word}", one


def _command(name: str, command: Any) -> str:
    first, rest = _said(command)
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"\n## {name}\n\n{plain(first)}\n", f"\n```text\n{usage}\n```\n", _prose(rest)]
    for kind in ("argument", "option"):
        rows = [_row(one, context) for one in shown if one.param_type_name == kind]
        if rows:
            parts.append(table([kind, "meaning, values, default"], rows))
    return "".join(parts)


def _said(command: Any) -> tuple[str, str]:
    """The first paragraph of what a command says of itself, and the others."""
    first, _, rest = inspect.cleandoc(command.help or "").partition("\n\n")
    return first, rest


def _prose(text: str) -> str:
    """Paragraphs; an example is a command to copy."""
    parts = []
    for paragraph in filter(None, text.split("\n\n")):
        before, example, command = paragraph.partition("Example: ")
        parts.append(f"\n{plain(before)}\n" if before.strip() else "")
        if example:
            parts.append(f"\n```sh\n{command.strip()}\n```\n")
    return "".join(parts)


def _row(parameter: Any, context: Any) -> list[str]:
    """Names and meaning, of what --help prints: `--top <int range>`, `How many. [default: 5; x>=1]`."""
    declared, said = parameter.get_help_record(context)
    words = declared.split(" ")
    n_names = next((i for i, word in enumerate(words) if i and not re.match(r"-|/$", word)), len(words))
    names = [word.strip(",") for word in words[:n_names] if word != "/"]
    values = " ".join(words[n_names:]).strip("<>").removesuffix(" range")
    help_text = " ".join((parameter.help or "").split())
    beside = " ".join(said.split()).removeprefix(help_text).strip(" []")
    shown = ", ".join(map(code, names))
    choices = ", ".join(map(code, values.split("|"))) if "|" in values else plain(_VALUES.get(values, values))
    facts = "; ".join(one for one in (choices, plain(beside)) if one)
    return [shown, plain(help_text) + (f" <small>{facts}</small>" if facts else "")]


def _slug(name: str) -> str:
    return name.replace(" ", "-")

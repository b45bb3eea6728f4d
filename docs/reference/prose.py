"""Docstrings for mkdocstrings: ours are plain text, whose lines mean something and whose signs mean nothing.

A line that begins with arguments (`x, delta: (B, L, E)`), Returns, Raises or Source begins anew in the page.
"""

import re

import griffe

_BEGINS = re.compile(r"(?:[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*:  ?\S|Returns |Raises |Source: )")
_SPECIAL = re.compile(r"([\\*_\[\]|{}])")


class Prose(griffe.Extension):
    """Makes Markdown of every docstring when it is found."""

    def on_object(self, *, obj: griffe.Object, **kwargs: object) -> None:  # noqa: ARG002
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Paragraphs of plain text; code is what is indented or stands between backticks."""
    return "\n\n".join(_paragraph(one) for one in text.strip("\n").split("\n\n"))


def _paragraph(text: str) -> str:
    lines = text.splitlines()
    if all(line.startswith("    ") for line in lines):
        return text
    parts: list[str] = []
    for line in lines:
        if parts and _BEGINS.match(line):
            parts[-1] += "  "  # a hard break
        parts.append(_escaped(line.strip()))
    return "\n".join(parts)


def _escaped(line: str) -> str:
    pieces = re.split(r"(`[^`]+`)", line)
    return "".join(one if one.startswith("`") else _SPECIAL.sub(r"\\\1", one).replace("<", "&lt;") for one in pieces)

"""A self-contained HTML page in the house's look."""

import html
from collections.abc import Sequence

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem; color: #1f2937; }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .9rem; border-bottom: 1px solid #e5e7eb }
td + td, th + th { text-align: right; font-variant-numeric: tabular-nums } th { text-align: left }
img { width: 100%; border: 1px solid #e5e7eb; border-radius: 6px } .note { color: #6b7280 }
.picture svg { width: 100%; height: auto } pre { font-size: 13px; overflow-x: auto }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The whole page; parts are HTML, the title is text."""
    body = "\n".join([f"<h1>{html.escape(title)}</h1>", *parts])
    return (
        f"<!doctype html>\n<html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style>\n{body}\n</html>\n"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text cells."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"

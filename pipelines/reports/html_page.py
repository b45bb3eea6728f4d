"""A self-contained HTML page in the house's look: light and dark, wide and on a phone."""

import html
from collections.abc import Sequence

from spikemba.reading.printable import utf8_text

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1f2937; --soft: #5b6472; --line: #d6dae1; --tint: #f4f6f9;
  --true: #18794e; --said: #2563c9; --curve: #b45309; --fore: #6d4fc2; --bad: #b42318 }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --ink: #e6e9ef; --soft: #a3adbb; --line: #39414f;
  --tint: #1d232d; --true: #4cc38a; --said: #7aa8ff; --curve: #f0a35e; --fore: #b9a3ff; --bad: #ff8f80 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; background: var(--paper); color: var(--ink) }
main { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 4rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 1rem }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 0 0 .5rem } p { margin: .6rem 0; max-width: 48rem }
.wide { overflow-x: auto; margin: .8rem 0 } table { border-collapse: collapse }
td, th { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top }
td + td, th + th { text-align: right; font-variant-numeric: tabular-nums }
td, th { overflow-wrap: normal; white-space: nowrap }
td small { display: block; color: var(--soft); font-size: .85rem; white-space: normal; max-width: 42rem }
.note, .soft { color: var(--soft) } .lead { font-size: 1.25rem; line-height: 1.4 } .good { color: var(--true) }
.bad { color: var(--bad) } pre { font-size: 13px; overflow-x: auto }
.picture { background: #fff; border: 1px solid var(--line); border-radius: 6px }
.picture svg { width: 100%; height: auto; display: block }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
"""


def page(title: str, parts: Sequence[str], style: str = "") -> str:
    """The whole page; parts are HTML, the title is text.  style: more rules, behind those of the house."""
    body = "\n".join([f"<h1>{text(title)}</h1>", *parts])
    return (
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{text(title)}</title><style>{STYLE}{style}</style>\n<main>\n{body}\n</main>\n</html>\n"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str] = ()) -> str:
    """A table of text cells, none of which breaks; a wide one is moved by itself.

    words: what the first cell of each row means, below it.
    """
    head = "".join(f"<th scope='col'>{text(name)}</th>" for name in columns)
    below = [f"<small>{text(said)}</small>" if said else "" for said in words] or [""] * len(rows)
    body = "".join(
        f"<tr><td>{text(row[0])}{said}</td>" + "".join(f"<td>{text(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row, said in zip(rows, below, strict=True)
    )
    return f"<div class='wide' tabindex='0'><table><tr>{head}</tr>{body}</table></div>"


def text(words: str) -> str:
    """Words as HTML."""
    return html.escape(utf8_text(words))

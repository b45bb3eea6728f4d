"""The page of the settings: every key of every kind of training, as its class declares it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from reference.markdown import code, plain, table

from pipelines.runs.config import GROUNDING, config_names
from pipelines.tasks.registry import kind, kinds
from spikemba.config import Config
from spikemba.user_folders import Settings

HEAD = """\
# Settings

Every key of a configuration, with its values, its default and what it means. `spikemba config show NAME` prints them
with the values that a configuration has, `--set section.key=value` sets one, `spikemba config check FILE` reports all
faults at once. Values count in this order, the later over the earlier: defaults, preset, base, file, `--set`
([training](../training.md)). A unit stands in the name: `_s` seconds, `_px` pixels, `_gb` gigabytes, `_min` minutes.

"""
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥", "max_length": "length ≤"}
_WORDS = {int: "whole number", float: "number", str: "text", Path: "path", Any: "anything"}


def page() -> str:
    """The page as Markdown."""
    found: dict[tuple[str, type[Config]], list[str]] = {}
    for name in sorted(kinds(), key=lambda name: name != GROUNDING):
        for path, section in sections(kind(name).config):
            found.setdefault((path, section), []).append(name)
    # the three files as a whole, then what all of them have, then each section with those below it
    roots = list(dict.fromkeys(path.partition(".")[0] for path, _ in found))
    order = sorted(found, key=lambda one: roots.index(one[0].partition(".")[0]))
    parts = [HEAD, f"Configurations that come along: {', '.join(map(code, config_names()))}.\n"]
    for path, section in order:
        alone = sum(one == path for one, _ in found) == 1
        parts.append(_section(path, section, found[path, section], alone=alone))
    parts.append("\n## settings.yaml of the user\n\nIn the folder that `spikemba doctor` shows.\n")
    parts.append(_keys("", Settings, "user"))
    return "\n".join(parts)


def sections(section: type[Config], path: str = "") -> Iterator[tuple[str, type[Config]]]:
    """A section and those below it, each with its path, such as `model.slots`; the whole one has none."""
    yield path, section
    for name, field in section.model_fields.items():
        below = _section_of(field)
        if below is not None:
            yield from sections(below, f"{path}.{name}" if path else name)


def _section(path: str, section: type[Config], of: list[str], *, alone: bool) -> str:
    """A section with its keys. alone: whether no other kind has another one of that path."""
    said = plain((section.__doc__ or "").partition("\n\n")[0])
    if not path:
        return f"\n## task: {of[0]}\n\n{said}\n" + _keys(path, section, of[0])
    title = path if alone else f"{path} ({', '.join(of)})"
    where = f" Of {' and '.join(of)}." if alone and len(of) < len(kinds()) else ""
    return f"\n## {title}\n\n{said}{where}\n" + _keys(path, section, "" if alone else of[0])


def _keys(path: str, section: type[Config], beside: str) -> str:
    """Its keys, without the sections below it. beside: what tells them from keys of the same name on the page."""
    rows = []
    for name, field in section.model_fields.items():
        if _section_of(field) is not None and field.description is None:
            continue
        whole = f"{path}.{name}" if path else name
        anchor = f"{whole}.{beside}" if beside else whole
        facts = f"<small>{values(field)}; {_default(field)}</small>"
        rows.append([code(whole, anchor), f"{plain(field.description or '')} {facts}"])
    return table(["setting", "meaning, values, default"], rows) if rows else ""


def values(field: FieldInfo) -> str:
    """What a field takes, in words."""
    return ", ".join([_named(field.annotation), *_bounds(field.metadata)])


def _bounds(metadata: Iterable[Any]) -> list[str]:
    """`> 0`, `≤ 1`"""
    limits = [(sign, getattr(one, name, None)) for one in metadata for name, sign in _BOUNDS.items()]
    return [
        f"{sign} {f'{limit:,g}' if isinstance(limit, float) else limit}" for sign, limit in limits if limit is not None
    ]


def _default(field: FieldInfo) -> str:
    """What it is where nothing is said."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Config):
        return "default as below"
    if isinstance(value, list | tuple | dict) and not value:
        return "default empty"
    return f"default {code(value if isinstance(value, str) else json.dumps(value, default=str))}"


def _section_of(field: FieldInfo) -> type[Config] | None:
    for one in (field.annotation, *get_args(field.annotation)):
        if isinstance(one, type) and issubclass(one, Config):
            return one
    return None


def _named(annotation: Any) -> str:
    """A type in words: `a` or `b`, whole number, list of paths."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation is type(None):
        return "`null`"
    if annotation is bool:
        return "`true`, `false`"
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return "a section"
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Literal:
        return ", ".join(code(one) for one in inner)
    if origin in (Union, UnionType):
        return " or ".join(_named(one) for one in inner)
    if hasattr(annotation, "__metadata__"):  # Annotated, as pydantic's PositiveInt within another type
        return ", ".join([_named(inner[0]), *_bounds(annotation.__metadata__)])
    if origin is dict or str(origin).endswith("Mapping'>"):
        return f"mapping of {_named(inner[0])} to {_named(inner[1])}"
    if origin is tuple and Ellipsis not in inner:
        return f"[{', '.join(_named(one) for one in inner)}]".replace("[", "\\[").replace("]", "\\]")
    if origin in (list, tuple, set) or str(origin).endswith("Sequence'>"):
        return f"list of {_named(inner[0])}"
    return plain(getattr(annotation, "__name__", str(annotation)))

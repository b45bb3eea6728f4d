"""The page of the settings: every key of every kind of training, as its class declares it."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from reference.markdown import code, plain, table

from pipelines.runs.config import config_names
from pipelines.tasks.registry import kind, kinds
from spikemba.config import Config
from spikemba.user_folders import Settings

HEAD = """\
# Settings

Every key of a configuration, with its values, its default and what it means. `spikemba config show NAME` prints them with
the values that a configuration has, `--set section.key=value` sets one, `spikemba config check FILE` reports all faults at
once. Values count in this order, the later over the earlier: defaults, preset, base, file, `--set`
([training](../training.md)). A unit stands in the name: `_s` seconds, `_px` pixels, `_gb` gigabytes, `_min` minutes.

"""
_BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥", "max_length": "length ≤"}
_WORDS = {int: "whole number", float: "number", str: "text", Path: "path", Any: "anything"}


def page() -> str:
    """The page as Markdown."""
    found: dict[tuple[str, type[Config]], list[str]] = {}
    for name in kinds():
        for path, section in sections(kind(name).config):
            found.setdefault((path, section), []).append(name)
    own = [name for name in config_names() if name not in kinds()]
    parts = [HEAD, f"Configurations that come along: {', '.join(map(code, own))}.\n"]
    # what all kinds have in common first, then section by section
    order = sorted(found, key=lambda key: (key[0].partition(".")[0] == "", key[0].split(".")[0], len(found[key]) == 1))
    for path, section in sorted(order, key=lambda key: (key[0] != "", -len(found[key]), key[0])):
        parts.append(_section(path, section, found[path, section], several=_times(path, found) > 1))
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


def _times(path: str, found: dict[tuple[str, type[Config]], list[str]]) -> int:
    return sum(one == path for one, _ in found)


def _section(path: str, section: type[Config], of: list[str], *, several: bool) -> str:
    which = "" if len(of) == len(kinds()) else f" ({', '.join(of)})"
    title = f"{path}{which if several else ''}" if path else f"The whole: task {' and '.join(of)}"
    said = plain((section.__doc__ or "").partition("\n\n")[0])
    where = "" if several or not which or not path else f" Of {' and '.join(of)}."
    return f"\n## {title}\n\n{said}{where}\n" + _keys(path, section, of[0] if several or not path else "")


def _keys(path: str, section: type[Config], beside: str) -> str:
    rows = []
    for name, field in section.model_fields.items():
        if _section_of(field) is not None and field.description is None:
            continue
        whole = f"{path}.{name}" if path else name
        anchor = f"{whole}.{beside}" if beside else whole
        rows.append([code(whole, anchor), values(field), default(field), plain(field.description or "")])
    return table(["setting", "values", "default", "meaning"], rows) if rows else ""


def values(field: FieldInfo) -> str:
    """What a field takes, in words."""
    bounds = []
    for one in field.metadata:
        bounds += [f"{sign} {getattr(one, name)}" for name, sign in _BOUNDS.items() if getattr(one, name, None) is not None]
    return ", ".join([_named(field.annotation), *bounds])


def default(field: FieldInfo) -> str:
    """What it is where nothing is said."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Config):
        return "below"
    if isinstance(value, list | tuple | dict):
        return code(str(value).replace("'", "")) if value else "empty"
    return code("null" if value is None else str(value).lower() if isinstance(value, bool) else value)


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
        signs = [f"{sign} {getattr(one, name)}" for one in annotation.__metadata__ for name, sign in _BOUNDS.items()
                 if getattr(one, name, None) is not None]
        return ", ".join([_named(inner[0]), *signs])
    if origin is dict or str(origin).endswith("Mapping'>"):
        return f"mapping of {_named(inner[0])} to {_named(inner[1])}"
    if origin is tuple and Ellipsis not in inner:
        return f"[{', '.join(_named(one) for one in inner)}]".replace("[", "\\[").replace("]", "\\]")
    if origin in (list, tuple, set) or str(origin).endswith("Sequence'>"):
        return f"list of {_named(inner[0])}"
    return plain(getattr(annotation, "__name__", str(annotation)))

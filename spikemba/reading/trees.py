"""JSON and YAML with bounds: how deep they nest, how long a number is, how far the aliases of a YAML expand."""

import json
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from spikemba.reading.lines import read_text
from spikemba.reading.unreadable import Unreadable

MAX_DEPTH = 50
"""Lists and objects inside each other."""
MAX_YAML_VALUES = 100_000
"""Values of a YAML file, with every alias written out."""
MAX_YAML_CHARACTERS = 2_000_000
MAX_INTEGER = 2**63 - 1
"""Of either sign: what tensors, C and other JSON readers hold."""

_BRACKETS = re.compile(r"[\[\]{}]")
_LONG_NUMBER = re.compile(r"\d{19}")


def read_json(path: Path) -> Any:
    """The document in a file. Raises OSError, Unreadable."""
    return parse_json(read_text(path))


def parse_json(text: str) -> Any:
    """The document in a text. Raises Unreadable."""
    # the check of every whole number costs time, and only long ones can fail it
    number = _integer if _LONG_NUMBER.search(text) else None
    try:
        tree = json.loads(text, parse_int=number)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}" if "\n" in text.strip() else f"column {error.colno}"
        raise Unreadable(f"not JSON ({error.msg[:1].lower()}{error.msg[1:]} at {place})") from None
    except RecursionError:
        raise Unreadable(f"nests deeper than {MAX_DEPTH}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(tree)
    return tree


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-3` as text, because it has no dot; here it is a number, as everybody means it."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MAX_YAML_VALUES:  # each `<<` may double what it merges
            raise Unreadable(f"its `<<` merge more than {MAX_YAML_VALUES:,} values")


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*)(?:\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def parse_yaml(text: str) -> Any:
    """The document in a text. Raises Unreadable."""
    if len(text) > MAX_YAML_CHARACTERS:
        raise Unreadable(f"holds {len(text):,} characters; expected settings, of at most {MAX_YAML_CHARACTERS:,}")
    steps = (1 if mark in "[{" else -1 for mark in _BRACKETS.findall(text))
    if max(accumulate(steps), default=0) > 2 * MAX_DEPTH:  # PyYAML takes seconds to find that out
        raise Unreadable(f"nests deeper than {MAX_DEPTH}")
    try:
        tree = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise Unreadable(f"{line}{getattr(error, 'problem', None) or 'not YAML'}") from None
    except RecursionError:
        raise Unreadable(f"nests deeper than {MAX_DEPTH}") from None
    except (ValueError, OverflowError, TypeError, AttributeError, KeyError, IndexError) as error:
        # what PyYAML lets through: dates that are none, numbers of thousands of digits, tags on values of another kind
        raise Unreadable(f"holds a value that is none ({' '.join(str(error).split())[:100]})") from None
    _check_values(tree)
    return tree


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else None
    if number is None or not -MAX_INTEGER - 1 <= number <= MAX_INTEGER:
        raise Unreadable(f"holds a whole number of {len(digits.lstrip('-'))} digits; expected at most 19")
    return number


def _check_depth(tree: Any) -> None:
    """Level by level, as a walk that calls itself would fail where it must not."""
    level = [tree] if isinstance(tree, (list, dict)) else []
    for _ in range(MAX_DEPTH):
        inside = [one for of in level for one in (of.values() if isinstance(of, dict) else of)]
        level = [one for one in inside if isinstance(one, (list, dict))]
        if not level:
            return
    raise Unreadable(f"nests deeper than {MAX_DEPTH}")


def _check_values(tree: Any) -> None:
    """The same for YAML, whose aliases make a tree out of a few lines, or a circle."""
    level, seen = [tree], 1
    for _ in range(MAX_DEPTH + 1):
        inside: list[Any] = []
        for one in level:
            if isinstance(one, int) and not -MAX_INTEGER - 1 <= one <= MAX_INTEGER:
                raise Unreadable("holds a whole number of more than 19 digits")
            if isinstance(one, dict):
                inside += [*one.keys(), *one.values()]
            elif isinstance(one, (list, tuple, set)):
                inside += one
            if seen + len(inside) > MAX_YAML_VALUES:
                raise Unreadable(f"holds more than {MAX_YAML_VALUES:,} values, with its aliases written out")
        level, seen = inside, seen + len(inside)
        if not level:
            return
    raise Unreadable(f"nests deeper than {MAX_DEPTH}, or an alias leads back to itself")

"""Configuration: typed sections, YAML files, `section.key=value` overrides, all faults reported at once."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from spikemba.errors import ConfigError
from spikemba.reading.lines import read_text
from spikemba.reading.trees import parse_yaml
from spikemba.reading.unreadable import Unreadable

Tree = dict[str, Any]


class Config(BaseModel):
    """Base of every configuration section: frozen, unknown keys refused, each field documented by the line below it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, tree: Mapping[str, Any], source: str = "the configuration") -> Self:
        """Build from nested dictionaries. Raises ConfigError with every fault when one or more fields are wrong."""
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise ConfigError(source, [_describe(cls, fault) for fault in error.errors()]) from None

    @model_validator(mode="after")
    def _numbers_can_be_counted_with(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            most = _LARGEST_FLOAT if isinstance(value, float) else 2**63 - 1
            if isinstance(value, int | float) and abs(value) > most:
                raise ValueError(f"{name} is larger than a number can be; expected at most {most:.3g}")
        return self


_LARGEST_FLOAT = 3.4e38
"""Of float32."""


def load_yaml(path: Path) -> Tree:
    """Read a YAML file that holds one mapping. Raises ConfigError when it is missing or holds anything else."""
    try:
        tree = parse_yaml(read_text(path))
    except OSError as error:
        raise ConfigError(str(path), [f"cannot be read: {error.strerror}"]) from None
    except Unreadable as fault:
        raise ConfigError(str(path), [str(fault)]) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(str(path), [f"expected `section: {{key: value}}`, found {type(tree).__name__}"])
    return tree


def load_over_base(path: Path, folder: Path, above: tuple[Path, ...] = ()) -> Tree:
    """A YAML file merged over the one that its key `base` names, which may have a base itself; without that key.

    base: the name of a file in `folder`, without its suffix, or a path with it, relative to the file.
    above: the files that led here. Raises ConfigError for a base that is not there or leads back to itself.
    """
    tree = load_yaml(path)
    if "base" not in tree:
        return tree
    found, above = _base(path, tree.pop("base"), folder), (*above, path.resolve())
    if found.resolve() in above:
        circle = " -> ".join(str(one) for one in (*above[above.index(found.resolve()) :], found.resolve()))
        raise ConfigError(str(path), [f"base: leads back to itself ({circle})"])
    return merge(load_over_base(found, folder, above), tree)


def _base(path: Path, base: Any, folder: Path) -> Path:
    """The file that a base names."""
    names = sorted(one.stem for one in folder.glob("*.yaml"))
    if not isinstance(base, str):
        raise ConfigError(str(path), [f"base: {base!r}: expected a path or one of {', '.join(names)}"])
    if base in names:
        return folder / f"{base}.yaml"
    found = path.parent / base
    if not found.is_file():
        raise ConfigError(str(path), [f"base: there is no file {found}, nor one of these names: {', '.join(names)}"])
    return found


def parse_overrides(assignments: Iterable[str]) -> Tree:
    """Turn `["train.learning_rate=1e-3", ...]` into nested dictionaries; values are read as YAML."""
    tree: Tree = {}
    faults = []
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not all(key.split(".")):
            faults.append(f"{assignment!r} is not of the form section.key=value")
            continue
        branch = tree
        *parents, leaf = key.split(".")
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise ConfigError("--set", [f"{assignment!r}: {parent} was set to {branch!r} before, and is a section"])
        try:
            branch[leaf] = parse_yaml(value)
        except Unreadable:
            branch[leaf] = value
    if faults:
        raise ConfigError("--set", faults)
    return tree


def from_preset(tree: Any, presets: Mapping[str, Tree], default: str) -> Any:
    """A section's tree over the values of the preset that it names; for a validator that runs before the fields'."""
    return merge(presets.get(str(tree.get("preset", default)), {}), tree) if isinstance(tree, Mapping) else tree


def merge(*trees: Mapping[str, Any]) -> Tree:
    """Merge nested dictionaries; later ones win, key by key."""
    merged: Tree = {}
    for tree in trees:
        for key, value in tree.items():
            old = merged.get(key)
            merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def flat(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """Nested keys as `section.key`."""
    found: Tree = {}
    for key, value in tree.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def as_before(section: type[Config], tree: Any, before: Tree) -> Any:
    """A section that an earlier version wrote, with what that version had where it knew no setting yet.

    Files of runs and checkpoints name every setting, so one that lacks nothing but keys of `before` is of a version
    that did not know these. Any other tree is a person's, and is returned as it is. For validators that run before the
    fields'. before: those keys with their values then, and what subsections had.
    """
    if not isinstance(tree, Mapping):
        return tree
    missing = set(section.model_fields) - set(tree)
    return merge(before, tree) if missing and missing <= set(before) else tree


def to_yaml(config: Config) -> str:
    """The configuration as YAML, every key written out."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, width=120)


def _describe(root: type[BaseModel], fault: Any) -> str:
    """One line per fault: where, what was seen, what was expected."""
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = _keys_beside(root, fault["loc"])
        close = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
        return f"{place}: no such key; {hint}"
    if fault["type"] == "missing":
        return f"{place}: is required and was not given"
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    where = f"{place}: " if place else ""
    # A fault of a whole section quotes no value: the section may be long, and the message says what clashes.
    return f"{where}{message}" if isinstance(fault["input"], dict) else f"{where}{fault['input']!r}: {message}"


def _keys_beside(root: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the section that `location` points into."""
    section: type[BaseModel] = root
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            break
        section = field.annotation
    return list(section.model_fields)

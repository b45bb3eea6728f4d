"""Settings that are given after training: each acts, or is refused in a line that names both values."""

from collections.abc import Collection, Mapping
from typing import TypeVar

from spikemba.config import Config, Tree, flat, merge
from spikemba.errors import ConfigError

C = TypeVar("C", bound=Config)
SOURCE = "--set"


def refuse_other_sections(settings: Tree, sections: tuple[str, ...]) -> None:
    """Raise ConfigError for settings of sections that cannot change once a model is trained."""
    taken = " and ".join(f"{name}.*" for name in sections)
    faults = [
        f"{key}: is settled by the training and cannot change now; evaluate takes {taken}"
        for key in flat(settings)
        if key.partition(".")[0] not in sections
    ]
    if faults:
        raise ConfigError(SOURCE, faults)


def refuse_precision(precision: str) -> None:
    """Raise ConfigError for another precision than float32, where the network that answers has no other."""
    if precision != "fp32":
        raise ConfigError("--precision", [f"{precision} is there for grounding on features only; leave it out here"])


def refuse_unused(settings: Tree, name: str, unused: Collection[str]) -> None:
    """Raise ConfigError for settings of a section that only a training reads."""
    if found := sorted(set(settings.get(name, {})) & set(unused)):
        raise ConfigError(SOURCE, [f"{name}.{key}: is for training and changes nothing here" for key in found])


def with_settings(section: C, settings: Tree, name: str) -> C:
    """A section under the settings of its name. Raises ConfigError with every fault."""
    tree = merge({name: section.model_dump(mode="json")}, {name: settings.get(name, {})})[name]
    try:
        return type(section).parse(tree, SOURCE)
    except ConfigError as error:
        raise ConfigError(SOURCE, [f"{name}.{fault}" for fault in error.faults]) from None


def refuse_ignored(settings: Tree, name: str, asked: Config, used: Config) -> None:
    """Raise ConfigError for settings of a section that the checkpoint decides otherwise.

    asked: the section under the settings.  used: the section as it is evaluated with.
    """
    wanted, found = (flat({name: one.model_dump(mode="json")}) for one in (asked, used))
    keys = flat({name: settings.get(name, {})})
    decided: Mapping[str, object] = {key: found[key] for key in keys if key in found and found[key] != wanted[key]}
    if decided:
        raise ConfigError(
            SOURCE,
            [
                f"{key}: {wanted[key]!r} was asked for, and the checkpoint was trained with {value!r}; leave it out"
                for key, value in decided.items()
            ],
        )

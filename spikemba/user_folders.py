"""Where this program keeps things of the user's: settings and cached features."""

import os
from pathlib import Path

from pydantic import Field

from spikemba.config import Config, load_yaml
from spikemba.errors import SpikeMbaError, WeightsMissing


class Settings(Config):
    """The user's settings, `settings.yaml` in `settings_folder()`."""

    checkpoint: str | None = None
    """What `ground` uses without --checkpoint: a run folder, a checkpoint folder, or the name of a bundled model."""
    weights: dict[str, Path] = Field(default_factory=dict)
    """Encoder -> file or folder of its weights, where --weights names none."""


def settings_folder() -> Path:
    """$SPIKEMBA_HOME, or spikemba/ in the user's configuration folder. Raises SpikeMbaError where there is none."""
    return _folder("SPIKEMBA_HOME", "XDG_CONFIG_HOME", ".config")


def cache_folder() -> Path:
    """$SPIKEMBA_CACHE, or spikemba/ in the user's cache folder. Everything in it can be made again.

    Raises SpikeMbaError where there is none.
    """
    return _folder("SPIKEMBA_CACHE", "XDG_CACHE_HOME", ".cache")


def weights_folder() -> Path:
    """Where files of weights are looked for by their published names."""
    return cache_folder() / "weights"


def weights_place(path: Path) -> Path:
    """Where weights lie: as named, or by that name in the user's folder of weights. Raises WeightsMissing."""
    for place in (path, weights_folder() / path):
        if place.exists():
            return place
    home = "OpenGVLab's are at https://huggingface.co/OpenGVLab/VideoMamba"
    raise WeightsMissing(f"no weights {path}, also not in {weights_folder()}; {home}; or name another file or run")


def load_settings() -> Settings:
    """The user's settings; defaults when there are none. Raises ConfigError when they have faults."""
    path = settings_folder() / "settings.yaml"
    return Settings.parse(load_yaml(path), str(path)) if path.is_file() else Settings()


def _folder(own: str, base: str, default: str) -> Path:
    if place := os.environ.get(own):
        return Path(place)
    if shared := os.environ.get(base):
        return Path(shared) / "spikemba"
    try:
        return Path.home() / default / "spikemba"
    except RuntimeError:
        raise SpikeMbaError(f"no home folder of this user is known; set {own} to a folder") from None

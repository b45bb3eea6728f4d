"""The encoders by name: those of this package, and those that other packages bring.

Another package brings one by an entry point, which names the value in its module:

    [project.entry-points."spikemba.encoders"]
    colour = "colour_encoder:ENTRY"

Nothing but the standard library is imported at the top, and no encoder before it is asked for: names are listed where
torch would take a second, and by doctor where nothing may be sound.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from spikemba.encoders.entry import EncoderEntry
from spikemba.errors import LibraryBroken, SpikeMbaError, UnknownName, command_line
from spikemba.libraries import cause

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from spikemba.encoders.base import ClipEncoder, EncoderOptions

GROUP = "spikemba.encoders"
"""Group of the entry points."""

OWN = {
    "mini": "spikemba.encoders.mini:ENTRY",
    "clip": "spikemba.encoders.clip_model:ENTRY",
    "slowfast": "spikemba.encoders.slowfast:ENTRY",
    "transformers": "spikemba.encoders.image_text:TRANSFORMERS_ENTRY",
    "siglip2": "spikemba.encoders.image_text:SIGLIP2_ENTRY",
    "metaclip2": "spikemba.encoders.image_text:METACLIP2_ENTRY",
    "pe": "spikemba.encoders.perception:ENTRY",
    "xclip": "spikemba.encoders.xclip:ENTRY",
    "videomae": "spikemba.encoders.motion:VIDEOMAE_ENTRY",
    "videomamba": "spikemba.encoders.video_mamba:ENTRY",
    "vjepa2": "spikemba.encoders.motion:VJEPA2_ENTRY",
    "clap": "spikemba.encoders.clap:ENTRY",
    "subtitles": "spikemba.encoders.subtitles:ENTRY",
}
"""Name -> the entry, imported when it is asked for."""

NOT_HERE = {
    "internvideo2": "no encoder is called 'internvideo2': transformers has no such model, and its authors' own code is "
    "not run; take its published features (`spikemba prepare qvhighlights --source DIR --pack internvideo2`, or any "
    "pack by `spikemba features show PACK`), or bring it by an entry point of a package (docs/encoders.md)"
}
"""What to say of encoders that are asked for and cannot be here."""


def encoder_names() -> list[str]:
    """Every name that there is an encoder of: ours, then those of other packages, sorted; nothing is imported."""
    return [*OWN, *sorted({point.name for point in _outside()} - set(OWN))]


def brought_by(name: str) -> str:
    """The package that brings an encoder, as pip calls it; `spikemba` for ours."""
    return "spikemba" if name in OWN else next((_package(point) for point in _outside(name)), "")


def find_encoder(name: str) -> EncoderEntry:
    """The entry of an encoder, `clip` or with a model, as in `clip:ViT-L-14`.

    Raises UnknownName; SpikeMbaError when two packages claim the name; LibraryBroken that names the package whose
    entry cannot be used. Other encoders are found all the same.
    """
    kind = name.partition(":")[0]
    points = _outside(kind)
    if len(points) + (kind in OWN) > 1:
        raise _clash(kind, points)
    if points:
        return _resolved(points[0])
    if kind in NOT_HERE:
        raise SpikeMbaError(NOT_HERE[kind])
    if kind not in OWN:
        raise UnknownName("encoder", kind, sorted(encoder_names()), "`spikemba config encoders` lists all")
    found: EncoderEntry = resolve_name(OWN[kind])
    return found


def load_encoder(name: str, options: "EncoderOptions | None" = None) -> "ClipEncoder":
    """The encoder of that name: `clip`, or with the model it shall use, as in `clip:ViT-L-14`.

    Raises as `find_encoder`, SpikeMbaError when this machine has not the device, and WeightsMissing when its weights
    are neither on this machine nor to be had.
    """
    from spikemba.device import device_named
    from spikemba.encoders.base import EncoderOptions, SoundEncoder, SubtitleEncoder, VideoEncoder

    entry = find_encoder(name)
    model = name.partition(":")[2] or None
    if model and not entry.models:
        raise SpikeMbaError(f"{entry.name} has no choice of models, so nothing can follow it; write {entry.name}")
    options = options or EncoderOptions()
    device_named(options.device)  # also where the encoder has no network to put there
    if entry.of_another is not None and model:
        encoder = entry.of_another(name, load_encoder(model, options))
    else:
        encoder = entry.load(name, model, options)
    if not isinstance(encoder, VideoEncoder | SoundEncoder | SubtitleEncoder):
        raise _unusable(entry.name, f"loads {type(encoder).__name__}, which lacks attributes of a VideoEncoder")
    return encoder


def load_encoders(
    names: str, options: "EncoderOptions | None" = None, weights: Mapping[str, Path] | None = None
) -> "list[ClipEncoder]":
    """Several encoders, as in `clip+slowfast`; features are joined in this order.

    weights: files or folders by encoder, for those that are not to be looked for.
    """
    from spikemba.encoders.base import EncoderOptions

    options, weights = options or EncoderOptions(), weights or {}
    return [load_encoder(name, replace(options, weights=_weights_of(name, weights))) for name in names.split("+")]


def _weights_of(name: str, weights: Mapping[str, Path]) -> Path | None:
    """What is named for an encoder, with its model or without, or for the one that it is made of."""
    kind, _, inner = name.partition(":")
    found = weights.get(name, weights.get(kind))
    return _weights_of(inner, weights) if found is None and inner and find_encoder(kind).of_another else found


def _outside(name: str | None = None) -> "list[EntryPoint]":
    """The entry points of other packages, all or those of a name."""
    from importlib.metadata import entry_points  # takes longer than the rest of this module

    return [point for point in entry_points(group=GROUP) if name is None or point.name == name]


def _resolved(point: "EntryPoint") -> EncoderEntry:
    """The entry behind an entry point. Raises LibraryBroken."""
    if not re.fullmatch(r"\w[\w.-]*", point.name):  # : + = have a meaning where encoders are named
        raise _unusable(point.name, "has a name that cannot be typed; expected letters, digits, - . _")
    try:
        entry = point.load()
    except Exception as error:
        raise _unusable(point.name, f"cannot be imported ({cause(error)})") from error
    if not isinstance(entry, EncoderEntry):
        raise _unusable(point.name, f"is {type(entry).__name__}; expected an EncoderEntry")
    if entry.name != point.name:
        raise _unusable(point.name, f"calls itself {entry.name!r}; expected the same name in both places")
    return entry


def _unusable(name: str, problem: str) -> LibraryBroken:
    """What to say of an encoder that breaks the rules, and of the package that brings it."""
    points = _outside(name)
    if not points:
        return LibraryBroken(f"the encoder {name!r} {problem}")
    package = _package(points[0])
    upgrade, without = command_line("pip", "install", "--upgrade", package), command_line("pip", "uninstall", package)
    mend = f"run `{upgrade}`, or `{without}` to do without it"
    return LibraryBroken(f"the encoder {name!r} of {_described(points[0])} {problem}; {mend}")


def _clash(name: str, points: "list[EntryPoint]") -> SpikeMbaError:
    places = [f"spikemba ({OWN[name]})"] if name in OWN else []
    places += [_described(point) for point in points]
    return SpikeMbaError(
        f"{len(places)} encoders are called {name!r}: those of {' and '.join(places)}; keep one, as with "
        f"`{command_line('pip', 'uninstall', _package(points[-1]))}`"
    )


def _package(point: "EntryPoint") -> str:
    return point.dist.name if point.dist else point.module


def _described(point: "EntryPoint") -> str:
    """`toys 1.0 (toys.encoder:ENTRY)`."""
    return f"{_package(point)} {point.dist.version if point.dist else ''} ({point.value})"

"""Options of the commands that run an encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from spikemba.encoders.base import EncoderOptions

WeightsOption = Annotated[
    list[str] | None, typer.Option("--weights", help="ENCODER=FILE, weights to use; may be repeated.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...; auto takes a GPU if there is one.")]
PrecisionOption = Annotated[Literal["float32", "bfloat16"], typer.Option(help="How encoders compute.")]
FramesOption = Annotated[
    Literal["published", "corrected"],
    typer.Option(help="Frames as behind the published features, or without their quirks."),
]
ResizeOption = Annotated[
    Literal["published", "own"], typer.Option(help="Scale as the published features were, or as the model was trained.")
]


def parse_weights(assignments: Sequence[str] | None) -> Mapping[str, Path]:
    """`["clip=ViT-B-32.pt"]` as a mapping. Raises typer.BadParameter, also for a name that no encoder has."""
    from spikemba.encoders.registry import encoder_names

    found: dict[str, Path] = {}
    known = encoder_names() if assignments else []
    for assignment in assignments or ():
        encoder, equals, path = assignment.partition("=")
        if not (encoder and equals and path):
            raise typer.BadParameter(f"{assignment!r} is not of the form ENCODER=FILE", param_hint="--weights")
        if encoder.partition(":")[0] not in known:
            raise typer.BadParameter(
                f"no encoder is called {encoder!r}; there are: {', '.join(known)}", param_hint="--weights"
            )
        found[encoder] = Path(path)
    return found


def encoder_options(
    frames: Literal["published", "corrected"],
    resize: Literal["published", "own"],
    precision: Literal["float32", "bfloat16"],
    device: str,
) -> "EncoderOptions":
    """The options as encoders take them; torch loads here."""
    from spikemba.encoders.base import EncoderOptions

    return EncoderOptions(frames=frames, resize=resize, precision=precision, device=device)

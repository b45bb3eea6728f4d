"""Options of the commands that run an encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spikemba.errors import names_like
from spikemba_cli import completion

if TYPE_CHECKING:
    from spikemba.encoders.base import EncoderOptions

WeightsOption = Annotated[
    list[str] | None,
    typer.Option("--weights", help="ENCODER=FILE, weights to use; may be repeated.", autocompletion=completion.weights),
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...; auto takes a GPU if there is one.")]
PrecisionOption = Annotated[Literal["float32", "bfloat16"], typer.Option(help="How encoders compute.")]
AskingPrecision = Literal["auto", "fp32", "bf16", "float32", "bfloat16"]
AskingPrecisionOption = Annotated[
    AskingPrecision,
    typer.Option(
        help="How checkpoint and encoders compute; auto: bf16 where it is faster. float32, bfloat16: encoders."
    ),
]
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
                f"no encoder is called {encoder!r}; {names_like(encoder, known)}", param_hint="--weights"
            )
        found[encoder] = Path(path)
    return found


def of_each(
    precision: AskingPrecision, device: str
) -> tuple[Literal["float32", "bfloat16"], Literal["auto", "fp32", "bf16"]]:
    """What an option for both says of the encoders and of the checkpoint.

    The names that `extract` knows speak of the encoders alone. Encoders are in bfloat16 only where they can be.
    """
    if precision == "float32" or precision == "bfloat16":
        return precision, "fp32"
    from spikemba.device import device_named, has_bfloat16  # torch loads here

    half = precision != "fp32" and has_bfloat16(device_named(device))
    return "bfloat16" if half else "float32", precision


def encoder_options(
    frames: Literal["published", "corrected"],
    resize: Literal["published", "own"],
    precision: Literal["float32", "bfloat16"],
    device: str,
) -> "EncoderOptions":
    """The options as encoders take them; torch loads here."""
    from spikemba.encoders.base import EncoderOptions

    return EncoderOptions(frames=frames, resize=resize, precision=precision, device=device)


def asking_options(precision: AskingPrecision, device: str) -> dict[str, Any]:
    """What `spikemba.load` takes of an option for both; torch loads here."""
    of_encoders, of_answers = of_each(precision, device)
    return {"options": encoder_options("published", "published", of_encoders, device), "precision": of_answers}

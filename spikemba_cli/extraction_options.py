"""Options of the commands that read videos through encoders: `extract` and `index`."""

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikemba_cli import completion
from spikemba_cli.console import print_note
from spikemba_cli.encoder_options import parse_weights

if TYPE_CHECKING:
    from pipelines.extraction.job import RunOptions
    from spikemba.encoders.base import EncoderOptions

EncodersOption = Annotated[
    str,
    typer.Option(
        help="Encoder, or several joined by +; `spikemba config encoders` lists them.",
        autocompletion=completion.encoders,
    ),
]
ClipLengthOption = Annotated[float, typer.Option(min=0.05, help="Seconds of video per row.")]
ShardOption = Annotated[
    str | None, typer.Option(help="i/n: the i-th of n parts; under torchrun and SLURM each process takes its own.")
]
EngineOption = Annotated[Literal["local", "ray"], typer.Option(help="This process, or the workers of Ray.")]
DecodersOption = Annotated[int | None, typer.Option(min=1, help="Videos decoded at once.")]


def run_options(
    options: "EncoderOptions",
    weights: list[str] | None,
    shard: str | None,
    engine: Literal["local", "ray"],
    decoders: int | None,
    *,
    retry_failed: bool,
) -> "RunOptions":
    """How an extraction is run; says which part of the videos is this process's. Raises BadParameter and others."""
    from pipelines.extraction.job import RunOptions
    from pipelines.shards import launched_shard, parse_shard

    part = parse_shard(shard) if shard else launched_shard(os.environ)
    if part.count > 1:
        print_note(f"part {part.index + 1} of {part.count}")
    return RunOptions(options, parse_weights(weights), part, retry_failed, engine, decoders)

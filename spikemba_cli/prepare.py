"""`spikemba prepare`: annotations to what training reads."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.errors import command_line
from spikemba_cli import completion
from spikemba_cli.console import JsonOption, err, print_json, print_line, print_note, print_warning, progress
from spikemba_cli.prepare_videos import add_video_sets

if TYPE_CHECKING:
    from pipelines.preparation.prepare import Prepared
    from pipelines.preparation.prepare_benchmark import PreparedBenchmark


class _WithBenchmarks(TyperGroup):
    """The commands that are written out here, and one per benchmark, made when `prepare` is asked for its commands.

    Their titles are in the benchmarks' files, which `spikemba --help` has no time to load.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        self._add_benchmarks()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        self._add_benchmarks()
        return super().list_commands(ctx)

    def _add_benchmarks(self) -> None:
        for name in benchmark_names():
            if name not in self.commands:
                self.commands[name] = _benchmark_command(name)


app = typer.Typer(cls=_WithBenchmarks, no_args_is_help=True, help="Bring a data set into the form that training reads.")


@app.command()
def shapes(
    out: Annotated[Path, typer.Option(help="Folder for videos and annotations.")] = Path("data/shapes"),
    train: Annotated[int, typer.Option(min=1, help="Training videos.")] = 300,
    val: Annotated[int, typer.Option(min=1, help="Validation videos.")] = 40,
    test: Annotated[int, typer.Option(min=1, help="Test videos.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another corpus.")] = 0,
    corpus: Annotated[
        bool, typer.Option("--corpus", help="Also write where in all videos of a split each sentence is true.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draw the synthetic corpus: moving shapes in real video files, with sentences about what they do.

    Example: spikemba prepare shapes --train 100
    """
    from pipelines.preparation.prepare import prepare_shapes
    from pipelines.preparation.shapes_corpus import ShapesConfig

    with progress("drawing", "videos") as report:
        config = ShapesConfig.parse({"train": train, "val": val, "test": test, "seed": seed}, "prepare shapes")
        prepared = prepare_shapes(out, config, report, corpus=corpus)
    _print(prepared, "mini", as_json)


@app.command()
def claims(
    grammar: Annotated[
        Literal["outshone", "far", "scripts"],
        typer.Option(help="Quiet answers among loud near misses, answers told by far events, hidden steps of scripts."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for annotations and features.")],
    train: Annotated[int, typer.Option(min=1, help="Training videos.")] = 400,
    val: Annotated[int, typer.Option(min=1, help="Validation videos.")] = 60,
    test: Annotated[int, typer.Option(min=1, help="Test videos.")] = 150,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws another corpus.")] = 0,
    noise: Annotated[
        float | None, typer.Option(min=0, help="Expected norm of a clip's noise, beside 1 for an event.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw features of videos on which the similarity of clip and sentence is of little use; no pictures.

    Example: spikemba prepare claims --grammar far --out data/claims/far
    """
    from pipelines.preparation.claims_corpus import ClaimsConfig, prepare_claims

    sizes = {"grammar": grammar, "train": train, "val": val, "test": test, "seed": seed}
    config = ClaimsConfig.parse(sizes if noise is None else sizes | {"noise": noise}, "prepare claims")
    with progress("drawing", "videos") as report:
        prepared = prepare_claims(out, config, report)
    if as_json:
        document = {"out": str(prepared.out), "queries": prepared.n_queries, "kinds": prepared.kinds}
        print_json(document | {"config": str(prepared.config)})
        return
    err.print(f"queries: {', '.join(f'{name} {n}' for name, n in prepared.n_queries.items())} -> {prepared.out}")
    data = prepared.config.parent
    print_line(f"next: {command_line('spikemba', 'train', '--dataset', 'claims', '--data', data)}")


@app.command()
def custom(
    source: Annotated[
        list[Path],
        typer.Option(
            help="Table (csv, tsv, xlsx) or jsonl with video, start, end, query and, if you like, rating; or a folder "
            "of corrections; or, given twice, both."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the annotations.")],
    videos: Annotated[Path | None, typer.Option(help="Folder of the videos; by default that of SOURCE.")] = None,
    encoder: Annotated[
        str, typer.Option(help="Encoder that the features will be made with.", autocompletion=completion.encoders)
    ] = "clip+slowfast",
    clip_length: Annotated[float, typer.Option(min=0.05, help="Seconds of video per clip.")] = 2.0,
    fps: Annotated[
        float | None, typer.Option(min=0.01, help="The table's times are frames, of so many per second.")
    ] = None,
    val_share: Annotated[float, typer.Option(min=0, max=0.9, help="Share of the videos to validate on.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Decides which videos.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Check your own annotations and split them by video.

    Example: spikemba prepare custom --source my.csv --videos footage/ --out data/mine

    Corrections are what people said on the page of `spikemba serve`; they take the place of what the table says of the
    same video and sentence: --source my.csv --source corrections/
    """
    from pipelines.preparation.prepare import prepare_custom

    with progress("reading", "videos") as report:
        prepared = prepare_custom(
            source,
            out,
            videos=videos,
            encoder=encoder,
            clip_s=clip_length,
            fps=fps,
            val_share=val_share,
            seed=seed,
            report=report,
        )
    if val_share and "val" not in prepared.n_queries:
        print_warning(
            "one video cannot be split: there is no validation, so no epoch is chosen and nothing says how good it is; "
            "annotate a second video, or better ten"
        )
    elif val_share and prepared.n_videos("val") < FEW:
        print_warning(
            f"{prepared.n_videos('val')} of the videos validate: numbers from so few say little; expected {FEW} or more"
        )
    _print(prepared, encoder, as_json)


FEW = 3
"""Validation videos below which a person is told that they are few."""

SourceOption = Annotated[Path, typer.Option(help="Folder that is searched for the annotation files.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder to write to; by default data/<name>.")]
FeaturesOption = Annotated[
    Path | None, typer.Option(help="Folder of feature folders; by default <out>/features if it is there.")
]
PackOption = Annotated[str | None, typer.Option(help="Which features of several, as slowfast+clip.")]
DownloadOption = Annotated[
    bool, typer.Option("--download", help="First fetch into SOURCE what is public by direct link.")
]
VideosOption = Annotated[bool, typer.Option("--with-videos", help="With --download: also archives of videos.")]
DropOption = Annotated[bool, typer.Option("--drop-faulty", help="Leave out rows with faults, and say which.")]


def _benchmark_command(name: str) -> Any:
    """`prepare NAME`."""

    def command(
        source: SourceOption,
        out: OutOption = None,
        features: FeaturesOption = None,
        pack: PackOption = None,
        download: DownloadOption = False,
        with_videos: VideosOption = False,
        drop_faulty: DropOption = False,
        as_json: JsonOption = False,
    ) -> None:
        from pipelines.preparation.prepare_benchmark import prepare_benchmark

        if download:
            _download(name, source, with_videos)
        prepared = prepare_benchmark(
            name, source, out or Path("data") / name, features=features, pack=pack, drop_faulty=drop_faulty
        )
        _print_benchmark(name, prepared, as_json)

    command.__doc__ = f"""Check the annotations of {find_benchmark(name).title} and write what training reads.

    Example: spikemba prepare {name} --source DIR --features DIR/features
    """
    alone = typer.Typer(add_completion=False)
    alone.command(name)(command)
    return typer.main.get_command(alone)


def _download(name: str, source: Path, with_videos: bool) -> None:

    from pipelines.preparation.download import fetch

    for wanted in find_benchmark(name).downloads:
        if wanted.large and not with_videos:
            print_note(f"not fetched without --with-videos: {wanted.url}")
            continue
        with progress(wanted.name, "bytes") as report:
            path = fetch(wanted, source, report)
        print_note(f"{wanted.url} -> {path}")


def _print_benchmark(name: str, prepared: "PreparedBenchmark", as_json: bool) -> None:
    for row in prepared.left_out:
        print_warning(f"left out: {row}")
    for note in prepared.notes:
        print_warning(note)
    if as_json:
        counts = {"out": str(prepared.out), "queries": prepared.n_queries, "config": str(prepared.config)}
        counts["null_queries"] = prepared.n_null
        print_json({**counts, "pack": prepared.pack, "left_out": prepared.left_out, "notes": prepared.notes})
        return
    counts_text = _counts(prepared)
    err.print(f"{prepared.title}: {counts_text} -> {prepared.out}")
    if prepared.pack:
        usual: list[str | Path] = [] if prepared.out == Path("data") / name else ["--data", prepared.out]
        err.print(f"features: {prepared.pack}")
        err.print(f"next: {command_line('spikemba', 'train', '--dataset', name, *usual)}")


def _counts(prepared: "Prepared | PreparedBenchmark") -> str:
    """Queries per file, and how many of them are null."""
    null = {name: f" ({n} null)" for name, n in prepared.n_null.items()}
    return ", ".join(f"{name} {n}{null.get(name, '')}" for name, n in prepared.n_queries.items())


add_video_sets(app)


def _print(prepared: "Prepared", encoder: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {"out": str(prepared.out), "queries": prepared.n_queries, "videos": str(prepared.videos)}
            | {"null_queries": prepared.n_null}
            | ({"corpus": prepared.corpus} if prepared.corpus else {})
            | {"config": str(prepared.config), "inputs": [str(path) for path in prepared.inputs], "read": prepared.how}
            | ({"corrections": prepared.corrections} if prepared.corrections is not None else {})
        )
        return
    files: list[str | Path] = [
        word for name in prepared.n_queries for word in ("--queries", prepared.out / f"{name}.jsonl")
    ]
    extract: list[str | Path] = [
        "spikemba",
        "extract",
        *prepared.inputs,
        "--encoder",
        encoder,
        "--out",
        prepared.out / "features",
    ]
    if prepared.how:
        print_note(f"read {prepared.how}")
    err.print(f"queries: {_counts(prepared)} -> {prepared.out}")
    if prepared.corpus:
        err.print(f"of all videos: {', '.join(f'{name} {n}' for name, n in prepared.corpus.items())}")
    print_line(f"next: {command_line(*extract, *files)}")
    print_line(f"then: {command_line('spikemba', 'train', '--config', prepared.config)}")

"""`spikemba search`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import spikemba
from spikemba_cli.console import print_error, print_json, print_note, print_table, print_text, progress
from spikemba_cli.encoder_options import (
    AskingPrecisionOption,
    DeviceOption,
    WeightsOption,
    asking_options,
    parse_weights,
)
from spikemba_cli.ground import (
    CheckpointOption,
    CutModeOption,
    EncoderOption,
    Format,
    MinExistsOption,
    ShowAllOption,
    check_pairs,
)
from spikemba_cli.index import LibraryOption
from spikemba_cli.timeline_options import RelativeOption, ShapeOption, check_timeline

if TYPE_CHECKING:
    from pipelines.grounding.answer_files import Answers, Outputs
    from pipelines.library.results import LibraryAnswer
    from pipelines.library.search import SearchSettings
    from spikemba.grounder.grounder import Grounder
    from spikemba.library import Library


ImageOption = Annotated[Path | None, typer.Option(help="In place of a sentence: what looks like a picture.")]
LikeOption = Annotated[
    str | None, typer.Option(metavar="VIDEO@START-END", help="In place of a sentence: what looks like that part.")
]
WhereOption = Annotated[
    str | None, typer.Option(metavar="SQL", help="Only videos it is true of: \"path LIKE '%holiday%'\".")
]


def search(
    text: Annotated[str | None, typer.Argument(help="One sentence: what to look for.")] = None,
    library: LibraryOption = "library",
    image: ImageOption = None,
    like: LikeOption = None,
    checkpoint: CheckpointOption = None,
    encoder: EncoderOption = None,
    top: Annotated[int, typer.Option(min=1, help="How many moments to print, at most.")] = 10,
    videos: Annotated[int, typer.Option(min=1, help="How many videos are looked at closely, at most.")] = 20,
    where: WhereOption = None,
    texts: Annotated[bool, typer.Option(help="Search subtitles and names of files, too.")] = True,
    min_exists: MinExistsOption = None,
    show_all: ShowAllOption = False,
    form: Annotated[Format, typer.Option("--format", help="How to print them.")] = "table",
    shape: ShapeOption = None,
    relative: RelativeOption = False,
    out: Annotated[Path | None, typer.Option(help="FILE of all, or a folder for a file per video.")] = None,
    cut: Annotated[Path | None, typer.Option(help="Folder into which each moment is cut out, with its sound.")] = None,
    cut_mode: CutModeOption = "exact",
    filmstrip: Annotated[Path | None, typer.Option(help="HTML file that shows pictures of each moment.")] = None,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    precision: AskingPrecisionOption = "fp32",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Find the moments of a whole library that TEXT describes; `spikemba index` makes one.

    The sentence is compared with all clips; then the likeliest videos are grounded. A picture or a part of a video is
    compared with clips alone.

    Example: spikemba search "she cracks two eggs" --checkpoint runs/qvhighlights
    """
    if sum(one is not None for one in (text, image, like)) != 1:
        raise typer.BadParameter(
            "give either a sentence, or --image FILE, or --like VIDEO@START-END", param_hint="TEXT"
        )
    check_pairs(checkpoint, encoder, min_exists, show_all)
    form = "json" if as_json else form
    _check_outputs(form, shape, relative, out, (cut, cut_mode))
    from pipelines.grounding.answer_files import AnswerEvents, Outputs  # torch loads here, not for --help
    from pipelines.library.search import SearchSettings
    from pipelines.library.search_forms import write_outputs
    from spikemba.library import open_library

    settings = SearchSettings(top, videos, where, 0.0 if show_all else min_exists, texts=texts)
    outputs = Outputs("csv" if form == "table" else form, out, shape, relative, cut, cut_mode)
    outputs.check()
    with open_library(library) as opened:
        how = asking_options(precision, device) | {"weights": parse_weights(weights)}
        check_asked(opened, checkpoint or encoder)
        grounder = spikemba.load(checkpoint, encoder=encoder, **how)
        if text is not None and not grounder.trained and encoder is None:
            print_note(f"no checkpoint: {grounder.name}, which cannot know whether a video shows that at all")
        found = _ask(opened, grounder, (text, image, like), settings)
    events = AnswerEvents(failed=lambda _, problem: print_error(problem))
    written = write_outputs(found, outputs, filmstrip, events)
    _print(found, form, outputs, written, grounder.limits)
    if written.failed:
        raise typer.Exit(1)


def _check_outputs(
    form: Format,
    shape: Literal["cut", "markers"] | None,
    relative: bool,
    out: Path | None,
    cuts: tuple[Path | None, str],
) -> None:
    """Raises BadParameter for options that say different things."""
    from pipelines.grounding.formats import PER_VIDEO

    if form in PER_VIDEO and out is None:
        raise typer.BadParameter(f"{form} is a file per video; name a folder for them", param_hint="--out")
    if cuts[1] != "exact" and cuts[0] is None:
        raise typer.BadParameter("says how moments are cut out; give --cut DIR, too", param_hint="--cut-mode")
    check_timeline(form, shape, relative)


def check_asked(library: "Library", named: str | None) -> None:
    """Raises LibraryError where no model is named and the library has no rows of the one that is taken then."""
    from spikemba.errors import LibraryError
    from spikemba.grounder.models import ZERO_SHOT_ENCODER
    from spikemba.user_folders import load_settings

    there = list(library.encoders())
    if named or load_settings().checkpoint or not there or ZERO_SHOT_ENCODER in there:
        return
    raise LibraryError(
        library.folder,
        f"no checkpoint was given, and it has no rows of {ZERO_SHOT_ENCODER}, but of {', '.join(there)}",
        "give a --checkpoint that was trained on those, or --encoder with one of them that reads text",
    )


def _ask(
    library: "Library",
    grounder: "Grounder",
    asked: tuple[str | None, Path | None, str | None],
    settings: "SearchSettings",
) -> "LibraryAnswer":
    from pipelines.library.alike import parse_part, search_image, search_like
    from pipelines.library.search import search as run

    text, image, like = asked
    if image is not None:
        return search_image(library, grounder, image, settings)
    if like is not None:
        return search_like(library, grounder, parse_part(like), settings)
    with progress("looking closely", "videos") as report:
        return run(library, grounder, text or "", settings, report)


def _print(found: "LibraryAnswer", form: Format, outputs: "Outputs", written: "Answers", limits: str) -> None:
    """The answer on stdout unless it went into files; beside it what a person should know."""
    from pipelines.library.search_forms import document, rendered_answer

    if outputs.out is None:
        if form == "json":
            print_json(document(found, written.cuts))
        elif form == "table":
            _print_table(found)
        else:
            print_text(rendered_answer(form, found, outputs, Path.cwd()))
    if not found.moments and (outputs.out is not None or form not in ("table", "json")):
        print_note(found.nothing)
    if found.order == "fused":
        print_note("scores are those of the model; the order is fused from ranks")
    for note in (*found.notes, *written.notes, *([limits] if limits else [])):
        print_note(note)
    for path in written.written:
        print_note("wrote " + str(path).replace("\n", "\\n"))


def _print_table(found: "LibraryAnswer") -> None:
    from pipelines.library.search_forms import names_of
    from spikemba.reading.amounts import MINUTE_S, clock_span, shown_score

    names, rows = names_of(found), []
    for rank, one in enumerate(found.moments, start=1):
        score = "" if one.score is None else shown_score(one.score)
        copies = f" (+{len(one.copies)})" if one.copies else ""
        row = [str(rank), f"{names[one.video]}{copies}", f"{one.start_s:.2f}", f"{one.end_s:.2f}", score]
        rows.append([*row, clock_span(one.start_s, one.end_s), "+".join(one.sources), one.text or ""])
    if not rows:
        rows.append(["", found.nothing, "", "", "", "", "", ""])
    left_out = {
        "time": all(one.end_s < MINUTE_S for one in found.moments),
        "text": not any(one.text for one in found.moments),
    }
    columns = ["rank", "video", "start_s", "end_s", "score", "time", "from", "text"]
    kept = [i for i, name in enumerate(columns) if not left_out.get(name)]
    print_table(found.query, [columns[i] for i in kept], [[row[i] for i in kept] for row in rows])

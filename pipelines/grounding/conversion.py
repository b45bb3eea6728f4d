"""Predictions from one form into another, or into the files that `ground` writes. Needs no torch for the first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.grounding.conversion_options import Conversion, ConversionOptions
from spikemba.datasets.annotations import PredictedRow, read_annotations
from spikemba.datasets.predictions.forms import FORMS, find_form, form_names
from spikemba.datasets.predictions.predictions import Predictions
from spikemba.datasets.predictions.units import in_seconds, looks_like
from spikemba.datasets.video_names import NamedVideos, VideoNotFound
from spikemba.errors import AnnotationError, SpikeMbaError, UnknownName
from spikemba.files import is_file
from spikemba.reading.printable import counted
from spikemba.video.sampling import VideoReader, probe


def convert(files: Sequence[Path], how: ConversionOptions) -> Conversion:
    """Read files of predictions as one, and write them in another form.

    Raises AnnotationError that names the rows that cannot be used, UnknownName, SpikeMbaError.
    """
    if how.to not in form_names():
        _check_format(how.to)
    done = Conversion()
    found = Predictions.joined([Predictions.from_file(path, how.form) for path in files])
    if how.video is not None:
        found = replace(found, rows=tuple(replace(row, video_id=row.video_id or how.video) for row in found.rows))
    if how.annotations is not None:
        found = found.matched(read_annotations(how.annotations))
    at_hand = video_files(found.rows, how.videos, found.source)
    found = _in_seconds(found, how, at_hand)
    done.notes += found.notes
    found = _checked(found, how, done)
    if how.to in form_names():
        done.notes += found.left_out(how.to) + _truthless(found, how.to) + _videoless(found, how.to)
        _to_form(found, how, done)
    else:
        from pipelines.grounding.predicted_answers import write_format  # torch loads here

        write_format(found, how, at_hand, done)
    return done


def _check_format(name: str) -> None:
    """Raises UnknownName."""
    from pipelines.grounding.formats import FORMATS  # torch loads here

    if name not in FORMATS:
        raise UnknownName("form or format", name, [*form_names(), *(one for one in FORMATS if one not in FORMS)])


def video_files(rows: Sequence[PredictedRow], folder: Path | None, source: str) -> dict[str, Path]:
    """Name of a video in the rows -> its file, of those that are at hand.

    folder: where all lie; None: a name may be that of a file itself.  Raises AnnotationError for what the folder lacks.
    """
    names = list(dict.fromkeys(row.video_id for row in rows))
    if folder is None:
        return {name: Path(name) for name in names if name and is_file(Path(name))}
    videos, found, faults = NamedVideos(folder), dict[str, Path](), []
    for name in names:
        try:
            found[name] = videos.of_id(name)
        except VideoNotFound as error:
            faults.append(str(error) if name else "a row names no video; --video NAME says which it is")
    if faults:
        raise AnnotationError(source, faults)
    return found


def _in_seconds(found: Predictions, how: ConversionOptions, at_hand: Mapping[str, Path]) -> Predictions:
    """The same in seconds, with the durations of the videos that are at hand. Raises AnnotationError."""
    if how.videos is not None:
        ends = {name: VideoReader(path).measured_end_s() for name, path in at_hand.items()}
        found = replace(found, rows=tuple(replace(row, duration_s=ends[row.video_id]) for row in found.rows))
    if how.units is None:
        if seen := looks_like(found.rows):
            cure = "give --units fractions, frames or milliseconds, or --units seconds where they are"
            raise AnnotationError(found.source, [f"{seen}; {cure}"])
        return found
    rates = {name: how.fps or probe(path).fps for name, path in at_hand.items()} if how.units == "frames" else {}
    rows, faults = in_seconds(found.rows, how.units, how.fps or rates)
    if faults:
        raise AnnotationError(found.source, faults)
    return replace(found, rows=tuple(rows))


def _checked(found: Predictions, how: ConversionOptions, done: Conversion) -> Predictions:
    """The same without what no file should hold. Raises AnnotationError unless it is to be left out."""
    faults = found.faults()
    if faults and not how.drop_faulty:
        raise AnnotationError(found.source, [f"{faults[0]}; --drop-faulty leaves such moments out", *faults[1:]])
    if faults:
        done.notes.append(f"{counted(len(faults), 'moment', 'moments')} left out, as {faults[0]}")
    return found.without_faults() if faults else found


def _truthless(found: Predictions, to: str) -> list[str]:
    n = sum(row.true_window is None for row in found.rows)
    if find_form(to) != "timelens" or not n:
        return []
    rows = counted(n, "row has", "rows have")
    return [f"{rows} no true window, which TimeLens' evaluation reads from the key; --annotations FILE adds it"]


def _videoless(found: Predictions, to: str) -> list[str]:
    n = sum(not row.video_id for row in found.rows)
    form = FORMS[find_form(to)]
    if not n or "videos" not in form.holds or "video" in form.needs:  # which refuses them
        return []
    rows = counted(n, "row names", "rows name")
    return [f"{rows} no video, and none stands in {form.title}; --annotations FILE adds it, or --video NAME"]


def _to_form(found: Predictions, how: ConversionOptions, done: Conversion) -> None:
    if how.out is None:
        done.text = found.text(how.to, lines=find_form(how.to) != "json")
        return
    if how.out.is_dir():
        raise SpikeMbaError(f"--out {how.out} is a folder; a form of predictions is one file")
    found.to_file(how.out, how.to)
    done.written.append(how.out)

"""What a search has found as a file to take along: tables in the order of all videos, the other formats by video."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.grounding.answer_files import Outputs
from pipelines.grounding.formats import FORMATS, PER_VIDEO, rendered
from pipelines.grounding.output_names import slug
from pipelines.library.search_forms import OWN, rendered_answer
from pipelines.serving.faults import NotNow, NotThere
from pipelines.serving.footage.exports import ExportedFile, check_shape, exported, not_empty, safe_name, told
from pipelines.serving.messages import Export
from pipelines.serving.searching.found import Found
from pipelines.serving.searching.search import Search
from pipelines.timelines.forms import TIMELINES
from pipelines.timelines.plan import Layout
from spikemba.errors import SpikeMbaError, VideoError
from spikemba.grounder.result import Grounding


def export_search(search: Search, asked: Export, *, absolute: bool) -> ExportedFile:
    """The moments in one format.  absolute: as of `footage.exports.export`.

    Raises NotThere, NotNow when there is no answer yet, SpikeMbaError for a format that cannot hold it, PackageMissing.
    """
    check_shape(asked)
    if search.found is None:
        raise NotNow("there is no answer yet; wait for it")
    found = _chosen(search.found, asked)
    not_empty(asked.format, any_moments=bool(found.answer.moments))
    paths = list(dict.fromkeys(one.video for one in found.answer.moments))
    if asked.format in PER_VIDEO and len(paths) > 1:
        raise SpikeMbaError(f"{asked.format} is a file of one video, and there are {len(paths)}; name one in videos")
    suffix, _ = FORMATS[asked.format]
    stem = Path(found.names.of(paths[0])).stem if len(paths) == 1 else "library"
    return exported(
        safe_name(f"{stem}_{slug(search.query)}", suffix), asked.format, _text(found, asked, absolute=absolute)
    )


def _chosen(found: Found, asked: Export) -> Found:
    """With the moments of the videos that are wanted alone."""
    if asked.checkpoint not in (None, found.checkpoint):
        raise NotThere(f"the search was not put to {asked.checkpoint!r}; it was to {found.checkpoint}")
    if asked.videos is None:
        return found
    ids = [found.names.id_of(one.video) for one in found.answer.moments]
    if missing := set(asked.videos) - set(ids):
        raise NotNow(f"there is no moment of {sorted(missing)[0]!r}; leave that video out")
    kept = tuple(one for one, id_ in zip(found.answer.moments, ids, strict=True) if id_ in asked.videos)
    return replace(found, answer=replace(found.answer, moments=kept))


def _text(found: Found, asked: Export, *, absolute: bool) -> str:
    if asked.format in OWN:
        return rendered_answer(asked.format, found.named(), Outputs(asked.format, None), Path())
    if asked.format not in TIMELINES:
        named = [replace(one, video=Path(found.names.of(one.video))) for one in found.answer.by_video()]
        return rendered(asked.format, named, Layout())
    groundings = found.answer.by_video()
    videos = [found.names.served[one.video] for one in groundings if one.video in found.names.served]
    if len(videos) < len(groundings):
        gone = next(found.names.of(one.video) for one in groundings if one.video not in found.names.served)
        raise SpikeMbaError(f"{gone} is gone, or no more what was taken in; leave it out: name the others in videos")
    folder = None if absolute else _common(groundings)
    try:
        return rendered(asked.format, groundings, Layout(asked.shape, folder))
    except VideoError as error:
        raise told(error, videos) from None


def _common(groundings: Sequence[Grounding]) -> Path:
    return Path(os.path.commonpath([one.video.absolute().parent for one in groundings]))

"""Whether a library's rows are those that a model needs, and which of them sentences can be compared with."""

from spikemba.encoders import ClipEncoder, TextFeatures
from spikemba.encoders.base import EncoderOptions
from spikemba.encoding.encoders_here import load_encoders_here
from spikemba.encoding.manifests import video_manifest
from spikemba.errors import LibraryError, command_line
from spikemba.grounder.grounder import Grounder
from spikemba.grounder.models import as_of
from spikemba.library import Library
from spikemba.library.rows import StoredEncoder
from spikemba.library.writer import check_encoder


def search_space(library: Library, grounder: Grounder, text: TextFeatures | None = None) -> ClipEncoder:
    """The encoder by which clips are found, once its rows and all others that the model reads are those of the library.

    text: a sentence that is to be compared with them. Raises LibraryError that names the command that makes them:
    nothing of other weights is ever compared.
    """
    encoder = grounder.text
    names = dict.fromkeys(one.name for one in grounder.encoders)
    wanted = {one.name: one for one in grounder.encoders}
    if isinstance(encoder, ClipEncoder):
        wanted.setdefault(encoder.name, encoder)
    _check_rows(library, wanted, grounder)
    if not isinstance(encoder, ClipEncoder) or (text is not None and len(text.pooled) != encoder.dim):
        raise LibraryError(
            library.folder,
            f"{grounder.name} reads sentences with {encoder.name}, which does not compare them with clips of "
            f"{'+'.join(names)}",
            "ask a checkpoint with clip, siglip2, xclip or mini among its encoders",
        )
    return encoder


def _check_rows(library: Library, wanted: dict[str, ClipEncoder], grounder: Grounder) -> None:
    stored = library.encoders()
    if missing := [name for name in wanted if name not in stored]:
        there = "it has those of " + ", ".join(stored) if stored else "it has none"
        one_alone = next(iter(stored), None)
        other = f", or ask with --encoder {one_alone}" if one_alone else ""
        clips = [] if grounder.clip_s == 2 else ["--clip-length", f"{grounder.clip_s:g}"]
        index = ("spikemba", "index", "VIDEOS", "--encoder", "+".join(wanted))
        raise LibraryError(
            library.folder,
            f"{grounder.name} needs rows of {'+'.join(missing)}; {there}",
            f"run `{command_line(*index, *clips, '--library', library.folder)}`{other}",
        )
    for name, encoder in wanted.items():
        mine = video_manifest(encoder, grounder.clip_s, stored[name].manifest.dtype)
        if _grew(stored[name], encoder):
            mine = mine.model_copy(update={"weights": stored[name].manifest.weights})
        check_encoder(library.folder, stored[name], mine)


def _grew(stored: StoredEncoder, encoder: ClipEncoder) -> bool:
    """Whether the rows were made by an encoder that grew from this one, and sees clips as it did."""
    if stored.manifest.weights == encoder.weights or not hasattr(encoder, "as_of"):
        return False
    (here,) = load_encoders_here(stored.name, EncoderOptions(), {})
    return here.weights == stored.manifest.weights and as_of(here, encoder.weights).weights == encoder.weights

"""Video files and sentences to moments, by a trained checkpoint or without one: `load(name).ground(file, sentence)`."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import overload

from spikemba.checkpoints.grounding import Checkpoint
from spikemba.encoders import TextFeatures
from spikemba.encoders.base import EncoderOptions, check_query, unknown_words
from spikemba.encoders.registry import find_encoder
from spikemba.encoding.videos import EncodedVideo, encode_video
from spikemba.errors import SpikeMbaError
from spikemba.features import row_length_s
from spikemba.grounder.feature_cache import cached_features, is_cached
from spikemba.grounder.models import TrainedModel, ZeroShotModel
from spikemba.grounder.occlusion import WordEffects, word_effects
from spikemba.grounder.result import Grounding
from spikemba.grounding import AnswerPrecision, check_precision
from spikemba.progress import Report, silent
from spikemba.user_folders import load_settings

_log = logging.getLogger(__name__)

_PATIENCE_S = 0.2
"""How long a thread waits for another one's video between two chances to give up."""


def load(
    checkpoint: str | Path | Checkpoint | None = None,
    *,
    encoder: str | None = None,
    options: EncoderOptions | None = None,
    weights: Mapping[str, str | Path] | None = None,
    precision: AnswerPrecision = "fp32",
) -> "Grounder":
    """What finds moments in video files: `load("mini").ground("clip.mp4", "a red circle enters")`.

    checkpoint: the name of a bundled model (`mini`), a run folder, a checkpoint folder, owner/name of a repository on
    the hub, or a loaded Checkpoint.  encoder: compare sentences with clips as this encoder does, without training.
    With neither, what `spikemba ground` takes: the checkpoint of the user's settings, or else CLIP untrained.
    options: device, precision and frames of the encoders.  weights: encoder -> file or folder of its weights.
    precision: of the checkpoint's matrix products; `bf16` is faster where the processor has products in it, and `auto`
    takes it there alone. Encoders have theirs in `options`.
    Raises CheckpointError, WeightsMissing, UnknownName or FeaturesMismatch when it cannot be used here.
    """
    if checkpoint and encoder:
        raise SpikeMbaError("a checkpoint brings its own encoders; give either a checkpoint or encoder=, not both")
    options, paths = options or EncoderOptions(), {name: Path(path) for name, path in (weights or {}).items()}
    source = checkpoint or (None if encoder else load_settings().checkpoint)
    check_precision(precision)
    return Grounder(
        TrainedModel(source, options, paths, precision) if source else ZeroShotModel(encoder, options, paths)
    )


class Grounder:
    """A checkpoint and its encoders, or an encoder of sentences and clips alone, ready to be asked; `load` makes it.

    Several threads may ask one Grounder at once. Answers are computed side by side; videos that are not in the cache
    are decoded one after the other, so that of two threads with one file the second finds what the first read.
    """

    def __init__(self, model: TrainedModel | ZeroShotModel) -> None:
        self.model = model
        self.name, self.encoders, self.text, self.clip_s = model.name, model.encoders, model.text, model.clip_s
        self._decoding, self._wording = threading.Lock(), threading.Lock()

    def __repr__(self) -> str:
        return f"<Grounder {self.name}: clips of {self.clip_s:g} s by {'+'.join(one.name for one in self.encoders)}>"

    @property
    def trained(self) -> bool:
        """Whether a checkpoint answers."""
        return isinstance(self.model, TrainedModel)

    @property
    def calibrated(self) -> bool:
        """Whether scores are probabilities, so that those of several videos can be compared."""
        return self.model.calibrated

    @property
    def limits(self) -> str:
        """One line on all that its encoders know, where they say that it is little; empty: they set no such limit."""
        known = {one.name: _known_of(one.name) for one in self.encoders}
        if not all(known.values()):  # another one sees more; what the sentence is read by counts by itself
            name = getattr(self.text, "name", "")
            known = {name: _known_of(name)}
        said = " and ".join(f"{name} knows {what}" for name, what in known.items() if what)
        return f"{said}, and nothing else of the world: about other footage its answers mean nothing" if said else ""

    def check(self, queries: Sequence[str]) -> list[str]:
        """The queries as they are asked. Raises QueryError."""
        return [check_query(query, self.text.max_words) for query in queries]

    def check_min_exists(self, min_exists: float | None) -> None:
        """Raises SpikeMbaError for what is no probability, and where nothing tells whether a moment exists."""
        is_number = isinstance(min_exists, int | float) and not isinstance(min_exists, bool)
        if min_exists is not None and not (is_number and 0 <= min_exists <= 1):
            raise SpikeMbaError(f"min_exists is {min_exists!r}; expected a probability, from 0 to 1")
        if min_exists and not self.model.tells_existence:
            raise SpikeMbaError(
                f"{self.name} cannot know whether a video shows something at all, so min_exists={min_exists:g} means "
                "nothing to it; leave it out, or ask a checkpoint that was trained with model.heads.exists=true"
            )

    @overload  # a str is a sequence of str, too; where several fit, the first one counts
    def ground(  # type: ignore[overload-overlap]
        self,
        videos: str | Path,
        queries: str,
        *,
        top: int | None = ...,
        min_exists: float | None = ...,
        cache: bool = ...,
        report: Report = ...,
    ) -> Grounding: ...

    @overload
    def ground(
        self,
        videos: str | Path,
        queries: Sequence[str],
        *,
        top: int | None = ...,
        min_exists: float | None = ...,
        cache: bool = ...,
        report: Report = ...,
    ) -> list[Grounding]: ...

    @overload
    def ground(
        self,
        videos: Sequence[str | Path],
        queries: str | Sequence[str],
        *,
        top: int | None = ...,
        min_exists: float | None = ...,
        cache: bool = ...,
        report: Report = ...,
    ) -> list[Grounding]: ...

    def ground(
        self,
        videos: str | Path | Sequence[str | Path],
        queries: str | Sequence[str],
        *,
        top: int | None = None,
        min_exists: float | None = None,
        cache: bool = True,
        report: Report = silent,
    ) -> Grounding | list[Grounding]:
        """The moments of a video file that a sentence describes; where either is a list, a list of results.

        Such a list is flat, by video, then by sentence; each result knows both. A video is decoded once for all
        sentences, or not at all where its features are cached; give sentences together rather than one by one.
        top: moments per result, at most; None: as many as the checkpoint was set to (10).  min_exists: below this there
        is no such moment, from 0, which lets all through, to 1; None: as the checkpoint was calibrated.  cache: keep a
        video's features in the user's cache folder.  report: counts the clips of each video.
        Raises VideoError at the first file that cannot be read, QueryError before any file is.
        """
        if top is not None and top < 1:
            raise SpikeMbaError(f"top is {top}; expected at least 1 moment")
        self.check_min_exists(min_exists)
        files = [videos] if isinstance(videos, str | Path) else videos
        sentences = self.check([queries] if isinstance(queries, str) else queries)
        if not sentences:
            return []
        texts = self._encode_texts(sentences)
        found = [one for file in files for one in self._ask(Path(file), sentences, texts, top, cache, report)]
        if min_exists is not None:
            found = [replace(one, min_exists=min_exists) for one in found]
        return found[0] if isinstance(videos, str | Path) and isinstance(queries, str) else found

    def ground_features(
        self,
        videos: Sequence[tuple[str | Path, EncodedVideo]],
        queries: str | Sequence[str],
        *,
        texts: Sequence[TextFeatures] | None = None,
        top: int | None = None,
    ) -> list[Grounding]:
        """What `ground` finds, from features as `read` gives them, which may have been kept elsewhere.

        Nothing is opened; the paths are names that the results carry. The features must be those of `encoders`, in
        their order: whoever kept them checks that. The list is flat, by video, then by sentence, and all videos are
        asked together, which takes less time than one by one.
        texts: what `encode_queries` made of the same queries.  top: as of `ground`.
        Raises QueryError.
        """
        sentences = self.check([queries] if isinstance(queries, str) else queries)
        named = [(Path(path), encoded) for path, encoded in videos]
        return self._answers(named, sentences, texts or self.encode_queries(sentences), top)

    def encode_queries(self, queries: Sequence[str]) -> list[TextFeatures]:
        """The sentences as the text encoder gives them. Raises QueryError."""
        return self._encode_texts(self.check(queries))

    def word_effects(
        self,
        video: str | Path,
        query: str,
        start_s: float,
        end_s: float,
        *,
        cache: bool = True,
        report: Report = silent,
    ) -> WordEffects:
        """What each word of a sentence does for a moment of a video, `spikemba.grounder.occlusion` says how.

        cache, report: as of `ground`. Of `query` as it is given are the places of its words.
        Raises QueryError for a sentence that cannot be asked or has more than 64 words, SpikeMbaError for a moment that
        is none or behind the video's end, VideoError.
        """
        self.check([query])

        def ask(sentences: Sequence[str]) -> list[Grounding]:
            return self._ask(Path(video), sentences, self._encode_texts(sentences), 1, cache, report)

        return word_effects(ask, query, start_s, end_s, getattr(self.text, "placeholder", ""))

    def has_features(self, video: str | Path) -> bool:
        """Whether a video's features are in the cache, so that a question about it needs not decode it; quick."""
        return is_cached(Path(video), self.encoders, self.clip_s)

    def read(self, video: str | Path, *, cache: bool = True, report: Report = silent) -> EncodedVideo:
        """The features of a video as its encoders give them, from the cache, or by decoding it.

        cache: take them from the user's cache folder, and leave them there for the next question.
        report: counts clips while the video is decoded, and is told 0 now and then while another one is; what it raises
        ends the reading.
        Raises VideoError.
        """
        path = Path(video)
        found = self._read(path, cache, report)
        for what in found.lacks(self.encoders):
            _log.warning("%s: has no %s; its clips have zeros there", path, what)
        return found

    def _read(self, path: Path, cache: bool, report: Report) -> EncodedVideo:
        encode = cached_features if cache else encode_video
        if cache and self.has_features(path):
            return encode(path, self.encoders, self.clip_s, report)
        while not self._decoding.acquire(timeout=_PATIENCE_S):
            report(0, None)
        try:
            return encode(path, self.encoders, self.clip_s, report)
        finally:
            self._decoding.release()

    def _ask(
        self,
        video: Path,
        sentences: Sequence[str],
        texts: Sequence[TextFeatures],
        top: int | None,
        cache: bool,
        report: Report,
    ) -> list[Grounding]:
        encoded = self.read(video, cache=cache, report=report)
        return self._answers([(video, encoded)], sentences, texts, top)

    def _answers(
        self,
        videos: Sequence[tuple[Path, EncodedVideo]],
        sentences: Sequence[str],
        texts: Sequence[TextFeatures],
        top: int | None,
    ) -> list[Grounding]:
        answers = self.model.answers([encoded for _, encoded in videos], texts, top)
        found = []
        for video, encoded in videos:
            row_s = row_length_s(min(map(len, encoded.features)), encoded.duration_s, self.clip_s)
            for sentence, answer in zip(sentences, islice(answers, len(sentences)), strict=True):
                how = encoded.duration_s, row_s, answer, self.name, self.model.min_exists
                unknown = unknown_words(self.text, sentence)
                found.append(Grounding(video, sentence, *how, unknown_words=unknown, calibrated=self.calibrated))
        return found

    def _encode_texts(self, sentences: Sequence[str]) -> list[TextFeatures]:
        """One thread at a time: the hook that reads CLIP's states would see those of another thread's sentence, and
        tokenizers that pad keep how they pad.
        """
        with self._wording:
            return self.text.encode_texts(sentences)


def _known_of(name: str) -> str:
    """What the entry of an encoder says that it alone knows; empty for one that no registry names."""
    try:
        entry, inner = find_encoder(name), name.partition(":")[2]
        return _known_of(inner) if entry.of_another is not None and inner else entry.knows
    except SpikeMbaError:
        return ""

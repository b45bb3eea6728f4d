"""Names of the files that are made of answers: no two of one run are the same, and none is that of a video asked."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from spikemba.files import refuse_file_name
from spikemba.video.folders import absolute
from spikemba.video.names import digest, file_about

PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")
"""Suffixes of pictures of answers."""
LONGEST_SLUG = 40
"""Letters of a sentence in a file's name."""


def is_picture(plot: Path) -> bool:
    """Whether `--plot` names one picture, and no folder."""
    return not plot.is_dir() and plot.suffix.lower() in PICTURES


def refuse_other_files(plot: Path | None, cut: Path | None) -> None:
    """Raise SpikeMbaError where `--plot` or `--cut` names a file that cannot be made; needs no torch."""
    if plot is not None and not is_picture(plot):
        refuse_file_name("--plot", plot, " ".join(PICTURES))
    if cut is not None:
        refuse_file_name("--cut", cut)


class OutputNames:
    """Hands out the names of one run. The same run again hands out the same ones."""

    def __init__(self, videos: Mapping[str, Path], sentences: Sequence[str]) -> None:
        """videos: identifier -> file.  sentences: all that are asked."""
        self._taken = {_key(path) for path in videos.values()}
        slugs = {sentence: slug(sentence) for sentence in sentences}
        times = Counter(slugs.values())
        self._slugs = {
            sentence: slug if times[slug] == 1 else f"{slug}-{digest(sentence)}" for sentence, slug in slugs.items()
        }

    def of_video(self, folder: Path, video_id: str, suffix: str) -> Path:
        """The file about all answers of a video."""
        return self._free(folder, video_id, suffix)

    def of_moment(self, folder: Path, video_id: str, sentence: str, rank: int, *, suffix: str) -> Path:
        """The file of one moment, the rank-th best for the sentence."""
        return self._free(folder, video_id, f"_{self._slugs[sentence]}_{rank}{suffix}")

    def _free(self, folder: Path, video_id: str, ending: str) -> Path:
        path, tries = file_about(folder, video_id, ending), 0
        while _key(path) in self._taken:
            tries += 1
            path = file_about(folder, f"{video_id}-{digest(f'{video_id}{ending}{tries}')}", ending)
        self._taken.add(_key(path))
        return path


def _key(path: Path) -> str:
    """The same for two paths that some disks take for one: letters in both cases, accents as one sign or two."""
    return unicodedata.normalize("NFC", str(absolute(path))).casefold()


def slug(sentence: str) -> str:
    """The sentence as part of a file name; one that is cut, or of which nothing is left, ends in its digest."""
    whole = re.sub(r"\W+", "-", sentence.lower()).strip("-")
    if 0 < len(whole) <= LONGEST_SLUG:
        return whole
    return f"{whole[:LONGEST_SLUG].strip('-') or 'query'}-{digest(sentence)}"

"""Changing a library of LanceDB: without a lock, each change one commit of its log, whoever else writes meanwhile."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from spikemba.errors import FeaturesMismatch, LibraryError
from spikemba.features import Manifest, row_length_s
from spikemba.library.address import Address
from spikemba.library.lance.log import ENCODER_GONE, GONE, SETTING, TEXTS, VIDEO, LoggedVideo, Rows
from spikemba.library.lance.place import LOG, told
from spikemba.library.lance.rows import arrow, new_entry
from spikemba.library.lance.store import Store
from spikemba.library.lance.upkeep import compact
from spikemba.library.lance.vector_index import IndexSettings
from spikemba.library.matrix import Half
from spikemba.library.names import encoder_file
from spikemba.library.rows import Run, StoredEncoder, StoredVideo, Text, read_encoders, read_videos, runs_of
from spikemba.library.writer import FileState, NewVideo, check_encoder

_TRIES = 5
"""How often a name that another process took at the same moment is looked for anew."""


@contextmanager
def changing_lance(address: Address, *, make: bool = True) -> Iterator["LanceWriter"]:
    """Change a library.  make: it is made where there is none. Raises LibraryError, OutputError, PackageMissing."""
    store = Store(address, make=make)
    try:
        yield LanceWriter(store)
    finally:
        store.close()


class LanceWriter:
    """What can be done to a library; every method that changes it is one commit of the log."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, store.address

    def encoders(self) -> dict[str, StoredEncoder]:
        """Name -> encoder."""
        return read_encoders(self.store.catalogue.connection)

    def videos(self) -> list[StoredVideo]:
        """All files, by path."""
        return list(read_videos(self.store.catalogue.connection))

    def runs(self, video: int) -> dict[int, Run]:
        """Encoder's id -> where the video's rows are."""
        return runs_of(self.store.catalogue.connection, video)

    def encoders_of_videos(self) -> dict[int, frozenset[str]]:
        """Video's id -> names of the encoders that it has rows of."""
        names = {one.id: name for name, one in self.encoders().items()}
        found: dict[int, set[str]] = {}
        for video, encoder in self.store.catalogue.connection.execute("SELECT video, encoder FROM runs"):
            found.setdefault(video, set()).add(names[encoder])
        return {video: frozenset(encoders) for video, encoders in found.items()}

    def texts(self) -> dict[tuple[int, str], list[Text]]:
        """(video, source) -> what it says."""
        ids = {str(one.path): one.id for one in self.videos()}
        said = self.store.state.texts
        return {(ids[path], source): list(texts) for path, by in said.items() for source, texts in by.items()}

    def add_encoder(self, manifest: Manifest) -> StoredEncoder:
        """The encoder's place in the library. Raises LibraryError when its rows there were made otherwise."""
        for _ in range(_TRIES):
            # before the encoders are read: a table that comes between the two is known, and not merely taken
            names = self.store.place.names()
            self.store.refresh()
            known = self.encoders().get(manifest.encoder)
            check_encoder(self.folder, known, manifest)
            if known is not None:
                return known
            taken = {LOG, *names, *self.store.state.encoders_gone}
            self.store.place.make_rows(encoder_file(manifest.encoder, taken), manifest)
        raise LibraryError(self.folder, f"no place was found for {manifest.encoder}", "run the same command again")

    def take_in(self, videos: Sequence[NewVideo]) -> None:
        """Add videos, or renew those whose path is there; rows that are there already are not written again.

        Rows are written first; one commit makes them exist. Raises FeaturesMismatch for rows of another width.
        """
        encoders = self.encoders()
        parts: dict[str, list[tuple[int, Half]]] = {}
        records = []
        for one in videos:
            logged = self._logged(one.file, one.duration_s)
            for name, rows in one.rows.items():
                encoder = encoders[name]
                if encoder.file in logged.runs:
                    continue
                if rows.ndim != 2 or rows.shape[1] != encoder.dim or not len(rows):
                    raise FeaturesMismatch(f"{one.file.path}: rows of {name} are {rows.shape}, not (n, {encoder.dim})")
                entry = new_entry()
                parts.setdefault(encoder.file, []).append((entry, rows))
                row_s = row_length_s(len(rows), one.duration_s, encoder.clip_s)
                logged.runs[encoder.file] = Rows(entry, len(rows), row_s)
            records.append((VIDEO, logged.to_value()))
        dims = {one.file: one.dim for one in encoders.values()}
        with told(self.folder):
            for file, rows_of_file in parts.items():
                self.store.tables[file].add(arrow(rows_of_file, dims[file]))
        self.store.append(records)

    def copy(self, source: StoredVideo, to: FileState) -> bool:
        """Add a copy of a video that is there, which shares its rows; False when it is there no more, or another."""
        now = self.store.state.videos.get(str(source.path))
        if now is None or now.digest != to.digest or now.problem is not None:
            return False
        logged = self._logged(to, now.duration_s)
        logged.runs.update({file: rows for file, rows in now.runs.items() if file not in logged.runs})
        self.store.append([(VIDEO, logged.to_value())])
        return True

    def note_problem(self, file: FileState, problem: str) -> None:
        """Keep in mind that a video cannot be read; rows of a file that was there before go."""
        self.store.append([(VIDEO, self._logged(file, None, problem).to_value())])

    def restate(self, video: StoredVideo, file: FileState) -> None:
        """The same video at another path, or at another time, in one commit. What stood at that path goes."""
        now = self.store.state.videos[str(video.path)]
        state = {"path": str(file.path), "size": file.size, "mtime_ns": file.mtime_ns, "digest": file.digest}
        records: list[tuple[str, dict[str, Any]]] = []
        if file.path != video.path:
            records = [(GONE, {"path": str(path)}) for path in (file.path, video.path)]
            said = self.store.state.texts.get(str(video.path), {})
            records.append((VIDEO, now.to_value() | state))
            records += [_said(str(file.path), source, file.digest, texts) for source, texts in said.items()]
        else:
            records.append((VIDEO, now.to_value() | state))
        self.store.append(records)

    def drop(self, ids: Sequence[int]) -> None:
        """Take videos out; `compact` removes their rows."""
        wanted = set(ids)
        self.store.append([(GONE, {"path": str(one.path)}) for one in self.videos() if one.id in wanted])

    def drop_encoder(self, name: str) -> None:
        """Take out all rows of an encoder."""
        file = self.encoders()[name].file
        self.store.append([(ENCODER_GONE, {"table": file})])
        self.store.place.drop(file)
        self.store.refresh()

    def replace_texts(self, changes: Mapping[tuple[int, str], Sequence[Text]]) -> None:
        """Replace what sources (`subtitles`, say) say of videos: (video, source) -> texts."""
        known = {one.id: one for one in self.videos()}
        self.store.append(
            [
                _said(str(known[video].path), source, known[video].digest, texts)
                for (video, source), texts in changes.items()
                if video in known
            ]
        )

    def tune(self, name: str, settings: IndexSettings) -> None:
        """Keep how an encoder's index is made and asked."""
        self.store.append([(SETTING, {"table": self.encoders()[name].file, "settings": vars(settings)})])

    def compact(
        self, report: Callable[[int, int | None], None] = lambda done, total: None, *, rebuild: bool = False
    ) -> int:
        """Remove what nothing names, bring small files together and the indices up to date; returns rows removed."""
        return compact(self.store, report, rebuild=rebuild)

    def _logged(self, file: FileState, duration_s: float | None, problem: str | None = None) -> LoggedVideo:
        """The file as a record says it, with the rows that it has already."""
        before = self.store.state.videos.get(str(file.path))
        same = before is not None and (before.size, before.digest) == (file.size, file.digest)
        runs = dict(before.runs) if before is not None and same and problem is None else {}
        runs = {table: rows for table, rows in runs.items() if table in self.store.tables}
        added_s = before.added_s if before is not None else time.time()
        state = str(file.path), file.size, file.mtime_ns, file.digest
        return LoggedVideo(*state, duration_s, problem, added_s, runs)


def _said(path: str, source: str, digest: str, texts: Sequence[Text]) -> tuple[str, dict[str, Any]]:
    """What a source says of a file, which holds for that content alone."""
    return TEXTS, {"path": path, "source": source, "digest": digest, "texts": [list(text) for text in texts]}

"""What a log says, as a database on this machine: the same tables that a local library has, without its matrices.

Everything that asks about videos, copies, texts and conditions asks it as it asks a local library. A video keeps its
number as long as the database is there, whatever the log brings; `first_row` of its rows is their entry.
"""

import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree
from weakref import finalize

from spikemba.features import Manifest
from spikemba.library.lance.log import LoggedVideo, State
from spikemba.library.rows import MOST_VALUES, Text
from spikemba.library.schema import connect_to_write, stored_path


class Catalogue:
    """A folder with library.sqlite, removed at the end of the process at the latest."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="spikemba-library-"))
        self._remove = finalize(self, rmtree, self.folder, ignore_errors=True)
        self.connection = connect_to_write(self.folder)
        self.connection.execute("PRAGMA synchronous = OFF")
        self._videos: dict[str, LoggedVideo] = {}
        self._texts: dict[str, object] = {}

    def close(self) -> None:
        """Remove it."""
        self.connection.close()
        self._remove()

    def bring_up(self, state: State, encoders: Mapping[str, tuple[str, Manifest, int]]) -> None:
        """Change what changed. encoders: table -> name, what made the rows, their number."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            tables = self._put_encoders(encoders)
            gone = [path for path in self._videos if path not in state.videos]
            for i in range(0, len(gone), MOST_VALUES):
                part = [stored_path(Path(path)) for path in gone[i : i + MOST_VALUES]]
                self.connection.execute(f"DELETE FROM videos WHERE path IN ({', '.join('?' * len(part))})", part)
            for path, video in state.videos.items():
                if self._videos.get(path) != video:
                    self._put_video(video)
            self._put_runs(state, tables)
            for path in state.videos:
                if self._texts.get(path, {}) != (said := state.texts.get(path, {})):
                    self._put_texts(path, said)
        except sqlite3.Error:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        self._videos = dict(state.videos)
        self._texts = {path: said for path, said in state.texts.items() if path in state.videos}

    def _put_encoders(self, encoders: Mapping[str, tuple[str, Manifest, int]]) -> dict[str, int]:
        """Table -> number of the encoder."""
        self.connection.execute("DELETE FROM runs")
        there = set()
        for file, made in self.connection.execute("SELECT file, manifest FROM encoders").fetchall():
            if file in encoders and encoders[file][1].model_dump_json() == made:
                there.add(file)
            else:  # gone, or of a library that lay here before
                self.connection.execute("DELETE FROM encoders WHERE file = ?", (file,))
        for file, (name, manifest, n_rows) in encoders.items():
            if file in there:
                self.connection.execute("UPDATE encoders SET n_rows = ? WHERE file = ?", (n_rows, file))
                continue
            values = (name, manifest.model_dump_json(), manifest.weights, manifest.dim, manifest.clip_s, file, n_rows)
            self.connection.execute(
                "INSERT INTO encoders (name, manifest, weights, dim, clip_s, file, n_rows) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
        return dict(self.connection.execute("SELECT file, id FROM encoders").fetchall())

    def _put_video(self, video: LoggedVideo) -> None:
        path = Path(video.path)
        state = video.size, video.mtime_ns, video.digest, video.duration_s, video.problem, video.added_s
        self.connection.execute(
            "INSERT INTO videos (path, name, size, mtime_ns, digest, duration_s, problem, added_s) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET size = excluded.size, "
            "mtime_ns = excluded.mtime_ns, digest = excluded.digest, duration_s = excluded.duration_s, "
            "problem = excluded.problem",
            (stored_path(path), stored_path(Path(path.name)), *state),
        )

    def _put_runs(self, state: State, tables: Mapping[str, int]) -> None:
        ids = dict(self.connection.execute("SELECT path, id FROM videos").fetchall())
        runs = [
            (ids[stored_path(Path(path))], tables[table], *rows)
            for path, video in state.videos.items()
            for table, rows in video.runs.items()
            if table in tables
        ]
        self.connection.executemany(
            "INSERT INTO runs (video, encoder, first_row, n_rows, row_s) VALUES (?, ?, ?, ?, ?)", runs
        )

    def _put_texts(self, path: str, said: Mapping[str, list[Text]]) -> None:
        (id_,) = self.connection.execute("SELECT id FROM videos WHERE path = ?", (stored_path(Path(path)),)).fetchone()
        self.connection.execute("DELETE FROM texts WHERE video = ?", (id_,))
        self.connection.executemany(
            "INSERT INTO texts (video, source, start_s, end_s, text) VALUES (?, ?, ?, ?, ?)",
            [(id_, source, *text) for source, texts in said.items() for text in texts],
        )

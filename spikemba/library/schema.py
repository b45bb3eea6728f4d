"""library.sqlite: its tables, and connections to it that write, or read whatever may be written.

    encoders  one matrix each: LIBRARY/<file>.f16 and <file>.norms.f32, of which n_rows rows exist
    videos    every file that was looked at, those that could not be read with their problem
    runs      a video's rows in an encoder's matrix: n_rows of them from first_row on, row_s seconds each
    clips     a view with a row per clip
    leftovers matrices that nothing names: being written, or to be removed
    texts     what is written about a video or a stretch of it, searched as texts_found (FTS5)

Rows of a matrix that no run names are holes, or what a killed process left; nobody reads them.
"""

import os
import sqlite3
from pathlib import Path

from spikemba.errors import LibraryError, NoLibrary, command_line, index_command

FILE = "library.sqlite"
VERSION = 1
"""Raised whenever a library of the release before could not be read or written as it is."""
APPLICATION = 0x53704C62
"""What says in the file's head that it is one of ours ("SpLb")."""
WAIT_S = 60.0
"""How long a statement waits for another process's transaction."""

TABLES = """
CREATE TABLE encoders (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, manifest TEXT NOT NULL, weights TEXT, dim INTEGER NOT NULL,
    clip_s REAL NOT NULL, file TEXT NOT NULL UNIQUE, n_rows INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE videos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path NOT NULL UNIQUE, name NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL, duration_s REAL, problem TEXT, added_s REAL NOT NULL
);
CREATE INDEX videos_digest ON videos (digest);
CREATE TABLE runs (
    video INTEGER NOT NULL REFERENCES videos ON DELETE CASCADE, encoder INTEGER NOT NULL REFERENCES encoders,
    first_row INTEGER NOT NULL, n_rows INTEGER NOT NULL CHECK (n_rows > 0), row_s REAL NOT NULL,
    PRIMARY KEY (encoder, video)
) WITHOUT ROWID;
CREATE INDEX runs_in_order ON runs (encoder, first_row);
CREATE INDEX runs_of_video ON runs (video);
CREATE TABLE leftovers (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE texts (
    id INTEGER PRIMARY KEY, video INTEGER NOT NULL REFERENCES videos ON DELETE CASCADE, source TEXT NOT NULL,
    start_s REAL, end_s REAL, text TEXT NOT NULL
);
CREATE INDEX texts_of_video ON texts (video);
CREATE VIRTUAL TABLE texts_found USING fts5 (
    text, content = 'texts', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER texts_added AFTER INSERT ON texts BEGIN
    INSERT INTO texts_found (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER texts_gone AFTER DELETE ON texts BEGIN
    INSERT INTO texts_found (texts_found, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE VIEW clips AS
    WITH RECURSIVE step (video, encoder, clip, n_rows, first_row, row_s) AS (
        SELECT video, encoder, 0, n_rows, first_row, row_s FROM runs
        UNION ALL
        SELECT video, encoder, clip + 1, n_rows, first_row, row_s FROM step WHERE clip + 1 < n_rows
    )
    SELECT videos.path, step.video, encoders.name AS encoder, encoders.weights, step.clip,
        min(step.clip * step.row_s, videos.duration_s) AS start_s,
        min((step.clip + 1) * step.row_s, videos.duration_s) AS end_s, step.first_row + step.clip AS row
    FROM step JOIN videos ON videos.id = step.video JOIN encoders ON encoders.id = step.encoder;
"""


def connect_to_write(folder: Path) -> sqlite3.Connection:
    """The library's database, made where there is none. Raises LibraryError, OSError, sqlite3.Error."""
    folder.mkdir(parents=True, exist_ok=True)
    connection = _open(folder, "rwc")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0 and not _tables(connection):
            _make(connection)
        _check(connection, folder)
        # NORMAL would be enough for a whole database, not for rows that must be there once their npz is deleted
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(folder: Path) -> sqlite3.Connection:
    """The library's database, read alone; the folder need not be writable. Raises LibraryError."""
    if not (folder / FILE).is_file():
        raise NoLibrary(folder)
    try:
        connection = _open(folder, "ro")
        _check(connection, folder)
    except sqlite3.OperationalError as error:
        connection = _immutable(folder, error)
        _check(connection, folder)
    except sqlite3.DatabaseError as error:
        raise damaged(folder, error) from None
    return connection


def damaged(folder: Path | str, error: Exception | str) -> LibraryError:
    """What to say of a database that SQLite cannot read."""
    cure = f"move {FILE} away and run `{index_command(folder)}`, which takes its videos in anew"
    return LibraryError(folder, f"{FILE} is damaged ({error})", cure)


def stored_path(path: Path) -> str | bytes:
    """A path as a column holds it: text, or the bytes of one that is no text, which SQLite could not hold."""
    text = str(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return os.fsencode(text)
    return text


def path_stored(value: str | bytes) -> str:
    """The path that a column holds."""
    return os.fsdecode(value) if isinstance(value, bytes) else value


def _open(folder: Path, mode: str, more: str = "") -> sqlite3.Connection:
    address = (folder / FILE).absolute().as_uri() + f"?mode={mode}{more}"
    return sqlite3.connect(address, uri=True, timeout=WAIT_S, isolation_level=None, check_same_thread=False)


def _immutable(folder: Path, error: sqlite3.OperationalError) -> sqlite3.Connection:
    """A library whose folder cannot be written: SQLite can then not keep its own notes beside the file."""
    left = folder / f"{FILE}-wal"
    if left.exists() and left.stat().st_size:
        check = command_line("spikemba", "library", "check", "--library", folder)
        cure = f"let somebody who may write it run `{check}`, which brings it in"
        raise LibraryError(folder, f"it cannot be written, and {left.name} holds changes not brought in", cure)
    if os.access(folder, os.W_OK) and os.access(folder / FILE, os.W_OK):
        raise LibraryError(folder, f"{FILE} cannot be opened ({error})", "run the same command again")
    return _open(folder, "ro", "&immutable=1")


def _tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def _make(connection: sqlite3.Connection) -> None:
    """All tables or none: who is killed here leaves an empty file."""
    connection.execute("PRAGMA journal_mode = WAL")
    head = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
    connection.executescript(f"BEGIN IMMEDIATE; {TABLES} {head} COMMIT;")


def _check(connection: sqlite3.Connection, folder: Path) -> None:
    """Raises LibraryError for a file of another program or release."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION:
        found = "it is empty" if not (application or version or _tables(connection)) else "it is of another program"
        raise LibraryError(folder, f"{FILE} is no library ({found})", "choose another folder with --library")
    if version != VERSION:
        newer = version > VERSION
        cure = "update spikemba (`pip install -U spikemba`)" if newer else "index into another folder with --library"
        raise LibraryError(folder, f"it is of version {version}; this release reads version {VERSION}", cure)

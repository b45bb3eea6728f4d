"""A library of LanceDB as one process sees it: its log as it was last read, its tables, and its catalogue."""

import threading
from collections.abc import Sequence
from typing import Any

from spikemba.errors import NoLibrary
from spikemba.features import Manifest
from spikemba.library.address import Address
from spikemba.library.lance.catalogue import Catalogue
from spikemba.library.lance.log import Record, State, folded, new_records, of_arrow, to_arrow
from spikemba.library.lance.place import Place, identity, read_manifest, told
from spikemba.library.lance.vector_index import IndexSettings


class Store:
    """What readers and writers stand on; all of it is of one state until `refresh`."""

    def __init__(self, address: Address, *, make: bool = False) -> None:
        self.address, self.place = address, Place(address)
        self._mutex = threading.RLock()
        log = self.place.log(make=make)
        if log is None:
            raise NoLibrary(address)
        self.log: Any = log
        self.records: list[Record] = []
        self.state = State()
        self.tables: dict[str, Any] = {}
        """Of the encoders that are there, by their names."""
        self.manifests: dict[str, tuple[str, Manifest]] = {}
        """Table -> encoder, and what made its rows."""
        self._version: tuple[str | None, int] | None = None
        """Of the log as it was read: whose it is, and how often it was written."""
        self.catalogue = Catalogue()
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    @property
    def identity(self) -> str | None:
        """Of the library: another one that is made in its place has another."""
        return identity(self.log)

    def close(self) -> None:
        """Let go of what is kept on this machine."""
        self.catalogue.close()

    def refresh(self) -> None:
        """Read what others have written since."""
        with self._mutex, told(self.address):
            self._follow_log()
            whose, version = identity(self.log), self.log.version
            if whose is None or (whose, version) != self._version:
                self.records = of_arrow(self.log.to_arrow())
                self._version = whose, version
            # rows are written before the record that names them, so tables are opened after it was read
            found = self.place.encoder_tables()
            self._bring_up(found)

    def _follow_log(self) -> None:
        """The log as it is now; of another library, where one was made in this one's place."""
        try:
            self.log.checkout_latest()
        except (OSError, RuntimeError, ValueError):
            log = self.place.log()
            if log is None:
                raise NoLibrary(self.address) from None
            self.log = log

    def append(self, parts: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Add records, in one commit; they are seen here at once."""
        if not parts:
            return
        with self._mutex, told(self.address):
            records = new_records(self.state, parts)
            self.log.add(to_arrow(records, self.log.schema))
            self.records += records
            self._version = None
            self._bring_up(self.tables)

    def settings(self, table: str) -> IndexSettings:
        """How a table's index is made and asked."""
        known = set(vars(IndexSettings()))
        return IndexSettings(**{k: v for k, v in self.state.settings.get(table, {}).items() if k in known})

    def _bring_up(self, tables: dict[str, Any]) -> None:
        self.state = folded(self.records)
        self.tables = {name: table for name, table in tables.items() if self.state.is_live(name)}
        self.manifests = {name: read_manifest(table) for name, table in self.tables.items()}
        encoders = {name: (*self.manifests[name], table.count_rows()) for name, table in self.tables.items()}
        self.catalogue.bring_up(self.state, encoders)

"""The LanceDB database of a library: its connection, its tables, and what to say when it cannot be reached."""

import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from spikemba.errors import LibraryError, OutputError, PackageMissing, SpikeMbaError, command_line
from spikemba.features import Manifest
from spikemba.libraries import is_installed, library
from spikemba.library.address import Address, is_remote
from spikemba.library.lance.rows import schema
from spikemba.video.folders import absolute

LOG = "log"
VERSION = "1"
"""Raised whenever a library of the release before could not be read or written as it is."""
MARK, IDENTITY = b"spikemba_library", b"spikemba_identity"
MANIFEST, NAME = b"spikemba_manifest", b"spikemba_encoder"
"""Metadata of the tables: the version; what no other library has; what made the rows, the encoder's name."""
QUICK = {"client_max_retries": "2", "client_retry_timeout": "20", "connect_timeout": "5s", "timeout": "120s"}
"""An object store that does not answer is said within seconds."""

_ROOM = "make room and run the same command again; what was there before is as it was"
_AGAIN = "nothing was lost: run the same command again"
_KEYS = {
    "gs": "check GOOGLE_SERVICE_ACCOUNT (a file) or GOOGLE_SERVICE_ACCOUNT_KEY and who may use the bucket",
    "az": "check AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY and who may use the container",
    "": "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and who may use the bucket",
}
"""How an address begins -> what opens such a store; S3 otherwise."""
_ENDPOINTS = {
    "gs": "the network",
    "az": "the network and AZURE_STORAGE_ENDPOINT",
    "": "the network and AWS_ENDPOINT_URL",
}
_FAULTS = (
    (r"no space left|quota ?exceeded|disk full|storage ?full|os error 28", "there is no room left", _ROOM),
    (r"NoSuchBucket|bucket.{0,40}does not exist", "there is no such bucket", "make it, or name another with --library"),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AccessDenied|InvalidToken|ExpiredToken|Forbidden|Unauthorized"
        r"|PermissionDenied|status: 40[13]|169\.254\.169\.254|credential|Invalid Access Key|no storage account",
        "access was refused",
        "{keys}",
    ),
    (r"permission denied|read-only file system", "it cannot be written or read", "choose another one with --library"),
    (r"resolve region", "it is not known in which region the bucket is", "set AWS_REGION, and check the network"),
    (
        r"ConnectError|kind: Connect|dns error|timed? ?out|TimedOut|connection (refused|reset|closed)|RetryError"
        r"|error sending",
        "the object store cannot be reached",
        f"check {{endpoint}}; {_AGAIN}",
    ),
    (r"commit conflict|concurrent|conflict", "another process changed it at the same moment", _AGAIN),
)
"""Pattern in what LanceDB says, problem, cure; {keys} and {endpoint} are those of the store."""


def check_installed() -> None:
    """Raises PackageMissing."""
    if not is_installed("lancedb"):
        raise PackageMissing("lancedb", "a library of LanceDB", "library")


@contextmanager
def told(address: Address) -> Iterator[None]:
    """What LanceDB raises as the one line that says it: LibraryError, or OutputError where there is no room."""
    try:
        yield
    except SpikeMbaError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())
        said = without_places(text, address)
        for pattern, problem, cure in _FAULTS:
            if re.search(pattern, said, re.IGNORECASE):
                store = str(address).partition("://")[0]
                mend = cure.format(keys=_KEYS.get(store, _KEYS[""]), endpoint=_ENDPOINTS.get(store, _ENDPOINTS[""]))
                raise (OutputError if cure == _ROOM else LibraryError)(address, problem, mend) from error
        check = command_line("spikemba", "library", "check", "--library", address)
        raise LibraryError(address, f"LanceDB says: {text[:200]}", f"run `{check}`") from error


def without_places(text: str, address: Address) -> str:
    """What LanceDB says without the names that people gave: the library's address, and whatever lies below it."""
    forms = {str(address)}
    if isinstance(address, Path):
        forms |= {str(absolute(address)), str(address.resolve())}
    else:
        forms.add(address.partition("://")[2])
    forms |= {quote(form) for form in forms}
    forms |= {form.lstrip("/") for form in forms}
    below = r"""(?:/[^\s"',;)]*)"""
    for form in sorted(forms - {"", "."}, key=len, reverse=True):
        # a name of one word may be a word of the message, too
        text = re.sub(re.escape(form) + (f"{below}?" if "/" in form else below), "", text)
    return text


class Place:
    """The database's tables. Every method raises LibraryError or OutputError for what is wrong outside."""

    def __init__(self, address: Address) -> None:
        check_installed()
        with library("lancedb"):
            import lancedb
        self.address = address
        with told(address):
            options = _storage_options(os.environ) if is_remote(address) else None
            self._database: Any = lancedb.connect(str(address), storage_options=options)

    def log(self, *, make: bool = False) -> Any:
        """The log's table; None where there is no library and none is to be made."""
        with told(self.address):
            table = self._open(LOG)
            if table is None and make:
                table = self._made(LOG, _log_schema())
        if table is None:
            return None
        version = (table.schema.metadata or {}).get(MARK, b"").decode()
        if version != VERSION:
            problem = f"its log is of version {version or 'none'}; this release reads version {VERSION}"
            raise LibraryError(self.address, problem, "update spikemba, or choose another place with --library")
        return table

    def encoder_tables(self) -> dict[str, Any]:
        """Name of the table -> table, of all tables of rows."""
        found = {}
        with told(self.address):
            for name in self.names():
                table = self._open(name) if name != LOG else None
                if table is not None and MANIFEST in (table.schema.metadata or {}):
                    found[name] = table
        return found

    def names(self) -> list[str]:
        """Of all tables, whole or not."""
        with told(self.address):
            return list(self._database.list_tables(limit=10_000).tables)

    def make_rows(self, file: str, manifest: Manifest) -> None:
        """A table for an encoder's rows, unless another process was quicker."""
        metadata = {MARK: VERSION, NAME: json.dumps(manifest.encoder), MANIFEST: manifest.model_dump_json()}
        with told(self.address):
            self._made(file, schema(manifest.dim, {key.decode(): value for key, value in metadata.items()}))

    def drop(self, file: str) -> None:
        """Remove a table, if it is there."""
        with told(self.address):
            self._database.drop_table(file, ignore_missing=True)

    def _open(self, name: str) -> Any:
        try:
            return self._database.open_table(name)
        except ValueError as error:
            if "was not found" in str(error):  # or a killed process had only begun to make it
                return None
            raise

    def _made(self, name: str, columns: Any) -> Any:
        try:
            return self._database.create_table(name, schema=columns, mode="create")
        except ValueError as error:
            if "already exists" not in str(error):
                raise
        return self._open(name)


def read_manifest(table: Any) -> tuple[str, Manifest]:
    """Name of the encoder, and what made the rows of a table."""
    name = json.loads(table.schema.metadata[NAME])
    return name, Manifest.parse(json.loads(table.schema.metadata[MANIFEST]), f"the manifest of {name}")


def identity(log: Any) -> str | None:
    """Of the library whose log it is; None of one that was made before they had any."""
    found = (log.schema.metadata or {}).get(IDENTITY)
    return None if found is None else found.decode()


def _storage_options(environment: Mapping[str, str]) -> dict[str, str]:
    """What LanceDB does not take from the environment by itself."""
    options = dict(QUICK)
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
    if endpoint:
        options["endpoint"] = endpoint
        if not (environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")):
            options["region"] = "us-east-1"
    if endpoint.startswith("http://"):
        options["allow_http"] = "true"
    return options


def _log_schema() -> Any:
    import pyarrow as pa

    columns = [("seq", pa.int64()), ("uid", pa.string()), ("kind", pa.string()), ("value", pa.string())]
    metadata = {MARK.decode(): VERSION, IDENTITY.decode(): secrets.token_hex(16)}
    return pa.schema([pa.field(*column, nullable=False) for column in columns], metadata)

"""Public files by direct link: fetched with progress, gone on with where a fetch broke off, checked, and unpacked
without letting an archive write elsewhere or fill the disk."""

import hashlib
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from spikemba.datasets.benchmark import Download
from spikemba.errors import DownloadError, OutputError
from spikemba.files import write_text
from spikemba.progress import Report, silent
from spikemba.reading import unpacking
from spikemba.reading.unpacking import ARCHIVES
from spikemba.reading.unreadable import Unreadable

_BLOCK = 1 << 20
TIMEOUT_S = 30.0


def fetch(wanted: Download, folder: Path, report: Report = silent) -> Path:
    """The file in `folder`, fetched unless it is there and right; archives are unpacked beside it.

    A fetch that broke off goes on where it stopped (NAME.part). report counts bytes.
    Raises DownloadError when the address does not answer, or what it gives is not the file that is meant; OutputError.
    """
    path = folder / wanted.name
    if not (path.is_file() and (wanted.sha256 is None or _sha256(path) == wanted.sha256)):
        _check_address(wanted.url)
        part = folder / f"{wanted.name}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _fetch_into(part, wanted, report)
        except HTTPError as error:
            raise DownloadError(wanted.url, f"answers {error.code} {error.reason}", folder / wanted.name) from None
        except (URLError, TimeoutError, ConnectionError, SSLError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise DownloadError(wanted.url, f"cannot be reached ({reason})", folder / wanted.name) from None
        except OSError as error:
            raise OutputError(part, (error.strerror or str(error)).lower()) from None
        _check(part, wanted)
        part.replace(path)
    if wanted.name.endswith(ARCHIVES):
        unpack(path, folder, wanted.max_bytes)
    return path


def _check_address(url: str) -> None:
    if urlparse(url).scheme not in ("http", "https"):
        raise DownloadError(url, "is not an http address", Path())


def _fetch_into(part: Path, wanted: Download, report: Report) -> None:
    """Append what is missing to `part`; the server may also send everything again."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(wanted.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        if have and error.code == 416:  # nothing is left to send: it was complete
            return
        raise
    with answer:
        goes_on = answer.status == 206
        length = answer.headers.get("Content-Length")
        done = have if goes_on else 0
        total = done + int(length) if length is not None else None
        with part.open("ab" if goes_on else "wb") as file:
            while block := answer.read(_BLOCK):
                done += len(block)
                if done > wanted.max_bytes:
                    raise DownloadError(wanted.url, f"gives more than {wanted.max_bytes:,} bytes", part)
                file.write(block)
                report(done, total)
        if total is not None and done < total:
            raise DownloadError(wanted.url, f"stopped after {done:,} of {total:,} bytes", part)


def _check(part: Path, wanted: Download) -> None:
    found = _sha256(part)
    if wanted.sha256 is None:
        write_text(part.with_name(f"{wanted.name}.sha256"), f"{found}  {wanted.name}\n")
    elif found != wanted.sha256:
        part.unlink()
        raise DownloadError(
            wanted.url, f"gives another file: its SHA-256 is {found[:12]}, expected {wanted.sha256[:12]}", part
        )


def unpack(archive: Path, folder: Path, max_bytes: int) -> list[Path]:
    """Unpack below `folder`, as `spikemba.reading.unpacking` does. Raises DownloadError, OutputError."""
    try:
        return unpacking.unpack(archive, folder, max_bytes)
    except Unreadable as fault:
        raise DownloadError(str(archive), str(fault), folder) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

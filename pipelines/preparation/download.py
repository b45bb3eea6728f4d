"""Public files by direct link: fetched with progress, gone on with where a fetch broke off, checked, and unpacked
without letting an archive write elsewhere or fill the disk."""

import hashlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from ssl import SSLError
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

from spikemba.datasets.benchmark import Download
from spikemba.errors import DownloadError, OutputError
from spikemba.files import write_text, writing
from spikemba.progress import Report, silent

_BLOCK = 1 << 20
TIMEOUT_S = 30.0

ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")


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
    """Unpack regular files below `folder`, also of archives inside; what is there with the right size is kept.

    Links and devices are left out. max_bytes bounds all files together, by the sizes that the archive declares: both
    readers stop there. Raises DownloadError when a name leaves the folder or the bound is passed.
    """
    written: list[Path] = []
    left = max_bytes
    try:
        for name, size, opened in _members(archive):
            target = _inside(folder, name, archive)
            left -= size
            if left < 0:
                raise DownloadError(str(archive), f"holds more than {max_bytes:,} bytes unpacked", folder)
            if not (target.is_file() and target.stat().st_size == size):
                with writing(target) as temporary, opened() as source, temporary.open("wb") as file:
                    shutil.copyfileobj(source, file, _BLOCK)
            written.append(target)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise DownloadError(str(archive), f"is damaged ({error})", folder) from None
    for inner in [path for path in written if path.name.endswith(ARCHIVES)]:
        more = unpack(inner, inner.parent, left)
        left -= sum(path.stat().st_size for path in more)
        written += more
    return written


def _members(archive: Path) -> Iterator[tuple[str, int, Callable[[], IO[bytes]]]]:
    """Name, size and contents of each regular file, in the order of the archive."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                if not info.is_dir():
                    yield info.filename, info.file_size, partial(file.open, info)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            contents = tar.extractfile(member) if member.isreg() else None
            if contents is not None:
                yield member.name, member.size, partial(_same, contents)


def _same(contents: IO[bytes]) -> IO[bytes]:
    return contents


def _inside(folder: Path, name: str, archive: Path) -> Path:
    """Where a member goes. Raises DownloadError when that is not below the folder."""
    parts = PurePosixPath(name.replace("\\", "/"))
    root = folder.resolve()
    target = (root / parts).resolve()
    if parts.is_absolute() or ".." in parts.parts or ":" in name or not target.is_relative_to(root):
        raise DownloadError(str(archive), f"holds {name!r}, which would be written outside the folder", folder)
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

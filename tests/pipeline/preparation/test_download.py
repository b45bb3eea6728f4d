"""Fetching and unpacking, against a server on this machine."""

import hashlib
import io
import os
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.preparation.download import fetch, unpack
from spikemba.datasets.benchmark import Download
from spikemba.datasets.registry import benchmark_names, find_benchmark
from spikemba.errors import DownloadError

CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves `content` at every path but /missing; counts requests and remembers the ranges asked for."""

    def __init__(self):
        self.content, self.ranges, self.with_ranges, self.break_after = CONTENT, [], True, None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request):
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        if request.path == "/missing":
            request.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.with_ranges else 0
        if start and start >= len(self.content):
            request.send_error(416)
            return
        body = self.content[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body if self.break_after is None else body[: self.break_after])

    def file(self, path="/file.bin", name="file.bin", sha256=SHA256, **more):
        return Download(self.address + path, name, sha256, **more)


@pytest.fixture
def server():
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


def test_a_file_is_fetched_with_progress_and_only_once(server, tmp_path):
    seen = []
    path = fetch(server.file(), tmp_path, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    fetch(server.file(), tmp_path)
    assert server.ranges == [None]
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]


def test_a_fetch_that_broke_off_goes_on_where_it_stopped(server, tmp_path):
    server.break_after = 1_000_000
    with pytest.raises(DownloadError, match="run the same command again"):
        fetch(server.file(), tmp_path)
    assert not (tmp_path / "file.bin").exists()
    have = (tmp_path / "file.bin.part").stat().st_size
    assert 0 < have <= 1_000_000
    server.break_after = None
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={have}-"]


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"of an earlier fetch")
    server.with_ranges = False
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT


def test_a_part_that_is_complete_needs_only_its_name(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetch(server.file(), tmp_path).read_bytes() == CONTENT


def test_another_file_is_refused_and_not_kept(server, tmp_path):
    with pytest.raises(DownloadError, match=f"gives another file: its SHA-256 is {SHA256[:12]}, expected 000000000000"):
        fetch(server.file(sha256="0" * 64), tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_a_known_checksum_what_was_fetched_is_recorded(server, tmp_path):
    fetch(server.file(sha256=None), tmp_path)
    assert (tmp_path / "file.bin.sha256").read_text() == f"{SHA256}  file.bin\n"


def test_more_bytes_than_the_file_may_have_are_refused(server, tmp_path):
    with pytest.raises(DownloadError, match="gives more than 1,000 bytes"):
        fetch(server.file(max_bytes=1000), tmp_path)


def test_an_address_that_does_not_answer_is_one_line(server, tmp_path):
    with pytest.raises(DownloadError, match=r"/missing answers 404 .*or put the file at .*x.bin yourself"):
        fetch(server.file("/missing", "x.bin"), tmp_path)
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DownloadError, match="cannot be reached"):
        fetch(server.file(), tmp_path)
    with pytest.raises(DownloadError, match="is not an http address"):
        fetch(Download("file:///etc/hostname", "x.bin"), tmp_path)


# Archives


def zip_of(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(path, members):
    """members: name -> bytes, or the target of a link."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
    return path


def test_an_archive_is_unpacked_with_those_inside_it(server, tmp_path):
    inner = zip_of(**{"video/a.mp4": b"aaaa", "labels.mat": b"bb"})
    path = tar_of(tmp_path / "made.tgz", {"set/inner.zip": inner, "set/README": b"hello"})
    server.content = path.read_bytes()
    fetch(server.file("/set.tgz", "set.tgz", None), tmp_path / "out")
    assert (tmp_path / "out" / "set" / "video" / "a.mp4").read_bytes() == b"aaaa"
    assert (tmp_path / "out" / "set" / "labels.mat").read_bytes() == b"bb"
    assert (tmp_path / "out" / "set" / "README").read_bytes() == b"hello"


@pytest.mark.parametrize("name", ["../out.txt", "/elsewhere/out.txt", "a/../../out.txt", "..\\out.txt", "C:out.txt"])
@pytest.mark.parametrize("kind", ["zip", "tgz"])
def test_no_name_leaves_the_folder(tmp_path, name, kind):
    if kind == "zip":
        archive = tmp_path / "bad.zip"
        archive.write_bytes(zip_of(**{name: b"x"}))
    else:
        archive = tar_of(tmp_path / "bad.tgz", {name: b"x"})
    with pytest.raises(DownloadError, match="would be written outside the folder"):
        unpack(archive, tmp_path / "in" / "here", 1000)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [archive.name]


def test_links_are_left_out_so_that_nothing_is_written_through_them(tmp_path):
    archive = tar_of(tmp_path / "bad.tgz", {"door": str(tmp_path), "door/out.txt": b"x"})
    unpack(archive, tmp_path / "here", 1000)
    assert not (tmp_path / "out.txt").exists()
    assert not (tmp_path / "here" / "door").is_symlink()


def test_a_link_that_is_there_already_is_not_followed_out_of_the_folder(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "door").symlink_to(tmp_path)
    with pytest.raises(DownloadError, match="outside the folder"):
        unpack(tar_of(tmp_path / "bad.tgz", {"door/out.txt": b"x"}), tmp_path / "here", 1000)


def test_a_small_archive_of_huge_files_is_refused_before_it_is_unpacked(tmp_path):
    archive = tmp_path / "bomb.zip"
    archive.write_bytes(zip_of(a=b"0" * 400, b=b"0" * 700))
    with pytest.raises(DownloadError, match="holds more than 1,000 bytes unpacked"):
        unpack(archive, tmp_path / "here", 1000)
    assert not (tmp_path / "here" / "b").exists()
    inner = tmp_path / "outer.zip"
    inner.write_bytes(zip_of(**{"inner.zip": archive.read_bytes()}))
    with pytest.raises(DownloadError, match="bytes unpacked"):
        unpack(inner, tmp_path / "there", 1000)


def test_a_damaged_archive_is_named(tmp_path):
    for name in ("bad.zip", "bad.tgz"):
        (tmp_path / name).write_bytes(b"not an archive")
        with pytest.raises(DownloadError, match=f"{name} is damaged"):
            unpack(tmp_path / name, tmp_path / "here", 1000)


def test_what_is_offered_has_a_checksum_or_is_large_and_recorded():
    for about in map(find_benchmark, benchmark_names()):
        for wanted in about.downloads:
            assert wanted.url.startswith("https://")
            assert wanted.sha256 or wanted.large


def test_checksums_are_those_of_the_real_files(shared):
    entries = map(find_benchmark, benchmark_names())
    known = {wanted.name: wanted.sha256 for about in entries for wanted in about.downloads}
    seen = [path for path in (shared / "annotations").iterdir() if path.name in known]
    assert len(seen) == 12
    for path in seen:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == known[path.name]

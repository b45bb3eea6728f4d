"""Videos as a browser takes them: ranges of the file, pieces, pictures, all behind typed refusals."""

import io
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from kernel_cache import cache_with_kernels
from PIL import Image
from starlette.testclient import TestClient

from pipelines.serving.service import Service
from pipelines.serving.web.app import web_app

EXAMPLE = Path(__file__).parents[3] / "examples" / "shapes.mp4"
SIZE = EXAMPLE.stat().st_size


def write_avi(path):
    """Nine seconds of MPEG-4 in an AVI, which no browser plays."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for k in range(90):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 2 * k, np.uint8))
            frame.pts, frame.time_base = k, Fraction(1, 10)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A server of the example, of an AVI and of a file that is no video; `client.ids` by their names."""
    folder = tmp_path_factory.mktemp("films")
    shutil.copy(EXAMPLE, folder)
    write_avi(folder / "old.avi")
    (folder / "broken.mp4").write_text("no video")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPIKEMBA_CACHE", str(cache_with_kernels(tmp_path_factory.mktemp("cache"))))
        service = Service([folder], {})
    with TestClient(web_app(service), raise_server_exceptions=False) as one:
        one.folder = folder
        one.ids = {video["name"]: video["id"] for video in one.get("/api/videos").json()["videos"]}
        yield one
    service.close()


def address(client, name, *rest):
    return "/".join(["/api/videos", client.ids[name], *rest])


@pytest.mark.parametrize(
    ("asked", "first", "over"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=1000-", 1000, SIZE),
        ("bytes=-50", SIZE - 50, SIZE),
        ("bytes=5-99999999", 5, SIZE),
    ],
)
def test_a_range_is_those_bytes_of_the_file(client, asked, first, over):
    reply = client.get(address(client, "shapes.mp4", "file"), headers={"Range": asked})
    assert reply.status_code == 206
    assert reply.headers["content-range"] == f"bytes {first}-{over - 1}/{SIZE}"
    assert reply.content == EXAMPLE.read_bytes()[first:over]


def test_without_a_range_comes_the_file_and_head_tells_its_length(client):
    whole = client.get(address(client, "shapes.mp4", "file"))
    head = client.head(address(client, "shapes.mp4", "file"))
    assert (whole.status_code, whole.content) == (200, EXAMPLE.read_bytes())
    assert whole.headers["content-type"] == "video/mp4"
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(SIZE))
    assert head.headers["accept-ranges"] == "bytes"


def test_a_range_of_a_file_that_has_changed_is_the_whole_file(client):
    path = address(client, "shapes.mp4", "file")
    etag = client.head(path).headers["etag"]
    same = client.get(path, headers={"Range": "bytes=0-9", "If-Range": etag})
    other = client.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (same.status_code, other.status_code) == (206, 200)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (f"bytes={SIZE}-", 416),
        ("bytes=0-5,999999999-", 416),
        ("bytes=-0", 416),
        ("bytes=9-5", 400),
        ("bytes=-", 400),
        ("seconds=0-5", 400),
        ("bytes=x", 400),
        ("bytes=" + ",".join(f"{k}-{k}" for k in range(100)), 400),
        ("bytes=0-" + "9" * 5000, 400),
    ],
)
def test_a_range_that_there_is_not_is_refused(client, asked, status):
    reply = client.get(address(client, "shapes.mp4", "file"), headers={"Range": asked})
    assert reply.status_code == status
    assert set(reply.json()) == {"error"}
    assert reply.headers.get("content-range") == (f"bytes */{SIZE}" if status == 416 else None)


def test_a_file_that_browsers_do_not_play_comes_in_pieces(client):
    play = client.get(address(client, "old.avi")).json()["play"]
    assert play["kind"] == "pieces"
    assert play["pieces"] == [[0, 4], [4, 8], [8, 9]]
    assert play["reason"].startswith("browsers do not play this container (AVI")
    for number, seconds in enumerate((4, 4, 1)):
        reply = client.get(address(client, "old.avi", "pieces", str(number)))
        assert (reply.status_code, reply.headers["content-type"]) == (200, "video/mp4")
        with av.open(io.BytesIO(reply.content)) as piece:
            assert sum(1 for _ in piece.decode(video=0)) == 10 * seconds
        again = client.get(reply.request.url.path, headers={"If-None-Match": reply.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("number", ["3", "-1", "x", "9" * 30, "0x1", "١"])
def test_a_piece_that_there_is_not_is_not_found(client, number):
    reply = client.get(address(client, "old.avi", "pieces", number))
    assert reply.status_code == 404
    assert "piece" in reply.json()["error"]


def test_a_file_that_is_played_as_it_is_has_no_pieces(client):
    reply = client.get(address(client, "shapes.mp4", "pieces", "0"))
    assert reply.status_code == 404
    assert reply.json() == {"error": "shapes.mp4 has no piece 0; it is played as it is"}


def test_a_still_is_a_jpeg_of_its_height(client):
    reply = client.get(address(client, "old.avi", "still"), params={"at_s": 4.55, "height": 360})
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/jpeg")
    picture = Image.open(io.BytesIO(reply.content))
    assert picture.size == (480, 360)
    assert np.asarray(picture).mean() == pytest.approx(2 * 45, abs=4)


@pytest.mark.parametrize("query", ["at_s=nan", "at_s=-1", "at_s=x", "at_s=1e999", "height=91", "height=1e9", "more=1"])
def test_a_still_that_there_is_not_is_refused(client, query):
    reply = client.get(address(client, "old.avi", "still") + "?" + query)
    assert reply.status_code == 400
    assert set(reply.json()) == {"error"}


@pytest.mark.parametrize("rest", [("pieces", "0"), ("still",)])
def test_a_file_that_is_no_video_is_said_so_without_its_path(client, rest):
    reply = client.get(address(client, "broken.mp4", *rest))
    assert reply.status_code == 422
    assert reply.json()["error"].startswith("broken.mp4: is not a video")
    assert str(client.folder) not in reply.text

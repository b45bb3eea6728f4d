"""Calls that take long wait in rooms of their own: quick ones are never behind them."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving_site import serving

from pipelines.serving.faults import Busy
from pipelines.serving.web.rooms import Room
from spikemba.video.stopping import Stopped


async def there():
    return False


async def gone():
    return True


def test_work_stops_when_the_client_has_gone():
    stopped = threading.Event()

    def make(stop):
        until = time.monotonic() + 20
        while not stop():
            assert time.monotonic() < until
            time.sleep(0.01)
        stopped.set()
        raise Stopped

    with pytest.raises(Stopped):
        asyncio.run(Room("pieces", 4, 4).do(make, gone))
    assert stopped.is_set()


def test_what_waits_for_a_thread_is_counted_and_more_is_refused():
    released = threading.Event()

    def make(stop):
        released.wait(20)
        return b"made"

    async def ask_five():
        room = Room("pieces", 1, 2)
        asked = [asyncio.ensure_future(room.do(make, there)) for _ in range(5)]
        await asyncio.sleep(0.05)
        refused = [one for one in asked if one.done()]
        released.set()
        found = await asyncio.gather(*asked, return_exceptions=True)
        return len(refused), found, await room.do(make, there)

    n_refused, found, again = asyncio.run(ask_five())
    assert n_refused == 2
    assert found[:3] == [b"made"] * 3
    assert all(isinstance(one, Busy) for one in found[3:])
    assert str(found[3]).startswith("pieces: 3 such calls are open")
    assert again == b"made"


def test_a_client_that_leaves_before_its_turn_gives_up_its_place():
    released, made = threading.Event(), []

    def make(stop):
        made.append(1)
        released.wait(20)

    async def ask():
        room = Room("words", 1, 1)
        first = asyncio.ensure_future(room.do(make, there))
        await asyncio.sleep(0.05)
        with pytest.raises(Stopped):
            await room.do(make, gone)
        await asyncio.sleep(0)
        third = asyncio.ensure_future(room.do(make, there))
        await asyncio.sleep(0.05)
        waits = not third.done()
        released.set()
        await asyncio.gather(first, third)
        return waits

    assert asyncio.run(ask())
    assert made == [1, 1]


@pytest.mark.parametrize(
    ("path", "method", "document"),
    [
        ("/api/words", "words", {"video": "v", "query": "a dog", "start_s": 0, "end_s": 1}),
        ("/api/videos/v", "info", None),
        ("/api/cuts", "cut", {"video": "v", "start_s": 0, "end_s": 1}),
        ("/api/exports", "export", {"question": "q", "format": "srt"}),
        ("/api/corrections", "correct", {"name": "a", "video": "v", "query": "a dog", "absent": True}),
        ("/api/videos", "list", None),
    ],
)
def test_many_long_calls_hold_up_no_quick_one_and_too_many_are_refused(make_video, monkeypatch, path, method, document):
    film = make_video("films/film.mp4", [np.zeros((32, 32, 3), np.uint8)] * 5)
    released, begun = threading.Event(), []

    def long(*given):
        begun.append(1)
        released.wait(30)
        raise Busy("at last")

    with serving([film.parent]) as site, ThreadPoolExecutor(260) as pool:
        monkeypatch.setattr(site.service, method, long)
        ask = (lambda: site.ask("GET", path)) if document is None else (lambda: site.post(path, document))
        asked = [pool.submit(ask) for _ in range(240)]
        until = time.monotonic() + 20
        while not any(one.done() for one in asked) and time.monotonic() < until:
            time.sleep(0.02)
        start = time.monotonic()
        assert site.ask("GET", "/api/state").status == 200
        took_s, at_once = time.monotonic() - start, len(begun)
        released.set()
        found = [one.result() for one in asked]
    assert took_s < 5
    assert at_once <= 4
    assert {one.status for one in found} == {503}
    assert any("such calls are open, and no more are taken" in one.json()["error"] for one in found)

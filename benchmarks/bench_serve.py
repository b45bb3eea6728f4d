"""How long many people wait who ask `spikemba serve` at once, in which memory, and how soon a first answer is there.

    OMP_NUM_THREADS=1 python benchmarks/bench_serve.py
    OMP_NUM_THREADS=1 python benchmarks/bench_serve.py --clients 50 --questions 20 --workers 2

The server is a process of its own on the example video, whose features are in its cache before anything is measured;
the clients are threads here. Each asks one question after the other: POST, then the events up to `end`. One JSON line
per case, times in milliseconds:

    first       from the sentence to its first answer on a warm server that has nobody else to answer; new sentences
    remembered  all ask the same few sentences, which were asked before
    new         every question is another sentence; the video is read, the sentence is not

`cpu_ms` is what the server's process computes for a question, `cpu_alone_ms` for one of a client that is alone.
`bound_ms` is 3 x clients x one answer / workers, what p95 may be; one answer is the median of a client that is alone.
"""

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from record import Record, options

ROOT = Path(__file__).parents[1]
ALONE = 30
"""Questions of the client that is alone."""


@dataclass
class Server:
    """A server and what is known of its process."""

    host: str
    port: int
    pid: int

    def memory_mb(self, name: str) -> float | None:
        """VmRSS: now; VmHWM: at most so far. None where the system does not tell."""
        status = Path(f"/proc/{self.pid}/status")
        if not status.exists():
            return None
        line = next(line for line in status.read_text().splitlines() if line.startswith(name))
        return round(int(line.split()[1]) / 1024, 1)

    def cpu_ms(self) -> float:
        """Milliseconds of processors that it has used so far; 0 where the system does not tell."""
        status = Path(f"/proc/{self.pid}/stat")
        if not status.exists():
            return 0.0
        user, system = status.read_text().rpartition(")")[2].split()[11:13]
        return 1e3 * (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass
class Times:
    """What clients met: milliseconds of the questions that went well, and what did not."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def ask(self, server: Server, query: str) -> None:
        """Ask, and listen until the end."""
        start, first = time.perf_counter(), 0.0
        try:
            for kind in events(server, query):
                first = first or (1e3 * (time.perf_counter() - start) if kind == "answer" else 0.0)
                if kind == "failed":
                    raise RuntimeError("a question failed")
            if not first:
                raise RuntimeError("no answer")
        except (OSError, RuntimeError, http.client.HTTPException, KeyError, ValueError) as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            return
        self.first.append(first)
        self.whole.append(1e3 * (time.perf_counter() - start))


def events(server: Server, query: str) -> Iterator[str]:
    """The kinds of a question's events, as they come."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=120)
    try:
        body = json.dumps({"query": query})
        connection.request("POST", "/api/questions", body, {"Content-Type": "application/json"})
        with connection.getresponse() as asked:
            document = json.loads(asked.read())
        if asked.status != 201:
            raise RuntimeError(f"{asked.status}: {document.get('error')}")
        connection.request("GET", f"/api/questions/{document['id']}/events")
        with connection.getresponse() as stream:
            if stream.status != 200:
                raise RuntimeError(f"{stream.status}: {stream.read()!r}")
            while line := stream.readline():
                if line.startswith(b"event: "):
                    yield line[7:].strip().decode()
    finally:
        connection.close()


@contextmanager
def serving(workers: int, cache: Path) -> Iterator[Server]:
    """`spikemba serve` on the example, ended with the block."""
    code = "from spikemba_cli.main import main; main()"
    how = ["serve", str(ROOT / "examples" / "shapes.mp4"), "--checkpoint", "mini", "--port", "0", "--no-open", "--json"]
    environment = {**os.environ, "SPIKEMBA_CACHE": str(cache), "SPIKEMBA_HOME": str(cache)}
    command = [sys.executable, "-c", code, *how, "--workers", str(workers), "--corrections", str(cache / "corrections")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as own:
        assert own.stdout is not None
        text = ""
        while "}" not in text:
            line = own.stdout.readline()
            if not line:
                raise SystemExit("the server ended before it began")
            text += line
        address = urlsplit(json.loads(text)["address"])
        assert address.hostname
        assert address.port
        try:
            yield Server(address.hostname, address.port, own.pid)
        finally:
            own.terminate()


def sentences() -> Iterator[str]:
    """Different sentences about the example, none twice."""
    colours, shapes = ("red", "green", "blue", "yellow"), ("circle", "square", "triangle", "star")
    verbs, places = ("enters", "leaves", "moves", "grows"), ("left", "right", "top", "bottom")
    for n, colour, shape, verb, place in product(range(1000), colours, shapes, verbs, places):
        yield f"a {colour} {shape} {verb} from the {place}" + (f" {n} times" if n else "")


def together(server: Server, clients: int, questions: int, next_query: Callable[[], str]) -> Times:
    """All clients at once; each begins when all are there."""
    times, ready = Times(), threading.Barrier(clients)

    def run() -> None:
        ready.wait()
        for _ in range(questions):
            times.ask(server, next_query())

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def case(server: Server, arguments: argparse.Namespace, name: str, next_query: Callable[[], str]) -> dict[str, Any]:
    """One line: a client alone, then all at once."""
    alone, cpu = Times(), [server.cpu_ms()]
    for _ in range(ALONE):
        alone.ask(server, next_query())
    before, cpu = server.memory_mb("VmRSS"), [*cpu, server.cpu_ms()]
    found = together(server, arguments.clients, arguments.questions, next_query)
    cpu.append(server.cpu_ms())
    one, p95 = statistics.median(alone.whole), percentile(found.whole, 0.95)
    bound = 3 * arguments.clients * one / arguments.workers
    return {
        "case": name,
        "clients": arguments.clients,
        "workers": arguments.workers,
        "questions": arguments.clients * arguments.questions,
        "errors": len(alone.errors + found.errors),
        "error": next(iter(alone.errors + found.errors), None),
        "one_answer_ms": round(one, 1),
        "p50_ms": round(percentile(found.whole, 0.5), 1),
        "p95_ms": round(p95, 1),
        "bound_ms": round(bound, 1),
        "within": p95 <= bound,
        "cpu_alone_ms": round((cpu[1] - cpu[0]) / ALONE, 1),
        "cpu_ms": round((cpu[2] - cpu[1]) / arguments.clients / arguments.questions, 1),
        "rss_before_mb": before,
        "rss_after_mb": server.memory_mb("VmRSS"),
        "rss_peak_mb": server.memory_mb("VmHWM"),
    }


def first(server: Server, queries: Iterator[str]) -> dict[str, Any]:
    """One line: how soon the first answer is there when nobody else asks."""
    times = Times()
    for _ in range(ALONE):
        times.ask(server, next(queries))
    return {
        "case": "first",
        "questions": ALONE,
        "errors": len(times.errors),
        "p50_ms": round(percentile(times.first, 0.5), 1),
        "p95_ms": round(percentile(times.first, 0.95), 1),
        "worst_ms": round(max(times.first), 1),
        "bound_ms": 1000,
        "within": max(times.first) <= 1000,
    }


def machine() -> dict[str, Any]:
    """Where this was measured."""
    import starlette
    import torch
    import uvicorn

    versions = {"torch": torch.__version__, "starlette": starlette.__version__, "uvicorn": uvicorn.__version__}
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {"case": "machine", "cores": os.cpu_count(), "load": load, "python": platform.python_version()} | versions


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--questions", type=int, default=10, help="of each client")
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--rounds", type=int, default=1, help="how often each case is measured; memory should not grow")
    arguments = parser.parse_args()
    queries, few = sentences(), [f"a {colour} circle enters" for colour in ("red", "green", "blue")]
    lock, asked = threading.Lock(), iter(few * 1_000_000)

    def new() -> str:
        with lock:
            return next(queries)

    def remembered() -> str:
        with lock:
            return next(asked)

    record = Record(arguments, also=("starlette", "uvicorn"))
    print(json.dumps(machine()))
    with tempfile.TemporaryDirectory() as folder, serving(arguments.workers, Path(folder)) as server:
        for query in few:  # the first one reads the video
            Times().ask(server, query)
        rows = [first(server, queries)]
        print(json.dumps(rows[0]), flush=True)
        for _ in range(arguments.rounds):
            for name, next_query in {"remembered": remembered, "new": new}.items():
                rows.append(case(server, arguments, name, next_query))
                print(json.dumps(rows[-1]), flush=True)
    note(record, rows, f"{arguments.clients} clients, workers {arguments.workers}")
    record.keep()


def note(record: Record, rows: list[dict[str, Any]], who: str) -> None:
    """Note every case, its rounds as median and range."""
    for name in dict.fromkeys(row["case"] for row in rows):
        rounds = [row for row in rows if row["case"] == name]
        measured = [
            key for key in rounds[0] if key.endswith(("_ms", "_mb")) and None not in (row[key] for row in rounds)
        ]
        record.speed(
            "first answer" if name == "first" else f"{name}, {who}",
            {key: [row[key] for row in rounds] for key in measured},
        )


if __name__ == "__main__":
    main()

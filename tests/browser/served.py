"""`spikemba serve` as a process of its own, which can be killed and started again on the same port."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from kernel_cache import cache_with_kernels

_MAIN = "from spikemba_cli.main import main; main()"
_START_S = 300


class Served:
    """A running `spikemba serve`.

    `url` is where the page is asked for, with the token where there is one; `origin` its scheme, host and port; `home`
    the folder that it works in.
    """

    def __init__(self, folders: Sequence[Path], options: Sequence[str], home: Path) -> None:
        self.folders, self._options, self.home = folders, options, home
        self._process: subprocess.Popen[str] | None = None
        self.port = free_port()
        self.url = self.origin = ""

    def start(self) -> None:
        """Start, and wait for the line that says where it is served. Raises AssertionError with what it printed."""
        arguments = [*map(str, self.folders), "--port", str(self.port), "--json", "--no-open", *self._options]
        environment = os.environ | {
            "SPIKEMBA_CACHE": str(cache_with_kernels(self.home / "cache")),
            "SPIKEMBA_HOME": str(self.home / "home"),
            "PYTHONUNBUFFERED": "1",
        }
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, "serve", *arguments],
                env=environment,
                cwd=self.home,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        said = json.loads(self._first_document())
        self.url = said["address"]
        self.origin = "/".join(self.url.split("/")[:3])

    @property
    def log(self) -> Path:
        """What the server printed beside its address."""
        return self.home / "serve.log"

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Interrupt it, as Ctrl-C does; returns its exit code."""
        return self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        try:
            code = self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return code

    def _first_document(self) -> str:
        """The JSON document on stdout, which may be spread over lines."""
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        said = ""
        while True:
            try:
                line = lines.get(timeout=_START_S)
            except queue.Empty:
                line = ""
            assert line, f"spikemba serve said nothing whole: {said!r}\n{self.log.read_text('utf-8')}"
            said += line
            try:
                json.loads(said)
            except json.JSONDecodeError:
                continue
            return said

    def _read(self, lines: "queue.Queue[str]") -> None:
        """Hand on what is printed, line by line, and an empty line at the end."""
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            lines.put(line)
        lines.put("")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])

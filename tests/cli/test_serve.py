"""`spikemba serve` as a person starts it: what it prints, what it refuses, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from kernel_cache import cache_with_kernels
from planted_library import RED, plant
from typer.testing import CliRunner

from spikemba.video.files import write_video
from spikemba_cli.main import app

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "shapes.mp4"
RUN = [sys.executable, "-c", "from spikemba_cli.main import main; main()", "serve"]
PATIENCE_S = 120


def refused(*arguments):
    """What is printed by a server that does not start."""
    result = CliRunner().invoke(app, ["serve", "--no-open", *map(str, arguments)])
    assert result.exit_code != 0
    assert result.stdout == ""
    return " ".join(result.stderr.replace("│", " ").split())


def test_help_loads_neither_torch_nor_starlette():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom spikemba_cli.main import app\n"
        "result = CliRunner().invoke(app, ['serve', '--help'])\nassert result.exit_code == 0, result.output\n"
        "assert 'footage/' in result.output\n"
        "sys.exit([name for name in ('torch', 'starlette', 'uvicorn') if name in sys.modules] or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(EXAMPLE, "--checkpoint", "mini", "--port", port)
    assert f"error: port {port} of 127.0.0.1 cannot be had (address already in use)" in line
    assert "--port 0 for any" in line


def test_a_host_that_is_no_address_of_this_machine_is_one_line():
    assert "--host no.such.host.invalid is no address of this machine" in refused(
        EXAMPLE, "--host", "no.such.host.invalid"
    )


def test_what_is_not_there_is_refused_before_anything_is_served(tmp_path):
    assert "no such file or folder" in refused(tmp_path / "nothing.mp4", "--checkpoint", "mini", "--port", 0)
    assert "holds no videos" in refused(tmp_path, "--checkpoint", "mini", "--port", 0)
    assert "nothing" in refused(EXAMPLE, "--checkpoint", tmp_path / "nothing", "--port", 0)
    gone = refused(EXAMPLE, "--checkpoint", "mini", "--port", 0, "--annotations", tmp_path / "gone.jsonl")
    assert "gone.jsonl" in gone


def test_a_video_that_is_not_there_is_said_before_any_model_is_looked_for(tmp_path):
    assert "nowhere.mp4: no such file or folder" in refused(tmp_path / "nowhere.mp4", "--checkpoint", "no such run")


@pytest.mark.parametrize("command", ["serve", "mcp"])
def test_a_library_that_cannot_be_searched_is_said_before_any_model_is_looked_for(tmp_path, command):
    how = ["--no-open"] if command == "serve" else []

    def line(*arguments):
        result = CliRunner().invoke(app, [command, *how, "--library", str(tmp_path), *arguments])
        assert (result.exit_code, result.stdout) == (1, "")
        return " ".join(result.stderr.split())

    missing = (
        f"library {tmp_path}: there is no library; run `spikemba index VIDEOS --encoder ENCODER --library {tmp_path}`"
    )
    assert missing in line("--checkpoint", "no such run")
    plant(tmp_path, {tmp_path / "gone.mp4": [RED]})
    assert "no checkpoint was given, and it has no rows of clip, but of colour" in line()
    assert "mini needs rows of mini; it has those of colour" in line("--checkpoint", "mini")
    (tmp_path / "library.sqlite").write_bytes(b"SQLite format 3\0" + b"no database" * 500)
    assert "library.sqlite" in line("--checkpoint", "no such run")


def test_a_checkpoint_that_is_given_twice_is_refused():
    assert "--checkpoint mini is given twice" in refused(EXAMPLE, "--checkpoint", "mini", "--checkpoint", "mini")


@pytest.mark.parametrize("size", ["4", "-1GB", "much", "1.5GB", "0", "99999999TB", "٤GB"])
def test_a_limit_is_a_whole_number_with_its_unit(size):
    if size == "4":
        from spikemba_cli.serve import bytes_of

        assert (bytes_of("4"), bytes_of("4kb"), bytes_of("2 GB")) == (4, 4000, 2 * 10**9)
    else:
        assert "is no size" in refused(EXAMPLE, "--upload-limit", size)


def test_without_the_extra_it_says_how_to_install_it(monkeypatch):
    from spikemba import libraries

    monkeypatch.setattr(libraries, "is_installed", lambda name: name != "starlette")
    assert "pip install 'spikemba[serve]'" in refused(EXAMPLE)


def started(tmp_path, *arguments):
    """A server's process, and what it printed for programs."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SPIKEMBA_CACHE": str(cache_with_kernels(tmp_path / "cache"))}
    how = ["--no-open", "--port", "0", "--json", "--checkpoint", "mini"]
    process = subprocess.Popen(
        [*RUN, *map(str, arguments), *how],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = [process.stdout.readline()]
    while lines[-1] not in ("}\n", ""):
        lines.append(process.stdout.readline())
    if not lines[-1]:
        process.wait()
        raise AssertionError(process.stderr.read())
    return process, json.loads("".join(lines))


def call(address, path, body=None):
    request = urllib.request.Request(address + path, headers={"Content-Type": "application/json"})
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=PATIENCE_S) as reply:
        return json.loads(reply.read())


def test_a_server_that_is_told_to_end_while_it_reads_ends_and_leaves_nothing_half(tmp_path):
    long = tmp_path / "long.mp4"
    write_video(long, (np.full((64, 64, 3), i % 256, np.uint8) for i in range(20_000)), fps=10)
    process, printed = started(tmp_path, long)
    try:
        assert printed["token"] is None
        address = printed["address"].rstrip("/")
        asked = call(address, "/api/questions", {"query": "a dog"})
        until = time.monotonic() + PATIENCE_S
        while not (now := call(address, f"/api/questions/{asked['id']}"))["reading"]:
            assert now["state"] in ("waiting", "working"), "it was read before it could be stopped"
            assert time.monotonic() < until
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read().splitlines() == ["loading mini", f"1 video at {address}/ (Ctrl-C ends it)"]
    finally:
        process.kill()
        process.communicate()
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.parent.name != "kernels"] == []


def test_other_machines_get_a_token_and_are_kept_out_without_it(tmp_path):
    process, printed = started(tmp_path, EXAMPLE, "--host", "0.0.0.0")
    try:
        assert printed["address"].endswith(f"/?token={printed['token']}")
        port = int(printed["address"].partition("/?")[0].rpartition(":")[2])
        with pytest.raises(urllib.error.HTTPError, match="401"):
            call(f"http://127.0.0.1:{port}", "/api/state")
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/api/state", headers={"Authorization": f"Bearer {printed['token']}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            assert json.loads(reply.read())["n_videos"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no terminals that hang up")
def test_a_terminal_that_goes_ends_the_server_and_what_a_killed_one_left_goes_with_the_next(tmp_path, monkeypatch):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    left = []
    for sent in (signal.SIGKILL, signal.SIGHUP):
        process, _ = started(tmp_path, EXAMPLE)
        try:
            (during,) = temporary.glob("spikemba-cuts.*")
            process.send_signal(sent)
            assert process.wait(PATIENCE_S) == (0 if sent == signal.SIGHUP else -sent)
        finally:
            process.kill()
            process.communicate()
        left.append([path.name for path in temporary.glob("spikemba-*")])
        assert left[-1] == ([] if sent == signal.SIGHUP else [during.name])

"""`spikemba mcp` as its clients meet it: a process of its own, asked over stdin and stdout by the package's client."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from kernel_cache import cache_with_kernels
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from planted_library import NOTHING, RED, plant, planted_grounder
from typer.testing import CliRunner

from pipelines.serving import mcp_server as module
from pipelines.serving.faults import NotThere
from pipelines.serving.mcp_server import mcp_server
from pipelines.serving.service import Service, ServiceOptions
from spikemba.grounder.grounder import load
from spikemba.video.sampling import VideoReader
from spikemba_cli.main import app

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "shapes.mp4"
QUERY = "a red circle enters"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a test", "version": "1"}},
}
"""What a client says first."""
RUN = [sys.executable, "-c", "from spikemba_cli.main import main; main()"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    cache = cache_with_kernels(tmp_path_factory.mktemp("cache"))
    return {**os.environ, "PYTHONPATH": paths, "SPIKEMBA_CACHE": str(cache)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Served videos, one broken, and what is not served beside them."""
    root = tmp_path_factory.mktemp("root")
    (root / "served" / "more").mkdir(parents=True)
    (root / "served" / "more" / "shapes.mp4").write_bytes(EXAMPLE.read_bytes())
    (root / "served" / "broken.mp4").write_text("no video")
    (root / "secret.mp4").write_bytes(EXAMPLE.read_bytes())
    (root / "served" / "link.mp4").symlink_to(root / "secret.mp4")
    return root


def asked(work, *arguments, environment, log):
    """What `work(client)` gives of a server that was started with the arguments."""

    async def run():
        how = StdioServerParameters(command=RUN[0], args=[*RUN[1:], "mcp", *map(str, arguments)], env=environment)
        with log.open("a", encoding="utf-8") as errors:
            async with Client(stdio_client(how, errlog=errors), raise_exceptions=True) as client:
                return await work(client)

    return anyio.run(run)


def error_of(result):
    """The line of a tool's error."""
    assert result.is_error
    (content,) = result.content
    assert "\n" not in content.text
    assert "Traceback" not in content.text
    return content.text


def printed(*arguments):
    """What a command prints as JSON."""
    return json.loads(CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False).stdout)


def test_a_client_lists_looks_asks_and_cuts(folder, environment, tmp_path):
    async def work(client):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        listed = (await client.call_tool("list_videos", {})).structured_content
        ids = {one["name"]: one["id"] for one in listed["videos"]}
        video, told = ids["shapes.mp4"], []

        async def progress(done, total, message):
            told.append((done, total, message))

        info = (await client.call_tool("video_info", {"video": video})).structured_content
        how = {"query": QUERY, "videos": [video], "saliency": True}
        found = await client.call_tool("ground", how, progress_callback=progress)
        again = await client.call_tool("ground", {"query": QUERY, "videos": ["shapes.mp4"], "top": 1})
        after = (await client.call_tool("video_info", {"video": video})).structured_content
        cut = [
            (await client.call_tool("cut", {"video": video, "start_s": 2, "end_s": 5})).structured_content
            for _ in range(2)
        ]
        return tools, listed, info, found, again, after, cut, told

    cuts = tmp_path / "cuts"
    arguments = [folder / "served", "--checkpoint", "mini", "--cuts", cuts]
    log = tmp_path / "log"
    tools, listed, info, found, again, after, cut, told = asked(work, *arguments, environment=environment, log=log)

    assert list(tools) == ["list_videos", "video_info", "ground", "cut"]
    assert all(tool.description and tool.output_schema for tool in tools.values())
    described = [value for tool in tools.values() for value in tool.input_schema["properties"].values()]
    assert all(value["description"] for value in described)
    section = (ROOT / "docs" / "serve.md").read_text("utf-8").partition("## For language models")[2]
    for name, tool in tools.items():
        row = next(line for line in section.splitlines() if line.startswith(f"| `{name}` |"))
        assert set(tool.input_schema["properties"]) <= set(re.findall(r"`(\w+)`", row))
    assert [one["name"] for one in listed["videos"]] == ["broken.mp4", "shapes.mp4"]
    assert listed["n_videos"] == 2
    own = VideoReader(EXAMPLE).info
    assert (info["duration_s"], info["width"], info["height"]) == (own.duration_s, own.width, own.height)
    assert (info["is_read"], after["is_read"]) == (False, True)

    ground = printed("ground", EXAMPLE, QUERY, "--checkpoint", "mini", "--json")
    (answer,) = found.structured_content["answers"]
    assert {name: answer[name] for name in ground} == ground | {"video": "shapes.mp4"}
    assert json.loads(found.content[0].text) == found.structured_content
    (short,) = again.structured_content["answers"]
    assert (short["moments"], short["saliency"]) == (ground["moments"][:1], None)
    assert [done for done, _, _ in told] == sorted({done for done, _, _ in told})
    assert told[-1][:2] == (1, 1)
    assert any("reading shapes.mp4: " in message for _, _, message in told)

    assert sorted(path.name for path in cuts.iterdir()) == sorted(Path(one["path"]).name for one in cut)
    assert len({one["path"] for one in cut}) == 2
    for one in cut:
        assert VideoReader(Path(one["path"])).info.duration_s == pytest.approx(3.0, abs=0.1)
        assert (one["start_s"], one["size_bytes"]) == (2.0, Path(one["path"]).stat().st_size)
    assert "Traceback" not in log.read_text()


WRONG = [
    ("video_info", {"video": "no-such-id"}, "no video has the id 'no-such-id'; list_videos lists them"),
    ("video_info", {"video": "../secret.mp4"}, "no video has the id '../secret.mp4'"),
    ("video_info", {"video": "{root}/secret.mp4"}, "secret.mp4'; list_videos lists them"),
    ("video_info", {"video": "link.mp4"}, "no video has the id 'link.mp4'"),
    ("video_info", {"video": "broken.mp4"}, "broken.mp4: "),
    ("video_info", {}, "video_info: video: field required"),
    ("video_info", {"video": "a", "more": 1}, "video_info takes no 'more'; it takes: video"),
    ("ground", {"query": " ", "videos": ["shapes.mp4"]}, "the query is empty"),
    ("ground", {"query": QUERY, "top": 0}, "ground: top: input should be greater than or equal to 1, got 0"),
    ("ground", {"query": QUERY, "min_exists": 2}, "min_exists"),
    ("ground", {"query": QUERY, "videos": []}, "videos"),
    ("ground", {"query": QUERY, "checkpoint": "best"}, "no checkpoint is called 'best'; there are: mini"),
    ("ground", {"query": QUERY, "min_exists": 0.1, "show_all": True}, "show_all shows every moment"),
    ("ground", {"query": QUERY, "videos": ["broken.mp4"]}, "broken.mp4: "),
    ("cut", {"video": "shapes.mp4", "start_s": 5, "end_s": 2}, "its end must lie behind its start"),
    ("cut", {"video": "shapes.mp4", "start_s": 900, "end_s": 901}, "shapes.mp4: "),
    ("cut", {"video": "shapes.mp4", "start_s": 0, "end_s": 1, "mode": "fast"}, "cut: mode: input should be 'exact' or"),
    ("delete", {}, "no tool is called 'delete'; there are: list_videos, video_info, ground, cut"),
]


def test_what_is_wrong_is_said_in_one_line_and_the_server_goes_on(folder, environment, tmp_path):
    async def work(client):
        said = []
        for tool, arguments, _ in WRONG:
            filled = json.loads(json.dumps(arguments).replace("{root}", str(folder)))
            said.append(error_of(await client.call_tool(tool, filled)))
        several = await client.call_tool("ground", {"query": QUERY})
        return said, several.structured_content

    arguments = [folder / "served", "--checkpoint", "mini", "--cuts", tmp_path / "cuts"]
    said, several = asked(work, *arguments, environment=environment, log=tmp_path / "log")
    for (tool, arguments, expected), line in zip(WRONG, said, strict=True):
        assert expected in line, (tool, arguments, line)
        assert str(folder) not in line.replace(str(arguments.get("video", "")).format(root=folder), "")
    assert [one["video"] for one in several["answers"]] == ["shapes.mp4"]
    assert len(several["failed"]) == 1
    assert not (tmp_path / "cuts").exists()


def test_on_stdout_there_is_nothing_but_the_protocol(environment):
    """Also where a library prints: here, as it is imported."""
    program = (
        "import os, spikemba.grounder.grounder as g; plain = g.load\n"
        "def load(*how, **more): print('from python'); os.system('echo from a child'); return plain(*how, **more)\n"
        "import spikemba; spikemba.load = load\n"
        "from spikemba_cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "mcp", str(EXAMPLE), "--checkpoint", "mini"],
        input=(json.dumps(HELLO) + "\n").encode(),
        env=environment,
        capture_output=True,
        timeout=120,
    )
    lines = done.stdout.decode().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1]
    assert json.loads(lines[0])["result"]["serverInfo"]["name"] == "spikemba"
    assert "from python" in done.stderr.decode()
    assert "from a child" in done.stderr.decode()
    assert done.returncode == 0


def test_a_line_that_is_no_message_is_answered_in_one_line_and_the_next_one_is_served(environment):
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
    call["params"] = {"name": "ground", "arguments": {"query": "a \ud800 dog"}}
    said = [json.dumps(HELLO), json.dumps(call), "{", json.dumps({"jsonrpc": "2.0", "id": 3, "method": "ping"})]
    command = [*RUN, "mcp", str(EXAMPLE), "--checkpoint", "mini"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as server:
        server.stdin.write("".join(f"{line}\n" for line in said).encode())
        server.stdin.flush()
        answers = {one["id"]: one for one in (json.loads(server.stdout.readline()) for _ in said)}
        server.stdin.close()
    assert sorted(answers, key=str) == [1, 2, 3, None]
    assert answers[2]["error"]["message"] == (
        "the request cannot be read: it holds U+D800, half of a character; expected one JSON-RPC message in UTF-8 per "
        "line"
    )
    assert answers[None]["error"]["message"].startswith("the request cannot be read: invalid JSON")
    assert answers[3]["result"] == {}


def test_a_client_that_goes_away_while_a_video_is_read_leaves_no_server_behind(environment, tmp_path):
    call = {"name": "ground", "arguments": {"query": QUERY}, "_meta": {"progressToken": 1}}
    said = [HELLO, {"jsonrpc": "2.0", "method": "notifications/initialized"}]
    said += [{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call}]
    environment = environment | {"SPIKEMBA_CACHE": str(tmp_path)}  # so that the video is read
    command = [*RUN, "mcp", str(EXAMPLE), "--checkpoint", "mini"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as server:
        server.stdin.write("".join(json.dumps(one) + "\n" for one in said).encode())
        server.stdin.flush()
        while b"notifications/progress" not in server.stdout.readline():
            pass
        server.stdin.close()
        assert server.wait(60) == 0
        assert b"Traceback" not in server.stderr.read()


def test_what_cannot_be_served_ends_the_command_with_one_line(tmp_path):
    for arguments, expected in [
        ([tmp_path / "none.mp4"], "none.mp4: "),
        ([EXAMPLE, "--checkpoint", "nothing"], "no checkpoint 'nothing'"),
    ]:
        done = CliRunner().invoke(app, ["mcp", *map(str, arguments)])
        assert (done.exit_code, done.stdout) == (1, "")
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1


def test_help_is_there_before_anything_slow_is_loaded(environment):
    slow = "sorted({'torch', 'numpy', 'av', 'mcp', 'starlette'} & set(sys.modules))"
    program = f"import sys, atexit; atexit.register(lambda: print({slow}, file=sys.stderr))\n{RUN[2]}"
    done = subprocess.run([sys.executable, "-c", program, "mcp", "--help"], env=environment, capture_output=True)
    assert b"Example: spikemba mcp " in done.stdout
    assert (done.returncode, done.stderr.strip()) == (0, b"[]")


def test_without_the_extra_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr("spikemba.libraries.is_installed", lambda name: name != "mcp")
    done = CliRunner().invoke(app, ["mcp", str(EXAMPLE)])
    expected = "answering language models needs mcp, which is not installed; run `pip install 'spikemba[mcp]'`"
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"error: {expected}\n")


@pytest.fixture
def service(tmp_path):
    service = Service([EXAMPLE], {"mini": load("mini")})
    yield service
    service.close()


def test_without_a_folder_for_cuts_no_file_is_written(service):
    async def run():
        async with Client(mcp_server(service, None)) as client:
            listed = (await client.call_tool("list_videos", {"containing": "SHAPES"})).structured_content
            none = (await client.call_tool("list_videos", {"containing": "kitchen"})).structured_content
            (video,) = (one["id"] for one in listed["videos"])
            return none, error_of(await client.call_tool("cut", {"video": video, "start_s": 0, "end_s": 1}))

    none, said = anyio.run(run)
    assert none == {"videos": [], "n_videos": 0}
    assert said == "this server writes no files; start it with `spikemba mcp VIDEOS --cuts DIR`"


def test_a_client_that_gives_up_stops_the_reading(service):
    async def run():
        async with Client(mcp_server(service, None)) as client:
            asked_for = asyncio.Event()

            async def progress(done, total, message):
                if "reading" in message:
                    asked_for.set()

            asking = asyncio.create_task(client.call_tool("ground", {"query": QUERY}, progress_callback=progress))
            await asyncio.wait_for(asked_for.wait(), 60)
            asking.cancel()
            (question,) = service.lanes._questions.values()
            with anyio.fail_after(30):
                while not question.is_over:
                    await asyncio.sleep(0.01)
            return question.state

    assert anyio.run(run) == "cancelled"


def test_a_bug_is_told_without_its_insides(service, capfd, monkeypatch):
    def broken():
        raise ZeroDivisionError("a secret path")

    monkeypatch.setattr(service, "list", broken)

    async def run():
        async with Client(mcp_server(service, None)) as client:
            return await client.call_tool("list_videos", {})

    said = error_of(anyio.run(run))
    assert said == "list_videos failed unexpectedly (ZeroDivisionError); please report what the server printed"
    assert "a secret path" in capfd.readouterr().err


def test_no_file_of_that_name_is_overwritten(tmp_path):
    for n, expected in enumerate(["a.mp4", "a_2.mp4", "a_3.mp4"]):
        made = tmp_path / "made"
        made.write_text(str(n))
        assert module._placed(made, tmp_path / "new" / "cuts", "a.mp4").name == expected
        assert not made.exists()
    assert [(tmp_path / "new" / "cuts" / name).read_text() for name in ("a.mp4", "a_2.mp4", "a_3.mp4")] == list("012")


def test_a_name_that_two_videos_have_is_told_with_both(tmp_path):
    for name in ("A", "B roll"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kitchen.mp4").write_bytes(b"never opened")
    tools = module._Tools(Service([tmp_path], {}), None)
    with pytest.raises(NotThere, match=r"^2 videos are called 'kitchen.mp4': A/kitchen.mp4, B roll/kitchen.mp4; give"):
        tools.video_of("kitchen.mp4")
    assert tools.video_of("B roll/kitchen.mp4").folder == "B roll"


def test_a_library_is_searched_by_a_tool_of_its_own(tmp_path):
    films = tmp_path / "films"
    films.mkdir()
    for name in ("sea.mp4", "wood.mp4"):
        (films / name).write_bytes(EXAMPLE.read_bytes())
    rows = {films / "sea.mp4": [RED, NOTHING], films / "wood.mp4": [NOTHING, 0.5 * RED]}
    plant(tmp_path / "lib", rows)
    service = Service([], {"planted": planted_grounder()}, ServiceOptions(library=tmp_path / "lib"))
    told = []

    async def progress(done, total, message):
        told.append((done, total))

    async def work():
        async with Client(mcp_server(service, None)) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            found = await client.call_tool("search_library", {"query": "red"}, progress_callback=progress)
            one = await client.call_tool("search_library", {"query": "red", "only": "wood", "top": 1})
            part = {"like_video": "sea.mp4", "like_start_s": 0, "like_end_s": 2}
            like = await client.call_tool("search_library", part)
            lost = await client.call_tool("search_library", {"query": "red", "only": "mountains"})
            both = await client.call_tool("search_library", {"query": "red", **part})
            return tools, found.structured_content, one.structured_content, like, lost, both

    tools, found, one, like, lost, both = anyio.run(work)
    service.close()
    section = (ROOT / "docs" / "serve.md").read_text("utf-8").partition("## For language models")[2]
    row = next(line for line in section.splitlines() if line.startswith("| `search_library` |"))
    assert set(tools["search_library"].input_schema["properties"]) == set(re.findall(r"`(\w+)`", row)[1:])
    assert [(m["video"], m["start_s"], m["end_s"]) for m in found["moments"]] == [
        ("sea.mp4", 0.0, 2.0),
        ("wood.mp4", 2.0, 4.0),
    ]
    assert service.video(found["moments"][0]["video_id"]).path == films / "sea.mp4"
    assert [m["video"] for m in one["moments"]] == ["wood.mp4"]
    assert like.structured_content["moments"][0]["video"] == "wood.mp4"
    assert "no video of the library has 'mountains'" in error_of(lost)
    assert "give one of query, like and picture" in error_of(both)
    assert told[-1] == (2, 2)

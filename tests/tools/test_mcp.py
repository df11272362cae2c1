"""Servers of tools as child processes: opened in the background, bounded, watched, and ended with us."""
# ruff: noqa: ASYNC110  the stories wait for what other tasks and processes do

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.mcp import McpServer
from edge_agent.tools.mcp import McpTools
from edge_agent.tools.runner import Answer, Call, ToolRunner

pytest.importorskip("mcp")

PROGRAM = str(Path(__file__).parent / "child_server.py")
_STOP_S = 4.0  # two are promised; on a busy machine what was promised takes longer, and what hangs takes for ever


def _table(*words: str, **more: Any) -> McpServer:
    return McpServer(command=[sys.executable, PROGRAM, *words], **({"allow": ["*"]} | more))


def _story(story: Callable[[McpTools], Awaitable[None]], **tables: McpServer) -> float:
    """Run a story with servers; return how many seconds closing took."""
    took = []

    async def run() -> None:
        servers = McpTools(tables, deadline_s=5, read_secret=lambda reference: f"secret of {reference}")
        await servers.start()
        try:
            await servers.ready(20)
            await story(servers)
        finally:
            begin = time.monotonic()
            await servers.close()
            took.append(time.monotonic() - begin)

    asyncio.run(run())
    return took[0]


async def _call(servers: McpTools, tool: str, /, **arguments: Any) -> dict[str, Any]:
    runner = ToolRunner(servers.tools(), deadline_s=5, on_answer=lambda _: None)
    try:
        return (await runner.run(Call("1", tool, arguments))).response
    finally:
        await runner.close()


async def _until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.02)


def _running(word: str) -> list[int]:
    """The processes whose command line holds a word."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has ended
            if word in line and PROGRAM in line:
                found.append(int(folder.name))
    return found


def test_tools_are_declared_cleaned_and_called() -> None:
    async def story(servers: McpTools) -> None:
        declared = servers.tools()["add"].declaration()
        assert declared["description"] == "Add two numbers."
        assert declared["parameters_json_schema"] == {
            "type": "object",
            "properties": {"a": {"type": "integer", "description": "One number."}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        }
        assert "parameters_json_schema" not in servers.tools()["slow"].declaration()
        assert await _call(servers, "add", a=1, b=2.0) == {"result": {"sum": 3}}
        assert "argument b of add" in (await _call(servers, "add", a=1, b="two"))["error"]
        assert "'b' is a required" in (await _call(servers, "add", a=1))["error"]
        assert "doubtful" not in servers.tools()
        assert servers.complaints == [
            (
                "a tool of one is not offered: doubtful: its input schema points to https://example.org/s.json; "
                "only #/ is followed"
            )
        ]

    _story(story, one=_table())


@pytest.mark.parametrize(
    ("tool", "response"),
    [
        ("text", {"result": "done"}),
        ("picture", {"error": "the answer is not text but image, which this device does not pass on"}),
        ("fail", {"error": "the [31m shelf is empty"}),
        ("huge", {"error": "huge answered 20013 bytes; at most 16384 are passed on"}),
    ],
)
def test_what_comes_back(tool: str, response: dict[str, Any]) -> None:
    async def story(servers: McpTools) -> None:
        assert await _call(servers, tool) == response

    _story(story, one=_table(allow=[tool]))


def test_nothing_is_offered_that_is_not_named(caplog: pytest.LogCaptureFixture) -> None:
    async def story(servers: McpTools) -> None:
        assert list(servers.tools()) == ["x_add"]
        assert servers.tools()["x_add"].source == "mcp one"
        assert await _call(servers, "x_add", a=1, b=2) == {"result": {"sum": 3}}

    _story(story, one=_table(allow=["add", "fly"], prefix="x_"))
    assert [one.getMessage() for one in caplog.records] == ["mcp.one.allow names fly, which the server does not offer"]


def test_a_call_over_its_deadline_is_cancelled_at_the_server(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def story(servers: McpTools) -> None:
        answer = await _call(servers, "slow")
        assert answer == {"error": "slow took longer than 0.1 s and was given up"}
        await _until(lambda: "notifications/cancelled" in journal.read_text())
        told = [json.loads(line) for line in journal.read_text().splitlines()]
        asked = next(one for one in told if one["method"] == "tools/call")
        assert told[-1]["params"]["requestId"] == asked["id"]
        assert await _call(servers, "add", a=1, b=2) == {"result": {"sum": 3}}

    _story(story, one=_table(env=[f"JOURNAL={journal}"], deadline_s=0.1))


def test_a_server_that_dies_is_told_once_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def story(servers: McpTools) -> None:
        assert await _call(servers, "die") == {"error": "one is not available: it ended"}
        assert servers.complaints == ["one is not available: it ended"]
        assert "it ended" in (await _call(servers, "add", a=1, b=2))["error"]
        await _until(lambda: servers.complaints == [])
        assert await _call(servers, "add", a=1, b=2) == {"result": {"sum": 3}}

    _story(story, one=_table(allow=["add", "die"]))
    assert [one.getMessage() for one in caplog.records] == [
        "the MCP server one is not available: it ended",
        "the MCP server one is available again",
    ]


def test_a_new_tool_counts_from_then_on() -> None:
    async def story(servers: McpTools) -> None:
        assert "new" not in servers.tools()
        assert await _call(servers, "grow") == {"result": "done"}
        await _until(lambda: "new" in servers.tools())
        assert await _call(servers, "new") == {"result": "done"}

    _story(story, one=_table())


def test_one_server_out_of_order_leaves_the_others_alone() -> None:
    async def story(servers: McpTools) -> None:
        assert list(servers.tools()) == ["text"]
        assert servers.complaints == [
            "broken is not available: it ended",
            "absent is not available: /no/such/program cannot be started: No such file or directory",
            "chatty is not available: it wrote something to stdout that is no message",
        ]

    _story(
        story,
        broken=_table("broken"),
        absent=McpServer(command=["/no/such/program"], allow=["*"]),
        chatty=_table("nonsense"),
        good=_table(allow=["text"]),
    )


def test_two_tools_of_one_name_are_told_apart_or_refused() -> None:
    async def story(servers: McpTools) -> None:
        assert servers.tools()["add"].source == "mcp one"
        assert servers.complaints == [
            "add of mcp two is not offered: mcp one has a tool of this name already; give mcp.two a prefix"
        ]

    _story(story, one=_table(allow=["add"]), two=_table(allow=["add"]))


def test_a_child_inherits_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "not-for-others")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")

    async def story(servers: McpTools) -> None:
        names = set((await _call(servers, "environment"))["result"])
        assert names <= {"PATH", "HOME", "LANG", "USER", "LC_CTYPE", "NOTE"}
        assert (await _call(servers, "v_environment")) == {"result": "secret of file:note"}

    _story(story, one=_table(env=["NOTE=x"]), two=_table("values", env=["NOTE=file:note"], prefix="v_"))


def test_what_it_writes_to_stderr_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def story(_servers: McpTools) -> None:
        await _until(lambda: "more to stderr" in caplog.text)

    _story(story, one=_table("chatty", allow=["add"]))
    lines = [one.getMessage() for one in caplog.records if one.name.endswith(".one")]
    assert len(lines) == 21
    assert all(len(line) <= 200 and "\x1b" not in line for line in lines)


def test_a_server_without_a_handshake_is_spoken_to_in_the_newer_way() -> None:
    async def story(servers: McpTools) -> None:
        assert servers.complaints == []
        assert await _call(servers, "add", a=1, b=2) == {"result": {"sum": 3}}

    _story(story, one=_table("modern", allow=["add"]))


_OFFICIAL = """
import asyncio, sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("official")

@server.tool()
def add(a: int, b: int = 1) -> str:
    "Add."
    return str(a + b)

@server.tool()
async def wait() -> str:
    "Wait."
    await asyncio.sleep(60)
    return "never"

port = int(sys.argv[1])
server.run("streamable-http", host="127.0.0.1", port=port) if port else server.run("stdio")
"""


@pytest.fixture
def official(tmp_path: Path) -> Path:
    path = tmp_path / "official.py"
    path.write_text(_OFFICIAL)
    return path


async def _official_story(servers: McpTools) -> None:
    await _until(lambda: list(servers.tools()) == ["add", "wait"])
    assert (await _call(servers, "add", a=2))["result"] in ("3", {"result": "3"})
    assert "given up" in (await _call(servers, "wait"))["error"]
    assert "argument a of add" in (await _call(servers, "add", a="x"))["error"]
    assert (await _call(servers, "add", a=2, b=2))["result"] in ("4", {"result": "4"})


def test_a_server_of_the_official_package_as_a_program(official: Path) -> None:
    _story(
        _official_story,
        one=McpServer(command=[sys.executable, str(official), "0"], allow=["*"], deadline_s=0.5),
    )


def test_a_server_of_the_official_package_at_an_address(official: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, str(official), str(port)], stderr=subprocess.DEVNULL)
    try:
        _story(
            _official_story,
            one=McpServer(url=f"http://127.0.0.1:{port}/mcp", allow=["*"], deadline_s=0.5),
        )
    finally:
        process.kill()
        process.wait()


def test_a_stubborn_child_and_what_it_started_end_with_us() -> None:
    async def story(servers: McpTools) -> None:
        assert await _call(servers, "text") == {"result": "done"}
        assert _running("stubborn-7f3")

    assert _story(story, one=_table("stubborn", "stubborn-7f3")) < _STOP_S
    assert not _running("stubborn-7f3")
    assert not _sleepers()


def _sleepers() -> list[str]:
    """Processes `sleep 61`, which the stubborn server starts."""
    lines = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                lines.append((folder / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue  # it has ended
    return [line for line in lines if line == "sleep\x0061.25\x00"]


def test_a_reload_opens_only_what_changed() -> None:
    async def story(servers: McpTools) -> None:
        kept, old = _running("kept-7f3"), _running("old-7f3")
        servers.replace({"kept": _table("kept-7f3", allow=["add"]), "new": _table("new-7f3", allow=["text"])})
        await _until(lambda: list(servers.tools()) == ["add", "text"])
        await _until(lambda: not _running("old-7f3"))
        assert old
        assert _running("kept-7f3") == kept

    _story(story, kept=_table("kept-7f3", allow=["add"]), old=_table("old-7f3", allow=["fail"]))
    assert not _running("-7f3")


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = dict(sys.modules)
    modules |= {name: None for name in modules if name.partition(".")[0] == "mcp"}  # None: not to be found
    modules["mcp"] = modules["mcp.client.session"] = None
    monkeypatch.setattr(sys, "modules", modules)

    async def story(servers: McpTools) -> None:
        assert servers.complaints == [
            (
                "one is not available: the package mcp, version 2 or later, is not installed; "
                "type: pip install 'edge-agent[mcp]'"
            )
        ]

    _story(story, one=_table())


def test_no_server_no_package() -> None:
    """A daemon without servers pays nothing."""
    code = (
        "import sys, edge_agent.tools.mcp, edge_agent.tools.mcp.child, edge_agent.tools.mcp.http\n"
        "print(*{'mcp', 'mcp_types', 'jsonschema', 'httpx2', 'pydantic', 'anyio'} & set(sys.modules))"
    )

    async def run() -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
        )
        out, _ = await process.communicate()
        return out.decode().strip()

    assert asyncio.run(run()) == ""


def test_starting_returns_at_once_and_closing_an_unfinished_start_is_clean() -> None:
    async def run() -> None:
        servers = McpTools({"one": _table("never-7f3")}, deadline_s=5)
        await servers.start()
        assert dict(servers.tools()) == {}
        await asyncio.sleep(0.05)
        await servers.close()

    asyncio.run(run())
    assert not _running("never-7f3")


def test_an_answer_is_what_the_runner_hands_on() -> None:
    answers: list[Answer] = []

    async def story(servers: McpTools) -> None:
        runner = ToolRunner(servers.tools(), deadline_s=5, on_answer=answers.append)
        runner.start([Call("a", "text", {}), Call("b", "slow", {}), Call("c", "fail", {})])
        await _until(lambda: len(answers) == 2)
        runner.cancel(["b"])
        await runner.close()

    _story(story, one=_table(behaviour="non-blocking", scheduling="silent"))
    assert {(one.id, one.ok, one.scheduling) for one in answers} == {("a", True, "SILENT"), ("c", False, "SILENT")}

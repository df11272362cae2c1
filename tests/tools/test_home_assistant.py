"""Home Assistant as a server of tools: what the model is told when all is well, and when it is not.

The exchange in `data/home-assistant.json` is made by hand from the specification and from what Home Assistant
publishes, not recorded. The transport is real: HTTP on this machine's own interface, through the package `mcp`.
"""
# ruff: noqa: ASYNC110  the stories wait for what other tasks do

from __future__ import annotations

import asyncio
import json
import logging
import re
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures_mcp import ReplayServer

from edge_agent import config
from edge_agent.config.mcp import McpServer
from edge_agent.tools.mcp import McpTools
from edge_agent.tools.mcp import server as mcp_server
from edge_agent.tools.runner import Answer, Call, ToolRunner

pytest.importorskip("mcp")

EXCHANGES = Path(__file__).parent / "data/home-assistant.json"
ROOT = Path(__file__).parent.parent.parent
_ALLOW = ["HassTurnOn", "HassLightSet"]


class Home:
    """A device's tools and the house they belong to."""

    def __init__(self, house: ReplayServer, servers: McpTools) -> None:
        self.house, self.servers = house, servers
        self.answers: list[Answer] = []
        self.runner = ToolRunner(servers.tools(), deadline_s=5, on_answer=self.answers.append)

    async def ask(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call as the model does: every call is answered, exactly once."""
        before = len(self.answers)
        self.runner.replace(self.servers.tools())
        self.runner.start([Call(f"call-{before}", tool, arguments)])
        async with asyncio.timeout(10):
            while len(self.answers) == before:
                await asyncio.sleep(0.01)
        assert self.runner.pending == frozenset()
        assert len(self.answers) == before + 1
        return self.answers[-1].response

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():
                await asyncio.sleep(0.02)


def at_home(story: Callable[[Home], Awaitable[None]], *, listening: bool = True, **table: Any) -> None:
    async def run() -> None:
        house = ReplayServer(EXCHANGES)
        async with house:
            if not listening:
                await house.stop()
            server = McpServer(url=house.url, token="env:HA_TOKEN", **({"allow": _ALLOW} | table))
            servers = McpTools({"home": server}, deadline_s=5, read_secret=lambda _: house.token)
            await servers.start()
            try:
                await servers.ready(10)
                home = Home(house, servers)
                await story(home)
                await home.runner.close()
            finally:
                await servers.close()

    asyncio.run(run())


@pytest.fixture
def sentences(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What an owner reads in the log: everything from info on, of everybody."""
    caplog.set_level(logging.INFO)
    return lambda: [f"{one.levelname} {one.getMessage()}" for one in caplog.records]


def test_the_light_goes_on(sentences: Callable[[], list[str]]) -> None:
    async def story(home: Home) -> None:
        answer = await home.ask("HassTurnOn", name="Kitchen light")
        assert answer["result"]["response_type"] == "action_done"
        assert answer["result"]["data"]["success"] == [
            {"name": "Kitchen light", "type": "entity", "id": "light.kitchen"}
        ]
        assert home.house.methods() == ["initialize", "notifications/initialized", "tools/list", "tools/call"]

    at_home(story)
    assert sentences() == []


def test_only_what_is_allowed_is_declared_as_the_service_takes_it() -> None:
    async def story(home: Home) -> None:
        tools = home.servers.tools()
        assert list(tools) == _ALLOW
        declared = tools["HassLightSet"].declaration()
        assert declared["description"] == "Sets the brightness percentage or color of a light"
        assert declared["behavior"] == "NON_BLOCKING"
        assert declared["parameters_json_schema"]["properties"]["brightness"]["maximum"] == 100
        assert "there is no tool HassTurnOff" in (await home.ask("HassTurnOff", name="x"))["error"]
        assert "tools/call" not in home.house.methods()

    at_home(story, behaviour="non-blocking", scheduling="when-idle")


def test_arguments_are_held_against_the_schema_before_the_house_hears_of_them() -> None:
    async def story(home: Home) -> None:
        answer = await home.ask("HassLightSet", area="Bedroom", brightness=400)
        assert answer == {"error": "argument brightness of HassLightSet: 400 is greater than the maximum of 100"}
        assert "tools/call" not in home.house.methods()
        assert "result" in await home.ask("HassLightSet", area="Bedroom", brightness=40.0)
        assert home.house.seen[-1]["params"]["arguments"] == {"area": "Bedroom", "brightness": 40}

    at_home(story)


def test_an_unknown_room_is_an_answer_not_a_fault(sentences: Callable[[], list[str]]) -> None:
    async def story(home: Home) -> None:
        answer = await home.ask("HassTurnOn", area="Attic")
        assert list(answer) == ["error"]
        assert "INVALID_AREA" in answer["error"]
        assert "Attic" in answer["error"]
        assert len(answer["error"]) <= 300
        assert home.servers.complaints == []

    at_home(story)
    assert sentences() == []


def test_a_revoked_token_is_said_once_and_not_sent_again_and_again(sentences: Callable[[], list[str]]) -> None:
    async def story(home: Home) -> None:
        home.house.accepted = set()
        for _ in range(3):
            answer = await home.ask("HassTurnOn", name="Kitchen light")
            assert "home is not available: it refused the token" in answer["error"]
            await asyncio.sleep(0.6)  # in which a new attempt would be made
        assert home.servers.complaints == [answer["error"]]
        assert home.house.refusals == 1, "servers shut out who keeps trying"
        assert "HassTurnOn" in home.servers.tools(), "what was known stays declared"
        home.house.token = "a-new-token-from-the-file"
        home.house.accepted = {home.house.token}
        await home.ask("HassTurnOn", name="Kitchen light")
        await home.until(lambda: home.servers.complaints == [])
        assert "result" in await home.ask("HassTurnOn", name="Kitchen light")

    at_home(story)
    first, second = sentences()
    assert first.startswith("WARNING the MCP server home is not available: it refused the token; make a new one")
    assert second == "INFO the MCP server home is available again"


def test_a_house_that_is_down_is_answered_for_and_found_again(sentences: Callable[[], list[str]]) -> None:
    async def story(home: Home) -> None:
        await home.house.stop()
        for _ in range(3):
            answer = await home.ask("HassTurnOn", name="Kitchen light")
            assert answer == {"error": "home is not available: nobody answers at its address"}
        async with home.house:
            await home.ask("HassTurnOn", name="Kitchen light")
            await home.until(lambda: home.servers.complaints == [])
            assert "result" in await home.ask("HassTurnOn", name="Kitchen light")

    at_home(story)
    assert sentences() == [
        "WARNING the MCP server home is not available: nobody answers at its address",
        "INFO the MCP server home is available again",
    ]


def test_a_house_that_hangs_is_given_up_in_time_and_told(sentences: Callable[[], list[str]]) -> None:
    async def story(home: Home) -> None:
        home.house.silent = True
        answer = await home.ask("HassTurnOn", name="Kitchen light")
        assert answer == {"error": "HassTurnOn took longer than 0.3 s and was given up"}
        await home.until(lambda: home.servers.complaints == ["home is not available: it does not answer"])
        assert "it does not answer" in (await home.ask("HassTurnOn", name="Kitchen light"))["error"]

    before = mcp_server.OPEN_S
    mcp_server.OPEN_S = 1.0
    try:
        at_home(story, deadline_s=0.3)
    finally:
        mcp_server.OPEN_S = before
    assert sentences() == ["WARNING the MCP server home is not available: it does not answer"]


def test_a_call_that_is_cancelled_is_cancelled_at_the_house() -> None:
    async def story(home: Home) -> None:
        home.house.silent = True
        home.runner.start([Call("1", "HassTurnOn", {"name": "Kitchen light"})])
        await home.until(lambda: "tools/call" in home.house.methods())
        number = home.house.seen[-1]["id"]
        home.runner.cancel(["1"])
        await home.until(lambda: home.house.methods()[-1] == "notifications/cancelled")
        assert home.house.seen[-1]["params"]["requestId"] == number
        assert home.answers == []

    at_home(story)


def test_a_house_that_is_not_there_yet_holds_nothing_up(sentences: Callable[[], list[str]]) -> None:
    async def story(home: Home) -> None:
        assert dict(home.servers.tools()) == {}
        assert home.servers.complaints == ["home is not available: nobody answers at its address"]
        async with home.house:
            await home.until(lambda: list(home.servers.tools()) == _ALLOW)
            assert "result" in await home.ask("HassTurnOn", name="Kitchen light")

    at_home(story, listening=False)
    assert len(sentences()) == 2


def test_a_lost_session_is_opened_again() -> None:
    async def story(home: Home) -> None:
        home.house.session = "second"  # the server was started anew and knows the first no more
        answer = await home.ask("HassTurnOn", name="Kitchen light")
        assert "no longer our session" in answer["error"]
        await home.until(lambda: home.servers.complaints == [])
        assert "result" in await home.ask("HassTurnOn", name="Kitchen light")

    at_home(story)


def test_an_endless_answer_is_cut_off() -> None:
    async def story(home: Home) -> None:
        home.house.body = b'{"jsonrpc": "2.0", "result": "' + b"x" * (5 << 20) + b'"}'
        answer = await home.ask("HassTurnOn", name="Kitchen light")
        assert "larger than 4 MiB" in answer["error"]

    at_home(story)


def test_an_error_of_the_protocol_is_an_answer() -> None:
    async def story(home: Home) -> None:
        answer = await home.ask("HassTurnOn", name="Something the exchange does not know")
        assert answer == {"error": "home: Method not found"}

    at_home(story)


def test_the_token_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = []

    async def story(home: Home) -> None:
        shown.append(repr(home.servers._servers["home"].table))
        shown.append(json.dumps(await home.ask("HassTurnOn", name="Kitchen light")))
        home.house.accepted = set()
        shown.append(json.dumps(await home.ask("HassTurnOn", name="Kitchen light")))
        shown.extend(home.servers.complaints)

    at_home(story)
    token = json.loads(EXCHANGES.read_text())["token"]
    ours = "\n".join(one.getMessage() for one in caplog.records if one.name.startswith("edge_agent"))
    assert token not in ours + "".join(shown)


def test_the_example_and_the_recipe_are_accepted() -> None:
    example = config.load(ROOT / "docs/examples/home-assistant.toml")
    assert example.mcp["home"].url.endswith("/api/mcp")
    listed = {
        tool["name"]
        for one in json.loads(EXCHANGES.read_text())["exchanges"]
        for tool in one["response"]["result"].get("tools", [])
    }
    assert set(example.mcp["home"].allow) <= listed
    text = (ROOT / "docs/tools.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        config.parse(tomllib.loads(block), source="docs/tools.md")

"""What a line that comes and goes tells conversation and figures, and what of a visitor stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from edge_agent.agent import Agent
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.errors import (
    AgentError,
    ConfigError,
    ConnectionEnded,
    CredentialError,
    Fault,
    NetworkError,
    Overloaded,
    Retry,
)
from edge_agent.live import events as heard
from edge_agent.live.session import Up

Build = Callable[..., Agent]


def listening(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> list[ev.Event]:
    """Every event that the conversation is told from now on."""
    told: list[ev.Event] = []

    def noted(event: ev.Event, _now: float) -> list[do.Action]:
        told.append(event)
        return []

    monkeypatch.setattr(agent.talk.machine, "handle", noted)
    return told


@pytest.mark.parametrize(
    ("error", "down"),
    [
        (NetworkError("Cut."), ev.LinkDown(Fault.NETWORK, "Cut.")),
        (Retry("Not now.", wait_s=2.0), ev.LinkDown(Fault.NETWORK, "Not now.", wait_s=2.0)),
        (Overloaded("Enough.", wait_s=30.0), ev.LinkDown(Fault.LIMIT, "Enough.", wait_s=30.0)),
        (ConnectionEnded("Over.", code=1011, reason=""), ev.LinkDown(Fault.SERVICE, "Over.")),
        (CredentialError("No key."), ev.LinkDown(Fault.CREDENTIAL, "No key.", final=True)),
        (ConfigError("A wrong model."), ev.LinkDown(None, "A wrong model.", final=True)),
    ],
)
def test_a_line_that_is_lost_says_whether_it_is_worth_another_try(
    build: Build, monkeypatch: pytest.MonkeyPatch, error: AgentError, down: ev.LinkDown
) -> None:
    async def story() -> None:
        agent = build()
        told = listening(agent, monkeypatch)
        agent.talk.link.down(error)
        assert told == [down]
        assert agent.metrics.value("reconnects", cause=error.kind or type(error).__name__) == 1
        await agent.talk.close()

    asyncio.run(story())


def test_a_line_that_comes_up_tells_how(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        agent = build()
        told = listening(agent, monkeypatch)
        agent.talk.link.up(Up(resumed=True, lasts_s=540.0))
        assert told == [ev.LinkUp(resumed=True, retold=False, degraded=False, lasts_s=540.0)]
        assert agent.metrics.value("connections") == 1
        await agent.talk.close()

    asyncio.run(story())


@pytest.mark.parametrize("mode", ["kiosk", "speaker"])
def test_only_a_household_keeps_the_handle_and_nobody_keeps_the_words(build: Build, mode: str) -> None:
    async def story() -> None:
        agent = build(mode=mode)
        link = agent.talk.link
        link.session.restore("a-handle", age_s=0.0)
        link._heard(heard.Resumption("a-handle", True))
        kept = agent.memory.file.section("handle").get("handle")
        assert kept == ("a-handle" if mode == "speaker" else None)
        link.story.heard("user", "Where do I live?")
        link.story.end_turn()
        link.sender.text("And where is that?")
        link.wipe(keep_handle=mode == "speaker")
        assert link.story.turns(question=True) == ()
        assert link.sender.all_asked, "no text of the last visitor is left to be sent"
        assert link.session.handle == ("a-handle" if mode == "speaker" else None)
        link.wipe(keep_handle=False)
        assert link.session.handle is None
        assert not agent.memory.file.section("handle")
        await agent.talk.close()
        await agent.memory.close()

    asyncio.run(story())


@pytest.mark.parametrize(("model", "told"), [("gemini-3.8-live", True), ("gemini-3.5-live-translate", False)])
def test_the_story_is_told_to_models_that_can_be_told_one(build: Build, model: str, told: bool) -> None:
    async def story() -> None:
        agent = build(live={"model": model, "translate_to": "de" if "translate" in model else ""})
        link = agent.talk.link
        link.story.heard("user", "Where do I live?")
        link.story.heard("model", "In Turin.")
        link.story.end_turn()
        assert bool(link._told()) is told
        await agent.talk.close()

    asyncio.run(story())

"""What helps itself, from end to end: calls that close the ears, walls before WebSockets, a house, a recorded fault."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fixtures_mcp import ReplayServer
from harness import KEY, own_tools
from scenarios.house import House, answer, answering, live_in
from showing import Shown

from edge_agent.simulator import Call, FunctionCall, Hear, Rule, Say, Script, SessionRecord, Text, replay

SPEAKER: dict[str, Any] = {"mode": "speaker", "audio": {"echo": "hardware"}}
HOME = Path(__file__).parents[1] / "tools" / "data" / "home-assistant.json"
DONE = answer("It is done.", seed=31)
SLOW = '''
"""A gate that takes its time."""

import asyncio


async def open_gate(seconds: int) -> str:
    """Open the garden gate.

    Args:
        seconds: How long it takes.
    """
    await asyncio.sleep(seconds)
    return "open"
'''


def gate(seconds: int) -> Script:
    """The first thing that is said opens the gate, which takes so long; all else is answered."""
    call = Call((FunctionCall("open_gate", {"seconds": seconds}),))
    return Script(rules=(Rule((Hear("open the gate"), call, DONE), times=1), answering(seed=32)))


def pending(session: SessionRecord) -> tuple[float, float]:
    """When the service asked for the first call, and when it had the answer."""
    asked, told = session.first("toolCall"), session.first("toolResponse")
    assert asked is not None
    assert told is not None
    return asked.t, told.t


def sound_between(session: SessionRecord, since: float, until: float) -> int:
    """How many messages of microphone sound came in a time."""
    return sum(mark.kind == "audio" and mark.who == "client" and since < mark.t < until for mark in session.marks)


# Calls that the model says nothing before.


@pytest.mark.parametrize("model", ["gemini-3.1-flash-live-preview", "gemini-2.5-flash-native-audio-preview-12-2025"])
def test_a_model_that_would_hang_up_hears_nothing_while_it_waits_for_a_call(
    tmp_path: Path, shown: Shown, model: str
) -> None:
    async def story(house: House) -> None:
        said = await house.ask()
        await house.device.event("tool", phase="called")
        await asyncio.sleep(0.3)
        assert house.device.status()["light"] == "thinking", "no light says that it listens"
        house.device.air.say(2.0)
        await house.answered()
        session = house.twin.session
        asked, told = pending(session)
        assert told - asked == pytest.approx(4.0, abs=0.3)
        assert sound_between(session, asked + 0.1, told) == 0
        assert sound_between(session, asked - 1.0, asked) >= 15, "until then it was heard"
        assert house.delivered(said)
        assert house.device.status()["light"] == "listening"
        assert house.delivered(await house.talk()), "and afterwards"
        assert house.played(DONE)
        assert len(house.twin.sessions) == 1

    live_in(own_tools(tmp_path, SLOW), shown, story, script=gate(4), live={"model": model}, **SPEAKER)


def test_a_model_that_can_listen_meanwhile_goes_on_listening(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        await house.talk()
        asked, told = pending(house.twin.session)
        assert sound_between(house.twin.session, asked, told) > 80

    live_in(own_tools(tmp_path, SLOW), shown, story, script=gate(4), **SPEAKER)


@pytest.mark.parametrize("model", ["gemini-3.1-flash-live-preview", "gemini-2.5-flash-native-audio-preview-12-2025"])
def test_a_call_that_takes_too_long_is_answered_for_and_the_ears_open_again(
    tmp_path: Path, shown: Shown, model: str
) -> None:
    async def story(house: House) -> None:
        await house.talk()
        session = house.twin.session
        asked, told = pending(session)
        assert told - asked == pytest.approx(3.0, abs=0.3)
        assert sound_between(session, asked + 0.1, told) == 0
        (response,) = session.responses.values()
        assert "took longer than 3 s" in response["error"]
        assert house.delivered(await house.talk())
        assert house.figure("tool_calls") == {"error": 1}

    live_in(
        own_tools(tmp_path, SLOW),
        shown,
        story,
        script=gate(600),
        live={"model": model},
        tools={"deadline_s": 3.0},
        **SPEAKER,
    )


def test_a_press_while_a_call_is_pending_is_kept_until_it_is_answered(tmp_path: Path, shown: Shown) -> None:
    """Push-to-talk: the turn is open, but nothing of it goes out before the answer of the call."""

    async def story(house: House) -> None:
        await house.ask()
        await house.device.event("tool", phase="called")
        await asyncio.sleep(0.5)
        await house.device.begin_to_ask(6.0)
        await asyncio.sleep(1.0)
        assert house.device.status()["light"] != "listening"
        await house.device.event("tool", phase="answered")
        await asyncio.sleep(0.3)
        assert house.device.status()["light"] == "listening"
        await asyncio.sleep(3.0)
        await house.device.release()
        await house.answered()
        session = house.twin.session
        asked, told = pending(session)
        assert sound_between(session, asked + 0.1, told) == 0
        assert sound_between(session, told, told + 3.0) > 50
        assert len(house.twin.sessions) == 1

    model = "gemini-3.1-flash-live-preview"
    live_in(own_tools(tmp_path, SLOW), shown, story, script=gate(4), live={"model": model})


# A wall.


def test_behind_a_wall_it_talks_by_requests_and_comes_back_when_the_wall_falls(tmp_path: Path, shown: Shown) -> None:
    words = "It works without WebSockets too."
    script = Script(rules=(Rule((Text(words),), times=1), answering()), blocked_status=403)

    async def story(house: House) -> None:
        said = await house.ask(2.0)
        await house.device.event("caption", speaker="device", line=words)
        await house.answered()
        assert len(house.twin.refused) == 3, "three tries, then another way"
        (asked,) = [one for one in house.twin.requests if one.method == "generateContent"]
        assert asked.turn is not None
        assert house.heard_in(asked.turn.audio, said)
        assert house.spoke(words), "in the device's own voice"
        assert "degraded" in house.lit()
        assert any(why.startswith("degraded") for why in house.whys("connection"))
        assert house.device.status()["fault"] is None
        await house.twin.answer(Text("Dinner is ready."))
        await house.ctl("say", text="Dinner is ready.")
        await house.answered()
        assert house.spoke("Dinner is ready.")
        house.twin.blocked_with = None
        await house.sessions(1, within_s=700.0)
        again = await house.talk()
        assert house.delivered(again)
        assert house.lit()[-2:] == ["speaking", "idle"]
        assert len(house.twin.refused) == 3

    live_in(tmp_path, shown, story, script=script, conversation={"idle_timeout_s": 900.0, "max_conversation_s": 3000.0})


# A house.


def test_the_model_turns_a_light_on(tmp_path: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mcp")
    call = Call((FunctionCall("HassTurnOn", {"name": "Kitchen light"}),))
    script = Script(rules=(Rule((Hear("kitchen light on"), call, DONE)),))
    server = ReplayServer(HOME)
    monkeypatch.setenv("HA_TOKEN", server.token)

    async def story(house: House) -> None:
        async with server:
            while "tools/list" not in server.methods():  # noqa: ASYNC110  the server has no event for it
                await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
            await house.talk()
            assert house.played(DONE)
            declared = str(house.twin.session.setup["tools"])
            assert "HassTurnOn" in declared
            assert "HassTurnOff" not in declared, "only what the owner allows"
            (response,) = house.twin.session.responses.values()
            assert "Kitchen light" in str(response)
            assert "error" not in response
            (sent,) = [one for one in server.seen if one["method"] == "tools/call"]
            assert sent["params"]["arguments"] == {"name": "Kitchen light"}
            assert house.figure("tool_calls") == {"ok": 1}

    server.port = 41_999
    live_in(
        tmp_path,
        shown,
        story,
        script=script,
        mcp={"home": {"url": server.url, "token": "env:HA_TOKEN", "allow": ["HassTurnOn"]}},
        **SPEAKER,
    )
    assert not shown.of(server.token)


# A recorder.


async def visit(house: House) -> list[str]:
    """Ask, lose the line in the second question because the key is gone, and be told so; return the shown states."""
    await house.talk()
    await house.device.begin_to_ask(3.0)
    await asyncio.sleep(1.0)
    house.twin.key = "another-key-that-nobody-knows-0123456789"
    house.device.network.cut()
    await house.device.until(state="fault")
    await house.device.release()
    await asyncio.sleep(10.0)
    return [event["state"] for event in house.device.events if event["event"] == "state"]


def test_a_fault_writes_its_recording_by_itself_and_it_plays_back_to_the_same_states(
    tmp_path: Path, shown: Shown
) -> None:
    flights = tmp_path / "flights"
    states: list[list[str]] = []

    async def story(house: House) -> None:
        states.append(await visit(house))
        if len(states) == 1:
            asked_for = Path((await house.ctl("record"))["file"])
            assert asked_for.parent == flights

    script = Script(rules=(answering("Nobody may read this sentence.", heard="my secret wish"),))
    for name in ("field", "bench"):
        (tmp_path / name).mkdir()
    live_in(tmp_path / "field", shown, story, script=script, recorder={"folder": str(flights)})
    written = {json.loads(path.read_text().splitlines()[0])["why"].split(":")[0]: path for path in flights.iterdir()}
    assert written.keys() == {"fault 1", "fault 3", "asked for"}, "the line went first, then the key was refused"
    by_itself = written["fault 3"]
    text = by_itself.read_text()
    for secret in ("Nobody may", "secret wish", KEY, "twin-handle"):
        assert secret not in text
    assert max(map(len, text.splitlines())) < 20_000, "no sound"
    live_in(tmp_path / "bench", shown, story, script=Script(rules=()), replay=replay.load(by_itself))
    in_the_field, on_the_bench = states
    assert on_the_bench == in_the_field
    assert on_the_bench[-1] == "fault"


def test_levels_are_recorded_although_nobody_watches(tmp_path: Path, shown: Shown) -> None:
    flights = tmp_path / "flights"

    async def story(house: House) -> None:
        await asyncio.sleep(30.0)
        await house.device.do("record")

    live_in(tmp_path, shown, story, recorder={"folder": str(flights)})
    (recording,) = flights.iterdir()
    told = [json.loads(line) for line in recording.read_text().splitlines()]
    levels = [one for one in told if one.get("event") == "level"]
    assert 25 <= len(levels) <= 35, "one a second"


def test_without_a_folder_nothing_is_recorded_and_who_asks_is_told_what_to_set(tmp_path: Path, shown: Shown) -> None:
    async def story(house: House) -> None:
        assert "recorder.folder" in await house.refused("record")

    live_in(tmp_path, shown, story)


# A translator.


def test_a_translator_takes_no_text_and_announces_with_its_own_voice(tmp_path: Path, shown: Shown) -> None:
    script = Script(rules=(Rule((Hear("dzien dobry"), Say("good morning", sound=DONE.sound))),))

    async def story(house: House) -> None:
        assert "takes no text" in await house.refused("ask", text="Are you there?")
        assert not house.twin.sessions
        await house.ctl("say", text="The tour begins.")
        await asyncio.sleep(4.0)
        assert house.spoke("The tour begins.")
        assert not house.twin.sessions
        await house.device.tap()
        await house.device.until(state="listening")
        await house.device.say_aloud(2.0)
        await house.device.until(state="speaking")
        assert "takes no text" in await house.refused("ask", text="Are you there?")
        await house.device.until(state="listening")
        await house.ctl("converse", text="We go on to the next room.")
        await asyncio.sleep(5.0)
        assert house.spoke("We go on to the next room.")
        assert not house.twin.session.texts

    live_in(
        tmp_path,
        shown,
        story,
        script=script,
        live={"model": "gemini-3.5-live-translate-preview", "translate_to": "en"},
        **SPEAKER,
    )

"""A fault of the field becomes a test: recorded by a real device, played back, and the device does the same again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Device, coded_noise, s16

from edge_agent.agent.flight import Flight
from edge_agent.config import Recorder
from edge_agent.conversation import events as ev
from edge_agent.simulator import Rule, Say, Script, SyncTwin, When, replay
from edge_agent.simulator.script import Drop, End, Step, Wait

BROKEN: list[tuple[str, Step]] = [("cut", Drop()), ("closed", End(1011, "Internal error encountered."))]


def join(device: Device, folder: Path) -> Flight:
    """Let a recorder listen in to everything the device does."""
    agent = device.agent
    session, machine, reports = agent.talk.session, agent.talk.machine, agent._reports
    flight = Flight(Recorder(folder=str(folder)), metrics=agent.metrics, clock=asyncio.get_running_loop().time)
    session._tap = flight.tap
    handle, publish, down = machine.handle, reports.publish, session._on_down

    def handled(event: ev.Event, now: float) -> Any:
        actions = handle(event, now)
        flight.decided(event, actions, machine.shown_state)
        return actions

    def published(event: str, **fields: Any) -> None:
        flight.told(event, fields)
        publish(event, **fields)

    def went_down(error: Any) -> None:
        flight.link_down(error)
        down(error)

    machine.handle = handled  # type: ignore[method-assign]
    reports.publish = published  # type: ignore[method-assign]
    session._on_down = went_down
    return flight


async def visit(device: Device) -> list[str]:
    """Ask, be cut off in mid-answer, ask again; return the states that were shown."""
    await device.hold(0.6)
    await device.until(state="speaking")
    await device.event("connection", why="opening")
    await device.until(lambda _: sum(e.get("why") == "opening" for e in device.events) >= 2)
    await device.until(state="idle", connected=True)
    await device.hold(0.6)
    await device.until(state="speaking")
    await device.until(state="idle")
    await asyncio.sleep(0.1)
    return [event["state"] for event in device.events if event.get("event") == "state"]


@pytest.mark.parametrize(("how", "end"), BROKEN, ids=[how for how, _ in BROKEN])
def test_a_recorded_fault_plays_back_to_the_same_states(tmp_path: Path, how: str, end: Step) -> None:
    first = Say(sound=s16(coded_noise(1.5, seed=91), rate=48_000, to_rate=24_000), pace=1.0)
    second = Say(sound=s16(coded_noise(0.6, seed=92), rate=48_000, to_rate=24_000))
    rules = (Rule(when=When(session=1), steps=(first, Wait(0.1), end)), Rule(steps=(second,)))

    async def recorded(twin: SyncTwin) -> tuple[list[str], Path]:
        async with Device(tmp_path / "field", twin, microphone=coded_noise(30.0, seed=93)) as device:
            flight = join(device, tmp_path / "flights")
            states = await visit(device)
            path = await flight.write(how)
            await flight.close()
            assert path is not None
            return states, path

    async def played(twin: SyncTwin) -> list[str]:
        async with Device(tmp_path / "bench", twin, microphone=coded_noise(30.0, seed=94)) as device:
            return await visit(device)

    for name in ("field", "bench"):
        (tmp_path / name).mkdir()
    with SyncTwin(Script(rules=rules)) as twin:
        in_the_field, path = asyncio.run(recorded(twin))
    recording = replay.load(path)
    assert len(recording.attempts) == 2
    with SyncTwin(Script(rules=()), replay=recording) as twin:
        on_the_bench = asyncio.run(played(twin))
        assert [session.closed_by for session in twin.sessions] == ["server", "client"]
        assert not any(session.violations for session in twin.sessions)
    assert on_the_bench == in_the_field
    assert in_the_field.count("speaking") == 2
    kinds = {json.loads(line).get("kind") for line in path.read_text().splitlines()[1:]}
    assert {"wire", "decision", "told", "link"} <= kinds


def test_the_file_holds_no_sound_no_words_and_no_key(tmp_path: Path) -> None:
    words = "Nobody may read this sentence."

    async def story(twin: SyncTwin) -> Path:
        async with Device(tmp_path, twin, microphone=coded_noise(20.0, seed=95)) as device:
            flight = join(device, tmp_path / "flights")
            await device.ask("ask", text="What is my secret wish?")
            await device.event("caption", speaker="device")
            await device.until(state="idle")
            path = await flight.write("test")
            await flight.close()
            assert path is not None
            return path

    check: Callable[[str], bool]
    with SyncTwin(Script(rules=(Rule(steps=(Say(words),)),))) as twin:
        text = asyncio.run(story(twin)).read_text()
    check = text.__contains__
    assert not check("secret wish")
    assert not check("Nobody may")
    assert not check("test-key")
    assert not check("twin-handle")
    assert max(len(line) for line in text.splitlines()) < 20_000

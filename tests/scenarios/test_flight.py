"""A fault of the field becomes a test: recorded by a real device, played back, and the device does the same again."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from harness import KEY, Device, coded_answer, coded_noise

from edge_agent.simulator import Rule, Say, Script, SyncTwin, When, replay
from edge_agent.simulator.script import Drop, End, Step, Wait


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


@pytest.mark.parametrize("end", [Drop(), End(1011, "Internal error encountered.")], ids=["cut", "closed"])
def test_a_recorded_fault_plays_back_to_the_same_states(tmp_path: Path, end: Step) -> None:
    first = Say(sound=coded_answer(1.5, seed=91), pace=1.0)
    second = Say(sound=coded_answer(0.6, seed=92))
    rules = (Rule(when=When(session=1), steps=(first, Wait(0.1), end)), Rule(steps=(second,)))

    async def recorded(twin: SyncTwin) -> tuple[list[str], Path]:
        async with Device(
            tmp_path / "field",
            twin,
            microphone=coded_noise(30.0, seed=93),
            recorder={"folder": str(tmp_path / "flights")},
        ) as device:
            states = await visit(device)
            return states, Path((await device.ask("record"))["file"])

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
        async with Device(tmp_path, twin, recorder={"folder": str(tmp_path / "flights")}) as device:
            await device.ask("ask", text="What is my secret wish?")
            await device.event("caption", speaker="device")
            await device.until(state="idle")
            return Path((await device.ask("record"))["file"])

    with SyncTwin(Script(rules=(Rule(steps=(Say(words),)),))) as twin:
        text = asyncio.run(story(twin)).read_text()
    for secret in ("secret wish", "Nobody may", KEY, "twin-handle"):
        assert secret not in text
    assert max(len(line) for line in text.splitlines()) < 20_000

"""A fault of the field becomes a test: recorded by a real device, played back, and the device does the same again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness import KEY
from scenarios.house import House, answer, live_in
from showing import Shown

from edge_agent.simulator import Rule, Script, When, replay
from edge_agent.simulator.script import Drop, End, Step, Wait


async def visit(house: House) -> list[str]:
    """Ask, be cut off in mid-answer, ask again; return the states that were shown."""
    await house.ask(1.0)
    await house.device.until(state="speaking")
    await house.sessions(2)
    assert house.twin.sessions[0].closed_by == "server"
    await house.device.until(state="idle")
    await house.talk(1.0)
    return [event["state"] for event in house.device.events if event["event"] == "state"]


@pytest.mark.parametrize("end", [Drop(), End(1011, "Internal error encountered.")], ids=["cut", "closed"])
def test_a_recorded_fault_plays_back_to_the_same_states(tmp_path: Path, shown: Shown, end: Step) -> None:
    first, second = answer(seconds=1.5, seed=91, pace=1.0), answer(seconds=0.6, seed=92)
    rules = (Rule(when=When(session=1), steps=(first, Wait(0.1), end)), Rule(steps=(second,)))
    states: list[list[str]] = []
    files: list[Path] = []

    async def recorded(house: House) -> None:
        states.append(await visit(house))
        files.append(Path((await house.ctl("record"))["file"]))

    async def played(house: House) -> None:
        states.append(await visit(house))
        assert len(house.twin.sessions) == 2

    for name in ("field", "bench"):
        (tmp_path / name).mkdir()
    flights = {"folder": str(tmp_path / "flights")}
    live_in(tmp_path / "field", shown, recorded, script=Script(rules=rules), recorder=flights)
    recording = replay.load(files[0])
    assert len(recording.attempts) == 2
    live_in(tmp_path / "bench", shown, played, script=Script(rules=()), replay=recording)
    in_the_field, on_the_bench = states
    assert on_the_bench == in_the_field
    assert in_the_field.count("speaking") == 2
    kinds = {json.loads(line).get("kind") for line in files[0].read_text().splitlines()[1:]}
    assert {"wire", "decision", "told", "link"} <= kinds


def test_the_file_holds_no_sound_no_words_and_no_key(tmp_path: Path, shown: Shown) -> None:
    words = "Nobody may read this sentence."
    files: list[Path] = []

    async def story(house: House) -> None:
        await house.ctl("ask", text="What is my secret wish?")
        await house.device.event("caption", speaker="device")
        await house.answered()
        files.append(Path((await house.ctl("record"))["file"]))

    script = Script(rules=(Rule(steps=(answer(words),)),))
    live_in(tmp_path, shown, story, script=script, recorder={"folder": str(tmp_path / "flights")})
    text = files[0].read_text()
    for secret in ("secret wish", "Nobody may", KEY, "twin-handle"):
        assert secret not in text
    assert max(len(line) for line in text.splitlines()) < 20_000

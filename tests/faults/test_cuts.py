"""The line is cut in each state of the device: what was said arrives, and the person is never left alone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from faults.heard import share
from faults.scene import ANSWERING, Scene, answer, play
from virtual.sound import Utterance

from edge_agent.simulator import Rule, Script

Row = Callable[..., None]
Story = Callable[[Scene], Awaitable[None]]

MODES: dict[str, dict[str, Any]] = {"kiosk": {}, "speaker": {"mode": "speaker", "audio": {"echo": "hardware"}}}


async def while_connecting(scene: Scene) -> None:
    quick = scene.twin.script
    scene.twin.script = dataclasses.replace(quick, setup_delay_s=1.0)
    if scene.device.tree["mode"] == "speaker":
        await scene.device.tap()
    said = await scene.begin(4.0)
    await scene.at(said.begins + 0.8)
    assert scene.device.state == "connecting"
    scene.fault()
    scene.network.cut()
    scene.twin.script = quick
    await scene.end()
    await scene.answered()


async def while_listening(scene: Scene) -> None:
    await scene.talk_begun()
    said = await scene.begin(4.0)
    await scene.at(said.begins + 2.0)
    assert scene.device.state == "listening"
    scene.fault()
    scene.network.cut()
    await scene.end()
    await scene.answered()


async def while_thinking(scene: Scene) -> None:
    await scene.talk_begun()
    await scene.ask(2.0)
    await scene.twin.wait_for(lambda twin: len(twin.session.audio_turns) == 2)
    scene.fault()
    scene.network.cut()
    await scene.answered()


async def while_speaking(scene: Scene) -> None:
    await scene.talk_begun()
    await scene.ask(2.0)
    await scene.device.until(state="speaking")
    await asyncio.sleep(0.5)
    scene.fault()
    scene.network.cut()
    await scene.twin.wait_for(lambda twin: len(twin.sessions) == 2 and twin.session.setup)
    await scene.device.until(lambda status: status["connected"] and status["state"] in {"idle", "listening"})
    scene.over()
    await asyncio.sleep(0.5)
    await scene.ask(2.0)
    await scene.answered()


async def while_idle(scene: Scene) -> None:
    await scene.talk_begun()
    scene.fault()
    scene.network.cut()
    await scene.twin.wait_for(lambda twin: len(twin.sessions) == 2 and twin.session.setup)
    await scene.device.until(lambda status: status["connected"])
    scene.over()
    await asyncio.sleep(0.5)
    await scene.ask(2.0)
    await scene.answered()


STORIES: dict[str, Story] = {
    "connecting": while_connecting,
    "listening": while_listening,
    "thinking": while_thinking,
    "speaking": while_speaking,
    "idle": while_idle,
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("state", STORIES)
def test_a_cut_in_each_state(tmp_path: Path, row: Row, state: str, mode: str) -> None:
    outcome = play(tmp_path, STORIES[state], script=Script(rules=ANSWERING, think_s=0.8), **MODES[mode])
    if state == "speaking":
        assert outcome.speech[0] in {"not", "whole, once"}, (
            "a handle that is older than the question knows nothing of it"
        )
        row(f"cut-speaking-{mode}", outcome, speech=("was being answered", outcome.speech[1]))
    else:
        row(f"cut-{state}-{mode}", outcome)


def test_a_cut_with_gap_costs_at_most_one_message(tmp_path: Path, row: Row) -> None:
    said: list[Utterance] = []

    async def story(scene: Scene) -> None:
        await while_listening(scene)
        said.extend(scene.said)

    outcome = play(tmp_path, story, script=Script(rules=ANSWERING), live={"resume_replay": "gap"})
    assert share(outcome.received, said[0]) > 0.97, "of forty pieces of 0.1 s one is cut in two"
    assert len(outcome.received) < 2 * 16_000 * (1.5 + 4.0 + 2 * 0.5), "and nothing was sent twice"
    row("cut-listening-gap", outcome, speech=("its beginning before the cut, the rest after it",))


def test_a_cut_of_a_connection_kept_open_ahead_is_nobodys_business(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.device.until(connected=True)
        await asyncio.sleep(30.0)
        scene.fault()
        scene.network.cut()
        await scene.twin.wait_for(lambda twin: len(twin.sessions) == 2 and twin.session.setup)
        await scene.device.until(lambda status: status["connected"])
        scene.over()
        await asyncio.sleep(10.0)
        await scene.ask(2.0)
        await scene.answered()

    outcome = play(tmp_path, story, live={"prewarm": True})
    row("cut-prewarm", outcome)


def test_one_cut_after_another_for_two_minutes_and_every_question_is_answered(tmp_path: Path) -> None:
    """No row of its own: the same cut at a hundred moments, none of which may be special."""

    async def story(scene: Scene) -> None:
        for n in range(24):
            said = await scene.begin(2.0)
            await scene.at(said.begins + 0.35 + 0.08 * n)
            scene.network.cut()
            await scene.end()
            await scene.answered()
            await asyncio.sleep(1.0)
        scene.said.clear()  # that it is answered is enough here

    outcome = play(tmp_path, story, script=Script(rules=(Rule(steps=(answer(1.0),)),)))
    assert outcome.answers == 24

"""The line carries nothing, little, late, or one way only."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.heard import conversation, share
from faults.scene import ANSWERING, Scene, answer, play

from edge_agent.simulator import Rule, Script

Row = Callable[..., None]

MODES: dict[str, dict[str, Any]] = {"kiosk": {}, "speaker": {"mode": "speaker", "audio": {"echo": "hardware"}}}
LONG = Script(rules=(Rule(steps=(answer(6.0, pace=1.0),)),))


def unreachable() -> OSError:
    return OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))


def lasting(scene: Scene, seconds: float, *, cut: bool) -> None:
    """Take the network away for so long."""
    scene.network.refuse = unreachable
    if cut:
        scene.network.cut()
    asyncio.get_running_loop().call_later(seconds, setattr, scene.network, "refuse", None)


def test_an_outage_of_five_seconds_while_somebody_speaks(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        said = await scene.begin(4.0)
        await scene.at(said.begins + 2.0)
        scene.fault()
        lasting(scene, 5.0, cut=True)
        await scene.end()
        await scene.answered()

    row("outage-5", play(tmp_path, story))


def test_a_press_into_an_outage_of_twelve_seconds_is_delivered_when_the_line_is_back(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.fault()
        lasting(scene, 12.0, cut=True)
        await asyncio.sleep(0.5)
        await scene.ask(3.0)
        await scene.answered()

    row("outage-12", play(tmp_path, story))


def test_speech_that_is_too_old_is_dropped_and_the_person_told(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.fault()
        lasting(scene, 40.0, cut=True)
        await asyncio.sleep(0.5)
        await scene.ask(3.0)
        await scene.device.until(state="offline")
        await scene.device.event("prompt", name="offline")
        await scene.at_rest(within_s=90.0)
        await scene.ask(2.0)
        await scene.answered()

    outcome = play(tmp_path, story)
    assert '"offline"' in outcome.heard
    row("outage-40", outcome)


def test_a_line_that_carries_nothing_for_a_while_gives_everything_afterwards(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        said = await scene.begin(4.0)
        await scene.at(said.begins + 1.5)
        scene.fault()
        scene.network.black_hole()
        asyncio.get_running_loop().call_later(8.0, scene.network.heal)
        await scene.end()
        await scene.answered()

    row("hole-listening", play(tmp_path, story))


@pytest.mark.parametrize("mode", MODES)
def test_a_black_hole_in_mid_answer(tmp_path: Path, row: Row, mode: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await scene.ask(2.0)
        await scene.device.until(state="speaking")
        await asyncio.sleep(1.0)
        scene.fault()
        scene.network.black_hole()
        await scene.device.until(lambda status: status["state"] != "speaking", within_s=20.0)
        await asyncio.sleep(3.0)
        scene.network.cut(tell=False)  # what fell into the hole is lost; new connections work
        scene.network.heal()
        await asyncio.sleep(3.0)
        await scene.ask(2.0)
        await scene.answered(within_s=90.0)

    outcome = play(tmp_path, story, script=LONG, **MODES[mode])
    row(f"hole-speaking-{mode}", outcome, speech=("was being answered", outcome.speech[1]))


@pytest.mark.parametrize("way", ["up", "down"])
def test_half_open(tmp_path: Path, row: Row, way: str) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await asyncio.sleep(1.0)
        scene.fault()
        scene.network.black_hole(up=way == "up", down=way == "down")
        await scene.ask(3.0)
        asyncio.get_running_loop().call_later(5.0, scene.network.heal)
        await scene.answered(within_s=90.0)

    row(f"half-open-{way}", play(tmp_path, story))


def test_a_line_of_two_seconds_each_way(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        scene.network.latency_s, scene.network.jitter_s = 1.0, 1.0
        await scene.talk_begun()
        scene.fault()
        await scene.ask(3.0)
        await scene.answered()

    row("delay", play(tmp_path, story))


def test_sixty_four_kilobits_a_short_question_takes_its_time(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.network.rate = 8_000
        scene.fault()
        await scene.ask(2.5)
        await scene.answered(within_s=90.0)

    row("slow-kiosk", play(tmp_path, story))


def test_sixty_four_kilobits_a_long_question_is_sent_as_far_as_it_is_fresh_and_said_so(
    tmp_path: Path, row: Row
) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.network.rate = 8_000
        scene.fault()
        await scene.ask(10.0)
        await scene.answered(within_s=90.0)

    outcome = play(tmp_path, story)
    assert '"slow_line"' in outcome.heard
    row("slow-long", outcome, speech=("what was not too old when its time came",))


def test_sixty_four_kilobits_the_open_microphone_ends_the_turn_and_says_so(tmp_path: Path, row: Row) -> None:
    known: list[float] = []

    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.network.rate = 8_000
        scene.fault()
        await scene.ask(8.0)
        await scene.answered(within_s=90.0)
        known.append(max(share(turn, scene.said[0]) for turn in conversation(scene.twin)))

    outcome = play(tmp_path, story, **MODES["speaker"])
    assert '"slow_line"' in outcome.heard
    assert 0.2 < known[0] < 0.9, "up to where the device said that the line is too slow"
    row("slow-speaker", outcome, speech=("what was said before the turn was ended, once",))


def test_pongs_that_come_late_kill_nothing(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.device.until(connected=True)
        scene.fault()
        await asyncio.sleep(400.0)
        assert len(scene.twin.sessions) == 1, "the first connection still stands"
        await asyncio.sleep(200.0)
        assert all(one.closed in {None, (1000, "")} for one in scene.twin.sessions), "changed in good order, never cut"
        await scene.ask(2.0)
        await scene.device.until(state="speaking")
        await scene.device.until(state="idle")

    outcome = play(tmp_path, story, script=Script(rules=ANSWERING, pong=35.0), live={"prewarm": True})
    row("pong-35", outcome)

"""The service takes its leave, announced or not, and may not want to hear of the session any more."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.scene import ANSWERING, Scene, answer, play

from edge_agent.simulator import End, GoAway, Rule, Script

Row = Callable[..., None]
LONG = Script(rules=(Rule(steps=(answer(5.0),)),))


async def another_session(scene: Scene, number: int = 2) -> None:
    """Wait until the device has opened so many connections and stands on the last."""
    await scene.twin.wait_for(lambda twin: len(twin.sessions) >= number and twin.session.setup, timeout_s=90.0)
    await scene.device.until(connected=True)


def test_go_away_between_two_questions(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.fault()
        await scene.twin.perform(GoAway(60.0))
        await another_session(scene)
        scene.over()
        await asyncio.sleep(0.5)
        await scene.ask(2.0)
        await scene.answered()
        assert scene.twin.session.resumed_from

    row("leave-60", play(tmp_path, story))


@pytest.mark.parametrize("left", [60, 1, 0])
def test_go_away_in_mid_answer(tmp_path: Path, row: Row, left: int) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await scene.ask(2.0)
        await scene.device.until(state="speaking")
        await asyncio.sleep(0.5)
        scene.fault()
        await scene.twin.perform(GoAway(float(left)))
        await another_session(scene)
        await scene.device.until(state="idle")
        scene.over()
        await asyncio.sleep(0.5)
        await scene.ask(2.0)
        await scene.answered()

    outcome = play(tmp_path, story, script=LONG)
    heard_s = sum(abs(sample) > 0.01 for sample in outcome.played[::48]) / 1000
    assert heard_s > 1.5, "the sound that had come was played"
    if left < 5:
        assert outcome.speech[0] in {"not", "whole, once"}, "a handle older than the question knows nothing of it"
    row(f"leave-{left}-speaking", outcome, speech=("was being answered", outcome.speech[1]) if left < 5 else None)


@pytest.mark.parametrize("left", [1, 0])
def test_go_away_while_somebody_speaks(tmp_path: Path, row: Row, left: int) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        said = await scene.begin(5.0)
        await scene.at(said.begins + 2.0)
        scene.fault()
        await scene.twin.perform(GoAway(float(left)))
        await scene.end()
        await scene.answered()

    row(f"leave-{left}-listening", play(tmp_path, story))


def test_two_go_aways_in_a_row(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.fault()
        await scene.twin.perform(GoAway(10.0))
        await another_session(scene, 2)
        await scene.twin.perform(GoAway(10.0))
        await another_session(scene, 3)
        scene.over()
        await asyncio.sleep(0.5)
        await scene.ask(2.0)
        await scene.answered()

    row("leave-twice", play(tmp_path, story))


def test_no_go_away_and_then_1011_while_somebody_speaks(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        said = await scene.begin(4.0)
        await scene.at(said.begins + 2.0)
        scene.fault()
        await scene.twin.perform(End(1011, "Deadline expired before operation could complete."))
        await scene.end()
        await scene.answered()

    row("leave-1011-listening", play(tmp_path, story))


def test_no_go_away_and_then_1011_between_two_questions(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        scene.fault()
        await scene.twin.perform(End(1011, "Deadline expired before operation could complete."))
        await another_session(scene)
        scene.over()
        await asyncio.sleep(0.5)
        await scene.ask(2.0)
        await scene.answered()

    row("leave-1011-idle", play(tmp_path, story))


@pytest.mark.parametrize("code", [1007, 1008, 1011])
def test_a_handle_that_is_refused(tmp_path: Path, row: Row, code: int) -> None:
    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        said = await scene.begin(4.0)
        await scene.at(said.begins + 2.0)
        scene.fault()
        if code == 1007:
            scene.twin._handles._snapshots.clear()  # the service has forgotten it: the twin refuses by itself
        else:
            usual = scene.twin.script
            scene.twin.script = dataclasses.replace(usual, end_before_setup=End(code, "Internal error encountered."))
        scene.network.cut()
        await scene.twin.wait_for(lambda twin: len(twin.sessions) == 2 and twin.session.setup)
        if code != 1007:
            scene.twin.script = usual
        await scene.end()
        await scene.answered()
        assert not scene.twin.session.resumed_from, "a session that was refused is not asked for again"

    outcome = play(tmp_path, story, script=Script(rules=ANSWERING))
    outcome.violations = [one for one in outcome.violations if "handle not found" not in one]
    row(f"refused-{code}", outcome)

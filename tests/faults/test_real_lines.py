"""The same over real TCP, in real time: a proxy that fails on purpose stands between device and twin."""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from badline import BadLine
from faults.heard import conversation
from faults.scene import Outcome
from harness import Device, coded_answer, coded_noise, pcm, s16, steps
from numpy.typing import NDArray

from edge_agent.simulator import Rule, Say, Script, SyncTwin

Row = Callable[..., None]

RATE = 16_000
PRE_ROLL_S = 0.5
SLOW = 8_000.0  # bytes a second: 64 kbit/s

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@functools.cache
def voice() -> NDArray[np.float32]:
    """Somebody who never stops talking."""
    return coded_noise(60.0, seed=77)


@functools.cache
def as_heard() -> NDArray[np.float64]:
    return pcm(s16(voice(), rate=48_000, to_rate=RATE))


@dataclass
class Stage:
    """What a story plays with; times on the device's own clock."""

    device: Device
    line: BadLine
    twin: SyncTwin
    fault_at: float = 0.0
    over_at: float = 0.0
    spoken_s: float = 0.0
    after: list[dict[str, Any]] = field(default_factory=list)

    async def fault(self) -> None:
        self.fault_at = (await self.device.status())["t"]

    async def over(self) -> None:
        self.over_at = (await self.device.status())["t"]

    async def hold(self, seconds: float) -> None:
        """Press, talk, release."""
        await self.device.press()
        began = time.monotonic()
        await asyncio.sleep(seconds)
        await self.device.release()
        self.spoken_s = time.monotonic() - began + PRE_ROLL_S

    async def answered(self, within_s: float = 40.0) -> None:
        await self.device.until(state="speaking", within_s=within_s)
        await self.over()
        await self.device.until(lambda status: status["state"] in {"idle", "listening"}, within_s=within_s)


def play(
    folder: Path, story: Callable[[Stage], Awaitable[None]], *, rate: float = float("inf")
) -> tuple[Outcome, Stage]:
    """Play a story on a real line; what was said is the end of the newest turn's sound."""
    outcome = Outcome()
    stages: list[Stage] = []
    with SyncTwin(Script(rules=(Rule(steps=(Say("Hello there.", sound=coded_answer(2.0, seed=1)),)),))) as twin:

        async def whole() -> None:
            line = BadLine(twin.twin.port, rate=rate)
            async with line, Device(folder, twin, microphone=voice(), live={"url": line.url}) as device:
                stage = Stage(device, line, twin)
                stages.append(stage)
                await asyncio.sleep(1.0)
                await story(stage)
                stage.after = [event for event in device.events if "t" in event]
                line.heal()

        asyncio.run(whole())
        outcome.turns = conversation(twin.twin)
        outcome.violations = [one for record in twin.sessions for one in record.violations]
    (stage,) = stages
    events = [event for event in stage.after if event["t"] >= stage.fault_at]
    before = [event["light"] for event in stage.after if event["event"] == "light" and event["t"] < stage.fault_at]
    outcome.saw = before[-1:] + [event["light"] for event in events if event["event"] == "light"]
    outcome.heard = [f'"{event["name"]}"' for event in events if event["event"] == "prompt"]
    outcome.after_s = stage.over_at - stage.fault_at
    return outcome, stage


def whole_once(outcome: Outcome, stage: Stage) -> tuple[str, ...]:
    """Is the newest turn one piece of what was said, as long as it was said?"""
    turn = outcome.turns[-1]
    offsets = [at for at, score in steps(pcm(turn), as_heard(), RATE) if score > 0.8]
    assert len(offsets) >= len(turn) // RATE - 1, "every half second of it was said"
    assert max(offsets) - min(offsets) <= 1, "in one piece"
    assert len(turn) / 2 / RATE == pytest.approx(stage.spoken_s, abs=0.4)
    return ("whole, once",)


@pytest.mark.parametrize("how", ["cut", "fin"])
def test_a_cut_while_somebody_speaks(tmp_path: Path, row: Row, how: str) -> None:
    async def story(stage: Stage) -> None:
        holding = asyncio.create_task(stage.hold(3.0))
        await stage.device.until(state="listening")
        await asyncio.sleep(1.0)
        await stage.fault()
        stage.line.cut(fin=how == "fin")
        await holding
        await stage.answered()

    outcome, stage = play(tmp_path, story)
    row(f"real-{how}", outcome, speech=whole_once(outcome, stage))


@pytest.mark.parametrize("how", ["hole", "half-open"])
def test_nothing_is_carried_for_five_seconds(tmp_path: Path, row: Row, how: str) -> None:
    async def story(stage: Stage) -> None:
        holding = asyncio.create_task(stage.hold(3.0))
        await stage.device.until(state="listening")
        await asyncio.sleep(1.0)
        await stage.fault()
        stage.line.black_hole(up=how == "hole", down=True)
        await asyncio.sleep(5.0)
        stage.line.heal()
        await holding
        await stage.answered()

    outcome, stage = play(tmp_path, story)
    row(f"real-{how}", outcome, speech=whole_once(outcome, stage))


def test_so_many_bytes_of_the_answer_and_then_a_cut(tmp_path: Path, row: Row) -> None:
    async def story(stage: Stage) -> None:
        stage.line.cut_after(20_000)
        await stage.hold(1.0)
        await stage.device.until(state="speaking")
        await stage.fault()
        await stage.device.until(lambda status: status["state"] in {"idle", "listening"} and status["connected"])
        await stage.over()

    outcome, _ = play(tmp_path, story)
    row("real-bytes", outcome, speech=("was being answered",))


def test_a_line_with_a_delay(tmp_path: Path, row: Row) -> None:
    async def story(stage: Stage) -> None:
        stage.line.delay_s, stage.line.jitter_s = 0.3, 0.5
        await stage.fault()
        await stage.hold(2.0)
        await stage.answered()

    outcome, stage = play(tmp_path, story)
    row("real-delay", outcome, speech=whole_once(outcome, stage))


def test_sixty_four_kilobits_a_short_question(tmp_path: Path, row: Row) -> None:
    async def story(stage: Stage) -> None:
        await stage.fault()
        await stage.hold(2.0)
        await stage.answered()

    outcome, stage = play(tmp_path, story, rate=SLOW)
    row("real-slow", outcome, speech=whole_once(outcome, stage))


def test_sixty_four_kilobits_a_long_question(tmp_path: Path, row: Row) -> None:
    async def story(stage: Stage) -> None:
        await stage.fault()
        await stage.hold(7.0)
        await stage.answered(within_s=60.0)

    outcome, stage = play(tmp_path, story, rate=SLOW)
    assert '"slow_line"' in outcome.heard
    offsets = [at for at, score in steps(pcm(outcome.turns[-1]), as_heard(), RATE, every_s=0.1) if score > 0.7]
    assert len(offsets) > 10, "at least the first second"
    assert all(b >= a - 1 for a, b in itertools.pairwise(offsets)), "in order, with what was too old left out"
    assert len(outcome.turns[-1]) / 2 / RATE < stage.spoken_s + 0.4
    row("real-slow-long", outcome, speech=("what was not too old when its time came",))

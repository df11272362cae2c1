"""A day of talk in virtual time, with everything that goes wrong in a day: nothing grows, and everyone is answered.

One device stands in a hall, where visitor follows visitor; another lives with a household that talks now and then.
Connections are changed every ten minutes, lines are cut and fall silent, the service stalls, is overrun, or closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness import own_tools
from soak.growth import Growth, Recent, grown, kinds, memory, settle
from virtual.device import VirtualDevice
from virtual.loop import run

from edge_agent.conversation.moves import REST
from edge_agent.simulator import (
    Call,
    Complete,
    End,
    FunctionCall,
    GoAway,
    Hang,
    Limits,
    Rule,
    Say,
    Script,
    Step,
    Twin,
    When,
)
from edge_agent.simulator.sound import tone

DAY_S = float(os.environ.get("EDGE_AGENT_SOAK_S", str(24 * 3600)))
SAMPLE_S = DAY_S / 144
HEARD = "a text"
WITHIN_S = 60.0  # an answer that comes later is none

pytestmark = [pytest.mark.slow, pytest.mark.virtual, pytest.mark.timeout(2400)]

TOOLS = '''
"""A tool that takes its time, and one that fails."""

import asyncio


async def weather() -> str:
    """Tell the weather."""
    await asyncio.sleep(2.0)
    return "rain"


async def lamp() -> str:
    """Switch the lamp."""
    raise RuntimeError("it is not plugged in")
'''


class Life:
    """What happens around a device in a day."""

    def __init__(self, device: VirtualDevice, twin: Twin, growth: Growth, seed: int) -> None:
        self.device = device
        self.twin = twin
        self.growth = growth
        self.draw = random.Random(seed)  # noqa: S311  repeatable, not secret
        self.asked = self.answered = 0
        self.went_wrong: Counter[str] = Counter()
        self.began = device.now
        self.warm: Counter[str] = Counter()
        self.grew: list[tuple[str, int]] = []

    @property
    def over(self) -> bool:
        return self.device.now - self.began >= DAY_S

    async def watch(self) -> None:
        """Sample what could grow."""
        device = self.device
        talk = device.agent.talk
        while not self.over:
            await asyncio.sleep(SAMPLE_S)
            hours = (device.now - self.began) / 3600
            opened = self.twin._handles._open  # the twin remembers every session there ever was: not what is looked at
            for lineage in [one for one, count in opened.items() if not count]:
                del opened[lineage]
            loop: Any = device.loop
            self.growth.sample(
                hours,
                playback_queue_ms=talk.engine.queue_ms,
                uplink_backlog_ms=talk.uplink.queued_ms,
                prompts_ms=talk.engine.prompt_ms,
                timers=sum(not one.cancelled() for one in loop._scheduled),  # up to 99 cancelled ones stay for a while
                tasks=len(asyncio.all_tasks()),
                connections=len(device.network.connections),
                **memory(),
            )
            if not self.warm and hours * 3600 > 0.2 * DAY_S:
                self.warm = kinds()

    async def trouble(self) -> None:
        """Every few minutes something goes wrong."""
        network, twin = self.device.network, self.twin
        loop = asyncio.get_running_loop()
        while not self.over:
            await asyncio.sleep(self.draw.uniform(60.0, 420.0))
            what = self.draw.choice(("cut", "fin", "hole", "refused", "closed", "down", "slow", "away"))
            self.went_wrong[what] += 1
            match what:
                case "cut" | "fin":
                    network.cut(fin=what == "fin")
                case "hole":
                    network.black_hole()
                    loop.call_later(self.draw.uniform(1.0, 20.0), network.heal)
                case "refused":
                    twin.refuse_with = self.draw.choice((429, 503))
                    loop.call_later(self.draw.uniform(5.0, 20.0), setattr, twin, "refuse_with", None)
                case "closed":
                    await twin.perform(End(self.draw.choice((1000, 1008, 1011)), "The operation was aborted."))
                case "down":
                    network.refuse = lambda: OSError(101, "Network is unreachable")
                    network.cut()
                    loop.call_later(self.draw.uniform(2.0, 20.0), setattr, network, "refuse", None)
                case "slow":
                    network.rate = 12_000
                    loop.call_later(20.0, setattr, network, "rate", float("inf"))
                case "away":
                    await twin.perform(GoAway(self.draw.choice((1.0, 10.0))))

    def steps(self) -> tuple[Step, ...]:
        """What the service does with the next question."""
        what = self.draw.random()
        if what < 0.02:
            return (Hang(),)
        if what < 0.04:
            return (Complete(),)
        if what < 0.14:
            name = self.draw.choice(("weather", "lamp", "device_status", "nobody_knows_this"))
            return (Call((FunctionCall(name),)), Say("Done.", sound=tone(1.0)))
        return (Say("Yes.", sound=tone(self.draw.uniform(0.5, 4.0))),)

    async def question(self) -> None:
        """Ask once, and wait for what comes of it."""
        device = self.device
        self.twin._rules.next.clear()
        await self.twin.answer(*self.steps())
        self.asked += 1
        if device.tree["mode"] == "speaker":
            await device.say_aloud(self.draw.choice((1.5, 3.0)))
        else:
            await device.ask_aloud(self.draw.choice((1.5, 3.0)))
        began = device.now
        while device.now - began < WITHIN_S:
            if device.state == "speaking":
                self.answered += 1
                await device.until(lambda status: status["state"] != "speaking", within_s=120.0)
                return
            if device.agent.talk.machine.state in REST:
                return
            await asyncio.sleep(0.1)


async def a_hall(life: Life) -> None:
    """Visitor after visitor, two minutes apart, three questions each."""
    while not life.over:
        for _ in range(life.draw.randint(1, 4)):
            await life.question()
            await asyncio.sleep(life.draw.uniform(0.5, 4.0))
        await asyncio.sleep(life.draw.uniform(20.0, 120.0))


async def a_household(life: Life) -> None:
    """A talk of some minutes every quarter of an hour; now and then somebody mutes it, or types."""
    device = life.device
    while not life.over:
        if device.state == "muted":
            await device.do("unmute")
        await device.tap()
        for _ in range(life.draw.randint(2, 8)):
            if not device.agent.talk.machine.turn_open:
                await device.tap()
                await asyncio.sleep(1.0)
            await life.question()
            await asyncio.sleep(life.draw.uniform(1.0, 10.0))
        if life.draw.random() < 0.2:
            await device.do("mute")
        if life.draw.random() < 0.2:
            await device.do("ask", text=HEARD)
        await device.until(lambda _: device.agent.talk.machine.state in REST or device.state == "muted", within_s=300.0)
        await asyncio.sleep(life.draw.uniform(300.0, 900.0))


LIVES: dict[str, tuple[Callable[[Life], Awaitable[None]], dict[str, Any]]] = {
    "hall": (a_hall, {"mode": "kiosk"}),
    "household": (a_household, {"mode": "speaker"}),
}


@pytest.mark.parametrize("where", LIVES)
def test_a_day_of_talk_leaves_nothing_behind(tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    logging.getLogger("edge_agent").setLevel(logging.CRITICAL)  # a day's log, kept by pytest, would be what grows
    own_tools(tmp_path, TOOLS)
    live, tables = LIVES[where]
    growth = Growth(f"soak-virtual-{where}", f"{DAY_S / 3600:g} hours in a {where}, virtual time")
    began = time.monotonic()
    settle()

    async def story() -> Life:
        clock = asyncio.get_running_loop().time
        rules = (
            Rule(when=When(text=HEARD), steps=(Say("Yes.", sound=tone(1.0)),)),
            Rule(steps=(Say(sound=tone(1.0)),)),
        )
        async with Twin(
            Script(rules=rules, go_away_after_s=600.0, go_away_left_s=30.0),
            clock=clock,
            limits=Limits(audio_s=1.0, marks=50, images=1),  # nor is what it notes
        ) as twin:
            twin.sessions = Recent()
            twin._handles.KEPT = 16  # its memory is not what is looked at
            async with VirtualDevice(
                tmp_path,
                twin,
                keep_sound=False,
                keep_last=20,
                audio={"block_ms": 100},
                live={"message_ms": 100},
                tools={"deadline_s": 5.0},
                **tables,
            ) as device:
                device.network.latency_s, device.network.jitter_s = 0.03, 0.05
                life = Life(device, twin, growth, seed=3)
                watching = [asyncio.create_task(life.watch()), asyncio.create_task(life.trouble())]
                await live(life)
                for task in watching:
                    task.cancel()
                await asyncio.wait(watching)
                for task in watching:
                    assert task.cancelled() or task.exception() is None, task.exception()
                life.grew = grown(life.warm, kinds())
                return life

    try:
        life = run(story())
    finally:
        logging.getLogger("edge_agent").setLevel(logging.NOTSET)
    growth.tell(
        f"{life.asked} questions, {life.answered} answered; what went wrong: {dict(life.went_wrong)}",
        f"what there is more of: {life.grew}",
        f"{time.monotonic() - began:.0f} s for {DAY_S / 3600:g} h",
    )
    growth.draw(
        [
            ("memory, MB", ["rss_mb", "heap_mb"]),
            ("Python, thousands", ["blocks_k", "objects_k"]),
            ("queues, ms", ["playback_queue_ms", "uplink_backlog_ms", "prompts_ms"]),
            ("timers, tasks", ["timers", "tasks", "connections"]),
        ]
    )
    assert life.answered > 0.85 * life.asked, "some questions fall into trouble that lasts longer than patience"
    assert growth.of("objects_k") < 0.2, "of seventy thousand objects"
    assert growth.of("blocks_k") < 1.5, "half a percent: numbers and texts in stores that are bounded, the twin's too"
    assert growth.of("heap_mb") < 1.0
    assert growth.of("rss_mb") < 5.0, "this is also what the allocator gives back, and when"
    assert growth.of("timers") < 5
    assert growth.of("tasks") < 2
    assert max(growth.curves["playback_queue_ms"]) <= 120_000
    assert max(growth.curves["uplink_backlog_ms"]) <= 15_100

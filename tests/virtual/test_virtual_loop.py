"""Virtual time: what jumps, what stands still, and that an hour of talk takes seconds."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path

import pytest
from harness import find, pcm
from virtual import loop as virtual
from virtual.device import VirtualDevice
from virtual.loop import StandStill, run

from edge_agent.simulator import Rule, Say, Script, Twin
from edge_agent.simulator.sound import tone

HELLO = Script(rules=(Rule(steps=(Say("hello", sound=tone(2.0)),)),))


def test_a_day_of_waiting_takes_a_moment_and_timers_keep_their_order() -> None:
    async def story() -> tuple[list[str], float]:
        loop = asyncio.get_running_loop()
        began, rang = loop.time(), list[str]()
        for name, after in (("noon", 43_200.0), ("tick", 1.0), ("midnight", 86_400.0)):
            loop.call_later(after, rang.append, name)
        await asyncio.sleep(86_400.5)
        return rang, loop.time() - began

    real = time.monotonic()
    rang, took = run(story())
    assert rang == ["tick", "noon", "midnight"]
    assert took == pytest.approx(86_400.5)
    assert time.monotonic() - real < 60, "an afternoon at most"


def test_time_stands_still_while_a_thread_works() -> None:
    async def story() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        ticks = loop.call_later(0.001, lambda: None)
        await asyncio.to_thread(threading.Event().wait, 0.05)
        ticks.cancel()
        return loop.time() - began

    assert run(story()) < 0.001


def test_a_story_that_waits_for_nothing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "REAL_PATIENCE_S", 0.1)

    async def story() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StandStill):
        run(story())


def test_a_whole_device_asks_and_is_answered(tmp_path: Path) -> None:
    async def story() -> None:
        clock = asyncio.get_running_loop().time
        async with Twin(HELLO, clock=clock) as twin, VirtualDevice(tmp_path, twin) as device:
            await asyncio.sleep(1.0)  # the ring holds a pre-roll
            said = await device.ask_aloud(3.0)
            await device.until(state="speaking")
            await device.until(state="idle")
            at, score = find(said.sent, pcm(twin.session.audio_turns[0]))
            assert score > 0.95, "what was said, from the first syllable"
            assert at / 16_000 == pytest.approx(0.2, abs=0.03), "and 0.5 s of pre-roll, of which 0.3 s were speech"
            assert device.air.loud_frames / 48_000 == pytest.approx(2.0, abs=1.2), "the answer and three cues"
            assert [light for _, light in device.lights][-5:] == [
                "connecting",
                "listening",
                "thinking",
                "speaking",
                "idle",
            ]
            assert [cue for _, cue in device.cues] == ["ready", "listen", "done"]
            assert not twin.session.violations

    run(story())


def test_the_same_story_is_told_the_same_way_twice(tmp_path: Path) -> None:
    async def story(folder: Path) -> list[tuple[float, str]]:
        clock = asyncio.get_running_loop().time
        async with Twin(HELLO, clock=clock) as twin, VirtualDevice(folder, twin) as device:
            device.network.latency_s, device.network.jitter_s = 0.05, 0.2
            for _ in range(3):
                await device.ask_aloud(1.0)
                await device.until(state="speaking")
                device.network.cut()
                await device.until(state="idle")
                await device.until(connected=True)
            return device.lights

    assert run(story(tmp_path / "a")) == run(story(tmp_path / "b"))


def test_an_hour_of_talk_takes_seconds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def story() -> tuple[int, float]:
        clock = asyncio.get_running_loop().time
        async with (
            Twin(HELLO, clock=clock) as twin,
            VirtualDevice(
                tmp_path,
                twin,
                keep_sound=False,
                audio={"block_ms": 100},
                live={"message_ms": 100},
            ) as device,
        ):
            began = device.now
            while device.now - began < 600:  # ten minutes here; the soak talks for a day
                await device.ask_aloud(3.0)
                await device.until(state="speaking")
                await device.until(state="idle")
                await asyncio.sleep(20.0)
            return len(twin.sessions), device.now - began

    sessions, took = run(story())
    assert sessions > 15, "every visitor a session of its own"
    assert took >= 600

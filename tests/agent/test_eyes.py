"""The stills of turns: when they are taken, which go to the gate, and what a visitor leaves behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.agent import eyes as module
from edge_agent.agent.eyes import Eyes
from edge_agent.audio.ring import CaptureRing
from edge_agent.config import Camera
from edge_agent.errors import DeviceError, Fault, Stop
from edge_agent.live.uplink import Uplink
from edge_agent.vision.camera import Still


class Photographer:
    """Hands out numbered stills at once, or what a test wants instead."""

    def __init__(self) -> None:
        self.taken = 0
        self.prepared = self.wiped = self.closed = 0
        self.failure: DeviceError | None = None
        self.blind = False
        self.shutter: asyncio.Event | None = None

    def prepare(self) -> None:
        self.prepared += 1

    async def take(self) -> Still | None:
        if self.shutter is not None:
            await self.shutter.wait()
        if self.failure is not None:
            raise self.failure
        if self.blind:
            return None
        self.taken += 1
        return Still(b"\xff\xd8" + bytes([self.taken]), 8, 8, time.monotonic())

    def wipe(self) -> None:
        self.wiped += 1

    async def close(self) -> None:
        self.closed += 1


class Turns:
    """The conversation, as far as pictures ask it."""

    muted = False
    turns = 0
    turn_open = False


class Scene:
    """Eyes on a still camera, a real gate and a ring that stands at one second."""

    def __init__(self, when: Any = "turn", source: str = "files:x") -> None:
        self.ring = CaptureRing()
        self.ring.append(np.ones(16_000, np.int16))
        self.uplink = Uplink(self.ring, manual=True)
        self.photographer = Photographer()
        self.turns = Turns()
        self.offered = 0
        self.faults: list[DeviceError | None] = []
        self.frugal = False
        self.eyes = Eyes(
            Camera(source=source, when=when),
            self.photographer,  # type: ignore[arg-type]
            self.uplink,
            self.turns,
            sample_of=lambda _at: self.ring.written,
            on_offered=self._count,
            on_fault=self.faults.append,
            frugal=lambda: self.frugal,
        )

    def _count(self) -> None:
        self.offered += 1

    def open(self) -> None:
        self.turns.turns += 1
        self.turns.turn_open = True
        self.uplink.open(self.turns.turns, self.ring.written)
        self.eyes.open(self.turns.turns)

    def close(self) -> None:
        self.turns.turn_open = False
        self.ring.append(np.ones(320, np.int16))
        self.uplink.close(self.ring.written)


def play(story: Callable[[], Any]) -> None:
    asyncio.run(story())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_still_as_a_turn_opens() -> None:
    async def story() -> None:
        scene = Scene()
        scene.open()
        await settle()
        assert (scene.photographer.taken, scene.offered) == (1, 1)
        assert scene.faults == [None]

    play(story)


def test_a_stream_goes_on_while_the_turn_is_open_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAM_S", 0.001)

    async def story() -> None:
        scene = Scene(when="stream")
        scene.open()
        async with asyncio.timeout(5):
            while scene.photographer.taken < 3:  # noqa: ASYNC110  the camera does not tell
                await asyncio.sleep(0.001)
        scene.close()
        await asyncio.sleep(0.01)
        before = scene.photographer.taken
        await asyncio.sleep(0.02)
        assert scene.photographer.taken == before

    play(story)


def test_a_kept_picture_shows_what_was_meant_while_speaking() -> None:
    async def story() -> None:
        scene = Scene(when="ask")
        scene.open()
        await settle()
        assert scene.offered == 0, "not before the model asks"
        scene.close()
        await scene.eyes.look()
        assert (scene.photographer.taken, scene.offered) == (1, 1)

    play(story)


@pytest.mark.parametrize("when", ["turn", "stream"])
def test_while_money_or_data_are_spared_a_still_goes_up_only_when_a_turn_needs_it(when: str) -> None:
    async def story() -> None:
        scene = Scene(when=when)
        scene.frugal = True
        scene.open()
        await settle()
        assert (scene.photographer.taken, scene.offered) == (1, 0)
        scene.close()
        await scene.eyes.look()
        assert scene.offered == 1, "the picture of the turn, once the model asked"
        scene.frugal = False
        scene.open()
        await settle()
        assert scene.offered == 2, "a new day"
        await scene.eyes.close()

    play(story)


def test_a_stream_of_stills_ends_when_the_budget_becomes_low(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STREAM_S", 0.001)

    async def story() -> None:
        scene = Scene(when="stream")
        scene.open()
        async with asyncio.timeout(5):
            while scene.offered < 3:  # noqa: ASYNC110  the gate does not tell
                await asyncio.sleep(0.001)
        scene.frugal = True
        before = scene.offered
        await asyncio.sleep(0.02)
        assert scene.offered == before
        assert scene.eyes.when == "ask"
        await scene.eyes.close()

    play(story)


def test_a_look_in_mid_turn_is_fresh() -> None:
    async def story() -> None:
        scene = Scene(when="ask")
        scene.open()
        await settle()
        await scene.eyes.look()
        assert scene.photographer.taken == 2

    play(story)


def test_nothing_is_seen_outside_a_turn_while_muted_or_without_a_camera() -> None:
    async def story() -> None:
        scene = Scene()
        with pytest.raises(Stop, match="only taken while a person is talking"):
            await scene.eyes.look()
        scene.open()
        scene.turns.muted = True
        with pytest.raises(Stop, match="blind too"):
            await scene.eyes.look()
        without = Scene(source="off")
        without.open()
        without.eyes.prepare()
        with pytest.raises(Stop, match="no camera"):
            await without.eyes.look()
        assert without.photographer.taken == without.photographer.prepared == 0
        assert scene.photographer.taken == 0

    play(story)


def test_a_picture_under_way_when_the_visitor_leaves_reaches_nobody() -> None:
    """The next visitor presses at once, and the pre-roll of their turn must not let the old picture in."""

    async def story() -> None:
        scene = Scene()
        scene.photographer.shutter = asyncio.Event()
        scene.open()
        await settle()
        look = asyncio.ensure_future(scene.eyes.look())
        await settle()
        scene.turns.turn_open = False
        scene.uplink.forget()
        scene.ring.wipe()
        scene.eyes.wipe()
        scene.photographer.shutter.set()
        with pytest.raises(Stop):
            await look
        assert scene.offered == 0
        assert scene.photographer.wiped == 1

    play(story)


def test_a_camera_that_fails_is_a_fault_and_no_picture() -> None:
    async def story() -> None:
        scene = Scene()
        scene.photographer.failure = DeviceError("The camera was unplugged.", fault=Fault.CAMERA)
        scene.open()
        await settle()
        assert [str(fault) for fault in scene.faults] == ["The camera was unplugged."]
        assert scene.offered == 0
        scene.photographer.failure = None
        scene.photographer.blind = True
        with pytest.raises(Stop):
            await scene.eyes.look()

    play(story)


def test_a_new_turn_takes_the_place_of_the_old_ones_picture() -> None:
    async def story() -> None:
        scene = Scene()
        scene.photographer.shutter = asyncio.Event()
        scene.open()
        await settle()
        scene.open()
        scene.photographer.shutter.set()
        await settle()
        assert scene.photographer.taken == 1
        scene.eyes.prepare()
        await scene.eyes.close()
        assert (scene.photographer.prepared, scene.photographer.closed) == (1, 1)

    play(story)

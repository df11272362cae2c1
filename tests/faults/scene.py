"""A scene of the fault matrix: a device, its service and a line, in virtual time, and what the person saw and heard.

    async def cut(scene: Scene) -> None:
        said = await scene.device.begin_to_ask(4.0)
        await scene.at(said.begins + 2.0)
        scene.fault()
        scene.network.cut()
        await scene.at(said.ends + 0.2)
        await scene.device.release()
        await scene.answered()

    outcome = play(tmp_path, cut)
    outcome.speech, outcome.after_s, outcome.saw, outcome.heard

The outcome tells what the service made of each thing that was said, and every light and sound from the fault on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from faults.heard import conversation, verdict
from harness import coded_answer
from numpy.typing import NDArray
from virtual.device import VirtualDevice
from virtual.loop import run
from virtual.sound import Utterance
from virtual.wire import Network

from edge_agent.simulator import Rule, Say, Script, Twin


def answer(seconds: float = 2.0, seed: int = 1, text: str = "Hello there.", **more: Any) -> Say:
    """Return the step that speaks it."""
    return Say(text, sound=coded_answer(seconds, seed=seed), **more)


ANSWERING = (Rule(steps=(answer(),)),)


@dataclass
class Outcome:
    """What came of it."""

    speech: list[str] = field(default_factory=list)
    """For each thing that was said after `watch`: how it reached the service."""
    after_s: float | None = None
    """From the fault until it was over, virtual seconds."""
    saw: list[str] = field(default_factory=list)
    """The light at the fault, and every light after it."""
    heard: list[str] = field(default_factory=list)
    """Prompts and the cues that are no prompt's own, from the fault on."""
    closed: list[tuple[int, str] | None] = field(default_factory=list)
    turns: list[bytes] = field(default_factory=list)
    """The spoken turns the model knows of in the end."""
    received: bytes = b""
    """All microphone sound the service ever received, over all sessions."""
    answers: int = 0
    """Answers waited for, and heard."""
    played: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """What the loudspeaker played, 48 kHz."""
    events: list[dict[str, Any]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


class Scene:
    """What a story plays with."""

    def __init__(self, twin: Twin, device: VirtualDevice) -> None:
        self.twin = twin
        self.device = device
        self.said: list[Utterance] = []
        self.outcome = Outcome()
        self._loop = asyncio.get_running_loop()
        self._fault_at: float | None = None

    @property
    def network(self) -> Network:
        """The line."""
        return self.device.network

    async def at(self, time: float) -> None:
        """Wait until a moment on the loop's clock."""
        await asyncio.sleep(max(0.0, time - self._loop.time()))

    def fault(self) -> None:
        """It happens now."""
        self._fault_at = self._loop.time()

    def over(self) -> None:
        """It is over now."""
        if self.outcome.after_s is None and self._fault_at is not None:
            self.outcome.after_s = self._loop.time() - self._fault_at

    async def answered(self, within_s: float = 60.0) -> None:
        """Wait until the answer begins; the fault is over then. Waits for the rest after it."""
        await self.device.until(state="speaking", within_s=within_s)
        self.over()
        self.outcome.answers += 1
        await self.device.until(lambda status: status["state"] not in {"speaking", "connecting"}, within_s=within_s)

    async def at_rest(self, within_s: float = 60.0, state: str = "idle") -> None:
        """Wait until the device rests; the fault is over then."""
        await self.device.until(state=state, within_s=within_s)
        self.over()

    async def talk_begun(self) -> None:
        """One question and its answer, so that a conversation is under way and a handle is known."""
        await self.device.ask(1.5)
        await self.device.until(state="speaking")
        await self.device.until(lambda status: status["state"] != "speaking")
        await self.twin.wait_for(lambda twin: twin.session.handles)
        await asyncio.sleep(0.3)

    async def ask(self, seconds: float = 2.0) -> Utterance:
        """Ask something, whole; it counts for the table. Where an open microphone was closed, it is opened first."""
        said = await self.device.ask(seconds)
        self.said.append(said)
        return said

    async def begin(self, seconds: float) -> Utterance:
        """Begin to ask something; it counts for the table. `end` lets go of the button."""
        speaker = self.device.tree["mode"] == "speaker"
        said = self.device.air.say(seconds) if speaker else await self.device.begin_to_ask(seconds)
        self.said.append(said)
        return said

    async def end(self) -> None:
        """Wait until the last thing is said, and let go of the button where there is one to let go of."""
        await self.at(self.said[-1].ends + 0.2)
        if self.device.tree["mode"] != "speaker":
            await self.device.release()

    def close(self) -> Outcome:
        """Gather what came of it."""
        outcome, device = self.outcome, self.device
        since = self._loop.time() if self._fault_at is None else self._fault_at
        before = [light for t, light in device.lights if t < since]
        outcome.saw = before[-1:] + [light for t, light in device.lights if t >= since]
        marks = [(t, 0, name) for t, name in device.cues if t >= since]
        marks += [(t, 1, f'"{name}"') for t, name in device.prompts if t >= since]
        outcome.heard = [name for _, _, name in sorted(marks)]
        if any(one.setup for one in self.twin.sessions):
            outcome.turns = conversation(self.twin)
        outcome.speech = [verdict(outcome.turns, said) for said in self.said]
        outcome.received = b"".join(bytes(one.audio) for one in self.twin.sessions)
        outcome.played = device.air.heard
        outcome.closed = [one.closed for one in self.twin.sessions]
        outcome.events = device.events
        outcome.violations = [one for record in self.twin.sessions for one in record.violations]
        assert not self.twin.errors
        return outcome


def play(
    folder: Path,
    story: Callable[[Scene], Awaitable[None]],
    *,
    script: Script | None = None,
    tls: ssl.SSLContext | None = None,
    trusted: ssl.SSLContext | None = None,
    **tables: Any,
) -> Outcome:
    """Play a story with a device and a twin, in virtual time; returns what came of it."""

    async def whole() -> Outcome:
        clock = asyncio.get_running_loop().time
        async with (
            Twin(script or Script(rules=ANSWERING), tls=tls, clock=clock) as twin,
            VirtualDevice(folder, twin, ssl_context=trusted, **tables) as device,
        ):
            scene = Scene(twin, device)
            device.network.latency_s = 0.02
            await asyncio.sleep(1.0)
            try:
                await story(scene)
            except AssertionError as error:
                error.add_note(device.told(twin.sessions[-4:]))
                raise
            return scene.close()

    return run(whole())

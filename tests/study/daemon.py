"""The closed loop through the whole daemon: agent, connection, engine and room in virtual time, the twin as service.

    run = talk(scene, folder)

The person taps, asks something, as loud as they will interrupt, and the twin answers with the scene's answer. From its
first sample on the loudspeaker the scene's time runs: who interrupts does so at their moment. The twin has a voice
detector of its own, which may find that somebody speaks over the answer and say `interrupted`; the device's policy and
the service's work side by side, as they do in a kitchen. The marks are those of `loop`, in the scene's time.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from acoustics import RATE_HZ
from numpy.typing import NDArray
from study.cases import ANSWER_HZ, Scene
from study.loop import BEGIN_S, Mark, Run, as_heard, marks
from virtual.device import VirtualDevice
from virtual.loop import run as run_virtual
from virtual.room import RoomAir

from edge_agent.audio.engine import AnswerStarted, Duplex, EngineEvent, Step
from edge_agent.simulator import Rule, Say, Script, Twin, When
from edge_agent.simulator.detector import Detector, Edge

FIRST_S = 6
"""What a device that has spoken before has said."""
ASKED_DB = 5.0
OVER_NOISE_DB = 7.0
"""So far above the room's noise is what the service takes for speech: a question, and what is said over an answer."""
ON_ITS_WAY_S = 0.1
"""Between what is said and the service."""

_ANSWER_WITHIN_S = 20.0


def talk(scene: Scene, folder: Path, *, hears: bool, spoken_before: bool = True) -> Run:
    """Let a whole device live through a scene.

    Args:
        scene: the scene.
        folder: for the device's key and state.
        hears: the service finds by itself that somebody speaks over the answer; False: it never does, and whether the
            answer stops is the device's doing alone.
        spoken_before: the device has answered something else in this room; False: it was just switched on, and does not
            believe its canceller yet.
    """
    hearing = _Hearing(scene, over_answers=hears)
    with (
        mock.patch.dict(os.environ, XDG_STATE_HOME=str(folder / "state")),
        mock.patch("edge_agent.simulator.session.Detector", functools.partial(_Detector, hearing)),
    ):
        return run_virtual(_story(scene, folder, hearing, spoken_before=spoken_before))


async def _story(scene: Scene, folder: Path, hearing: _Hearing, *, spoken_before: bool) -> Run:
    clock = asyncio.get_running_loop().time
    said = [scene.answer[: FIRST_S * ANSWER_HZ], scene.answer] if spoken_before else [scene.answer]
    script = Script(
        rules=(
            *(Rule(when=When(nth=n), steps=(Say(sound=one.tobytes()),)) for n, one in enumerate(said, 1)),
            Rule(steps=()),
        )
    )
    air = RoomAir(scene.room)
    run = Run(scene.seconds, onset_s=scene.onset_s, words_s=scene.words_s)
    async with (
        Twin(script, clock=clock) as twin,
        VirtualDevice(
            folder,
            twin,
            air=air,
            mode="speaker",
            audio={"volume": 100, "mic_gain_db": 0.0, "echo": "software", "cues": False},
            conversation={"max_turn_s": 120},
        ) as device,
    ):
        watch = _Watch(device.agent.talk.engine)
        await asyncio.sleep(scene.before_s)
        await device.tap()
        await device.until(state="listening")
        for before in [True] * (len(said) - 1) + [False]:
            watch.began = None
            asked_at = air.speak(scene.question, at=device.now + 0.3)
            hearing.asked(until=asked_at + len(scene.question) / RATE_HZ + ON_ITS_WAY_S)
            while watch.began is None:
                assert device.now < asked_at + _ANSWER_WITHIN_S, device.told(twin.sessions)
                await asyncio.sleep(0.005)
            hearing.answered()
            if before:
                await device.until(state="listening")
        assert watch.began is not None
        zero = watch.began - BEGIN_S
        air.speak(scene.near, at=zero)
        await asyncio.sleep(max(0.0, zero + scene.seconds - device.now))
        ring = device.agent.talk.ring
        run.clean = np.frombuffer(ring.read(ring.oldest, ring.written), "<i2")
        run.clean = _from(run.clean, ring.oldest / 16_000 - (zero - air.epoch), 16_000)
        run.marks = [Mark(mark.kind, mark.at - zero, mark.heard - zero) for mark in watch.marks if mark.at >= zero]
        stopped = [mark.t for session in twin.sessions for mark in session.marks if mark.kind == "interrupted"]
        run.marks += [Mark("interrupted", t - zero, t - zero) for t in stopped if t >= zero]
        run.sent = np.frombuffer(bytes(twin.session.audio), "<i2")
        record, first = air.record, air.frame(zero)
        run.microphone = as_heard(record.microphone[first:])
        run.near, run.loudspeaker = as_heard(record.near[first:]), as_heard(record.loudspeaker[first:])
    return run


class _Hearing:
    """What the service takes for speech: whoever asks, and, if it listens `over_answers`, whoever talks over one.

    The twin's detector hears levels where the service's hears speech: it is told when the question ends.
    """

    def __init__(self, scene: Scene, *, over_answers: bool) -> None:
        self._asked = scene.noise_dbfs + ASKED_DB
        self._over = max(-45.0, scene.noise_dbfs + OVER_NOISE_DB) if over_answers else math.inf
        self._until: float | None = None

    def asked(self, *, until: float) -> None:
        """Somebody asks, until that time on the loop's clock."""
        self._until = until

    def answered(self) -> None:
        """The answer is heard."""
        self._until = None

    @property
    def dbfs(self) -> float:
        """From which level on there is speech."""
        if self._until is None:
            return self._over
        return self._asked if asyncio.get_running_loop().time() < self._until else math.inf


class _Detector(Detector):
    """The twin's, with a threshold that depends on what is going on."""

    def __init__(self, hearing: _Hearing, **wanted: Any) -> None:
        super().__init__(**wanted)
        self._hearing = hearing

    def feed(self, pcm: bytes) -> list[Edge]:
        self._threshold = self._hearing.dbfs
        return super().feed(pcm)


class _Watch:
    """Looks over the engine's shoulder."""

    def __init__(self, engine: Duplex) -> None:
        self.marks: list[Mark] = []
        self.began: float | None = None
        """When the loudspeaker plays the answer's first sample."""
        step = engine.step

        def watched(mic: NDArray[np.int32], now: float, frames_out: int, *, queued: int = 0) -> Step:
            first = engine.frames_out_total
            taken = step(mic, now, frames_out, queued=queued)
            self._note(taken.events, now, queued, first)
            return taken

        engine.step = watched  # type: ignore[method-assign]

    def _note(self, events: list[EngineEvent], now: float, queued: int, first: int) -> None:
        self.marks += marks(events, now=now, queued=queued, first=first)
        for event in events:
            if isinstance(event, AnswerStarted) and self.began is None:
                self.began = now + (queued + event.frame - first) / RATE_HZ


def _from(sound: NDArray[np.int16], starts_s: float, rate: int) -> NDArray[np.int16]:
    """Return sound that starts at `starts_s` so that it starts at 0."""
    lead = round(starts_s * rate)
    return np.append(np.zeros(lead, np.int16), sound) if lead > 0 else sound[-lead:]

"""The closed loop through the whole daemon: agent, connection, engine and room in virtual time, the twin as service.

    run = talk(scene, folder)

The person taps, asks something, and the twin answers with the scene's answer. From its first sample on the loudspeaker
the scene's time runs: who interrupts does so at their moment. The twin has a voice detector of its own, which may find
that somebody speaks over the answer and say `interrupted`; the device's policy and the service's work side by side, as
they do in a kitchen. The marks are those of `loop`, in the scene's time.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from unittest import mock

import numpy as np
from acoustics import RATE_HZ, speech
from numpy.typing import NDArray
from study.cases import ANSWER_HZ, Scene
from study.loop import BEGIN_S, Mark, Run, as_heard, marks
from virtual.device import VirtualDevice
from virtual.loop import run as run_virtual
from virtual.room import RoomAir

from edge_agent.audio.engine import AnswerStarted, Duplex, EngineEvent, Step
from edge_agent.simulator import Rule, Say, Script, Twin, When

QUESTION = "What do you know about that?"
FIRST_S = 6
"""What a device that has spoken before has said."""
QUESTION_DBFS = -14.0
"""Louder than anybody speaks over an answer, so that a service can hear this alone."""
DEAF_DBFS = -22.0
OVER_NOISE_DB = 7.0
"""The twin's detector hears levels, the service's hears speech: its threshold is kept above the room's noise."""


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
    with mock.patch.dict(os.environ, XDG_STATE_HOME=str(folder / "state")):
        return run_virtual(_story(scene, folder, _question(), hears=hears, spoken_before=spoken_before))


async def _story(scene: Scene, folder: Path, asked: NDArray[np.float32], *, hears: bool, spoken_before: bool) -> Run:
    clock = asyncio.get_running_loop().time
    said = [scene.answer[: FIRST_S * ANSWER_HZ], scene.answer] if spoken_before else [scene.answer]
    script = Script(
        rules=(
            *(Rule(when=When(nth=n), steps=(Say(sound=one.tobytes()),)) for n, one in enumerate(said, 1)),
            Rule(steps=()),
        ),
        vad_threshold_dbfs=max(-45.0, scene.noise_dbfs + OVER_NOISE_DB) if hears else DEAF_DBFS,
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
        await device.tap()
        await device.until(state="listening")
        for before in [True] * (len(said) - 1) + [False]:
            watch.began = None
            air.speak(asked, at=device.now + 0.3)
            while watch.began is None:
                assert device.now < 1_090.0, device.told(twin.sessions)
                await asyncio.sleep(0.005)
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


def _question() -> NDArray[np.float32]:
    """Return what opens the conversation, 48 kHz; before an event loop runs, since another program speaks it."""
    said = speech(QUESTION, voice="en-us+m3", dbfs=QUESTION_DBFS)
    return np.append(said, np.zeros(RATE_HZ // 10)).astype(np.float32)

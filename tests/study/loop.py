"""The closed loop without the daemon: engine, room and pacer in virtual time. What is said changes what is played.

    run = play(scene)                       # an answer is played, somebody may talk over it
    run.marks                               # what the engine noticed and did, with times
    run.clean, run.microphone               # 16 kHz: what would be sent, and what the microphone heard
    listen(scene)                           # the open microphone after an answer: nothing is played

The engine ducks by itself; where it confirms that somebody speaks, the loop stops the answer as the conversation does.
Answers nobody was meant to stop are begun again after a second, so that a minute stays a minute. Times are seconds
since the sound began; the loudspeaker's are when it plays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from study.cases import ANSWER_HZ, Scene
from virtual.room import RoomRecord

from edge_agent.audio.bargein import (
    NearEndCleared,
    NearEndConfirmed,
    NearEndDetector,
    NearEndSuspected,
    VoiceEnded,
    VoiceStarted,
    webrtc_speech,
)
from edge_agent.audio.devices.room import Room
from edge_agent.audio.echo import Canceller, open_canceller
from edge_agent.audio.engine import Duplex, EngineEvent, Flushed, WakeHeard
from edge_agent.audio.filters import Decimator
from edge_agent.audio.nearend import WakeSpotter
from edge_agent.audio.pacer import OutputPacer
from edge_agent.audio.ring import CaptureRing
from edge_agent.audio.roomfile import read_room

RATE_HZ = 48_000
HEARD_HZ = 16_000
BLOCK_MS = 20
LEAD_S = 2.0
"""The room is heard this long before second 0, while nobody listens: the detector learns what its background is."""
TAP_S = 0.3
"""Somebody calls the device so long before they ask."""
PAUSE_S = 0.9
"""From the question to second 0: the service finds the pause, and thinks."""
ATTEND_S = 15.0
"""After so long somebody listens to a room in which nothing is played."""
BEGIN_S = 0.1
"""When the answer is queued."""
AGAIN_S = 1.0
DUCK_S = 0.02
"""The answer is down this long after it has begun to go down."""

_BLOCK = RATE_HZ * BLOCK_MS // 1_000


@dataclass(frozen=True, slots=True)
class Mark:
    """Something happened: `at` is when the engine knew, `heard` when the loudspeaker has followed.

    Kinds: duck, clear, stop (confirmed), silence (the stopped answer's last sample), voice, pause, wake, and from the
    service interrupted.
    """

    kind: str
    at: float
    heard: float


@dataclass(slots=True)
class Run:
    """What came of a scene; sound is 16 kHz, int16 (n,): `near` the person alone, `clean` what the canceller gives."""

    seconds: float
    marks: list[Mark] = field(default_factory=list)
    clean: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    microphone: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    near: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    loudspeaker: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    sent: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    onset_s: float | None = None
    words_s: float | None = None

    def times(self, kind: str, *, heard: bool = False) -> list[float]:
        """Return when marks of a kind were made."""
        return [mark.heard if heard else mark.at for mark in self.marks if mark.kind == kind]


_KINDS: dict[type, str] = {
    NearEndSuspected: "duck",
    NearEndConfirmed: "stop",
    NearEndCleared: "clear",
    VoiceStarted: "voice",
    VoiceEnded: "pause",
}


def marks(events: list[EngineEvent], *, now: float, queued: int, first: int) -> list[Mark]:
    """Return what the events of a step mean.

    Args:
        events: what the step gave.
        now: when.
        queued: frames the loudspeaker held before this step's.
        first: frames handed out before this step.
    """
    plays_at = now + queued / RATE_HZ
    found = []
    for event in events:
        match event:
            case Flushed(frame=frame):
                found.append(Mark("silence", now, plays_at + (frame - first) / RATE_HZ))
            case WakeHeard(fired=fired):
                found += [Mark("wake", now, now)] if fired else []
            case NearEndSuspected() | NearEndCleared() | NearEndConfirmed() | VoiceStarted() | VoiceEnded():
                kind = _KINDS[type(event)]
                found.append(Mark(kind, now, plays_at + (DUCK_S if kind == "duck" else 0.0)))
    return found


class Bench:
    """An engine in a room.

    Args:
        scene: the room, and who speaks in it.
        detector: notices speech; None: the device's own.
        canceller: None: the device's own.
        wake: notices wake words.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        detector: NearEndDetector | None = None,
        canceller: Canceller | None = None,
        wake: WakeSpotter | None = None,
    ) -> None:
        lead_s = LEAD_S + scene.before_s + len(scene.question) / RATE_HZ
        self.now = self.began = -lead_s
        self.record = RoomRecord()
        self.run = Run(scene.seconds, onset_s=scene.onset_s, words_s=scene.words_s)
        self._room = Room(
            read_room(scene.room),
            name="study",
            epoch=self.began,
            clock=self._time,
            sleep=_never,
            listener=self.record.take,
        )
        self._room.say(scene.near, lead_s)
        self._room.say(scene.question, lead_s - PAUSE_S - len(scene.question) / RATE_HZ)
        self._microphone, self._loudspeaker = self._room.microphone(), self._room.loudspeaker()
        self.ring = CaptureRing(scene.seconds + lead_s + 1.0)
        self.engine = Duplex(
            block_frames=_BLOCK,
            ring=self.ring,
            mic_gain_db=0.0,
            mic_channel="left",
            volume=100,
            canceller=canceller or open_canceller("software"),
            detector=detector or NearEndDetector(webrtc_speech()),
        )
        if wake is not None:
            self.engine.listen_for(wake)
        self._pacer = OutputPacer(block_frames=_BLOCK, ring_ms=self._loudspeaker.ring_ms)
        self._block = np.zeros((_BLOCK, 2), np.int32)

    def step(self) -> list[EngineEvent]:
        """One block of time passes; returns what the engine noticed."""
        self.now += BLOCK_MS / 1_000 + 1e-9
        self._microphone.read(self._block)
        frames = self._pacer.frames(_BLOCK, self._loudspeaker.writable())
        queued, first = self._pacer.fill - frames, self.engine.frames_out_total
        step = self.engine.step(self._block, self.now, frames, queued=queued)
        if frames:
            self._loudspeaker.write(step.speaker)
        self.run.marks += marks(step.events, now=self.now, queued=queued, first=first)
        return step.events

    def wait(self, until_s: float) -> None:
        """Let time pass."""
        while self.now < until_s:
            self.step()

    def close(self) -> Run:
        """Leave the room; returns what happened in it, with its sound."""
        self._microphone.close()
        self._loudspeaker.close()
        run, record = self.run, self.record
        lead = round(-self.began * RATE_HZ)
        run.clean = np.frombuffer(self.ring.read(lead // 3, self.ring.written), "<i2")
        run.microphone, run.near = as_heard(record.microphone[lead:]), as_heard(record.near[lead:])
        run.loudspeaker = as_heard(record.loudspeaker[lead:])
        return run

    def _time(self) -> float:
        return self.now


def play(scene: Scene, *, build: Callable[[Scene], Bench] = Bench) -> Run:
    """Play the answer of a scene; somebody may talk over it.

    `build` makes the engine and its room.
    """
    bench = build(scene)
    bench.wait(-PAUSE_S - len(scene.question) / RATE_HZ - TAP_S)
    bench.engine.attend(True, careful=False)
    bench.wait(0.0)
    begin: float | None = BEGIN_S
    at = 0
    while bench.now < scene.seconds:
        if begin is not None and bench.now >= begin:
            bench.engine.play(scene.answer[at:].tobytes())
            bench.engine.end_of_answer()
            begin = None
        for event in bench.step():
            if isinstance(event, NearEndConfirmed):
                bench.engine.flush()
                if scene.onset_s is None or bench.now < scene.onset_s:
                    begin = bench.now + AGAIN_S
                    at = round((begin - BEGIN_S) * ANSWER_HZ)
    return bench.close()


def listen(scene: Scene, *, build: Callable[[Scene], Bench] = Bench) -> Run:
    """Listen to a scene in which nothing is played."""
    bench = build(scene)
    bench.wait(min(ATTEND_S, scene.onset_s or ATTEND_S) - 0.5)
    bench.engine.attend(True)
    bench.wait(scene.seconds)
    return bench.close()


def as_heard(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return 48 kHz sound as the engine's first filter gives it, 16 kHz."""
    whole = sound[: len(sound) // 48 * 48]
    frames = np.zeros((len(whole), 2), np.int32)
    frames[:, 0] = np.clip(np.rint(whole.astype(np.float64) * 2**31), -(2**31), 2**31 - 1)
    decimator = Decimator(channel="left")
    step = RATE_HZ // 5
    pieces = [decimator.process(frames[at : at + step]).copy() for at in range(0, len(frames), step)]
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def _never(seconds: float) -> None:
    raise AssertionError(f"a block was asked for {seconds * 1_000:.3f} ms before it was complete")

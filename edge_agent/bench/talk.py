"""The whole daemon in talk: latencies, what of the speech arrives, memory; and the devices it talks through.

`visit` runs a kiosk: turns are pressed and released through the control socket on mock pins, most of them over the
answer to the one before (an interruption each), every fourth after a pause, so that its pre-roll is whole; the first
turn begins before the connection exists. What the twin received is found again in what was spoken, sample for sample.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import write_wav
from edge_agent.bench.children import NotMeasured, Service
from edge_agent.bench.daemon import Daemon, Settings
from edge_agent.bench.service import ANSWER_S
from edge_agent.bench.speech import find, in_order, speech

HEARD_RATE = 16_000
SPOKEN_RATE = 48_000
VOICE_S = 10.0  # the person's speech, before it repeats; `wav:` devices keep it in memory (2 MB)
PRE_ROLL_MS = 500
BLOCK_MS = 20
QUIET_EVERY = 4  # one turn in four comes after a pause
SETUP_DELAY_S = 1.0  # the service's, so that the first turn begins without a connection
HOLD_S = (0.5, 0.7)  # shortest and longest; random, so that presses do not fall into step with the blocks
BEFORE_INTERRUPTION_S = 0.6  # of the answer
SETTLED = 0.8  # of the turns; by then the daemon has loaded what it ever loads, and filled its queues once
CLOCK_READINGS = 20
RUSH_DBFS = -40.0  # at 48 kHz; -45 dBFS are left below 8 kHz
VOICE, RUSH = "voice", "rush"
MATCHED_MS = 250  # received speech is compared in pieces of this length


@dataclass(frozen=True, slots=True)
class Devices:
    """Device strings, and the environment in which they open; see `wav_devices` and `null_sink_devices`.

    Attributes:
        microphones: by what is heard in them: `voice`, a person, and `rush`, as loud and never speech.
        loudspeaker: where `{}` stands, a name makes it one of its own.
        speak: what makes a microphone hear that sound while the context lasts.
        clocked: the microphone's first sample is the sound's first, so that places in it are times.
    """

    name: str
    folder: Path
    microphones: Mapping[str, str]
    loudspeaker: str
    extra: Mapping[str, str] = field(default_factory=dict)
    speak: Callable[[str], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    clocked: bool = False

    def strings(self, sound: str, name: str) -> tuple[str, str]:
        """Return microphone and loudspeaker of the process `name`."""
        return self.microphones[sound], self.loudspeaker.format(name)

    def settings(self, url: str, mode: str, *, sound: str = VOICE, **tables: dict[str, Any]) -> Settings:
        """Return the daemon's configuration; `name` in the table of sound names its loudspeaker."""
        given = tables.pop("audio", {})
        microphone, loudspeaker = self.strings(sound, given.pop("name", "heard"))
        audio = {"input": microphone, "output": loudspeaker, "block_ms": BLOCK_MS, "mic_gain_db": 0.0}
        audio |= {"pre_roll_ms": PRE_ROLL_MS, **given}
        return {"mode": mode, "live": {"url": url}, "audio": audio, "panel": {"pins": "mock"}, **tables}


@dataclass(slots=True)
class Visit:
    """What a kiosk's visit showed."""

    turns: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    early_mb: float = 0.0
    memory_mb: float = 0.0
    matches: list[float] = field(default_factory=list)
    """For each turn, the lowest correlation of a quarter of a second with what was spoken, in order."""
    pre_rolls_ms: list[float] = field(default_factory=list)
    """For each turn after a pause: how long before the press its sound begins."""
    while_connecting_ms: float = 0.0
    """How much of the first turn had been spoken when the connection was there."""
    waited_ms_per_s: float = math.nan
    """How long the daemon's threads waited for a processor: the other work on the machine."""
    complaints: list[str] = field(default_factory=list)
    xruns: int = 0


def voice() -> NDArray[np.float32]:
    """Return the person's speech at 48 kHz."""
    return speech(VOICE_S, seed=5, rate=SPOKEN_RATE)


def rush() -> NDArray[np.float32]:
    """Return white noise at 48 kHz, loud enough to be asked about in every block, and never taken for speech.

    A person's voice would stop the answer, and the talk in both directions with it.
    """
    noise = np.random.default_rng(7).normal(0.0, 10 ** (RUSH_DBFS / 20), round(VOICE_S * SPOKEN_RATE))
    return np.asarray(np.clip(noise, -1.0, 1.0), np.float32)


SOUNDS: Mapping[str, Callable[[], NDArray[np.float32]]] = {VOICE: voice, RUSH: rush}
"""What is heard in the microphones, by name."""


def wav_devices(folder: Path) -> Devices:
    """Return `wav:` devices that sound again and again from the daemon's first moment."""
    microphones = {}
    for name, sound in SOUNDS.items():
        path = folder / f"{name}.wav"
        write_wav(path, sound(), SPOKEN_RATE)
        microphones[name] = f"wav:{path}?loop"
    return Devices("wav", folder, microphones, f"wav:{folder}/{{}}.wav", clocked=True)


@contextlib.contextmanager
def null_sink_devices(folder: Path) -> Iterator[Devices]:
    """Give `pyaudio:` devices on a private sound server while the context lasts.

    Raises:
        NotMeasured: there is no PulseAudio, or no PyAudio.
        DeviceError: the sound server does not start; the sentence says what to do.
    """
    try:
        import pyaudio  # noqa: F401, PLC0415  not every machine has it
    except ImportError as error:
        raise NotMeasured(f"PyAudio cannot be loaded ({error})") from None
    from edge_agent.demo.soundserver import SoundServer  # noqa: PLC0415  only where there is PulseAudio

    with SoundServer() as room:

        @contextlib.contextmanager
        def speak(sound: str) -> Iterator[None]:
            playing = room.play((np.tile(SOUNDS[sound](), 40), SPOKEN_RATE))
            try:
                yield
            finally:
                playing.stop()

        microphones = dict.fromkeys(SOUNDS, "pyaudio:edge_mic")
        yield Devices("null sink", folder, microphones, "pyaudio:edge_speaker", extra=dict(room.env), speak=speak)


def visit(devices: Devices, tls: tuple[Path, Path], *, turns: int) -> Visit:
    """Hold `turns` turns of push-to-talk and return what they showed.

    Raises:
        NotMeasured: the daemon or the twin failed.
    """
    folder = devices.folder / "visit"
    folder.mkdir(parents=True, exist_ok=True)
    found = Visit(turns=turns)
    chance = random.Random(1)  # noqa: S311  any numbers will do
    presses: list[tuple[bool, float]] = []
    with (
        Service(folder, tls, kind="turns", setup_delay_s=SETUP_DELAY_S) as service,
        devices.speak(VOICE),
        Daemon(folder, devices.settings(service.url, "kiosk"), ca=tls[0], extra=devices.extra) as daemon,
    ):
        time.sleep(1.0)  # the microphone's slot is chosen, and the first pre-roll is there
        began = _microphone_began(daemon)
        start, waited = time.monotonic(), daemon.waited_s
        for number in range(turns):
            quiet = number % QUIET_EVERY == 0
            if quiet and number:
                daemon.await_status({"state": "idle"}, timeout=ANSWER_S + 5.0)
                time.sleep(PRE_ROLL_MS / 1000 + chance.random() * 0.1)
            presses.append((quiet, daemon.call("status")["t"] - began))
            daemon.call("press")
            time.sleep(SETUP_DELAY_S + 0.5 if number == 0 else chance.uniform(*HOLD_S))
            daemon.call("release")
            daemon.await_status({"state": "speaking"})
            if number == int(turns * SETTLED):
                found.early_mb = daemon.memory_mb
            if (number + 1) % QUIET_EVERY:
                time.sleep(BEFORE_INTERRUPTION_S + chance.random() * 0.1)
        daemon.await_status({"state": "idle"}, timeout=ANSWER_S + 5.0)
        found.waited_ms_per_s = (daemon.waited_s - waited) * 1000 / (time.monotonic() - start)
        found.figures = daemon.figures()
        found.memory_mb = daemon.memory_mb
        found.xruns = daemon.call("status")["xruns"]
        heard = service.heard()
    found.complaints = list(heard["violations"])
    if len(heard["turns"]) != turns:
        found.complaints.append(f"{len(heard['turns'])} of {turns} turns arrived")
    received = [_samples(bytes.fromhex(turn)) for turn in heard["turns"]]
    place(found, received, presses, clocked=devices.clocked)
    return found


def place(
    found: Visit, received: list[NDArray[np.float64]], presses: list[tuple[bool, float]], *, clocked: bool
) -> None:
    """Find every received turn in the voice: how like it is, and how long before the press it begins.

    Args:
        found: gets the figures.
        received: the turns, 16 kHz.
        presses: for each turn, whether it came after a pause, and when it was pressed, seconds of the microphone.
        clocked: see `Devices`.
    """
    spoken = speech(VOICE_S, seed=5, rate=HEARD_RATE).astype(np.float64)
    step = HEARD_RATE * MATCHED_MS // 1000
    for turn, (quiet, pressed_s) in zip(received, presses, strict=False):
        if len(turn) < step:
            found.matches.append(0.0)
            continue
        at, _ = find(turn, spoken)
        found.matches.append(in_order(turn, spoken, at, step=step))
        if quiet and clocked:
            half = len(spoken) // 2
            early = (round(pressed_s * HEARD_RATE) - at + half) % len(spoken) - half
            found.pre_rolls_ms.append(early * 1000 / HEARD_RATE)
    if received:
        found.while_connecting_ms = len(received[0]) * 1000 / HEARD_RATE


def _microphone_began(daemon: Daemon) -> float:
    """Return when the microphone's first sample was heard, on the daemon's clock.

    What it has read lags what it has heard by up to a block; just after a block was read, by nothing.
    """
    found: list[float] = []
    for _ in range(CLOCK_READINGS):
        status = daemon.call("status")
        found.append(status["t"] - status["capture_s"])
        time.sleep(BLOCK_MS / 1000 * 0.27)  # out of step with the blocks
    return min(found)


def _samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(np.float64)

"""The whole daemon in talk: latencies, what of the speech arrives, memory; and its CPU beside a bare loop.

`visit` runs a kiosk: turns are pressed and released through the control socket on mock pins, most of them over the
answer to the one before (an interruption each), every fourth after a pause, so that its pre-roll is whole; the first
turn begins before the connection exists. What the twin received is found again in what was spoken, sample for sample.

`duplex` runs an open microphone that sends all the time while an answer plays at real time, then the same daemon at
rest, with a bare read and write loop on the same kind of device beside it.
"""

from __future__ import annotations

import contextlib
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import write_wav
from edge_agent.bench.children import Child, NotMeasured, Service
from edge_agent.bench.daemon import Daemon, Settings
from edge_agent.bench.meter import resident_bytes
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
SETTLE_S = 3.0  # after the end of a conversation, until its last sound is over
UP_BYTES_PER_S = 32_000 * 4 / 3  # 16 kHz, 16 bits, in base64
DOWN_BYTES_PER_S = 48_000 * 4 / 3
FULL_TALK = 0.95
CLOCK_READINGS = 20
MATCHED_MS = 250  # received speech is compared in pieces of this length


@dataclass(frozen=True, slots=True)
class Devices:
    """A pair of device strings for the daemon, one for the bare loop, and the environment in which they open."""

    name: str
    folder: Path
    daemon: tuple[str, str]
    bare: tuple[str, str]
    extra: Mapping[str, str] = field(default_factory=dict)
    speak: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    clocked: bool = False
    """True if the microphone's first sample is the voice's first, so that places in it are times."""

    def settings(self, url: str, mode: str, **tables: dict[str, Any]) -> Settings:
        """Return the daemon's configuration."""
        sound = {"input": self.daemon[0], "output": self.daemon[1], "block_ms": BLOCK_MS, "mic_gain_db": 0.0}
        sound |= {"pre_roll_ms": PRE_ROLL_MS, **tables.pop("audio", {})}
        return {"mode": mode, "live": {"url": url}, "audio": sound, "panel": {"pins": "mock"}, **tables}


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


@dataclass(frozen=True, slots=True)
class Duplex:
    """CPU, ms per second: the daemon's and the bare loop's in the same seconds, in talk and at rest."""

    talk: float
    talk_bare: float
    idle: float
    idle_bare: float
    seconds: float
    idle_seconds: float
    bare_mb: float
    xruns: int


def voice() -> NDArray[np.float32]:
    """Return the person's speech at 48 kHz."""
    return speech(VOICE_S, seed=5, rate=SPOKEN_RATE)


def wav_devices(folder: Path) -> Devices:
    """Return `wav:` devices that speak the voice again and again from the daemon's first moment."""
    path = folder / "voice.wav"
    write_wav(path, voice(), SPOKEN_RATE)
    return Devices(
        "wav",
        folder,
        daemon=(f"wav:{path}?loop", f"wav:{folder / 'heard.wav'}"),
        bare=(f"wav:{path}?loop", f"wav:{folder / 'bare.wav'}"),
        clocked=True,
    )


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
        def speak() -> Iterator[None]:
            playing = room.play((np.tile(voice(), 40), SPOKEN_RATE))
            try:
                yield
            finally:
                playing.stop()

        names = ("pyaudio:edge_mic", "pyaudio:edge_speaker")
        yield Devices("null sink", folder, daemon=names, bare=names, extra=dict(room.env), speak=speak)


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
        devices.speak(),
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


def duplex(devices: Devices, tls: tuple[Path, Path], *, seconds: float, idle_s: float) -> Duplex:
    """Measure talk in both directions at once, and rest, with a bare loop beside both.

    Raises:
        NotMeasured: the daemon, the twin or the bare loop failed, or the talk was not at full length.
    """
    folder = devices.folder / "duplex"
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, dict[str, Any]] = {
        "audio": {"echo": "hardware"},
        "conversation": {"max_turn_s": 600.0, "idle_timeout_s": 600.0},
    }
    command = [sys.executable, "-m", "edge_agent.bench.bare", "--block-ms", str(BLOCK_MS)]
    command += ["--input", devices.bare[0], "--output", devices.bare[1]]
    with (
        Service(folder, tls, kind="duplex", seconds=seconds + 8.0) as service,
        devices.speak(),
        Daemon(folder, devices.settings(service.url, "speaker", **tables), ca=tls[0], extra=devices.extra) as daemon,
        Child(command, folder=folder, extra=devices.extra) as bare,
    ):
        bare.answer()
        time.sleep(1.0)
        daemon.call("tap")
        daemon.await_status({"turn_open": True, "connected": True})
        daemon.call("ask", text="Tell me a long story.")
        daemon.await_status({"state": "speaking"})
        time.sleep(1.0)
        before = _Cost(daemon, bare)
        time.sleep(seconds)
        after = _Cost(daemon, bare)
        talk, talk_bare = after.since(before)
        up, down = after.traffic(before)
        if min(up / UP_BYTES_PER_S, down / DOWN_BYTES_PER_S) < FULL_TALK:
            raise NotMeasured(
                f"the talk was not at full length: {up / 1000:.1f} kB/s up and {down / 1000:.1f} kB/s down "
                f"of {UP_BYTES_PER_S / 1000:.1f} and {DOWN_BYTES_PER_S / 1000:.1f}"
            )
        memory = resident_bytes(bare.process.pid) / 2**20
        daemon.call("end")
        daemon.await_status({"state": "idle"})
        time.sleep(SETTLE_S)
        rest = _Cost(daemon, bare)
        time.sleep(idle_s)
        idle, idle_bare = _Cost(daemon, bare).since(rest)
        xruns = daemon.call("status")["xruns"]
    return Duplex(talk, talk_bare, idle, idle_bare, seconds, idle_s, memory, xruns)


class _Cost:
    """What daemon and bare loop have used so far."""

    def __init__(self, daemon: Daemon, bare: Child) -> None:
        figures = daemon.figures()
        self._cpu = figures["process_cpu_seconds"]
        self._bytes = (figures["bytes"]["up,start"], figures["bytes"]["down,start"])
        self._bare = bare.ask("")["cpu_s"]
        self._at = time.monotonic()

    def since(self, before: _Cost) -> tuple[float, float]:
        """Return CPU ms per second of both since an earlier moment."""
        seconds = self._at - before._at
        return (self._cpu - before._cpu) * 1000 / seconds, (self._bare - before._bare) * 1000 / seconds

    def traffic(self, before: _Cost) -> tuple[float, float]:
        """Return bytes per second up and down since an earlier moment."""
        seconds = self._at - before._at
        up, down = (new - old for new, old in zip(self._bytes, before._bytes, strict=True))
        return up / seconds, down / seconds


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

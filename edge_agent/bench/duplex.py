"""Talk in both directions at once, and rest: the daemon's CPU beside a bare loop's, and split by its parts.

`duplex` runs a household's device with everything at work: software canceller, an open microphone that sends all the
time and in which speech is looked for, an answer that plays at real time, and a wake word if asked. Then the same
daemon rests, and a kiosk's beside it. A bare read and write loop on the same kind of device runs in the same seconds.

`split` runs two such daemons at once, one of them with a stopwatch at its parts (`edge_agent.bench.split`): the parts'
sum against the other one tells what the stopwatch costs and whether the split can be believed.

What is heard is no voice (`talk.rush`): a voice would stop the answer.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.bench.children import Child, NotMeasured, Service
from edge_agent.bench.daemon import Daemon
from edge_agent.bench.meter import resident_bytes
from edge_agent.bench.split import CPU
from edge_agent.bench.talk import BLOCK_MS, RUSH, Devices

WAKE_WORD = "okay_nabu"
SETTLE_S = 3.0  # after the end of a conversation, until its last sound is over and the canceller rests
WARM_S = 4.0  # of the answer, until the canceller is believed and the first second's stricter rules are over
UP_BYTES_PER_S = 32_000 * 4 / 3  # 16 kHz, 16 bits, in base64
DOWN_BYTES_PER_S = 48_000 * 4 / 3
FULL_TALK = 0.95
MESSAGE_MS = 40
SPARE_S = 20.0  # of answer, beyond what is measured
WRITTEN_S = 5.0  # the stopwatch's figures are written within a block


@dataclass(frozen=True, slots=True)
class Duplex:
    """CPU, ms per second: the daemon's and the bare loop's in the same seconds, in talk and at rest."""

    talk: float
    talk_bare: float
    idle: float
    idle_bare: float
    kiosk_idle: float
    seconds: float
    idle_seconds: float
    bare_mb: float
    xruns: int


@dataclass(frozen=True, slots=True)
class Split:
    """CPU of talk, ms per second: by part with the stopwatch, and of the daemon without it in the same seconds."""

    block_ms: int
    message_ms: int
    seconds: float
    parts: Mapping[str, float]
    plain: float


def duplex(devices: Devices, tls: tuple[Path, Path], *, seconds: float, idle_s: float, wake: str = "") -> Duplex:
    """Measure talk in both directions at once, and rest, with a bare loop beside both.

    Raises:
        NotMeasured: the daemon, the twin or the bare loop failed, or the talk was not at full length.
    """
    folder = devices.folder / f"duplex{wake and '-'}{wake}"
    folder.mkdir(parents=True, exist_ok=True)
    microphone, loudspeaker = devices.strings(RUSH, "bare")
    command = [sys.executable, "-m", "edge_agent.bench.bare", "--block-ms", str(BLOCK_MS)]
    command += ["--input", microphone, "--output", loudspeaker]
    with (
        devices.speak(RUSH),
        _talking(folder, devices, tls, seconds=seconds, wake=wake) as daemon,
        Child(command, folder=folder, extra=devices.extra) as bare,
    ):
        bare.answer()
        time.sleep(WARM_S)
        before = _Cost(daemon), _Bare(bare)
        time.sleep(seconds)
        after = _Cost(daemon), _Bare(bare)
        after[0].check(before[0])
        talk, talk_bare = after[0].since(before[0]), after[1].since(before[1])
        memory = resident_bytes(bare.process.pid) / 2**20
        daemon.call("end")
        daemon.await_status({"state": "idle"})
        quiet = devices.settings("", "kiosk", sound=RUSH, audio={"name": "kiosk"})
        with Daemon(folder / "kiosk", quiet, ca=tls[0], extra=devices.extra) as kiosk:
            time.sleep(SETTLE_S)
            rest = _Cost(daemon), _Bare(bare), _Cost(kiosk)
            time.sleep(idle_s)
            idle, idle_bare = _Cost(daemon).since(rest[0]), _Bare(bare).since(rest[1])
            kiosk_idle = _Cost(kiosk).since(rest[2])
        xruns = daemon.call("status")["xruns"]
    return Duplex(talk, talk_bare, idle, idle_bare, kiosk_idle, seconds, idle_s, memory, xruns)


def split(devices: Devices, tls: tuple[Path, Path], *, block_ms: int, seconds: float) -> Split:
    """Measure the parts of talk with a wake word at one block length; messages are 40 ms, or a block if that is longer.

    Raises:
        NotMeasured: a daemon or the twin failed, or the talk was not at full length.
    """
    folder = devices.folder / f"split-{block_ms}"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "split.json"
    program = ["-m", "edge_agent.bench.split", str(file)]
    talk: dict[str, Any] = {"seconds": seconds, "wake": WAKE_WORD, "block_ms": block_ms}
    with (
        devices.speak(RUSH),
        _talking(folder / "timed", devices, tls, program=program, **talk) as timed,
        _talking(folder / "plain", devices, tls, **talk) as plain,
    ):
        time.sleep(WARM_S)
        before, parts_before, began = (_Cost(timed), _Cost(plain)), _written(timed, file), time.monotonic()
        time.sleep(seconds)
        after, parts_after, ended = (_Cost(timed), _Cost(plain)), _written(timed, file), time.monotonic()
        for new, old in zip(after, before, strict=True):
            new.check(old)
    parts = {name: (spent - parts_before[name]) * 1000 / (ended - began) for name, spent in parts_after.items()}
    return Split(block_ms, max(MESSAGE_MS, block_ms), seconds, parts, after[1].since(before[1]))


@contextlib.contextmanager
def _talking(
    folder: Path,
    devices: Devices,
    tls: tuple[Path, Path],
    *,
    seconds: float,
    wake: str = "",
    block_ms: int = BLOCK_MS,
    program: Sequence[str] = ("-m", "edge_agent"),
) -> Iterator[Daemon]:
    """Give a daemon that sends and plays."""
    folder.mkdir(parents=True, exist_ok=True)
    tables: dict[str, dict[str, Any]] = {
        "audio": {"echo": "software", "block_ms": block_ms, "name": f"{folder.parent.name}-{folder.name}"},
        "live": {"message_ms": max(MESSAGE_MS, block_ms)},
        "wake": {"word": wake},
        # Its own ears would close the stream again, as nobody speaks: here it is to stay open.
        "conversation": {"max_turn_s": 600.0, "idle_timeout_s": 600.0, "voice_detector": "service"},
    }
    with Service(folder, tls, kind="duplex", seconds=seconds + SPARE_S) as service:
        tables["live"]["url"] = service.url
        settings = devices.settings(service.url, "speaker", sound=RUSH, **tables)
        with Daemon(folder, settings, ca=tls[0], program=program, extra=devices.extra) as daemon:
            time.sleep(1.0)
            daemon.call("tap")
            daemon.await_status({"turn_open": True, "connected": True})
            daemon.call("ask", text="Tell me a long story.")
            daemon.await_status({"state": "speaking"})
            yield daemon


class _Cost:
    """What a daemon has used so far."""

    def __init__(self, daemon: Daemon) -> None:
        figures = daemon.figures()
        self._cpu: float = figures["process_cpu_seconds"]
        sent = figures.get("bytes", {})
        self._bytes = sent.get("up,start", 0.0), sent.get("down,start", 0.0)
        self._state = daemon.call("status")["state"]
        self._at = time.monotonic()

    def since(self, before: _Cost) -> float:
        """Return CPU ms per second since an earlier moment."""
        return (self._cpu - before._cpu) * 1000 / (self._at - before._at)

    def check(self, before: _Cost) -> None:
        """Raise NotMeasured unless sound went both ways all the time since an earlier moment."""
        seconds = self._at - before._at
        up, down = ((new - old) / seconds for new, old in zip(self._bytes, before._bytes, strict=True))
        if min(up / UP_BYTES_PER_S, down / DOWN_BYTES_PER_S) < FULL_TALK:
            raise NotMeasured(
                f"the talk was not at full length: {up / 1000:.1f} kB/s up and {down / 1000:.1f} kB/s down "
                f"of {UP_BYTES_PER_S / 1000:.1f} and {DOWN_BYTES_PER_S / 1000:.1f}"
            )
        if self._state != "speaking":
            raise NotMeasured(f"the answer was stopped: the daemon was {self._state} at the end")


class _Bare:
    """What the bare loop has used so far."""

    def __init__(self, bare: Child) -> None:
        self._cpu: float = bare.ask("")["cpu_s"]
        self._at = time.monotonic()

    def since(self, before: _Bare) -> float:
        """Return CPU ms per second since an earlier moment."""
        return (self._cpu - before._cpu) * 1000 / (self._at - before._at)


def _written(daemon: Daemon, file: Path) -> dict[str, float]:
    """Ask the stopwatch for its figures and return them."""
    file.unlink(missing_ok=True)
    daemon.signal(signal.SIGUSR1)
    deadline = time.monotonic() + WRITTEN_S
    while not file.exists():
        if time.monotonic() > deadline:
            raise NotMeasured(f"the stopwatch gave no figures: {daemon.last_words()}")
        time.sleep(0.01)
    found: dict[str, float] = json.loads(file.read_text())
    if CPU not in found:
        raise NotMeasured("the stopwatch's figures are not those of this version")
    return found

"""What a measured process knows about its own cost. Standard library only: it stands in memory with what it measures.

    began = now()                      # first line of the program, before its imports
    import ...
    imported = since(began)
    meter = Meter(chunks)              # counts what went up and down
    meter.begin()
    ...
    report(imported=imported, **meter.end())

CPU is user and system time of all threads of the process (getrusage). Memory is what is resident at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MESSAGE_S = 0.04  # sound in one message, up and down
MESSAGE_BYTES = 1280  # that much at 16 kHz, 16 bits
ANSWER_RATE = 24_000
BYTES_PER_SAMPLE = 2


@dataclass(frozen=True, slots=True)
class Task:
    """What a client of the wire is asked to do."""

    url: str
    ca: Path
    key: str
    sound: Path
    seconds: float
    warm_up: float


def task() -> Task:
    """Read a client's task from its command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--ca", type=Path, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--sound", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--warm-up", type=float, default=1.0)
    return Task(**vars(parser.parse_args()))


def now() -> tuple[float, float]:
    """Return wall clock and CPU time, seconds."""
    return time.monotonic(), time.process_time()


def since(began: tuple[float, float]) -> dict[str, float]:
    """Return what passed since `now()`, milliseconds."""
    wall, cpu = now()
    return {"wall_ms": (wall - began[0]) * 1000, "cpu_ms": (cpu - began[1]) * 1000}


def resident_bytes(pid: int | str = "self") -> int:
    """Return the resident memory of a process, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def waited_s(pid: int) -> float:
    """Return how long the threads of a process have waited for a processor, seconds; NaN where the kernel keeps none.

    The second field of each thread's schedstat, nanoseconds.
    """
    waited = 0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            waited += int((thread / "schedstat").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return float("nan")
    return waited / 1e9


class Meter:
    """Counts messages and CPU between `begin` and `end`, and hands out the sound to send, again and again."""

    def __init__(self, path: Path) -> None:
        """Read the sound to send, 16 kHz s16le mono, whole messages of it."""
        sound = path.read_bytes()
        self._chunks = [
            sound[at : at + MESSAGE_BYTES] for at in range(0, len(sound) - MESSAGE_BYTES + 1, MESSAGE_BYTES)
        ]
        self.up = self.down_bytes = 0
        self._began: tuple[float, float, int, int] | None = None

    def chunk(self) -> bytes:
        """Return the next 40 ms and count it as sent."""
        self.up += 1
        return self._chunks[self.up % len(self._chunks)]

    def heard(self, size: int) -> None:
        """Count bytes of the answer's sound."""
        self.down_bytes += size

    def begin(self) -> None:
        """Start the window that counts."""
        self._began = (time.monotonic(), _cpu(), self.up, self.down_bytes)

    def end(self) -> dict[str, float]:
        """Return the window's figures: seconds, CPU ms per second, seconds of sound up and down per second, memory.

        Raises:
            RuntimeError: no window was begun.
        """
        if self._began is None:
            raise RuntimeError("begin() comes before end()")
        wall, cpu, up, down = self._began
        seconds = time.monotonic() - wall
        return {
            "seconds": seconds,
            "cpu_ms_per_s": (_cpu() - cpu) * 1000 / seconds,
            "up_s_per_s": (self.up - up) * MESSAGE_S / seconds,
            "down_s_per_s": (self.down_bytes - down) / (ANSWER_RATE * BYTES_PER_SAMPLE) / seconds,
            "rss_mb": resident_bytes() / 2**20,
        }


def report(**figures: Any) -> None:
    """Print the figures as one JSON line for the process that asked."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

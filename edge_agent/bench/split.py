"""The daemon with a stopwatch at its parts: where the CPU of a second of talk goes.

    python -m edge_agent.bench.split FIGURES.json run --config config.toml      # then SIGUSR1 writes the figures

It is the daemon as it is, in a process of its own; only the calls named in `PARTS` are timed, by the CPU clock of their
thread, each without what it calls of the others. What the sound thread does between them is `rest`; all that the event
loop's thread does is `wire`, of which what sends and what receives is told too; what is left of the process is `other`.
So the parts always add up to the process, and what the stopwatch itself costs is found by a daemon without it beside.

| part | what |
|---|---|
| `capture` | reading the input device |
| `filters` | microphone to 16 kHz, answer to 48 kHz |
| `reference` | what the loudspeaker plays, aligned and at 16 kHz, for the canceller |
| `canceller` | the echo canceller |
| `detector` | speech over the answer, WebRTC's VAD in it |
| `wake` | wake words |
| `playback` | queue, duck, volume, mixing, and writing the output device |
"""

from __future__ import annotations

import json
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

PARTS = ("capture", "filters", "reference", "canceller", "detector", "wake", "playback", "rest", "wire", "other")
"""In the order of the sound's way; they add up to the process."""
CPU = "cpu"
"""Name of the process's own figure."""
UP, DOWN = "up", "down"
"""Within `wire`."""

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Ledger:
    """CPU seconds by part, of one thread: each moment is booked to the innermost part that was entered.

    Args:
        base: the part of everything else.
        clock: CPU nanoseconds of the thread that calls.
    """

    def __init__(self, base: str, *, clock: Callable[[], int] = time.thread_time_ns) -> None:
        self._spent: dict[str, int] = {base: 0}
        self._part = base
        self._clock = clock
        self._mark: int | None = None

    def timed(self, part: str, function: Callable[_P, _R], *, within: str = "") -> Callable[_P, _R]:
        """Return a function that is booked to `part`, unless it is called by the part `within`."""
        self._spent.setdefault(part, 0)

        def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            outer = self._part
            if outer == within:
                return function(*args, **kwargs)
            self._enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._enter(outer)

        return run

    def figures(self) -> dict[str, float]:
        """Return CPU seconds by part, up to the last change of part."""
        return {part: spent / 1e9 for part, spent in self._spent.items()}

    def _enter(self, part: str) -> None:
        now = self._clock()
        if self._mark is not None:
            self._spent[self._part] += now - self._mark
        self._mark, self._part = now, part


def parts(sound: dict[str, float], loop: dict[str, float], *, loop_s: float, cpu_s: float) -> dict[str, float]:
    """Return the figures as written: CPU seconds by the names of `PARTS`, and `CPU`, `UP`, `DOWN`.

    Args:
        sound: of the sound thread's ledger.
        loop: of the event loop's ledger.
        loop_s: of the event loop's whole thread.
        cpu_s: of the process.
    """
    found = {part: sound.get(part, 0.0) for part in PARTS[:-2]}
    found |= {"wire": loop_s, "other": cpu_s - loop_s - sum(sound.values())}
    return found | {CPU: cpu_s, UP: loop.get(UP, 0.0), DOWN: loop.get(DOWN, 0.0)}


def install(sound: Ledger, loop: Ledger) -> None:
    """Put the ledgers into the daemon's classes, in this process, for good."""
    from edge_agent.agent.sender import Sender  # noqa: PLC0415  the daemon's modules load under its own stopwatch
    from edge_agent.audio import devices, nearend  # noqa: PLC0415
    from edge_agent.audio.bargein import NearEndDetector  # noqa: PLC0415
    from edge_agent.audio.farend import FarEnd  # noqa: PLC0415
    from edge_agent.audio.filters import Decimator, Interpolator  # noqa: PLC0415
    from edge_agent.audio.reference import Reference  # noqa: PLC0415
    from edge_agent.live.connection import LiveConnection  # noqa: PLC0415

    def put(ledger: Ledger, part: str, kind: type, *names: str, within: str = "") -> None:
        for name in names:
            setattr(kind, name, ledger.timed(part, getattr(kind, name), within=within))

    put(sound, "filters", Decimator, "process", within="reference")
    put(sound, "filters", Interpolator, "process", "silence")
    put(sound, "reference", Reference, "put", "take")
    put(sound, "detector", NearEndDetector, "hear", "overhear")
    put(sound, "playback", FarEnd, "render")
    put(loop, UP, Sender, "pump")
    put(loop, DOWN, LiveConnection, "data_received")
    for opener, part, names in (
        ("open_input", "capture", ("read",)),
        ("open_output", "playback", ("writable", "write")),
    ):
        setattr(devices, opener, _opening(sound, part, getattr(devices, opener), names))
    whole = nearend.NearEnd.__init__
    listen = nearend.NearEnd.listen_for

    def begin(near: nearend.NearEnd, *args: Any, **kwargs: Any) -> None:
        canceller = kwargs.get("canceller")
        if canceller is not None:
            canceller.process = sound.timed("canceller", canceller.process)
        whole(near, *args, **kwargs)

    def listen_for(near: nearend.NearEnd, wake: Any) -> None:
        if wake is not None:
            wake.hear = sound.timed("wake", wake.hear)
        listen(near, wake)

    setattr(nearend.NearEnd, "__init__", begin)  # noqa: B010  a type checker refuses to assign it
    setattr(nearend.NearEnd, "listen_for", listen_for)  # noqa: B010  as above


def _opening(ledger: Ledger, part: str, opener: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    def open_device(*args: Any, **kwargs: Any) -> Any:
        device = opener(*args, **kwargs)
        for name in names:
            setattr(device, name, ledger.timed(part, getattr(device, name)))
        return device

    return open_device


def main() -> None:
    """Run the command line above."""
    path, command = Path(sys.argv[1]), sys.argv[2:]
    sound, loop = Ledger("rest"), Ledger("loop")
    install(sound, loop)

    def write(_number: int, _frame: object) -> None:
        figures = parts(sound.figures(), loop.figures(), loop_s=time.thread_time(), cpu_s=time.process_time())
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(figures))
        fresh.replace(path)

    signal.signal(signal.SIGUSR1, write)
    sys.argv = ["edge-agent", *command]
    runpy.run_module("edge_agent", run_name="__main__")


if __name__ == "__main__":
    main()

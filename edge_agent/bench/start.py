"""How long the daemon takes to be ready, and whether it loads what its mode does not use.

The time runs from the start of the process to the notice READY=1 that systemd waits for, on `wav:` devices. The modules
come from a run of their own under `-X importtime`, talk included, so that what is imported on use is seen too.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

from edge_agent.bench import table
from edge_agent.bench.daemon import Daemon, Settings
from edge_agent.bench.table import Row

BUDGET_MS = 1000.0

FORBIDDEN = (
    "PIL", "edge_agent.audio.devices.alsa", "edge_agent.audio.devices.portaudio", "edge_agent.bench",
    "edge_agent.demo", "edge_agent.simulator", "edge_agent.vision.devices", "google", "lgpio", "libcamera",
    "matplotlib", "picamera2", "pocketsphinx", "pyaudio", "pytest", "rich", "scipy",
    "unittest", "websockets.asyncio", "websockets.legacy", "websockets.sync",
)  # fmt: skip
"""What a daemon on `wav:` devices with mock pins and no camera has no use for; sub-modules count as well."""

_IMPORT = re.compile(r"^import time:\s*(\d+) \|\s*(\d+) \|( +)(\S+)$")


def measure(folder: Path, tls: tuple[Path, Path], settings: Settings, *, runs: int) -> list[Row]:
    """Start the daemon `runs` times, and once more under the microscope."""
    times = []
    for number in range(runs):
        with Daemon(folder / f"start-{number}", settings, ca=tls[0]) as daemon:
            times.append(daemon.start_ms)
    with Daemon(folder / "imports", settings, ca=tls[0], python=["-X", "importtime"]) as daemon:
        daemon.call("press")
        time.sleep(0.6)
        daemon.call("release")
        daemon.await_status({"state": "speaking"})
    modules, slowest = imported(daemon.log.read_text(errors="replace"))
    took = table.spread(times)
    note = f"imports that take longest: {slowest}" if took.median > BUDGET_MS else ""
    return [
        table.judged(
            "process start to ready",
            took.median,
            BUDGET_MS,
            figure=took.text("ms", 0),
            budget="1000 ms",
            note=note,
            values=took.values("ready_ms"),
        ),
        modules_row(modules),
    ]


def imported(log: str) -> tuple[set[str], str]:
    """Return the names of all modules imported, and the five that took longest by themselves, as a text."""
    found = [(int(match[1]), match[4]) for match in map(_IMPORT.match, log.splitlines()) if match]
    slowest = ", ".join(f"{name} {own / 1000:.0f} ms" for own, name in sorted(found, reverse=True)[:5])
    return {name for _, name in found}, slowest


def modules_row(modules: set[str]) -> Row:
    """Judge the modules against `FORBIDDEN`."""
    what, budget = "modules loaded without use", "0"
    if not modules:
        return table.missing(what, budget, why="the interpreter did not tell what it imported")
    useless = sorted(name for name in modules if any(name == one or name.startswith(f"{one}.") for one in FORBIDDEN))
    return table.judged(
        what,
        len(useless),
        0,
        figure=f"{len(useless)} of {len(modules)}",
        budget=budget,
        note=", ".join(useless),
        values={"useless": useless, "modules": len(modules)},
    )

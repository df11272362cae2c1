"""`edge-agent bench`: measure this machine, and print one table of figures with the design's budgets beside them.

    edge-agent bench --quick                  # about a minute: few rounds, few turns, `wav:` devices only
    edge-agent bench --json build/bench.json  # about six minutes; the figures behind the table as JSON

Five parts, one after the other: the wire alone beside the official SDK and a plain client (`wire`), the rate filters
beside numpy.convolve (`filters`), the echo cancellers (`echo`), the start (`start`), and the whole daemon in talk and
at rest (`talk`), on `wav:` devices and, in the full run, on PyAudio over a private sound server. Everything measured is
a process of its own. What cannot be measured on a machine has its row all the same, with the reason.

The exit code says whether the measurements went through, not whether a budget was kept: that is the table's to say.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_agent import __version__
from edge_agent.bench import echo, filters, report, start, table, talk, wire
from edge_agent.bench.children import Service, certificate
from edge_agent.bench.table import Row
from edge_agent.errors import EXIT_FAILED, EXIT_OK, AgentError

LIBRARIES = ("numpy", "websockets", "msgspec", "google-genai", "PyAudio", "gpiozero")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    wire_rounds: int
    wire_s: float
    filter_runs: int
    starts: int
    turns: int
    talk_s: float
    idle_s: float
    null_sink: bool


FULL = Extent(wire_rounds=5, wire_s=6.0, filter_runs=9, starts=5, turns=40, talk_s=20.0, idle_s=15.0, null_sink=True)
QUICK = Extent(wire_rounds=1, wire_s=3.0, filter_runs=3, starts=1, turns=6, talk_s=4.0, idle_s=3.0, null_sink=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `edge-agent bench`."""
    parser.add_argument("--quick", action="store_true", help="about a minute instead of six: a glance, not a proof")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table and the figures behind it here too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for a document here too")
    parser.add_argument("--peers", type=Path, default=wire.peers_folder(), help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Measure and print; exit code 1 when nothing could be measured."""
    began = time.monotonic()
    extent = QUICK if args.quick else FULL
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as name:
        rows = measure(Path(name), extent, peers=args.peers, tell=_tell)
    seconds = time.monotonic() - began
    found = table.document(rows, machine=machine(), quick=args.quick, seconds=seconds)
    for path, text in ((args.json, json.dumps(found, indent=1) + "\n"), (args.markdown, table.markdown(rows))):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    _print(rows)
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("ok", "over", "not measured here")}
    _say(", ".join(f"{number} {verdict}" for verdict, number in counts.items()) + f", in {seconds:.0f} s")
    return EXIT_OK if counts["ok"] or counts["over"] else EXIT_FAILED


def measure(folder: Path, extent: Extent, *, peers: Path, tell: Callable[[str], None]) -> list[Row]:
    """Run every part and return all rows; a part that fails becomes one row that says why."""
    try:
        tls = certificate(folder)
    except AgentError as error:
        return [table.missing("everything", "-", why=str(error))]
    rows: list[Row] = []

    def part(name: str, work: Callable[[], Iterable[Row]]) -> None:
        tell(name)
        try:
            found = list(work())
        except AgentError as error:
            found = [table.missing("this part", "-", why=str(error))]
        rows.extend(replace(row, part=name) for row in found)

    part(
        "wire alone, TLS on loopback, 40 ms up and down",
        lambda: wire.measure(folder, tls, rounds=extent.wire_rounds, seconds=extent.wire_s, peers=peers),
    )
    pure = filters.Pure()

    def filter_rows() -> list[Row]:
        nonlocal pure
        found, pure = filters.measure(folder, runs=extent.filter_runs, peers=peers)
        return found

    part("filters", filter_rows)
    part("echo cancellers", lambda: echo.measure(folder, runs=extent.filter_runs)[0])
    devices = talk.wav_devices(folder)

    def start_rows() -> list[Row]:
        with Service(folder, tls, kind="turns") as service:
            settings = devices.settings(service.url, "kiosk")
            return start.measure(folder, tls, settings, runs=extent.starts)

    part("start", start_rows)

    def talk_rows(on: talk.Devices) -> list[Row]:
        seen = talk.visit(on, tls, turns=extent.turns)
        found = report.latencies(seen) + report.speech(seen)
        both = talk.duplex(on, tls, seconds=extent.talk_s, idle_s=extent.idle_s)
        return found + report.cpu(both, pure) + report.memory(seen, both.bare_mb)

    part("whole daemon, wav: devices", lambda: talk_rows(devices))

    def null_sink_rows() -> list[Row]:
        if not extent.null_sink:
            return [table.missing("this part", "-", why="the quick run leaves it out")]
        sound = folder / "null-sink"
        sound.mkdir()
        with talk.null_sink_devices(sound) as on:
            return talk_rows(on)

    part("whole daemon, PyAudio on a private sound server", null_sink_rows)
    return rows


def machine() -> dict[str, Any]:
    """Return what a reader needs to know about where the figures come from."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processors": os.cpu_count(),
        "architecture": platform.machine(),
        "model": _model(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "edge-agent": __version__,
        **{name: _version(name) for name in LIBRARIES},
    }


def _model() -> str:
    try:
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")
    except OSError:
        return ""


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _print(rows: list[Row]) -> None:
    width = shutil.get_terminal_size((120, 40)).columns
    try:
        from rich.console import Console  # noqa: PLC0415  only for the eye
        from rich.table import Table  # noqa: PLC0415  as above
    except ImportError:
        _say(table.plain(rows, width=width))
        return
    if not sys.stdout.isatty():
        _say(table.plain(rows, width=width))
        return
    colours = {"ok": "green", "over": "bold red", "not measured here": "yellow", "no budget": "dim"}
    for name in dict.fromkeys(row.part for row in rows):
        shown = Table(*table.COLUMNS, title=name, title_justify="left", expand=True)
        for row in (row for row in rows if row.part == name):
            figure = f"{row.figure}\n[dim]{row.note}[/dim]" if row.note else row.figure
            shown.add_row(row.what, figure, row.budget, f"[{colours[row.verdict]}]{row.verdict}[/]")
        Console().print(shown)


def _tell(name: str) -> None:
    sys.stderr.write(f"measuring: {name} ...\n")
    sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

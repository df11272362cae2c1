"""`edge-agent bench`: measure this machine, and print one table of figures with the design's budgets beside them.

    edge-agent bench --quick                  # about two minutes: few rounds, few turns, `wav:` devices only
    edge-agent bench --json build/bench.json  # about ten minutes; the figures behind the table as JSON

One part after the other: the wire alone beside the official SDK and a plain client (`wire`), the rate filters beside
numpy.convolve (`filters`), the echo cancellers (`echo`), memory (`footprint`), the start (`start`), the whole daemon in
talk and at rest (`talk`, `duplex`), on `wav:` devices and, in the full run, on PyAudio over a private sound server, and
where its CPU goes (`split`). Everything measured is a process of its own. What cannot be measured on a machine has its
row all the same, with the reason.

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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_agent import __version__
from edge_agent.bench import duplex, echo, filters, footprint, report, start, table, talk, wire
from edge_agent.bench.children import NotMeasured, Service, certificate
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
    split_s: float
    null_sink: bool


FULL = Extent(
    wire_rounds=5,
    wire_s=6.0,
    filter_runs=9,
    starts=5,
    turns=40,
    talk_s=20.0,
    idle_s=15.0,
    split_s=20.0,
    null_sink=True,
)
QUICK = Extent(
    wire_rounds=1, wire_s=3.0, filter_runs=3, starts=1, turns=6, talk_s=4.0, idle_s=3.0, split_s=3.0, null_sink=False
)
SPLIT_BLOCKS_MS = (20, 40, 100)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `edge-agent bench`."""
    parser.add_argument("--quick", action="store_true", help="about two minutes instead of ten: a glance, not a proof")
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
        parts = _Parts(folder, extent, peers, certificate(folder))
    except AgentError as error:
        return [table.missing("everything", "-", why=str(error))]
    rows: list[Row] = []
    for name, work in parts.named().items():
        tell(name)
        try:
            found = list(work())
        except AgentError as error:
            found = [table.missing("this part", "-", why=str(error))]
        rows.extend(replace(row, part=name) for row in found)
    return rows


class _Parts:
    """The parts of the table; each leaves for those after it what they need of it."""

    def __init__(self, folder: Path, extent: Extent, peers: Path, tls: tuple[Path, Path]) -> None:
        self._folder, self._extent, self._peers, self._tls = folder, extent, peers, tls
        self._devices = talk.wav_devices(folder)
        self._filters = self._canceller = filters.Pure()

    def named(self) -> dict[str, Callable[[], list[Row]]]:
        """Return the parts by name, in their order."""
        return {
            "wire alone, TLS on loopback, 40 ms up and down": self._wire,
            "filters": self._filter,
            "echo cancellers": self._echo,
            "memory of full-duplex talk": lambda: footprint.measure(self._folder),
            "start": self._start,
            "whole daemon, wav: devices": lambda: self._talk(self._devices),
            "where the CPU of talk goes, wav: devices": self._split,
            "whole daemon, PyAudio on a private sound server": self._null_sink,
        }

    def _wire(self) -> list[Row]:
        rounds, seconds = self._extent.wire_rounds, self._extent.wire_s
        return wire.measure(self._folder, self._tls, rounds=rounds, seconds=seconds, peers=self._peers)

    def _filter(self) -> list[Row]:
        found, self._filters = filters.measure(self._folder, runs=self._extent.filter_runs, peers=self._peers)
        return found

    def _echo(self) -> list[Row]:
        found, self._canceller = echo.measure(self._folder, runs=self._extent.filter_runs)
        return found

    def _start(self) -> list[Row]:
        with Service(self._folder, self._tls, kind="turns") as service:
            settings = self._devices.settings(service.url, "kiosk")
            return start.measure(self._folder, self._tls, settings, runs=self._extent.starts)

    def _talk(self, on: talk.Devices) -> list[Row]:
        seen = talk.visit(on, self._tls, turns=self._extent.turns)
        found = report.latencies(seen) + report.speech(seen)
        talk_s, idle_s = self._extent.talk_s, self._extent.idle_s
        both = duplex.duplex(on, self._tls, seconds=talk_s, idle_s=idle_s)
        wake: duplex.Duplex | NotMeasured
        try:
            wake = duplex.duplex(on, self._tls, seconds=talk_s, idle_s=idle_s, wake=duplex.WAKE_WORD)
        except NotMeasured as error:
            wake = error
        found += report.cpu(both, self._filters + self._canceller, wake=wake)
        return found + report.memory(seen, both.bare_mb)

    def _split(self) -> list[Row]:
        found: list[Row] = []
        for block_ms in SPLIT_BLOCKS_MS:
            one = duplex.split(self._devices, self._tls, block_ms=block_ms, seconds=self._extent.split_s)
            found += report.split(one)
        return found

    def _null_sink(self) -> list[Row]:
        if not self._extent.null_sink:
            return [table.missing("this part", "-", why="the quick run leaves it out")]
        sound = self._folder / "null-sink"
        sound.mkdir()
        with talk.null_sink_devices(sound) as on:
            return self._talk(on)


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

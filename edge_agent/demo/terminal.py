"""The demonstration in the terminal: a live page where there is a terminal and rich, plain lines elsewhere.

    with open_screen(journal, steps, plain=False):
        ...                       # whatever comes into the journal is shown

The light is drawn in its own colour and rhythm. Nothing here decides anything: a terminal that is too slow, too narrow
or gone changes nothing but the view.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from edge_agent.demo.journal import Entry, Journal
from edge_agent.demo.performance import Step
from edge_agent.demo.view import SILENT_DBFS, View
from edge_agent.panel.light import load_patterns
from edge_agent.service.watchview import cells, clip, plain

FRAMES_PER_S = 12
METER_DB = 60.0  # the quietest a meter shows
METER_WIDTH = 30
CAPTION_CELLS = 110  # columns: two lines of the page, so that the newest caption is always in sight

_OUTCOMES = {
    "waits": ("·", "dim"),
    "plays": ("▶", "bold cyan"),
    "done": ("✓", "bold green"),
    "missed": ("✗", "bold red"),
}


_LINES = {
    "demo missed": "✗ {why}",
    "demo cut": "the line is cut",
    "person says": "{speaker}: {text}",
    "device caption": "understood: {line}",
    "device prompt": "the device itself: {text}",
    "device latency": "{name}: {ms:.0f} ms",
    "device fault": "fault: {text}",
    "device connection": "connection: {why}",
}
"""What plain lines tell of an entry, by its source and event; the rest is left to events.jsonl."""


class _Fields(dict[str, Any]):
    """An entry's fields, with a dash for what is missing."""

    def __missing__(self, key: str) -> str:
        return "-"


class Screen(Protocol):
    """Either kind of view; shows while the context lasts."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; the terminal is as it was."""
        ...


def open_screen(journal: Journal, steps: Sequence[Step], *, plain: bool, title: str) -> Screen:
    """Return the live page, or plain lines where that was asked for or nothing better can be had."""
    if plain or not sys.stdout.isatty() or importlib.util.find_spec("rich") is None:
        return PlainScreen(journal, steps, sys.stdout)
    return LiveScreen(journal, steps, title=title)


class PlainScreen:
    """One line for each thing that happened."""

    def __init__(self, journal: Journal, steps: Sequence[Step], out: TextIO) -> None:
        self._journal, self._out = journal, out
        self._numbers = {step.name: n for n, step in enumerate(steps, 1)}
        self._seen = 0
        self._said = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._show()
        self._end_caption()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            self._show()

    def _show(self) -> None:
        news = self._journal.news(self._seen)
        self._seen += len(news)
        for entry in news:
            if entry.source == "device" and entry.event == "caption" and entry.fields.get("speaker") == "device":
                self._said = str(entry.fields.get("line", ""))
                continue
            text = self._line(entry)
            if text:
                self._print(text)

    def _line(self, entry: Entry) -> str:
        fields = entry.fields
        event = f"{entry.source} {entry.event}"
        if event == "demo step" or (event == "device state" and fields.get("state") in {"idle", "listening"}):
            self._end_caption()
        if event == "demo step":
            number = self._numbers.get(str(fields["name"]), 0)
            return f"\n{number}/{len(self._numbers)}  {fields['line']}"
        template = _LINES.get(event)
        return "" if template is None else "     " + template.format_map(_Fields(fields))

    def _end_caption(self) -> None:
        said, self._said = self._said, ""
        if said:
            self._print(f"     device: {said}")

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class LiveScreen:
    """A page that is drawn anew twelve times a second."""

    def __init__(self, journal: Journal, steps: Sequence[Step], *, title: str, console: Any = None) -> None:
        from rich.console import Console  # noqa: PLC0415  only where there is a terminal
        from rich.live import Live  # noqa: PLC0415

        self._journal, self._steps, self._title = journal, steps, title
        self._view = View()
        self._seen = 0
        self._began = time.monotonic()
        self._patterns = load_patterns()
        self._lock = threading.Lock()
        self._live = Live(
            get_renderable=self.render,
            refresh_per_second=FRAMES_PER_S,
            console=console or Console(),
            transient=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def render(self) -> Any:
        """Return the page as it is now; called by rich's own thread."""
        from rich.columns import Columns  # noqa: PLC0415
        from rich.console import Group  # noqa: PLC0415
        from rich.panel import Panel  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        with self._lock:
            news = self._journal.news(self._seen)
            self._seen += len(news)
            for entry in news:
                self._view.take(entry)
        view = self._view
        page = Table.grid(expand=True, padding=(0, 1))
        page.add_column(ratio=3)
        page.add_column(ratio=2)
        left = Group(
            Panel(self._device(view), title="device", title_align="left", border_style="bright_black"),
            Panel(captions(view), title="captions", title_align="left", border_style="bright_black", height=10),
        )
        right = Group(
            Panel(_wire(view, self._began), title="wire", title_align="left", border_style="bright_black", height=12),
            Panel(_latencies(view), title="latest figures", title_align="left", border_style="bright_black"),
        )
        page.add_row(left, right)
        return Group(Columns([f"[bold]{self._title}[/bold]"]), self._script(view), page)

    def _script(self, view: View) -> Any:
        from rich.text import Text  # noqa: PLC0415

        text = Text()
        for n, step in enumerate(self._steps, 1):
            outcome = view.steps.get(step.name, "waits")
            sign, style = _OUTCOMES[outcome]
            text.append(f" {sign} {n} {step.line}\n", style=style if outcome != "done" else "green")
        return text

    def _device(self, view: View) -> Any:
        from rich.text import Text  # noqa: PLC0415

        pattern = self._patterns.get(view.light)
        color = (0.0, 0.0, 0.0) if pattern is None else pattern.at(max(0.0, time.monotonic() - view.light_since))
        red, green, blue = (round(40 + 215 * part) for part in color)
        text = Text()
        text.append(" ●●● ", style=f"bold rgb({red},{green},{blue})")
        text.append(f" {view.state:<12}", style="bold")
        text.append(" MUTED " if view.muted else "", style="bold white on red")
        text.append("  button " + ("▣ down" if view.pressed else "□ up"), style="bold" if view.pressed else "dim")
        text.append(f"\n {view.why[:70]}\n", style="dim")
        text.append("\n visitor     ")
        text.append(meter(view.mic_dbfs), style="rgb(0,114,178)")
        text.append("\n loudspeaker ")
        text.append(meter(view.speaker_dbfs), style="rgb(213,94,0)")
        return text


def meter(dbfs: float, width: int = METER_WIDTH) -> str:
    """Return a level as a bar of `width` characters and its figure."""
    filled = round(max(0.0, min(1.0, 1 + dbfs / METER_DB)) * width)
    figure = "   -inf" if dbfs <= SILENT_DBFS else f"{dbfs:7.1f}"
    return "█" * filled + "░" * (width - filled) + figure + " dBFS"


def captions(view: View) -> Any:
    """Return the newest captions as rich text, each by the end of what was said, in any script."""
    from rich.text import Text  # noqa: PLC0415

    text = Text(overflow="fold")
    for caption in list(view.captions):
        style = {"person": "rgb(86,180,233)", "device": "rgb(230,159,0)"}.get(caption.speaker, "italic")
        text.append(f"{caption.speaker}: ", style=f"bold {style}" if style != "italic" else "bold")
        said = plain(caption.text)
        words = said if cells(said) <= CAPTION_CELLS else "… " + clip(said, CAPTION_CELLS - 2, tail=True)
        text.append(words + "\n", style=style)
    return text


def _wire(view: View, began: float) -> Any:
    from rich.text import Text  # noqa: PLC0415

    text = Text(no_wrap=True, overflow="ellipsis")
    for line in list(view.wire):
        arrow, style = ("↑", "rgb(86,180,233)") if line.up else ("↓", "rgb(230,159,0)")
        times = f" x {line.count}" if line.count > 1 else ""
        size = f"  {line.size / 1000:.1f} kB" if line.size else ""
        text.append(f"{line.t - began:6.1f} s {arrow} {line.kind}{times}{size}\n", style=style)
    return text


def _latencies(view: View) -> Any:
    from rich.text import Text  # noqa: PLC0415

    text = Text(no_wrap=True, overflow="ellipsis")
    for name, ms in list(view.latencies.items()):
        text.append(f"{name.replace('_', ' '):<26}", style="dim")
        text.append(f"{ms:8.1f} ms\n", style="bold")
    return text

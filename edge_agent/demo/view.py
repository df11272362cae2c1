"""What a terminal shows of a running demonstration: entries in, the present picture of things out. Pure.

view = View()
for entry in journal.news(seen): view.take(entry)
view.state, view.light, view.light_since, view.captions, view.wire, view.latencies, view.steps
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from edge_agent.demo.journal import Entry

SILENT_DBFS = -120.0
WIRE_LINES, CAPTION_LINES = 10, 5
INTERLEAVED = 3  # kinds of messages that come in turns and are counted as rows of their own

Outcome = Literal["waits", "plays", "done", "missed"]


@dataclass(slots=True)
class Caption:
    """A line somebody says."""

    speaker: str
    text: str


@dataclass(slots=True)
class WireLine:
    """Messages of one kind in one direction, counted while no others than a few kinds come between them."""

    t: float
    up: bool
    kind: str
    count: int = 1
    size: int = 0


@dataclass(slots=True)
class View:
    """The present picture of things."""

    state: str = "starting"
    why: str = ""
    light: str = "starting"
    light_since: float = 0.0
    muted: bool = False
    pressed: bool = False
    mic_dbfs: float = SILENT_DBFS
    speaker_dbfs: float = SILENT_DBFS
    captions: deque[Caption] = field(default_factory=lambda: deque(maxlen=CAPTION_LINES))
    wire: deque[WireLine] = field(default_factory=lambda: deque(maxlen=WIRE_LINES))
    latencies: dict[str, float] = field(default_factory=dict)
    steps: dict[str, Outcome] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Take the next entry, in the order of arrival."""
        match entry.source:
            case "device":
                self._device(entry)
            case "twin":
                self._message(entry)
            case "person":
                self._person(entry)
            case "demo":
                self._demo(entry)

    def _device(self, entry: Entry) -> None:
        fields = entry.fields
        match entry.event:
            case "status":
                self.state, self.light, self.light_since = str(fields["state"]), str(fields["light"]), entry.t
                self.muted = bool(fields.get("muted"))
            case "state":
                self.state, self.why = str(fields["state"]), str(fields.get("why", ""))
            case "light":
                self.light, self.light_since = str(fields["light"]), entry.t
            case "level":
                self.mic_dbfs, self.speaker_dbfs = float(fields["mic_dbfs"]), float(fields["speaker_dbfs"])
            case "mute":
                self.muted = bool(fields.get("muted"))
            case "caption":
                self._caption(str(fields.get("speaker")), str(fields.get("line") or fields.get("text") or ""))
            case "prompt":
                self.captions.append(Caption("device itself", str(fields.get("text", ""))))
            case "latency":
                self.latencies[str(fields["name"])] = float(fields["ms"])
            case "connection":
                self._wire(entry.t, up=True, kind=f"connection: {fields.get('why', '')}")

    def _caption(self, speaker: str, line: str) -> None:
        last = self.captions[-1] if self.captions else None
        if last is not None and last.speaker == speaker and line.startswith(last.text):
            last.text = line
        else:
            self.captions.append(Caption(speaker, line))

    def _message(self, entry: Entry) -> None:
        size = entry.fields.get("bytes", 0)
        up = entry.fields.get("who") == "client"
        self._wire(entry.t, up=up, kind=entry.event, size=size if isinstance(size, int) else 0)

    def _wire(self, t: float, *, up: bool, kind: str, size: int = 0) -> None:
        for last in list(self.wire)[-INTERLEAVED:]:
            if (last.up, last.kind) == (up, kind):
                last.count, last.size, last.t = last.count + 1, last.size + size, t
                return
        self.wire.append(WireLine(t, up, kind, 1, size))

    def _person(self, entry: Entry) -> None:
        if entry.event in {"press", "release"}:
            self.pressed = entry.event == "press"

    def _demo(self, entry: Entry) -> None:
        name: Any = entry.fields.get("name")
        if entry.event == "step":
            self.steps[name] = "plays"
        elif entry.event in {"done", "missed"}:
            self.steps[name] = "done" if entry.event == "done" else "missed"

"""What the flight recorder is told of a running device, and when it writes a file.

    flight = RecordedFlight(config.recorder, metrics=metrics, clock=loop.time)     # Flight() without recorder.folder
    flight.tap("up", frame)                       # every message of the line
    flight.link_up(resumed=False); flight.link_down(error)
    flight.decided(event, actions, state)         # every step of the conversation
    flight.told("fault", {"code": 1, ...})        # everything that watchers are told
    flight.button(down=True)
    flight.second()                               # once a second
    path = await flight.write("asked for")

A file is written when a fault is raised, once for each fault and no more often than the file reaches back, since a
fault that comes and goes would push out what was written at its first coming; and when somebody asks. Levels are kept
once a second, figures every `FIGURES_S` as far as they changed.

What people said is not recorded (unless `recorder.captions` is set): questions and announcements are counted in
characters, names that people give to timers too. With `captions` the memory is emptied at a visitor's end in kiosk
mode (`visitor_left`); without, nothing of a visitor is in it, and it is kept, so that a fault that took several
visitors to come shows whole.

All belongs to the loop's thread; files are written in another.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from edge_agent.config import Recorder as Settings
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.errors import AgentError, Stop
from edge_agent.service.metrics import Metrics
from edge_agent.service.recorder import Recorder

FIGURES_S = 10.0  # a day of figures is in the metrics; here they only date a change
LEVEL_S = 1.0  # of the ten readings a second that watchers get, one is enough to see who was heard

log = logging.getLogger("edge_agent")

_OWN_WORDS = (do.Show, do.Cue, do.Say, do.Flush, ev.LinkDown, ev.FaultRaised, ev.BudgetLow, ev.BudgetSpent)
"""Events and actions whose texts are the device's own."""

_OWN_TALES = frozenset(
    {
        "state", "light", "turn", "connection", "conversation", "healing", "fault", "fault over", "ignored", "defect",
        "prompt", "latency", "tool", "usage", "budget",
    }
)  # fmt: skip
"""What is told, or reported by the conversation, in the device's own words; any other text may be somebody's."""

_OWN_FIELDS = frozenset({"event", "kind", "phase", "speaker"})
"""Fields that hold one of a few words of the device's, whatever they are told of."""


class Flight:
    """What a device tells of itself; by itself it keeps nothing of that."""

    tap: Callable[[str, bytes], None] | None = None
    """Sees every message of the line, as ("up" or "down", message)."""
    records = False
    """Whether it keeps what it is told; then the sound's levels are wanted although nobody watches."""

    def link_up(self, *, resumed: bool) -> None:
        """A connection is set up."""

    def link_down(self, error: AgentError) -> None:
        """A connection could not be opened, or was lost; a close code and its reason are the service's."""

    def link_closed(self) -> None:
        """The device closed the connection itself."""

    def decided(self, event: ev.Event, actions: Iterable[do.Action], state: str) -> None:
        """The conversation took an event."""

    def told(self, event: str, fields: Mapping[str, Any]) -> None:
        """Watchers are told something."""

    def button(self, *, down: bool) -> None:
        """The button moved."""

    def second(self) -> None:
        """A second has passed."""

    def visitor_left(self) -> None:
        """A visitor's conversation is over, and what it held is wiped."""

    async def write(self, why: str) -> Path | None:  # noqa: ARG002  nothing is there to be written
        """Write a file now; returns it, None if it could not be written (the log says why).

        Raises:
            Stop: the recorder is off.
        """
        raise Stop("The flight recorder is off; name a folder in recorder.folder and start the device again.")

    async def close(self) -> None:
        """Wait for files that are being written."""


class RecordedFlight(Flight):
    """One device's recorder, and the occasions.

    Args:
        settings: the table [recorder].
        metrics: gives the figures.
        clock: monotonic seconds, the one of the watch events.
    """

    records = True

    def __init__(self, settings: Settings, *, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.recorder = Recorder(
            Path(settings.folder),
            minutes=settings.minutes,
            max_mb=settings.max_mb,
            captions=settings.captions,
            clock=clock,
        )
        self._span_s = settings.minutes * 60
        self._metrics = metrics
        self._clock = clock
        self._figures: dict[str, Any] = {}
        self._figures_at = -math.inf
        self._level_at = -math.inf
        self._written: dict[Any, float] = {}
        self._writing: set[asyncio.Task[Path | None]] = set()
        self.tap = self.recorder.wire

    def link_up(self, *, resumed: bool) -> None:
        """A connection is set up."""
        self.recorder.note("link", up=True, resumed=resumed)

    def link_down(self, error: AgentError) -> None:
        """A connection could not be opened, or was lost; a close code and its reason are the service's."""
        self.recorder.note(
            "link",
            up=False,
            error=type(error).__name__,
            code=getattr(error, "code", None),
            reason=getattr(error, "reason", ""),
            text=str(error),
        )

    def link_closed(self) -> None:
        """The device closed the connection itself."""
        self.recorder.note("link", up=False, error=None)

    def decided(self, event: ev.Event, actions: Iterable[do.Action], state: str) -> None:
        """The conversation took an event; pieces of sound that changed nothing are left out."""
        done = list(actions)
        if isinstance(event, ev.AnswerAudio | ev.Tick) and all(isinstance(action, do.Play) for action in done):
            return
        self.recorder.note(
            "decision", event=self._described(event), actions=[self._described(one) for one in done], state=state
        )

    def told(self, event: str, fields: Mapping[str, Any]) -> None:
        """Watchers are told something; a fault is a reason to write."""
        now = self._clock()
        if event == "level":
            if now - self._level_at < LEVEL_S:
                return
            self._level_at = now
        shown = fields if event in _OWN_TALES else {name: self._kept(name, value) for name, value in fields.items()}
        self.recorder.note("told", event=event, fields=shown)
        if event == "fault" and not fields.get("over"):
            code = fields.get("code")
            if code is not None and now - self._written.get(code, -math.inf) >= self._span_s:
                self._written[code] = now
                task = asyncio.get_running_loop().create_task(self.write(f"fault {code}: {fields.get('text', '')}"))
                self._writing.add(task)
                task.add_done_callback(self._writing.discard)

    def button(self, *, down: bool) -> None:
        """The button moved."""
        self.recorder.note("button", down=down)

    def second(self) -> None:
        """A second has passed."""
        now = self._clock()
        if now - self._figures_at < FIGURES_S:
            return
        self._figures_at = now
        figures = self._metrics.figures()
        changed = {name: value for name, value in figures.items() if self._figures.get(name) != value}
        self._figures = figures
        self.recorder.note("figures", figures=changed)

    def visitor_left(self) -> None:
        """A visitor's conversation is over, and what it held is wiped."""
        if self.recorder.captions:
            self.recorder.wipe()

    async def write(self, why: str) -> Path | None:
        """Write a file now; returns it, None if it could not be written (the log says why)."""
        path = await asyncio.to_thread(self.recorder.dump, why)
        if path is not None:
            log.info("flight recorder: %s", path)
        return path

    async def close(self) -> None:
        """Wait for files that are being written."""
        if self._writing:
            await asyncio.wait(list(self._writing))

    def _described(self, thing: ev.Event | do.Action) -> dict[str, Any]:
        own = thing.event in _OWN_TALES if isinstance(thing, do.Report) else isinstance(thing, _OWN_WORDS)
        fields: dict[str, Any] = {"is": type(thing).__name__}
        for field in dataclasses.fields(thing):
            value = getattr(thing, field.name)
            if isinstance(value, enum.Enum):
                fields[field.name] = value.value
            elif value is None or isinstance(value, bool | int | float | str):
                fields[field.name] = value if own else self._kept(field.name, value)
        return fields

    def _kept(self, name: str, value: Any) -> Any:
        """Return what may be recorded of a field that may hold somebody's words."""
        return value if name in _OWN_FIELDS else self.recorder.words(value)

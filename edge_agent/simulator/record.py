"""What the twin remembers of every session, for tests and for the demo's timeline.

`SessionRecord` fills while the session runs and stays after its end. Sound is 16 kHz s16le mono in the order received,
whatever rate the client sent. `marks` is the ordered log of every field of every message in both directions, with the
monotonic time at which it was received or handed to the socket; kinds are the wire's own names ("activityStart",
"audio", "interrupted", "turnComplete", ...). With a `Limits` the memory stays bounded: the oldest is dropped and
counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from edge_agent.simulator.script import Entry
from edge_agent.simulator.sound import BYTES_PER_SAMPLE, HEARD_RATE

Who = Literal["client", "server"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one session may keep; None keeps everything."""

    audio_s: float | None = None
    marks: int | None = None
    images: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """One field of one message: when, who sent it, its name on the wire, and what is worth knowing of it."""

    t: float  # seconds on the twin's clock, time.monotonic() unless another was given
    who: Who
    kind: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class SessionRecord:
    """One WebSocket connection, from handshake to close."""

    number: int  # from 1
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case; keys and tokens replaced
    key_in_query: bool = False
    setup: dict[str, Any] = field(default_factory=dict)
    audio: bytearray = field(default_factory=bytearray)
    audio_dropped: int = 0  # bytes no longer kept
    audio_turns: list[bytes] = field(default_factory=list)  # the sound of each spoken turn
    stray_audio: int = 0  # bytes received with manual turns while no activity was open
    images: list[bytes] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # typed by the person: realtime and client content
    responses: dict[str, Any] = field(default_factory=dict)  # tool responses by call id
    marks: deque[Mark] = field(default_factory=deque)
    marked: int = 0  # marks ever made, dropped ones included
    violations: list[str] = field(default_factory=list)
    history: list[Entry] = field(default_factory=list)
    handles: list[str] = field(default_factory=list)  # issued
    resumed_from: str = ""
    closed: tuple[int, str] | None = None  # code and reason; 1006 without a close frame
    closed_by: Who | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def open(self) -> bool:
        """True until the connection has ended."""
        return self.closed is None

    def kinds(self, who: Who | None = None) -> list[str]:
        """Return the kinds of all marks in order, of one side or of both."""
        return [mark.kind for mark in self.marks if who in (None, mark.who)]

    def first(self, kind: str, *, after: float = float("-inf")) -> Mark | None:
        """Return the first mark of a kind later than a time, None if there is none."""
        return next((mark for mark in self.marks if mark.kind == kind and mark.t > after), None)

    def mark(self, t: float, who: Who, kind: str, **detail: Any) -> None:
        """Add to the log."""
        self.marks.append(Mark(t, who, kind, detail))
        self.marked += 1
        while self.limits.marks is not None and len(self.marks) > self.limits.marks:
            self.marks.popleft()

    def add_audio(self, pcm: bytes) -> None:
        """Add received sound."""
        self.audio += pcm
        if self.limits.audio_s is not None:
            surplus = len(self.audio) - round(self.limits.audio_s * HEARD_RATE) * BYTES_PER_SAMPLE
            if surplus > 0:
                del self.audio[:surplus]
                self.audio_dropped += surplus

    def add_turn(self, pcm: bytes) -> None:
        """Add the sound of a finished turn."""
        self.audio_turns.append(pcm)
        if self.limits.audio_s is not None:
            room = self.limits.audio_s * HEARD_RATE * BYTES_PER_SAMPLE
            while len(self.audio_turns) > 1 and sum(map(len, self.audio_turns)) > room:
                self.audio_dropped += len(self.audio_turns.pop(0))

    def add_image(self, image: bytes) -> None:
        """Add a received still."""
        self.images.append(image)
        if self.limits.images is not None:
            del self.images[: len(self.images) - self.limits.images]


@dataclass(slots=True)
class _Snapshot:
    history: tuple[Entry, ...]
    model: str
    lineage: int
    issued: float


class Handles:
    """The service's memory of resumable sessions: a handle is a snapshot of the conversation when it was issued.

    Sessions that were resumed from one another share a lineage; while one of a lineage is open, none can be resumed.
    """

    LIFETIME_S = 7200.0  # a handle is valid for two hours
    KEPT = 256  # handles; a twin may run for days

    def __init__(self) -> None:
        self._snapshots: dict[str, _Snapshot] = {}
        self._open: dict[int, int] = {}
        self._issued = 0

    def issue(self, history: tuple[Entry, ...], *, model: str, lineage: int, now: float) -> str:
        """Return a new handle to this state of the conversation."""
        self._issued += 1
        handle = f"twin-handle-{lineage}-{self._issued}"
        self._snapshots[handle] = _Snapshot(history, model, lineage, now)
        if len(self._snapshots) > self.KEPT:
            del self._snapshots[next(iter(self._snapshots))]
        return handle

    def find(self, handle: str, *, now: float) -> _Snapshot | None:
        """Return what a handle stands for, None if it is unknown or too old."""
        snapshot = self._snapshots.get(handle)
        return snapshot if snapshot is not None and now - snapshot.issued <= self.LIFETIME_S else None

    def enter(self, lineage: int) -> None:
        """Note that a session of this lineage is open."""
        self._open[lineage] = self._open.get(lineage, 0) + 1

    def leave(self, lineage: int) -> None:
        """Note that it has ended."""
        self._open[lineage] = self._open.get(lineage, 1) - 1

    def is_open(self, lineage: int) -> bool:
        """Tell whether a session of this lineage is open."""
        return self._open.get(lineage, 0) > 0

"""Plays the service's side of a recording of the flight recorder, so that a fault of the field becomes a test.

    recording = load(Path("flight-20261122-101500.jsonl"))
    async with Twin(replay=recording) as twin: ...

Each connection of the recording answers one connection of the client, in order: a handshake that was refused is refused
again, a session that was set up says again what the service said. Its messages are timed from the client's message
before them: the setup, the marks of a turn, typed text, the answers of functions. When the client gets there sooner or
later than the recorded one, the service's side moves with it; what it had not said by then is dropped if it is sound,
and said at once otherwise. Messages that the recording does not expect are passed over. The end comes as it came: a
close code with its reason, or a cut. Connections beyond the last one are served by the script.

Sound becomes a tone of the same length, words become as many letters, what could not be read stays unreadable. What the
client does wrong is noted, and closes the session, as in any other.
"""

from __future__ import annotations

import base64
import heapq
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.simulator import frames, schema
from edge_agent.simulator.frames import Close, Cut, Emit, Out, Style
from edge_agent.simulator.performer import Answer
from edge_agent.simulator.record import SessionRecord
from edge_agent.simulator.schema import Violation
from edge_agent.simulator.script import Step, Turn
from edge_agent.simulator.scriptfile import ScriptError
from edge_agent.simulator.sound import tone

FORMAT = 1  # the highest that is understood
MAX_BYTES = 256 * 1024 * 1024  # a recording has a few megabytes

_REFUSED = {"CredentialError": 403, "Overloaded": 429, "ServiceRefused": 404, "Blocked": 403, "Retry": 503}
"""What the recorder names an error before any setup, and the HTTP status that leads to it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A handshake that did not come about: an HTTP status, 0 for a line that was cut."""

    status: int
    page: bool = False
    """Something on the way answered, with a page of HTML."""


@dataclass(slots=True)
class Segment:
    """What the service said after one message of the client, with the seconds since that message."""

    kind: str
    outs: list[tuple[float, Out]] = field(default_factory=list)


@dataclass(slots=True)
class Connection:
    """One session: what the service said, message by message of the client; the first segment is the setup's."""

    segments: list[Segment] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Recording:
    """The service's side of a recording."""

    why: str
    attempts: tuple[Refused | Connection, ...]


def load(path: Path) -> Recording:
    """Read a file of the flight recorder.

    Raises:
        ScriptError: it cannot be read or is something else; one sentence.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ScriptError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB; that is no flight recording")
        lines = path.read_bytes().decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path}: cannot be read: {error}") from None
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if not isinstance(entry, dict):
            raise ScriptError(f"{path}: line {number} is not a JSON object")
        entries.append(entry)
    if not entries or type(entries[0].get("flight")) is not int:
        raise ScriptError(f"{path}: not a file of the flight recorder; its first line names the format")
    if entries[0]["flight"] > FORMAT:
        raise ScriptError(f"{path}: format {entries[0]['flight']} is newer than this program, which knows {FORMAT}")
    try:
        return Recording(str(entries[0].get("why", "")), _Reader(entries[1:]).attempts())
    except (TypeError, ValueError, AttributeError, KeyError):
        raise ScriptError(f"{path}: something in it is not as the flight recorder writes it") from None


class _Reader:
    """Cuts entries into connections, each with the messages of the service behind those of the client."""

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._attempts: list[Refused | Connection] = []
        self._here: Connection | None = None
        self._since = 0.0
        for number, entry in enumerate(entries):
            at = float(entry.get("t", self._since))
            message = entry.get("m")
            if entry.get("kind") == "wire" and isinstance(message, dict):
                if entry.get("dir") == "up":
                    self._up(message, at, entries[number + 1 :])
                elif self._here is not None:
                    self._here.segments[-1].outs.append((max(0.0, at - self._since), _out(message)))
            elif entry.get("kind") == "link" and entry.get("up") is False:
                self._down(entry, at)

    def attempts(self) -> tuple[Refused | Connection, ...]:
        return tuple(self._attempts)

    def _up(self, message: dict[str, Any], at: float, after: list[dict[str, Any]]) -> None:
        kind = _kind(message)
        if kind == "setup":
            self._here = Connection()
            self._attempts.append(self._here)
            self._since = _begin(after, at)
        elif kind:
            self._since = at
        if kind and self._here is not None:
            self._here.segments.append(Segment(kind))

    def _down(self, entry: dict[str, Any], at: float) -> None:
        here, self._here = self._here, None
        error, code = entry.get("error"), entry.get("code")
        if error is None:
            return  # the client closed it, and will do so again
        if here is None:
            self._attempts.append(Refused(_REFUSED.get(str(error), 0), page=error == "Blocked"))
            return
        end: Out = Close(code, str(entry.get("reason", ""))) if type(code) is int and code != 1006 else Cut()
        here.segments[-1].outs.append((max(0.0, at - self._since), end))


def _begin(after: list[dict[str, Any]], setup_at: float) -> float:
    """When the service's clock starts: at the setup, or later if the recorder has forgotten what followed it."""
    for entry in after:
        if entry.get("kind") == "wire" and isinstance(entry.get("m"), dict):
            if entry["m"].keys() & {"setupComplete", "setup"}:
                return setup_at
            return float(entry.get("t", setup_at))
        if entry.get("kind") == "link":
            return setup_at
    return setup_at


def _kind(message: dict[str, Any]) -> str:
    """The name of a client's message that the service acts upon; "" for sound and pictures."""
    for name in ("setup", "clientContent", "toolResponse"):
        if name in message:
            return name
    realtime = message.get("realtimeInput")
    if isinstance(realtime, dict):
        for name in ("activityStart", "activityEnd", "audioStreamEnd", "text"):
            if name in realtime:
                return name
    return ""


def _out(message: dict[str, Any]) -> Out:
    if "unreadable" in message:
        return frames.emit_raw(b"?" * int(message["unreadable"].get("bytes", 1)), Style())
    restored: dict[str, Any] = _restored(message)
    return frames.emit(restored, Style())


def _restored(value: Any) -> Any:
    """Put tones and letters where the recorder left only lengths."""
    if isinstance(value, list):
        return [_restored(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"chars"}:
        return "x" * int(value["chars"])
    if value.keys() == {"ms", "rate"}:
        pcm = tone(value["ms"] / 1000, rate=value["rate"])
        return {"mimeType": f"audio/pcm;rate={value['rate']}", "data": base64.b64encode(pcm).decode()}
    if value.keys() == {"bytes", "mimeType"}:
        return {"mimeType": value["mimeType"], "data": base64.b64encode(bytes(value["bytes"])).decode()}
    return {key: _restored(inner) for key, inner in value.items()}


class ReplaySession:
    """One session of a recording; the server drives it like a `Session`."""

    def __init__(self, connection: Connection, *, record: SessionRecord, platform: bool = False) -> None:
        self.record = record
        self.wanted: tuple[Answer, Turn] | None = None
        self._segments = connection.segments
        self._platform = platform
        self._at = -1
        self._heap: list[tuple[float, int, Out]] = []
        self._order = itertools.count()
        self._over = False

    @property
    def due(self) -> float | None:
        """When `tick` has something to do; None: nothing planned."""
        return self._heap[0][0] if self._heap and not self._over else None

    def stalled(self, _now: float) -> bool:
        """Tell whether pongs are held back: never."""
        return False

    def receive(self, frame: str | bytes, now: float) -> None:
        """Take one message from the client and go on to what the service said after it."""
        if self._over:
            return
        try:
            kind, body = schema.parse(frame, platform=self._platform)
        except Violation as violation:
            self.record.violations.append(f"{violation.code} {violation.reason}")
            self.record.mark(now, "client", "violation", code=violation.code, reason=violation.reason)
            self._plan(now, Close(violation.code, violation.reason))
            return
        self._note(kind, body, now)
        name = _kind({kind: body})
        if name:
            self._advance(name, now)

    def tick(self, now: float) -> list[Out]:
        """Return what is to be sent now, in order, and log it."""
        outs: list[Out] = []
        while self._heap and self._heap[0][0] <= now and not self._over:
            out = heapq.heappop(self._heap)[2]
            outs.append(out)
            if isinstance(out, Emit):
                for kind, detail in out.described:
                    self.record.mark(now, "server", kind, **detail)
            else:
                self._over = True
                what = {"code": out.code, "reason": out.reason} if isinstance(out, Close) else {}
                self.record.mark(now, "server", "close" if what else "cut", **what)
        return outs

    def lost(self, now: float) -> None:
        """Note that the connection has ended."""
        self._over = True
        self.record.mark(now, "server", "closed")

    def perform(self, steps: Iterable[Step], now: float) -> None:
        """Refuse: a recording is played as it is.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError(f"a recording is playing; {len(list(steps))} steps cannot be done in it at {now:.1f} s")

    def alive(self, _answer: Answer) -> bool:
        """Tell whether a script's answer is being given: never."""
        return False

    def feed(self, answer: Answer, steps: Iterable[Step], now: float) -> None:
        """Take a brain's steps: there is no brain."""

    def finish(self, answer: Answer, now: float) -> None:
        """Take the end of a brain's steps: there is no brain."""

    def _advance(self, name: str, now: float) -> None:
        found = next((n for n in range(self._at + 1, len(self._segments)) if self._segments[n].kind == name), None)
        if found is None:
            return
        left, self._heap = sorted(self._heap), []
        for _, _, out in left:
            if not (isinstance(out, Emit) and any(kind == "audio" for kind, _ in out.described)):
                self._plan(now, out)
        self._at = found
        outs = self._segments[found].outs
        said = {kind for _, out in outs if isinstance(out, Emit) for kind, _ in out.described}
        ends = any(not isinstance(out, Emit) for _, out in outs)
        if name == "setup" and "setupComplete" not in said and not (ends and not said):
            self._plan(now, frames.emit({"setupComplete": {}}, Style()))  # the recorder has forgotten it
        for delay, out in outs:
            self._plan(now + delay, out)

    def _plan(self, at: float, out: Out) -> None:
        heapq.heappush(self._heap, (at, next(self._order), out))

    def _note(self, kind: str, body: dict[str, Any], now: float) -> None:
        """Keep what the client sent, as a session does."""
        if kind == "setup":
            self.record.setup = body
            self.record.resumed_from = body.get("sessionResumption", {}).get("handle", "")
        if kind == "toolResponse":
            for response in body.get("functionResponses", []):
                self.record.responses[response.get("id", "")] = response.get("response", {})
        if kind != "realtimeInput":
            self.record.mark(now, "client", kind)
            return
        for name, value in body.items():
            if name == "audio":
                self.record.add_audio(value.get("data", b""))
            elif name == "video":
                self.record.add_image(value.get("data", b""))
            elif name == "text":
                self.record.texts.append(value)
            self.record.mark(now, "client", name)

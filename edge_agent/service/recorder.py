"""The flight recorder: the last minutes before a fault, in memory, and in a file once there is a reason.

    recorder = Recorder(Path("/var/lib/edge-agent/flights"), minutes=5, max_mb=8)
    recorder.wire("up", frame)                    # every message of the line, both ways
    recorder.note("state", state="speaking")      # whatever else is worth knowing
    path = await asyncio.to_thread(recorder.dump, "fault 1")

What is kept of a message is its shape: sound becomes {"ms": ...}, a picture {"bytes": ...}, and what people and the
model said {"chars": ...}, unless `captions` asks for the words. The rule is the safe way round: outside the setup every
string is taken for words, but for the few fields that are known to hold none (ids, names of functions, kinds, reasons).
The setup is kept whole, with the owner's instruction and tools. Resumption handles are replaced by "handle-1",
"handle-2", so that it shows which was used; secrets of the log are masked. `docs/recorder.md` describes the file.

The memory is bounded in time and in bytes: a fifth of `max_mb`, so that the newest `FILES` files fit into it. Files are
written whole or not at all, and are readable for the device's own user only. `wire` and `note` cost some ten
microseconds and never wait for the disk; `dump` blocks and may run in another thread.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from edge_agent import __version__
from edge_agent.service import logs
from edge_agent.service.state import write_atomically

FORMAT = 1  # of the file; a reader refuses a higher one
FILES = 5  # the newest are kept
MERGE_S = 1.0  # microphone sound of this long is one line; it comes 25 times a second
LONGEST = 400  # characters of a string that is kept; a sentence for a person is shorter

log = logging.getLogger(__name__)

_KEPT = frozenset(
    {
        "mimeType", "id", "ids", "name", "role", "timeLeft", "interactionStatus", "turnCompleteReason", "modality",
        "type", "scheduling", "audioOffset", "vadSignalType", "languageCode", "status", "code", "sessionId",
    }
)  # fmt: skip
"""Fields of messages whose strings are the wire's own words."""

_CONTENT = frozenset({"args", "response"})
"""Fields below which nothing is the wire's own."""

_HANDLES = frozenset({"handle", "newHandle"})

_SOUND_UP = re.compile(rb'\{"realtimeInput":\{"audio":\{"mimeType":"audio/pcm;rate=(\d{4,6})","data":"')

_TAIL = b'"}}}'


class Recorder:
    """One device's recorder; `wire`, `note` and `wipe` belong to one thread, `dump` may run in any other.

    Args:
        folder: where files go; made when missing.
        minutes: how far back they reach.
        max_mb: room for all of them, in 1,000,000 bytes.
        captions: keep words.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float = 5.0,
        max_mb: float = 8.0,
        captions: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.captions = captions
        self._span_s = minutes * 60
        self._room = round(max_mb * 1e6)
        self._limit = self._room // FILES
        self._clock = clock
        self._lines: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._setup: tuple[float, bytes] | None = None
        self._sound: dict[str, Any] | None = None
        self._handles: dict[str, str] = {}
        self._guard = threading.Lock()

    def wire(self, direction: str, frame: bytes | bytearray | memoryview | str) -> None:
        """Record one message of the line: "up" what we sent, "down" what came."""
        data = frame.encode() if isinstance(frame, str) else bytes(frame)
        now = self._clock()
        if direction == "up":
            sound = _SOUND_UP.match(data)
            if sound:
                coded = data[sound.end() : -len(_TAIL)].rstrip(b"=")
                self._hear(now, len(coded) * 3 // 4 / 2 * 1000 / int(sound[1]))
                return
        try:
            tree = msgspec.json.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            tree = {"unreadable": {"bytes": len(data)}}
        if isinstance(tree, dict) and "setup" in tree:
            self._setup = self._add(now, "wire", {"dir": direction, "m": self._whole(tree)})
        else:
            self._add(now, "wire", {"dir": direction, "m": self._shape(tree, "")})

    def note(self, kind: str, **fields: Any) -> None:
        """Record something else; strings are masked and cut, and should hold nothing that people said."""
        self._add(self._clock(), kind, {key: self._plain(value) for key, value in fields.items()})

    def words(self, value: Any) -> Any:
        """Return what may be recorded of something that was said: a text, or JSON with texts at any depth."""
        if isinstance(value, dict):
            return {name: self.words(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.words(inner) for inner in value]
        if not isinstance(value, str):
            return value
        return logs.secrets.mask(value)[:LONGEST] if self.captions else {"chars": len(value)}

    def wipe(self) -> None:
        """Forget everything that is in memory."""
        with self._guard:
            self._lines.clear()
            self._bytes = 0
            self._setup = self._sound = None
            self._handles.clear()

    def dump(self, why: str) -> Path | None:
        """Write what is in memory to a new file; blocks for as long as the disk takes.

        Returns:
            The file; None when it cannot be written (the log says why).
        """
        with self._guard:
            self._flush()
            lines = [line for _, line in self._lines]
            if self._setup is not None and (not self._lines or self._setup[0] < self._lines[0][0]):
                lines.insert(0, self._setup[1])
        now = datetime.now(UTC)
        head = {
            "flight": FORMAT,
            "program": f"edge-agent {__version__}",
            "written": now.isoformat(timespec="seconds"),
            "t": round(self._clock(), 3),
            "why": logs.secrets.mask(why)[:LONGEST],
            "captions": self.captions,
        }
        path = self.folder / f"flight-{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}.jsonl"
        try:
            write_atomically(path, b"".join([_line(head), *lines]))
            self._prune()
        except OSError as error:
            log.warning("the flight recorder cannot write to %s: %s", self.folder, error.strerror or error)
            return None
        return path

    def _hear(self, now: float, ms: float) -> None:
        with self._guard:
            sound = self._sound
            if sound is not None and now - sound["t"] < MERGE_S:
                sound["n"] += 1
                sound["m"]["realtimeInput"]["audio"]["ms"] += ms
                sound["until"] = round(now, 3)
                return
            self._flush()
            audio = {"realtimeInput": {"audio": {"ms": ms}}}
            self._sound = {"t": round(now, 3), "kind": "wire", "dir": "up", "n": 1, "m": audio, "until": round(now, 3)}

    def _add(self, now: float, kind: str, fields: dict[str, Any]) -> tuple[float, bytes]:
        entry = (now, _line({"t": round(now, 3), "kind": kind, **fields}))
        with self._guard:
            self._flush()
            self._keep(entry)
        return entry

    def _flush(self) -> None:
        """Close the line of sound that is being added to."""
        sound, self._sound = self._sound, None
        if sound is not None:
            audio = sound["m"]["realtimeInput"]["audio"]
            audio["ms"] = round(audio["ms"], 1)
            self._keep((sound["t"], _line(sound)))

    def _keep(self, entry: tuple[float, bytes]) -> None:
        self._lines.append(entry)
        self._bytes += len(entry[1])
        oldest = entry[0] - self._span_s
        while self._lines and (self._bytes > self._limit or self._lines[0][0] < oldest):
            self._bytes -= len(self._lines.popleft()[1])

    def _whole(self, value: Any, key: str = "") -> Any:
        """A setup: with its words, without handles and secrets."""
        if isinstance(value, dict):
            return {name: self._whole(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._whole(inner, key) for inner in value]
        if isinstance(value, str):
            return self._alias(value) if key in _HANDLES else logs.secrets.mask(value)
        return value

    def _shape(self, value: Any, key: str) -> Any:  # noqa: PLR0911  one per kind
        """A message: without what was said, heard or seen."""
        if key == "response" and not self.captions:  # even its keys may be names of somebody's rooms
            return {"chars": len(json.dumps(value))}
        if key in _CONTENT:
            return self.words(value)
        if isinstance(value, dict):
            if isinstance(value.get("data"), str) and isinstance(value.get("mimeType"), str):
                return _blob(value["mimeType"], value["data"])
            return {name: self._shape(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._shape(inner, key) for inner in value]
        if isinstance(value, str) and key in _HANDLES:
            return self._alias(value)
        if isinstance(value, str) and key in _KEPT:
            return logs.secrets.mask(value)[:LONGEST]
        return self.words(value)

    def _alias(self, handle: str) -> str:
        if not handle:
            return ""
        return self._handles.setdefault(handle, f"handle-{len(self._handles) + 1}")

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return logs.secrets.mask(value)[:LONGEST]
        if isinstance(value, dict):
            return {str(key): self._plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(inner) for inner in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None  # JSON has no word for it
        return value if value is None or isinstance(value, bool | int | float) else str(value)[:LONGEST]

    def _prune(self) -> None:
        """Keep the newest files, as far as there is room for them."""
        found = sorted(self.folder.glob("flight-*.jsonl"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        room = self._room
        for number, path in enumerate(found):
            room -= path.stat().st_size
            if number >= FILES or (room < 0 and number > 0):
                path.unlink(missing_ok=True)


def _blob(mime: str, data: str) -> dict[str, Any]:
    size = len(data.rstrip("=")) * 3 // 4
    rate = re.search(r"rate=(\d{4,6})", mime)
    if mime.lower().startswith("audio/pcm"):
        hertz = int(rate[1]) if rate else 24_000
        return {"ms": round(size / 2 * 1000 / hertz, 1), "rate": hertz}
    return {"bytes": size, "mimeType": mime[:60]}


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":"), ensure_ascii=False, default=str).encode(errors="replace") + b"\n"

"""What happened during a demonstration, from every side, on one clock.

    journal = Journal()
    journal.add("person", "says", t=time.monotonic(), text="what time is it")
    journal.wait(lambda e: e.event == "state" and e.fields["state"] == "speaking", after=t, timeout_s=10)
    journal.write(Path("events.jsonl"), zero=t0)

Sources: `person` (speech, button), `device` (the daemon's watch stream), `twin` (messages on the wire, as the service
sees them), `demo` (steps and their outcome). Times are `time.monotonic()`, which all processes of a machine share.
Entries may be added from any thread. The file is ordered by time; its times count from `zero`, the first sample of the
recording.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Source = Literal["person", "device", "twin", "demo"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened."""

    t: float
    source: Source
    event: str
    fields: dict[str, Any] = field(default_factory=dict)


class Journal:
    """The entries in the order of their arrival, and a way to wait for one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._entries: list[Entry] = []
        self._changed = threading.Condition()
        self._failure = ""

    def add(self, source: Source, event: str, *, t: float | None = None, **fields: Any) -> Entry:
        """Add an entry, now or at `t`."""
        entry = Entry(self.clock() if t is None else t, source, event, fields)
        with self._changed:
            self._entries.append(entry)
            self._changed.notify_all()
        return entry

    def fail(self, sentence: str) -> None:
        """End every wait with this sentence: nothing more will come."""
        with self._changed:
            self._failure = self._failure or sentence
            self._changed.notify_all()

    @property
    def failure(self) -> str:
        """Why nothing more will come; empty while something may."""
        return self._failure

    def entries(self) -> list[Entry]:
        """Return all entries so far, ordered by time."""
        with self._changed:
            return sorted(self._entries, key=lambda entry: entry.t)

    def news(self, seen: int) -> list[Entry]:
        """Return what was added after the first `seen` entries, in the order of arrival."""
        with self._changed:
            return self._entries[seen:]

    def wait(self, wanted: Callable[[Entry], bool], *, after: float, timeout_s: float) -> Entry | None:
        """Return the first entry later than `after` that is wanted; None when none came in time or none will."""
        deadline = self.clock() + timeout_s
        seen = 0
        with self._changed:
            while True:
                for entry in self._entries[seen:]:
                    if entry.t > after and wanted(entry):
                        return entry
                seen = len(self._entries)
                left = deadline - self.clock()
                if left <= 0 or self._failure:
                    return None
                self._changed.wait(left)

    def write(self, path: Path, *, zero: float) -> None:
        """Write all entries, one JSON object a line, times in seconds from `zero`."""
        with path.open("w", encoding="utf-8") as file:
            for entry in self.entries():
                file.write(line(entry, zero) + "\n")


def line(entry: Entry, zero: float) -> str:
    """Return an entry as one line of JSON."""
    tree = {"t": round(entry.t - zero, 4), "from": entry.source, "event": entry.event, **entry.fields}
    return json.dumps(tree, ensure_ascii=False, default=str)


def select(entries: Iterable[Entry], source: Source, *events: str) -> list[Entry]:
    """Return the entries of one source, of these events if any are named."""
    return [entry for entry in entries if entry.source == source and (not events or entry.event in events)]

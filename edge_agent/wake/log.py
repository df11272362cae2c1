"""What the wake words heard lately: when, which, how sure, and what came of it. For `ctl wake-log`. Pure.

    log = WakeLog()
    entry = log.add(heard, wall=time.time(), t=time.monotonic())     # every Heard, near misses too
    entry.outcome = "turn"                                           # once it is known
    log.answer()                                                     # what the control socket says

Nothing of the sound is kept, and nothing outlives the process. A hit stays "ignored" until somebody says what came of
it; a near miss has no outcome.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from edge_agent.wake.detector import Heard

LENGTH = 100  # entries: some days of a quiet household, an evening of a wrongly chosen word

Outcome = Literal["turn", "nobody spoke", "stopped", "muted", "ignored", ""]
"""Somebody spoke, and a turn was opened; the device listened, and nobody did; what sounded was stopped; the device was
mute; nothing; not yet known or a near miss."""


@dataclass(slots=True)
class Entry:
    """One line: `at` in seconds of the wall clock, `t` monotonic, `score` 0 to 1."""

    at: float
    t: float
    word: str
    kind: str
    score: float
    fired: bool
    outcome: Outcome


class WakeLog:
    """The last entries, oldest first. Belongs to the loop's thread."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=LENGTH)

    def add(self, heard: Heard, *, wall: float, t: float) -> Entry:
        """Note a hit or a near miss; return the entry, whose outcome may be set later, also after it has left the log.

        Args:
            heard: what the detector told.
            wall: seconds since 1970; may be wrong, as clocks of devices are.
            t: monotonic seconds, as in `ctl status`.
        """
        outcome: Outcome = "ignored" if heard.fired else ""
        entry = Entry(wall, t, heard.word, heard.kind, round(heard.score, 3), heard.fired, outcome)
        self._entries.append(entry)
        return entry

    def answer(self) -> dict[str, Any]:
        """Return {"heard": [...]}, oldest first: JSON values only."""
        return {"heard": [asdict(entry) for entry in self._entries]}

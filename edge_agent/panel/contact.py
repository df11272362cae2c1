"""A debounced contact: raw levels with their times in, clean edges out. Pure.

A mechanical contact bounces for some milliseconds when it closes and when it opens. A level counts once it has stood
unchanged for the debounce time; the edge then carries the moment from which it stood, not the moment at which it was
believed.

    contact = Contact(debounce_ms=20)
    edge = contact.level(True, t)       # a raw level, reported or read back; may settle an older level
    edge = contact.check(now)           # call at contact.deadline, with the level read back where that is possible

In: every level change the pin library reports, in any multiplicity, and levels read back from the pin. Out: `Edge`s
that alternate between down and up. Promises: bounces never multiply; the level that stands last always comes out,
however late `check` is called; edge times never run backwards. Refuses nothing: a time older than the last one counts
as the last one (pin libraries report from a thread of their own).

Taps, holds, long presses and stuck buttons are decided elsewhere, from these edges.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edge:
    """A level that counts: `down` (contact closed), standing since `t` (the caller's clock, seconds)."""

    down: bool
    t: float


class Contact:
    """One contact, open at first unless `down` says otherwise.

    Args:
        debounce_ms: how long a level must stand to count, milliseconds; 0 believes every level at once.
        down: the level when watching starts; no edge is made for it.
    """

    def __init__(self, *, debounce_ms: float, down: bool = False) -> None:
        self.debounce_ms = debounce_ms
        self._down = down
        self._raw = down
        self._since = float("-inf")

    @property
    def down(self) -> bool:
        """The level that counts now."""
        return self._down

    @property
    def deadline(self) -> float | None:
        """When to call `check` next, seconds on the caller's clock; None while nothing is undecided."""
        return None if self._raw == self._down else self._since + self.debounce_ms / 1000

    def level(self, down: bool, t: float) -> Edge | None:
        """Take a raw level seen at `t` seconds; return the edge that it, or an older undecided level, settles."""
        settled = self.check(t)
        if down != self._raw:
            self._raw = down
            self._since = max(t, self._since)
        return settled or self.check(t)

    def check(self, now: float, seen: bool | None = None) -> Edge | None:
        """Return the edge that is due at `now` seconds, if any.

        `seen` is the level just read back from the pin: where it contradicts the last report, a report was swallowed,
        and the level seen is the one that has to stand from now on.
        """
        if seen is not None and seen != self._raw:
            self._raw = seen
            self._since = max(now, self._since)
        deadline = self.deadline
        if deadline is None or now < deadline:
            return None
        self._down = self._raw
        return Edge(self._down, self._since)

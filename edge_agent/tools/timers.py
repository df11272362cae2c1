"""Timers and alarms: which are set, which are due, which were missed. Pure; the clocks are passed in.

    timers = Timers(zone=ZoneInfo("Europe/Berlin"), boot="an id of this start of the machine")
    complaints = timers.load(state.section("timers"), now)
    timers.set_timer(600, "pasta", now)              # a length: kept by the steady clock
    timers.set_alarm("07:00", "school", now)         # a wall-clock time: the next one, or an ISO date and time
    due = timers.due(now)                            # due.ring, due.missed; each is told once
    timers.next_s(now)                               # when to ask again, at the latest
    state.put("timers", timers.dump(now))

`now` is a `Moment`: the wall clock, the steady clock of this start of the machine, and whether the wall clock can be
trusted. What holds:

- A timer counts on the steady clock, so it is exact although the wall clock is set in between, or was never set. After
  a power cut the wall clock tells how much is left; while that is not set yet, the timer rings at the latest when the
  rest that was saved last has gone by since the start: late rather than never.
- An alarm is an instant, found from the wall-clock time that was asked for and the rules of the time zone, daylight
  saving included. A time that the clock jumps over in spring rings an hour later by the new clock; one that comes twice
  in autumn rings the first time that is still ahead. Both the instant and what was asked are kept: when the zone or
  its rules change, the instant is found again. Without a trusted wall clock no alarm can be set and none rings.
- What is more than `LATE_S` overdue when it is noticed, after a power cut or because the wall clock jumped ahead, does
  not ring any more: it was missed, and is told so. What is less overdue rings now.

Refused with a sentence (`Stop`): more than `MAX_ENTRIES`, a name in use, a length or time out of range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any, Literal

from edge_agent.errors import Stop
from edge_agent.tools import walltime

MAX_ENTRIES = 32  # nobody keeps track of more by voice; they fit the state file with the longest names
MAX_NAME = 60  # characters: a name is spoken
MAX_TIMER_S = 7 * 86_400  # anything longer is meant as a date
MAX_AHEAD_S = 366 * 86_400  # an alarm further away is a misunderstood date
LATE_S = 600.0  # a timer this late is still of use; an hour late it only frightens
CLOCK_WAIT_S = 60.0  # after a power cut in mid-ring: how long the network may take to set the clock
MAX_MISSED = 8  # the newest; nobody wants to hear a longer list
MISSED_KEPT_S = 86_400.0  # after a day nobody needs to hear of it


@dataclass(frozen=True, slots=True)
class Moment:
    """What the clocks say at one instant."""

    wall: float
    """Seconds since 1970, UTC."""
    steady: float
    """Seconds since the machine started, or on another clock that is never set and starts again with the machine."""
    sure: bool
    """The wall clock can be trusted."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One timer or alarm."""

    name: str
    kind: Literal["timer", "alarm"]
    asked: str
    """A timer's seconds; an alarm's local wall-clock time in ISO form, or with an offset if it was asked with one."""
    wall: float | None
    """When it is due by the wall clock, seconds since 1970; None: set while that clock could not be trusted."""
    steady: float | None
    """When it is due by the steady clock, at the latest; None for an alarm."""
    by_wall: bool
    """The wall clock counts: an alarm, or a timer from before the machine started."""

    @property
    def spoken_name(self) -> str:
        """The name as a person gave it; empty for a number that was found for a nameless one."""
        return "" if self.name.isdecimal() else self.name

    def late_s(self, now: Moment) -> float | None:
        """Return for how long it has been due, seconds; negative while it is not; None: nobody can know yet."""
        known = [] if self.steady is None else [now.steady - self.steady]
        if self.by_wall and self.wall is not None and now.sure:
            known.append(now.wall - self.wall)
        return max(known, default=None)


@dataclass(frozen=True, slots=True)
class Missed:
    """Something that was due while nobody could hear it."""

    name: str
    kind: Literal["timer", "alarm"]
    wall: float | None


@dataclass(frozen=True, slots=True)
class Due:
    """What became due since the last look."""

    ring: tuple[Entry, ...] = ()
    missed: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ring or self.missed)


class Timers:
    """All timers and alarms of a device.

    Args:
        zone: The device's time zone.
        boot: An id of this start of the machine; another one means that the steady clock began again.
    """

    def __init__(self, *, zone: tzinfo, boot: str) -> None:
        self._zone = zone
        self._boot = boot
        self._waiting: list[Entry] = []
        self._ringing: list[Entry] = []
        self._missed: list[Missed] = []

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """Those that are not due yet."""
        return tuple(self._waiting)

    @property
    def ringing(self) -> tuple[Entry, ...]:
        """Those that ring until somebody stops them."""
        return tuple(self._ringing)

    def set_timer(self, duration_s: float, name: str, now: Moment) -> Entry:
        """Set a timer that rings in `duration_s` seconds; a nameless one gets the lowest free number.

        Raises:
            Stop: a sentence: the length or the name will not do, or there are too many.
        """
        if not 1 <= duration_s <= MAX_TIMER_S:
            raise Stop(f"A timer lasts from 1 second to {MAX_TIMER_S // 86_400} days; for more, set an alarm.")
        wall = now.wall + duration_s if now.sure else None
        return self._add(Entry(self._free(name), "timer", f"{duration_s:g}", wall, now.steady + duration_s, False))

    def set_alarm(self, time: str, name: str, now: Moment) -> Entry:
        """Set an alarm for `time`: HH:MM (the next one), or date and time in ISO form, with an offset or local.

        Raises:
            Stop: a sentence: no time, one in the past or too far away, no trusted clock, or as `set_timer`.
        """
        if not now.sure:
            raise Stop("This device does not know the time yet, so it cannot set an alarm. A timer works.")
        asked, wall = walltime.understood(time.strip(), self._zone, now.wall)
        if wall <= now.wall:
            raise Stop(f"{asked} has already passed; here it is {walltime.local(now.wall, self._zone)}.")
        if wall - now.wall > MAX_AHEAD_S:
            raise Stop(f"{asked} is more than a year away; an alarm must come sooner.")
        return self._add(Entry(self._free(name), "alarm", asked, wall, None, True))

    def cancel(self, name: str) -> Entry:
        """Take back the timer or alarm of this name, or stop it if it rings; upper and lower case do not matter.

        Raises:
            Stop: there is none; the sentence names those there are.
        """
        wanted = _key(name)
        for entries in (self._ringing, self._waiting):
            for entry in entries:
                if _key(entry.name) == wanted:
                    entries.remove(entry)
                    return entry
        there = ", ".join(entry.name for entry in (*self._ringing, *self._waiting)) or "none"
        raise Stop(f"There is no timer or alarm named {name[:MAX_NAME]}; there are: {there}.")

    def due(self, now: Moment) -> Due:
        """Take those that are due: to ring from now on, or missed. Each is returned once."""
        due = sorted((one for one in self._waiting if _lateness(one, now) >= 0), key=lambda one: -_lateness(one, now))
        ring = tuple(entry for entry in due if _lateness(entry, now) <= LATE_S)
        missed = tuple(entry for entry in due if _lateness(entry, now) > LATE_S)
        self._waiting = [entry for entry in self._waiting if entry not in due]
        self._ringing += ring
        self._miss(missed)
        return Due(ring, missed)

    def stop(self) -> tuple[Entry, ...]:
        """End the ringing, because somebody heard it; return what rang."""
        stopped, self._ringing = tuple(self._ringing), []
        return stopped

    def give_up(self) -> tuple[Entry, ...]:
        """End the ringing, because nobody came; what rang counts as missed."""
        unheard = self.stop()
        self._miss(unheard)
        return unheard

    def next_s(self, now: Moment) -> float | None:
        """Return in how many seconds the next one is due, as the clocks stand now; None: nothing can be told."""
        latest = max((_lateness(entry, now) for entry in self._waiting), default=-math.inf)
        return None if latest == -math.inf else max(0.0, -latest)

    def rezone(self, zone: tzinfo) -> None:
        """Take another time zone, or new rules of it: alarms keep their wall-clock time, not their instant."""
        self._zone = zone
        self._waiting = [self._found_again(entry) for entry in self._waiting]

    def describe(self, entry: Entry, now: Moment) -> dict[str, Any]:
        """Return plain facts: `name`, `kind`, `ringing`, `rings_in_s` and, with a trusted clock, local time `at`."""
        late = entry.late_s(now)
        wall = entry.wall if entry.by_wall or late is None else now.wall - late
        return {
            "name": entry.name,
            "kind": entry.kind,
            "ringing": entry in self._ringing,
            "rings_in_s": None if late is None else max(0, round(-late)),
            "at": walltime.local(wall, self._zone) if now.sure and wall is not None else None,
        }

    def overview(self, now: Moment) -> dict[str, Any]:
        """Return `timers` (as `describe` gives them, the next one first) and `missed` of the last day."""
        waiting = sorted(self._waiting, key=lambda entry: -_lateness(entry, now))
        return {
            "timers": [self.describe(entry, now) for entry in (*self._ringing, *waiting)],
            "missed": [
                {
                    "name": one.name,
                    "kind": one.kind,
                    "at": None if one.wall is None else walltime.local(one.wall, self._zone),
                }
                for one in self._missed
                if not _old(one, now)
            ],
        }

    def dump(self, now: Moment) -> dict[str, Any]:
        """Return all of it as plain JSON; empty when there is nothing to remember."""
        entries = [self._dumped(entry, now) for entry in (*self._waiting, *self._ringing)]
        missed = [{"name": one.name, "kind": one.kind, "wall": one.wall} for one in self._missed if not _old(one, now)]
        return {"boot": self._boot, "entries": entries, "missed": missed} if entries or missed else {}

    def load(self, tree: Mapping[str, Any], now: Moment) -> list[str]:
        """Take what `dump` gave, perhaps before a power cut; return a sentence for everything that is no timer.

        What rang then is due again, and `due` decides whether it still rings.
        """
        self._waiting, self._ringing, self._missed = [], [], []
        same_boot = tree.get("boot") == self._boot
        complaints = []
        for number, raw in enumerate(_listed(tree, "entries"), 1):
            entry = _read(raw, now, same_boot=same_boot)
            if entry is None or any(_key(one.name) == _key(entry.name) for one in self._waiting):
                complaints.append(f"remembered timer number {number} could not be understood and is gone")
            elif len(self._waiting) == MAX_ENTRIES:
                complaints.append(f"more than {MAX_ENTRIES} timers were remembered; number {number} is gone")
            else:
                self._waiting.append(self._found_again(entry))
        for raw in _listed(tree, "missed"):
            if isinstance(raw, dict) and raw.get("kind") in {"timer", "alarm"} and _named(raw.get("name")):
                self._missed.append(Missed(raw["name"], raw["kind"], _number(raw.get("wall"))))
        self._missed = self._missed[-MAX_MISSED:]
        return complaints

    def _add(self, entry: Entry) -> Entry:
        if len(self._waiting) + len(self._ringing) >= MAX_ENTRIES:
            raise Stop(f"There are already {MAX_ENTRIES} timers and alarms; cancel one first.")
        self._waiting.append(entry)
        return entry

    def _free(self, name: str) -> str:
        """Return the name to use: tidied, or the lowest free number."""
        taken = {_key(entry.name) for entry in (*self._waiting, *self._ringing)}
        tidy = _tidy(name)
        if not tidy:
            return next(str(number) for number in range(1, MAX_ENTRIES + 2) if str(number) not in taken)
        if len(tidy) > MAX_NAME:
            raise Stop(f"A timer's name has at most {MAX_NAME} characters.")
        if _key(tidy) in taken:
            raise Stop(f"There is already a timer or alarm named {tidy}; cancel that first, or choose another name.")
        return tidy

    def _miss(self, entries: Iterable[Entry]) -> None:
        fresh = [Missed(entry.name, entry.kind, entry.wall) for entry in entries]
        self._missed = [*self._missed, *fresh][-MAX_MISSED:]

    def _found_again(self, entry: Entry) -> Entry:
        if entry.kind == "timer":
            return entry
        instants = walltime.instants(entry.asked, self._zone)
        return entry if entry.wall in instants else replace(entry, wall=instants[0])

    def _dumped(self, entry: Entry, now: Moment) -> dict[str, Any]:
        late = entry.late_s(now)
        wall = entry.wall
        if not entry.by_wall and late is not None:
            wall = now.wall - late if now.sure else None  # the wall clock may have been set since
        return {
            "name": entry.name,
            "kind": entry.kind,
            "asked": entry.asked,
            "wall": wall,
            "steady": entry.steady,
            "by_wall": entry.by_wall,
            "left_s": None if late is None else round(-late, 1),
        }


def _lateness(entry: Entry, now: Moment) -> float:
    """As `late_s`; what nobody can know counts as infinitely far away."""
    late = entry.late_s(now)
    return -math.inf if late is None else late


def _read(raw: Any, now: Moment, *, same_boot: bool) -> Entry | None:
    """Return the entry that was dumped, for the steady clock of this start of the machine; None: it is none."""
    if not isinstance(raw, dict) or not _named(raw.get("name")) or not isinstance(raw.get("asked"), str):
        return None
    wall = _number(raw.get("wall"))
    if wall is not None and not 0 <= wall <= walltime.LAST:
        return None
    match raw.get("kind"):
        case "alarm" if wall is not None and walltime.is_time(raw["asked"]):
            return Entry(raw["name"], "alarm", raw["asked"], wall, None, by_wall=True)
        case "timer":
            return _read_timer(raw, wall, now, same_boot=same_boot)
    return None


def _read_timer(raw: dict[str, Any], wall: float | None, now: Moment, *, same_boot: bool) -> Entry | None:
    left, steady = _number(raw.get("left_s")), _number(raw.get("steady"))
    if left is None or left > MAX_TIMER_S:
        return None
    by_wall = wall is not None
    if same_boot and steady is not None and steady - now.steady <= MAX_TIMER_S:
        by_wall = by_wall and raw.get("by_wall") is True
    else:
        steady = now.steady + max(0.0, left if left > 0 or wall is None else CLOCK_WAIT_S)
    return Entry(raw["name"], "timer", raw["asked"], wall, steady, by_wall)


def _listed(tree: Mapping[str, Any], key: str) -> list[Any]:
    found = tree.get(key, [])
    return found if isinstance(found, list) else [found]


def _named(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name == _tidy(name)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _old(missed: Missed, now: Moment) -> bool:
    return now.sure and missed.wall is not None and now.wall - missed.wall > MISSED_KEPT_S


def _tidy(name: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in name).split())


def _key(name: str) -> str:
    return _tidy(name).casefold()

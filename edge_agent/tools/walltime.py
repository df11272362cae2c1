"""Wall-clock times as people ask for them, and the instants they mean. Pure; zone and present time are passed in.

    asked, instant = understood("07:00", zone, now)         # "2027-03-01T07:00:00", seconds since 1970
    instants("2026-10-25T02:30:00", berlin)                 # two: autumn has that half hour twice

HH:MM is the next one, today or tomorrow. An ISO date and time is taken as it stands, in the zone or with its own
offset. A time that spring leaves out is placed as if the clock had not been changed yet: an hour later by the new one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from edge_agent.errors import Stop

LAST = 4_102_444_800.0
"""The year 2100, seconds since 1970; what lies beyond is no time of ours."""

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def understood(time: str, zone: tzinfo, now: float) -> tuple[str, float]:
    """Return what was asked in ISO form, and its instant in seconds since 1970; `now` likewise.

    Of an hour that comes twice it is the first instant that is still ahead. The instant may lie in the past.

    Raises:
        Stop: it is no time; the sentence says how one is written.
    """
    clock = _CLOCK.fullmatch(time)
    try:
        if clock is None:
            iso = datetime.fromisoformat(time).isoformat()
            found = [(iso, instant) for instant in instants(iso, zone)] if _has_time(time) else []
        else:
            wanted = {"hour": int(clock[1]), "minute": int(clock[2]), "second": int(clock[3] or 0)}
            local = datetime.fromtimestamp(now, zone).replace(tzinfo=None, microsecond=0, **wanted)
            days = [(local + timedelta(days=number)).isoformat() for number in (0, 1)]
            found = [(day, instant) for day in days for instant in instants(day, zone)]
    except (ValueError, OverflowError):
        found = []
    if not found:
        raise Stop(f"{time[:40]!r} is no time; write HH:MM (24 hours), or a date and a time such as 2027-03-01T07:30.")
    return next((one for one in found if one[1] > now), found[0])


def instants(asked: str, zone: tzinfo) -> list[float]:
    """Return the instants that an ISO time means, seconds since 1970: one, or two in the hour that autumn repeats.

    Raises:
        ValueError: not in ISO form.
        OverflowError: outside the calendar.
    """
    time = datetime.fromisoformat(asked)
    if time.tzinfo is not None:
        return [time.timestamp()]
    # PEP 495: fold tells the two apart; where spring leaves an hour out, fold 1 is the earlier one and is not wanted.
    first, second = (time.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    return [first, second] if second > first else [first]


def is_time(asked: str) -> bool:
    """Return True for an ISO time that any zone's rules can place between 1970 and 2100."""
    try:
        return 86_400 <= instants(asked, UTC)[0] <= LAST
    except (ValueError, OverflowError):
        return False


def local(instant: float, zone: tzinfo) -> str:
    """Return an instant, seconds since 1970, as a person reads it: date, time and the offset of the zone."""
    return datetime.fromtimestamp(instant, zone).isoformat(sep=" ", timespec="seconds")


def _has_time(text: str) -> bool:
    return ":" in text or "T" in text.upper()

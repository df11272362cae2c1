"""The gate: the one way out for microphone and camera, and the last step before the socket write. Pure.

Turns are intervals of capture samples. Sound waits in the capture ring, which is also the backlog; `pull` hands out
the next thing to write, in order, as soon as its samples are there:

    uplink.open(turn=1, start=ring.written - 8_000)
    while connection.writable and (item := uplink.pull()) is not None:
        connection.send(encode(item))

What passes: sound captured inside [start, end) of an opened turn, not captured muted, not older than `BACKLOG_S`; a
still whose capture sample lies in such an interval. Nothing else has a way to the socket. `void` empties everything at
once and forgets all intervals; a turn already opened on the wire is then only closed there.

In half-duplex what the microphone hears under the device's own voice goes out as silence. `reveal` says that from some
sample on it was a person: what went out as silence then follows as it was heard, once, and nothing else is sent again.
What is owed so grows stale like all sound: after `BACKLOG_S` it is dropped.

While `hold` is on nothing at all is handed out, and what is captured meanwhile never will be: a service that waits for
the answer to a call closes the connection for sound, and sound that is kept for later would be stale.

A connection is a new page: after `link_up` open marks are given again, and sound is sent again from the turn's start
(`replay="turn"`, for turns younger than `BACKLOG_S` that were not answered; of an older unmarked stream its last
`BACKLOG_S`, for the sentence being said may stand in it) or from the first sample not yet written (`"gap"`).
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass, field
from typing import Literal, Protocol

SAMPLE_RATE = 16_000
BACKLOG_S = 15.0  # older speech is dropped, never sent stale
MOST_HELD = 64  # stretches remembered; in the 15 s of the backlog a model does not wait for more calls
MOST_UNANSWERED = 8  # turns kept for another try; a person does not press more often in 15 s


class Ring(Protocol):
    """What the gate needs of the capture ring."""

    @property
    def written(self) -> int:
        """Samples that can be read so far."""

    @property
    def captured(self) -> int:
        """Samples captured so far, with those that cannot be read yet."""

    @property
    def oldest(self) -> int:
        """First sample still readable."""

    def read(self, start: int, end: int, *, gated: bool = False) -> bytes:
        """Return s16le samples [start, end); those captured under the device's own voice as silence, unless `gated`."""

    def muted(self, start: int, end: int) -> bool:
        """Tell whether any of them was captured muted."""

    def gated(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the stretches of them that were captured under the device's own voice."""


class Mark(enum.Enum):
    """The edges of a turn on the wire."""

    ACTIVITY_START = "activityStart"
    ACTIVITY_END = "activityEnd"
    STREAM_END = "audioStreamEnd"


@dataclass(frozen=True, slots=True)
class Sound:
    """Microphone sound, s16le at 16 kHz, of the capture samples [start, end)."""

    start: int
    end: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Picture:
    """A still taken when capture stood at `sample`."""

    sample: int
    jpeg: bytes


Item = Mark | Sound | Picture


@dataclass(slots=True)
class _Interval:
    turn: int
    asked: int  # from here on the turn was wanted; what lies before `start` was admitted to an earlier one
    start: int
    cursor: int
    replay_from: int
    end: int | None = None
    opened: bool = False
    ended: bool = False
    owed: list[tuple[int, int]] = field(default_factory=list)  # went out as silence and was a person


class Uplink:
    """The gate of one device.

    `manual` marks turns on the wire (push-to-talk); else sound flows unmarked and its end is `audioStreamEnd`.
    `message_samples` is the length of one message. Messages end on multiples of it, which are block ends too, so that
    none waits for a part of a block; the first and the last of a turn may be shorter.
    """

    def __init__(self, ring: Ring, *, manual: bool, message_samples: int = 640) -> None:
        self.dropped_samples = 0
        self._ring = ring
        self._manual = manual
        self._message = message_samples
        self._backlog = round(BACKLOG_S * SAMPLE_RATE)
        self._up = False
        self._intervals: list[_Interval] = []
        self._past: list[tuple[int, int]] = []
        self._pictures: list[Picture] = []
        self._farewell: Mark | None = None
        self._held: list[tuple[int, int]] = []
        self._held_since: int | None = None
        self._closed_at = 0
        self._voided_at = 0
        self._revealed: list[tuple[int, int]] = []

    @property
    def turn_open(self) -> bool:
        """True while new sound is admitted."""
        return bool(self._intervals) and self._intervals[-1].end is None

    @property
    def idle(self) -> bool:
        """True when nothing is left to send and no turn is open."""
        return self._farewell is None and not self._pictures and all(i.ended for i in self._intervals)

    @property
    def queued_ms(self) -> float:
        """Sound that is captured and admitted but not yet handed out, in ms."""
        waiting = 0
        newest = self._ring.captured if self._held_since is None else self._held_since
        for interval in self._intervals:
            end = newest if interval.end is None else min(interval.end, newest)
            waiting += max(0, end - interval.cursor) + sum(until - since for since, until in interval.owed)
        return waiting * 1000 / SAMPLE_RATE

    def open(self, turn: int, start: int) -> None:
        """Admit sound from capture sample `start` on. An open turn ends where the new one begins.

        Nothing captured before a `void` is admitted. Of an unmarked stream, what an earlier turn had admitted is not
        admitted again: a start before that turn's end is moved there.
        """
        asked = start = max(start, self._voided_at)
        if self.turn_open:
            self.close(start)
        if not self._manual:
            start = max(start, self._closed_at)
        self._intervals.append(_Interval(turn, asked, start, start, start))
        del self._intervals[:-MOST_UNANSWERED]

    def close(self, end: int) -> None:
        """End the open turn at capture sample `end` (at the earliest where it began); a no-op when none is open."""
        if self.turn_open:
            interval = self._intervals[-1]
            interval.end = max(end, interval.start)
            self._closed_at = max(interval.end, interval.cursor)

    def void(self) -> None:
        """Drop all that was not handed out, and admit nothing captured so far. An opened turn gets its end mark."""
        if self._up and any(i.opened and not i.ended for i in self._intervals):
            self._farewell = Mark.ACTIVITY_END if self._manual else Mark.STREAM_END
        self._intervals.clear()
        self._past.clear()
        self._pictures.clear()
        self._revealed.clear()
        self._voided_at = self._ring.captured

    def hold(self, *, on: bool) -> None:
        """Hand nothing out while on, and never what is captured meanwhile."""
        if on and self._held_since is None:
            self._held_since = self._ring.captured
        elif not on and self._held_since is not None:
            self._held.append((self._held_since, self._ring.captured))
            self._held_since = None
            del self._held[:-MOST_HELD]

    def reveal(self, start: int) -> None:
        """What was captured from `start` on was a person, whatever the device itself was saying: send it as heard."""
        start = max(start, self._voided_at)
        known, newest = list(self._revealed), self._ring.captured
        self._revealed.append((start, newest))
        del self._revealed[:-MOST_HELD]
        if not self.turn_open:
            return
        *earlier, interval = self._intervals
        still_to_go = [i.end for i in earlier if i.end is not None and not i.ended]
        since = max(start, interval.asked, self._ring.oldest, *still_to_go)
        until = min(interval.cursor, newest)
        if since < until:
            interval.owed += _without(self._ring.gated(since, until), known)

    def forget(self) -> None:
        """The connection's conversation is over: like `void`, and nothing is left to be said on the wire."""
        self.void()
        self._farewell = None

    def offer(self, picture: Picture) -> bool:
        """Take a still for sending; False if it lies outside every turn of this conversation or was taken muted."""
        if not self._covers(picture.sample):
            return False
        self._pictures = [picture]  # the newest is the one worth its tokens
        return True

    def answered(self) -> None:
        """The service has begun to answer: what it was sent is heard and need not be sent again."""
        for interval in self._intervals:
            interval.replay_from = interval.cursor
            if interval.ended and interval.end is not None:
                self._past.append((interval.start, interval.end))
        del self._past[:-8]  # a picture is asked for within a few turns or never
        self._intervals = [i for i in self._intervals if not i.ended]

    def link_down(self) -> None:
        """Nothing is handed out until `link_up`."""
        self._up = False
        self._farewell = None

    def link_up(self, replay: Literal["turn", "gap"] = "turn") -> None:
        """A new connection: give marks again, and sound by the chosen replay."""
        self._up = True
        self._farewell = None
        horizon = self._horizon
        for interval in self._intervals:
            since = interval.replay_from if self._manual else max(interval.replay_from, horizon)
            left = self._manual or interval.end is None or since < interval.end
            if replay == "turn" and left and since >= horizon:
                interval.cursor = min(interval.cursor, since)
                interval.ended = False
            interval.opened = False
            interval.owed = [(since, min(until, interval.cursor)) for since, until in interval.owed]
            interval.owed = [(since, until) for since, until in interval.owed if since < until]
        if replay == "gap":
            self._intervals = [i for i in self._intervals if not i.ended]

    def pull(self) -> Item | None:
        """Return the next item to write, or None when nothing may or can be written now."""
        if not self._up or self._held_since is not None:
            return None
        if self._farewell is not None:
            mark, self._farewell = self._farewell, None
            return mark
        interval = next((i for i in self._intervals if not i.ended), None)
        if interval is None:
            return self._picture()
        if not interval.opened:
            interval.opened = True
            if self._manual:
                return Mark.ACTIVITY_START
        return self._picture() or self._next(interval)

    def _next(self, interval: _Interval) -> Item | None:
        self._skip_lost(interval)
        while interval.owed:
            start, until = interval.owed.pop(0)
            end = min(start + self._message, until)
            if end < until:
                interval.owed.insert(0, (end, until))
            if start >= self._horizon and self._passes(start, end):
                return Sound(start, end, self._ring.read(start, end, gated=True))
            self.dropped_samples += end - start
        while interval.end is None or interval.cursor < interval.end:
            start = interval.cursor
            end = start - start % self._message + self._message
            if interval.end is not None:
                end = min(end, interval.end)
            if end > self._ring.written:
                return None
            interval.cursor = end
            if self._admits(interval, start, end):
                return Sound(start, end, self._read(start, end))
            self.dropped_samples += end - start
        interval.ended = True
        return Mark.ACTIVITY_END if self._manual else Mark.STREAM_END

    def _read(self, start: int, end: int) -> bytes:
        hidden = _without([(start, end)], self._revealed)
        if hidden == [(start, end)]:
            return self._ring.read(start, end)
        edges = sorted({start, end, *(edge for stretch in hidden for edge in stretch)})
        return b"".join(
            self._ring.read(a, b, gated=not any(since <= a < until for since, until in hidden))
            for a, b in itertools.pairwise(edges)
        )

    def _admits(self, interval: _Interval, start: int, end: int) -> bool:
        inside = interval.start <= start < end and (interval.end is None or end <= interval.end)
        return inside and self._passes(start, end)

    @property
    def _horizon(self) -> int:
        """The oldest sample that is not stale."""
        return max(self._ring.oldest, self._ring.written - self._backlog)

    def _passes(self, start: int, end: int) -> bool:
        """Tell what may pass at all: neither held back nor gone nor captured muted."""
        if any(start < until and since < end for since, until in self._held):
            return False
        return start >= self._ring.oldest and not self._ring.muted(start, end)

    def _taken_muted(self, sample: int) -> bool:
        """Tell what the ring still knows; a mute also voids every interval, so nothing older can be a muted one."""
        return self._ring.oldest <= sample < self._ring.written and self._ring.muted(sample, sample + 1)

    def _skip_lost(self, interval: _Interval) -> None:
        floor = self._horizon
        if interval.end is not None:
            floor = min(floor, interval.end)
        if interval.cursor < floor:
            self.dropped_samples += floor - interval.cursor
            interval.cursor = floor

    def _picture(self) -> Picture | None:
        while self._pictures:
            picture = self._pictures.pop(0)
            if self._covers(picture.sample):  # the turn may have been closed earlier than it was taken
                return picture
        return None

    def _covers(self, sample: int) -> bool:
        inside = any(i.start <= sample and (i.end is None or sample < i.end) for i in self._intervals)
        inside = inside or any(start <= sample < end for start, end in self._past)
        return inside and not self._taken_muted(sample)


def _without(stretches: list[tuple[int, int]], taken: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what is left of `stretches` when `taken` is cut out of them."""
    for since, until in taken:
        left = [((a, min(b, since)), (max(a, until), b)) for a, b in stretches]
        stretches = [piece for pieces in left for piece in pieces if piece[0] < piece[1]]
    return stretches

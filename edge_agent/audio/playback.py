"""The playback queue: an answer's sound, waiting for its moment.

The service sends an answer far faster than it is spoken, in chunks of any size. The queue holds up to 120 s of it in
one ring; what does not fit is the newest, is dropped and counted.

    queue = PlaybackQueue()
    queue.put(pcm)             # loop: s16le mono 24 kHz; returns the ms dropped
    queue.end()                # loop: nothing more comes for this answer
    queue.flush()              # loop: stop it now
    queue.pull(into)           # sound thread: the next samples, and what happened on the way

One thread puts, ends and flushes; one pulls. No lock: each number is written by one side only, and sound is published
after it stands in the ring. A sample's place in the ring is its generation: a flush notes the place up to which
everything is void, so nothing put before it is heard again and nothing put after it is lost. What was heard or voided
is overwritten with zeros. Sound put into an empty queue lies at the ring's beginning, so that answers of a few seconds
take the memory of a few seconds.

An answer starts when `start_ms` wait or its end is known. If it runs dry before its end, it pauses with a 5 ms fade and
goes on when half as much again is there (at most 400 ms); the need shrinks back with every answer that plays through.
A flush fades what would have been played next over 7 ms, which leaves room for the delay and tail of the filter behind
it within 10 ms.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import DOWN_RATE

RATE = DOWN_RATE
"""Samples per second in the queue."""

FADE_SAMPLES = 168  # 7 ms; with less than 1 ms already rendered and 1.3 ms of filter it stays under 10 ms
PAUSE_SAMPLES = 120  # 5 ms: the fade around a gap

_SPARE_S = 10  # ring beyond the limit: room for a new answer while a flushed one still waits to be discarded
_GROWTH = 1.5
_SHRINK = 0.8  # of the surplus that is left after an answer without a gap
_SCALE = np.float32(1 / 32_768)


@dataclass(slots=True)
class Started:
    """An answer begins at sample `at` of the playback clock."""

    at: int


@dataclass(slots=True)
class Ended:
    """The last sample of an answer stands before sample `at`."""

    at: int


@dataclass(slots=True)
class Flushed:
    """The last old sample stands before `at`; `dropped_ms` were never played."""

    at: int
    dropped_ms: float


@dataclass(slots=True)
class Resumed:
    """The answer goes on at `at` after a gap."""

    at: int
    gap_ms: float


PlaybackEvent = Started | Ended | Flushed | Resumed


class _State(enum.Enum):
    IDLE = enum.auto()  # no answer has begun; sound may be gathering
    PLAYING = enum.auto()
    DRY = enum.auto()  # an answer has begun and waits for more


class PlaybackQueue:
    """See the module's docstring.

    Args:
        limit_s: longest sound that waits.
        start_ms: sound that must wait before an unfinished answer starts.
        most_ms: what that may grow to after gaps.
    """

    def __init__(self, *, limit_s: float = 120.0, start_ms: float = 100.0, most_ms: float = 400.0) -> None:
        self._limit = round(limit_s * RATE)
        self._size = self._limit + _SPARE_S * RATE
        self._ring = np.zeros(self._size, np.int16)  # pages that were never used cost nothing
        self._start = start_ms * RATE / 1_000
        self._most = most_ms * RATE / 1_000
        self._need = self._start
        # written by the putting thread
        self._written = 0
        self._origin = 0  # the place that lies first in the ring; changed only while nothing waits to be read
        self._void = 0
        self._flushes = 0
        self._last_end = 0
        self.dropped_ms = 0.0
        """Sound that did not fit, so far."""
        # written by the pulling thread
        self._read = 0
        self._seen = 0
        self._state = _State.IDLE
        self._clock = 0
        self._gap = 0
        self._clean = True
        self._rise = PAUSE_SAMPLES
        self._fade = np.zeros(0, np.float32)
        self._after_fade: list[PlaybackEvent] = []
        self.gaps = 0
        """Times an answer ran dry, so far."""
        self.played = 0
        """Samples of answers pulled so far, fades included."""
        # from the one to the other
        self._ends: deque[int] = deque()

        self._rising = _falling(PAUSE_SAMPLES)[::-1]

    @property
    def queued_ms(self) -> float:
        """Sound that waits, milliseconds."""
        return max(0, self._written - max(self._read, self._void)) * 1_000 / RATE

    @property
    def start_ms(self) -> float:
        """Sound that must wait before an unfinished answer starts, as things stand."""
        return self._need * 1_000 / RATE

    @property
    def playing(self) -> bool:
        """True while the pulled samples hold sound of an answer, its fade included."""
        return self._state is _State.PLAYING or bool(len(self._fade))

    @property
    def idle(self) -> bool:
        """True when no answer has begun and none waits; in the thread that puts, also of what it has put itself."""
        taken = self._written <= max(self._read, self._void)  # first: what is taken between the looks is being played
        return taken and self._state is _State.IDLE and not len(self._fade)

    @property
    def dry_ms(self) -> float:
        """How long an answer has been waiting for more sound, before its start or in a gap, milliseconds."""
        return self._gap * 1_000 / RATE

    def put(self, samples: NDArray[np.int16]) -> float:
        """Queue samples (n,) of an answer; returns the milliseconds dropped because the queue is full."""
        read = self._read
        room = min(self._limit - (self._written - max(read, self._void)), self._size - (self._written - read))
        count = max(0, min(len(samples), room))
        if read == self._written:
            self._origin = read
        at = (self._written - self._origin) % self._size
        first = min(count, self._size - at)
        self._ring[at : at + first] = samples[:first]
        self._ring[: count - first] = samples[first:count]
        self._written += count
        dropped = (len(samples) - count) * 1_000 / RATE
        self.dropped_ms += dropped
        return dropped

    def end(self) -> None:
        """Mark the end of the answer: it is played out even if little of it waits."""
        if self._written > self._last_end:
            self._last_end = self._written
            self._ends.append(self._written)

    def flush(self) -> None:
        """Void everything put so far; the next pull fades out what was being played."""
        self._last_end = self._void = self._written
        self._flushes += 1

    def pull(self, into: NDArray[np.float32]) -> list[PlaybackEvent]:
        """Fill `into` (n,) with the next samples, silence where there are none; returns what happened, in order."""
        events: list[PlaybackEvent] = []
        if self._flushes != self._seen:
            self._discard(events, audible=True)
        at = 0
        while at < len(into):
            if len(self._fade):
                at += self._play_fade(into[at:], events)
                continue
            end = self._ends[0] if self._ends else None
            waiting = (self._written if end is None else end) - self._read
            if self._flushes != self._seen:  # asked after the look above, so that look saw nothing put later
                self._discard(events, audible=True)
                continue
            if self._move(waiting, end is not None, events):
                continue
            if self._state is not _State.PLAYING:
                into[at:] = 0
                self._advance(len(into) - at)
                break
            spare = 0 if end is not None else PAUSE_SAMPLES  # kept for the fade, in case no more comes
            at += self._play(into[at : at + waiting - spare])
        return events

    def hold(self, count: int) -> list[PlaybackEvent]:
        """Let `count` samples of time pass without playing, while something else is heard."""
        events: list[PlaybackEvent] = []
        if self._flushes != self._seen:
            self._discard(events, audible=False)
        self._advance(count)
        return events

    def _discard(self, events: list[PlaybackEvent], *, audible: bool) -> None:
        """Carry out a flush that was asked for since the last call."""
        asked = self._flushes
        void = self._void
        while self._ends and self._ends[0] <= void:
            self._ends.popleft()
        waiting = max(0, void - self._read)
        tail = 0
        if audible and self._state is _State.PLAYING and not len(self._fade):
            tail = min(waiting, FADE_SAMPLES)
            self._fade = np.empty(tail, np.float32)
            self._copy(self._fade)
            self._fade *= _falling(tail)
        self._take(max(0, void - self._read))
        self._state, self._gap, self._seen = _State.IDLE, 0, asked
        flushed = Flushed(self._clock + len(self._fade), (waiting - tail) * 1_000 / RATE)
        (self._after_fade if len(self._fade) else events).append(flushed)

    def _move(self, waiting: int, ended: bool, events: list[PlaybackEvent]) -> bool:
        """Change the state if it is time to; True if it changed."""
        if ended and waiting == 0:
            self._ends.popleft()
            if self._state is not _State.IDLE:
                events.append(Ended(self._clock - self._gap))
                if self._clean:
                    self._need = self._start + (self._need - self._start) * _SHRINK
            self._state, self._gap = _State.IDLE, 0
            return True
        if self._state is _State.IDLE and waiting > 0 and (ended or waiting >= self._need):
            self._state, self._clean, self._rise, self._gap = _State.PLAYING, True, PAUSE_SAMPLES, 0
            events.append(Started(self._clock))
            return True
        if self._state is _State.DRY:
            need = min(self._need * _GROWTH, self._most)
            if waiting > 0 and (ended or waiting >= need):
                self._need, self._clean, self._rise = need, False, 0
                self.gaps += 1
                events.append(Resumed(self._clock, self._gap * 1_000 / RATE))
                self._state, self._gap = _State.PLAYING, 0
                return True
        elif self._state is _State.PLAYING and not ended and waiting <= PAUSE_SAMPLES:
            self._fade = np.empty(waiting, np.float32)
            self._copy(self._fade)
            self._fade *= _falling(waiting)
            self._state, self._gap = _State.DRY, 0
            return True
        return False

    def _play(self, into: NDArray[np.float32]) -> int:
        self._copy(into)
        rise = self._rising[self._rise : self._rise + len(into)]
        into[: len(rise)] *= rise
        self._rise += len(rise)
        self._clock += len(into)
        self.played += len(into)
        return len(into)

    def _play_fade(self, into: NDArray[np.float32], events: list[PlaybackEvent]) -> int:
        count = min(len(into), len(self._fade))
        into[:count] = self._fade[:count]
        self._fade = self._fade[count:]
        self._clock += count
        self.played += count
        if not len(self._fade):
            events += self._after_fade
            self._after_fade.clear()
        return count

    def _advance(self, count: int) -> None:
        """Let time pass in silence."""
        self._clock += count
        if self._state is _State.DRY or self._written > self._read:
            self._gap += count

    def _copy(self, into: NDArray[np.float32]) -> None:
        """Move the next samples from the ring into `into`."""
        at = (self._read - self._origin) % self._size
        first = min(len(into), self._size - at)
        np.multiply(self._ring[at : at + first], _SCALE, out=into[:first], dtype=np.float32, casting="unsafe")
        np.multiply(self._ring[: len(into) - first], _SCALE, out=into[first:], dtype=np.float32, casting="unsafe")
        self._take(len(into))

    def _take(self, count: int) -> None:
        """Overwrite the next samples in the ring with zeros and free their room."""
        at = (self._read - self._origin) % self._size
        first = min(count, self._size - at)
        self._ring[at : at + first] = 0
        self._ring[: count - first] = 0
        self._read += count


def _falling(count: int) -> NDArray[np.float32]:
    """Half a raised cosine (count,) from nearly 1 to nearly 0."""
    found: NDArray[np.float32] = (0.5 + 0.5 * np.cos(np.pi * np.arange(1, count + 1) / (count + 1))).astype(np.float32)
    return found

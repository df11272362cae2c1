"""The echo reference: what the loudspeaker plays while the microphone hears a block, at the microphone's rate.

    reference = Reference(lead=lead_for(960))
    reference.put(speaker, silent=False)     # what was committed to the loudspeaker, after volume and ducking
    far = reference.take(320, queued=1_440)  # for the next 320 microphone samples; 1 440 frames were still unplayed

Microphone and loudspeaker have clocks of their own, and the loudspeaker's ring lies between them. The reference follows
the play position, committed minus queued frames, so that the canceller sees an echo path of constant delay whatever the
ring does. What one block says of it is not much: a late read makes it too early, and a sound server tells its ring in
whole periods, so that the same place seems now here, now a period off. So a few times a second it is asked of many: the
place is at least what a tenth of the last two seconds' blocks fall short of, at most what a third of the last half
second's do, and stays in between. Single blocks move nothing.

- A difference up to 3 ms is drift, made up by a sample five times a second at most while something is heard: 300 ppm
  are followed, and it is no more than drift to the canceller.
- One that may be a period told for nothing (up to 22 ms ahead of what is told, half the lead behind it) is let be; it
  counts as a doubt, since the path may have changed, and drift is followed from there.
- A larger one is made up at once: a lasting fall (an underrun) within 0.3 s, a lasting rise (microphone sound that was
  lost) within two seconds. So is any difference in the second after `realign`, beginning with the next block.

What is made up while nothing is heard counts as no jump, and what is told half a second after the last sound is no
doubt: at rest there are few blocks, and whatever path there is then, a canceller finds it with the next sound as soon
as anybody could say that it is another. Where the loudspeaker had nothing to play, the reference is silent. It runs
ahead of what is played (`lead_for`), because an echo canceller can look back and not ahead.

Pure; one thread. Committed frames come in whole milliseconds; a part of one waits for the next call.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import UP_RATE, Decimator, peak

RATE = UP_RATE
"""Samples per second, as the microphone's."""
LEAD = 80
"""Samples to run ahead: 5 ms, more than a read is early and less than any loudspeaker's ring holds."""
LEAD_MOST = 320
"""Samples: no reference runs further ahead, 20 ms."""
SLIP_MOST = 48
"""Samples: a difference up to 3 ms is drift, made up sample by sample while something is heard; more is a jump."""
AHEAD_MOST = 352
"""Samples: the reference stays where it is if it seems up to 22 ms further ahead than it should: a sound server that
takes blocks of 20 ms says so much for nothing. Where it seems to be behind, half the lead is most."""

_ECHO = RATE // 2  # samples: the room still answers so long after a sound
_FAINT = 3  # of 32 768, -80 dBFS: no echo of it can be heard
_SIZE = 2 * RATE  # the longest ring of a loudspeaker, and room for a late thread
_FRAMES = 3  # of 48 kHz in one sample
_WINDOW = 2 * RATE  # samples: the blocks of so long are asked where the loudspeaker is at least
_RECENT = RATE // 2  # samples: those of so long, where at most
_SETTLE = RATE  # samples: after so long no thread that was late still reads in haste
_LEAST, _MOST = 10, 3  # one in so many blocks may tell less
_ASK_EVERY = RATE // 10  # samples
_SLIP_EVERY = RATE // 5  # samples


def lead_for(block_frames: int) -> int:
    """Return the samples to run ahead where a block has so many frames at 48 kHz.

    A loudspeaker that tells its ring only in whole periods seems to hold up to one more than it does, so the lead is
    what its ring surely holds when a block is read: the block of the pacer's two that is not yet played, less 5 ms for
    a read that is early, and at most 20 ms.
    """
    return min(block_frames // _FRAMES - RATE // 200, LEAD_MOST)


class Reference:
    """See the module's docstring.

    Args:
        lead: samples to run ahead of what is played; see `lead_for`.
    """

    def __init__(self, *, lead: int = LEAD) -> None:
        self._lead = lead
        self._down = Decimator(channel="left")
        self._ring = np.zeros(_SIZE, np.int16)
        self._put = 0
        self._loud_until = -_SIZE  # no sound stands in the ring from this sample on
        self._at = 0
        self._taken = 0
        self._seen: deque[tuple[int, int]] = deque()  # microphone position, play position minus microphone position
        self._believed = 0
        self._ask_at = self._settled_at = 0
        self._slip_at = 0
        self._told = 0
        self.slips = 0
        """Samples left out or doubled for drift, so far."""
        self.jumps = 0
        """Times the play position jumped while something was heard, so far."""
        self.doubts = 0
        """Times what is told of the play position moved by more than drift while something was heard, so far."""

    def put(self, speaker: NDArray[np.int32], *, silent: bool) -> None:
        """Take frames (n, 2) that were committed to the loudspeaker; `silent`: all of them, and those 20 ms before."""
        if silent and len(speaker) % 48 == 0:
            self._store(np.zeros(len(speaker) // _FRAMES, np.int16))
            return
        found = self._down.process(speaker)
        self._store(found)
        if _audible(found):
            self._loud_until = self._put

    def take(self, count: int, *, queued: int) -> tuple[NDArray[np.int16], bool]:
        """Return the reference (count,) for the next microphone samples, and whether there is sound in it.

        `queued`: committed frames at 48 kHz that had not been played when the block was read.
        """
        self._taken += count
        end = self._target(self._put - queued // _FRAMES - self._taken) + self._taken + self._lead
        behind = end - (self._at + count)
        quiet = self._loud_until <= min(self._at, end - count)
        gap = 0
        if quiet or abs(behind) > SLIP_MOST:
            self.jumps += bool(behind) and not quiet
            self._at += max(0, behind)
            gap = min(count, max(0, -behind))
        elif behind and self._taken >= self._slip_at:
            self._at += 1 if behind > 0 else -1
            self._slip_at = self._taken + _SLIP_EVERY
            self.slips += 1
        found = np.zeros(count, np.int16)
        sound = self._at < self._loud_until
        if sound:
            self._read(found[gap:])
        self._at += count - gap
        return found, sound and _audible(found)

    def realign(self) -> None:
        """Sound was lost on either side: believe the next block at once."""
        self._seen.clear()

    def _target(self, lead: int) -> int:
        """Return what is believed of the difference of play position and microphone position."""
        first = not self._seen
        if first:
            self._settled_at = self._taken + _SETTLE
        self._seen.append((self._taken, lead))
        while self._taken - self._seen[0][0] >= _WINDOW:
            self._seen.popleft()
        if first or self._taken >= self._ask_at:
            self._ask_at = self._taken + _ASK_EVERY
            most = _low([lead for at, lead in self._seen if self._taken - at < _RECENT], _MOST)
            told = most
            if self._taken >= self._settled_at:
                told = min(max(self._told, _low([lead for _, lead in self._seen], _LEAST)), most)
            self._believe(told)
        return self._believed

    def _believe(self, told: int) -> None:
        """Follow what the blocks tell, unless it may be a period that a sound server told for nothing."""
        moved, self._told = told - self._told, told
        if abs(moved) <= SLIP_MOST:
            self._believed += moved
        elif self._at - _ECHO < self._loud_until:
            self.doubts += 1
        more = told - self._believed
        settling = self._taken < self._settled_at
        if settling or abs(more) <= SLIP_MOST or not -AHEAD_MOST <= more <= self._lead // 2:
            self._believed = told

    def _read(self, into: NDArray[np.int16]) -> None:
        """Copy what stands in the ring from `_at` on; what was overwritten or never committed is silence."""
        first = max(self._at, self._put - _SIZE, 0)
        last = min(self._at + len(into), self._put)
        if first >= last:
            return
        at = first % _SIZE
        piece = self._ring[at : at + last - first]
        start = first - self._at
        into[start : start + len(piece)] = piece
        into[start + len(piece) : last - self._at] = self._ring[: last - first - len(piece)]

    def _store(self, samples: NDArray[np.int16]) -> None:
        at = self._put % _SIZE
        first = samples[: _SIZE - at]
        self._ring[at : at + len(first)] = first
        self._ring[: len(samples) - len(first)] = samples[len(first) :]
        self._put += len(samples)


def _audible(samples: NDArray[np.int16]) -> bool:
    return bool(len(samples)) and peak(samples) > _FAINT


def _low(values: list[int], share: int) -> int:
    """Return the value that one in `share` of these falls short of."""
    return sorted(values)[len(values) // share]

"""The echo reference: what the loudspeaker plays while the microphone hears a block, at the microphone's rate.

    reference = Reference(lead=lead_for(960))
    reference.put(speaker, silent=False)     # what was committed to the loudspeaker, after volume and ducking
    far = reference.take(320, queued=1_440)  # for the next 320 microphone samples; 1 440 frames were still unplayed

Microphone and loudspeaker have clocks of their own, and the loudspeaker's ring lies between them. The reference follows
the play position, committed minus queued frames, so that the canceller sees an echo path of constant delay whatever the
ring does: a block that was read late counts as read in time (the earliest of the last two seconds is believed), the
drift of two clocks is made up sample by sample, and what is more than a slip (an underrun, microphone sound that was
lost) is made up at once. Where the loudspeaker had nothing to play, the reference is silent. It runs ahead of what is
played (`lead_for`), because an echo canceller can look back and not ahead.

Pure; one thread. Committed frames come in whole milliseconds; a part of one waits for the next call.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import Decimator, peak

RATE = 16_000
"""Samples per second, as the microphone's."""
LEAD = 80
"""Samples to run ahead: 5 ms, more than a read is early and less than any loudspeaker's ring holds."""
LEAD_MOST = 320
"""Samples: no reference runs further ahead, 20 ms."""
SLIP_MOST = 48
"""Samples: a difference up to 3 ms is drift, made up sample by sample while something is heard; more is a jump."""

_FAINT = 3  # of 32 768, -80 dBFS: no echo of it can be heard
_SIZE = 2 * RATE  # the longest ring of a loudspeaker, and room for a late thread
_FRAMES = 3  # of 48 kHz in one sample
_WINDOW = RATE  # samples: the earliest read of one to two of these is believed


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
        self._loud_until = 0  # no sound stands in the ring from this sample on
        self._at = 0
        self._taken = 0
        self._least: list[int] = []  # of play position minus microphone position: this window's, the one before
        self._window_ends = 0
        self.slips = 0
        """Samples left out or doubled for drift, so far."""
        self.jumps = 0
        """Times the play position jumped while something was heard, so far."""

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
        elif behind:
            self._at += 1 if behind > 0 else -1
            self.slips += 1
        found = np.zeros(count, np.int16)
        sound = self._at < self._loud_until
        if sound:
            self._read(found[gap:])
        self._at += count - gap
        return found, sound and _audible(found)

    def realign(self) -> None:
        """Sound was lost on either side: believe the next block at once."""
        self._least.clear()

    def _target(self, lead: int) -> int:
        """Return the least difference of play position and microphone position of the last one to two seconds."""
        if not self._least or self._taken >= self._window_ends:
            self._least = [lead, *self._least[:1]]
            self._window_ends = self._taken + _WINDOW
        self._least[0] = min(self._least[0], lead)
        return min(self._least)

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

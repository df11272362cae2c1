"""The capture ring: the last seconds of the microphone, addressed by sample number.

The sound thread appends 16 kHz mono int16 blocks; the event loop reads any interval that is still there. Sample `n` is
the n-th since the stream opened, so a turn is an interval of numbers and nothing is copied until it is sent.

    ring = CaptureRing()
    ring.append(block)                       # sound thread only
    ring.read(press - 8_000, ring.written)   # loop only: bytes, s16le

Promises: one writer and one reader (who also wipes) need no lock. The writer gives up old samples before it overwrites
them and publishes new ones after they stand in memory; the reader looks again after copying, so it gets the right bytes
or a `LookupError`, never a mixture. Muted sound is stored as silence and stays marked for as long as it can be read.

Memory: 3 bytes per sample, 0.8 MB for 16 s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
"""Samples per second; what the Live API takes."""

_GUARD = RATE
"""Samples ahead of the writer that are kept zero and unreadable. A wipe that runs beside the writer spares them, so it
cannot touch fresh sound unless the reader is held up for a whole second inside the wipe's 50 us."""


class CaptureRing:
    """A ring of microphone samples; see the module's docstring.

    Args:
        seconds: how much sound can be read back.
    """

    def __init__(self, seconds: float = 16.0) -> None:
        self._span = round(seconds * RATE)
        if self._span < 1:
            msg = f"a capture ring of {seconds} s holds nothing"
            raise ValueError(msg)
        self._size = self._span + _GUARD
        self._data = np.zeros(self._size, np.int16)
        self._mute = np.zeros(self._size, np.uint8)
        self._written = 0
        self._given_up = 0  # set by the writer
        self._wiped = 0  # set by the reader

    @property
    def written(self) -> int:
        """Samples captured so far; every one below this number stands in memory."""
        return self._written

    @property
    def oldest(self) -> int:
        """The first sample that can still be read."""
        return max(self._given_up, self._wiped)

    def append(self, block: NDArray[np.int16], *, muted: bool = False) -> None:
        """Store the next samples (n,) int16; muted ones become silence. Sound thread only."""
        for first in range(0, len(block), _GUARD):
            self._append(block[first : first + _GUARD], muted)

    def read(self, start: int, end: int) -> bytes:
        """Return samples [start, end) as s16le bytes.

        Raises:
            LookupError: some of them are gone, wiped, or not yet captured.
        """
        self._require(start, end)
        at = start % self._size
        first = self._data[at : at + end - start]
        found = first.tobytes()
        if len(first) < end - start:
            found += self._data[: end - start - len(first)].tobytes()
        self._require(start, end)
        return found

    def muted(self, start: int, end: int) -> bool:
        """Tell whether any sample of [start, end) was captured muted.

        Raises:
            LookupError: some of them are gone, wiped, or not yet captured.
        """
        self._require(start, end)
        at = start % self._size
        first = self._mute[at : at + end - start]
        found = bool(first.any()) or bool(self._mute[: end - start - len(first)].any())
        self._require(start, end)
        return found

    def wipe(self) -> None:
        """Make everything captured up to now unreadable and overwrite it with zeros. Reader's thread only."""
        end = self._written
        self._wiped = end
        start = end - self._span
        for array in (self._data, self._mute):
            for at, count in self._pieces(start, self._span):
                array[at : at + count] = 0

    def _append(self, block: NDArray[np.int16], muted: bool) -> None:
        start, count = self._written, len(block)
        self._given_up = max(self._given_up, start + count - self._span)
        done = 0
        for at, piece in self._pieces(start, count):
            self._data[at : at + piece] = 0 if muted else block[done : done + piece]
            self._mute[at : at + piece] = muted
            done += piece
        for at, piece in self._pieces(start + _GUARD, count):
            self._data[at : at + piece] = 0
            self._mute[at : at + piece] = 0
        self._written = start + count

    def _require(self, start: int, end: int) -> None:
        if not self.oldest <= start <= end <= self._written:
            msg = f"samples {start} to {end} cannot be read; there are {self.oldest} to {self._written}"
            raise LookupError(msg)

    def _pieces(self, start: int, count: int) -> list[tuple[int, int]]:
        """Cut `count` slots from sample `start` on into (slot, length) runs that do not wrap."""
        at = start % self._size
        first = min(count, self._size - at)
        return [(at, first)] if first == count else [(at, first), (0, count - first)]

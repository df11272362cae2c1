"""The capture ring: the last seconds of the microphone, addressed by sample number.

The sound thread appends 16 kHz mono int16 blocks; the event loop reads any interval that is still there. Sample `n` is
the n-th since the stream opened, so a turn is an interval of numbers and nothing is copied until it is sent.

    ring = CaptureRing()
    ring.append(block)                       # sound thread only
    ring.read(press - 8_000, ring.written)   # loop only: bytes, s16le

At rest the engine keeps a few blocks before it appends them: `captured` counts those too, `written` does not. Whoever
draws a line between what was heard before and after a moment takes `captured`.

Promises: one writer and one reader (who also wipes) need no lock. The writer gives up old samples before it overwrites
them and publishes new ones after they stand in memory; the reader looks again after copying, so it gets the right bytes
or a `LookupError`, never a mixture. Muted sound is stored as silence and stays marked for as long as it can be read.
Gated sound, captured while the device itself was heard, reads as silence unless it is asked for by name.

Memory: 3 bytes per sample, 0.8 MB for 16 s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import UP_RATE

RATE = UP_RATE
"""Samples per second; what the Live API takes."""

_MUTED, _GATED = 1, 2
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
        self._marked = bytearray(self._size)  # a search in it needs no array
        self._marks = np.frombuffer(self._marked, np.uint8)  # the same memory
        self._written = self._captured = 0
        self._given_up = 0  # set by the writer
        self._wiped = 0  # set by the reader

    @property
    def written(self) -> int:
        """Samples captured so far; every one below this number stands in memory."""
        return self._written

    @property
    def captured(self) -> int:
        """Samples captured so far, with those that do not stand in memory yet (`expect`); never falls."""
        return max(self._captured, self._written)

    @property
    def oldest(self) -> int:
        """The first sample that can still be read."""
        return max(self._given_up, self._wiped)

    def expect(self, count: int) -> None:
        """Say that `count` samples after the last one written were captured and will be appended. Sound thread only."""
        self._captured = max(self._captured, self._written + count)

    def append(self, block: NDArray[np.int16], *, muted: bool = False, gated: bool = False) -> None:
        """Store the next samples (n,) int16; muted ones become silence. Sound thread only."""
        mark = _MUTED if muted else _GATED if gated else 0
        for first in range(0, len(block), _GUARD):
            self._append(block[first : first + _GUARD], mark)

    def read(self, start: int, end: int, *, gated: bool = False) -> bytes:
        """Return samples [start, end) as s16le bytes; those that were gated as silence, unless `gated`.

        Raises:
            LookupError: some of them are gone, wiped, or not yet captured.
        """
        self._require(start, end)
        runs = self._pieces(start, end - start)
        found = b"".join(self._run(at, count, gated=gated) for at, count in runs)
        self._require(start, end)
        return found

    def muted(self, start: int, end: int) -> bool:
        """Tell whether any sample of [start, end) was captured muted.

        Raises:
            LookupError: some of them are gone, wiped, or not yet captured.
        """
        self._require(start, end)
        runs = self._pieces(start, end - start)
        found = any(self._marked.find(_MUTED, at, at + count) >= 0 for at, count in runs)
        self._require(start, end)
        return found

    def gated(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the stretches of [start, end) that were captured gated, as sample numbers in order.

        Raises:
            LookupError: some of them are gone, wiped, or not yet captured.
        """
        self._require(start, end)
        marks = [self._marks[at : at + count] == _GATED for at, count in self._pieces(start, end - start)]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], *marks, [False]]).astype(np.int8))) + start
        self._require(start, end)
        return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

    def wipe(self) -> None:
        """Make everything captured up to now unreadable and overwrite it with zeros. Reader's thread only."""
        end = self._written
        self._wiped = end
        start = end - self._span
        for array in (self._data, self._marks):
            for at, count in self._pieces(start, self._span):
                array[at : at + count] = 0

    def _append(self, block: NDArray[np.int16], mark: int) -> None:
        start, count = self._written, len(block)
        self._given_up = max(self._given_up, start + count - self._span)
        done = 0
        for at, piece in self._pieces(start, count):  # the guard, and so zero already
            if mark != _MUTED:
                self._data[at : at + piece] = block[done : done + piece]
            if mark:
                self._marks[at : at + piece] = mark
            done += piece
        for at, piece in self._pieces(start + _GUARD, count):
            self._data[at : at + piece] = 0
            self._marks[at : at + piece] = 0
        self._written = start + count

    def _run(self, at: int, count: int, *, gated: bool) -> bytes:
        """Return the samples of `count` slots from `at` on."""
        data, marks = self._data[at : at + count], self._marks[at : at + count]
        if gated or not marks.any():
            return data.tobytes()
        return np.where(marks == _GATED, np.int16(0), data).tobytes()

    def _require(self, start: int, end: int) -> None:
        if not self.oldest <= start <= end <= self._written:
            msg = f"samples {start} to {end} cannot be read; there are {self.oldest} to {self._written}"
            raise LookupError(msg)

    def _pieces(self, start: int, count: int) -> list[tuple[int, int]]:
        """Cut `count` slots from sample `start` on into (slot, length) runs that do not wrap."""
        at = start % self._size
        first = min(count, self._size - at)
        return [(at, first)] if first == count else [(at, first), (0, count - first)]

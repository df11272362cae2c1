"""What every canceller does with its two streams before it looks at them. Pure.

    frames = Frames()
    near, far = frames.take(near, far)          # whole 10 ms; the rest waits for the next call
    feed = Feed(library.process)
    clean = feed.process(near, far)             # the library gets sound, and never a muted microphone

A muted microphone gives exact zeros, which no microphone gives otherwise. A canceller that hears zeros while an answer
plays learns a room without echo and without noise; AEC3 then swallows the beginnings of sentences for seconds. So
`Feed` keeps frames of zeros away from the library and returns zeros in their place. When sound comes back, the library
first gets the loudspeaker's last 320 ms, whose echo may still be under way, beside noise as loud as the room's was;
what it makes of that is thrown away, and with it what it still held from before the mute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FRAME = 160
"""Samples in 10 ms at 16 kHz: what AEC3 and speexdsp work on."""

_PAST = 32 * FRAME  # 320 ms: the latest echo of a Pi (250 ms) and the first of the room
_SOUND_EVERY = 10  # the room's noise is measured in one frame of ten, which costs next to nothing
_FLOOR_OVER = 50  # of those, 5 s: speech and echo pause at least once in that time
_SEED = 1

Sound = NDArray[np.int16]


class Frames:
    """Cuts two streams into whole frames, side by side."""

    def __init__(self) -> None:
        self._near = self._far = np.zeros(0, np.int16)

    def take(self, near: Sound, far: Sound) -> tuple[Sound, Sound]:
        """Return all whole frames so far, contiguous; the rest waits.

        Raises:
            ValueError: the two differ in length.
        """
        if len(near) != len(far):
            msg = f"{len(near)} samples of the microphone, {len(far)} of the loudspeaker"
            raise ValueError(msg)
        if len(self._near):
            near, far = np.concatenate([self._near, near]), np.concatenate([self._far, far])
        whole = len(near) // FRAME * FRAME
        if whole < len(near) or len(self._near):
            self._near, self._far = near[whole:].copy(), far[whole:].copy()
        return np.ascontiguousarray(near[:whole]), np.ascontiguousarray(far[:whole])

    def clear(self) -> None:
        """Drop what waits."""
        self._near = self._far = np.zeros(0, np.int16)


class Feed:
    """Feeds a library that cancels whole frames; see the module's docstring.

    Args:
        cancel: takes whole frames of both streams, int16 (n,), and returns as many samples, which are the caller's.
    """

    def __init__(self, cancel: Callable[[Sound, Sound], Sound]) -> None:
        self._cancel = cancel
        self._frames = Frames()
        self.reset()

    def reset(self) -> None:
        """Forget everything; the library is its owner's to reset."""
        self._frames.clear()
        self._missed = np.zeros(0, np.int16)  # the loudspeaker's sound that the library has not heard
        self._count = 0  # frames with sound so far
        self._powers: deque[float] = deque(maxlen=_FLOOR_OVER)
        self._random = np.random.default_rng(_SEED)

    def process(self, near: Sound, far: Sound) -> Sound:
        """Return the whole frames so far without echo.

        Raises:
            ValueError: the two differ in length.
        """
        near, far = self._frames.take(near, far)
        sounding: NDArray[np.bool_] = np.any(near.reshape(-1, FRAME), axis=1)
        if sounding.all() and not len(self._missed):
            self._measure(near)
            return self._cancel(near, far) if len(near) else near.copy()
        out = np.zeros(len(near), np.int16)
        edges = (np.flatnonzero(np.diff(sounding)) + 1) * FRAME
        for start, end in zip([0, *edges], [*edges, len(near)], strict=True):
            if start < end and sounding[start // FRAME]:
                self._catch_up()
                self._measure(near[start:end])
                out[start:end] = self._cancel(near[start:end], far[start:end])
            else:
                self._missed = np.concatenate([self._missed, far[start:end]])[-_PAST:]
        return out

    def _measure(self, near: Sound) -> None:
        """Note the power of every tenth frame in which there is any."""
        frames = len(near) // FRAME
        for at in range(-self._count % _SOUND_EVERY, frames, _SOUND_EVERY):
            wide = near[at * FRAME : (at + 1) * FRAME].astype(np.float64)
            self._powers.append(float(np.dot(wide, wide)) / FRAME)
        self._count += frames

    def _catch_up(self) -> None:
        if len(self._missed):
            floor = min(self._powers, default=0.0) ** 0.5
            noise = np.rint(self._random.normal(0.0, floor, len(self._missed)))
            self._cancel(np.clip(noise, -32_768, 32_767).astype(np.int16), self._missed)
            self._missed = self._missed[:0]

"""What every canceller does with its two streams before it looks at them. Pure.

    frames = Frames()
    near, far = frames.take(near, far)          # whole 10 ms; the rest waits for the next call
    feed = Feed(library.process)
    clean = feed.process(near, far, muted=False)

A library that hears zeros while an answer plays learns a room without echo and without noise; AEC3 then swallows the
beginnings of sentences for seconds. So `Feed` keeps what is `muted` away from the library and returns zeros in its
place. When sound comes back, the library first gets the loudspeaker's last 320 ms, whose echo may still be under way,
beside noise as loud as the room's was; what it makes of that is thrown away, and with it what it still held from before
the mute.

A microphone that is not muted may give frames of zeros too: one with a noise gate, or one that cancels echo itself. It
is heard, and has nothing to say: the library gets noise as loud as the room's in their place, and zeros come out.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo.canceller import check_in_step

FRAME = 160
"""Samples in 10 ms at 16 kHz: what AEC3 and speexdsp work on."""

_PAST = 32 * FRAME  # 320 ms: the latest echo of a Pi (250 ms) and the first of the room
_SOUND_EVERY = 10  # the room's noise is measured in one frame of ten, which costs next to nothing
_FLOOR_OVER = 50  # of those, 5 s: speech and echo pause at least once in that time
_UNKNOWN = 5.0  # of 32 768, -76 dBFS: the noise of a room that has only been heard through a gate
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
        check_in_step(near, far)
        if len(self._near):
            near, far = np.concatenate([self._near, near]), np.concatenate([self._far, far])
        whole = len(near) // FRAME * FRAME
        if whole < len(near) or len(self._near):
            self._near, self._far = near[whole:].copy(), far[whole:].copy()
        return np.ascontiguousarray(near[:whole]), np.ascontiguousarray(far[:whole])

    @property
    def waiting(self) -> int:
        """Samples of a broken frame that wait."""
        return len(self._near)

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
        self._waiting = 0  # samples of a broken frame
        self._waiting_open = False  # of which some were not muted
        self._missed = np.zeros(0, np.int16)  # the loudspeaker's sound that the library has not heard
        self._count = 0  # frames with sound so far
        self._powers: deque[float] = deque(maxlen=_FLOOR_OVER)
        self._random = np.random.default_rng(_SEED)

    def process(self, near: Sound, far: Sound, *, muted: bool) -> Sound:
        """Return the whole frames so far without echo; a frame of which only a part is `muted` is not.

        Raises:
            ValueError: the two differ in length.
        """
        waited, waited_open = self._waiting, self._waiting_open
        near, far = self._frames.take(near, far)
        self._waiting = self._frames.waiting
        self._waiting_open = not muted or (waited_open and not len(near))
        if not muted and not len(self._missed):
            return self._heard(near, far)
        listening = np.full(len(near) // FRAME, not muted)
        listening[: bool(waited)] |= waited_open
        out = np.zeros(len(near), np.int16)
        for start, end in _runs(listening):
            if listening[start // FRAME]:
                self._catch_up()
                out[start:end] = self._heard(near[start:end], far[start:end])
            else:
                self._missed = np.concatenate([self._missed, far[start:end]])[-_PAST:]
        return out

    def _heard(self, near: Sound, far: Sound) -> Sound:
        """Return the whole frames of a microphone that is not muted without echo."""
        if not len(near):
            return near.copy()
        nothing: NDArray[np.bool_] = ~np.any(near.reshape(-1, FRAME), axis=1)
        if not nothing.any():
            self._measure(near)
            return self._cancel(near, far)
        near = near.copy()
        for start, end in _runs(nothing):
            self._measure(near[start:end])
            if nothing[start // FRAME]:
                near[start:end] = self._noise(end - start, unknown=_UNKNOWN)
        out = self._cancel(near, far)
        out.reshape(-1, FRAME)[nothing] = 0
        return out

    def _measure(self, near: Sound) -> None:
        """Note the power of every tenth frame, if there is any."""
        frames = len(near) // FRAME
        for at in range(-self._count % _SOUND_EVERY, frames, _SOUND_EVERY):
            wide = near[at * FRAME : (at + 1) * FRAME].astype(np.float64)
            power = float(np.dot(wide, wide)) / FRAME
            if power:
                self._powers.append(power)
        self._count += frames

    def _catch_up(self) -> None:
        if len(self._missed):
            self._cancel(self._noise(len(self._missed), unknown=0.0), self._missed)
            self._missed = self._missed[:0]

    def _noise(self, count: int, *, unknown: float) -> Sound:
        """Return noise (count,) as loud as the room's, or of that RMS while nothing was heard of it."""
        level = min(self._powers, default=unknown**2) ** 0.5
        return np.clip(np.rint(self._random.normal(0.0, level, count)), -32_768, 32_767).astype(np.int16)


def _runs(kinds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return from which sample to which the frames of one kind go, in order."""
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    return [(start * FRAME, end * FRAME) for start, end in itertools.pairwise(edges) if start < end]

"""`silence:` and `null:`: a microphone that hears nothing and a loudspeaker nobody hears, both at real time.

They stand in where there is no sound card, and they are the pace-makers under the `wav:` devices: position n of a
stream belongs to the time epoch + n / 48 000. Both have a ring of 200 ms.

- Input: a block is there once its last sample's time has come. A reader late by less than the ring catches up; one
  later by more loses the oldest sound, which counts as one xrun, and goes on with the newest 200 ms.
- Output: frames can be written up to 200 ms ahead of the clock. A writer behind the clock by less than the ring
  catches up, and its sound keeps the positions it would have had; one later by more has underrun, which counts once,
  and the time it missed is silence: the next frame written belongs to the present.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.devices import RATE_HZ
from edge_agent.errors import DeviceError, Fault

RING_MS = 200.0
RING_FRAMES = RATE_HZ // 5  # 200 ms


class ClockedInput:
    """Silence, paced by the clock; a subclass fills in other sound."""

    def __init__(
        self,
        name: str,
        *,
        epoch: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start at the epoch, or 200 ms ago when that is longer ago."""
        self.name = name
        self.ring_ms = RING_MS
        self._epoch = epoch
        self._clock = clock
        self._sleep = sleep
        self.position = max(0, self._now() - RING_FRAMES)
        """Frames since the epoch that were read or lost."""

    def read(self, into: NDArray[np.int32]) -> int:
        """Wait until the block's time has passed, fill it; see `InputDevice.read`."""
        xruns = 0
        late = self._now() - self.position - len(into) - RING_FRAMES
        if late > 0:
            self.position += late
            xruns = 1
        while (missing := self.position + len(into) - self._now()) > 0:
            self._sleep(missing / RATE_HZ)
        self._fill(into, self.position)
        self.position += len(into)
        return xruns

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _fill(self, into: NDArray[np.int32], position: int) -> None:  # noqa: ARG002  for subclasses
        into[:] = 0

    def _now(self) -> int:
        return int((self._clock() - self._epoch) * RATE_HZ + 1e-6)  # a millionth of a frame against float rounding


class ClockedOutput:
    """Swallows sound, paced by the clock; a subclass keeps it."""

    def __init__(self, name: str, *, epoch: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at the epoch; opened later than 200 ms after it, the time before is silence and no underrun."""
        self.name = name
        self.ring_ms = RING_MS
        self._epoch = epoch
        self._clock = clock
        self._underruns = 0
        self.position = 0
        """Frames since the epoch that were written or missed; the next frame's place."""
        self.padded = 0
        """Of these, frames of silence put in for time in which nothing was written."""

    def writable(self) -> int:
        """Return the free room of the ring in frames, at most 200 ms."""
        return max(0, min(RING_FRAMES, RING_FRAMES + self._caught_up() - self.position))

    def write(self, block: NDArray[np.int32]) -> int:
        """Take the block; see `OutputDevice.write`."""
        self._caught_up()
        self._store(block)
        self.position += len(block)
        underruns, self._underruns = self._underruns, 0
        return underruns

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _store(self, block: NDArray[np.int32]) -> None:
        pass

    def _store_silence(self, frames: int) -> None:
        pass

    def _caught_up(self) -> int:
        """Return the clock's position, having filled time lost by an underrun."""
        now = int((self._clock() - self._epoch) * RATE_HZ + 1e-6)
        missed = now - self.position
        if missed > RING_FRAMES:
            if self.position:
                self._underruns += 1
            self._pad(missed)
        return now

    def _pad(self, frames: int) -> None:
        self._store_silence(frames)
        self.position += frames
        self.padded += frames


def open_input(rest: str, *, block_frames: int, epoch: float) -> ClockedInput:  # noqa: ARG001  the devices' interface
    """Open `silence:`."""
    if rest:
        raise DeviceError(f'"silence:{rest}" is not a microphone; write "silence:" alone', fault=Fault.MICROPHONE)
    return ClockedInput("silence:", epoch=epoch)


def open_output(rest: str, *, block_frames: int, epoch: float) -> ClockedOutput:  # noqa: ARG001  the devices' interface
    """Open `null:`."""
    if rest:
        raise DeviceError(f'"null:{rest}" is not a loudspeaker; write "null:" alone', fault=Fault.LOUDSPEAKER)
    return ClockedOutput("null:", epoch=epoch)

"""What every echo canceller is to the engine: three calls and three facts. Pure.

The engine names this type; `edge_agent.audio.echo` chooses what stands behind it.

What a canceller adds (AEC3 8 ms, speex 10 ms) is told nowhere: samples keep the number of the microphone's that went in
with them, so that turns, pauses and mutes lie where they were captured, and while a canceller works the sound stands so
much later in them. No boundary is that exact: the pre-roll is half a second, a frame of the detectors 20 ms. Where it
begins or ends to work, 8 or 10 ms of the microphone are silent or missing.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MAX_DELAY_MS = 500.0
"""The latest echo that is believed: twice the longest way through output ring, room and input ring that a Pi has."""


def check_in_step(near: NDArray[np.int16], far: NDArray[np.int16]) -> None:
    """Raise ValueError if the microphone's and the loudspeaker's samples differ in length."""
    if len(near) != len(far):
        msg = f"{len(near)} samples of the microphone, {len(far)} of the loudspeaker"
        raise ValueError(msg)


class Canceller(Protocol):
    """Takes the loudspeaker's sound out of the microphone's, block by block, in the sound thread alone.

    Both streams are int16 mono at 16 kHz and run in step: sample n of `far` was committed to the loudspeaker for the
    time at which sample n of `near` was captured, or a steady while before it (`delay`).
    """

    @property
    def name(self) -> str:
        """What it is called in `status` and in the log: aec3, speex, half-duplex."""
        ...

    @property
    def gates(self) -> bool:
        """True if it only shuts the microphone: what `process` returns is for detectors and must not go up."""
        ...

    @property
    def trusted(self) -> bool:
        """True if its output may be believed at once; else it has to be seen to work (`audio.trust`)."""
        ...

    @property
    def shut(self) -> bool:
        """True if the device may be heard in the last block and the microphone's own sound of it must not go up."""
        ...

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16], *, muted: bool = False) -> NDArray[np.int16]:
        """Return `near` (n,) int16 without the echo of `far` (n,) int16, in whole frames of 10 ms.

        What is left of the last frame comes out with the next call, so blocks of whole frames come back at their own
        length. Any chunking of the streams gives the same bits. The result is the caller's to change.

        `muted`: nobody hears the microphone, `near` is zeros and so is what comes out; it teaches nothing, and nothing
        from before comes out later. Zeros that are not muted are a microphone's own silence.

        Raises:
            ValueError: the two differ in length.
        """
        ...

    def reset(self) -> None:
        """Forget everything heard and learned, as if newly made; the delay stays."""
        ...

    def delay(self, ms: float) -> None:
        """Say how much later the echo appears in `near` than its sound in `far`.

        Raises:
            ValueError: not from 0 to `MAX_DELAY_MS`.
        """
        ...


def checked_delay(ms: float) -> float:
    """Return a delay that a canceller can use.

    Raises:
        ValueError: not from 0 to `MAX_DELAY_MS`.
    """
    if not 0 <= ms <= MAX_DELAY_MS:
        msg = f"an echo {ms:g} ms late cannot be; 0 to {MAX_DELAY_MS:g} ms can"
        raise ValueError(msg)
    return ms

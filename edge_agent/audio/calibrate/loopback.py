"""Play a sound and record it at the same time, through the devices the daemon would open, in one loop without a thread.

    with Loopback(input="pyaudio:edge_mic", output="pyaudio:edge_speaker", block_ms=20) as loopback:
        take = loopback.run(sound)          # (n,) float32 at 48 kHz, as the loudspeaker is to get it
    take.microphone                         # (m, 2) int32, both slots
    take.offset                             # microphone frame that was heard while the sound's frame 0 was played

The devices stay open between two runs, as they do in the daemon, and something has to happen soon: a person is told
what to do between two runs, nothing is computed. The loudspeaker's ring is filled by the daemon's own `OutputPacer`.

A loudspeaker that takes nothing for two seconds, or takes a sound at less than half its speed, ends the run: nothing
that was measured on it would hold.

`offset` reckons with what the ring held each time a block was read, so a delay measured against it is that of the
devices, the air and the microphone alone; what the ring adds is `ring_ms`. Where sound was lost (`lost`), a take is
of no use.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio import devices
from edge_agent.audio.calibrate.programme import Take
from edge_agent.audio.pacer import RATE_HZ, OutputPacer
from edge_agent.errors import Fault, StreamEnded

if TYPE_CHECKING:
    from edge_agent.audio.sound import OpenInput, OpenOutput

SETTLE_S = 1.0
"""Thrown away after opening: microphones and amplifiers start with nonsense, and rings fill."""
BEYOND_S = 0.3
"""Recorded after a sound has left the ring: the longest path to the microphone that is still measured is shorter."""
_STUCK_S = 2.0  # far more than any ring holds: a loudspeaker that has taken nothing for so long never will


class Loopback:
    """See the module's docstring.

    Args:
        input: device string of the microphone.
        output: device string of the loudspeaker.
        block_ms: length of a block.
        open_input: opens the microphone; None: `edge_agent.audio.devices.open_input`.
        open_output: opens the loudspeaker; None: `edge_agent.audio.devices.open_output`.
        clock: monotonic seconds.

    Raises, when entered or run:
        DeviceError: a device is absent, busy or refused.
        StreamEnded: a device died, or the loudspeaker does not take what it is given.
    """

    def __init__(
        self,
        *,
        input: str,  # noqa: A002  the setting's name
        output: str,
        block_ms: int,
        open_input: OpenInput | None = None,
        open_output: OpenOutput | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = (input, output)
        self._frames = block_ms * RATE_HZ // 1_000
        self._open_input = open_input or devices.open_input
        self._open_output = open_output or devices.open_output
        self._clock = clock
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        epoch = self._clock()
        with contextlib.ExitStack() as opened:
            self._loudspeaker = self._open_output(self._names[1], block_frames=self._frames, epoch=epoch)
            opened.callback(self._loudspeaker.close)
            self._microphone = self._open_input(self._names[0], block_frames=self._frames, epoch=epoch)
            opened.callback(self._microphone.close)
            self._pacer = OutputPacer(block_frames=self._frames, ring_ms=self._loudspeaker.ring_ms)
            self.run(np.zeros(round(SETTLE_S * RATE_HZ), np.float32))
            self._closing = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def run(self, sound: NDArray[np.float32]) -> Take:
        """Play `sound`, (n,) float32 of full scale 1, to both slots, and record until its end has been heard."""
        whole = np.repeat((sound.astype(np.float64) * (2**31 - 1)).astype(np.int32)[:, None], 2, axis=1)
        room = len(sound) + round((BEYOND_S + 1.0) * RATE_HZ)
        heard = np.zeros((room // self._frames * self._frames, 2), np.int32)
        read = written = lost = taken_at = 0
        offsets: list[int] = []
        fills: list[int] = []
        end: int | None = None
        while end is None or (read < end and read + self._frames <= len(heard)):
            if read + self._frames > len(heard):  # the loudspeaker takes far less than the microphone gives
                heard = np.concatenate([heard, np.zeros_like(heard)])
            xruns = self._microphone.read(heard[read : read + self._frames])
            read += self._frames
            count = self._pacer.frames(self._frames, self._loudspeaker.writable())
            if written < len(whole):
                offsets.append(read - written + self._pacer.fill - count)
                fills.append(self._pacer.fill)
            underruns = self._loudspeaker.write(_next(whole, written, count)) if count else 0
            written += count
            taken_at = read if count else taken_at
            if end is None and (read - taken_at > _STUCK_S * RATE_HZ or read > 2 * room):
                raise StreamEnded(
                    f"The loudspeaker {self._names[1]} took {written / RATE_HZ:.1f} of {len(whole) / RATE_HZ:.1f} s of "
                    f"sound in {read / RATE_HZ:.0f} s: switch it off and on again, and see that no other program "
                    "holds it",
                    fault=Fault.LOUDSPEAKER,
                )
            if xruns:
                self._pacer.xrun(output=False)
            if underruns:
                self._pacer.xrun(output=True)
            lost += xruns + underruns
            if end is None and written >= len(whole):
                end = read + self._pacer.fill + round(BEYOND_S * RATE_HZ)
        return Take(
            microphone=heard[:read],
            offset=float(np.median(offsets)),
            ring_ms=float(np.median(fills)) * 1_000 / RATE_HZ,
            lost=lost,
        )


def _next(whole: NDArray[np.int32], at: int, count: int) -> NDArray[np.int32]:
    """Return the next `count` frames, silence after the end."""
    piece = whole[at : at + count]
    if len(piece) == count:
        return piece
    return np.concatenate([piece, np.zeros((count - len(piece), 2), np.int32)])

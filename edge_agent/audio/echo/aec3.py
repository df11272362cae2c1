"""WebRTC's AEC3, the canceller of choice, through `pywebrtc-audio`.

    canceller = Aec3()
    clean = canceller.process(near, far)        # int16 at 16 kHz, one call a block

It finds an echo up to 250 ms late by itself, and again after a jump; the delay told is a hint. It adds 8 ms, cuts below
about 80 Hz and turns the phase, so its output is for ears and recognisers, not for another linear canceller.

Its automatic gain and its noise suppression are left out. Gain after cancelling lifts what is left of the echo again
whenever nobody talks; suppression takes 3 dB more from a person who talks over the answer, and 8 ms.

The library works in frames of 10 ms inside one call, fills up a last broken frame with zeros and is not thread-safe:
it gets whole frames only, from the sound thread alone. It lets go of the interpreter while it computes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo.canceller import checked_delay
from edge_agent.audio.echo.frames import Feed
from edge_agent.audio.filters import UP_RATE
from edge_agent.errors import DeviceError, Fault

RATE_HZ = UP_RATE


class Aec3:
    """See the module's docstring.

    Args:
        delay_ms: how much later the echo appears in the microphone than in the reference; a hint.

    Raises:
        DeviceError: pywebrtc-audio cannot be loaded.
        ValueError: the delay is not from 0 to 500 ms.
    """

    name = "aec3"
    gates = False
    trusted = False
    shut = False

    def __init__(self, *, delay_ms: float = 0.0) -> None:
        try:
            from pywebrtc_audio import EchoCanceller  # noqa: PLC0415  not every device cancels echo itself
        except ImportError as error:
            raise DeviceError(
                f"The echo canceller AEC3 cannot be loaded ({error}); pip install pywebrtc-audio",
                fault=Fault.MICROPHONE,
            ) from None
        self._webrtc = EchoCanceller(RATE_HZ, 1, round(checked_delay(delay_ms)))
        self._feed = Feed(self._webrtc.process)

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16], *, muted: bool = False) -> NDArray[np.int16]:
        """Return the whole frames (m,) int16 of `near` without the echo of `far`; see `Canceller.process`."""
        return self._feed.process(near, far, muted=muted)

    def reset(self) -> None:
        """Forget the room, as if newly made; the delay stays."""
        self._webrtc.reset()
        self._feed.reset()

    def delay(self, ms: float) -> None:
        """Tell it where to look for the echo first.

        Raises:
            ValueError: not from 0 to 500 ms.
        """
        self._webrtc.stream_delay_ms = round(checked_delay(ms))

"""A sound card that cancels its own echo, such as a speakerphone: its microphone is taken as it is. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo.canceller import check_in_step, checked_delay


class Trusted:
    """Nothing left to cancel, so that speech over an answer may be believed."""

    name = "hardware"
    gates = False
    trusted = True
    shut = False

    def process(
        self,
        near: NDArray[np.int16],
        far: NDArray[np.int16],
        *,
        muted: bool = False,  # noqa: ARG002  as others
    ) -> NDArray[np.int16]:
        """Return `near` (n,) int16 as it is; see `Canceller.process`."""
        check_in_step(near, far)
        return near.copy()

    def reset(self) -> None:
        """Do nothing: there is nothing to forget."""

    def delay(self, ms: float) -> None:
        """Do nothing with a delay that can be.

        Raises:
            ValueError: not from 0 to 500 ms.
        """
        checked_delay(ms)

"""Is the echo canceller to be believed? Only once it has been seen to work.

    trust = Trust()
    trust.hear(far, clean, noise_dbfs=-60)     # a block in which the device speaks
    trust.given
    trust.doubt()                              # the echo path may be another now

A canceller that has just begun, or has lost the echo path, lets the device's own voice through, now and then at full
level. So silence goes up while the device sounds, and nobody is noticed, until nothing was left of `LEARN_S` of its
speech; at the latest after `LEARN_MOST_S`, for what is left then is not the canceller's fault. What is left may be as
loud as the room's noise; an echo softer than that has never been a trouble.

A canceller that has worked before knows the room: where sound was lost, AEC3 lets the answer through for 0.6 s and is
as good as before then. So the `SETTLE_S` after a doubt teach nothing, and `AGAIN_S` without a rest is enough, or
`AGAIN_MOST_S` in all. A doubt while it is being earned begins the settling anew, but not the count in all: where
something is lost every few seconds it would never end. Pure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.ring import RATE

LEARN_S = 1.0
LEARN_MOST_S = 3.0
AGAIN_S = 0.3
AGAIN_MOST_S = 2.0
SETTLE_S = 0.5

_SPOKEN = 10 ** (-45 / 10)  # power of the loudspeaker's signal over full scale: softer sound teaches nothing
_LEFT = 10 ** (-50 / 10)  # of what is left of it: a listening service may take a louder one for a person
_NOISE_DB = 6.0  # a block of noise is so much louder than the noise's floor at most


class Trust:
    """See the module's docstring; `given` from the start where there is nothing to doubt."""

    def __init__(self, *, given: bool = False) -> None:
        self.given = given
        self.doubts = 0
        """Times it had to be earned anew."""
        self._wanted_s, self._most_s = LEARN_S, LEARN_MOST_S
        self._lesson = self._clean = 0  # samples of the device's speech so far; of the last ones nothing was left
        self._settling = 0  # samples that teach nothing

    def doubt(self) -> None:
        """Earn it anew."""
        if self.given:
            self.given = False
            self.doubts += 1
            self._wanted_s, self._most_s = AGAIN_S, AGAIN_MOST_S
            self._lesson = 0
        self._clean = 0
        self._settling = round(SETTLE_S * RATE)

    def rest(self, count: int) -> None:
        """Let `count` samples pass in which the device made no sound."""
        self._settling = max(0, self._settling - count)

    def hear(self, far: NDArray[np.int16], clean: NDArray[np.int16], *, noise_dbfs: float) -> None:
        """Judge by what the loudspeaker played (n,) and what the canceller left of the microphone (n,)."""
        if self._settling > 0:
            self.rest(len(far))
            return
        if self.given or _power(far) < _SPOKEN:
            return
        self._lesson += len(far)
        quiet = _power(clean) < max(_LEFT, 10 ** ((noise_dbfs + _NOISE_DB) / 10))
        self._clean = self._clean + len(far) if quiet else 0
        self.given = self._clean >= self._wanted_s * RATE or self._lesson >= self._most_s * RATE


def _power(samples: NDArray[np.int16]) -> float:
    """Return the mean power of (n,) samples, 1.0 at full scale."""
    wide = samples.astype(np.float32)
    return float(np.dot(wide, wide)) / (max(1, len(samples)) * 32_768.0**2)

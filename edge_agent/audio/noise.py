"""The room's steady noise: the level that is always there.

    noise = NoiseFloor()
    noise.take(power, seconds=0.02)      # mean power of a stretch in which nobody needs to be silent
    noise.dbfs

A fall is believed at once, a rise slowly (`RISE_DB_PER_S`): pauses between words show the noise, words do not raise it,
and a fan that is switched on is known after a while. Exact silence is a microphone that gives nothing, and says
nothing. Pure.
"""

from __future__ import annotations

import math

from edge_agent.audio.levels import SILENCE_DBFS

RISE_DB_PER_S = 3.0
"""A sentence of five seconds without a pause would count for 15 dB; there are pauses."""
_FALL_S = 0.02  # half the way down in this time: a single soft frame is not yet the noise


class NoiseFloor:
    """See the module's docstring."""

    def __init__(self) -> None:
        self.dbfs = SILENCE_DBFS
        """The noise, RMS."""

    def take(self, power: float, seconds: float) -> None:
        """Take the mean power (1.0 at full scale) of the next `seconds`."""
        if power <= 0.0:
            return
        level = 10 * math.log10(power)
        if self.dbfs <= SILENCE_DBFS:
            self.dbfs = level
        elif level < self.dbfs:
            self.dbfs += (level - self.dbfs) * (1 - 0.5 ** (seconds / _FALL_S))
        else:
            self.dbfs = min(level, self.dbfs + RISE_DB_PER_S * seconds)

"""Loudness of both directions, for `ctl watch` and a light that follows the voice.

    meter = Meter(clipped_so_far)
    meter.mic(block, len(block)); meter.speaker(mix, len(mix))
    if meter.due():
        level = meter.read(clipped_so_far)      # then start with a new meter

Only sums of squares: two dot products a block, and nothing at all where nobody asks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENCE_DBFS = -120.0
"""The level reported for silence."""

PERIOD_SAMPLES = 1_600
"""100 ms of microphone at 16 kHz between two readings: faster than that the eye does not follow."""


@dataclass(slots=True)
class Level:
    """Loudness of the last 100 ms, dBFS (RMS; a full-scale square wave is 0), and clipped microphone samples in it."""

    mic_dbfs: float
    speaker_dbfs: float
    clipped: int


class Meter:
    """Mean power of both directions since it was made.

    Args:
        clipped: microphone samples that had been clipped by then.
    """

    def __init__(self, clipped: int = 0) -> None:
        self._clipped = clipped
        self._mic = self._speaker = 0.0
        self._mic_count = self._speaker_count = 0

    def mic(self, samples: NDArray[np.int16], count: int) -> None:
        """Add `count` microphone samples, silent but for `samples` (n,)."""
        wide = samples.astype(np.float32)
        self._mic += float(np.dot(wide, wide)) / 32_768.0**2
        self._mic_count += count

    def speaker(self, samples: NDArray[np.float32], count: int) -> None:
        """Add `count` loudspeaker samples, silent but for `samples` (n,) in [-1, 1]."""
        self._speaker += float(np.dot(samples, samples))
        self._speaker_count += count

    def due(self) -> bool:
        """Tell whether 100 ms have been heard."""
        return self._mic_count >= PERIOD_SAMPLES

    def read(self, clipped: int) -> Level:
        """Return the levels; `clipped` as when the meter was made."""
        return Level(
            _dbfs(self._mic, self._mic_count), _dbfs(self._speaker, self._speaker_count), clipped - self._clipped
        )


def _dbfs(power: float, count: int) -> float:
    return max(SILENCE_DBFS, 10 * math.log10(power / count)) if count and power > 0 else SILENCE_DBFS

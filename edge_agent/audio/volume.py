"""Loudness: what 0 to 100 mean, and changing it without a click.

    gain(60)                      # a factor for samples
    ramp = VolumeRamp(60)
    ramp.set(30)
    ramp.apply(samples)           # in place; the change is spread over 20 ms

The scale is even in loudness as heard, not in amplitude. Loudness in sones doubles with every 10 dB (Stevens' power
law, ISO 532-1), so volume 100 is 0 dB, volume 1 is -40 dB, a sixteenth as loud, and every step between adds the same
number of sones: 50 is -9.3 dB. 0 is silence.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RAMP_SAMPLES = 480
"""20 ms at 24 kHz: short enough to follow a knob, long enough not to click."""

_FLOOR_SONES = 2.0 ** (-40 / 10)  # of volume 1, where volume 100 is 1 sone


def gain(volume: int) -> float:
    """Return the factor for a volume from 0 to 100.

    Raises:
        ValueError: the volume is outside that.
    """
    if not 0 <= volume <= 100:
        msg = f"volume {volume} is not from 0 to 100"
        raise ValueError(msg)
    if volume == 0:
        return 0.0
    sones = _FLOOR_SONES + (1 - _FLOOR_SONES) * (volume - 1) / 99
    return float(10 ** (10 * math.log2(sones) / 20))


class Ramp:
    """A factor that moves to a new value in a straight line; any chunking gives the same bits."""

    def __init__(self, value: float) -> None:
        self._from = self._to = np.float32(value)
        self._length = self._at = 0

    @property
    def resting(self) -> bool:
        """True when no move is on the way."""
        return self._at >= self._length

    def move(self, value: float, samples: int) -> None:
        """Move to `value` within `samples`, from wherever the factor stands."""
        reached = np.float32(1.0) if self.resting else np.float32(self._at) / np.float32(self._length)
        self._from = np.float32(self._from + (self._to - self._from) * reached)
        self._to, self._length, self._at = np.float32(value), samples, 0

    def apply(self, samples: NDArray[np.float32]) -> None:
        """Scale `samples` (n,) in place."""
        ramped = min(len(samples), self._length - self._at)
        if ramped > 0:
            line = np.arange(self._at + 1, self._at + ramped + 1, dtype=np.float32) / np.float32(self._length)
            samples[:ramped] *= self._from + (self._to - self._from) * line
            self._at += ramped
        if self._to != 1:
            samples[max(0, ramped) :] *= self._to

    def finish(self) -> None:
        """Be there at once, where nothing is being heard."""
        self._at = self._length


class VolumeRamp(Ramp):
    """A gain that moves to a new volume in a straight line over `RAMP_SAMPLES`."""

    def __init__(self, volume: int) -> None:
        super().__init__(gain(volume))
        self._volume = volume

    @property
    def volume(self) -> int:
        """The volume last set."""
        return self._volume

    @property
    def silent(self) -> bool:
        """True when nothing can be heard: volume 0, and no ramp on the way to it."""
        return self._volume == 0 and self.resting

    def set(self, volume: int) -> None:
        """Start to move to `volume`, from wherever the gain stands.

        Raises:
            ValueError: the volume is not from 0 to 100.
        """
        self.move(gain(volume), RAMP_SAMPLES)
        self._volume = volume

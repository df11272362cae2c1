"""What is played while calibrating, and what comes back: silence, then the sweep at three volumes, quiet to loud.

    programme = Programme.up_to(100)        # volumes 20, 49 and 100: -20, -10 and 0 dB
    programme.sound                         # (n,) float32 at 48 kHz, as the loudspeaker gets it
    programme.quiet, programme.starts       # where the silence lies, and where each sweep begins, in frames

Quiet comes first so that a person who stands near can step back, and a loudspeaker that is wired to far too much gain
shows before it hurts. The loudest sample of a sweep is 3 dB under the loudest an answer can have at that volume.

Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.calibrate import sweep
from edge_agent.audio.volume import gain

SWEEP_PEAK: Final = 10 ** (-3 / 20)
STEPS_DB: Final = (-20.0, -10.0, 0.0)  # of the three sweeps, under the loudest
LEAST: Final = 20  # a cap below this leaves no volume 20 dB under it
SILENCE_FRAMES: Final = sweep.RATE_HZ
BEEP_S: Final = 0.25
_SETTLED_FRAMES: Final = sweep.RATE_HZ // 10  # of the silence, not measured: filters of the device may still move
_GAP_FRAMES: Final = round(sweep.TAIL_S * sweep.RATE_HZ)


def decibels(volume: int) -> float:
    """Return the gain of a volume from 1 to 100, dB."""
    return 20 * math.log10(gain(volume))


def nearest_volume(db: float) -> int:
    """Return the volume from 1 to 100 whose gain is nearest to `db`."""
    return min(range(1, 101), key=lambda volume: abs(decibels(volume) - db))


@dataclass(frozen=True, slots=True)
class Programme:
    """One run of sound; see the module's docstring."""

    volumes: tuple[int, ...]
    """Of the sweeps, in the order they are played."""
    sound: NDArray[np.float32]
    quiet: slice
    """The silence, frames."""
    starts: tuple[int, ...]
    """First frame of each sweep."""

    @classmethod
    def up_to(cls, loudest: int) -> Programme:
        """Build the programme whose last sweep is played at the volume `loudest`, `LEAST` to 100.

        Raises:
            ValueError: `loudest` is outside that.
        """
        if not LEAST <= loudest <= 100:
            msg = f"the loudest volume must be from {LEAST} to 100, not {loudest}"
            raise ValueError(msg)
        volumes = tuple(nearest_volume(decibels(loudest) + step) for step in STEPS_DB)
        pieces: list[NDArray[np.float64]] = [np.zeros(SILENCE_FRAMES)]
        starts = []
        at = SILENCE_FRAMES
        for volume in volumes:
            starts.append(at)
            pieces += [SWEEP_PEAK * gain(volume) * sweep.samples(), np.zeros(_GAP_FRAMES)]
            at += sweep.FRAMES + _GAP_FRAMES
        return cls(
            volumes=volumes,
            sound=np.concatenate(pieces).astype(np.float32),
            quiet=slice(_SETTLED_FRAMES, SILENCE_FRAMES),
            starts=tuple(starts),
        )

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return len(self.sound) / sweep.RATE_HZ


@dataclass(frozen=True, slots=True)
class Take:
    """One recording."""

    microphone: NDArray[np.int32]
    """(m, 2) int32, full scale 2**31."""
    offset: float
    """Frame of `microphone` that was heard while frame 0 of the sound was played, if nothing else delayed it."""
    ring_ms: float
    """What the loudspeaker's ring held after each write, median."""
    lost: int
    """Times sound was lost in either direction."""


def beep_then_silence(volume: int, seconds: float) -> NDArray[np.float32]:
    """Return the sign to begin to speak, and silence for the words: (n,) float32 at 48 kHz."""
    count = round(BEEP_S * sweep.RATE_HZ)
    t = np.arange(count) / sweep.RATE_HZ
    beep = 0.25 * gain(volume) * np.sin(2 * np.pi * 880 * t) * np.sin(np.pi * np.arange(count) / count)
    return np.concatenate([beep, np.zeros(round(seconds * sweep.RATE_HZ))]).astype(np.float32)

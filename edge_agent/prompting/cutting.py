"""Cut a recording to its speech: silence before and after it is taken off, and both ends fade. Pure.

speech = cut(samples, 24_000)        # empty if nothing is louder than silence
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BEFORE_S = 0.05  # kept before the first sound: a soft consonant begins below the threshold
AFTER_S = 0.15  # and after the last: the end of a word dies away
FADE_S = 0.005  # no click where the cut is
FRAME_S = 0.01
_FLOOR = 10 ** (-60 / 20)  # of full scale; a synthetic voice is silent between words, noise of 16 bits is at -98 dB
_BELOW_PEAK = 10 ** (-40 / 20)  # of the loudest frame: breath and the hum of a room are no speech


def cut(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return the part of a mono sound, full scale -1.0 to 1.0, shape (n,), that holds its speech; (0,) if none."""
    width = round(FRAME_S * rate)
    count = -(-len(samples) // width)
    if not count:
        return samples[:0]
    frames = np.pad(samples, (0, count * width - len(samples))).reshape(count, width)
    loudness = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    loud = np.flatnonzero(loudness > max(_FLOOR, float(loudness.max()) * _BELOW_PEAK))
    if not len(loud):
        return samples[:0]
    begin = max(0, int(loud[0]) * width - round(BEFORE_S * rate))
    end = min(len(samples), (int(loud[-1]) + 1) * width + round(AFTER_S * rate))
    speech = samples[begin:end].copy()
    ramp = min(round(FADE_S * rate), len(speech) // 2)
    rising = (0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / max(1, ramp))).astype(np.float32)
    speech[:ramp] *= rising
    speech[len(speech) - ramp :] *= rising[::-1]
    return speech

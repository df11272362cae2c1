"""Sound that stands for a voice: noise with a voice's spectrum and the rhythm of syllables, a function of its seed.

Unlike recorded words it never repeats and is never silent, so a piece of it tells where in the whole it was taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SYLLABLES_HZ = 4.0  # of running speech
HIGHEST_HZ = 6_500.0  # the uplink's filter is flat to here
KNEE_HZ = 500.0  # above, the long-term spectrum of speech falls by about 9 dB an octave


def speech(seconds: float, *, seed: int, rate: int, level_dbfs: float = -20.0) -> NDArray[np.float32]:
    """Return float32 (n,), full scale 1; its end joins its start, and all rates carry the same sound of one seed."""
    count = round(seconds * 16_000)
    generator = np.random.Generator(np.random.PCG64(seed))
    hz = np.fft.rfftfreq(count, 1 / 16_000)
    shape = np.where(hz < KNEE_HZ, 1.0, (np.maximum(hz, 1.0) / KNEE_HZ) ** -1.5)
    shape[(hz < 100.0) | (hz > HIGHEST_HZ)] = 0.0
    voice = np.fft.irfft(np.fft.rfft(generator.standard_normal(count)) * shape, count)
    slow = np.fft.rfft(generator.standard_normal(count))
    slow[hz > SYLLABLES_HZ] = 0.0
    rhythm = np.fft.irfft(slow, count)
    spoken = voice * (0.15 + np.abs(rhythm) / np.abs(rhythm).max())
    spoken *= 10 ** (level_dbfs / 20) / np.sqrt(np.mean(np.square(spoken)))
    spectrum = np.fft.rfft(spoken)
    wanted = round(seconds * rate)
    there = np.zeros(wanted // 2 + 1, complex)
    shared = min(len(there), len(spectrum))
    there[:shared] = spectrum[:shared] * (wanted / count)
    found = np.fft.irfft(there, wanted)
    return np.asarray(np.clip(found, -1.0, 1.0), np.float32)


def pcm(samples: NDArray[np.float32]) -> bytes:
    """Return s16le."""
    found: bytes = np.clip(np.rint(samples * 32_767.0), -32_768, 32_767).astype("<i2").tobytes()
    return found


def find(piece: NDArray[np.float64], whole: NDArray[np.float64]) -> tuple[int, float]:
    """Return where in `whole`, taken as a circle, `piece` stands best, and their correlation there (0 to 1).

    Raises:
        ValueError: the piece is empty, silent, or longer than the whole.
    """
    if not 0 < len(piece) <= len(whole) or not np.any(piece):
        raise ValueError(f"{len(piece)} samples cannot be found in {len(whole)}")
    size = len(whole)
    product = np.fft.irfft(np.fft.rfft(whole) * np.conj(np.fft.rfft(piece, size)), size)
    power = np.concatenate([[0.0], np.cumsum(np.square(np.concatenate([whole, whole[: len(piece)]])))])
    energy = power[len(piece) : len(piece) + size] - power[:size]
    score = product / np.sqrt(np.maximum(energy, 1e-12) * np.sum(np.square(piece)))
    at = int(np.argmax(score))
    return at, float(score[at])


def in_order(piece: NDArray[np.float64], whole: NDArray[np.float64], at: int, *, step: int) -> float:
    """Return the lowest correlation of any `step` samples of `piece` with `whole` from `at` on, at that one offset.

    A lost or doubled block shifts all that follows, and shows here.
    """
    lowest = 1.0
    last = max(0, len(piece) - step)
    for start in (*range(0, last, step), last):
        part = piece[start : start + step]
        there = np.take(whole, np.arange(at + start, at + start + len(part)), mode="wrap")
        size = float(np.sqrt(np.sum(np.square(part)) * np.sum(np.square(there))))
        lowest = min(lowest, float(np.dot(part, there)) / size if size else 0.0)
    return lowest

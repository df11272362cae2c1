"""The exponential sine sweep: one sound that tells delay, response, decay and every order of distortion apart.

    sound = samples()                       # (96 000,) float64, peak 1, 2 s from 100 Hz to 7.5 kHz
    response = Response(recording)          # `recording` begins with the sweep's first sample as it was played
    response.peak()                         # (ms, height): the loudest point of the linear response, sub-sample
    response.linear(ms)                     # magnitude over frequency
    response.harmonic(3, ms)                # of the third harmonic, over the frequency it is heard at

The frequency grows by the same factor in the same time, so the sweep's n-th harmonic is the sweep itself, earlier by
L ln n. Divided by the sweep's spectrum, a recording becomes the linear impulse response at its delay and, before it at
those distances, one response for each harmonic: they are cut apart by time. The division uses the spectrum in closed
form, which holds above the sweep's end too, where harmonics of its upper half are heard.

Pure. Sources: A. Farina, "Simultaneous measurement of impulse response and distortion with a swept-sine technique",
108th AES Convention, 2000; A. Novak, P. Lotton, L. Simon, "Synchronized Swept-Sine: Theory, Application, and
Implementation", J. Audio Eng. Soc. 63 (10), 2015, for the synchronised form and its spectrum; the long-term average
speech spectrum of D. Byrne et al., J. Acoust. Soc. Am. 96 (4), 1994.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import CARD_RATE

RATE_HZ = CARD_RATE
LOW_HZ, HIGH_HZ = 100.0, 7_500.0
"""What is swept: below, small loudspeakers give distortion only; above, the service hears nothing."""
SECONDS = 2.0
FRAMES = round(SECONDS * RATE_HZ)
TAIL_S = 1.2
"""What a recording must hold beyond the sweep: the longest delay, its decay, and noise alone after that."""
HARMONICS = (2, 3, 4, 5, 6)

_FADE_IN_S, _FADE_OUT_S = 0.02, 0.004  # against clicks; short in Hz at both ends of the sweep
_RATE = round(LOW_HZ * SECONDS / math.log(HIGH_HZ / LOW_HZ)) / LOW_HZ  # L, seconds a factor e takes; L x LOW_HZ whole
_FFT = 1 << 18  # 5.46 s: sweep and tail, and the harmonics' negative times wrapped to the end
_EARLIEST_S, _LATEST_S = -0.02, 0.6  # of a delay; half a period of a sound server may be reckoned wrongly
_WINDOW_S = 0.06  # of a response when orders are compared; 5th and 6th lie 84 ms apart
_BEFORE_S = 0.005  # of a window before its peak
_NOISE_S = (0.35, 0.42, 0.49)  # after the peak: decayed to noise, and still within the recording
_SPEECH_HZ = np.array(
    [100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 7500.0]
)
_SPEECH_DB = np.array(
    [54.4, 57.7, 56.8, 60.2, 60.3, 59.0, 62.1, 62.1, 60.5, 56.8, 53.7, 53.0, 52.0, 48.7, 48.1, 46.8, 45.6, 44.5, 44.3,
     43.8]
)  # fmt: skip
"""Level of speech in third octaves, dB (Byrne et al., table II, both sexes, 70 dB in all)."""


def samples() -> NDArray[np.float64]:
    """Return the sweep, (`FRAMES`,) float64 of peak 1."""
    t = np.arange(FRAMES) / RATE_HZ
    sound = np.sin(2 * np.pi * LOW_HZ * _RATE * np.exp(t / _RATE))
    fade_in, fade_out = (round(s * RATE_HZ) for s in (_FADE_IN_S, _FADE_OUT_S))
    sound[:fade_in] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(fade_in) / fade_in)
    sound[-fade_out:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(fade_out) / fade_out)
    return sound


def speech_weights(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each of the logarithmically spaced frequencies (n,) in the power of speech; sum 1."""
    power = 10 ** (np.interp(np.log(hz), np.log(_SPEECH_HZ), _SPEECH_DB) / 10)
    found: NDArray[np.float64] = power / power.sum()
    return found


GRID_HZ: NDArray[np.float64] = np.geomspace(110.0, 7_000.0, 73)
"""Twelfths of an octave within the sweep: where responses are looked at."""


class Response:
    """The deconvolved recording of one sweep.

    Args:
        recording: (n,) float, full scale 1, from the sweep's first sample, as played, to `TAIL_S` after its last.
        level: peak of the sweep as played, full scale 1.
    """

    def __init__(self, recording: NDArray[np.floating], level: float) -> None:
        spectrum = np.fft.rfft(np.asarray(recording[: _FFT // 2], np.float64) / level, _FFT)
        hz = np.fft.rfftfreq(_FFT, 1 / RATE_HZ).astype(np.float64)
        hz[0] = 1.0  # of no weight: outside the band
        phase = 2 * np.pi * hz * _RATE * (1 - np.log(hz / LOW_HZ)) - np.pi / 4
        inverse = 2 * np.sqrt(hz / _RATE) * np.exp(-1j * phase) / RATE_HZ
        whole = spectrum * inverse
        self._all = np.fft.irfft(whole * _band(hz, LOW_HZ, 20_000.0), _FFT)
        self._swept = np.fft.irfft(whole * _band(hz, LOW_HZ, HIGH_HZ), _FFT)

    def peak(self) -> tuple[float, float]:
        """Return delay (ms, between samples by a parabola) and height (dB over the noise beside it) of the peak."""
        first, last = round(_EARLIEST_S * RATE_HZ), round(_LATEST_S * RATE_HZ)
        near = np.abs(self._swept.take(np.arange(first - 1, last + 1), mode="wrap"))
        at = 1 + int(near[1:-1].argmax())
        left, top, right = near[at - 1], near[at], near[at + 1]
        bend = left - 2 * top + right
        shift = 0.5 * (left - right) / bend if bend else 0.0
        ms = 1_000 * (first - 1 + at + shift) / RATE_HZ
        noise = np.sqrt(np.mean(self._noise(self._swept, ms) ** 2))
        return ms, 20 * math.log10(max(top, 1e-12) / max(float(noise), 1e-12))

    def impulse(self, ms: float, before_ms: float = 5.0, after_ms: float = 300.0) -> NDArray[np.float64]:
        """Return the response around `ms`, (n,) at 48 kHz, gain 1 as a factor of the swept band."""
        start, stop = (round((ms + away) * RATE_HZ / 1_000) for away in (-before_ms, after_ms))
        found: NDArray[np.float64] = self._swept.take(np.arange(start, stop), mode="wrap")
        return found

    def linear(self, ms: float) -> NDArray[np.float64]:
        """Return the gain in power at `GRID_HZ`, (n,), of the response whose peak lies at `ms`; all its decay."""
        width = min(_NOISE_S[0], 0.3)
        power = _smooth(_power(self._swept, ms / 1_000, width), GRID_HZ, width)
        noise = _smooth(_power(self._swept, ms / 1_000 + _NOISE_S[0], 0.2), GRID_HZ, 0.2) * width / 0.2
        found: NDArray[np.float64] = np.maximum(power - noise, 1e-14)
        return found

    def gain_db(self, ms: float) -> float:
        """Return how much louder speech is in the recording than as played, dB."""
        return 10 * math.log10(float(self.linear(ms) @ speech_weights(GRID_HZ)))

    def distortion(self, ms: float) -> tuple[float, float]:
        """Return harmonic distortion as a share of 1 (amplitude, power of speech's spectrum), and the least visible.

        Harmonics 2 to 6, heard up to 20 kHz, of the frequencies from 200 Hz to 3.4 kHz, against the linear response in
        a window of the same length; noise is taken off.
        """
        asked = GRID_HZ[(GRID_HZ >= 200) & (GRID_HZ <= 3_400)]
        weights = speech_weights(asked)
        plain = float(_smooth(_power(self._swept, ms / 1_000, _WINDOW_S), asked, _WINDOW_S) @ weights)
        found = hidden = 0.0
        for order in HARMONICS:
            heard = asked * order
            there = heard <= 19_000
            at = ms / 1_000 - _RATE * math.log(order)
            power = _smooth(_power(self._all, at, _WINDOW_S), heard[there], _WINDOW_S)
            quiet = [_smooth(_power(self._all, ms / 1_000 + s, _WINDOW_S), heard[there], _WINDOW_S) for s in _NOISE_S]
            noise = np.mean(quiet, axis=0)
            found += float((power - noise) @ weights[there])
            hidden += float(noise @ weights[there])
        return math.sqrt(max(found, 0.0) / plain), math.sqrt(hidden / plain)

    def decay_ms(self, ms: float, drop_db: float = 30.0) -> float:
        """Return how long after `ms` a steady sound that ends has fallen by `drop_db`; backward integration.

        Where noise hides the end of the decay, its slope from -5 dB to where it is last seen is drawn on.
        """
        power = self.impulse(ms, before_ms=0.0, after_ms=1_000 * _NOISE_S[-1]) ** 2
        noise = float(np.mean(self._noise(self._swept, ms) ** 2))
        window = RATE_HZ // 100
        envelope = np.convolve(power, np.full(window, 1 / window), mode="full")[: len(power)]
        loud = np.flatnonzero(envelope > 4 * noise)  # 6 dB: the decay can still be told from the noise
        end = int(loud[-1]) + 1 if len(loud) else 1
        left = np.cumsum((power[:end] - noise)[::-1])[::-1]
        curve = 10 * np.log10(np.maximum(left, 1e-30) / max(float(left[0]), 1e-30))
        below = np.flatnonzero(curve <= -drop_db)
        # The last few per cent of a truncated integral fall steeply whatever the room does.
        trusted = int(end * 0.9)
        if len(below) and int(below[0]) <= max(trusted, RATE_HZ // 200):
            return 1_000 * int(below[0]) / RATE_HZ
        fall = np.flatnonzero((curve[:trusted] <= -5) & (curve[:trusted] > -drop_db))
        if len(fall) < RATE_HZ // 200:
            return 1_000 * end / RATE_HZ
        slope, level = np.polyfit(fall / RATE_HZ, curve[fall], 1)
        return float(1_000 * (-drop_db - level) / min(slope, -1.0))

    def _noise(self, response: NDArray[np.float64], ms: float) -> NDArray[np.float64]:
        start, stop = (round((ms / 1_000 + s) * RATE_HZ) for s in (_NOISE_S[0], _NOISE_S[-1] + _WINDOW_S))
        found: NDArray[np.float64] = response.take(np.arange(start, stop), mode="wrap")
        return found


def _band(hz: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Gain 1 from `low` to `high` with cosine edges of a sixth of an octave inside."""
    edge = math.log(2) / 6
    up = np.clip(np.log(hz / low) / edge, 0, 1)
    down = np.clip(np.log(high / hz) / edge, 0, 1)
    found: NDArray[np.float64] = (0.5 - 0.5 * np.cos(np.pi * up)) * (0.5 - 0.5 * np.cos(np.pi * down))
    return found


def _power(response: NDArray[np.float64], at_s: float, width_s: float) -> NDArray[np.float64]:
    """Power spectrum of a window of the response, 5 ms before `at_s` to `width_s` later; cosine edges of 2.5 ms."""
    start, count, edge = round((at_s - _BEFORE_S) * RATE_HZ), round(width_s * RATE_HZ), round(0.0025 * RATE_HZ)
    piece = response.take(np.arange(start, start + count), mode="wrap")
    slope = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    piece[:edge] *= slope
    piece[-edge:] *= slope[::-1]
    spectrum = np.fft.rfft(piece, _bins(width_s))
    found: NDArray[np.float64] = np.abs(spectrum) ** 2
    return found


def _bins(width_s: float) -> int:
    return 1 << math.ceil(math.log2(2 * width_s * RATE_HZ))


def _smooth(power: NDArray[np.float64], hz: NDArray[np.float64], width_s: float) -> NDArray[np.float64]:
    """Mean of a power spectrum over a sixth of an octave, or what the window resolves, around each frequency (n,)."""
    step = RATE_HZ / _bins(width_s)
    total = np.concatenate([[0.0], np.cumsum(power)])
    low = np.floor(np.maximum(hz * 2 ** (-1 / 12), 0) / step).astype(int)
    high = np.maximum(np.ceil(hz * 2 ** (1 / 12) / step).astype(int), low + 1)
    high = np.minimum(high, len(power))
    found: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return found

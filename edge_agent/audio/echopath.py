"""From the loudspeaker into the microphone: what a room, a cheap loudspeaker and two clocks make of sound.

    path = EchoPath(response=rir, gain_db=-6, distortion=0.3, delay=2_880, jumps=[(480_000, 1_920)], drift_ppm=50)
    path.play(position, samples)        # loudspeaker, any time before they are heard
    echo = path.hear(start, 960)        # microphone frames [start, start + 960), each asked for once, in order

Sound is float64, mono, 48 kHz, full scale -1.0 to 1.0; positions are frames since one common time 0. Loudspeaker frame
p sounds at p / 48 000 / (1 + drift) seconds; frames never played are silence. Microphone frame n hears what sounded a
delay earlier, distorted, through the response. The same sound comes out for any way of asking for it.

Without drift and response the echo is the loudspeaker's signal times the gain, to the bit. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import CARD_RATE

RATE_HZ = CARD_RATE
REACH = 16
"""Frames to both sides that reading between two frames takes into account; with a drift the delay must be longer."""

_PARTITION = 960  # 20 ms: the usual block is transformed once
_STEEPNESS = 4.0  # distortion 1 bends as tanh(4 x) / 4
_SKEW = 0.15  # of it, uneven between in and out
_POWERS = 7  # polynomials of degree 6 draw each tap of the reading filter within -100 dB
_PINK_FROM_HZ = 20.0

Signal = NDArray[np.float64]


class EchoPath:
    """See the module's docstring.

    Args:
        response: of the room from loudspeaker to microphone, float (n,), scaled here to unit energy: white noise keeps
            its level; None: one tap.
        gain_db: on top of that.
        distortion: of the loudspeaker, 0 to 1; see `distort`.
        delay: frames from the loudspeaker to the response's first sample.
        jumps: (microphone frame, frames): from that frame on, the delay is so much longer (or shorter).
        drift_ppm: how much faster than the microphone's clock the loudspeaker's runs.
        back: frames by which `hear` may lag behind `play`; older sound is forgotten.

    Raises:
        ValueError: a delay below 0, or below `REACH` where there is a drift; a response without sound.
    """

    def __init__(
        self,
        *,
        response: NDArray[np.floating] | None = None,
        gain_db: float = 0.0,
        distortion: float = 0.0,
        delay: int = 0,
        jumps: Sequence[tuple[int, int]] = (),
        drift_ppm: float = 0.0,
        back: int = RATE_HZ,
    ) -> None:
        ordered = sorted(jumps)
        self._delays = [delay + sum(by for _, by in ordered[:number]) for number in range(len(ordered) + 1)]
        self._changes = [at for at, _ in ordered]
        if min(self._delays) < (REACH if drift_ppm else 0):
            raise ValueError(f"a delay of {min(self._delays)} frames is too short")
        self._drift = drift_ppm * 1e-6
        self._distortion = distortion
        self._gain = 10 ** (gain_db / 20)
        self._convolver: Convolver | None = None
        if response is not None:
            energy = math.sqrt(float(np.sum(np.square(response, dtype=np.float64))))
            if energy == 0:
                raise ValueError("the response is silent")
            self._convolver = Convolver(np.asarray(response, np.float64) * (self._gain / energy))
        self._between = _reading_filter() if drift_ppm else None
        self._played = _Timeline(back + max(self._delays) + 2 * RATE_HZ)

    def play(self, position: int, samples: Signal) -> None:
        """Let the loudspeaker play `samples` (n,) from frame `position` on, in place of what stood there."""
        self._played.write(position, samples)

    def cut(self, position: int) -> None:
        """Take back what was to be played from frame `position` on."""
        self._played.cut(position)

    def playing(self, start: int, count: int) -> Signal:
        """Return what the loudspeaker plays during microphone frames [start, start + count), in whole frames.

        With a drift that signal leaves out or doubles a frame now and then.
        """
        if not self._drift:
            return self._played.read(start, start + count)
        at = np.arange(start, start + count)
        at += np.floor(at * self._drift).astype(np.int64)
        nearest: Signal = self._played.read(int(at[0]), int(at[-1]) + 1)[at - at[0]]
        return nearest

    def hear(self, start: int, count: int) -> Signal:
        """Return the echo in microphone frames [start, start + count), shape (count,)."""
        parts = []
        at, end = start, start + count
        while at < end:
            passed = sum(change <= at for change in self._changes)
            until = min([end, *self._changes[passed : passed + 1]])
            parts.append(self._arriving(at, until, self._delays[passed]))
            at = until
        sound = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if self._convolver is None:
            return sound * self._gain
        return self._convolver.process(sound)

    def _arriving(self, start: int, end: int, delay: int) -> Signal:
        """Return the distorted loudspeaker signal as it reaches microphone frames [start, end) after `delay`."""
        if self._between is None:
            return distort(self._played.read(start - delay, end - delay), self._distortion)
        at = np.arange(start - delay, end - delay)
        ahead = at * self._drift
        steps = np.floor(ahead)
        at += steps.astype(np.int64)
        first = int(at[0]) - REACH + 1
        sound = self._played.read(first, int(at[-1]) + REACH + 1)
        if not sound.any():
            return np.zeros(end - start)
        sound = distort(sound, self._distortion)
        windows = np.lib.stride_tricks.sliding_window_view(sound, 2 * REACH)
        powers = windows[at - at[0]] @ self._between
        part = ahead - steps
        result: Signal = powers[:, -1].copy()
        for power in range(_POWERS - 2, -1, -1):
            result *= part
            result += powers[:, power]
        return result


class Convolver:
    """A long filter, block by block: overlap-save in equal partitions.

    The filter's spectra and those of the last input lie in a ring; each partition of 20 ms takes two transforms and a
    sum of products, and a call that ends inside a partition two transforms more. Nothing is delayed. Source: W.
    Gardner, Efficient convolution without input-output delay, JAES 43 (1995), the uniform case.
    """

    def __init__(self, taps: Signal) -> None:
        count = max(1, -(-len(taps) // _PARTITION))
        padded = np.zeros((count, 2 * _PARTITION))
        padded[:, :_PARTITION] = np.pad(taps, (0, count * _PARTITION - len(taps))).reshape(count, _PARTITION)
        spectra = np.fft.rfft(padded, axis=1)
        self._first = spectra[0]
        self._count = count - 1  # partitions after the first
        # Twice in a row, so that any rotation of the ring is one slice.
        self._spectra = np.concatenate([spectra[1:], spectra[1:]])
        self._ring = np.zeros((self._count, _PARTITION + 1), np.complex128)
        self._newest = 0
        self._window = np.zeros(2 * _PARTITION)
        self._filled = 0
        self._late: NDArray[np.complex128] | None = None
        self._silent = count  # partitions in a row that held nothing

    def process(self, sound: Signal) -> Signal:
        """Return as many samples as come in, shape (n,)."""
        result = np.empty(len(sound))
        at = 0
        while at < len(sound):
            part = sound[at : at + _PARTITION - self._filled]
            result[at : at + len(part)] = self._partition(part)
            at += len(part)
        return result

    def _partition(self, part: Signal) -> Signal:
        """Add a part that fits into the running partition; returns its sound."""
        start = _PARTITION + self._filled
        end = start + len(part)
        self._window[start:end] = part
        self._filled += len(part)
        whole = self._filled == _PARTITION
        if self._silent > self._count and not self._window.any():
            if whole:
                self._turn(None)
            return np.zeros(len(part))
        now = np.fft.rfft(self._window)
        if self._late is None:
            ordered = self._spectra[self._count - self._newest : 2 * self._count - self._newest]
            self._late = np.einsum("kf,kf->f", self._ring, ordered)
        sound: Signal = np.fft.irfft(now * self._first + self._late)[start:end]
        if whole:
            self._turn(now)
        return sound

    def _turn(self, spectrum: NDArray[np.complex128] | None) -> None:
        """Begin a new partition; None: the last one was silent, and so is all that the filter remembers."""
        self._silent = 0 if self._window[_PARTITION:].any() else self._silent + 1
        if self._count:
            self._newest = (self._newest - 1) % self._count
            self._ring[self._newest] = 0 if spectrum is None else spectrum
        self._window[:_PARTITION] = self._window[_PARTITION:]
        self._window[_PARTITION:] = 0
        self._filled = 0
        self._late = None


def distort(sound: Signal, amount: float) -> Signal:
    """Return the sound as a loudspeaker at its limits gives it, shape (n,): a curve without memory.

    tanh(g u) / g with u = x + c x^2, g = 4 `amount` and c = 0.15 `amount`: quiet sound passes untouched, loud sound is
    bent, a little more outwards than inwards. Total harmonic distortion of a sine, percent:

    | amount | peak 0 dBFS | -6 dBFS | -12 dBFS | -20 dBFS |
    |---|---|---|---|---|
    | 0.1 | 1.4 | 0.5 | 0.2 | 0.1 |
    | 0.3 | 9.0 | 2.9 | 0.9 | 0.3 |
    | 0.5 | 17.4 | 6.8 | 2.1 | 0.5 |
    | 0.8 | 26.3 | 13.4 | 4.8 | 1.0 |
    | 1.0 | 30.0 | 17.4 | 6.9 | 1.4 |

    Args:
        sound: float64 in [-1, 1].
        amount: 0 (nothing) to 1.
    """
    if not amount:
        return sound
    steep = _STEEPNESS * amount
    bent: Signal = np.tanh(steep * (sound + _SKEW * amount * np.square(sound))) / steep
    return bent


def pink_loop(dbfs: float, *, seed: int, frames: int) -> NDArray[np.float32]:
    """Return pink noise that loops without a seam, float32 (frames,); its RMS is `dbfs` (a full-scale square is 0)."""
    frequency = np.fft.rfftfreq(frames, 1 / RATE_HZ)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(frames))
    spectrum *= np.where(frequency >= _PINK_FROM_HZ, 1 / np.sqrt(np.maximum(frequency, _PINK_FROM_HZ)), 0)
    noise = np.fft.irfft(spectrum, frames)
    factor = 10 ** (dbfs / 20) / math.sqrt(float(np.mean(noise**2)))
    return (noise * factor).astype(np.float32)


class _Timeline:
    """The last sound by position: a ring in which what was never written reads as silence."""

    def __init__(self, least: int) -> None:
        self._ring = np.zeros(1 << (least - 1).bit_length())
        self._begin = self._end = 0  # what the ring holds

    def write(self, position: int, samples: Signal) -> None:
        """Put `samples` at `position`; what was written from there on before is forgotten."""
        self.cut(position)
        size = len(self._ring)
        if position - self._end >= size or position < self._begin:
            self._ring[:] = 0
            self._begin = self._end = position
        elif position > self._end:
            self._put(self._end, np.zeros(position - self._end))
        kept = samples[-size:]
        self._put(position + len(samples) - len(kept), kept)
        self._end = position + len(samples)
        self._begin = max(self._begin, self._end - size)

    def cut(self, position: int) -> None:
        """Forget what was written from `position` on."""
        self._end = max(self._begin, min(self._end, position))

    def read(self, first: int, last: int) -> Signal:
        """Return positions [first, last), silence where nothing was written or it is too long ago."""
        result = np.zeros(last - first)
        a, b = max(first, self._begin), min(last, self._end)
        if a < b:
            size = len(self._ring)
            at = a % size
            head = min(b - a, size - at)
            result[a - first : a - first + head] = self._ring[at : at + head]
            result[a - first + head : b - first] = self._ring[: b - a - head]
        return result

    def _put(self, position: int, samples: Signal) -> None:
        at = position % len(self._ring)
        head = min(len(samples), len(self._ring) - at)
        self._ring[at : at + head] = samples[:head]
        self._ring[: len(samples) - head] = samples[head:]


def _reading_filter() -> Signal:
    """Return (2 * REACH, _POWERS): taps of a sinc under a Kaiser window as polynomials of the fraction of a frame.

    Source: C. Farrow, A continuously variable digital delay element, ISCAS 1988.
    """
    part = 0.5 - 0.5 * np.cos(np.pi * (np.arange(4 * _POWERS) + 0.5) / (4 * _POWERS))  # Chebyshev points of 0 to 1
    distance = np.arange(2 * REACH)[:, None] - (REACH - 1) - part[None, :]
    window = np.i0(8.0 * np.sqrt(np.clip(1 - (distance / REACH) ** 2, 0, None))) / np.i0(8.0)
    taps = np.sinc(distance) * window
    fitted = np.linalg.lstsq(np.vander(part, _POWERS, increasing=True), taps.T, rcond=None)[0]
    return np.ascontiguousarray(fitted.T, np.float64)

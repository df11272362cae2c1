"""Sound for the twin's answers: made, loaded and resampled; mono float or 16-bit PCM, no devices.

The service speaks 24 kHz signed 16-bit little-endian mono (`ANSWER_RATE`) and hears the same at 16 kHz (`HEARD_RATE`).
Everything here returns or takes that, as bytes, so that what a test plays can be compared sample for sample with what
came out at the other end.

`noise` is *coded*: the samples depend on the seed alone, so a recording tells which answer a sample belongs to.
`read_pcm` takes WAV of any rate with 8, 16, 24 or 32 bits, and bare `.pcm` (already 24 kHz s16le mono).
`Resampler` carries its state from block to block; any chunking gives the same samples.
"""

from __future__ import annotations

import math
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEARD_RATE = 16_000
ANSWER_RATE = 24_000
BYTES_PER_SAMPLE = 2

_HALF_WIDTH = 16  # input samples on each side of a kernel; 80 dB of image rejection with the Blackman window
_ROWS = 4096  # output samples at a time: 2 MB of products


def tone(seconds: float, *, hz: float = 440.0, level_dbfs: float = -12.0, rate: int = ANSWER_RATE) -> bytes:
    """Return a sine of `hz` with 5 ms ramps at both ends, s16le mono."""
    count = round(seconds * rate)
    wave_form = np.sin(2.0 * math.pi * hz / rate * np.arange(count))
    ramp = np.minimum(1.0, np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.005 * rate))
    return to_pcm(wave_form * ramp * 10.0 ** (level_dbfs / 20.0))


def noise(seconds: float, *, seed: int, level_dbfs: float = -18.0, rate: int = ANSWER_RATE) -> bytes:
    """Return white noise that is a function of `seed` alone, uniform, RMS at `level_dbfs`, s16le mono."""
    generator = np.random.Generator(np.random.PCG64(seed))
    samples = generator.uniform(-1.0, 1.0, round(seconds * rate)) * math.sqrt(3.0)  # sqrt(3): RMS 1
    return to_pcm(samples * 10.0 ** (level_dbfs / 20.0))


def silence(seconds: float, *, rate: int = ANSWER_RATE) -> bytes:
    """Return digital silence, s16le mono."""
    return bytes(round(seconds * rate) * BYTES_PER_SAMPLE)


def babble(text: str) -> bytes:
    """Stand in for a voice: 60 ms of tone a letter, its pitch the letter's; length and content follow the text."""
    pause = silence(0.06)
    return b"".join(tone(0.06, hz=200.0 + 12.0 * (ord(sign) % 64)) if sign.isalnum() else pause for sign in text)


def to_pcm(samples: NDArray[Any]) -> bytes:
    """Turn float samples (n,) in [-1, 1] into s16le; what lies outside is clipped."""
    return np.clip(np.rint(samples * 32768.0), -32768, 32767).astype("<i2").tobytes()


def from_pcm(pcm: bytes | bytearray | memoryview) -> NDArray[np.float64]:
    """Turn s16le into float64 samples (n,) in [-1, 1); an odd last byte is left out."""
    whole = len(pcm) - len(pcm) % BYTES_PER_SAMPLE
    return np.frombuffer(pcm[:whole], dtype="<i2").astype(np.float64) / 32768.0


def rms_dbfs(samples: NDArray[Any]) -> float:
    """Return the RMS level of float samples in dB below full scale; -120 for silence."""
    if not len(samples):
        return -120.0
    return max(-120.0, 10.0 * math.log10(float(np.mean(np.square(samples))) + 1e-12))


def read_pcm(path: Path) -> bytes:
    """Read a `.wav` (any rate, mono or first channel, 8 to 32 bits) or `.pcm` file as 24 kHz s16le mono.

    Raises:
        ValueError: the file is not sound that can be read; one sentence with its name.
        OSError: the file cannot be opened.
    """
    if path.suffix.lower() == ".pcm":
        return path.read_bytes()
    try:
        with wave.open(str(path), "rb") as sound:
            channels, width, rate = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            raw = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: not a WAV file with PCM sound: {error}") from None
    samples = _widen(raw[: len(raw) - len(raw) % (width * channels)], width)[::channels]
    return resample(to_pcm(samples), rate, ANSWER_RATE)


def resample(pcm: bytes, rate_in: int, rate_out: int) -> bytes:
    """Resample a whole s16le recording; the result has `round(n * rate_out / rate_in)` samples within one."""
    if rate_in == rate_out:
        return pcm
    resampler = Resampler(rate_in, rate_out)
    return resampler.feed(pcm) + resampler.finish()


class Resampler:
    """Windowed-sinc resampling of an s16le stream, bit-identical for any chunking.

    Source of the method: J. O. Smith, "Digital Audio Resampling", band-limited interpolation.
    """

    def __init__(self, rate_in: int, rate_out: int) -> None:
        common = math.gcd(rate_in, rate_out)
        self._up, self._down = rate_out // common, rate_in // common
        self._cutoff = min(1.0, rate_out / rate_in)
        self._reach = math.ceil(_HALF_WIDTH / self._cutoff)
        self._kernels = np.stack([self._kernel(phase) for phase in range(self._up)])
        self._held = np.zeros(self._reach)  # silence before the first sample
        self._first = -self._reach  # index of _held[0] in the input
        self._next = 0  # index of the next output sample
        self._given = 0
        self._odd = b""

    def feed(self, pcm: bytes) -> bytes:
        """Take a piece of the stream and return what it completes (about `_HALF_WIDTH` samples late)."""
        pcm = self._odd + pcm
        whole = len(pcm) - len(pcm) % BYTES_PER_SAMPLE
        self._odd = pcm[whole:]
        samples = from_pcm(pcm[:whole])
        self._given += len(samples)
        return self._run(samples)

    def finish(self) -> bytes:
        """Return the rest of the stream, as if silence followed."""
        end = -(-self._given * self._up // self._down)
        rest = self._run(np.zeros(self._reach + 1))
        surplus = self._next - end
        return rest[: len(rest) - surplus * BYTES_PER_SAMPLE] if surplus > 0 else rest

    def _run(self, samples: NDArray[np.float64]) -> bytes:
        held = np.concatenate([self._held, samples])
        last = self._first + len(held) - 1 - self._reach  # a kernel is centred before this input index
        stop = max(self._next, -(-last * self._up // self._down))
        ticks = np.arange(self._next, stop, dtype=np.int64) * self._down
        self._next = stop
        centre = stop * self._down // self._up
        keep = max(0, centre - self._reach + 1 - self._first)
        out = []
        if len(ticks):
            windows = np.lib.stride_tricks.sliding_window_view(held, 2 * self._reach)
            for some in np.array_split(ticks, -(-len(ticks) // _ROWS)):
                starts = some // self._up - self._reach + 1 - self._first
                out.append(to_pcm((windows[starts] * self._kernels[some % self._up]).sum(axis=1)))
        self._held, self._first = held[keep:], self._first + keep
        return b"".join(out)

    def _kernel(self, phase: int) -> NDArray[np.float64]:
        offsets = np.arange(-self._reach + 1, self._reach + 1) - phase / self._up
        angle = np.pi * offsets / self._reach
        window = 0.42 + 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle)
        kernel = np.sinc(offsets * self._cutoff) * np.where(np.abs(offsets) <= self._reach, window, 0.0)
        return np.asarray(kernel / kernel.sum(), dtype=np.float64)


def _widen(raw: bytes, width: int) -> NDArray[np.float64]:
    if width == 1:
        return (np.frombuffer(raw, dtype=np.uint8).astype(np.float64) - 128.0) / 128.0
    if width == 3:
        triples = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 3).astype(np.int32)
        return ((triples[:, 0] << 8 | triples[:, 1] << 16 | triples[:, 2] << 24) >> 8).astype(np.float64) / 2.0**23
    return np.frombuffer(raw, dtype=f"<i{width}").astype(np.float64) / 2.0 ** (8 * width - 1)

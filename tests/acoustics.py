"""Rooms, voices and noise for tests of sound: what stands between a loudspeaker, a person and a microphone.

    rir = image_rir((4.0, 3.0, 2.5), rt60_s=0.4, source_m=(2.0, 1.5, 0.8), mic_m=(2.08, 1.5, 0.8))
    said = speech("what time is it", voice="en-gb+f3", dbfs=-32)       # espeak-ng; "flite:slt" is flite's
    heard = convolve(said, rir)
    noise = pink(len(heard) / RATE_HZ, dbfs=-60, seed=1)
    near *= to_ser(near, echo, -10)                                     # speech-to-echo ratio, dB

All signals are mono float64 of shape (n,) at 48 kHz unless said; full scale is -1.0 to 1.0, and 0 dBFS is the RMS of a
full-scale square wave, as everywhere in the device. `speech` starts other programs, so it is called before an event
loop runs; what it has said once is kept on the disk.

Sources: J. Allen, D. Berkley, Image method for efficiently simulating small-room acoustics, JASA 65 (1979); C. Eyring,
Reverberation time in "dead" rooms, JASA 1 (1930); M. Schroeder, New method of measuring reverberation time, JASA 37
(1965); ITU-T P.56 (the active level, here with frames in place of the exponential envelope).
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import math
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import read_wav, resample, write_wav

RATE_HZ = 48_000
SOUND_M_S = 343.0

Sound = NDArray[np.float64]

_GRID = 16  # points between two samples on which an image may arrive; straight lines between them err by 0.03 dB
_TAPER = 5 / 6  # of the Nyquist frequency: from here on the response falls to nothing, so that it hardly rings
_HIGH_PASS_HZ = 100.0  # images of one sign add up to a hum below this that no room has (Allen and Berkley)
_FRAME_S = 0.02
_HANG_FRAMES = 10  # 200 ms after the last loud frame still count as speech
_MARGIN_DB = 15.9  # frames that far below the active level are pauses


def image_rir(
    room_m: tuple[float, float, float],
    *,
    source_m: tuple[float, float, float],
    mic_m: tuple[float, float, float],
    rt60_s: float | None = None,
    absorption: float | None = None,
    length_s: float | None = None,
    rate: int = RATE_HZ,
) -> Sound:
    """Return the response of a box-shaped room between two points, by the image method.

    Walls, floor and ceiling take up the same share at every frequency; below 100 Hz the response falls by 12 dB an
    octave. The direct sound stands at the time it takes
    (fractions of a sample kept) with the amplitude 1 m / distance.

    Args:
        room_m: length, width and height.
        source_m: where the sound is made, metres from the corner.
        mic_m: where it is heard.
        rt60_s: time in which the sound across the room falls by 60 dB; the absorption follows from it.
        absorption: share of the energy that a wall takes up, over 0 to 1; instead of `rt60_s`.
        length_s: length of the response; None: 0.08 to 0.4 s, as the reverberation needs it.
        rate: Hz.

    Raises:
        ValueError: a point outside the room, or not exactly one of `rt60_s` and `absorption`.
    """
    size, source, mic = (np.asarray(point, np.float64) for point in (room_m, source_m, mic_m))
    if not all(np.all((point > 0) & (point < size)) for point in (source, mic)):
        raise ValueError(f"{source_m} or {mic_m} is outside the room of {room_m} m")
    if (rt60_s is None) == (absorption is None):
        raise ValueError("give either rt60_s or absorption")
    if absorption is None:
        assert rt60_s is not None
        absorption = _absorption(room_m, rt60_s)
    if length_s is None:
        length_s = min(0.4, max(0.08, 0.7 * (rt60_s or 0.5)))
    count = round(length_s * rate)
    times, distances, walls = _images(size, source, mic, length_s)
    return _sampled(times * rate, (1 - absorption) ** (walls / 2) / distances, count, rate)


def save_rir(path: Path, rir: Sound, rate: int = RATE_HZ) -> None:
    """Write a response as WAV, its peak just under full scale: a room's file tells the level apart from the shape."""
    write_wav(path, 0.99 * rir / np.abs(rir).max(), rate, bits=32)


def rt60(rir: Sound, rate: int = RATE_HZ) -> float:
    """Return the reverberation time in seconds: Schroeder's integral from -5 to -25 dB, drawn out to 60 dB."""
    energy = np.cumsum(rir[::-1] ** 2)[::-1]
    decay = 10 * np.log10(energy / energy[0] + 1e-12)
    part = np.flatnonzero((decay <= -5) & (decay >= -25))
    slope = np.polyfit(part / rate, decay[part], 1)[0]
    return float(-60 / slope)


def convolve(sound: NDArray[Any], rir: NDArray[Any]) -> Sound:
    """Return the sound through a response, cut to the length of the sound."""
    size = 1 << (len(sound) + len(rir) - 1).bit_length()
    through: Sound = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(rir, size), size)[: len(sound)]
    return through


def pink(seconds: float, *, dbfs: float, seed: int = 1, rate: int = RATE_HZ) -> Sound:
    """Return noise whose power falls by 3 dB an octave from 20 Hz on, of that RMS level."""
    count = round(seconds * rate)
    frequency = np.fft.rfftfreq(count, 1 / rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    spectrum *= np.where(frequency >= 20, 1 / np.sqrt(np.maximum(frequency, 20)), 0)
    noise = np.fft.irfft(spectrum, count)
    return noise * 10 ** ((dbfs - level(noise)) / 20)


def speech(text: str, *, voice: str = "en-us", wpm: int = 165, dbfs: float = -26.0) -> Sound:
    """Return a spoken sentence at 48 kHz of that active level, without silence around it.

    Args:
        text: what is said.
        voice: of espeak-ng (`en-us`, `en-gb+f3`, `de+m2`), or of flite (`flite:slt`, kal, kal16, awb, rms).
        wpm: words a minute; 165 is the voices' own speed.
        dbfs: see `active_level`.

    Raises:
        OSError: espeak-ng or flite is not installed.
        RuntimeError: the voice does not exist, or said nothing.
    """
    said = _spoken(text, voice, wpm)
    return said * 10 ** ((dbfs - active_level(said)) / 20)


def level(sound: NDArray[Any]) -> float:
    """Return the RMS level in dBFS, -120 for silence."""
    power = float(np.mean(np.square(sound, dtype=np.float64))) if len(sound) else 0.0
    return max(-120.0, 10 * math.log10(power)) if power > 0 else -120.0


def active(sound: NDArray[Any], rate: int = RATE_HZ) -> NDArray[np.bool_]:
    """Tell for each frame of 20 ms whether somebody speaks: within 15.9 dB of the active level, or 200 ms after."""
    size = round(_FRAME_S * rate)
    frames = len(sound) // size
    power = np.mean(np.square(np.asarray(sound[: frames * size], np.float64)).reshape(frames, size), axis=1)
    speaking: NDArray[np.bool_] = power > 0
    while speaking.any():
        floor = np.mean(power[speaking]) * 10 ** (-_MARGIN_DB / 10)
        loud = power > floor
        since = np.arange(frames) - np.maximum.accumulate(np.where(loud, np.arange(frames), -frames))
        fewer = speaking & (since <= _HANG_FRAMES)
        if (fewer == speaking).all():
            break
        speaking = fewer
    return speaking


def active_level(sound: NDArray[Any], rate: int = RATE_HZ) -> float:
    """Return the RMS level of speech without its pauses, dBFS; -120 for silence."""
    speaking = np.repeat(active(sound, rate), round(_FRAME_S * rate))
    return level(sound[: len(speaking)][speaking])


def ser(near: NDArray[Any], echo: NDArray[Any], rate: int = RATE_HZ) -> float:
    """Return the speech-to-echo ratio at the microphone, dB: active level against active level."""
    return active_level(near, rate) - active_level(echo, rate)


def to_ser(near: NDArray[Any], echo: NDArray[Any], wanted_db: float, rate: int = RATE_HZ) -> float:
    """Return the factor for `near` that makes the ratio `wanted_db`."""
    return float(10 ** ((wanted_db - ser(near, echo, rate)) / 20))


@functools.lru_cache(maxsize=64)
def _absorption(room_m: tuple[float, float, float], rt60_s: float) -> float:
    """Return the absorption with which the images between two far points of the room fade in that time.

    Eyring's formula takes sound to go all ways alike; in a box it stays longest between the walls that are far apart,
    so the formula is where the search begins.
    """
    size = np.asarray(room_m, np.float64)
    surface = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    reached = float(math.exp(-24 * math.log(10) * size.prod() / (SOUND_M_S * surface * rt60_s)))
    length_s = min(0.4, max(0.08, 0.7 * rt60_s))
    times, distances, walls = _images(size, size * (0.27, 0.34, 0.41), size * (0.71, 0.62, 0.55), length_s)
    bins = (times * 1_000).astype(np.intp)
    for _ in range(20):
        energy = np.bincount(bins, (reached**walls) / distances**2)
        found = rt60(np.sqrt(energy), rate=1_000)
        reached = float(np.clip(reached ** (found / rt60_s), 1e-6, 0.999))
        if abs(found / rt60_s - 1) < 0.01:
            break
    return 1 - reached


def _images(size: Sound, source: Sound, mic: Sound, length_s: float) -> tuple[Sound, Sound, NDArray[np.intp]]:
    """Return when (s) each image of the source arrives, from how far (m), over how many walls.

    Source: Allen and Berkley, equation 9.
    """
    reach = length_s * SOUND_M_S
    axes: list[tuple[Sound, NDArray[np.intp]]] = []
    for axis in range(3):
        most = math.ceil(reach / (2 * size[axis])) + 1
        cells, mirrored = np.meshgrid(np.arange(-most, most + 1), [0, 1], indexing="ij")
        offset = (1 - 2 * mirrored) * source[axis] + 2 * cells * size[axis] - mic[axis]
        walls = np.abs(cells - mirrored) + np.abs(cells)
        axes.append((offset.ravel() ** 2, walls.ravel()))
    (x, wx), (y, wy), (z, wz) = axes
    distances, walls_hit = [], []
    for square, walls in zip(x, wx, strict=True):
        plane = square + y[:, None] + z[None, :]
        near = plane < reach**2
        distances.append(np.sqrt(plane[near]))
        walls_hit.append((walls + wy[:, None] + wz[None, :])[near])
    away = np.concatenate(distances)
    return away / SOUND_M_S, away, np.concatenate(walls_hit)


def _sampled(at: Sound, gains: Sound, count: int, rate: int) -> Sound:
    """Return impulses at fractional positions as `count` samples, band-limited by a windowed sinc and a high-pass."""
    size = 1 << (count + 256).bit_length()  # room for what rings past the ends
    fine = at * _GRID
    first = np.floor(fine).astype(np.intp)
    part = fine - first
    grid = np.bincount(first, gains * (1 - part), size * _GRID) + np.bincount(first + 1, gains * part, size * _GRID)
    spectrum = np.fft.rfft(grid)[: size // 2 + 1]
    across = np.clip((np.linspace(0, 1, len(spectrum)) - _TAPER) / (1 - _TAPER), 0, 1)
    spectrum *= 0.5 + 0.5 * np.cos(np.pi * across)
    turns = 1j * np.linspace(0, rate / 2, len(spectrum)) / _HIGH_PASS_HZ
    spectrum *= turns**2 / (1 + math.sqrt(2) * turns + turns**2)  # Butterworth, second order: rings only after
    response: Sound = np.fft.irfft(spectrum, size)[:count]
    fade = min(count // 10, round(0.01 * rate))
    response[count - fade :] *= np.linspace(1, 0, fade)
    return response


@functools.lru_cache(maxsize=256)
def _spoken(text: str, voice: str, wpm: int) -> Sound:
    name = hashlib.sha256(f"{voice}|{wpm}|{text}".encode()).hexdigest()[:24]
    folder = Path(tempfile.gettempdir()) / f"edge-agent-voices-{getpass.getuser()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    kept = folder / f"{name}.wav"
    if not kept.exists():
        fresh = kept.with_suffix(f".{os.getpid()}.wav")
        engine, colon, of_flite = voice.partition(":")
        if colon and engine == "flite":
            stretch = f"duration_stretch={165 / wpm:.3f}"
            command = ["flite", "-voice", of_flite, "--setf", stretch, "-t", text, "-o", str(fresh)]
        else:
            command = ["espeak-ng", "-v", voice, "-s", str(wpm), "-w", str(fresh), text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode or not fresh.exists():
            raise RuntimeError(f'the voice "{voice}" did not speak: {done.stderr.strip() or done.returncode}')
        fresh.replace(kept)
    samples, rate = read_wav(kept)
    loud = np.flatnonzero(np.abs(samples[:, 0]) > 1e-3)
    if not len(loud):
        raise RuntimeError(f'the voice "{voice}" said nothing')
    said: Sound = resample(samples[loud[0] : loud[-1] + 1, 0], rate, RATE_HZ).astype(np.float64)
    said.setflags(write=False)
    return said

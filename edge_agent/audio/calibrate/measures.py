"""Numbers out of the recordings: slot, noise, delay, echo, decay, distortion, clipping, drift and speech.

    measured = measure(programme, take)
    spoken = speech(words.microphone, measured)          # a `Speech`, or None where nobody spoke

Levels are RMS in dBFS of the microphone before any gain, between 100 Hz and 7.5 kHz, not weighted (a full-scale square
wave is 0). Gains go from the digital loudspeaker to the digital microphone, both at full scale 1.

Pure. The active level of speech follows ITU-T P.56 in spirit: the mean power of the frames that are less than 15.9 dB
below that mean, and of the 200 ms after each; frames of 20 ms here instead of an envelope.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.calibrate import sweep
from edge_agent.audio.calibrate.programme import SWEEP_PEAK, Programme, Take, decibels
from edge_agent.audio.levels import SILENCE_DBFS

Slot = Literal["left", "right", "both", "none"]

NOTHING_DBFS: Final = SILENCE_DBFS
"""The level reported for digital silence."""
FOUND_DB: Final = 20.0
"""A response stands this far above the noise beside it; the highest of 30 000 noise values stands 13 dB above."""
ANSWER_DBFS: Final = -20.0
"""Assumed active level of an answer at volume 100: that of speech mastered for telephones and radio."""

_ANSWER_UNDER_SWEEP_DB: Final = ANSWER_DBFS - (20 * math.log10(SWEEP_PEAK / math.sqrt(2)))
_DEAD: Final = 2**31 * 10 ** (-105 / 20)  # RMS; the quietest 24-bit microphones make -90 dBFS of noise by themselves
_ALIKE_DB: Final = 6.0  # slots nearer than this both carry a microphone; a ghost of the other slot is fainter
_FULL: Final = 32_767 << 16  # full scale of a 16-bit device too
_PLAIN: Final = 0.10  # distortion up to which a sweep tells how loud the echo of quieter sound is
_FRAME: Final = sweep.RATE_HZ // 50
_ACTIVE_MARGIN: Final = 10 ** (-15.9 / 10)
_HANG_FRAMES: Final = 10  # 200 ms: pauses within words belong to speech
_LEAST_SPEECH_S: Final = 1.0  # active time: less is a cough, a step or a door
_LEAST_OVER_NOISE_DB: Final = 6.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What the microphone heard of one sweep."""

    volume: int
    played_db: float
    """Peak of the sweep at the loudspeaker, dBFS."""
    found: bool
    """The sweep was in the recording; without it the figures below but `peak_dbfs` and `clipped` mean nothing."""
    delay_ms: float
    height_db: float
    """Peak of the response over the noise beside it."""
    gain_db: float
    """From loudspeaker to microphone, weighted like speech."""
    distortion: float
    """Harmonics against the linear response, amplitude, share of 1."""
    distortion_floor: float
    """What the noise would hide of it."""
    peak_dbfs: float
    """Loudest sample in the microphone."""
    clipped: int
    """Microphone samples at full scale."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything the programme tells."""

    slot: Slot
    """Which slots carry a microphone."""
    channel: Literal["left", "right"]
    """The slot the figures below are of."""
    noise_dbfs: float
    sweeps: tuple[Heard, ...]
    best: int
    """Index of the sweep that echo, delay and decay were taken from: the loudest that was heard plainly."""
    delay_ms: float
    """Of the echo, without what the loudspeaker's ring holds."""
    echo_gain_db: float
    """From loudspeaker to microphone, weighted like speech, of `best`; without an echo it is below this."""
    tail_ms: float
    """After which the echo of a sound that ends is 30 dB down, from its arrival."""
    drift_ppm: float
    """Speed of the loudspeaker's clock against the microphone's."""
    wander_ms: float
    """Largest change of the delay from one sweep to the next."""
    ring_ms: float
    lost: int
    impulse: NDArray[np.float64]
    """Response at 48 kHz from 5 ms before the peak on, of `best`; empty without an echo."""
    response_db: NDArray[np.float64]
    """Gain at `sweep.GRID_HZ`, of `best`; empty without an echo."""

    @property
    def echo_found(self) -> bool:
        """True when the microphone heard the loudspeaker."""
        return any(heard.found for heard in self.sweeps)

    def clean(self) -> list[Heard]:
        """Return the sweeps that were heard and not clipped, quiet to loud."""
        return [one for one in self.sweeps if one.found and not one.clipped]

    def gain_at(self, volume: int) -> float:
        """Return `echo_gain_db` of an answer at a volume, whose level is less than that of a sweep."""
        return self._gain(decibels(volume) + _ANSWER_UNDER_SWEEP_DB)

    def peak_gain_at(self, volume: int) -> float:
        """Return the gain of an answer's peaks at a volume: a loudspeaker at its limit gives less of them."""
        return self._gain(decibels(volume))

    def distortion_at(self, volume: int) -> float:
        """Return harmonic distortion of an answer's peaks at a volume, share of 1."""
        levels = [20 * math.log10(max(one.distortion, 1e-5)) for one in self.clean()]
        return 10 ** (self._between(decibels(volume), levels, -100.0) / 20)

    def echo_dbfs(self, volume: int) -> float:
        """Return the level of an answer's echo in the microphone at a volume."""
        return ANSWER_DBFS + decibels(volume) + self.gain_at(volume)

    def _gain(self, db: float) -> float:
        return self._between(db, [one.gain_db for one in self.clean()], self.echo_gain_db)

    def _between(self, db: float, values: list[float], otherwise: float) -> float:
        """Draw straight lines over the decibels of the clean sweeps' volumes, level beyond them."""
        if not values:
            return otherwise
        return float(np.interp(db, [decibels(one.volume) for one in self.clean()], values))


@dataclass(frozen=True, slots=True)
class Speech:
    """What was heard of a person."""

    dbfs: float
    """Active level."""
    seconds: float
    """Active time."""
    clipped: int


def measure(programme: Programme, take: Take) -> Measured:
    """Measure one recording of the programme."""
    alive = [float(np.std(take.microphone[:, side])) > _DEAD for side in (0, 1)]
    sides = [_side(programme, take, side, alive=alive[side]) for side in (0, 1)]
    noises = [_noise_dbfs(programme, take, side) for side in (0, 1)]
    slot = _slot(sides, noises, alive)
    side = int(slot == "right" or (slot == "both" and _louder(sides, noises)))
    heard = sides[side]
    usable = [n for n, one in enumerate(heard) if one.found and not one.clipped]
    usable = [n for n in usable if heard[n].distortion <= _PLAIN] or usable[:1]
    found = [n for n, one in enumerate(heard) if one.found]
    best = (usable or found or [len(heard) - 1])[-1]
    chosen = heard[best]
    response = _response(programme, take, side, best)
    delays = [(programme.starts[n] / sweep.RATE_HZ, heard[n].delay_ms) for n in found]
    return Measured(
        slot=slot,
        channel="right" if side else "left",
        noise_dbfs=noises[side],
        sweeps=tuple(heard),
        best=best,
        delay_ms=chosen.delay_ms if chosen.found else 0.0,
        echo_gain_db=chosen.gain_db,
        tail_ms=response.decay_ms(chosen.delay_ms) if chosen.found else 0.0,
        drift_ppm=_drift_ppm(delays),
        wander_ms=max((abs(b[1] - a[1]) for a, b in itertools.pairwise(delays)), default=0.0),
        ring_ms=take.ring_ms,
        lost=take.lost,
        impulse=response.impulse(chosen.delay_ms) if chosen.found else np.zeros(0),
        response_db=10 * np.log10(response.linear(chosen.delay_ms)) if chosen.found else np.zeros(0),
    )


def speech(microphone: NDArray[np.int32], measured: Measured) -> Speech | None:
    """Return what a person said into the measured slot of a recording (n, 2) int32; None where nobody did."""
    slot = microphone[:, int(measured.channel == "right")]
    frames = _band(slot)[: len(slot) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.mean(frames**2, axis=1)
    noise = max(10 ** (measured.noise_dbfs / 10), float(np.percentile(power, 10)) if len(power) else 0.0)
    threshold = noise * 10 ** (_LEAST_OVER_NOISE_DB / 10)
    for _ in range(20):  # it settles within a few rounds
        active = power[_held(power > threshold)]
        if len(active) * _FRAME < _LEAST_SPEECH_S * sweep.RATE_HZ:
            return None
        wanted = max(noise * 10 ** (_LEAST_OVER_NOISE_DB / 10), float(active.mean()) * _ACTIVE_MARGIN)
        if wanted == threshold:
            break
        threshold = wanted
    level = 10 * math.log10(max(float(active.mean()) - noise, 1e-14))
    return Speech(level, len(active) * _FRAME / sweep.RATE_HZ, _clipped(slot))


def _held(loud: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (n,) True where a frame or one of the `_HANG_FRAMES` before it was loud."""
    counted = np.convolve(loud, np.ones(_HANG_FRAMES + 1))[: len(loud)]
    found: NDArray[np.bool_] = counted > 0.5
    return found


def _side(programme: Programme, take: Take, side: int, *, alive: bool) -> list[Heard]:
    found = []
    for n, volume in enumerate(programme.volumes):
        ms, height, gain_db, distortion, floor = 0.0, 0.0, NOTHING_DBFS, 0.0, 0.0
        if alive:
            response = _response(programme, take, side, n)
            ms, height = response.peak()
            gain_db = response.gain_db(ms)
            distortion, floor = response.distortion(ms) if height >= FOUND_DB else (0.0, 0.0)
        slot = _segment(programme, take, side, n)
        peak = int(np.abs(slot.astype(np.int64) - _mean(slot)).max(initial=0))
        found.append(
            Heard(
                volume=volume,
                played_db=20 * math.log10(SWEEP_PEAK) + decibels(volume),
                found=height >= FOUND_DB,
                delay_ms=ms,
                height_db=height,
                gain_db=gain_db,
                distortion=distortion,
                distortion_floor=floor,
                peak_dbfs=20 * math.log10(max(peak, 1) / 2**31),
                clipped=_clipped(slot),
            )
        )
    return found


def _segment(programme: Programme, take: Take, side: int, n: int) -> NDArray[np.int32]:
    """Return the slot from the moment a sweep's first frame was played to the end of its pause."""
    start = max(0, programme.starts[n] + round(take.offset))
    return take.microphone[start : start + sweep.FRAMES + round(sweep.TAIL_S * sweep.RATE_HZ), side]


def _response(programme: Programme, take: Take, side: int, n: int) -> sweep.Response:
    slot = _segment(programme, take, side, n).astype(np.float64) / 2**31
    level = 10 ** ((20 * math.log10(SWEEP_PEAK) + decibels(programme.volumes[n])) / 20)
    return sweep.Response(slot - slot.mean() if len(slot) else slot, level)


def _slot(sides: list[list[Heard]], noises: list[float], alive: list[bool]) -> Slot:
    if not any(alive):
        return "none"
    if not all(alive):
        return "right" if alive[1] else "left"
    heard = [any(one.found for one in side) for side in sides]
    left, right = _loudness(sides, noises)
    if any(heard) and not all(heard):
        return "right" if heard[1] else "left"
    if abs(left - right) < _ALIKE_DB:
        return "both"
    return "right" if right > left else "left"


def _louder(sides: list[list[Heard]], noises: list[float]) -> bool:
    """Tell whether the right slot hears the loudspeaker better; the same sound in both is taken from the left."""
    left, right = _loudness(sides, noises)
    return right > left + 0.5


def _loudness(sides: list[list[Heard]], noises: list[float]) -> tuple[float, float]:
    """What the slots are compared by: the echo where both hear it, else the noise."""
    both = [n for n, (left, right) in enumerate(zip(*sides, strict=True)) if left.found and right.found]
    if both:
        return sides[0][both[-1]].gain_db, sides[1][both[-1]].gain_db
    return noises[0], noises[1]


def _drift_ppm(delays: list[tuple[float, float]]) -> float:
    """Return how much faster the loudspeaker runs, from (second, ms) of the first and last sweep found."""
    if len(delays) < 2:
        return 0.0
    (first_s, first_ms), (last_s, last_ms) = delays[0], delays[-1]
    return -1_000 * (last_ms - first_ms) / (last_s - first_s)


def _noise_dbfs(programme: Programme, take: Take, side: int) -> float:
    start = round(take.offset)
    return _level_dbfs(
        take.microphone[max(0, programme.quiet.start + start) : max(0, programme.quiet.stop + start), side]
    )


def _level_dbfs(slot: NDArray[np.int32]) -> float:
    power = float(np.mean(_band(slot) ** 2)) if len(slot) else 0.0
    return max(NOTHING_DBFS, 10 * math.log10(power)) if power > 0 else NOTHING_DBFS


def _band(slot: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return what lies between 100 Hz and 7.5 kHz, (n,) float64 of full scale 1."""
    if not len(slot):
        return np.zeros(0)
    count = 1 << math.ceil(math.log2(len(slot)))
    spectrum = np.fft.rfft(slot.astype(np.float64) / 2**31 - _mean(slot) / 2**31, count)
    hz = np.fft.rfftfreq(count, 1 / sweep.RATE_HZ)
    spectrum[(hz < sweep.LOW_HZ) | (hz > sweep.HIGH_HZ)] = 0
    found: NDArray[np.float64] = np.fft.irfft(spectrum, count)[: len(slot)]
    return found


def _mean(slot: NDArray[np.int32]) -> int:
    return round(float(np.mean(slot))) if len(slot) else 0


def _clipped(slot: NDArray[np.int32]) -> int:
    return int(np.count_nonzero((slot >= _FULL) | (slot <= -_FULL)))

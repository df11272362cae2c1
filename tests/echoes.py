"""What a microphone hears of the answer beside it: echo, noise and a person, for tests of echo cancellers.

    heard = scene(12.0, delay_ms=60, person_at=(8.0,))
    clean = through(Aec3(), heard.near, heard.far)
    assert erle_db(heard.echo, clean, 1.0, 8.0) > 25

Sounds are int16 mono at 16 kHz, as the canceller gets them: the answer (`far`), and at the microphone (`near`) its
echo, the person and the noise together, each of the three also alone.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import acoustics
import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo.canceller import Canceller
from edge_agent.audio.echo.halfduplex import HalfDuplex
from edge_agent.audio.filters import resample

RATE_HZ = 16_000
BLOCK = 320

Sound = NDArray[np.int16]

_ANSWER = (
    "The kettle was put on at seven, and the whole house smelled of toast before anyone had said a word.",
    "There are three trains in the morning, two of them stop at the harbour, and the last is the fastest by far.",
    "Rain is likely after four, so take a coat. The museum closes at six, but the garden stays open until eight.",
    "You asked me about bread: flour, water, salt, and a good deal of patience.",
)
_VOICES = ("en-us", "en-gb+f3")
_PERSON = "Excuse me, could you please stop talking for a moment"


@dataclass(frozen=True, slots=True)
class Scene:
    """One recording; see the module's docstring."""

    near: Sound
    far: Sound
    echo: Sound
    person: Sound
    noise: Sound


@functools.lru_cache(maxsize=32)
def scene(
    seconds: float,
    *,
    delay_ms: float = 60.0,
    echo_db: float = -3.0,
    rt60_s: float = 0.4,
    noise_dbfs: float = -65.0,
    drift_ppm: float = 0.0,
    jump: tuple[float, float] | None = None,
    distortion: float = 0.0,
    person_at: tuple[float, ...] = (),
    person_dbfs: float = -26.0,
    answer: bool = True,
) -> Scene:
    """Return a recording.

    Args:
        seconds: its length.
        delay_ms: from the reference to the first echo.
        echo_db: power of the echo over the answer's, whose active level is -22 dBFS.
        rt60_s: of the room; the loudspeaker stands 8 cm from the microphone.
        noise_dbfs: white, of the microphone.
        drift_ppm: how much faster the loudspeaker's clock runs.
        jump: (at second, by milliseconds): from then on the echo comes so much later.
        distortion: 0 to 1; how far the loudspeaker's cone is from a straight line.
        person_at: seconds at which a person says a sentence of 3 s.
        person_dbfs: active level of it at the microphone.
        answer: False: the device is silent.
    """
    count = round(seconds * RATE_HZ) // BLOCK * BLOCK
    far = _answer(count) if answer else np.zeros(count)
    cone = np.tanh(far * (1 + 8 * distortion)) / (1 + 8 * distortion) if distortion else far
    at = np.arange(count) * (1 + drift_ppm * 1e-6) - delay_ms / 1_000 * RATE_HZ
    if jump is not None:
        at[round(jump[0] * RATE_HZ) :] -= jump[1] / 1_000 * RATE_HZ
    room = acoustics.convolve(cone, _room(rt60_s))
    echo = np.interp(at, np.arange(count), room, left=0.0) * 10 ** (echo_db / 20)
    person = np.zeros(count)
    said = _spoken(_PERSON, "en-us+f4") * 10 ** ((person_dbfs + 26) / 20)
    for second in person_at:
        start = round(second * RATE_HZ)
        piece = said[: count - start]
        person[start : start + len(piece)] += piece
    noise = np.random.default_rng(3).normal(0, 10 ** (noise_dbfs / 20), count)
    return Scene(*(_int16(sound) for sound in (echo + person + noise, far, echo, person, noise)))


def through(
    canceller: Canceller, near: Sound, far: Sound, cuts: Sequence[int] = (), *, muted: tuple[int, int] = (0, 0)
) -> Sound:
    """Return what comes out block by block, or in the pieces that `cuts` (sample numbers) make.

    `muted`: from which sample to which the microphone is mute; `near` is taken to be zeros there.
    """
    near = near.copy()
    near[slice(*muted)] = 0
    edges = sorted({0, len(near), *cuts}) if cuts else [*range(0, len(near), BLOCK), len(near)]
    edges = sorted({*edges, *(min(edge, len(near)) for edge in muted)})
    pieces = [(a, b, muted[0] <= a < muted[1]) for a, b in itertools.pairwise(edges)]
    return np.concatenate([canceller.process(near[a:b], far[a:b], muted=mute) for a, b, mute in pieces])


def behind_a_gate(near: Sound, dbfs: float) -> Sound:
    """Return it as a microphone with a noise gate gives it: exact zeros from 0.1 s after the last 10 ms over `dbfs`."""
    gated = near.copy()
    frames = gated[: len(gated) // 160 * 160].reshape(-1, 160)
    loud = np.mean(frames.astype(np.float64) ** 2, axis=1) > 10 ** (dbfs / 10) * 32_768.0**2
    last = np.maximum.accumulate(np.where(loud, np.arange(len(loud)), -11))
    frames[np.arange(len(loud)) - last > 10] = 0
    return gated


def coupling_db(gate: HalfDuplex) -> float | None:
    """Return what the gate takes the echo's power over the loudspeaker's to be; None while it does not know."""
    return None if math.isinf(gate._coupling) else 10 * math.log10(gate._coupling)


def level_db(sound: Sound, start_s: float, end_s: float) -> float:
    """Return the RMS level between two seconds, dBFS; -120 for silence."""
    return acoustics.level(sound[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] / 32_768)


def erle_db(before: Sound, after: Sound, start_s: float, end_s: float) -> float:
    """Return the echo return loss enhancement: how much softer it is after than before, median of quarter seconds."""
    pieces = np.arange(start_s, end_s - 0.24, 0.25)
    loss = [level_db(before, at, at + 0.25) - level_db(after, at, at + 0.25) for at in pieces]
    return float(np.median(loss))


@functools.lru_cache(maxsize=1)
def _whole_answer() -> NDArray[np.float64]:
    pieces = [_spoken(text, voice) for voice in _VOICES for text in _ANSWER]
    return np.concatenate(pieces) * 10 ** (4 / 20)


def _answer(count: int) -> NDArray[np.float64]:
    whole = _whole_answer()
    return np.resize(whole, count)


@functools.lru_cache(maxsize=8)
def _spoken(text: str, voice: str) -> NDArray[np.float64]:
    return _to_16k(acoustics.speech(text, voice=voice, dbfs=-26.0))


@functools.lru_cache(maxsize=4)
def _room(rt60_s: float) -> NDArray[np.float64]:
    rir = acoustics.image_rir(
        (4.0, 3.0, 2.5), source_m=(2.0, 1.5, 0.8), mic_m=(2.08, 1.5, 0.8), rt60_s=rt60_s, rate=RATE_HZ
    )
    whole: NDArray[np.float64] = rir / np.sqrt(np.sum(rir**2))
    return whole


def _to_16k(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    return resample(sound.astype(np.float32), acoustics.RATE_HZ, RATE_HZ).astype(np.float64)


def _int16(sound: NDArray[np.float64]) -> Sound:
    found: Sound = np.clip(np.rint(sound * 32_768), -32_768, 32_767).astype(np.int16)
    found.setflags(write=False)
    return found

"""Half-duplex, the last resort: the microphone is shut while the device is heard, yet a person can break in. Pure.

    gate = HalfDuplex(delay_ms=85, tail_ms=220, echo_gain_db=-8)        # as calibrated; or HalfDuplex()
    loud = gate.process(near, far)      # for the barge-in detector: the microphone where it is louder than any echo
    gate.shut                           # True: the microphone's own sound of that block must not go up

The echo of a sound is expected from when it reaches the microphone until the tail has died away, as loud as the
loudest 10 ms of that time can make it: the loudspeaker's power times the coupling. Where the echo was calibrated, the
expectation falls by 20 dB over the tail, in which the echo falls by 30; where it was not, nobody knows when the echo
comes, and the expectation stays up for all that time. The voice switch opens for 10 ms in which the microphone is 6 dB
louder than expected, stays open for 60 ms so that a word comes through whole, and gives silence otherwise. While no
echo is expected, the microphone passes untouched.

The coupling is learned, with or without a calibrated value to start from. Of every half second in which the answer
sounds, the loudest microphone beside what is expected gives one figure, and the median of the last eleven counts.
Without a calibrated value it starts at infinity: nothing passes until 3 s of answers have been heard. A person who
talks over the answer spoils the figures of that time, and only those: 2 s of talk move nothing, and what goes on for
3 s is taken for echo. Exact zeros teach nothing, whether the microphone is muted, missing or has nothing to say, and
the coupling never falls under -40 dB.

Sentences that a detector of 12 open frames in 16 hears over an answer, three rooms, the person's level over the echo's:

| | +10 dB | +5 dB | as loud | -5 dB |
|---|---|---|---|---|
| calibrated | 30 of 30, after 0.2 s | 25, 0.4 s | 19, 0.8 s | 7 |
| not calibrated | 30 of 30, after 0.4 s | 9 | 3 | 3 |
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo.canceller import checked_delay
from edge_agent.audio.echo.frames import FRAME, Frames

TAIL_MS = 300.0
"""Uncalibrated: output ring, room and a margin."""

MAX_TAIL_MS = 2_000.0
"""The longest echo that is believed: a church's."""

_UNIT_MS = 10.0
_LEAD_UNITS = 2  # the echo may come this much before the delay told
_FLAT_UNITS = 4  # and this much after it at its full power
_FALL_DB = 20.0  # of the expectation over a calibrated tail, which is the time of 30 dB
_OPEN_UNITS = 6  # 60 ms: syllables dip
_FULL_POWER = 32_768.0**2 * FRAME
_AUDIBLE = 10 ** (-70 / 10)  # of full scale: softer sound of the loudspeaker makes no echo that a detector hears
_LOUD = 10 ** (-45 / 10)  # softer sound teaches the room's noise, not the coupling
_MARGIN = 4.0  # in power: 6 dB more than the expected echo is a person
_LEARN_UNITS = 50  # 0.5 s: longer than a tail, so that it holds an echo and not only its end
_LEARN_SPAN = 0.1  # in power: of those, the ones beside the loudest 10 dB of the loudspeaker count
_FIGURES = 11  # 2 s of talk spoil five at most
_LEAST_COUPLING = 10 ** (-40 / 10)  # an amplifier that was off may be switched on


class HalfDuplex:
    """See the module's docstring.

    Args:
        delay_ms: how much later the echo appears in the microphone than in the reference.
        tail_ms: how long after that it can be heard: until it is 30 dB down.
        echo_gain_db: power of the echo in `near` over its sound in `far`; None: nothing was calibrated.

    Raises:
        ValueError: a delay not from 0 to 500 ms, or a tail not from 0 to 2000 ms.
    """

    name = "half-duplex"
    gates = True
    trusted = True

    def __init__(self, *, delay_ms: float = 0.0, tail_ms: float = TAIL_MS, echo_gain_db: float | None = None) -> None:
        if not 0 <= tail_ms <= MAX_TAIL_MS:
            msg = f"an echo of {tail_ms:g} ms cannot be; 0 to {MAX_TAIL_MS:g} ms can"
            raise ValueError(msg)
        self._tail_units = math.ceil(tail_ms / _UNIT_MS) + 1  # the first and last 10 ms of an echo are broken ones
        self._start = math.inf if echo_gain_db is None else max(_LEAST_COUPLING, 10 ** (echo_gain_db / 10))
        self._fall_db = 0.0 if echo_gain_db is None else _FALL_DB
        self._frames = Frames()
        self._past = np.zeros(0)  # power of the loudspeaker in the units before
        self._since_louder = _OPEN_UNITS  # units, no more than matter
        self.delay(delay_ms)
        self.reset()

    @property
    def shut(self) -> bool:
        """True if an echo is expected in any part of the last block: none of it must go up."""
        return self._shut

    def process(
        self,
        near: NDArray[np.int16],
        far: NDArray[np.int16],
        *,
        muted: bool = False,  # noqa: ARG002  as others
    ) -> NDArray[np.int16]:
        """Return the whole frames (m,) int16 of `near`, with silence where it may be echo; see `Canceller.process`."""
        near, far = self._frames.take(near, far)
        count = len(near) // FRAME
        if not count:
            return near.copy()
        shut, expected = self._expected(_power(far))
        self._shut = bool(shut.any())
        out = near.copy()
        if self._shut:
            heard = _power(near)
            louder = np.zeros(count, np.bool_)
            at = 0
            while at < count:
                end = self._next_figure(heard, expected, at)
                if not math.isinf(self._coupling):
                    louder[at:end] = shut[at:end] & (heard[at:end] > _MARGIN * self._coupling * expected[at:end])
                self._learn(heard[at:end], expected[at:end])
                at = end
            out.reshape(-1, FRAME)[shut & ~self._held_open(louder)] = 0
        else:
            self._since_louder = min(self._since_louder + count, _OPEN_UNITS)
        return out

    def reset(self) -> None:
        """Forget what was heard and learned, as if newly made; the delay stays."""
        self._frames.clear()
        self._past[:] = 0
        self._shut = False
        self._since_louder = _OPEN_UNITS
        self._figures = deque([self._start] * _FIGURES, _FIGURES)
        self._coupling: float = self._start
        self._evidence: list[tuple[float, float]] = []

    def delay(self, ms: float) -> None:
        """Say when the echo comes, from the next sample on.

        Raises:
            ValueError: not from 0 to 500 ms.
        """
        late = math.floor(checked_delay(ms) / _UNIT_MS)
        soonest, latest = max(0, late - _LEAD_UNITS), late + 1 + self._tail_units
        past = np.zeros(latest)
        kept = min(latest, len(self._past))
        if kept:
            past[-kept:] = self._past[-kept:]
        self._past = past
        self._window = np.arange(latest - soonest + 1)
        over = latest - self._window - late - _FLAT_UNITS  # lags fall along the window
        span = max(1, self._tail_units + 1 - _FLAT_UNITS)
        self._weights = 10 ** (-self._fall_db / 10 * np.maximum(over, 0) / span)

    def _expected(self, played: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return for each unit (n,) whether there may be an echo, and its power at a coupling of 1."""
        line = np.concatenate([self._past, played])
        self._past = line[len(played) :]
        if not line.any():
            return np.zeros(len(played), np.bool_), np.zeros(len(played))
        under_way = line[np.arange(len(played))[:, None] + self._window]
        return under_way.max(axis=1) > _AUDIBLE, (under_way * self._weights).max(axis=1)

    def _held_open(self, louder: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return `louder` (n,) with the units after it for which the switch stays open."""
        at = np.arange(len(louder))
        last = np.maximum.accumulate(np.where(louder, at, -1 - self._since_louder))
        self._since_louder = min(len(louder) - 1 - int(last[-1]), _OPEN_UNITS)
        found: NDArray[np.bool_] = at - last <= _OPEN_UNITS
        return found

    def _next_figure(self, heard: NDArray[np.float64], expected: NDArray[np.float64], at: int) -> int:
        """Return the end of the units from `at` on that are judged by the present coupling."""
        wanted = _LEARN_UNITS - len(self._evidence)
        telling = np.flatnonzero(_telling(heard[at:], expected[at:]))
        return len(heard) if len(telling) < wanted else at + int(telling[wanted - 1]) + 1

    def _learn(self, heard: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
        telling = _telling(heard, expected)
        self._evidence += zip(heard[telling].tolist(), expected[telling].tolist(), strict=True)
        if len(self._evidence) < _LEARN_UNITS:
            return
        near, far = np.array(self._evidence).T
        self._evidence.clear()
        loud = far >= _LEARN_SPAN * far.max()
        self._figures.append(max(_LEAST_COUPLING, float((near[loud] / far[loud]).max())))
        self._coupling = sorted(self._figures)[_FIGURES // 2]


def _telling(heard: NDArray[np.float64], expected: NDArray[np.float64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (expected > _LOUD) & (heard > 0)
    return found


def _power(sound: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the power of each unit (n,), 1.0 at full scale; sums of integers, so they are exact in any order."""
    wide = sound.reshape(-1, FRAME).astype(np.float64)
    found: NDArray[np.float64] = np.einsum("ij,ij->i", wide, wide) / _FULL_POWER
    return found

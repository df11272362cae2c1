"""What is measured of a run: how well the echo goes, how soon the answer yields, what reaches the service.

All sound is int16 (n,) at 16 kHz with sample 0 at the scene's second 0; levels are dB, times seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from acoustics import active
from numpy.typing import NDArray
from study.loop import HEARD_HZ, Run

from edge_agent.audio.echo.aec3 import Aec3

WINDOW_S = 0.3
"""ERLE is taken in windows of this length in which the answer sounds and nobody speaks."""
ERLE_S = 30.0
CONVERGED_DB = 15.0
ACTIVE_S = 0.02
"""Frames by which sound is told from pauses."""
WITHIN_S = 1.5
"""An interruption that has not stopped the answer by then has failed."""

_SPECTRUM = 512
_HOP = 256
_CANCELLER_S = 0.02  # the longest delay that a canceller adds
_STARTS_S = 1.0
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Yielding:
    """How an answer gave way; None: it did not."""

    duck_s: float | None
    stop_s: float | None
    """To the last sample of the answer at the loudspeaker."""


def yielding(run: Run) -> Yielding:
    """Return how long after the person's onset the answer was lowered, and silent, as the room hears it."""
    assert run.onset_s is not None
    onset = run.onset_s
    ducks = [mark.heard - onset for mark in run.marks if mark.kind == "duck" and _answers(run, mark.heard)]
    silences = [mark.heard - onset for mark in run.marks if mark.kind == "silence" and _answers(run, mark.heard)]
    stop = silences[0] if silences and silences[0] <= WITHIN_S else None
    duck = min(ducks[:1] + silences[:1], default=None)
    return Yielding(duck if duck is not None and duck <= WITHIN_S else None, stop)


def false_alarms(run: Run, kind: str, *, first_second: bool = False) -> int:
    """Return how often the answer was ducked or stopped although nobody spoke."""
    until = run.seconds if run.onset_s is None else run.onset_s
    if first_second:
        until = min(until, _STARTS_S)
    return sum(mark.kind == kind and 0 <= mark.at < until for mark in run.marks)


def quiet_minutes(run: Run) -> float:
    """Return for how long the loudspeaker sounded and nobody spoke, minutes; pauses are no sound."""
    until = run.seconds if run.onset_s is None else run.onset_s
    played = run.loudspeaker[: round(until * HEARD_HZ)]
    return float(np.count_nonzero(active(played, HEARD_HZ))) * ACTIVE_S / 60


def erle(run: Run) -> list[tuple[float, float]]:
    """Return (second, dB) for each window in which the answer sounds, full and alone: microphone over what is left.

    A canceller of its own hears what the room's microphone and loudspeaker did, from the start, so that no gate and no
    earlier answer beautifies the figure.
    """
    size = round(WINDOW_S * HEARD_HZ)
    count = min(len(run.microphone), len(run.loudspeaker), round(ERLE_S * HEARD_HZ)) // size
    microphone, loudspeaker = run.microphone[: count * size], run.loudspeaker[: count * size]
    clean = Aec3().process(microphone, loudspeaker)
    near = np.zeros(count * size, np.int16)
    near[: len(run.near)] = run.near[: count * size]
    power = [
        np.mean(np.square(sound.astype(np.float64)).reshape(count, size), axis=1)
        for sound in (microphone, clean, near, loudspeaker)
    ]
    mic, clean, near, played = power
    loud = played > 10 ** (-10 / 10) * np.mean(played[played > 1.0]) if (played > 1.0).any() else played > 1.0
    found = []
    for number in np.flatnonzero(loud & (near < 1.0)):
        at = (number + 1) * WINDOW_S
        if not _lowered(run, at - WINDOW_S - 0.3, at):
            found.append((float(at), float(10 * np.log10((mic[number] + 1) / (clean[number] + 1)))))
    return found


def converged_s(windows: list[tuple[float, float]]) -> float | None:
    """Return from when on the ERLE stays above 15 dB for the next second, at the median; None: never."""
    for at, _ in windows:
        ahead = [db for second, db in windows if at <= second <= at + 1.0]
        if len(ahead) >= 2 and float(np.median(ahead)) >= CONVERGED_DB:
            return at - WINDOW_S
    return None


def level_error(run: Run, sound: NDArray[np.int16], since_s: float, until_s: float) -> float | None:
    """Return how much louder the person is in `sound` than in the room, dB, from one second of the scene to another.

    Only spectral bins count in which the person is 10 dB over all else the microphone hears; None: there are too few.
    """
    first, last = round(since_s * HEARD_HZ), min(round(until_s * HEARD_HZ), len(run.near))
    if last - first < 4 * _SPECTRUM:
        return None
    near = run.near[first:last].astype(np.float64)
    rest = run.microphone[first:last].astype(np.float64) - near
    got = sound[first:last].astype(np.float64)
    shift = _shift(near, got)
    got = sound[first + shift : last + shift].astype(np.float64)
    count = min(len(near), len(got))
    spectra = [_power(part[:count]) for part in (near, rest, got)]
    clear = (spectra[0] > 10 * spectra[1]) & (spectra[0] > 1e-3 * spectra[0].max())
    if clear.sum() < 100:
        return None
    return float(10 * np.log10(spectra[2][clear].sum() / spectra[0][clear].sum()))


def follow_up(run: Run, since_s: float) -> float:
    """Return the share of time from `since_s` on in which a voice was heard, so that sound would be sent."""
    open_since: float | None = None
    heard = 0.0
    for mark in run.marks:
        if mark.kind == "voice":
            open_since = mark.at
        elif mark.kind == "pause" and open_since is not None:
            heard += max(0.0, mark.at - max(open_since, since_s))
            open_since = None
    if open_since is not None:
        heard += max(0.0, run.seconds - max(open_since, since_s))
    return heard / (run.seconds - since_s)


def _answers(run: Run, at: float) -> bool:
    assert run.onset_s is not None
    return at >= run.onset_s


def _lowered(run: Run, since_s: float, until_s: float) -> bool:
    """Tell whether the answer was ducked or stopped at any moment of a stretch."""
    down: float | None = None
    for mark in run.marks:
        if mark.kind in {"duck", "silence"} and down is None:
            down = mark.at
        elif mark.kind == "clear" and down is not None:
            if down < until_s and mark.at > since_s:
                return True
            down = None
    return down is not None and down < until_s


def _shift(near: NDArray[np.float64], got: NDArray[np.float64]) -> int:
    """Return how many samples later `got` has what `near` has."""
    most = round(_CANCELLER_S * HEARD_HZ)
    size = 1 << (len(near) + len(got)).bit_length()
    match = np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(near, size)), size)
    return int(np.argmax(match[: most + 1]))


def _power(sound: NDArray[np.float64]) -> NDArray[np.float64]:
    frames = np.lib.stride_tricks.sliding_window_view(sound, _SPECTRUM)[::_HOP]
    spectrum = np.fft.rfft(frames * np.hanning(_SPECTRUM), axis=1)
    power: NDArray[np.float64] = np.abs(spectrum) ** 2 + _FLOOR
    return power

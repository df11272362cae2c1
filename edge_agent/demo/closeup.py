"""Two moments of the demonstration under the magnifying glass: the first syllable, and the interruption. Pure.

    first_syllable(evidence)     # what was spoken and what arrived, around the first press
    interruption(evidence)       # what the loudspeaker gave and what would have come, around the press in mid answer

Each is a `Closeup` whose times are seconds from the press, or None where the moment was not recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import resample
from edge_agent.demo import checks, listening
from edge_agent.demo.checks import Evidence
from edge_agent.demo.journal import select
from edge_agent.demo.speech import RATE_HZ as SPEECH_HZ

BEFORE_S, AFTER_S = 0.3, 1.0  # around the first press
STOP_BEFORE_S, STOP_AFTER_S = 0.35, 0.45  # around the interruption


@dataclass(frozen=True, slots=True)
class Track:
    """One curve: its name and samples, float32 (n,), the first at `start` seconds from the press."""

    name: str
    start: float
    rate: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Closeup:
    """Curves around a press, and a moment after it that was measured (seconds from the press)."""

    tracks: tuple[Track, ...]
    moment: float
    before: float
    after: float


def first_syllable(evidence: Evidence) -> Closeup | None:
    """Return the first question as it was spoken and as it arrived; the moment is where the voice began."""
    said = next(iter(select(evidence.entries, "person", "says")), None)
    turn = next((t for t in evidence.heard if said is not None and t.expected == said.fields.get("name")), None)
    if said is None or turn is None:
        return None
    press = next((e for e in select(evidence.entries, "person", "press") if e.t > said.t - 1.0), None)
    if press is None:
        return None
    at = press.t - evidence.zero
    spoken = _cut(evidence.left, evidence.rate, at - BEFORE_S, at + AFTER_S)
    arrived = listening.from_s16(turn.audio)
    place = listening.place(resample(spoken, evidence.rate, SPEECH_HZ), arrived)
    if place is None:
        return None
    start = -BEFORE_S + place / SPEECH_HZ
    loud = listening.first_above(evidence.left, evidence.rate, -45.0, at - BEFORE_S, at + AFTER_S)
    return Closeup(
        tracks=(
            Track("spoken", -BEFORE_S, evidence.rate, spoken),
            Track("arrived at the service", start, SPEECH_HZ, arrived),
        ),
        moment=0.0 if loud is None else loud - at,
        before=BEFORE_S,
        after=AFTER_S,
    )


def interruption(evidence: Evidence) -> Closeup | None:
    """Return the loudspeaker around the interruption, and the old answer as it would have gone on."""
    silence, trace = checks.silence(evidence), checks.answer_trace(evidence, "story")
    if silence is None or trace is None:
        return None
    at = silence.pressed - evidence.zero
    story = resample(listening.from_s16(evidence.answers["story"]), 24_000, evidence.rate) * np.float32(trace.gain)
    first = at - STOP_BEFORE_S
    ghost = _cut(story, evidence.rate, first - trace.first, at + STOP_AFTER_S - trace.first)
    return Closeup(
        tracks=(
            Track("what would have come", -STOP_BEFORE_S, evidence.rate, ghost),
            Track(
                "loudspeaker",
                -STOP_BEFORE_S,
                evidence.rate,
                _cut(evidence.right, evidence.rate, first, at + STOP_AFTER_S),
            ),
        ),
        moment=silence.silent - silence.pressed,
        before=STOP_BEFORE_S,
        after=STOP_AFTER_S,
    )


def _cut(sound: NDArray[np.float32], rate: int, start: float, end: float) -> NDArray[np.float32]:
    """Return a stretch of sound; silence where there is none."""
    first, count = round(start * rate), round((end - start) * rate)
    out = np.zeros(count, np.float32)
    low, high = max(0, first), min(len(sound), first + count)
    if high > low:
        out[low - first : high - first] = sound[low:high]
    return out

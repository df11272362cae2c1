"""Sounds are found in recordings where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.audio.wavfile import resample
from edge_agent.demo import listening
from edge_agent.demo.speech import UTTERANCES, recording

RATE = 48_000


def room(seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.zeros(round(seconds * RATE), np.float32)


def story() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Five seconds of somebody talking, 16 kHz."""
    return np.concatenate([recording(name) for name in UTTERANCES])


@settings(max_examples=15)
@given(delay=st.integers(0, 8000), gain=st.floats(0.05, 1.0))
def test_a_sound_is_like_itself_at_any_delay_and_loudness(delay: int, gain: float) -> None:
    original = recording("joke")
    received = np.concatenate([np.zeros(delay, np.float32), original * np.float32(gain), np.zeros(500, np.float32)])
    assert listening.likeness(original, received) > 0.99


def test_another_sentence_of_the_same_voice_is_not_alike() -> None:
    assert listening.likeness(recording("time"), np.pad(recording("story"), 2000)) < 0.6


def test_a_lost_first_syllable_shows() -> None:
    original = recording("story")
    assert listening.likeness(original, np.pad(original[len(original) // 3 :], 4000)) < 0.9


def test_nothing_is_unlike_everything() -> None:
    assert listening.likeness(recording("time"), np.zeros(0, np.float32)) == 0.0
    assert listening.likeness(recording("time"), np.zeros(16_000, np.float32)) == 0.0


@pytest.mark.parametrize("heard_s", [2.0, 3.3])
def test_the_end_of_a_stopped_sound_is_found_under_a_cue_and_a_later_sentence(heard_s: float) -> None:
    known = story()
    wide = resample(known, 16_000, RATE) * np.float32(0.4)
    air = room(9)
    air[RATE : RATE + round(heard_s * RATE)] = wide[: round(heard_s * RATE)]
    end = RATE + round(heard_s * RATE)
    air[end : end + 6000] += (0.1 * np.sin(np.arange(6000) * 2 * np.pi * 660 / RATE)).astype(np.float32)
    later = resample(recording("joke"), 16_000, RATE)
    air[end + RATE : end + RATE + len(later)] += later
    found = listening.trace(air, RATE, known, 16_000, search=(0.5, 3.0))
    assert found is not None
    assert found.first == pytest.approx(1.0, abs=0.001)
    assert found.last == pytest.approx(1.0 + heard_s, abs=0.12)  # a pause before the cut hides the exact place
    assert found.last <= 1.0 + heard_s + 0.035  # one window of what follows may still look like it


def test_a_sound_is_followed_over_a_gap_of_the_loudspeaker() -> None:
    known = story()
    wide = resample(known, 16_000, RATE)
    gap = round(0.02 * RATE)
    at = round(0.75 * RATE)
    air = room(8)
    broken = np.concatenate([wide[:at], np.zeros(gap, np.float32), wide[at : 3 * RATE]])
    air[RATE : RATE + len(broken)] = broken
    found = listening.trace(air, RATE, known, 16_000, search=(0.5, 3.0))
    assert found is not None
    assert found.last == pytest.approx(1.0 + len(broken) / RATE, abs=0.12)


def test_a_sound_that_was_never_played_is_not_found() -> None:
    air = room(5)
    other = resample(recording("joke"), 16_000, RATE)
    air[RATE : RATE + len(other)] = other
    assert listening.trace(air, RATE, recording("time"), 16_000, search=(0.0, 4.0)) is None


def test_place_finds_where_a_later_start_belongs() -> None:
    original = recording("story")
    assert listening.place(original, original[3000:]) == 3000
    assert listening.place(original, np.concatenate([np.zeros(700, np.float32), original])) == -700


def test_first_above_finds_the_onset() -> None:
    air = room(2)
    air[RATE : RATE + 4800] = 0.1
    assert listening.first_above(air, RATE, -40, 0.0, 2.0) == pytest.approx(1.0, abs=0.011)
    assert listening.first_above(air, RATE, -10, 0.0, 2.0) is None

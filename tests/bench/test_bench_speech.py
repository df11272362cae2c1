"""Received speech is found again in what was spoken, and a block lost or doubled on the way is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.bench.speech import find, in_order, pcm, speech

RATE = 16_000
WHOLE: NDArray[np.float64] = speech(6.0, seed=9, rate=RATE).astype(np.float64)
STEP = RATE // 4
BLOCK = 320


def piece(at: int, size: int) -> NDArray[np.float64]:
    return np.take(WHOLE, np.arange(at, at + size), mode="wrap")


@given(at=st.integers(0, len(WHOLE) - 1), size=st.integers(STEP, 2 * RATE), gain=st.floats(0.01, 50.0))
def test_a_piece_is_found_where_it_was_taken_however_loud(at: int, size: int, gain: float) -> None:
    found, likeness = find(piece(at, size) * gain, WHOLE)
    assert found == at
    assert likeness == pytest.approx(1.0, abs=1e-6)
    assert in_order(piece(at, size) * gain, WHOLE, found, step=STEP) == pytest.approx(1.0, abs=1e-6)


@given(at=st.integers(0, len(WHOLE) - 1), cut=st.integers(STEP, RATE), doubled=st.booleans())
def test_a_lost_or_doubled_block_is_noticed(at: int, cut: int, doubled: bool) -> None:
    whole = piece(at, RATE + BLOCK + STEP)  # on both sides of the cut enough for one comparison
    rest = whole[cut - BLOCK :] if doubled else whole[cut + BLOCK :]
    broken = np.concatenate([whole[:cut], rest])
    found, _ = find(broken, WHOLE)
    assert in_order(broken, WHOLE, found, step=STEP) < 0.95


def test_other_speech_is_not_taken_for_it() -> None:
    other = speech(1.0, seed=10, rate=RATE).astype(np.float64)
    at, likeness = find(other, WHOLE)
    assert likeness < 0.5
    assert in_order(other, WHOLE, at, step=STEP) < 0.5


@pytest.mark.parametrize("wrong", [np.zeros(0), np.zeros(100), np.ones(len(WHOLE) + 1)])
def test_what_cannot_be_found_is_refused(wrong: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="cannot be found"):
        find(wrong, WHOLE)


def test_all_rates_of_a_seed_carry_the_same_sound() -> None:
    slow, fast = speech(2.0, seed=1, rate=RATE), speech(2.0, seed=1, rate=48_000)
    assert np.corrcoef(slow, fast[::3])[0, 1] > 0.999
    assert len(pcm(slow)) == 2 * len(slow)


def test_it_is_as_loud_as_asked_and_never_clips() -> None:
    sound = speech(4.0, seed=2, rate=RATE, level_dbfs=-20.0)
    assert 20 * np.log10(np.sqrt(np.mean(sound**2))) == pytest.approx(-20.0, abs=0.1)
    assert np.abs(sound).max() < 1.0

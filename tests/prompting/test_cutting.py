"""A recording is cut to its speech."""

from __future__ import annotations

import numpy as np
import pytest
from harness import coded_noise

from edge_agent.prompting.cutting import AFTER_S, BEFORE_S, FRAME_S, cut

RATE = 24_000


def test_silence_goes_and_speech_stays_whole() -> None:
    speech = coded_noise(1.0, seed=4, rate=RATE)[:, 0]
    hiss = (np.random.default_rng(1).standard_normal(3 * RATE) * 1e-5).astype(np.float32)
    sound = hiss.copy()
    sound[RATE : 2 * RATE] += speech
    result = cut(sound, RATE)
    begin = RATE - round(BEFORE_S * RATE)
    assert len(result) == pytest.approx((1.0 + BEFORE_S + AFTER_S) * RATE, abs=2 * FRAME_S * RATE)
    inner = round(0.01 * RATE)  # beyond the fades
    assert np.array_equal(result[inner:-inner], sound[begin + inner : begin + len(result) - inner])


def test_a_pause_in_the_middle_is_not_cut() -> None:
    word = coded_noise(0.5, seed=4, rate=RATE)[:, 0]
    sound = np.concatenate([word, np.zeros(2 * RATE, np.float32), word])
    assert len(cut(sound, RATE)) == len(sound)


def test_a_cut_makes_no_click() -> None:
    sound = np.full(RATE, 0.5, np.float32)
    result = cut(sound, RATE)
    assert abs(float(result[0])) < 0.001
    assert abs(float(result[-1])) < 0.001
    assert np.abs(np.diff(result)).max() < 0.01
    assert np.array_equal(sound, np.full(RATE, 0.5, np.float32)), "what was given is left as it is"


@pytest.mark.parametrize("count", [0, 1, 100, 24_000])
def test_silence_is_nothing(count: int) -> None:
    assert not len(cut(np.zeros(count, np.float32), RATE))
    assert not len(cut(np.full(count, 2e-5, np.float32), RATE))


@pytest.mark.parametrize("count", [1, 2, 3, 100])
def test_a_sound_shorter_than_its_fades_is_no_error(count: int) -> None:
    assert len(cut(np.full(count, 0.9, np.float32), RATE)) == count

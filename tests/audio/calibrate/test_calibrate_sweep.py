"""The sweep: delay between samples, gain, decay and distortion, each against what was put in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.calibrate import sweep
from edge_agent.audio.calibrate.measures import FOUND_DB

LEVEL = 0.7
LENGTH = sweep.FRAMES + round(sweep.TAIL_S * sweep.RATE_HZ)
Bend = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def recorded(
    delay: float,
    *,
    gain: float = 0.1,
    noise: float = 1e-5,
    bend: Bend = lambda x: x,
    response: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return what a microphone hears of the sweep, `delay` frames late, fractions included."""
    sound = np.zeros(1 << 18)
    sound[: sweep.FRAMES] = gain * bend(LEVEL * sweep.samples())
    spectrum = np.fft.rfft(sound) * np.exp(-2j * np.pi * np.fft.rfftfreq(1 << 18) * delay)
    if response is not None:
        spectrum *= np.fft.rfft(response, 1 << 18)
    heard = np.fft.irfft(spectrum, 1 << 18)[:LENGTH]
    return heard + noise * np.random.default_rng(7).standard_normal(LENGTH)


@settings(max_examples=10)
@given(st.floats(0, 0.4 * sweep.RATE_HZ))
def test_a_delay_is_found_between_two_samples(delay: float) -> None:
    ms, height = sweep.Response(recorded(delay), LEVEL).peak()
    assert ms * sweep.RATE_HZ / 1_000 == pytest.approx(delay, abs=0.05)
    assert height > 60


@pytest.mark.parametrize("gain", [0.001, 0.1, 0.9])
def test_the_gain_is_that_of_the_path(gain: float) -> None:
    response = sweep.Response(recorded(960, gain=gain, noise=1e-6), LEVEL)
    assert response.gain_db(response.peak()[0]) == pytest.approx(20 * math.log10(gain), abs=0.3)


def test_the_gain_weighs_a_frequency_as_much_as_speech_holds_of_it() -> None:
    hz = np.fft.rfftfreq(1 << 12, 1 / sweep.RATE_HZ)
    above = np.fft.fftshift(np.fft.irfft(np.where(hz > 3_000, 1.0, 0.0), 1 << 12))
    below = np.fft.fftshift(np.fft.irfft(np.where(hz < 3_000, 1.0, 0.0), 1 << 12))
    gains = []
    for kernel in (above, below):
        response = sweep.Response(recorded(960, gain=1, noise=0, response=kernel), LEVEL)
        gains.append(response.gain_db(response.peak()[0]))
    assert gains[0] < -12
    assert gains[1] == pytest.approx(0, abs=0.6)


@pytest.mark.parametrize("drive", [0.5, 1.0, 2.0, 4.0])
def test_distortion_is_that_of_a_tone_of_the_same_level(drive: float) -> None:
    def bend(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.tanh(drive * x) / drive

    tone = np.abs(np.fft.rfft(bend(LEVEL * np.sin(2 * np.pi * 1_000 * np.arange(48_000) / 48_000))))
    expected = math.sqrt(sum(tone[1_000 * n] ** 2 for n in range(2, 7))) / tone[1_000]
    response = sweep.Response(recorded(700, bend=bend), LEVEL)
    found, hidden = response.distortion(response.peak()[0])
    assert found == pytest.approx(expected, rel=0.05)
    assert hidden < 0.1 * found


def test_even_distortion_counts_too() -> None:
    response = sweep.Response(recorded(700, bend=lambda x: x + 0.2 * x * x), LEVEL)
    assert response.distortion(response.peak()[0])[0] == pytest.approx(0.2 * LEVEL / 2, rel=0.05)


def test_noise_is_no_distortion_and_the_limit_of_what_can_be_seen_is_told() -> None:
    response = sweep.Response(recorded(700, noise=0.003), LEVEL)
    found, hidden = response.distortion(response.peak()[0])
    assert found < 0.01
    assert 0.001 < hidden < 0.05


@pytest.mark.parametrize("noise", [0.0, 1e-4, 3e-3])
@pytest.mark.parametrize("rt60_s", [0.2, 0.5])
def test_the_decay_is_half_the_reverberation_time_even_where_noise_hides_its_end(rt60_s: float, noise: float) -> None:
    at = np.arange(sweep.RATE_HZ // 2) / sweep.RATE_HZ
    room = 0.01 * np.exp(-3 * math.log(10) * at / rt60_s) * np.random.default_rng(3).standard_normal(len(at))
    response = sweep.Response(recorded(480, gain=1, noise=noise, response=room), LEVEL)
    assert response.decay_ms(response.peak()[0]) == pytest.approx(500 * rt60_s, rel=0.2)


def test_a_single_reflection_free_path_has_no_decay() -> None:
    response = sweep.Response(recorded(480), LEVEL)
    assert response.decay_ms(response.peak()[0]) < 6


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_is_not_taken_for_an_echo(seed: int) -> None:
    noise = 0.1 * np.random.default_rng(seed).standard_normal(LENGTH)
    assert sweep.Response(noise, LEVEL).peak()[1] < FOUND_DB - 3


def test_digital_silence_is_not_taken_for_an_echo() -> None:
    assert sweep.Response(np.zeros(LENGTH), LEVEL).peak()[1] < FOUND_DB


def test_an_echo_far_under_the_noise_is_still_found() -> None:
    heard = recorded(960, gain=0.01, noise=0.03)
    response = sweep.Response(heard, LEVEL)
    ms, height = response.peak()
    assert height > FOUND_DB
    assert ms == pytest.approx(20, abs=0.1)
    assert response.gain_db(ms) == pytest.approx(-40, abs=1.5)


def test_the_sweep_begins_and_ends_without_a_click() -> None:
    sound = sweep.samples()
    assert len(sound) == sweep.FRAMES
    assert np.abs(sound[[0, 1, -1]]).max() < 0.001
    assert 0.99 < np.abs(sound).max() <= 1.0


def test_the_weights_are_the_shares_of_speech() -> None:
    weights = sweep.speech_weights(sweep.GRID_HZ)
    assert weights.sum() == pytest.approx(1)
    assert weights[sweep.GRID_HZ < 1_000].sum() > 0.8

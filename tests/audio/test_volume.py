"""Volume is even in loudness and never clicks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.audio.volume import RAMP_SAMPLES, VolumeRamp, gain


def db(x: float) -> float:
    return float(20 * np.log10(x))


def test_the_scale_runs_from_silence_over_minus_40_db_to_full() -> None:
    assert gain(0) == 0.0
    assert db(gain(1)) == pytest.approx(-40)
    assert gain(100) == pytest.approx(1.0)
    assert db(gain(50)) == pytest.approx(-9.3, abs=0.05)
    assert all(gain(v) < gain(v + 1) for v in range(100))


def test_every_step_adds_the_same_loudness() -> None:
    sones = [2 ** (db(gain(v)) / 10) for v in range(1, 101)]
    assert np.ptp(np.diff(sones)) < 1e-9


@pytest.mark.parametrize("volume", [-1, 101])
def test_other_volumes_are_refused(volume: int) -> None:
    with pytest.raises(ValueError, match="not from 0 to 100"):
        gain(volume)
    with pytest.raises(ValueError, match="not from 0 to 100"):
        VolumeRamp(50).set(volume)


def test_a_change_takes_20_ms_without_a_step() -> None:
    ramp = VolumeRamp(100)
    ramp.set(0)
    assert not ramp.silent
    steady = np.ones(2 * RAMP_SAMPLES, np.float32)
    ramp.apply(steady)
    assert ramp.silent
    assert np.abs(np.diff(steady)).max() < 1.01 / RAMP_SAMPLES
    assert steady[0] > 0.99
    assert not steady[RAMP_SAMPLES - 1 :].any()


def test_a_change_during_a_change_starts_from_where_it_stands() -> None:
    ramp = VolumeRamp(100)
    ramp.set(0)
    first = np.ones(200, np.float32)
    ramp.apply(first)
    ramp.set(100)
    ramp.set(80)
    second = np.ones(1_000, np.float32)
    ramp.apply(second)
    assert np.abs(np.diff(np.append(first, second))).max() < 1.01 / RAMP_SAMPLES
    assert second[-1] == pytest.approx(gain(80))


@settings(max_examples=50, deadline=None)
@given(chunks=st.lists(st.integers(0, 700), min_size=1, max_size=12))
def test_chunking_does_not_change_the_bits(chunks: list[int]) -> None:
    noise = np.random.default_rng(1).normal(0, 0.2, sum(chunks)).astype(np.float32)
    whole, parts, at = noise.copy(), noise.copy(), 0
    one, many = VolumeRamp(100), VolumeRamp(100)
    one.set(30)
    many.set(30)
    one.apply(whole)
    for size in chunks:
        many.apply(parts[at : at + size])
        at += size
    assert parts.tobytes() == whole.tobytes()

"""What a room makes of the loudspeaker's sound: delay, gain, response, distortion, drift and jumps, exactly."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.echopath import RATE_HZ, REACH, Convolver, EchoPath, _Timeline, distort, pink_loop

BLOCK = 960


def noise(frames: int, seed: int = 1) -> NDArray[np.float64]:
    """White noise of RMS 0.1."""
    return 0.1 * np.random.default_rng(seed).standard_normal(frames)


def tone(hz: float, frames: int, at: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float64]:
    """A sine of amplitude 0.5."""
    when = np.arange(frames) if at is None else at
    wave: NDArray[np.float64] = 0.5 * np.sin(2 * np.pi * hz * when / RATE_HZ)
    return wave


def heard(path: EchoPath, frames: int, sizes: tuple[int, ...] = (BLOCK,), start: int = 0) -> NDArray[np.float64]:
    """Everything from `start` on, asked for in blocks of these sizes in turn."""
    parts, at = [], start
    for size in itertools.cycle(sizes):
        parts.append(path.hear(at, min(size, start + frames - at)))
        at += len(parts[-1])
        if at == start + frames:
            return np.concatenate(parts)
    raise AssertionError


def decibels(power: Any) -> float:
    return 10 * math.log10(float(power))


@pytest.mark.parametrize("delay", [0, 1, 959, 960, 12_345])
def test_a_single_tap_is_a_delay_to_the_frame_and_a_gain(delay: int) -> None:
    path, sound = EchoPath(delay=delay, gain_db=-6.0), noise(20_000)
    path.play(0, sound)
    echo = heard(path, 20_000)
    assert not echo[:delay].any()
    np.testing.assert_array_equal(echo[delay:], sound[: 20_000 - delay] * 10 ** (-6 / 20))


def test_what_was_never_played_or_taken_back_is_silence() -> None:
    path, sound = EchoPath(delay=100), noise(3_000)
    path.play(500, sound)
    path.cut(1_500)
    path.play(2_000, sound[:200])
    path.play(2_100, sound[:50])
    want = np.zeros(4_000)
    want[600:1_600] = sound[:1_000]
    want[2_100:2_200] = sound[:100]
    want[2_200:2_250] = sound[:50]
    np.testing.assert_array_equal(heard(path, 4_000), want)


def test_the_ring_forgets_only_what_can_no_longer_be_heard() -> None:
    path, sound = EchoPath(delay=4_800), noise(20 * RATE_HZ)
    got = []
    for at in range(0, len(sound), BLOCK):
        path.play(at, sound[at : at + BLOCK])
        if at >= RATE_HZ:
            got.append(path.hear(at - RATE_HZ, BLOCK))
    echo = np.concatenate(got)
    np.testing.assert_array_equal(echo[4_800:], sound[: len(echo) - 4_800])
    path.play(500 * RATE_HZ, sound[:BLOCK])
    assert not path.hear(499 * RATE_HZ, RATE_HZ + 4_800).any()
    np.testing.assert_array_equal(path.hear(500 * RATE_HZ + 4_800, BLOCK), sound[:BLOCK])
    assert not path.hear(510 * RATE_HZ, RATE_HZ).any()


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["write", "cut", "skip"]), st.integers(0, 90), st.integers(0, 40)), max_size=30
    )
)
def test_the_timeline_gives_back_what_was_written_last_or_silence(moves: list[tuple[str, int, int]]) -> None:
    size = 64
    timeline, there = _Timeline(size), dict[int, float]()
    end, highest, value = 0, 0, 0.0
    for move, count, back in moves:
        if move == "skip":
            end += count
            continue
        at = max(0, end - back)
        there = {position: one for position, one in there.items() if position < at}
        if move == "cut":
            timeline.cut(at)
            end = at
            continue
        samples = value + 1 + np.arange(count, dtype=np.float64)
        timeline.write(at, samples)
        there |= dict(zip(range(at, at + count), samples.tolist(), strict=True))
        end, value = at + count, value + count
        highest = max(highest, end)
    first, last = max(0, highest - 200), highest + 50
    for position, real in zip(range(first, last), timeline.read(first, last).tolist(), strict=True):
        want = there.get(position, 0.0)
        assert real == want or (real == 0.0 and position < highest - size), position


@pytest.mark.parametrize("taps", [1, 700, 960, 961, 9_600])
def test_the_response_is_convolved_exactly_and_scaled_to_unit_energy(taps: int) -> None:
    response = noise(taps, 2) * np.exp(-np.arange(taps) / 2_000)
    path, sound = EchoPath(response=17 * response, delay=333, gain_db=-10), noise(30_000)
    path.play(0, sound)
    want = np.convolve(sound, response)[: 30_000 - 333] / np.sqrt(np.sum(response**2)) * 10 ** (-10 / 20)
    echo = heard(path, 30_000)
    np.testing.assert_allclose(echo[333:], want, atol=1e-13)
    assert decibels(np.mean(echo[15_000:] ** 2) / np.mean(sound**2)) == pytest.approx(-10, abs=0.5)


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 4_000), min_size=1, max_size=6),
    drift=st.sampled_from([0.0, 50.0, -300.0]),
    gap=st.integers(0, 6_000),
)
def test_any_way_of_asking_gives_the_same_sound(sizes: list[int], drift: float, gap: int) -> None:
    def echo(sizes: tuple[int, ...]) -> NDArray[np.float64]:
        path = EchoPath(
            response=noise(3_000, 2), distortion=0.5, delay=200, drift_ppm=drift, jumps=[(7_777, 500), (9_999, -300)]
        )
        path.play(0, noise(5_000, 3))
        path.play(5_000 + gap, noise(5_000, 4))
        return heard(path, 18_000, sizes)

    np.testing.assert_allclose(echo((*sizes, 1_500)), echo((BLOCK,)), atol=1e-12)


def test_silence_ends_after_the_response_and_begins_in_the_middle_of_a_block() -> None:
    convolver, response = Convolver(noise(2_500, 5)), noise(2_500, 5)
    sound = np.zeros(40_000)
    sound[10_100:10_400] = noise(300)
    sound[30_777] = 1
    want = np.convolve(sound, response)[:40_000]
    got = np.concatenate([convolver.process(sound[at : at + 500]) for at in range(0, 40_000, 500)])
    np.testing.assert_allclose(got, want, atol=1e-13)
    assert not got[14_400:30_700].any()


def total_harmonic_distortion(amount: float, dbfs: float) -> float:
    sine = 10 ** (dbfs / 20) * np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ)
    spectrum = np.abs(np.fft.rfft(distort(sine, amount)))
    return float(np.sqrt(np.sum(spectrum[200:20_000:100] ** 2)) / spectrum[100])


def test_distortion_is_what_its_table_says() -> None:
    assert distort.__doc__
    rows = [line.strip(" |").split("|") for line in distort.__doc__.splitlines() if line.strip().startswith("| 0.")]
    rows += [line.strip(" |").split("|") for line in distort.__doc__.splitlines() if line.strip().startswith("| 1.0")]
    assert len(rows) == 5
    for amount, *percent in rows:
        for dbfs, told in zip((0, -6, -12, -20), percent, strict=True):
            found = 100 * total_harmonic_distortion(float(amount), dbfs)
            assert found == pytest.approx(float(told), rel=0.03, abs=0.051), (amount, dbfs)


def test_quiet_sound_passes_the_distortion_and_none_is_none() -> None:
    quiet = 1e-4 * noise(1_000)
    np.testing.assert_allclose(distort(quiet, 1.0), quiet, rtol=1e-4)
    assert distort(quiet, 0.0) is quiet
    assert np.abs(distort(np.linspace(-1, 1, 100), 1.0)).max() < 0.3


def test_the_echo_is_distorted_before_the_room() -> None:
    path, response = EchoPath(response=noise(500, 2), distortion=0.8, delay=50), noise(500, 2)
    loud = 6 * noise(5_000)
    path.play(0, loud)
    want = np.convolve(distort(loud, 0.8), response)[:4_950] / np.sqrt(np.sum(response**2))
    np.testing.assert_allclose(heard(path, 5_000)[50:], want, atol=1e-13)


@pytest.mark.parametrize("ppm", [50.0, -50.0, 200.0])
def test_a_drift_is_followed_between_the_frames_for_a_minute(ppm: float) -> None:
    frames = 60 * RATE_HZ
    path = EchoPath(delay=960, drift_ppm=ppm)
    frequency, last = 1_000.0, 0
    for at in range(0, frames, BLOCK):
        path.play(last, tone(frequency, 0, np.arange(last, last + 1_000, dtype=np.float64)))
        last += 1_000
        if at == 0:
            first = path.hear(at, BLOCK)
            assert np.abs(first).max() < 1e-5
            continue
        echo = path.hear(at, BLOCK)
        if at % (10 * RATE_HZ) == 0:
            when = (np.arange(at, at + BLOCK) - 960) * (1 + ppm * 1e-6)
            np.testing.assert_allclose(echo, tone(frequency, 0, when), atol=3e-5)


def test_a_drifting_loudspeaker_is_distorted_too() -> None:
    path = EchoPath(delay=100, drift_ppm=-200, distortion=0.8)
    path.play(0, 2 * tone(300, 20_000))
    want = distort(2 * tone(300, 0, (np.arange(5_000, 15_000) - 100) * (1 - 2e-4)), 0.8)
    np.testing.assert_allclose(heard(path, 15_000)[5_000:], want, atol=1e-4)


@pytest.mark.parametrize("hz", [200, 4_000, 12_000, 16_000])
def test_reading_between_frames_is_clean_to_sixteen_kilohertz(hz: float) -> None:
    path = EchoPath(delay=REACH, drift_ppm=100)
    path.play(0, tone(hz, 100_000))
    echo = heard(path, 90_000)[5_000:]
    want = tone(hz, 0, (np.arange(5_000, 90_000) - REACH) * (1 + 1e-4))
    assert decibels(np.mean((echo - want) ** 2) / np.mean(want**2)) < -85


def test_a_jump_changes_the_delay_from_its_frame_on() -> None:
    path, sound = EchoPath(delay=1_000, jumps=[(10_000, 1_920), (20_000, -2_900)]), noise(30_000)
    path.play(0, sound)
    echo = heard(path, 30_000, (700,))
    np.testing.assert_array_equal(echo[1_000:10_000], sound[:9_000])
    np.testing.assert_array_equal(echo[10_000:20_000], sound[10_000 - 2_920 : 20_000 - 2_920])
    np.testing.assert_array_equal(echo[20_000:], sound[20_000 - 20 : 30_000 - 20])


def test_what_the_loudspeaker_plays_is_told_on_the_microphones_clock() -> None:
    path, sound = EchoPath(delay=0), noise(2_000)
    path.play(0, sound)
    np.testing.assert_array_equal(path.playing(500, 1_000), sound[500:1_500])
    slow = EchoPath(delay=100, drift_ppm=-1_000)
    slow.play(0, np.arange(20_000.0))
    np.testing.assert_array_equal(slow.playing(9_990, 20), np.floor(np.arange(9_990, 10_010) * 0.999))


def test_an_impossible_delay_or_a_silent_response_is_refused() -> None:
    with pytest.raises(ValueError, match="-50 frames"):
        EchoPath(delay=100, jumps=[(0, 50), (10, -200)])
    with pytest.raises(ValueError, match="0 frames"):
        EchoPath(drift_ppm=10)
    with pytest.raises(ValueError, match="silent"):
        EchoPath(response=np.zeros(10))


def test_pink_noise_has_its_level_its_slope_and_no_seam() -> None:
    loop = pink_loop(-50, seed=7, frames=1 << 18)
    assert decibels(float(np.mean(loop.astype(np.float64) ** 2))) == pytest.approx(-50, abs=0.01)
    power = np.abs(np.fft.rfft(loop)) ** 2
    frequency = np.fft.rfftfreq(len(loop), 1 / RATE_HZ)
    low, high = (np.mean(power[(frequency > hz) & (frequency < 1.2 * hz)]) for hz in (250, 4_000))
    assert decibels(low / high) == pytest.approx(12, abs=0.7)
    assert abs(loop[0] - loop[-1]) < 5 * np.abs(np.diff(loop)).mean()
    assert not np.array_equal(loop, pink_loop(-50, seed=8, frames=1 << 18))

"""Half-duplex: shut while the device is heard, deaf to its own echo, open to a person who is louder than it."""

from __future__ import annotations

import numpy as np
import pytest
from echoes import BLOCK, RATE_HZ, Scene, Sound, coupling_db, scene, through
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.echo.frames import FRAME
from edge_agent.audio.echo.halfduplex import HalfDuplex


def noise(seconds: float, dbfs: float, seed: int = 1) -> Sound:
    samples = np.random.default_rng(seed).normal(0, 10 ** (dbfs / 20) * 32_768, round(seconds * RATE_HZ))
    return np.clip(np.rint(samples), -32_768, 32_767).astype(np.int16)


def nothing(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE_HZ), np.int16)


def shut_units(gate: HalfDuplex, near: Sound, far: Sound) -> list[bool]:
    """`shut` after each 10 ms."""
    out = []
    for at in range(0, len(near), FRAME):
        gate.process(near[at : at + FRAME], far[at : at + FRAME])
        out.append(gate.shut)
    return out


def share_passed(out: Sound, start_s: float, end_s: float) -> float:
    """The share of 10 ms in which something passes."""
    units: NDArray[np.bool_] = np.any(out[: len(out) // FRAME * FRAME].reshape(-1, FRAME), axis=1)
    return float(units[round(start_s * 100) : round(end_s * 100)].mean())


def test_the_microphone_is_untouched_while_the_device_is_silent() -> None:
    gate, mic = HalfDuplex(), noise(1.0, -30)
    assert np.array_equal(through(gate, mic, nothing(1.0)), mic)
    assert not gate.shut


def test_it_is_shut_while_the_device_sounds_and_for_the_tail() -> None:
    far = np.concatenate([nothing(0.2), noise(0.5, -20), nothing(1.0)])
    shut = shut_units(HalfDuplex(tail_ms=300, echo_gain_db=0), noise(1.7, -60), far)
    assert not any(shut[:20])
    assert all(shut[20 : 70 + 30])
    assert not any(shut[70 + 33 :])


def test_a_known_delay_moves_the_gate_with_the_echo() -> None:
    far = np.concatenate([noise(0.3, -20), nothing(1.0)])
    gate = HalfDuplex(tail_ms=100, echo_gain_db=0)
    gate.delay(200)
    shut = shut_units(gate, noise(1.3, -60), far)
    assert not any(shut[: 20 - 2])
    assert all(shut[20 - 2 : 20 + 30 + 10])  # and a little before, since it may have been measured a little late
    assert not any(shut[20 + 30 + 10 + 4 :])


def test_a_delay_told_while_the_echo_is_under_way_still_finds_it() -> None:
    gate = HalfDuplex(tail_ms=100, echo_gain_db=0)
    shut_units(gate, noise(0.3, -60), noise(0.3, -20))
    gate.delay(100)
    shut = shut_units(gate, noise(0.5, -60), nothing(0.5))
    assert all(shut[:20])
    assert not any(shut[23:])


def test_a_block_in_which_only_the_beginning_is_echo_does_not_go_up() -> None:
    gate = HalfDuplex(tail_ms=0, echo_gain_db=0)
    far = np.concatenate([noise(0.02, -20), nothing(0.18)])
    gate.process(noise(0.2, -40), far)
    assert gate.shut
    gate.process(noise(0.1, -40), nothing(0.1))
    assert not gate.shut


def test_a_sound_too_soft_to_be_heard_does_not_shut_it() -> None:
    assert not any(shut_units(HalfDuplex(), noise(0.5, -60), noise(0.5, -80)))


@pytest.mark.parametrize("gain_db", [0.0, -12.0])
def test_a_voice_10_db_over_the_expected_echo_passes_and_one_as_loud_as_it_does_not(gain_db: float) -> None:
    far = noise(2.0, -20)
    for over_db, passes in ((10.0, 1.0), (0.0, 0.0)):
        gate = HalfDuplex(tail_ms=200, echo_gain_db=gain_db)
        out = through(gate, noise(2.0, -20 + gain_db + over_db, seed=2), far)
        assert share_passed(out, 0.0, 0.5) == pytest.approx(passes, abs=0.02)


def test_what_passes_is_the_microphone_itself() -> None:
    mic, far = noise(0.4, -20), noise(0.4, -30)
    assert np.array_equal(through(HalfDuplex(echo_gain_db=-6), mic, far), mic)


@pytest.mark.parametrize(("rt60_s", "echo_db"), [(0.25, 0.0), (0.4, -3.0), (0.4, -15.0)])
@pytest.mark.parametrize("calibrated", [True, False])
def test_its_own_echo_does_not_pass(rt60_s: float, echo_db: float, calibrated: bool) -> None:
    heard = scene(40.0, rt60_s=rt60_s, echo_db=echo_db)
    gate = HalfDuplex(delay_ms=60, tail_ms=250, echo_gain_db=echo_db) if calibrated else HalfDuplex()
    out = through(gate, heard.near, heard.far)
    units = np.mean(np.square(out.reshape(-1, FRAME) / 32_768), axis=1)
    audible = units > 10 ** (-55 / 10)  # what the detectors listen to at all
    heard_far = np.any(heard.far.reshape(-1, FRAME), axis=1)
    assert audible[heard_far].mean() < 0.002
    assert coupling_db(gate) == pytest.approx(echo_db, abs=4)  # learned, whatever it started from


@pytest.mark.parametrize(("calibrated", "over_db"), [(True, 5.0), (False, 10.0)])
def test_a_person_who_is_louder_than_the_echo_is_heard_over_the_answer(calibrated: bool, over_db: float) -> None:
    starts = (10.0, 18.0, 26.0, 34.0)
    heard = scene(40.0, echo_db=-6.0, person_at=starts, person_dbfs=-28.0 + over_db)
    gate = HalfDuplex(delay_ms=60, tail_ms=250, echo_gain_db=-6.0) if calibrated else HalfDuplex()
    open_units = np.any(through(gate, heard.near, heard.far).reshape(-1, FRAME), axis=1)
    steadily = np.convolve(open_units, np.ones(16), "valid") >= 12  # as a barge-in detector asks for
    assert all(steadily[round(at * 100) : round(at * 100) + 150].any() for at in starts)
    assert not steadily[600:980].any()  # and nobody is heard while nobody talks


def test_the_switch_stays_open_while_a_syllable_dips() -> None:
    loud, far = noise(0.1, -10), noise(0.3, -20)
    mic = np.concatenate([loud, noise(0.2, -26)])
    out = through(HalfDuplex(echo_gain_db=0), mic, far)
    assert np.array_equal(out[: 16 * FRAME], mic[: 16 * FRAME])
    assert not out[16 * FRAME :].any()


def test_where_the_tail_is_known_less_is_expected_of_its_end() -> None:
    far = np.concatenate([noise(0.2, -20), nothing(0.2)])
    mic = np.concatenate([noise(0.2, -26), nothing(0.1), noise(0.1, -24)])
    known = through(HalfDuplex(tail_ms=200, echo_gain_db=-6), mic, far)
    assert share_passed(known, 0.3, 0.38) == 1.0  # 4 dB under what the echo was, 10 dB over what is left of it
    unknown = HalfDuplex(tail_ms=200)
    through(unknown, noise(8.0, -26), noise(8.0, -20))
    through(unknown, nothing(1.0), nothing(1.0))
    assert share_passed(through(unknown, mic, far), 0.3, 0.38) == 0.0


def test_an_echo_40_ms_later_than_told_is_still_expected_in_full() -> None:
    burst = noise(0.1, -20)
    far = np.concatenate([burst, nothing(0.2)])
    echo = np.concatenate([nothing(0.04), (burst * 10 ** (-8 / 20)).astype(np.int16), nothing(0.16)])
    assert not through(HalfDuplex(tail_ms=200, echo_gain_db=-12), echo, far).any()  # 4 dB over what was calibrated


def test_the_noise_of_the_room_in_soft_passages_is_not_taken_for_coupling() -> None:
    far = np.tile(np.concatenate([noise(0.3, -20), noise(0.3, -42)]), 20)
    mic = (far * 0.1).astype(np.int16) + noise(12.0, -55, seed=9)
    gate = HalfDuplex(tail_ms=20)
    through(gate, mic, far)
    assert coupling_db(gate) == pytest.approx(-20, abs=2)


def test_without_calibration_nothing_passes_until_three_seconds_of_answers_have_taught_it() -> None:
    gate = HalfDuplex()
    mic, far = noise(4.0, -10, seed=2), noise(4.0, -30)
    assert coupling_db(gate) is None
    out = through(gate, mic[: 2 * RATE_HZ], far[: 2 * RATE_HZ])
    assert not out.any()
    assert coupling_db(gate) is None
    through(gate, mic[2 * RATE_HZ :], far[2 * RATE_HZ :])
    assert coupling_db(gate) is not None


def _with_person(heard: Scene, start_s: float, end_s: float, dbfs: float) -> Sound:
    near = heard.near.astype(np.int32)
    start, end = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
    near[start:end] += noise(end_s - start_s, dbfs, seed=7)
    return np.clip(near, -32_768, 32_767).astype(np.int16)


def test_two_seconds_of_talk_over_the_answer_teach_it_nothing() -> None:
    heard = scene(40.0, echo_db=-15.0)
    gates = HalfDuplex(), HalfDuplex()
    near = _with_person(heard, 20.0, 22.0, -16.0)
    end = 22 * RATE_HZ
    through(gates[0], heard.near[:end], heard.far[:end])
    out = through(gates[1], near[:end], heard.far[:end])
    assert share_passed(out, 20.0, 22.0) > 0.95
    assert coupling_db(gates[0]) is not None
    assert coupling_db(gates[1]) == pytest.approx(coupling_db(gates[0]), abs=2)


def test_an_echo_that_has_become_louder_is_learned_and_one_that_has_become_softer_too() -> None:
    far = noise(16.0, -20)
    loud, soft = noise(8.0, -20), noise(8.0, -35)
    gate = HalfDuplex(echo_gain_db=-15)
    out = through(gate, np.concatenate([loud, soft]), far)
    assert share_passed(out, 0.0, 2.0) > 0.9  # taken for a person at first
    assert share_passed(out, 4.0, 8.0) == 0
    assert coupling_db(gate) == pytest.approx(-15, abs=2)


def test_a_muted_microphone_and_a_silent_amplifier_do_not_make_it_careless() -> None:
    far = noise(8.0, -20)
    gate = HalfDuplex(echo_gain_db=-6)
    through(gate, nothing(8.0), far)
    assert coupling_db(gate) == pytest.approx(-6)
    through(gate, noise(8.0, -80), far)
    assert coupling_db(gate) == pytest.approx(-40)


def test_reset_forgets_what_it_learned_and_what_is_under_way() -> None:
    for start in (None, -6.0):
        gate = HalfDuplex(echo_gain_db=start)
        through(gate, noise(8.0, -40), noise(8.0, -20))
        assert coupling_db(gate) == pytest.approx(-20, abs=2)
        assert gate.shut
        gate.reset()
        assert coupling_db(gate) == start
        assert not gate.shut
        mic = noise(0.1, -40)
        assert np.array_equal(through(gate, mic, nothing(0.1)), mic)


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(1, 95_999), max_size=12),
    muted=st.tuples(st.integers(0, 95_000), st.integers(0, 20_000)),
    told=st.booleans(),
)
def test_any_chunking_gives_the_same_bits(cuts: list[int], muted: tuple[int, int], told: bool) -> None:
    heard = scene(12.0, person_at=(1.0, 4.5), person_dbfs=-16.0)
    near, far = heard.near[:96_000].copy(), heard.far[:96_000]
    near[muted[0] : muted[0] + muted[1]] = 0
    gates = [HalfDuplex(delay_ms=60, echo_gain_db=-3.0 if told else None) for _ in range(2)]
    assert np.array_equal(through(gates[0], near, far, cuts), through(gates[1], near, far))
    assert coupling_db(gates[0]) == coupling_db(gates[1])


def test_silence_gives_silence() -> None:
    gate = HalfDuplex(echo_gain_db=-6)
    assert not through(gate, nothing(1.0), nothing(1.0)).any()
    assert not through(gate, nothing(1.0), noise(1.0, -20)).any()


def test_the_microphones_block_is_left_as_it_was() -> None:
    mic = noise(0.02, -40)
    before = mic.copy()
    gate = HalfDuplex()
    gate.process(mic, noise(0.02, -20))
    assert np.array_equal(mic, before)
    gate.process(mic, nothing(0.02))[:] = 0
    assert np.array_equal(mic, before)
    assert len(gate.process(mic[: BLOCK // 4], mic[: BLOCK // 4])) == 0


@pytest.mark.parametrize("words", [{"tail_ms": -1.0}, {"tail_ms": 2_001.0}, {"delay_ms": 501.0}])
def test_impossible_times_are_refused(words: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"ms can$"):
        HalfDuplex(**words)

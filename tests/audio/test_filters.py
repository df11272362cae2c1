"""The rate filters: what passes, what does not, how late, and that chunking never matters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.filters import Channel, Decimator, Interpolator, beyond, peak, resample

FULL = 2.0**31


def card_tone(hz: float, seconds: float, *, level: float = 0.25, slot: int = 0) -> NDArray[np.int32]:
    """A sine in one slot of a 48 kHz stereo block."""
    t = np.arange(round(seconds * 48_000)) / 48_000
    block = np.zeros((len(t), 2), np.int32)
    block[:, slot] = np.rint(level * (FULL - 1) * np.sin(2 * np.pi * hz * t)).astype(np.int64)
    return block


def card_noise(count: int, seed: int, *, level: float = 0.1) -> NDArray[np.int32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, level, (count, 2)).clip(-1, 1) * (FULL - 1)).astype(np.int32)


def db(ratio: float) -> float:
    return float(20 * np.log10(max(ratio, 1e-12)))


def rms(x: NDArray[np.generic]) -> float:
    return float(np.sqrt(np.mean(np.square(x.astype(np.float64)))))


def down_gain_db(hz: float, *, level: float = 0.25) -> float:
    out = Decimator(channel="left").process(card_tone(hz, 0.8, level=level))[4_000:]
    return db(rms(out) / (level * 32_768 / np.sqrt(2)))


def amplitude(x: NDArray[np.generic], hz: float, rate: float) -> float:
    """Amplitude of one frequency, in a window that hides its neighbours."""
    window = np.blackman(len(x))
    turn = np.exp(-2j * np.pi * hz / rate * np.arange(len(x)))
    return float(2 * abs(np.sum(x.astype(np.float64) * window * turn)) / window.sum())


def test_speech_passes_flat() -> None:
    gains = [down_gain_db(hz) for hz in (300, 500, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000)]
    assert max(gains) - min(gains) < 0.2  # the DC block costs 0.17 dB at 300 Hz
    assert abs(gains[2]) < 0.05
    assert -2.6 < down_gain_db(7_000) < -2.2


@pytest.mark.parametrize(
    ("hz", "limit_db"), [(8_500, -71), (9_000, -80), (10_000, -80), (15_100, -80), (20_200, -80), (16_300, -80)]
)
def test_nothing_above_the_band_folds_into_speech(hz: float, limit_db: float) -> None:
    assert down_gain_db(hz, level=0.9) < limit_db


def test_an_offset_of_the_microphone_dies_away() -> None:
    block = np.full((48_000, 2), int(0.1 * FULL), np.int32)
    out = Decimator(channel="left").process(block)
    assert abs(int(out[-1])) <= 1
    assert down_gain_db(60) == pytest.approx(-3, abs=0.2)


def test_the_delay_is_one_millisecond() -> None:
    block = np.zeros((4_800, 2), np.int32)
    block[2_400] = int(0.5 * FULL)
    out = Decimator(channel="left").process(block)
    at = int(np.argmax(np.abs(out))) / 16_000 - 2_400 / 48_000
    assert at == pytest.approx(0.95e-3, abs=0.04e-3)
    assert Decimator.delay_s < 1.05e-3


def test_gain_comes_before_the_cut_to_16_bits() -> None:
    whisper = card_tone(1_000, 0.5, level=2e-5)  # under one step of 16 bits
    plain = Decimator(channel="left").process(whisper)[1_600:]
    raised = Decimator(channel="left", gain_db=40).process(whisper)[1_600:]
    assert rms(plain) < 0.7
    assert amplitude(raised, 1_000, 16_000) == pytest.approx(2e-3 * 32_768, rel=0.02)


def test_a_shout_is_bent_and_counted_not_wrapped() -> None:
    down = Decimator(channel="left", gain_db=20)
    shout = down.process(card_tone(440, 0.5, level=0.5))[1_600:].astype(np.int64)
    assert down.clipped > 1_000
    assert 32_000 < shout.max() <= 32_767
    assert shout.min() >= -32_767
    assert np.abs(np.diff(shout)).max() < 32_767  # a wrap would jump across the whole range
    quiet = Decimator(channel="left", gain_db=0)
    quiet.process(card_tone(440, 0.5, level=0.5))
    assert quiet.clipped == 0


def test_gain_may_change_while_it_runs() -> None:
    down = Decimator(channel="left")
    before = rms(down.process(card_tone(1_000, 0.2))[1_600:])
    down.gain_db = 6.0
    assert db(rms(down.process(card_tone(1_000, 0.2))[320:]) / before) == pytest.approx(6.0, abs=0.05)


@settings(max_examples=40, deadline=None)
@given(
    chunks=st.lists(st.integers(0, 2_500), min_size=1, max_size=30),
    channel=st.sampled_from(["auto", "left", "right", "mono"]),
    gain=st.sampled_from([0.0, 24.0]),
)
def test_down_gives_the_same_bits_for_any_chunking(chunks: list[int], channel: Channel, gain: float) -> None:
    total = sum(chunks)
    signal = card_noise(total, 1)
    signal[:, 1] //= 3
    signal[min(8_000, total) :, 1] = signal[min(8_000, total) :, 1] * 8  # the louder slot changes on the way
    whole = Decimator(channel=channel, gain_db=gain).process(signal).copy()
    down = Decimator(channel=channel, gain_db=gain)
    parts, at = [], 0
    for size in chunks:
        parts.append(down.process(signal[at : at + size]).copy())
        at += size
    assert np.concatenate(parts).tobytes() == whole.tobytes()


@pytest.mark.parametrize("block_ms", [10, 20, 40, 100])
def test_blocks_of_ten_milliseconds_hold_nothing_back(block_ms: int) -> None:
    signal = card_noise(48_000, 2)
    reference = Decimator(channel="left").process(signal).copy()
    down, frames = Decimator(channel="left"), block_ms * 48
    parts = [down.process(signal[at : at + frames]).copy() for at in range(0, 48_000, frames)]
    assert {len(part) for part in parts} == {block_ms * 16}
    assert np.array_equal(np.concatenate(parts), reference)
    samples = np.random.default_rng(3).normal(0, 0.2, 24_000).astype(np.float32)
    wanted = Interpolator().process(samples).copy()
    up = Interpolator()
    pieces = [up.process(samples[at : at + block_ms * 24]).copy() for at in range(0, 24_000, block_ms * 24)]
    assert {len(piece) for piece in pieces} == {block_ms * 48}
    assert np.array_equal(np.concatenate(pieces), wanted)


@pytest.mark.parametrize("slot", [0, 1])
def test_auto_takes_the_slot_the_microphone_fills(slot: int) -> None:
    down = Decimator(channel="auto")
    tone = card_tone(500, 2.0, level=0.05, slot=slot)
    tone[:, 1 - slot] = int(0.5 * FULL)  # an offset is not a voice
    out = down.process(tone)
    assert down.decided
    assert down.channel == ("left", "right")[slot]
    assert rms(out[20_000:]) == pytest.approx(0.05 * 32_768 / np.sqrt(2), rel=0.02)
    down.process(card_tone(500, 2.0, level=0.9, slot=1 - slot))
    assert down.channel == ("left", "right")[slot]


def test_auto_takes_the_louder_slot_though_both_carry_sound() -> None:
    down = Decimator(channel="auto")
    down.process(card_tone(500, 1.5, level=0.1) + card_tone(700, 1.5, level=0.13, slot=1))
    assert down.decided
    assert down.channel == "right"


def test_auto_does_not_decide_on_digital_silence() -> None:
    down = Decimator(channel="auto")
    down.process(np.zeros((3 * 48_000, 2), np.int32))
    assert not down.decided
    down.process(card_tone(500, 1.2, slot=1))
    assert down.decided
    assert down.channel == "right"


def test_mono_is_the_mean_of_both_slots() -> None:
    both = card_tone(1_000, 0.5) + card_tone(1_000, 0.5, slot=1) // 2
    out = Decimator(channel="mono").process(both)[1_600:]
    assert rms(out) == pytest.approx(0.75 * 0.25 * 32_768 / np.sqrt(2), rel=0.01)


def up_tone(hz: float) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    t = np.arange(24_000) / 24_000
    out = Interpolator().process((0.25 * np.sin(2 * np.pi * hz * t)).astype(np.float32))
    return out[4_800:43_200, 0].astype(np.float64) / FULL, out


@pytest.mark.parametrize("hz", [300, 1_000, 3_000, 5_000, 8_000, 10_000])
def test_an_answer_keeps_its_tone_without_images(hz: float) -> None:
    left, both = up_tone(hz)
    tone = amplitude(left, hz, 48_000)
    assert abs(db(tone / 0.25)) < 0.35
    assert db(amplitude(left, 24_000 - hz, 48_000) / tone) < -80
    assert np.array_equal(both[:, 0], both[:, 1])


def test_the_answer_is_late_by_two_thirds_of_a_millisecond() -> None:
    samples = np.zeros(2_400, np.float32)
    samples[1_200] = 0.5
    out = np.abs(Interpolator().process(samples)[:, 0].astype(np.float64))
    centre = float(np.sum(np.arange(len(out)) * out**2) / np.sum(out**2))
    assert (centre - 2_400) / 48_000 == pytest.approx(Interpolator.delay_s, abs=1e-5)
    assert not out[2_400 + round(Interpolator.tail_s * 48_000) + 1 :].any()


@settings(max_examples=40, deadline=None)
@given(chunks=st.lists(st.integers(0, 1_000), min_size=1, max_size=30))
def test_up_gives_the_same_bits_for_any_chunking(chunks: list[int]) -> None:
    samples = np.random.default_rng(5).normal(0, 0.3, sum(chunks)).astype(np.float32)
    whole = Interpolator().process(samples).copy()
    up, parts, at = Interpolator(), [], 0
    for size in chunks:
        parts.append(up.process(samples[at : at + size]).copy())
        at += size
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert len(whole) == len(samples) // 24 * 48


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), min_size=1, max_size=20))
def test_silence_is_what_zeros_give(steps: list[tuple[bool, int]]) -> None:
    short, long = Interpolator(), Interpolator()
    rng = np.random.default_rng(7)
    for sounding, rows in steps:
        count = 24 * rows
        samples = rng.normal(0, 0.2, count).astype(np.float32) if sounding else np.zeros(count, np.float32)
        made = short.process(samples) if sounding else short.silence(count)
        assert np.array_equal(made, long.process(samples))


def test_both_sample_formats_sound_alike() -> None:
    ints = np.random.default_rng(6).integers(-20_000, 20_000, 4_800).astype(np.int16)
    floats = ints.astype(np.float32) / np.float32(32_768)
    assert np.array_equal(Interpolator().process(ints), Interpolator().process(floats))


def test_an_overshoot_saturates_instead_of_wrapping() -> None:
    square = np.sign(np.sin(np.arange(4_800) * 0.3)).astype(np.float32)
    out = Interpolator().process(square)[:, 0].astype(np.int64)
    assert out.max() > 0.99 * FULL
    signs = np.sign(out[200::2]) == np.sign(np.repeat(square, 2)[200 - 32 : -32 : 2])
    assert signs.mean() > 0.9


@pytest.mark.parametrize(("source", "target"), [(16_000, 24_000), (22_050, 24_000), (48_000, 24_000), (8_000, 24_000)])
def test_prompts_of_other_rates_keep_pitch_and_place(source: int, target: int) -> None:
    t, wanted = np.arange(source) / source, np.arange(target) / target
    found = resample(np.sin(2 * np.pi * 997 * t).astype(np.float32), source, target)
    assert len(found) == target
    inner = slice(target // 10, -target // 10)
    error = found[inner] - np.sin(2 * np.pi * 997 * wanted)[inner]
    assert db(rms(error) * np.sqrt(2)) < -70


def test_lowering_the_rate_removes_what_cannot_be_kept() -> None:
    t = np.arange(48_000) / 48_000
    assert db(rms(resample(np.sin(2 * np.pi * 15_000 * t).astype(np.float32), 48_000, 24_000)[1_000:-1_000])) < -70


def test_a_rate_that_is_no_rate_is_refused() -> None:
    with pytest.raises(ValueError, match="4000 to 192000"):
        resample(np.zeros(10, np.float32), 0, 24_000)


@pytest.mark.parametrize("ragged", [0, 100])
def test_what_is_forgotten_never_comes_out(ragged: int) -> None:
    down = Decimator(channel="left")
    down.process(card_tone(50, 0.5 + ragged / 48_000, level=0.9))
    down.forget()
    quiet = card_tone(1_000, 0.1, level=0.001)
    quiet[:, 0] += int(0.05 * FULL)  # an offset does not thump either
    assert np.abs(down.process(quiet)).max() < 50


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 5_000),
    st.integers(0, 2**32),
    st.floats(2.0**-20, 2.0**15, width=32),
    st.floats(0.25, 4.0, width=32),
)
def test_no_sample_beyond_a_limit_is_overlooked(count: int, seed: int, limit: float, size: float) -> None:
    sound = np.random.default_rng(seed).normal(0, 0.01 * limit, count).astype(np.float32)
    sound[seed % count] = size * limit
    assert beyond(sound, limit) is bool((np.abs(sound) > limit).any())
    assert beyond(-sound, limit) is beyond(sound, limit)


@pytest.mark.parametrize("size", [np.nextafter(np.float32(0.9), np.float32(1)), np.float32(0.9)])
def test_the_limit_itself_is_not_beyond_it(size: np.float32) -> None:
    sound = np.zeros(480, np.float32)
    sound[100] = -size
    assert beyond(sound, float(np.float32(0.9))) is bool(size > np.float32(0.9))


def test_the_peak_of_integers_is_that_of_the_deepest_one_too() -> None:
    assert peak(np.array([5, -32_768, 7], np.int16)) == 32_768.0

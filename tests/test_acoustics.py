"""The rooms and voices that other tests rest on are what they claim to be."""

from __future__ import annotations

import math
from pathlib import Path

import acoustics
import numpy as np
import pytest
from acoustics import RATE_HZ, active_level, convolve, image_rir, level, pink, rt60, ser, speech, to_ser

from edge_agent.audio.wavfile import read_wav

ROOM = (4.2, 3.1, 2.5)


def peak(rir: acoustics.Sound) -> float:
    """Where the response is largest, in fractions of a sample."""
    size = 16 * len(rir)
    fine = np.fft.irfft(np.fft.rfft(rir), size)
    return float(np.argmax(fine)) / 16


@pytest.mark.parametrize("distance", [0.08, 0.5, 1.234])
def test_the_direct_sound_comes_when_and_as_loud_as_the_distance_says(distance: float) -> None:
    rir = image_rir(ROOM, source_m=(1.5, 1.5, 1.2), mic_m=(1.5 + distance, 1.5, 1.2), absorption=0.99, length_s=0.1)
    assert peak(rir) == pytest.approx(distance / acoustics.SOUND_M_S * RATE_HZ, abs=0.1)
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE_HZ) / RATE_HZ)
    heard = convolve(tone, rir)[RATE_HZ // 2 :]
    assert level(heard) - level(tone) == pytest.approx(-20 * math.log10(distance), abs=1.5)


def test_the_first_reflection_comes_from_the_nearest_wall() -> None:
    rir = image_rir(ROOM, source_m=(2.0, 1.5, 0.3), mic_m=(2.5, 1.5, 0.3), absorption=0.5, length_s=0.1)
    direct, floor = (round(math.hypot(0.5, up) / acoustics.SOUND_M_S * RATE_HZ) for up in (0.0, 0.6))
    between = np.abs(rir[direct + 15 : floor - 15])
    assert np.abs(rir[floor - 2 : floor + 3]).max() > 8 * between.max()
    assert rir[floor] / rir[direct] == pytest.approx(math.sqrt(0.5) * 0.5 / math.hypot(0.5, 0.6), rel=0.15)


@pytest.mark.parametrize("wanted", [0.25, 0.4, 0.6])
def test_the_room_rings_as_long_as_was_asked_for(wanted: float) -> None:
    rir = image_rir(ROOM, source_m=(1.0, 1.1, 1.0), mic_m=(3.0, 2.2, 1.4), rt60_s=wanted)
    assert rt60(rir) == pytest.approx(wanted, rel=0.1)
    assert 0.08 * RATE_HZ <= len(rir) <= 0.4 * RATE_HZ


def test_a_response_is_saved_with_its_shape(tmp_path: Path) -> None:
    rir = image_rir(ROOM, source_m=(1.0, 1.1, 1.0), mic_m=(1.08, 1.1, 1.0), rt60_s=0.3)
    assert np.abs(rir).max() > 5
    acoustics.save_rir(tmp_path / "rir.wav", rir)
    samples, rate = read_wav(tmp_path / "rir.wav")
    assert rate == RATE_HZ
    np.testing.assert_allclose(samples[:, 0] / 0.99, rir / np.abs(rir).max(), atol=1e-6)


def test_a_point_outside_the_room_is_refused() -> None:
    with pytest.raises(ValueError, match="outside the room"):
        image_rir(ROOM, source_m=(5.0, 1.0, 1.0), mic_m=(1.0, 1.0, 1.0), rt60_s=0.3)
    with pytest.raises(ValueError, match="either"):
        image_rir(ROOM, source_m=(1.0, 1.0, 1.0), mic_m=(2.0, 1.0, 1.0))


def test_pink_noise_has_its_level_and_loses_three_decibels_an_octave() -> None:
    noise = pink(10.0, dbfs=-40, seed=3)
    assert level(noise) == pytest.approx(-40, abs=0.01)
    power = np.abs(np.fft.rfft(noise)) ** 2 / len(noise)
    frequency = np.fft.rfftfreq(len(noise), 1 / RATE_HZ)

    def around(centre: float) -> float:
        return float(np.mean(power[(frequency > centre * 0.9) & (frequency < centre * 1.1)]))

    assert 10 * math.log10(around(500) / around(4000)) == pytest.approx(9, abs=1)
    np.testing.assert_array_equal(noise, pink(10.0, dbfs=-40, seed=3))
    assert not np.array_equal(noise, pink(10.0, dbfs=-40, seed=4))


@pytest.mark.parametrize("voice", ["en-us", "en-gb+f3", "flite:slt", "flite:kal"])
def test_a_voice_speaks_at_the_active_level(voice: str) -> None:
    said = speech("What is the weather like in Lisbon today?", voice=voice, dbfs=-30)
    assert active_level(said) == pytest.approx(-30, abs=0.1)
    assert 1.0 < len(said) / RATE_HZ < 5.0
    np.testing.assert_array_equal(said, speech("What is the weather like in Lisbon today?", voice=voice, dbfs=-30))


def test_voices_and_speeds_differ() -> None:
    slow, fast = (speech("one two three four five", wpm=wpm) for wpm in (130, 220))
    assert len(slow) > 1.2 * len(fast)
    slow, fast = (speech("one two three four five", voice="flite:rms", wpm=wpm) for wpm in (130, 220))
    assert len(slow) > 1.2 * len(fast)


def test_a_voice_that_does_not_exist_is_told() -> None:
    with pytest.raises(RuntimeError, match='the voice "xx-nobody" did not speak'):
        speech("hello", voice="xx-nobody")


def test_pauses_do_not_count_in_the_active_level() -> None:
    said = speech("This is one sentence.", dbfs=-26)
    pauses = np.concatenate([np.zeros(3 * RATE_HZ), said, np.zeros(5 * RATE_HZ), said])
    assert active_level(pauses) == pytest.approx(-26, abs=0.7)
    assert level(pauses) < -29
    assert active_level(np.zeros(RATE_HZ)) == -120


def test_the_speech_to_echo_ratio_is_set_exactly() -> None:
    near, echo = speech("stop please", voice="flite:rms"), speech("the answer goes on and on", dbfs=-20)
    assert ser(near * to_ser(near, echo, -10), echo) == pytest.approx(-10, abs=0.01)

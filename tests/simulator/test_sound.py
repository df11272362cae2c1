"""Sound of the twin: resampling that is whole for any chunking, files of every width, codes that tell answers apart."""

from __future__ import annotations

import itertools
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulator import sound
from edge_agent.simulator.detector import Detector

RATES = [(22_050, 24_000), (48_000, 16_000), (8_000, 16_000), (44_100, 16_000), (16_000, 24_000)]


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_resampling_keeps_length_pitch_and_level(rate_in: int, rate_out: int) -> None:
    out = sound.from_pcm(sound.resample(sound.tone(1.0, hz=1000.0, rate=rate_in), rate_in, rate_out))
    wanted = sound.from_pcm(sound.tone(1.0, hz=1000.0, rate=rate_out))
    assert len(out) == rate_out
    error = out - wanted
    assert sound.rms_dbfs(error[200:-200]) < sound.rms_dbfs(wanted) - 60.0


def test_what_the_lower_rate_cannot_carry_is_removed() -> None:
    out = sound.resample(sound.tone(0.5, hz=12_000.0, rate=48_000), 48_000, 16_000)
    assert sound.rms_dbfs(sound.from_pcm(out)[400:-400]) < -80.0


@given(st.lists(st.integers(0, 997), max_size=30), st.sampled_from(RATES))
def test_any_chunking_gives_the_same_samples(cuts: list[int], rates: tuple[int, int]) -> None:
    pcm = sound.noise(0.05, seed=1, rate=rates[0])
    whole = sound.resample(pcm, *rates)
    resampler, out = sound.Resampler(*rates), b""
    bounds = sorted({0, len(pcm), *(cut for cut in cuts if cut < len(pcm))})
    for a, b in itertools.pairwise(bounds):
        out += resampler.feed(pcm[a:b])
    assert out + resampler.finish() == whole
    samples = len(pcm) // 2
    assert len(whole) // 2 == -(-samples * rates[1] // rates[0])


def test_noise_is_a_code() -> None:
    first, again, other = sound.noise(0.5, seed=1), sound.noise(0.5, seed=1), sound.noise(0.5, seed=2)
    assert first == again
    a, b = sound.from_pcm(first), sound.from_pcm(other)
    assert abs(float(np.corrcoef(a, b)[0, 1])) < 0.05
    assert sound.rms_dbfs(a) == pytest.approx(-18.0, abs=0.2)
    assert sound.noise(1.0, seed=1).startswith(first)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_files_of_every_width_are_read(tmp_path: Path, width: int, channels: int) -> None:
    path = tmp_path / "a.wav"
    values = np.round(np.sin(np.arange(2400) * 0.1) * 0.5 * 2 ** (8 * width - 1)).astype(np.int64)
    stored = values + 128 if width == 1 else values
    frames = b"".join(int(v).to_bytes(width, "little", signed=width > 1) * channels for v in stored)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(24_000)
        out.writeframes(frames)
    read = sound.from_pcm(sound.read_pcm(path))
    assert np.abs(read - values / 2 ** (8 * width - 1)).max() < 2.0**-15


def test_babble_has_the_length_of_its_text() -> None:
    assert len(sound.babble("ab c")) == 4 * 60 * 48
    assert sound.babble("a") != sound.babble("b")


def test_the_detector_finds_edges_whatever_the_pieces() -> None:
    stream = (
        sound.silence(0.5, rate=16_000)
        + sound.noise(1.0, seed=1, rate=16_000)
        + sound.silence(0.3, rate=16_000)
        + sound.noise(0.5, seed=2, rate=16_000)
        + sound.silence(1.0, rate=16_000)
    )
    for size in (2, 640, 1280, 7_000, len(stream)):
        detector = Detector(silence_ms=500)
        edges = [edge for at in range(0, len(stream), size) for edge in detector.feed(stream[at : at + size])]
        assert edges == [("start", 16_000), ("end", round(2.8 * 32_000))]
        assert detector.flush() == []


def test_a_click_is_no_speech() -> None:
    detector = Detector(prefix_ms=60)
    click = sound.noise(0.04, seed=1, rate=16_000)
    assert detector.feed(sound.silence(0.2, rate=16_000) + click + sound.silence(1.0, rate=16_000)) == []

"""WAV files: what is written is read back, what is odd is read, what is broken is named."""

from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.wavfile import encode, header, read_wav, resample, to_s32, write_wav


def chunked(form: bytes, data: bytes, *, before: bytes = b"", data_size: int | None = None) -> bytes:
    size = len(data) if data_size is None else data_size
    body = b"WAVE" + before + struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", size) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def plain_form(bits: int, *, codec: int = 1, channels: int = 1, rate: int = 8000) -> bytes:
    align = channels * bits // 8
    return struct.pack("<HHIIHH", codec, channels, rate, rate * align, align, bits)


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_what_is_written_comes_back(tmp_path: Path, bits: int, channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (501, channels)).astype(np.float32)
    write_wav(tmp_path / "a.wav", samples, 22050, bits=bits)
    back, rate = read_wav(tmp_path / "a.wav")
    assert rate == 22050
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, samples, atol=2.0**-16 if bits == 16 else 2.0**-24, rtol=0)


def test_pythons_own_reader_agrees(tmp_path: Path) -> None:
    pcm = np.array([0, 1, -1, 32767, -32768], dtype=np.int16)
    write_wav(tmp_path / "a.wav", pcm, 16000)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        assert file.readframes(99) == pcm.tobytes()


@pytest.mark.parametrize(
    ("form", "data", "expected"),
    [
        (plain_form(8), bytes([128, 255, 0]), [0, 127 / 128, -1]),
        (plain_form(16), struct.pack("<3h", 0, 16384, -32768), [0, 0.5, -1]),
        (plain_form(24), b"\0\0\0\0\0\x40\0\0\x80", [0, 0.5, -1]),
        (plain_form(32), struct.pack("<3i", 0, 2**30, -(2**31)), [0, 0.5, -1]),
        (plain_form(32, codec=3), struct.pack("<3f", 0, 0.5, float("nan")), [0, 0.5, 0]),
    ],
)
@pytest.mark.parametrize("extensible", [False, True])
def test_every_coding_is_read(
    tmp_path: Path, form: bytes, data: bytes, expected: list[float], *, extensible: bool
) -> None:
    if extensible:
        codec = form[:2]
        form = (
            b"\xfe\xff"
            + form[2:]
            + struct.pack("<HHI", 22, 16, 4)
            + codec
            + bytes.fromhex("000000001000800000aa00389b71")
        )
    odd_list = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    (tmp_path / "a.wav").write_bytes(chunked(form, data, before=odd_list))
    samples, rate = read_wav(tmp_path / "a.wav")
    assert rate == 8000
    assert samples[:, 0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("claimed", [1000, 0, 0xFFFFFFFF])
def test_a_file_cut_short_gives_the_sound_that_is_there(tmp_path: Path, claimed: int) -> None:
    (tmp_path / "a.wav").write_bytes(chunked(plain_form(16, channels=2), b"\1\0\2\0\3\0\4\0\5", data_size=claimed))
    samples, _ = read_wav(tmp_path / "a.wav")
    assert (samples * 32768).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "is not a WAV file; allowed is PCM of 8, 16, 24 or 32 bits"),
        (b"ID3\4" + bytes(60), "is not a WAV file"),
        (chunked(plain_form(4, codec=0x11), b""), "holds IMA ADPCM of 4 bits; allowed is PCM"),
        (chunked(plain_form(64, codec=3), b""), "holds float of 64 bits"),
        (chunked(plain_form(16)[:10], b""), "its format is cut short"),
        (chunked(plain_form(16, rate=0), b""), "at 0 Hz"),
        (chunked(plain_form(16, channels=0), b""), "0 channels"),
        (chunked(plain_form(16), b"")[:36], "it has no data"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\0\0\0\0", "its data comes before its format"),
        (b"RIFF\0\0\0\0WAVE", "it has no format"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence_that_names_it(tmp_path: Path, raw: bytes, told: str) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"odd\.wav") as caught:
        read_wav(path)
    assert told in str(caught.value)


@given(st.binary(max_size=120))
def test_no_damage_to_a_header_gets_past_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.wav"
    whole = bytearray(chunked(plain_form(16), bytes(40)))
    for at, byte in enumerate(noise):
        whole[(at * 7 + byte) % len(whole)] ^= byte
    path.write_bytes(whole)
    try:
        samples, rate = read_wav(path)
    except ValueError:
        return
    assert samples.ndim == 2
    assert rate > 0


def test_full_scale_neither_wraps_nor_breaks() -> None:
    loud = np.array([1.5, 1.0, -1.0, -1.5], dtype=np.float32)
    assert to_s32(loud).tolist() == [2**31 - 1, 2**31 - 1, -(2**31), -(2**31)]
    assert np.frombuffer(encode(to_s32(loud), 16), "<i2").tolist() == [32767, 32767, -32768, -32768]


def test_a_file_past_4_gib_says_up_to_the_end() -> None:
    head = header(3 * 10**9, rate=48000, channels=2, bits=16)
    assert len(head) == 44
    assert struct.unpack_from("<I", head, 4) == struct.unpack_from("<I", head, 40) == (0xFFFFFFFF,)


def test_other_dtypes_and_widths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        write_wav(tmp_path / "a.wav", np.zeros(4, dtype=np.uint8), 8000)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="24 bits"):
        write_wav(tmp_path / "a.wav", np.zeros(4, dtype=np.int16), 8000, bits=24)


def tone(hz: float, rate: int, seconds: float = 1.0) -> NDArray[np.float32]:
    wave_form: NDArray[np.float32] = np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate).astype(np.float32)
    return wave_form


@pytest.mark.parametrize(
    ("rate", "to_rate"),
    [(16000, 48000), (22050, 48000), (44100, 48000), (96000, 48000), (48000, 16000), (11127, 48000)],
)
def test_a_tone_survives_resampling_in_place_and_in_level(rate: int, to_rate: int) -> None:
    for share in (0.02, 0.5, 0.9):
        hz = share * min(rate, to_rate) / 2
        out = resample(tone(hz, rate), rate, to_rate)
        assert len(out) == to_rate
        middle = slice(to_rate // 8, -to_rate // 8)
        error = (out - tone(hz, to_rate))[middle]
        assert 20 * np.log10(np.sqrt(np.mean(error**2)) / np.sqrt(0.5)) < -57  # 0.01 dB of ripple


def test_resampling_holds_aliases_and_images_below_80_db() -> None:
    alias = resample(tone(25_000, 96000), 96000, 48000)[4000:-4000]
    assert 20 * np.log10(np.max(np.abs(alias))) < -80
    image = resample(tone(7_200, 16000), 16000, 48000)[4000:-4000] * np.hanning(48000 - 8000)
    spectrum = 20 * np.log10(np.abs(np.fft.rfft(image)) / (np.sum(np.hanning(40000)) / 2) + 1e-12)
    assert spectrum[int(8050 / 48000 * 40000) :].max() < -80


def test_both_channels_are_resampled_alike() -> None:
    left = tone(440, 16000)
    both = resample(np.stack([left, -left], axis=1), 16000, 48000)
    np.testing.assert_array_equal(both[:, 0], -both[:, 1])
    assert resample(left, 16000, 16000) is left

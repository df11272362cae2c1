"""`wav:` devices: positions are times, late threads catch up or are counted, files stay playable."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.devices import open_input, open_output
from edge_agent.audio.devices.wav import WavInput, WavOutput
from edge_agent.audio.wavfile import read_wav, write_wav
from edge_agent.errors import DeviceError, Fault, StreamEnded

BLOCK = 960
EPOCH = 1000.0


class Clock:
    """Time that only passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def ramp(frames: int) -> NDArray[np.int32]:
    """Stereo samples that name their own position, exact in 16 bits."""
    left = (np.arange(frames) % 30000 + 1).astype(np.int32) << 16
    return np.stack([left, -left], axis=1)


def microphone(path: Path, clock: Clock, *, loop: bool = False) -> WavInput:
    return WavInput(path, epoch=EPOCH, loop=loop, clock=clock, sleep=clock.sleep)


def saved(path: Path) -> NDArray[np.int32]:
    samples, rate = read_wav(path)
    assert rate == 48000
    return np.rint(samples[:, 0] * 32768).astype(np.int32)


def test_input_plays_once_in_real_time_then_gives_silence(tmp_path: Path) -> None:
    clock, block = Clock(), np.empty((BLOCK, 2), dtype=np.int32)
    write_wav(tmp_path / "in.wav", ramp(1500), 48000, bits=16)
    device = microphone(tmp_path / "in.wav", clock)
    heard = []
    for number in range(1, 5):
        assert device.read(block) == 0
        assert clock.now == pytest.approx(EPOCH + number * 0.02)
        heard.append(block.copy())
    stream = np.concatenate(heard)
    np.testing.assert_array_equal(stream[:1500], ramp(1500))
    assert not stream[1500:].any()


def test_loop_starts_again_without_a_gap(tmp_path: Path) -> None:
    clock, block = Clock(), np.empty((BLOCK, 2), dtype=np.int32)
    write_wav(tmp_path / "in.wav", ramp(700), 48000)
    device = microphone(tmp_path / "in.wav", clock, loop=True)
    heard = []
    for _ in range(5):
        device.read(block)
        heard.append(block.copy())
    np.testing.assert_array_equal(np.concatenate(heard), np.tile(ramp(700), (7, 1))[: 5 * BLOCK])


def test_an_empty_file_is_silence_even_in_a_loop(tmp_path: Path) -> None:
    clock, block = Clock(), np.full((BLOCK, 2), 7, dtype=np.int32)
    write_wav(tmp_path / "in.wav", np.zeros(0, dtype=np.int16), 48000)
    microphone(tmp_path / "in.wav", clock, loop=True).read(block)
    assert not block.any()


def test_mono_of_another_rate_fills_both_channels_at_the_right_time(tmp_path: Path) -> None:
    clock, block = Clock(), np.empty((BLOCK, 2), dtype=np.int32)
    click = np.zeros(8000, dtype=np.float32)
    click[800:808] = 0.5  # at 50 ms
    write_wav(tmp_path / "in.wav", click, 16000)
    device = microphone(tmp_path / "in.wav", clock)
    heard = []
    for _ in range(10):
        device.read(block)
        heard.append(block.copy())
    stream = np.concatenate(heard)
    np.testing.assert_array_equal(stream[:, 0], stream[:, 1])
    assert abs(int(np.abs(stream[:, 0].astype(np.int64)).argmax()) - 2410) <= 16


def test_a_reader_late_by_less_than_the_ring_catches_up(tmp_path: Path) -> None:
    clock, block = Clock(), np.empty((BLOCK, 2), dtype=np.int32)
    write_wav(tmp_path / "in.wav", ramp(48000), 48000)
    device = microphone(tmp_path / "in.wav", clock)
    device.read(block)
    clock.now += 0.02 + 0.199
    heard = []
    xruns = 0
    for _ in range(20):
        xruns += device.read(block)
        heard.append(block.copy())
    assert xruns == 0
    np.testing.assert_array_equal(np.concatenate(heard), ramp(48000)[BLOCK : 21 * BLOCK])
    assert clock.now == pytest.approx(EPOCH + 21 * 0.02)


def test_a_reader_late_by_more_loses_the_oldest_and_is_told_once(tmp_path: Path) -> None:
    clock, block = Clock(), np.empty((BLOCK, 2), dtype=np.int32)
    write_wav(tmp_path / "in.wav", ramp(48000), 48000)
    device = microphone(tmp_path / "in.wav", clock)
    device.read(block)
    clock.now = EPOCH + 0.5
    assert device.read(block) == 1
    start = 24000 - 9600 - BLOCK
    np.testing.assert_array_equal(block, ramp(48000)[start : start + BLOCK])
    assert device.read(block) == 0


def test_output_positions_are_times(tmp_path: Path) -> None:
    clock = Clock()
    device = WavOutput(tmp_path / "out.wav", epoch=EPOCH, clock=clock)
    assert device.writable() == 9600
    assert device.write(ramp(9600)) == 0
    assert device.writable() == 0
    clock.now += 0.05
    assert device.writable() == 2400
    device.close()
    np.testing.assert_array_equal(saved(tmp_path / "out.wav"), ramp(9600)[:, 0] >> 16)


def test_a_writer_late_by_less_than_the_ring_catches_up(tmp_path: Path) -> None:
    clock = Clock()
    device = WavOutput(tmp_path / "out.wav", epoch=EPOCH, clock=clock)
    sound = ramp(20000)
    device.write(sound[:4800])
    clock.now = EPOCH + 0.1 + 0.199
    assert device.writable() == 9600
    assert device.write(sound[4800:14400]) == 0
    assert device.writable() == 9552
    assert device.write(sound[14400:]) == 0
    device.close()
    assert device.padded == 0
    np.testing.assert_array_equal(saved(tmp_path / "out.wav"), sound[:, 0] >> 16)


def test_a_writer_late_by_more_leaves_silence_and_is_told_once(tmp_path: Path) -> None:
    clock = Clock()
    device = WavOutput(tmp_path / "out.wav", epoch=EPOCH, clock=clock)
    device.write(ramp(BLOCK))
    clock.now = EPOCH + 1.5
    assert device.write(ramp(BLOCK)) == 1
    assert device.write(ramp(BLOCK)) == 0
    assert device.padded == 72000 - BLOCK
    clock.now = EPOCH + 1.6
    device.close()
    stream = saved(tmp_path / "out.wav")
    assert len(stream) == round(1.6 * 48000)
    expected = np.zeros(len(stream), dtype=np.int32)
    for at in (0, 72000, 72000 + BLOCK):
        expected[at : at + BLOCK] = ramp(BLOCK)[:, 0] >> 16
    np.testing.assert_array_equal(stream, expected)


def test_opened_late_is_silence_but_no_underrun(tmp_path: Path) -> None:
    clock = Clock()
    clock.now += 3.0
    device = WavOutput(tmp_path / "out.wav", epoch=EPOCH, clock=clock)
    assert device.write(ramp(BLOCK)) == 0
    device.close()
    stream = saved(tmp_path / "out.wav")
    assert not stream[:144000].any()
    np.testing.assert_array_equal(stream[144000:], ramp(BLOCK)[:, 0] >> 16)


def test_the_header_is_current_each_second_while_the_file_is_open(tmp_path: Path) -> None:
    clock = Clock()
    device = WavOutput(tmp_path / "out.wav", epoch=EPOCH, clock=clock)
    assert len(saved(tmp_path / "out.wav")) == 0
    for number in range(1, 151):
        clock.now = EPOCH + number * 0.02
        device.write(ramp(BLOCK))
        raw = (tmp_path / "out.wav").read_bytes()
        claimed = int.from_bytes(raw[40:44], "little") // 4
        assert 44 + claimed * 4 <= len(raw)
        assert claimed > number * BLOCK - 48000
    device.close()
    device.close()
    assert len(saved(tmp_path / "out.wav")) == 150 * BLOCK


def test_32_bits_are_kept_whole(tmp_path: Path) -> None:
    device = WavOutput(tmp_path / "out.wav", epoch=EPOCH, bits=32, clock=Clock())
    sound = np.array([[1, -1], [2**31 - 1, -(2**31)]], dtype=np.int32)
    device.write(sound)
    device.close()
    raw = (tmp_path / "out.wav").read_bytes()
    assert int.from_bytes(raw[34:36], "little") == 32
    assert raw[44:] == sound.astype("<i4").tobytes()


@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 12_000)), max_size=12))
def test_file_length_is_time_whatever_the_writer_does(
    tmp_path_factory: pytest.TempPathFactory, moves: list[tuple[int, int]]
) -> None:
    clock, path = Clock(), tmp_path_factory.getbasetemp() / "moves.wav"
    device = WavOutput(path, epoch=EPOCH, clock=clock)
    for passed, wanted in moves:
        clock.now += passed / 48000
        room = device.writable()
        assert 0 <= room <= 9600
        device.write(ramp(min(wanted, room)))
        elapsed = (clock.now - EPOCH) * 48000
        assert elapsed - 9601 <= device.position <= elapsed + 9601
    device.close()
    assert len(saved(path)) == device.position >= int((clock.now - EPOCH) * 48000 + 1e-6)


def test_both_ends_share_one_clock(tmp_path: Path) -> None:
    clock, block = Clock(), np.empty((BLOCK, 2), dtype=np.int32)
    write_wav(tmp_path / "in.wav", ramp(30 * BLOCK), 48000)
    microphone_ = microphone(tmp_path / "in.wav", clock)
    loudspeaker = WavOutput(tmp_path / "out.wav", epoch=EPOCH, clock=clock)
    for _ in range(30):
        microphone_.read(block)
        loudspeaker.write(block)
    loudspeaker.close()
    np.testing.assert_array_equal(saved(tmp_path / "out.wav"), ramp(30 * BLOCK)[:, 0] >> 16)


def test_real_time_is_kept_on_the_real_clock(tmp_path: Path) -> None:
    import time

    write_wav(tmp_path / "in.wav", ramp(48000), 48000)
    block = np.empty((BLOCK, 2), dtype=np.int32)
    epoch = time.monotonic()
    device = open_input(f"wav:{tmp_path}/in.wav", block_frames=BLOCK, epoch=epoch)
    for _ in range(10):
        device.read(block)
    assert time.monotonic() - epoch >= 0.2
    device.close()


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("", "wav:PATH"),
        ("?loop", "wav:PATH"),
        ("{}/in.wav?bits=16", "wav:PATH?loop"),
        ("{}/none.wav", "does not exist"),
        ("{}", "is not a plain file"),
        ("/dev/zero", "is not a plain file"),
        ("{}/text.wav", "is not a WAV file"),
        ("{}/six.wav", "has 6 channels; allowed are 1 and 2"),
    ],
)
def test_a_bad_input_is_refused_in_a_sentence(tmp_path: Path, rest: str, told: str) -> None:
    (tmp_path / "text.wav").write_text("hello")
    write_wav(tmp_path / "in.wav", ramp(9), 48000)
    write_wav(tmp_path / "six.wav", np.zeros((9, 6), dtype=np.int16), 48000)
    with pytest.raises(DeviceError) as caught:
        open_input("wav:" + rest.format(tmp_path), block_frames=BLOCK, epoch=0.0)
    assert told in str(caught.value)
    assert caught.value.fault is Fault.MICROPHONE


@pytest.mark.parametrize(
    ("rest", "told"),
    [
        ("", "wav:PATH"),
        ("{}/out.wav?loop", "?bits=32"),
        ("{}/out.wav?bits=24", "?bits=32"),
        ("{}/missing/out.wav", "cannot be written: No such file or directory"),
        ("{}", "is not a plain file"),
        ("/dev/null", "is not a plain file"),
    ],
)
def test_a_bad_output_is_refused_in_a_sentence(tmp_path: Path, rest: str, told: str) -> None:
    with pytest.raises(DeviceError) as caught:
        open_output("wav:" + rest.format(tmp_path), block_frames=BLOCK, epoch=0.0)
    assert told in str(caught.value)
    assert caught.value.fault is Fault.LOUDSPEAKER


def test_a_full_disk_ends_the_stream_and_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = WavOutput(tmp_path / "out.wav", epoch=EPOCH, clock=Clock())
    device.write(ramp(BLOCK))

    def full(_data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(device, "_append", full)
    with pytest.raises(StreamEnded, match="No space left on device; make room") as caught:
        device.write(ramp(BLOCK))
    assert caught.value.fault is Fault.LOUDSPEAKER
    monkeypatch.undo()
    device.close()
    assert len(saved(tmp_path / "out.wav")) == BLOCK

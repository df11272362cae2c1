"""`room:` devices: what is played comes back in the microphone as the file says, whoever opens which side when."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from acoustics import image_rir, level, save_rir
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.devices import open_input, open_output, room
from edge_agent.audio.devices.room import Room, RoomInput, RoomOutput, Stretch
from edge_agent.audio.echopath import EchoPath
from edge_agent.audio.roomfile import read_room
from edge_agent.audio.wavfile import read_wav, write_wav
from edge_agent.errors import DeviceError, Fault, StreamEnded

RATE = 48_000
BLOCK = 960
EPOCH = 1_000.0


class Clock:
    """Time that only passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Home:
    """A folder with a room, and a device that reads and writes like the sound thread."""

    def __init__(self, folder: Path, text: str = "", *, block: int = BLOCK) -> None:
        self.path = folder / "room.toml"
        self.path.write_text(text)
        self.clock = Clock()
        self.block = block
        self.stretches: list[Stretch] = []
        self.heard: list[NDArray[np.int32]] = []

    def room(self) -> Room:
        return Room.shared(
            self.path, epoch=EPOCH, clock=self.clock, sleep=self.clock.sleep, listener=self.stretches.append
        )

    def open(self) -> tuple[RoomInput, RoomOutput]:
        return self.room().microphone(), self.room().loudspeaker()

    def read(self, microphone: RoomInput) -> NDArray[np.int32]:
        block = np.full((self.block, 2), 77, np.int32)
        assert microphone.read(block) == 0
        self.heard.append(block)
        return block

    def run(self, sound: NDArray[np.int32], seconds: float, ahead: int = 2_880) -> NDArray[np.float64]:
        """Read for some seconds and keep the loudspeaker's ring filled with `sound`, then silence.

        Returns:
            The left slot, full scale -1 to 1.
        """
        microphone, loudspeaker = self.open()
        at = 0
        for _ in range(round(seconds * RATE / self.block)):
            self.read(microphone)
            fill = loudspeaker.ring_ms * 48 - loudspeaker.writable()
            count = max(0, round(ahead - fill))
            block = np.zeros((count, 2), np.int32)
            part = sound[at : at + count]
            block[: len(part)] = part[:, None]
            at += count
            assert loudspeaker.write(block) == 0
        microphone.close()
        loudspeaker.close()
        return self.left()

    def left(self) -> NDArray[np.float64]:
        return np.concatenate(self.heard)[:, 0] / 2**31


@pytest.fixture(autouse=True)
def no_room_is_left() -> Iterator[None]:
    """A room that nobody is in is gone."""
    yield
    left = list(room._ROOMS)
    room._ROOMS.clear()
    assert not left


def noise(frames: int, seed: int = 1, rms: float = 0.05) -> NDArray[np.int32]:
    """White noise, int32 of full scale."""
    return np.rint(rms * np.random.default_rng(seed).standard_normal(frames) * 2**31).astype(np.int32)


def test_what_is_played_comes_back_after_the_delay_to_the_frame(tmp_path: Path) -> None:
    sound = noise(30_000)
    home = Home(tmp_path, "delay_ms = 62.5\necho_gain_db = -6")
    heard = home.run(sound, 2.0)
    first = BLOCK + 3_000  # the first frame is written, and so is played, when the first block is complete
    assert int(np.flatnonzero(heard)[0]) == first
    np.testing.assert_allclose(heard[first : first + 30_000], sound / 2**31 * 10 ** (-6 / 20), atol=2**-31)
    assert not heard[first + 30_000 :].any()


def test_the_microphone_never_hears_what_is_not_played_yet(tmp_path: Path) -> None:
    home = Home(tmp_path, "delay_ms = 0")
    microphone, loudspeaker = home.open()
    home.read(microphone)
    loudspeaker.write(np.full((9_600, 2), 2**28, np.int32))
    assert loudspeaker.position == 9_600 + BLOCK
    home.clock.now = EPOCH + 0.06
    loudspeaker.close()  # what lies beyond 60 ms is gone with it
    for _ in range(3):
        home.read(microphone)
    microphone.close()
    assert (home.left()[::BLOCK] * 8).tolist() == [0, 1, 1, 0]
    assert len(np.unique(home.left())) == 2


def test_a_response_is_heard_as_a_room_of_its_own(tmp_path: Path) -> None:
    rir = image_rir((4.0, 3.0, 2.5), source_m=(2.0, 1.5, 0.8), mic_m=(2.1, 1.5, 0.8), rt60_s=0.3)
    save_rir(tmp_path / "rir.wav", rir)
    sound = noise(48_000)
    heard = Home(tmp_path, 'rir = "rir.wav"\necho_gain_db = -10').run(sound, 2.0)
    want = np.convolve(sound / 2**31, rir)[:48_000] * 10 ** (-10 / 20) / np.sqrt(np.sum(rir**2))
    first = BLOCK + 960
    assert len(rir) > 8_000
    np.testing.assert_allclose(heard[first : first + 48_000], want, atol=1e-8)


def test_a_person_is_heard_on_time_and_the_noise_at_its_level(tmp_path: Path) -> None:
    write_wav(tmp_path / "near.wav", noise(24_000, 5), RATE, bits=32)
    home = Home(tmp_path, 'near = "near.wav"\nnear_at_s = 0.1\nnear_gain_db = -20\nnoise = -60')
    home.room().say(np.full(960, 0.25), at_s=1.0)
    heard = home.run(noise(0), 20.0)
    near = np.concatenate([one.near for one in home.stretches])
    np.testing.assert_allclose(near[4_800:28_800], noise(24_000, 5) / 2**31 / 10, atol=1e-8)
    assert (near[48_000:48_960] == 0.25).all()
    assert not near[:4_800].any()
    assert not near[28_800:48_000].any()
    assert level(heard[96_000:]) == pytest.approx(-60, abs=0.5)
    np.testing.assert_allclose(heard - np.concatenate([one.noise for one in home.stretches]), near, atol=1e-9)


def test_a_file_of_noise_goes_round(tmp_path: Path) -> None:
    write_wav(tmp_path / "noise.wav", noise(7_000, 5), RATE, bits=32)
    heard = Home(tmp_path, 'noise = "noise.wav"').run(noise(0), 1.0)
    np.testing.assert_allclose(heard, np.tile(noise(7_000, 5), 7)[:48_000] / 2**31, atol=1e-7)


@pytest.mark.parametrize(("slot", "sound"), [("left", (1, 0)), ("right", (0, 1)), ("both", (1, 1))])
def test_the_sound_is_in_the_slot_of_the_microphone(tmp_path: Path, slot: str, sound: tuple[int, int]) -> None:
    home = Home(tmp_path, f'slot = "{slot}"\nnoise = -40')
    home.run(noise(0), 0.1)
    assert [bool(side.any()) for side in np.concatenate(home.heard).T] == [bool(one) for one in sound]


def test_a_microphone_clips_at_full_scale(tmp_path: Path) -> None:
    sound = np.full(9_600, 2**30, np.int32)
    sound[4_800:] = -(2**30)
    home = Home(tmp_path, "echo_gain_db = 20")
    heard = home.run(sound, 0.5)
    assert heard.max() == (2**31 - 1) / 2**31
    assert heard.min() == -1
    assert max(abs(one.echo).max() for one in home.stretches) == pytest.approx(5)


def test_both_slots_of_the_loudspeaker_are_mixed(tmp_path: Path) -> None:
    home = Home(tmp_path, "delay_ms = 0")
    microphone, loudspeaker = home.open()
    loudspeaker.write(np.full((BLOCK, 2), [2**30, -(2**29)], np.int32))
    assert (home.read(microphone)[:, 0] == 2**28).all()
    loudspeaker.close()
    microphone.close()


def test_a_faster_loudspeaker_takes_more_sound_and_is_heard_so(tmp_path: Path) -> None:
    home = Home(tmp_path, "drift_ppm = 200\ndelay_ms = 40")
    microphone, loudspeaker = home.open()
    written = 0
    for _ in range(60 * 50):
        home.read(microphone)
        count = 2_880 - (9_600 - loudspeaker.writable())
        when = np.arange(written, written + count) + BLOCK
        tone = np.rint(2**29 * np.sin(2 * np.pi * 500 * when / RATE)).astype(np.int32)
        loudspeaker.write(np.stack([tone, tone], axis=1))
        written += count
    loudspeaker.close()
    microphone.close()
    assert written - 2_880 == pytest.approx(60 * RATE * 1.0002 - BLOCK, abs=2)
    heard = home.left()[-RATE:]
    there = (np.arange(59 * RATE, 60 * RATE) - 1_920) * 1.0002
    np.testing.assert_allclose(heard, 0.25 * np.sin(2 * np.pi * 500 * there / RATE), atol=1e-4)


def test_the_delay_jumps_at_its_time(tmp_path: Path) -> None:
    sound = noise(96_000)
    heard = Home(tmp_path, "delay_ms = 20\njumps = [[1.0, 40]]").run(sound, 2.0)
    before, after = BLOCK + 960, BLOCK + 2_880
    np.testing.assert_array_equal(heard[before:48_000], sound[: 48_000 - before] / 2**31)
    np.testing.assert_array_equal(heard[48_000:96_000], sound[48_000 - after : 96_000 - after] / 2**31)


def test_the_recording_holds_both_sides_at_their_times(tmp_path: Path) -> None:
    sound = noise(24_000)
    home = Home(tmp_path, 'delay_ms = 100\nrecord = "heard.wav"\ndistortion = 0.5\nnoise = -60')
    heard = home.run(sound, 1.5)
    samples, rate = read_wav(tmp_path / "heard.wav")
    assert rate == RATE
    assert samples.shape == (72_000, 2)
    np.testing.assert_allclose(samples[:, 0], heard, atol=2**-15)
    np.testing.assert_allclose(samples[BLOCK : BLOCK + 24_000, 1], sound / 2**31, atol=2**-15)
    assert not samples[BLOCK + 24_000 :, 1].any()
    assert not samples[:BLOCK, 1].any()
    assert (tmp_path / "heard.wav").stat().st_size == 44 + 72_000 * 4


def test_the_recording_is_playable_at_any_moment(tmp_path: Path) -> None:
    home = Home(tmp_path, 'record = "heard.wav"\nnoise = -40')
    microphone = home.room().microphone()
    for number in range(1, 151):
        home.read(microphone)
        samples, _ = read_wav(tmp_path / "heard.wav")
        raw = (tmp_path / "heard.wav").read_bytes()
        claimed = int.from_bytes(raw[40:44], "little") // 4
        assert 44 + claimed * 4 <= len(raw)
        assert claimed > number * BLOCK - RATE
        assert len(samples) <= number * BLOCK
    microphone.close()
    microphone.close()
    assert len(read_wav(tmp_path / "heard.wav")[0]) == 150 * BLOCK


def test_a_full_disk_ends_the_recording_with_a_sentence_and_the_room_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path, 'record = "heard.wav"\nnoise = -40')
    microphone, loudspeaker = home.open()
    home.read(microphone)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StreamEnded, match=r"heard\.wav cannot be written on: No space left on device; it ends here"):
        home.read(microphone)
    monkeypatch.undo()
    microphone.close()
    microphone = home.room().microphone()
    for _ in range(60):
        assert home.read(microphone).any()
    microphone.close()
    loudspeaker.close()
    assert (tmp_path / "heard.wav").stat().st_size == 44 + 4 * BLOCK
    assert len(read_wav(tmp_path / "heard.wav")[0]) == BLOCK


def test_a_recording_that_cannot_be_made_refuses_the_room(tmp_path: Path) -> None:
    home = Home(tmp_path, 'record = "missing/heard.wav"')
    with pytest.raises(
        DeviceError, match=r"missing/heard\.wav cannot be written: No such file or directory; record in"
    ):
        home.room()


@pytest.mark.parametrize("first", ["microphone", "loudspeaker"])
def test_either_side_may_be_opened_first_through_the_device_strings(tmp_path: Path, first: str) -> None:
    home = Home(tmp_path, "delay_ms = 0")
    epoch = 5.0  # long ago on the real clock: both begin in the present
    name = f"room:{home.path}"
    if first == "microphone":
        microphone = open_input(name, block_frames=BLOCK, epoch=epoch)
        loudspeaker = open_output(name, block_frames=BLOCK, epoch=epoch)
    else:
        loudspeaker = open_output(f"room:{tmp_path}/../{tmp_path.name}/room.toml", block_frames=BLOCK, epoch=epoch)
        microphone = open_input(name, block_frames=BLOCK, epoch=epoch)
    other = open_input(name, block_frames=BLOCK, epoch=epoch + 1)
    assert isinstance(loudspeaker, RoomOutput)
    assert loudspeaker.padded == 0
    block = np.zeros((BLOCK, 2), np.int32)
    loudspeaker.write(np.full((BLOCK, 2), 2**28, np.int32))
    begins = loudspeaker.position - BLOCK
    assert isinstance(microphone, RoomInput)
    heard = []
    while microphone.position < begins + BLOCK:
        microphone.read(block)
        heard.append(block[:, 0].copy())
    assert np.count_nonzero(np.concatenate(heard)) > 0
    assert set(np.unique(np.concatenate(heard))) == {0, 2**28}
    assert len(room._ROOMS) == 2
    for device in (microphone, loudspeaker, other):
        device.close()


def test_a_microphone_opened_again_goes_on_where_the_old_one_stopped(tmp_path: Path) -> None:
    sound = noise(96_000)
    home = Home(tmp_path, 'delay_ms = 0\nrecord = "heard.wav"')
    microphone, loudspeaker = home.open()
    at = 0
    for number in range(60):
        if number == 20:
            microphone.close()
            home.clock.now += 0.1
            microphone = home.room().microphone()
        if number == 40:
            microphone.close()
            home.clock.now += 5.0
            microphone = home.room().microphone()
        count = loudspeaker.writable()
        loudspeaker.write(np.repeat(sound[at : at + count, None], 2, axis=1))
        at += count
        home.read(microphone)
    loudspeaker.close()
    microphone.close()
    heard = home.left()
    np.testing.assert_array_equal(heard[: 40 * BLOCK], sound[: 40 * BLOCK] / 2**31)
    frames = len(read_wav(tmp_path / "heard.wav")[0])
    assert frames == round((home.clock.now - EPOCH) * RATE)
    assert frames - 60 * BLOCK == pytest.approx(5.0 * RATE - 9_600, abs=2 * BLOCK)


def test_a_loudspeaker_opened_again_plays_in_the_present_and_what_it_held_is_lost(tmp_path: Path) -> None:
    home = Home(tmp_path, "delay_ms = 0")
    microphone, loudspeaker = home.open()
    loudspeaker.write(np.full((9_600, 2), 2**28, np.int32))
    for _ in range(2):
        home.read(microphone)
    loudspeaker.close()
    home.read(microphone)
    loudspeaker = home.room().loudspeaker()
    assert loudspeaker.writable() == 9_600
    assert loudspeaker.write(np.full((BLOCK, 2), -(2**28), np.int32)) == 0
    for _ in range(2):
        home.read(microphone)
    loudspeaker.close()
    loudspeaker.close()
    microphone.close()
    steps = home.left()[::BLOCK] * 8
    assert steps.tolist() == [1, 1, 0, -1, 0]
    assert loudspeaker.padded == 0


def test_an_underrun_is_silence_and_told_once(tmp_path: Path) -> None:
    home = Home(tmp_path, "delay_ms = 0")
    microphone, loudspeaker = home.open()
    ones = np.full((BLOCK, 2), 2**28, np.int32)
    loudspeaker.write(ones)
    for _ in range(20):
        home.read(microphone)
    assert loudspeaker.write(ones) == 1
    assert loudspeaker.padded == 19 * BLOCK
    home.read(microphone)
    home.read(microphone)
    loudspeaker.close()
    microphone.close()
    assert (home.left()[::BLOCK] * 8).tolist() == [1, *[0] * 19, 1, 0]


def test_a_loudspeaker_alone_keeps_the_room_going(tmp_path: Path) -> None:
    home = Home(tmp_path, 'record = "heard.wav"\ndelay_ms = 0')
    loudspeaker = home.room().loudspeaker()
    sound = noise(5 * RATE)
    at = 0
    while at < len(sound):
        count = min(loudspeaker.writable(), len(sound) - at)
        loudspeaker.write(np.repeat(sound[at : at + count, None], 2, axis=1))
        at += count
        home.clock.now += 0.02
        assert home.clock.now - EPOCH - home.room().heard / RATE < 0.7
    home.clock.now += 1
    loudspeaker.close()
    samples, _ = read_wav(tmp_path / "heard.wav")
    assert len(samples) == round((home.clock.now - EPOCH) * RATE)
    np.testing.assert_allclose(samples[: len(sound), 0], sound / 2**31, atol=2**-15)


def test_a_reader_that_comes_too_late_loses_sound_but_the_room_does_not(tmp_path: Path) -> None:
    home = Home(tmp_path, 'record = "heard.wav"\nnoise = -40')
    microphone = home.room().microphone()
    home.read(microphone)
    home.clock.now = EPOCH + 1.0
    block = np.empty((BLOCK, 2), np.int32)
    assert microphone.read(block) == 1
    microphone.close()
    samples, _ = read_wav(tmp_path / "heard.wav")
    assert len(samples) == RATE
    start = RATE - 9_600 - BLOCK
    np.testing.assert_allclose(block[:, 0] / 2**31, samples[start : start + BLOCK, 0], atol=2**-15)
    assert all(samples[at : at + 100].any() for at in range(0, RATE, 100))


def test_opened_an_hour_after_the_epoch_it_begins_in_the_present(tmp_path: Path) -> None:
    home = Home(tmp_path, 'record = "heard.wav"\nnoise = -40')
    home.clock.now = EPOCH + 3_600
    microphone, loudspeaker = home.open()
    home.read(microphone)
    assert loudspeaker.write(np.zeros((BLOCK, 2), np.int32)) == 0
    assert sum(len(one.echo) for one in home.stretches) == BLOCK
    microphone.close()
    loudspeaker.close()
    used = (tmp_path / "heard.wav").stat()
    assert used.st_size == 44 + 3_600 * RATE * 4
    assert used.st_blocks * 512 < 1_000_000  # the hour before is a hole in the file


def test_closed_by_both_it_is_a_new_room(tmp_path: Path) -> None:
    home = Home(tmp_path)
    one = home.room()
    microphone, loudspeaker = home.open()
    microphone.close()
    assert home.room() is one
    loudspeaker.close()
    with pytest.raises(StreamEnded, match="is closed"):
        loudspeaker.write(np.zeros((BLOCK, 2), np.int32))
    with pytest.raises(StreamEnded, match="is closed"):
        microphone.read(np.zeros((BLOCK, 2), np.int32))
    again = home.room()
    assert again is not one
    again.microphone().close()


@settings(max_examples=20)
@given(
    block=st.sampled_from([480, 960, 1_920, 4_800, 441, 1_001]),
    ahead=st.integers(2_000, 9_000),
    drift=st.sampled_from([0, 80, -400]),
)
def test_any_block_size_gives_the_same_sound(
    tmp_path_factory: pytest.TempPathFactory, block: int, ahead: int, drift: float
) -> None:
    folder = tmp_path_factory.mktemp("home")
    save_rir(folder / "rir.wav", np.random.default_rng(3).standard_normal(3_000) * np.exp(-np.arange(3_000) / 700))
    text = f'rir = "rir.wav"\ndelay_ms = 5\ndistortion = 0.5\nnoise = -50\njumps = [[0.2, 40]]\ndrift_ppm = {drift}'
    home = Home(folder, text, block=block)
    written = noise(20_000)
    heard = home.run(written, 0.6, max(ahead, block + 480))
    scene = read_room(home.path)
    path = EchoPath(
        response=scene.response, distortion=0.5, delay=240, jumps=scene.jumps, drift_ppm=drift
    )  # the same echo in one piece
    first = int(np.flatnonzero(np.concatenate([one.loudspeaker for one in home.stretches]))[0])
    assert first in {block, block + 1}
    path.play(int(first * (1 + drift * 1e-6)), written / 2**31)
    assert scene.noise is not None
    want = path.hear(0, len(heard)) + scene.noise[: len(heard)]
    np.testing.assert_allclose(heard, want, atol=2**-31)


@pytest.mark.parametrize(("opener", "fault"), [(open_input, Fault.MICROPHONE), (open_output, Fault.LOUDSPEAKER)])
def test_a_bad_room_is_refused_with_the_fault_of_its_side(tmp_path: Path, opener: object, fault: Fault) -> None:
    (tmp_path / "bad.toml").write_text("echo = 3")
    assert callable(opener)
    for name, told in (
        ("", "write room:FILE.toml"),
        (f"{tmp_path}/none.toml", "does not exist"),
        (f"{tmp_path}/bad.toml", "unknown key echo"),
    ):
        with pytest.raises(DeviceError, match=told) as caught:
            opener(f"room:{name}", block_frames=BLOCK, epoch=0.0)
        assert caught.value.fault is fault

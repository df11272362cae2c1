"""The private sound server: what it promises about the air, about time, and about ending."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.audio.wavfile import read_wav, write_wav
from edge_agent.demo.soundserver import SoundServer
from edge_agent.errors import DeviceError


def noise(seconds: float, seed: int = 1) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).integers(-16000, 16000, round(seconds * 48000))
    return (drawn / 32768).astype(np.float32)


def place(heard: NDArray[np.float32], said: NDArray[np.float32]) -> int:
    size = 1 << int(np.ceil(np.log2(len(heard) + len(said))))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size))
    return int(np.fft.irfft(spectrum, size)[: len(heard)].argmax())


@pytest.mark.sound
def test_both_sides_are_recorded_on_one_time_line(tmp_path: Path) -> None:
    question, answer = noise(1.0), noise(1.0, seed=2)
    write_wav(tmp_path / "question.wav", question, 48000)
    with SoundServer() as room, room.record(tmp_path / "room.wav") as recording:
        voice = room.play(tmp_path / "question.wav")
        loudspeaker = room.play((answer, 48000), to="speaker")
        voice.wait()
        loudspeaker.wait()
        told = (voice.started - recording.started, loudspeaker.started - recording.started)
        time.sleep(0.2)
    heard, rate = read_wav(tmp_path / "room.wav")
    assert rate == 48000
    for side, said in enumerate((question, answer)):
        at = place(heard[:, side], said)
        np.testing.assert_allclose(heard[at : at + len(said), side], said, atol=1e-4)
        outside = np.delete(heard[:, side], slice(at, at + len(said)))
        assert not outside.any(), "one side hears the other, or more than was played"
        assert abs(told[side] - at / 48000) < 0.25
    assert recording.frames == len(heard)


@pytest.mark.sound
def test_the_environment_leads_a_child_to_its_devices(tmp_path: Path) -> None:
    child = (
        "import time, numpy as np\n"
        "from edge_agent.audio.devices import open_input\n"
        "mic = open_input('pyaudio:edge_mic', block_frames=960, epoch=0.0)\n"
        "print('open', flush=True)\n"
        "block, peak = np.empty((960, 2), np.int32), 0.0\n"
        "for _ in range(75):\n"
        "    mic.read(block)\n"
        "    peak = max(peak, float(np.abs(block / 2**31).max()))\n"
        "mic.close()\n"
        "print(peak)\n"
    )
    with SoundServer() as room:
        process = subprocess.Popen(
            [sys.executable, "-c", child], stdout=subprocess.PIPE, text=True, env={**os.environ, **room.env}
        )
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        write_wav(tmp_path / "beep.wav", np.full(8000, 0.25, dtype=np.float32), 16000)
        room.play(tmp_path / "beep.wav").wait()
        heard, _ = process.communicate(timeout=20)
    assert float(heard) == pytest.approx(0.25, abs=0.05)


@pytest.mark.sound
def test_nothing_is_left_behind() -> None:
    room = SoundServer()
    room.start()
    assert room._folder
    assert room._server
    folder, group = room._folder, room._server.pid
    voice = room.play((noise(30), 48000))
    room.close()
    room.close()
    assert voice._process.returncode is not None
    assert not folder.exists()
    assert room.env == {}
    assert not running(group)
    with pytest.raises(DeviceError, match="is not running"):
        room.play((noise(1), 48000))


@pytest.mark.sound
def test_it_ends_with_its_owner_even_when_that_is_killed() -> None:
    child = (
        "from edge_agent.demo.soundserver import SoundServer\n"
        "room = SoundServer()\n"
        "room.start()\n"
        "print(room._server.pid, room._folder, flush=True)\n"
        "import time\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        group, folder = owner.stdout.readline().split()
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    ends = time.monotonic() + 5
    try:
        while time.monotonic() < ends and running(int(group)):
            time.sleep(0.02)
        assert not running(int(group))
    finally:
        for left in Path(folder).iterdir():
            left.unlink()
        Path(folder).rmdir()


def running(group: int) -> bool:
    """Whether a process of the group still runs; one that has ended may wait for init to reap it."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False


@pytest.mark.sound
def test_two_servers_do_not_hear_each_other(tmp_path: Path) -> None:
    with SoundServer() as one, SoundServer() as other, other.record(tmp_path / "other.wav"):
        one.play((noise(0.3), 48000)).wait()
    heard, _ = read_wav(tmp_path / "other.wav")
    assert len(heard) > 4800
    assert not heard.any()


def test_missing_programs_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"needs pulseaudio and pacat .*apt install pulseaudio"):
        SoundServer().start()


def test_a_server_that_does_not_start_says_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pulseaudio").write_text("#!/bin/sh\necho 'E: no air to breathe' >&2\nexit 1\n")
    (tmp_path / "pulseaudio").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    room = SoundServer()
    with pytest.raises(DeviceError, match="did not start: E: no air to breathe"):
        room.start()
    assert room.env == {}

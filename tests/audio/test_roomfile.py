"""A room's file: what it may say, what it means, and how it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.audio.echopath import RATE_HZ
from edge_agent.audio.roomfile import KEYS, Scene, read_room
from edge_agent.audio.wavfile import write_wav
from edge_agent.errors import DeviceError


def room(folder: Path, text: str) -> Scene:
    path = folder / "room.toml"
    path.write_text(text)
    return read_room(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with some sound in it."""
    ramp = np.linspace(0, 0.5, 1_000).astype(np.float32)
    write_wav(tmp_path / "near.wav", ramp, RATE_HZ, bits=32)
    write_wav(tmp_path / "rir.wav", ramp[::-1].copy(), 16_000)
    write_wav(tmp_path / "stereo.wav", np.stack([ramp, ramp], axis=1), RATE_HZ)
    write_wav(tmp_path / "empty.wav", ramp[:0], RATE_HZ)
    write_wav(tmp_path / "silent.wav", 0 * ramp, RATE_HZ)
    write_wav(tmp_path / "long.wav", np.ones(3 * RATE_HZ, np.float32), RATE_HZ)
    (tmp_path / "text.wav").write_text("no sound")
    return tmp_path


def test_an_empty_file_is_a_room_with_a_plain_echo(folder: Path) -> None:
    scene = room(folder, "")
    assert (scene.delay, scene.echo_gain_db, scene.distortion, scene.drift_ppm) == (960, 0.0, 0.0, 0.0)
    assert scene.response is None
    assert scene.noise is None
    assert len(scene.near) == 0
    assert scene.jumps == ()
    assert scene.slot == "left"
    assert scene.record is None


def test_everything_that_may_be_said_is_read(folder: Path) -> None:
    scene = room(
        folder,
        """
        near = "near.wav"
        near_at_s = 2.5
        near_gain_db = -20
        rir = "rir.wav"
        delay_ms = 62.5
        echo_gain_db = -3.5
        distortion = 0.3
        noise = -55
        drift_ppm = 50
        jumps = [[20.0, -30], [10, 40.0]]
        slot = "both"
        seed = 9
        record = "heard.wav"
        """,
    )
    np.testing.assert_allclose(scene.near, np.linspace(0, 0.05, 1_000), atol=1e-6)
    assert scene.near_at == 120_000
    assert scene.response is not None
    assert len(scene.response) == 3_000
    assert scene.delay == 3_000
    assert (scene.echo_gain_db, scene.distortion, scene.drift_ppm, scene.slot) == (-3.5, 0.3, 50.0, "both")
    assert scene.jumps == ((480_000, 1_920), (960_000, -1_440))
    assert scene.noise is not None
    assert 10 * np.log10(np.mean(scene.noise.astype(np.float64) ** 2)) == pytest.approx(-55, abs=0.01)
    other = room(folder, "noise = -55\nseed = 10").noise
    assert other is not None
    assert not np.array_equal(scene.noise, other)
    assert scene.record == folder / "heard.wav"


def test_noise_may_be_a_file(folder: Path) -> None:
    noise = room(folder, 'noise = "near.wav"').noise
    assert noise is not None
    np.testing.assert_allclose(noise, np.linspace(0, 0.5, 1_000), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("echo_gain = -6", "unknown key echo_gain; did you mean echo_gain_db?"),
        ("drift = 5", "unknown key drift; did you mean drift_ppm?"),
        ("jump = []", "unknown key jump; did you mean jumps?"),
        ("xyz = 1", "unknown key xyz; allowed are delay_ms, distortion"),
        ('delay_ms = "20"', 'delay_ms = "20": must be a number, not a string'),
        ("delay_ms = -1", "delay_ms = -1.0: allowed is a number from 0 to 1000"),
        ("delay_ms = nan", "delay_ms = nan: allowed is a number from 0 to 1000"),
        ("distortion = 1.5", "distortion = 1.5: allowed is a number from 0 to 1"),
        ("drift_ppm = 5000", "drift_ppm = 5000.0: allowed is a number from -1000 to 1000"),
        ('slot = "middle"', 'slot = "middle": allowed are "left", "right", "both"'),
        ("seed = -1", "seed = -1: allowed is a number from 0 to 4.29497e+09"),
        ("noise = 3", "noise = 3; allowed is the path of a WAV file, or dBFS from -120 to 0"),
        ("noise = true", "noise = True; allowed is the path of a WAV file, or dBFS from -120 to 0"),
        ("noise = [1]", "noise = [1]; allowed is the path of a WAV file, or dBFS from -120 to 0"),
        ('noise = "empty.wav"', "noise = empty.wav is empty; allowed is a WAV file with sound in it"),
        ("jumps = 3", "jumps = 3 is no list; allowed is a list of [at_s, ms] with at_s from 0 on"),
        ("jumps = [3]", "jumps = [3] holds 3; allowed is a list of [at_s, ms]"),
        ("jumps = [[-1, 3]]", "holds [-1, 3]; allowed is a list of [at_s, ms] with at_s from 0 on"),
        ("jumps = [[1, true]]", "holds [1, True]; allowed is a list of [at_s, ms]"),
        ("jumps = [[1, inf]]", "holds [1, inf]; allowed is a list of [at_s, ms]"),
        (
            "delay_ms = 50\njumps = [[9, -60], [2, 5]]",
            "makes the delay -5 ms at 9 s; allowed is jumps after which the delay is 0 to 1000 ms",
        ),
        ("drift_ppm = 10\ndelay_ms = 0", "delay_ms = 0 is too short; allowed is 0.4 to 1000 with drift_ppm"),
        (
            "drift_ppm = 10\njumps = [[1, -20]]",
            "makes the delay 0 ms at 1 s; allowed is jumps after which the delay is 0.4 to 1000 ms with drift_ppm",
        ),
        ('near = "none.wav"', "near = none.wav does not exist; allowed is a WAV file, by its path from"),
        ('near = "."', "near = . is not a plain file; allowed is a WAV file"),
        ('near = "text.wav"', "text.wav is not a WAV file"),
        ('near = "stereo.wav"', "near = stereo.wav has 2 channels; allowed is 1 channel"),
        ('rir = "long.wav"', "rir = long.wav is 3.0 s long; allowed is up to 2 s"),
        ('rir = "silent.wav"', "rir = silent.wav is silent; allowed is a response with sound in it"),
        ('rir = "empty.wav"', "rir = empty.wav is silent; allowed is a response with sound in it"),
        ('record = "."', "record = . is not a plain file"),
        ('near = "near.wav"\nrecord = "./near.wav"', "record = ./near.wav is what the room is made of"),
        ('record = "room.toml"', "record = room.toml is what the room is made of; allowed is another file"),
        ("near = ", "is not a TOML file"),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence_with_file_and_key(folder: Path, text: str, told: str) -> None:
    with pytest.raises(DeviceError) as caught:
        room(folder, text)
    assert str(caught.value).startswith(f"{folder}/room.toml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_one_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"none\.toml does not exist; write room:FILE\.toml"):
        read_room(tmp_path / "none.toml")
    with pytest.raises(DeviceError, match="cannot be read: Is a directory"):
        read_room(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DeviceError, match="is not a TOML file"):
        read_room(tmp_path / "binary.toml")


def test_every_key_is_in_the_manual() -> None:
    page = (Path(__file__).parents[2] / "docs/room.md").read_text().partition("Levels are RMS")[0]
    rows = [line.split("|")[1].strip().strip("`") for line in page.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(KEYS)

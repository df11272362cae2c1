"""`arecord` and `aplay` as devices: programs that die, hang, refuse or are missing.

With real sound they are tested beside PyAudio, in test_portaudio.
"""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.audio.devices import alsa, holders, open_input, open_output
from edge_agent.audio.devices.alsa import AlsaInput, AlsaOutput
from edge_agent.errors import DeviceError, Fault, StreamEnded

BLOCK = 960
GIVE_ONE_BLOCK = "head -c 7680 /dev/zero"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a shell script in the place of `arecord` or `aplay`."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def install(name: str, script: str) -> Path:
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{script}\n')
        path.chmod(0o755)
        return tmp_path / "calls"

    return install


def block() -> Any:
    return np.empty((BLOCK, 2), dtype=np.int32)


def test_a_recorder_that_dies_ends_the_stream_with_its_last_words(program: Any) -> None:
    words = "arecord: pcm_read:2221: read error: No such device"
    program("arecord", f'{GIVE_ONE_BLOCK}; sleep 0.1; echo "{words}" >&2; exit 1')
    device = AlsaInput("mic", block_frames=BLOCK)
    assert device.read(block()) == 0
    with pytest.raises(StreamEnded) as caught:
        device.read(block())
    assert str(caught.value) == "the microphone alsa:mic stopped: read error: No such device; check its cable"
    assert caught.value.fault is Fault.MICROPHONE
    device.close()
    device.close()


def test_a_recorder_that_says_nothing_is_named_with_its_exit_code(program: Any) -> None:
    program("arecord", f"{GIVE_ONE_BLOCK}; sleep 0.1; exit 3")
    device = AlsaInput("mic", block_frames=BLOCK)
    device.read(block())
    with pytest.raises(StreamEnded, match="arecord ended with code 3"):
        device.read(block())
    device.close()


def test_a_recorder_that_hangs_is_dead_after_a_second_and_killed_at_the_end(program: Any) -> None:
    program("arecord", f'trap "" TERM; {GIVE_ONE_BLOCK}; while :; do sleep 1; done')
    device = AlsaInput("mic", block_frames=BLOCK)
    device.read(block())
    with pytest.raises(StreamEnded, match="gave no sound for 1 s"):
        device.read(block())
    device.close()
    assert device._program.process.returncode is not None


def test_overruns_told_by_the_recorder_are_counted(program: Any) -> None:
    program("arecord", f"{GIVE_ONE_BLOCK}; echo 'overrun!!! (at least 9.125 ms long)' >&2; sleep 0.05; cat /dev/zero")
    device = AlsaInput("mic", block_frames=BLOCK)
    assert sum(device.read(block()) for _ in range(3)) == 1
    device.close()


def test_a_player_that_dies_ends_the_stream_with_its_last_words(program: Any) -> None:
    program("aplay", 'head -c 7680 >/dev/null; sleep 0.1; echo "aplay: pcm_write:2127: write error: Gone" >&2; exit 1')
    device = AlsaOutput("out", block_frames=BLOCK)
    device.write(np.zeros((480, 2), dtype=np.int32))
    device._program.process.wait(5)
    with pytest.raises(StreamEnded, match="alsa:out stopped: write error: Gone") as caught:
        device.writable()
    with pytest.raises(StreamEnded, match="write error: Gone"):
        device.write(np.zeros((480, 2), dtype=np.int32))
    assert caught.value.fault is Fault.LOUDSPEAKER
    device.close()


def test_a_player_that_hangs_is_full_then_dead(program: Any) -> None:
    program("aplay", "head -c 3840 >/dev/null; exec sleep 60")
    now = [0.0]
    device = AlsaOutput("out", block_frames=BLOCK, clock=lambda: now[0])
    room = device.writable()
    assert room == pytest.approx(device.ring_ms * 48)
    device.write(np.zeros((room, 2), dtype=np.int32))
    assert device.writable() == 0
    now[0] = 0.9
    assert device.writable() == 0
    now[0] = 1.1
    with pytest.raises(StreamEnded, match="took no sound for 1 s"):
        device.writable()
    device.close()


def test_writes_never_block_and_arrive_in_order(program: Any, tmp_path: Path) -> None:
    program("aplay", f"while :; do dd bs=3840 count=1 iflag=fullblock status=none >> {tmp_path}/out; sleep 0.002; done")
    device = AlsaOutput("out", block_frames=BLOCK)
    sound = np.random.default_rng(1).integers(-(2**31), 2**31, (48000, 2)).astype(np.int32)
    at = 0
    while at < len(sound):
        count = min(device.writable(), len(sound) - at, 777)
        device.write(sound[at : at + count])
        at += count
        time.sleep(0.001)
    ends = time.monotonic() + 10
    wanted = 3840 + sound.nbytes // 3840 * 3840
    while (tmp_path / "out").stat().st_size < wanted and time.monotonic() < ends:
        time.sleep(0.01)
    device.close()
    assert (tmp_path / "out").read_bytes()[3840:wanted] == sound.tobytes()[: wanted - 3840]


def test_a_format_that_is_refused_gives_way_to_the_next(program: Any) -> None:
    calls = program(
        "arecord",
        'case "$*" in *S16_LE*"-c 1"*) exec cat /dev/zero;; esac\n'
        'echo "arecord: set_params:1345: Sample format non available" >&2; exit 1',
    )
    device = AlsaInput("mic", block_frames=BLOCK)
    device.read(block())
    device.close()
    tried = [line.split("--period")[0].strip() for line in calls.read_text().splitlines()]
    assert tried == [
        f"-D mic -t raw -f {form} -r 48000 -c {channels}"
        for form, channels in (("S32_LE", 2), ("S16_LE", 2), ("S16_LE", 1))
    ]


def test_a_device_that_refuses_everything_says_why(program: Any) -> None:
    program("aplay", 'echo "aplay: set_params:1403: Channels count non available" >&2; exit 1')
    with pytest.raises(DeviceError) as caught:
        open_output("alsa:out", block_frames=BLOCK, epoch=0.0)
    assert 'the loudspeaker "out" cannot be opened at 48 kHz (32 bit stereo: Channels count non available; 16' in str(
        caught.value
    )
    assert caught.value.fault is Fault.LOUDSPEAKER


def test_a_rate_that_is_only_near_is_refused(program: Any) -> None:
    program(
        "arecord", "echo 'Warning: rate is not accurate (requested = 48000Hz, got = 44100Hz)' >&2; exec cat /dev/zero"
    )
    with pytest.raises(DeviceError, match=r"at 48 kHz .*rate is not accurate"):
        open_input("alsa:mic", block_frames=BLOCK, epoch=0.0)


def test_a_busy_device_is_named_with_its_holder(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program("arecord", 'echo "arecord: main:830: audio open error: Device or resource busy" >&2; exit 1')
    monkeypatch.setattr(alsa, "busy_sentence", functools.partial(holders.busy_sentence, proc=tmp_path))
    with pytest.raises(DeviceError, match='the microphone "hw:1" is busy: another program holds it'):
        open_input("alsa:hw:1", block_frames=BLOCK, epoch=0.0)
    folder = tmp_path / "4711" / "fd"
    folder.mkdir(parents=True)
    (folder / "9").symlink_to("/dev/snd/pcmC1D0c")
    (folder.parent / "comm").write_text("parrot\n")
    with pytest.raises(
        DeviceError, match=r"busy: card 1 is held by parrot \(process 4711\); end that program"
    ) as caught:
        open_input("alsa:hw:1", block_frames=BLOCK, epoch=0.0)
    assert caught.value.fault is Fault.MICROPHONE


def test_an_absent_pcm_is_answered_with_those_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real programs, on ALSA's null PCM."""
    (tmp_path / "alsa.conf").write_text(
        '</usr/share/alsa/alsa.conf>\npcm.swallow { type null hint { show on description "x" } }\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "alsa.conf"))
    with pytest.raises(DeviceError) as caught:
        open_input("alsa:nowhere", block_frames=BLOCK, epoch=0.0)
    assert str(caught.value).startswith('there is no microphone "nowhere"; arecord -L lists: ')
    assert '"swallow"' in str(caught.value)
    inputs, outputs = alsa.names()
    assert "alsa:swallow" in inputs
    assert "alsa:swallow" in outputs


def test_the_real_programs_run_on_a_null_pcm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alsa.conf").write_text("</usr/share/alsa/alsa.conf>\npcm.swallow { type null }\n")
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "alsa.conf"))
    microphone = open_input("alsa:swallow", block_frames=BLOCK, epoch=0.0)
    loudspeaker = open_output("alsa:swallow", block_frames=BLOCK, epoch=0.0)
    for _ in range(3):
        microphone.read(block())  # ALSA's null gives whatever lay in memory
        loudspeaker.write(np.zeros((min(BLOCK, loudspeaker.writable()), 2), dtype=np.int32))
    microphone.close()
    loudspeaker.close()


def test_without_alsa_utils_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"arecord is not installed; install it \(apt install alsa-utils\)"):
        open_input("alsa:mic", block_frames=BLOCK, epoch=0.0)
    with pytest.raises(DeviceError, match="aplay is not installed"):
        open_output("alsa:mic", block_frames=BLOCK, epoch=0.0)

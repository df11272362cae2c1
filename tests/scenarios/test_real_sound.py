"""The whole device on real PyAudio: a private sound server is the room, the daemon a process of its own.

Daemon and sound server run at the priority that `systemd/edge-agent.service` gives the daemon, where root allows it:
the server stands for a sound card and for air, which do not stumble because a machine has something else to do.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from acoustics import level, speech
from harness import coded_noise, find, pcm, s16, steps
from numpy.typing import NDArray
from scenarios.parlour import answer

from edge_agent.audio.wavfile import read_wav, write_wav
from edge_agent.demo.soundserver import SoundServer
from edge_agent.service.client import call
from edge_agent.simulator import Hear, Say, SyncTwin

RATE = 16_000
TURN_S = 60.0
NICE = -10  # as in systemd/edge-agent.service

pytestmark = [pytest.mark.sound, pytest.mark.slow, pytest.mark.timeout(300)]


@contextlib.contextmanager
def in_a_room() -> Iterator[SoundServer]:
    """Start a sound server; what this thread starts in it runs at the service's priority, as the server does."""
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        with SoundServer() as room:
            assert room._server is not None
            for thread in Path(f"/proc/{room._server.pid}/task").iterdir():  # it has put itself back to the usual one
                with contextlib.suppress(PermissionError):
                    os.setpriority(os.PRIO_PROCESS, int(thread.name), NICE)
            yield room
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, usual)


def until(socket: Path, **wanted: Any) -> dict[str, Any]:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if socket.exists():
            status = call(socket, {"do": "status"})
            if all(status[key] == value for key, value in wanted.items()):
                return status
        time.sleep(0.05)
    raise AssertionError(f"never saw {wanted}")


def test_sixty_seconds_of_speech_arrive_whole_and_the_answer_is_heard(tmp_path: Path, twin: SyncTwin) -> None:
    """Spoken WAV in, the same samples at the service, its answer out of the loudspeaker's side."""
    voice = coded_noise(TURN_S + 3.0, seed=41, level=0.05)
    write_wav(tmp_path / "voice.wav", voice, 48_000)
    reply = coded_noise(3.0, seed=42, level=0.1)
    twin.answer(Say(sound=s16(reply, rate=48_000, to_rate=24_000)))
    key = tmp_path / "key"
    key.write_text("test-key")
    key.chmod(0o600)
    socket = tmp_path / "c.sock"
    (tmp_path / "config.toml").write_text(
        f"[live]\nurl = '{twin.url}'\ncredential = 'file:{key}'\n"
        "[audio]\nmic_gain_db = 0\nmic_channel = 'left'\nvolume = 100\ncues = false\n"
        "[panel]\npins = 'mock'\n[conversation]\nmax_turn_s = 120\n"
        f"[control]\nsocket = '{socket}'\n"
    )
    with in_a_room() as room:
        environment = {**os.environ, **room.env, "XDG_STATE_HOME": str(tmp_path / "state")}
        command = [sys.executable, "-m", "edge_agent", "run", "--config", str(tmp_path / "config.toml")]
        process = subprocess.Popen(command, env=environment)
        try:
            until(socket, state="idle", fault=None)
            with room.record(tmp_path / "room.wav"):
                speaking = room.play(tmp_path / "voice.wav")
                time.sleep(1.0)
                call(socket, {"do": "press"})
                until(socket, state="listening")
                time.sleep(TURN_S)
                call(socket, {"do": "release"})
                until(socket, state="speaking")
                until(socket, state="idle")
                speaking.stop()
            status = call(socket, {"do": "status"})
        finally:
            process.terminate()
            assert process.wait(10) == 0

    (turn,) = twin.sessions[0].audio_turns
    received = pcm(turn)
    original = pcm(s16(voice, rate=48_000, to_rate=RATE))
    laid = steps(received, original, RATE, every_s=0.25)
    assert len(received) / RATE > TURN_S
    assert min(score for _, score in laid) >= 0.95
    offsets = [offset for offset, _ in laid]
    assert max(offsets) - min(offsets) <= 1, "a block was lost or doubled"
    samples, rate = read_wav(tmp_path / "room.wav")
    _, score = find(reply[: rate * 2, 0], samples[:, 1])
    assert score >= 0.95, "the answer at the loudspeaker"
    assert np.max(np.abs(samples[:, 0])) > 0.05
    print(f"correlation {min(score for _, score in laid):.3f} at worst, {status['xruns']} xruns")  # noqa: T201


ANSWER_S = 90.0
ALONE_S = 60.0
TRIES = 3
"""A person says it so often at most: for up to 3 s after the loudspeaker stumbled nobody is believed."""


def test_the_device_hears_itself_at_full_level_for_a_minute_and_a_person_who_insists(
    tmp_path: Path, twin: SyncTwin
) -> None:
    """Its loudspeaker plays into its own microphone, with the sound server's latency; then a person talks over it.

    On a machine that is kept busy a sound server stumbles every few seconds, and the device believes nobody until the
    canceller has been seen to work again; so a person may have to say it again, as one would.
    """
    question = speech("what time is it please", voice="en-us+f4", dbfs=-24)
    objection = speech("excuse me, could you please tell me something else now", voice="en-us+f4", dbfs=-24)
    twin.answer(Hear("a question"), Say("A tale.", sound=answer(ANSWER_S)))
    key = tmp_path / "key"
    key.write_text("test-key")
    key.chmod(0o600)
    socket = tmp_path / "c.sock"
    (tmp_path / "config.toml").write_text(
        f"mode = 'speaker'\n[live]\nurl = '{twin.url}'\ncredential = 'file:{key}'\n"
        "[audio]\noutput = 'pyaudio:edge_echo'\nmic_gain_db = 0\nmic_channel = 'left'\nvolume = 100\n"
        "echo = 'software'\n[panel]\npins = 'mock'\n"
        f"[control]\nsocket = '{socket}'\n"
    )
    with in_a_room() as room:
        pcms = Path(room.env["ALSA_CONFIG_PATH"])
        server = room.env["PULSE_SERVER"]
        pcms.write_text(
            pcms.read_text() + f'pcm.edge_echo {{\n    type pulse\n    server "{server}"\n    device "person"\n}}\n'
        )
        environment = {**os.environ, **room.env, "XDG_STATE_HOME": str(tmp_path / "state")}
        command = [sys.executable, "-m", "edge_agent", "run", "--config", str(tmp_path / "config.toml")]
        process = subprocess.Popen(command, env=environment)
        try:
            until(socket, state="idle", fault=None)
            time.sleep(3.0)
            call(socket, {"do": "tap"})
            until(socket, state="listening")
            room.play((question.astype(np.float32), 48_000)).wait()
            until(socket, state="speaking")
            time.sleep(2.0)
            begun = len(twin.sessions[0].audio)
            time.sleep(ALONE_S)
            status = call(socket, {"do": "status"})
            alone = pcm(twin.sessions[0].audio[begun:])
            figures = call(socket, {"do": "metrics"})["figures"]
            told = f"{status['xruns']} xruns; {figures.get('near_end')}; {figures.get('interruptions')}"
            loud = [round(at / 10, 1) for at, dbfs in enumerate(_levels(alone)) if dbfs > -45]
            assert status["state"] == "speaking", f"it, or the service, heard itself; loud at {loud} s; {told}"
            assert not figures.get("interruptions")
            assert figures.get("near_end", {}).get("confirmed", 0) == 0
            began, tries = time.monotonic(), 0
            while call(socket, {"do": "status"})["state"] == "speaking" and tries < TRIES:
                tries += 1
                room.play((objection.astype(np.float32), 48_000)).wait()
            took = time.monotonic() - began
            figures = call(socket, {"do": "metrics"})["figures"]
        finally:
            process.terminate()
            assert process.wait(10) == 0

    assert sum(figures.get("interruptions", {}).values()) == 1, "the person was not heard"
    assert len(alone) / RATE > ALONE_S - 2.0, "what goes up goes up continuously"
    left = _levels(alone)
    assert float(np.median(left)) < -60
    assert float(np.percentile(left, 99)) < -45, "nothing in it that a service takes for speech"
    print(  # noqa: T201
        f"left of an echo at -22 dBFS: {np.median(left):.0f} dBFS, at most {max(left):.0f}; stopped when the "
        f"person had said it {tries} times, {took:.1f} s; {status['xruns']} xruns"
    )


def _levels(heard: NDArray[np.float64]) -> list[float]:
    """Return the level of each tenth of a second, dBFS."""
    return [level(piece) for piece in heard[: len(heard) // 1_600 * 1_600].reshape(-1, 1_600)]

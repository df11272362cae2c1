"""What a person gets who set something wrong or left something unplugged: a sentence, and a device that goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness import KEY, Device, coded_noise

from edge_agent.service.client import call
from edge_agent.simulator import Say, SyncTwin


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """`edge-agent run` with this configuration, to its end."""
    path = folder / "config.toml"
    path.write_text(text)
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mode = 'kiosc'", ["mode", "kiosc", "kiosk", "speaker"]),
        ("[audio]\nblock_ms = 25", ["audio.block_ms", "25", "10, 20, 40 or 100"]),
        ("[audio]\nvolumne = 3", ["audio.volumne", "did you mean audio.volume"]),
        ("[live]\nurl = 'ws://example.org'", ["live.url", "wss://"]),
        ("[live]\nmessage_ms = 50", ["live.message_ms", "multiple of audio.block_ms"]),
        ("[panel\n", ["not TOML"]),
        ("persona = '/does/not/exist'", ["/does/not/exist"]),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_code_78(tmp_path: Path, text: str, says: list[str]) -> None:
    done = run(tmp_path, text + ("\n" if "[" in text else f"\n[control]\nsocket = '{tmp_path}/c.sock'\n"))
    assert done.returncode == 78, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    for word in says:
        assert word in line


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(tmp_path / "none.toml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 78
    assert "none.toml" in done.stderr


@pytest.mark.parametrize(
    ("credential", "mode", "says"),
    [("missing", 0o600, "no key file"), ("key", 0o644, "chmod 600"), ("empty", 0o600, "empty")],
)
def test_a_key_that_cannot_be_used_is_fault_3_with_what_to_do(
    tmp_path: Path, twin: SyncTwin, credential: str, mode: int, says: str
) -> None:
    for name, content in (("key", "test-key"), ("empty", "")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)

    async def story() -> None:
        async with Device(tmp_path, twin, live={"credential": f"file:{tmp_path / credential}"}) as device:
            await device.press()
            status = await device.until(state="fault")
            assert status["fault"]["code"] == 3
            assert says in status["fault"]["text"]
            assert status["light"] == "fault-3"

    asyncio.run(story())


def test_a_refused_key_is_fault_3_and_a_right_one_heals_it(tmp_path: Path, twin: SyncTwin) -> None:
    async def story() -> None:
        async with Device(tmp_path, twin, microphone=coded_noise(10.0, seed=31)) as device:
            (tmp_path / "key").write_text("not-the-key")
            await device.press()
            status = await device.until(state="fault")
            assert status["fault"]["code"] == 3
            await device.release()
            (tmp_path / "key").write_text(KEY)
            await device.hold(0.6)
            await device.until(state="speaking")
            assert (await device.status())["fault"] is None

    asyncio.run(story())


def test_an_absent_microphone_is_fault_4_and_typing_still_works(tmp_path: Path, twin: SyncTwin) -> None:
    twin.answer(Say(sound=bytes(24_000)))

    async def story() -> None:
        async with Device(tmp_path, twin, audio={"input": "alsa:no_such_card"}) as device:
            status = await device.until(state="fault")
            assert status["fault"]["code"] == 4
            assert "no_such_card" in status["fault"]["text"]
            await device.press()
            assert (await device.status())["turn_open"] is False
            await device.release()
            await device.ask("ask", text="hello")
            await device.until(state="speaking")
            await device.until(state="fault")

    asyncio.run(story())


def test_an_unknown_device_string_says_which_exist(tmp_path: Path, twin: SyncTwin) -> None:
    async def story() -> None:
        async with Device(tmp_path, twin, audio={"input": "bluetooth:headset"}) as device:
            status = await device.until(state="fault")
            for known in ("pyaudio", "alsa", "wav"):
                assert known in status["fault"]["text"]

    asyncio.run(story())


def test_a_broken_wav_is_fault_4_with_the_file_named(tmp_path: Path, twin: SyncTwin) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF\0\0\0\0not a wave at all")

    async def story() -> None:
        async with Device(tmp_path, twin, audio={"input": f"wav:{tmp_path}/broken.wav"}) as device:
            status = await device.until(state="fault")
            assert status["fault"]["code"] == 4
            assert "broken.wav" in status["fault"]["text"]

    asyncio.run(story())


def test_an_absent_loudspeaker_is_fault_5_and_the_conversation_goes_on(tmp_path: Path, twin: SyncTwin) -> None:
    async def story() -> None:
        async with Device(
            tmp_path, twin, microphone=coded_noise(8.0, seed=32), audio={"output": "wav:/no/such/folder/out.wav"}
        ) as device:
            status = await device.until(lambda status: status["fault"] is not None)
            assert status["fault"]["code"] == 5
            await device.hold(0.6)
            await device.until(state="speaking")
            await device.until(state="idle")

    asyncio.run(story())


def test_an_absent_camera_is_fault_6_and_the_question_is_answered_without_it(tmp_path: Path, twin: SyncTwin) -> None:
    async def story() -> None:
        async with Device(
            tmp_path, twin, microphone=coded_noise(8.0, seed=33), camera={"source": "v4l2:/dev/video97"}
        ) as device:
            await device.hold(0.6)
            await device.until(state="speaking")
            status = await device.status()
            assert status["fault"]["code"] == 6
            assert "/dev/video97" in status["fault"]["text"]

    asyncio.run(story())


def test_a_model_that_refuses_the_setup_is_fault_9(tmp_path: Path, twin: SyncTwin) -> None:
    async def story() -> None:
        async with Device(tmp_path, twin, live={"model": "gemini-9-nonsense"}) as device:
            await device.press()
            status = await device.until(state="fault")
            assert status["fault"]["code"] == 9

    asyncio.run(story())


def test_no_network_is_said_and_the_device_waits_for_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with Device(tmp_path, None) as device:
            await device.hold(0.4)
            status = await device.until(lambda status: status["fault"] is not None)
            assert status["fault"]["code"] == 1
            assert status["state"] == "connecting"
            await device.ask("end")
            await device.until(state="offline")

    asyncio.run(story())


def child(folder: Path, twin: SyncTwin, *, socket: Path) -> subprocess.Popen[str]:
    """The daemon as a process of its own, on silence."""
    key = folder / "key"
    key.write_text("test-key")
    key.chmod(0o600)
    config = folder / "config.toml"
    config.write_text(
        f"[live]\nurl = '{twin.url}'\ncredential = 'file:{key}'\n"
        "[audio]\ninput = 'silence:'\noutput = 'null:'\n[panel]\npins = 'none'\n"
        f"[control]\nsocket = '{socket}'\n"
    )
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "XDG_STATE_HOME": str(folder / "state")}
    )
    end = time.monotonic() + 15
    while time.monotonic() < end:
        if socket.exists() and call(socket, {"do": "status"})["state"] != "starting":
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"the daemon did not come up: {process.communicate()[1]}")


def test_sigterm_ends_it_in_mid_conversation_with_exit_code_0_and_no_secret_was_logged(
    tmp_path: Path, twin: SyncTwin
) -> None:
    socket = tmp_path / "c.sock"
    process = child(tmp_path, twin, socket=socket)
    call(socket, {"do": "ask", "text": "tell me a story"})
    twin.wait_for(lambda t: t.sessions and t.sessions[0].texts)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=10)
    assert process.returncode == 0, log
    assert time.monotonic() - begin < 5
    assert not socket.exists()
    assert "test-key" not in log
    assert "tell me a story" not in log


def test_sighup_reloads_and_says_what_waits(tmp_path: Path, twin: SyncTwin) -> None:
    socket = tmp_path / "c.sock"
    process = child(tmp_path, twin, socket=socket)
    config = tmp_path / "config.toml"
    config.write_text(config.read_text() + "[conversation]\nmax_turn_s = 30\n[captions]\nshow = false\n")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    config.write_text("mode = 'nonsense'\n")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert call(socket, {"do": "status"})["ok"], "a bad reload must not end the device"
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=10)
    assert "conversation.max_turn_s = 30.0 takes effect now" in log
    assert "captions.show = False takes effect at the next connection" in log
    assert "not reloaded" in log


def test_a_sentence_of_the_owners_is_the_one_that_is_said(tmp_path: Path, twin: SyncTwin) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "it.toml").write_text('muted = "Il mio microfono è spento."\n')

    async def story() -> None:
        async with Device(
            tmp_path, twin, conversation={"prompts": "it", "prompts_folder": str(folder)}, panel={"pins": "none"}
        ) as device:
            await device.ask("mute")
            await device.press()
            prompt = await device.event("prompt", name="muted")
            assert prompt["text"] == "Il mio microfono è spento."

    asyncio.run(story())


def test_cue_sounds_may_be_the_owners_and_a_mistake_in_them_is_a_sentence(tmp_path: Path) -> None:
    sounds = tmp_path / "cues.toml"
    sounds.write_text("[listen]\ntones = 3\n")
    done = run(tmp_path, f"[audio]\ncue_sounds = '{sounds}'\n")
    assert done.returncode == 78, done.stderr
    assert "cues.toml" in done.stderr
    assert "listen" in done.stderr

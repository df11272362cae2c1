"""A device's life where scenarios do not reach: heartbeats, hanging libraries, start-up, reload, a full card."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent import Agent, pulse
from edge_agent.agent import agent as module
from edge_agent.agent.board import Board
from edge_agent.audio.calibration import Calibration
from edge_agent.conversation import events as ev
from edge_agent.errors import EXIT_FAILED, EXIT_OK, DeviceError, Fault, Stop
from edge_agent.prompting.account import Account
from edge_agent.service.client import call
from edge_agent.service.state import StateFile

Build = Callable[..., Agent]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  the agent under test does not tell
            await asyncio.sleep(0.01)


async def running(agent: Agent) -> asyncio.Task[int]:
    task = asyncio.create_task(agent.run())
    await until(lambda: task.done() or agent._watching)
    return task


class Systemd:
    """The service manager's end of the notice socket."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

    def heard(self) -> list[str]:
        notices = []
        while True:
            try:
                notices.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return notices

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    one = Systemd(tmp_path / "notify", monkeypatch)
    yield one
    one.close()


def test_systemd_hears_ready_alive_and_stopping(
    build: Build, systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.01)

    async def story() -> list[str]:
        agent = build()
        run = await running(agent)
        notices = systemd.heard()

        def alive() -> bool:
            notices.extend(systemd.heard())
            return "WATCHDOG=1" in notices

        await until(alive)
        agent.stop()
        assert await run == EXIT_OK
        return notices + systemd.heard()

    notices = asyncio.run(story())
    assert notices.index("READY=1\nSTATUS=kiosk: idle") < notices.index("WATCHDOG=1")
    assert any(notice.startswith("STOPPING=1") for notice in notices)


@pytest.mark.parametrize("fault", [Fault.MICROPHONE, Fault.LOUDSPEAKER])
def test_a_stream_without_a_sign_of_life_is_a_fault_and_the_watchdog_is_not_told(
    build: Build, systemd: Systemd, left: list[int], fault: Fault
) -> None:
    async def story() -> None:
        agent = build()
        run = await running(agent)
        systemd.heard()
        sound: Any = agent.sound
        sound.input_age, sound.output_age = (3.0, 0.0) if fault is Fault.MICROPHONE else (0.0, 3.0)
        agent._check()
        agent._check()
        status = agent.status()
        assert status["fault"]["code"] == fault
        assert "no sign of life" in status["fault"]["text"]
        assert not [notice for notice in systemd.heard() if "WATCHDOG" in notice]
        sound.input_age = sound.output_age = 0.1
        agent._check()
        assert agent.status()["fault"] is None, "it moves again: the device must not stay deaf"
        assert "WATCHDOG=1" in systemd.heard()
        assert not left
        agent.stop()
        await run

    asyncio.run(story())


def test_what_the_sound_thread_says_of_a_device_outlives_its_heartbeat(build: Build) -> None:
    """The silence that stands in for a lost microphone has a heartbeat too."""

    async def story() -> None:
        agent = build()
        run = await running(agent)
        sound: Any = agent.sound
        sound.input_age = 3.0
        agent._check()
        agent.talk.tell(ev.FaultRaised(Fault.MICROPHONE, "The microphone was unplugged."))
        sound.input_age = 0.0
        agent._check()
        assert agent.status()["fault"]["text"] == "The microphone was unplugged."
        agent.stop()
        await run

    asyncio.run(story())


def test_a_sound_library_that_hangs_for_long_makes_the_process_leave(
    build: Build, systemd: Systemd, left: list[int]
) -> None:
    async def story() -> None:
        agent = build()
        run = await running(agent)
        systemd.heard()
        sound: Any = agent.sound
        sound.input_age = pulse.HUNG_S + 0.1
        agent._check()
        assert left == [EXIT_FAILED]
        assert not [notice for notice in systemd.heard() if "WATCHDOG" in notice]
        agent.stop()
        await run

    asyncio.run(story())


def test_a_sound_library_that_hangs_does_not_hold_up_the_end(build: Build, left: list[int]) -> None:
    async def story() -> None:
        agent = build()
        run = await running(agent)
        sound: Any = agent.sound
        sound.stops = False
        agent.stop()
        assert await run == EXIT_OK

    asyncio.run(story())
    assert left == [EXIT_OK]


def test_a_name_server_that_does_not_answer_does_not_hold_up_the_end(
    build: Build, left: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "END_S", 0.3)
    answer = threading.Event()
    asked = threading.Event()

    def look_up(*_: object, **__: object) -> list[Any]:
        asked.set()
        answer.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0o600)

    async def story() -> None:
        agent = build(live={"url": "wss://live.example", "credential": f"file:{tmp_path}/key"})
        run = await running(agent)
        agent.talk.tell(ev.TextAsked("hello"))
        await until(asked.is_set)
        begin = time.monotonic()
        agent.stop()
        assert await run == EXIT_OK
        assert left == [EXIT_OK], "the thread is still there: asyncio and the interpreter would wait for it"
        assert time.monotonic() - begin < 5.0
        answer.set()
        await until(lambda: not agent._helpers.working)

    asyncio.run(story())


def test_sigterm_while_the_microphone_is_still_being_opened_ends_at_once(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        agent = build()
        monkeypatch.setattr("edge_agent.agent.agent.Sound.capture_s", 0.0)
        monkeypatch.setattr(module, "START_S", 1000.0)
        run = asyncio.create_task(agent.run())
        await until(lambda: agent.sound is not None)
        agent.stop()
        async with asyncio.timeout(5):
            assert await run == EXIT_OK

    asyncio.run(story())


@pytest.mark.parametrize("button", ["button", "hook"])
def test_a_finger_that_was_there_before_the_device_is_heard_when_it_is_ready(
    build: Build, monkeypatch: pytest.MonkeyPatch, button: str
) -> None:
    async def slow_microphone(agent: Agent) -> None:
        agent.panel.drive_button(True)
        await asyncio.sleep(0.1)
        assert agent.status()["state"] == "starting"

    monkeypatch.setattr(Agent, "_first_block", slow_microphone)

    async def story() -> None:
        agent = build(panel={"button": button})
        run = await running(agent)
        await until(lambda: agent.talk.machine.turns == 1)
        agent.stop()
        await run

    asyncio.run(story())


def test_what_is_asked_while_the_device_starts_is_refused_not_lost(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def slow_microphone(_agent: Agent) -> None:
        answer = await asyncio.to_thread(call, tmp_path / "c.sock", {"do": "ask", "text": "hello"})
        assert not answer["ok"]
        assert "still starting" in answer["error"]

    monkeypatch.setattr(Agent, "_first_block", slow_microphone)

    async def story() -> None:
        agent = build()
        run = await running(agent)
        agent.stop()
        await run

    asyncio.run(story())


def test_a_state_folder_that_cannot_be_written_is_fault_12_and_the_device_goes_on(build: Build, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")

    async def story() -> None:
        agent = build()
        run = await running(agent)
        agent.loudness.set(30, by="ctl")
        await until(lambda: agent.status()["fault"] is not None)
        status = agent.status()
        assert status["fault"]["code"] == Fault.STORAGE
        assert status["state"] == "idle", "the device can talk"
        assert status["volume"] == 30
        (tmp_path / "state").unlink()
        agent.loudness.set(31, by="ctl")
        await until(lambda: agent.status()["fault"] is None)
        agent.stop()
        await run

    asyncio.run(story())


def test_sighup_takes_what_takes_effect_now_and_says_what_waits(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "config.toml"

    async def story() -> None:
        agent = build(config_path=path)
        run = await running(agent)
        path.write_text("[conversation]\nmax_turn_s = 7.0\n[live]\nvoice = 'Kore'\n[panel]\nbutton_gpio = 5\n")
        with caplog.at_level(logging.INFO):
            signal.raise_signal(signal.SIGHUP)
            await until(lambda: agent.talk.machine.rules.max_turn_s == 7.0)
        assert "conversation.max_turn_s = 7.0 takes effect now" in caplog.text
        assert "live.voice = 'Kore' takes effect at the next connection" in caplog.text
        assert "panel.button_gpio = 5 takes effect at the next restart" in caplog.text
        path.write_text("mode = 'kiosc'\n")
        signal.raise_signal(signal.SIGHUP)
        await until(lambda: "not reloaded" in caplog.text)
        assert agent.talk.machine.rules.max_turn_s == 7.0
        agent.stop()
        await run

    asyncio.run(story())


def test_sighup_without_a_file_is_no_error(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        agent = build()
        with caplog.at_level(logging.INFO):
            agent._reload()
        assert "did not come from a file" in caplog.text
        await agent.talk.close()

    asyncio.run(story())


def test_without_a_panel_the_device_still_talks(build: Build) -> None:
    async def story() -> None:
        agent = build(panel={"pins": "none"})
        run = await running(agent)
        await agent.commands.do({"do": "press"})
        assert agent.talk.machine.turns == 1
        await agent.commands.do({"do": "release"})
        agent.stop()
        await run

    asyncio.run(story())


def test_a_tool_that_refuses_to_be_ended_does_not_hold_up_the_end(
    build: Build, left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TALK_S", 0.1)

    async def story() -> None:
        agent = build()
        run = await running(agent)
        over = asyncio.Event()

        async def stubborn() -> None:
            while not over.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await over.wait()

        tool = asyncio.create_task(stubborn())
        agent.talk.link.calls.runner._calls["call"] = tool
        await asyncio.sleep(0)
        agent.stop()
        assert await run == EXIT_OK
        assert left == [EXIT_OK]
        over.set()
        await tool

    asyncio.run(story())


def test_the_mute_switch_beats_the_control_socket_and_the_reload(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        agent = build(panel={"mute_gpio": 24})
        run = await running(agent)
        assert (agent.status()["state"], agent.status()["muted_by"]) == ("muted", "switch")
        answer = await asyncio.to_thread(call, tmp_path / "c.sock", {"do": "unmute"})
        assert not answer["ok"]
        assert "switched off at the device" in answer["error"]
        wire = agent.board.switch_wire
        assert wire is not None
        wire.drive(True)
        await until(lambda: not agent.status()["muted"])
        assert agent.status()["state"] == "idle"
        await agent.commands.do({"do": "mute"})
        assert agent.status()["muted_by"] == "ctl"
        wire.drive(False)
        await until(lambda: agent.status()["muted_by"] == "switch")
        wire.drive(True)
        await until(lambda: agent.status()["muted_by"] == "ctl")
        await agent.commands.do({"do": "unmute"})
        assert not agent.status()["muted"]
        agent.stop()
        await run

    asyncio.run(story())


def test_whoever_talks_to_a_switched_off_microphone_hears_of_the_switch(build: Build) -> None:
    async def story() -> None:
        agent = build(panel={"mute_gpio": 24})
        run = await running(agent)
        said: list[str] = []
        agent.talk._voice.prompt = said.append  # type: ignore[method-assign, assignment]
        await agent.commands.do({"do": "tap"})
        assert said == ["muted_by_switch"]
        agent.stop()
        await run

    asyncio.run(story())


def test_a_press_first_stops_an_alarm_and_only_then_undoes_a_mute(build: Build) -> None:
    async def story() -> None:
        agent = build(mode="speaker")
        run = await running(agent)
        agent.silence.mute("model")
        agent.talk.tell(ev.AlarmRings("tea"))
        await agent.commands.do({"do": "tap"})
        assert (agent.talk.machine.ringing, agent.status()["muted_by"]) == (False, "model")
        await agent.commands.do({"do": "tap"})
        assert not agent.status()["muted"]
        agent.stop()
        await run

    asyncio.run(story())


def test_a_button_that_was_down_before_the_start_undoes_nothing(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jammed while the power came back: nobody has asked to be heard."""
    opened = Board.open

    def jammed(board: Board) -> None:
        opened(board)
        board.panel.drive_button(True)

    monkeypatch.setattr(Board, "open", jammed)

    async def story() -> None:
        agent = build(mode="speaker")
        agent.silence.mute("model")
        run = await running(agent)
        await until(lambda: agent.button.down)
        assert agent.status()["muted_by"] == "model"
        await agent.commands.do({"do": "release"})
        await agent.commands.do({"do": "press"})
        assert not agent.status()["muted"], "pressed by somebody"
        agent.stop()
        await run

    asyncio.run(story())


def test_a_device_whose_button_does_not_work_is_not_muted_by_the_model(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise DeviceError("no GPIO chip")

    monkeypatch.setattr("edge_agent.agent.board.open_panel", broken)

    async def story() -> None:
        agent = build(mode="speaker", panel={"mute_gpio": 24})
        run = await running(agent)
        with pytest.raises(Stop, match="nobody here could undo it"):
            agent._mute_by_model()
        status = agent.status()
        assert (status["muted_by"], status["fault"]["code"]) == ("fault", Fault.MUTE_SWITCH)
        assert "no GPIO chip" in status["why"]
        agent.stop()
        await run

    asyncio.run(story())


def test_what_is_used_beside_the_daemon_is_told_to_it(build: Build, tmp_path: Path) -> None:
    async def story() -> None:
        agent = build(budget={"hard_per_day": 1.0})
        run = await running(agent)
        account = Account(agent.config)
        await asyncio.to_thread(account.read)
        assert account.refusal() == ""
        account.used.day.add({("out", "audio"): 1000}, 1.5)
        assert account.refusal()
        assert await asyncio.to_thread(account.book) == ""
        assert agent.status()["fault"]["code"] == Fault.LIMIT, "the cap holds for talk as well"
        await asyncio.to_thread(account.read)
        assert account.refusal(), "it is there already"
        agent.stop()
        await run
        kept = json.loads((tmp_path / "state" / "edge-agent" / "state.json").read_text())["budget"]
        assert kept["day"]["tokens"] == {"out audio": 1000}

    asyncio.run(story())


def test_the_volume_has_a_cap_for_everybody(build: Build) -> None:
    async def story() -> None:
        agent = build(audio={"volume_max": 50}, panel={"volume_knob": "rotary"})
        run = await running(agent)
        answer = await agent.commands.do({"do": "volume", "volume": 90})
        assert answer["volume"] == 50
        assert "audio.volume_max" in answer["note"]
        assert "loudest" in agent.set_volume(60)
        assert agent.set_volume(40) == ""
        knob: Any = agent.board.knob
        knob.encoder.drive(9)
        await until(lambda: agent.status()["volume"] == 50)
        assert await agent.commands.do({"do": "volume", "volume": 20}) == {"volume": 20}
        agent.stop()
        await run

    asyncio.run(story())


def test_what_was_measured_is_in_force_from_the_start_and_after_a_reload(
    build: Build, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    measured = Calibration(
        at="2026-11-22T08:00:00Z",
        input="silence:",
        output="null:",
        delay_ms=42.0,
        echo_gain_db=-30.0,
        tail_ms=180.0,
        noise_dbfs=-70.0,
        mic_gain_db=17.0,
        mic_channel="right",
        volume_max=70,
        echo="half-duplex",
    )
    state = StateFile()
    state.put("calibration", measured.to_section())
    assert state.flush() is None
    path = tmp_path / "c.toml"
    path.write_text(
        'mode = "speaker"\n[live]\nurl = "ws://127.0.0.1:9"\n[audio]\ninput = "silence:"\noutput = "null:"\n'
    )

    async def story() -> None:
        agent = build(config_path=path, mode="speaker")
        run = await running(agent)
        for _ in range(2):
            assert agent.config.audio.mic_gain_db == 17.0
            assert agent.status()["echo"] == "half-duplex"
            assert agent.loudness.set(100, by="ctl").volume == 70
            caplog.clear()
            agent._reload()
        assert "mic_gain_db" not in caplog.text, "nothing changed"
        agent.stop()
        await run

    asyncio.run(story())


def test_what_was_measured_elsewhere_is_not_in_force(build: Build) -> None:
    state = StateFile()
    state.put("calibration", {"at": "x", "input": "alsa:other"})
    assert state.flush() is None

    async def story() -> None:
        agent = build(mode="speaker")
        assert agent.config.audio.mic_gain_db == 24.0
        assert agent.status()["echo"] == "software"
        await agent.talk.close()

    asyncio.run(story())

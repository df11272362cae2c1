"""From fingers on mock pins to mute, volume and turns of a small device."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config as settings
from edge_agent.agent.board import Board
from edge_agent.agent.loudness import STEP, Loudness
from edge_agent.agent.memory import Memory
from edge_agent.agent.silence import Silence
from edge_agent.conversation import events as ev
from edge_agent.conversation.machine import Machine
from edge_agent.conversation.rules import Rules
from edge_agent.errors import DeviceError, Fault, Stop
from edge_agent.panel.pins import GpioPanel
from edge_agent.service.state import StateFile


class Device:
    """As much of the agent as the board works on: conversation, engine commands, memory."""

    queue_ms = prompt_ms = 0.0

    def __init__(self, folder: Path, **panel: Any) -> None:
        self.config = settings.parse({"panel": {"pins": "mock", **panel}}, source="test")
        self.loop = asyncio.get_running_loop()
        self.memory = Memory(StateFile(folder), faults=dict, tell=lambda _event: None)
        self.machine = Machine(Rules(), muted=self.memory.state.muted)
        self.engine_muted: list[bool] = []
        self.sound = -1
        self.levels: list[bool] = []
        self.silence = Silence(
            self.memory,
            set_mute=self.engine_muted.append,
            tell=lambda muted: self._tell(ev.Muted(0) if muted else ev.Unmuted(0)),
        )
        self.loudness = Loudness(lambda: self.config, self.memory, engine=self)
        self.board = Board(
            self.config.panel,
            silence=self.silence,
            tell=self._tell,
            on_level=lambda down, _t: self.levels.append(down),
            on_step=self.loudness.step,
            loop=self.loop,
        )
        self.board.open()
        self._tell(ev.Ready())

    def _tell(self, event: ev.Event) -> None:
        self.machine.handle(event, self.loop.time())

    def cue(self, name: str) -> None:
        assert name == "volume"

    def set_volume(self, volume: int) -> None:
        self.sound = volume

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  contacts settle in real time
                await asyncio.sleep(0.005)


def _run(folder: Path, story: Callable[[Device], Awaitable[None]], **panel: Any) -> None:
    async def main() -> None:
        device = Device(folder, **panel)
        try:
            await story(device)
        finally:
            device.board.close()
            device.board.close()
            await device.memory.close()

    asyncio.run(main())


def test_a_device_whose_switch_is_off_starts_deaf(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert device.engine_muted == [True]
        assert device.machine.shown_state == "muted", "as it became ready, not a moment later"
        with pytest.raises(Stop, match="switched off at the device"):
            device.silence.unmute("ctl")
        wire = device.board.switch_wire
        assert wire is not None
        wire.drive(True)
        await device.until(lambda: not device.machine.muted)
        assert device.engine_muted[-1] is False
        wire.drive(False)
        assert device.engine_muted[-1] is True
        await device.until(lambda: device.machine.muted)
        assert device.silence.muted_by == "switch"

    _run(tmp_path, story, mute_gpio=24)


def test_a_remote_mute_outlives_the_switch(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert not device.silence.muted, "closed means mute here, and it is open"
        wire = device.board.switch_wire
        assert wire is not None
        device.silence.mute("ctl")
        wire.drive(True)
        await device.until(lambda: device.silence.muted_by == "switch")
        wire.drive(False)
        await device.until(lambda: device.silence.muted_by == "ctl")
        assert device.machine.muted
        assert device.engine_muted[-1] is True
        device.silence.unmute("ctl")
        assert device.engine_muted[-1] is False

    _run(tmp_path, story, mute_gpio=24, mute_closed="muted")


def test_an_edge_of_the_switch_that_was_lost_is_found_within_a_second(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        wire: Any = device.board.switch_wire
        wire.drive(True)
        await device.until(lambda: not device.silence.muted)
        wire._contact.when_deactivated = lambda: None
        wire.drive(False)
        assert not device.silence.muted
        device.board.second()
        assert device.silence.muted_by == "switch"

    _run(tmp_path, story, mute_gpio=24)


def test_a_switch_that_cannot_be_read_for_a_while_is_a_fault_for_that_while(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        wire: Any = device.board.switch_wire
        assert device.board.pressable
        wire.drive(True)
        await device.until(lambda: not device.silence.muted)
        read = wire.down
        wire.down = _unreadable
        device.board.second()
        await device.until(lambda: device.silence.muted_by == "fault")
        assert device.machine.fault is Fault.MUTE_SWITCH
        with pytest.raises(Stop, match="cannot be read"):
            device.silence.unmute("ctl")
        wire.down = read
        device.board.second()
        await device.until(lambda: not device.silence.muted)
        assert not device.machine.faults

    _run(tmp_path, story, mute_gpio=24)


def _unreadable() -> bool:
    raise DeviceError("GPIO24 is gone.")


def test_the_knob_turns_the_volume(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        knob: Any = device.board.knob
        knob.encoder.drive(5)
        await device.until(lambda: device.sound == 60 + 5 * STEP)
        knob.encoder.drive(-8)
        await device.until(lambda: device.sound == 60 - 3 * STEP)

    _run(tmp_path, story, volume_knob="rotary")


def test_buttons_turn_the_volume(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        knob: Any = device.board.knob
        for step, volume in ((1, 60 + STEP), (-1, 60), (-1, 60 - STEP)):
            knob.wires[step].drive(True)
            await device.until(functools.partial(lambda volume: device.sound == volume, volume))
            knob.wires[step].drive(False)
            await asyncio.sleep(0.02)

    _run(tmp_path, story, volume_knob="buttons", volume_gpio=[13, 26])


def test_all_hang_on_one_panel_and_do_not_disturb_each_other(tmp_path: Path) -> None:
    async def story(device: Device) -> None:
        assert isinstance(device.board.panel, GpioPanel)
        device.board.panel.drive_button(True)
        assert device.levels == [True]
        assert device.sound == 60
        assert device.silence.muted_by == "switch"

    _run(tmp_path, story, mute_gpio=24, volume_knob="rotary")


def test_without_pins_the_device_talks_but_a_switch_that_cannot_be_read_mutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise DeviceError("no GPIO chip")

    monkeypatch.setattr("edge_agent.agent.board.open_panel", broken)

    async def without(device: Device) -> None:
        assert not device.silence.muted
        assert device.board.knob is None

    _run(tmp_path / "a", without, volume_knob="buttons")
    assert "no button and no light: no GPIO chip" in caplog.text
    assert "no volume knob" in caplog.text

    async def with_switch(device: Device) -> None:
        assert device.silence.muted_by == "fault", "nobody has touched the switch"
        assert device.machine.muted
        told = device.machine.faults[Fault.MUTE_SWITCH]
        assert told == "The mute switch cannot be read, so the microphone stays off: no GPIO chip."
        assert not device.board.pressable
        device.board.second()
        with pytest.raises(Stop):
            device.silence.unmute("ctl")

    _run(tmp_path / "b", with_switch, mute_gpio=24)
    assert "the microphone stays off, its switch cannot be read" in caplog.text

"""The volume knob on mock pins, with the fingers in virtual time."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from virtual.loop import run

from edge_agent.errors import DeviceError
from edge_agent.panel import wires
from edge_agent.panel.knob import HOLD_S, REPEAT_S, Buttons, Knob, Rotary, open_knob
from edge_agent.panel.pins import NullPanel, Panel, open_panel
from edge_agent.panel.wires import OnLevel, Wire


@pytest.fixture(autouse=True)
def _pins_on_the_loops_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device both are the machine's monotonic clock."""
    clock = types.SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(wires, "time", clock)


def _run(kind: Literal["rotary", "buttons"], story: Callable[[Any, list[int]], Awaitable[None]]) -> list[int]:
    steps: list[int] = []

    async def main() -> None:
        panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)
        knob = _open(kind, panel, steps)
        await story(knob, steps)
        knob.close()
        panel.close()

    run(main())
    return steps


def _open(kind: Literal["rotary", "buttons"], panel: Panel, steps: list[int]) -> Knob:
    loop = asyncio.get_running_loop()
    return open_knob(kind, panel, [5, 6], debounce_ms=5, on_step=steps.append, loop=loop)


def test_every_detent_is_a_step_on_the_loop() -> None:
    async def story(knob: Rotary, steps: list[int]) -> None:
        knob.encoder.drive(3)
        assert steps == [], "the pin library's thread only hands over"
        await asyncio.sleep(0)
        assert steps == [1, 1, 1]
        knob.encoder.drive(-2)
        await asyncio.sleep(0)

    assert _run("rotary", story) == [1, 1, 1, -1, -1]


def test_a_short_press_is_one_step_however_it_bounces() -> None:
    async def story(knob: Buttons, _steps: list[int]) -> None:
        for step in (1, -1):
            for down in (True, False, True):
                knob.wires[step].drive(down)
            await asyncio.sleep(0.2)
            knob.wires[step].drive(False)
            await asyncio.sleep(2)

    assert _run("buttons", story) == [1, -1]


def test_a_held_button_repeats_until_it_is_let_go() -> None:
    async def story(knob: Buttons, steps: list[int]) -> None:
        knob.wires[-1].drive(True)
        await asyncio.sleep(HOLD_S + 3.5 * REPEAT_S)
        assert steps == [-1] * 5
        knob.wires[-1].drive(False)
        await asyncio.sleep(5)

    assert _run("buttons", story) == [-1] * 5


def test_of_two_held_buttons_the_last_one_counts() -> None:
    async def story(knob: Buttons, steps: list[int]) -> None:
        knob.wires[1].drive(True)
        await asyncio.sleep(0.1)
        knob.wires[-1].drive(True)
        await asyncio.sleep(HOLD_S + 1.5 * REPEAT_S)
        assert steps == [1, -1, -1, -1]
        knob.wires[1].drive(False)
        await asyncio.sleep(2 * REPEAT_S)
        assert steps == [1, -1, -1, -1, -1, -1], "the other one's release does not stop it"
        knob.wires[-1].drive(False)
        count = len(steps)
        await asyncio.sleep(5)
        assert len(steps) == count

    _run("buttons", story)


class LeanedOn(NullPanel):
    """A panel whose contacts are closed already."""

    def wire(self, gpio: int, what: str, on_level: OnLevel) -> Wire:  # noqa: ARG002  a name nobody asks for here
        return Contact(on_level)


class Contact:
    def __init__(self, on_level: OnLevel) -> None:
        self.closed = True
        self.on_level = on_level

    def down(self) -> bool:
        return self.closed

    def drive(self, down: bool) -> None:
        self.closed = down
        self.on_level(down, asyncio.get_running_loop().time())


def test_what_leans_against_a_button_does_not_turn_the_device_up() -> None:
    steps: list[int] = []

    async def story() -> None:
        knob: Any = _open("buttons", LeanedOn(), steps)
        await asyncio.sleep(10)
        assert steps == []
        knob.wires[1].drive(False)
        await asyncio.sleep(1)
        knob.wires[1].drive(True)
        await asyncio.sleep(0.1)
        assert steps == [1]
        knob.close()

    run(story())


@pytest.mark.parametrize("kind", ["rotary", "buttons"])
def test_nothing_comes_after_close(kind: Literal["rotary", "buttons"]) -> None:
    async def story(knob: Any, steps: list[int]) -> None:
        if kind == "rotary":
            knob.encoder.drive(1)
        else:
            knob.wires[1].drive(True)
            await asyncio.sleep(0.1)
            steps.clear()
        knob.close()
        if kind == "rotary":
            knob.encoder.drive(1)
        await asyncio.sleep(5)

    assert _run(kind, story) == []


def test_a_turn_after_the_loop_is_gone_is_nobodys() -> None:
    kept: list[Any] = []

    async def story() -> None:
        panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)
        kept.append((_open("rotary", panel, []), panel))

    run(story())
    knob, panel = kept[0]
    knob.encoder.drive(1)
    panel.close()


@pytest.mark.parametrize(("kind", "name"), [("rotary", "the volume knob's pins"), ("buttons", "the button for louder")])
def test_a_knob_without_pins_is_named(kind: Literal["rotary", "buttons"], name: str) -> None:
    async def story() -> None:
        with pytest.raises(DeviceError, match=name):
            _open(kind, NullPanel(), [])

    run(story())

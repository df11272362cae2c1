"""Further wires on the panel's pins, through the real gpiozero: contacts and encoders."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import DeviceError
from edge_agent.panel.pins import GpioPanel, NullPanel, Panel, open_panel
from edge_agent.panel.wires import GpioEncoder


def _panel() -> Panel:
    return open_panel("mock", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)


def test_a_wire_reports_its_own_level_and_nothing_of_the_button() -> None:
    panel = _panel()
    seen: list[bool] = []
    wire = panel.wire(24, "the mute switch's pin", lambda down, _t: seen.append(down))
    assert not wire.down(), "an open contact: the pull-up holds it"
    panel.drive_button(True)
    wire.drive(True)
    assert (wire.down(), panel.down(), seen) == (True, True, [True])
    wire.drive(False)
    assert (wire.down(), panel.down(), seen) == (False, True, [True, False])
    panel.close()
    with pytest.raises(DeviceError, match="The mute switch's pin"):
        wire.down()


@given(st.lists(st.integers(-5, 5), max_size=12))
def test_each_detent_is_told_once_with_its_direction(turns: list[int]) -> None:
    panel = _panel()
    seen: list[int] = []
    knob = panel.encoder(5, 6, "the knob's pin", seen.append)
    for turn in turns:
        knob.drive(turn)
    assert sum(seen) == sum(turns)
    assert len(seen) == sum(map(abs, turns))
    panel.close()


def test_bounces_and_half_turns_of_an_encoder_count_for_nothing() -> None:
    factory = MockFactory(pin_class=MockPWMPin)
    seen: list[int] = []
    encoder = GpioEncoder(factory, 5, 6, "the knob's pin", seen.append)
    a, b = factory.pin(5), factory.pin(6)
    for _ in range(10):  # a finger that trembles on the edge of a detent
        a.drive_low()
        a.drive_high()
    a.drive_low()
    b.drive_low()
    b.drive_high()
    a.drive_high()
    assert seen == [], "gone half way and back"
    encoder.drive(1)
    assert seen == [1]
    encoder.close()
    encoder.close()
    factory.close()


def test_an_error_in_a_listener_never_reaches_the_pin_library(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("loop is closed")

    panel = _panel()
    panel.wire(24, "the mute switch's pin", broken).drive(True)
    panel.encoder(5, 6, "the knob's pin", broken).drive(2)
    assert caplog.text.count("could not be handed over") == 3
    panel.close()


def test_a_pin_that_is_taken_or_not_there_is_named() -> None:
    panel = _panel()
    with pytest.raises(DeviceError, match=r"GPIO17, the mute switch's pin"):
        panel.wire(17, "the mute switch's pin", lambda _down, _t: None)
    with pytest.raises(DeviceError, match=r"GPIO53, the mute switch's pin, is not on this board"):
        panel.wire(53, "the mute switch's pin", lambda _down, _t: None)
    with pytest.raises(DeviceError, match=r"GPIO5 or GPIO27, the knob's pin"):
        panel.encoder(5, 27, "the knob's pin", lambda _turn: None)
    panel.encoder(5, 6, "the knob's pin", lambda _turn: None).drive(1)
    panel.close()


def test_real_pins_cannot_be_moved_by_software() -> None:
    panel: Any = GpioPanel(MockFactory(pin_class=MockPWMPin), 17, [27], lambda _down, _t: None)
    wire = panel.wire(24, "the mute switch's pin", lambda _down, _t: None)
    wire._contact._pin, pin = object(), wire._contact._pin
    with pytest.raises(DeviceError, match=r"The mute switch's pin is a real one; only panel\.pins"):
        wire.drive(True)
    wire._contact._pin = pin
    panel.close()


def test_without_a_panel_no_wire_can_be_had() -> None:
    panel = NullPanel()
    with pytest.raises(DeviceError, match="GPIO24, the mute switch's pin, cannot be read"):
        panel.wire(24, "the mute switch's pin", lambda _down, _t: None)
    with pytest.raises(DeviceError, match="GPIO5 and GPIO6, the knob's pins, cannot be read"):
        panel.encoder(5, 6, "the knob's pins", lambda _turn: None)


def test_wires_leave_no_thread_behind() -> None:
    before = threading.active_count()
    panel = _panel()
    panel.wire(24, "the mute switch's pin", lambda _down, _t: None).drive(True)
    panel.encoder(5, 6, "the knob's pins", lambda _turn: None).drive(1)
    panel.close()
    assert threading.active_count() == before

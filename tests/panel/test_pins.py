"""Button and light through the real gpiozero on mock pins, and the sentences for pins that cannot be had."""

import os
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from edge_agent.errors import DeviceError
from edge_agent.panel import pins
from edge_agent.panel.pins import GpioPanel, Panel, open_panel


def _panel(seen: list[tuple[bool, float]], rgb: list[int] | None = None) -> Panel:
    return open_panel(
        "mock",
        button_gpio=17,
        led_gpio=27,
        led_rgb_gpio=rgb or [],
        on_level=lambda down, t: seen.append((down, t)),
    )


def test_each_raw_level_change_is_reported_with_its_time_and_not_debounced() -> None:
    seen: list[tuple[bool, float]] = []
    panel = _panel(seen)
    before = time.monotonic()
    for down in (True, False, True, True, False):
        panel.drive_button(down)
        assert panel.down() is down
    after = time.monotonic()
    assert [down for down, _ in seen] == [True, False, True, False]
    assert all(before <= t <= after for _, t in seen)
    panel.close()


def test_a_single_light_takes_the_brightest_of_the_three() -> None:
    panel = _panel([])
    panel.show((0.2, 0.75, 0.0))
    assert panel.lit() == (0.75, 0.75, 0.75)
    panel.show((0.0, 0.0, 0.0))
    assert panel.lit() == (0.0, 0.0, 0.0)
    panel.close()


def test_an_rgb_light_takes_each_colour_on_its_pin() -> None:
    panel = _panel([], rgb=[27, 22, 23])
    panel.show((1.0, 0.25, 0.5))
    assert panel.lit() == (1.0, 0.25, 0.5)
    panel.close()


def test_pins_without_pwm_are_on_or_off() -> None:
    panel = GpioPanel(MockFactory(pin_class=MockPin), 17, [27], lambda _down, _t: None)
    assert not panel.dimmable
    panel.show((0.4, 0.0, 0.0))
    assert panel.lit() == (0.0, 0.0, 0.0)
    panel.show((0.6, 0.0, 0.0))
    assert panel.lit() == (1.0, 1.0, 1.0)
    panel.close()


def test_a_mock_light_that_blinks_for_days_remembers_no_more_than_some_steps() -> None:
    panel: Any = _panel([])
    for step in range(5000):
        panel.show(((step % 2) * 1.0, 0.0, 0.0))
    assert len(panel._leds[0].pin.states) <= 1001
    assert panel.lit() == (1.0, 1.0, 1.0)
    panel.close()


def test_closing_darkens_the_light_frees_the_pins_and_silences_the_button() -> None:
    seen: list[tuple[bool, float]] = []
    factory = MockFactory(pin_class=gpiozero.pins.mock.MockPWMPin)
    panel = GpioPanel(factory, 17, [27], lambda down, t: seen.append((down, t)))
    panel.show((1.0, 1.0, 1.0))
    light = factory.pin(27)
    panel.close()
    panel.close()
    assert light.state == 0
    assert seen == []


def test_a_panel_leaves_no_thread_and_no_global_factory_behind() -> None:
    before, factory = threading.active_count(), gpiozero.Device.pin_factory
    panel = _panel([], rgb=[27, 22, 23])
    panel.drive_button(True)
    panel.close()
    assert threading.active_count() == before
    assert gpiozero.Device.pin_factory is factory


def test_two_panels_on_mock_pins_do_not_see_each_other() -> None:
    a_seen: list[tuple[bool, float]] = []
    b_seen: list[tuple[bool, float]] = []
    a, b = _panel(a_seen), _panel(b_seen)
    a.drive_button(True)
    assert a_seen
    assert not b_seen
    a.close()
    b.close()


def test_an_error_in_the_listener_never_reaches_the_pin_library(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_down: bool, _t: float) -> None:
        raise RuntimeError("loop is closed")

    panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=broken)
    panel.drive_button(True)
    panel.drive_button(False)
    assert caplog.text.count("could not be handed over") == 2
    panel.close()


def test_no_panel_is_a_panel_too() -> None:
    panel = open_panel("none", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)
    panel.show((0.1, 0.2, 0.3))
    assert panel.lit() == (0.1, 0.2, 0.3)
    assert not panel.down()
    with pytest.raises(DeviceError, match="none"):
        panel.drive_button(True)
    panel.close()


def test_one_pin_for_two_things_is_named() -> None:
    with pytest.raises(DeviceError, match="GPIO17 is given twice"):
        open_panel("mock", button_gpio=17, led_gpio=17, on_level=lambda _down, _t: None)
    with pytest.raises(DeviceError, match="GPIO22 is given twice"):
        open_panel("mock", button_gpio=17, led_gpio=27, led_rgb_gpio=[27, 22, 22], on_level=lambda _down, _t: None)


def test_a_pin_that_the_board_does_not_have_is_named() -> None:
    with pytest.raises(DeviceError, match=r"GPIO53.*not on this board"):
        open_panel("mock", button_gpio=53, led_gpio=27, on_level=lambda _down, _t: None)


def test_a_busy_pin_is_named() -> None:
    class Busy(MockPin):  # type: ignore[misc]
        def _set_function(self, value: str) -> None:
            if value == "output":
                raise RuntimeError("'GPIO busy'")
            super()._set_function(value)

    with pytest.raises(DeviceError, match=r"GPIO27.*in use by another program"):
        GpioPanel(MockFactory(pin_class=Busy), 17, [27], lambda _down, _t: None)


def test_a_real_pin_cannot_be_pressed_by_software() -> None:
    panel: Any = GpioPanel(MockFactory(pin_class=gpiozero.pins.mock.MockPWMPin), 17, [27], lambda _down, _t: None)
    contact = panel._button._contact
    panel._button._contact = types.SimpleNamespace(pin=object())
    with pytest.raises(DeviceError, match=r"The button's pin is a real one; only panel\.pins"):
        panel.drive_button(True)
    panel._button._contact = contact
    panel.close()


def _lgpio() -> Panel:
    return open_panel("lgpio", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)


def test_a_machine_without_a_gpio_chip_is_told_about_mock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "_DEV", tmp_path)
    with pytest.raises(DeviceError, match=r'no GPIO chip.*"mock" or "none"'):
        _lgpio()


def test_a_user_without_permission_is_told_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpiochip0").touch()
    monkeypatch.setattr(pins, "_DEV", tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(DeviceError, match="group gpio"):
        _lgpio()


def test_an_lgpio_that_is_missing_or_empty_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpiochip0").touch()
    monkeypatch.setattr(pins, "_DEV", tmp_path)
    monkeypatch.setenv("LG_WD", str(tmp_path))
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with pytest.raises(DeviceError, match="apt install python3-lgpio"):
        _lgpio()
    monkeypatch.setitem(sys.modules, "lgpio", types.ModuleType("lgpio"))
    with pytest.raises(DeviceError, match="empty stub"):
        _lgpio()


def test_lgpio_does_not_move_the_process_and_uses_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "packages"
    package.mkdir()
    # What the real one does at import, as far as it concerns the process.
    (package / "lgpio.py").write_text("import os\nos.chdir(os.environ['LG_WD'])\n")
    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("LG_WD", "restored afterwards")
    monkeypatch.delenv("LG_WD")
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{runtime}:/elsewhere")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.delitem(sys.modules, "lgpio", raising=False)
    here = Path.cwd()
    with pytest.raises(DeviceError, match="empty stub"):
        pins._import_lgpio()
    assert Path.cwd() == here
    assert os.environ["LG_WD"] == str(runtime)
    sys.modules.pop("lgpio")


def test_a_machine_that_is_no_pi_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpiochip0").touch()
    monkeypatch.setattr(pins, "_DEV", tmp_path)
    monkeypatch.setattr(pins, "_import_lgpio", lambda: None)

    def factory() -> Any:
        raise gpiozero.PinUnknownPi("unable to locate Pi revision")

    module = types.ModuleType("gpiozero.pins.lgpio")
    module.LGPIOFactory = factory  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gpiozero.pins.lgpio", module)
    with pytest.raises(DeviceError, match="not a Raspberry Pi"):
        _lgpio()

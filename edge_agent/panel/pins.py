"""The pins of the panel: gpiozero on a Pi, the same gpiozero on mock pins, or no panel at all.

    panel = open_panel("lgpio", button_gpio=17, led_gpio=27, led_rgb_gpio=[], on_level=on_level)
    panel.show((1.0, 0.0, 0.0))     # a single light takes the brightest of the three
    panel.down()                    # the button's raw level now, read from the pin
    switch = panel.wire(24, "the mute switch's pin", on_switch)     # one more contact, see `wires`
    panel.close()                   # and all that hangs on it

In: colours. Out: `on_level(down, t)` for each raw level change, t on `time.monotonic()`, called in a thread of the pin
library; it must only hand over (`loop.call_soon_threadsafe`) and whatever it raises is logged, never passed on. Nothing
is debounced here.

`pins="mock"` builds a mock factory of its own (other gpiozero users in the process are not touched); `drive_button`
then pulls the pin electrically, and `lit` reads the light back from the pins, so tests and demo go through gpiozero
like a press on a Pi. Refused with a `DeviceError`: no GPIO chip, no permission, no lgpio, a pin that is taken, a pin
given twice.

Wiring: button between its pin and ground (internal pull-up), light from its pin through a resistor to ground.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from edge_agent.errors import DeviceError
from edge_agent.panel.patterns import ON, Color
from edge_agent.panel.wires import Encoder, GpioEncoder, GpioWire, OnLevel, OnTurn, Wire, failures

MOCK_STATES = 1000  # a mock pin remembers every step of the light, for ever; a day has a million of them

_DEV = Path("/dev")


class Panel(Protocol):
    """Button and light as the rest of the program sees them."""

    dimmable: bool
    """False: the light is only on or off."""

    def show(self, color: Color) -> None:
        """Set the light; raises DeviceError when the pins fail."""

    def lit(self) -> Color:
        """Return what the light shows, read back from the pins (a single light: three equal numbers)."""

    def down(self) -> bool:
        """Return the button's raw level now; raises DeviceError when the pins fail."""

    def drive_button(self, down: bool) -> None:
        """Pull the button's pin, where it is a mock; raises DeviceError elsewhere."""

    def wire(self, gpio: int, what: str, on_level: OnLevel) -> Wire:
        """Open one more contact to ground; `what` names it in sentences. Raises DeviceError."""

    def encoder(self, a: int, b: int, what: str, on_turn: OnTurn) -> Encoder:
        """Open a rotary encoder on two pins; `what` names it in sentences. Raises DeviceError."""

    def close(self) -> None:
        """Darken the light and give the pins back; may be called again."""


def open_panel(
    pins: Literal["lgpio", "mock", "none"],
    *,
    button_gpio: int,
    led_gpio: int,
    led_rgb_gpio: Sequence[int] = (),
    on_level: OnLevel,
) -> Panel:
    """Open button and light.

    Args:
        pins: which pin library.
        button_gpio: BCM number of the button's pin.
        led_gpio: BCM number of a single light; unused where `led_rgb_gpio` is given.
        led_rgb_gpio: BCM numbers of red, green, blue; empty for a single light.
        on_level: told each raw level change, see the module's manual.

    Raises:
        DeviceError: a sentence that says what is wrong with the pins and what to do.
    """
    if pins == "none":
        return NullPanel()
    lights = list(led_rgb_gpio) or [led_gpio]
    used = [button_gpio, *lights]
    for gpio in used:
        if used.count(gpio) > 1:
            raise DeviceError(
                f"GPIO{gpio} is given twice; button and lights need a pin each (panel.button_gpio, led_gpio)"
            )
    factory = _mock_factory() if pins == "mock" else _lgpio_factory()
    try:
        return GpioPanel(factory, button_gpio, lights, on_level)
    except BaseException:
        factory.close()
        raise


class NullPanel:
    """No panel: the light goes nowhere, the button is never down."""

    dimmable = True

    def __init__(self) -> None:
        self._color: Color = (0.0, 0.0, 0.0)

    def show(self, color: Color) -> None:
        """Remember the colour, so that `lit` can be read."""
        self._color = color

    def lit(self) -> Color:
        """Return the colour last shown."""
        return self._color

    def down(self) -> bool:
        """Return False."""
        return False

    def drive_button(self, down: bool) -> None:
        """Refuse: there is no button."""
        raise DeviceError(f'No button to {"press" if down else "release"}: panel.pins is "none"; "mock" gives one')

    def wire(self, gpio: int, what: str, on_level: OnLevel) -> Wire:  # noqa: ARG002  nothing will ever call it
        """Refuse: there are no pins."""
        raise DeviceError(f"GPIO{gpio}, {what}, cannot be read: there is no panel")

    def encoder(self, a: int, b: int, what: str, on_turn: OnTurn) -> Encoder:  # noqa: ARG002  nor this
        """Refuse: there are no pins."""
        raise DeviceError(f"GPIO{a} and GPIO{b}, {what}, cannot be read: there is no panel")

    def close(self) -> None:
        """Do nothing."""


class GpioPanel:
    """Button and light on gpiozero pins of one factory, which the panel owns and closes."""

    def __init__(self, factory: Any, button_gpio: int, lights: list[int], on_level: OnLevel) -> None:
        import gpiozero  # noqa: PLC0415  only a device with a panel pays for it

        self._factory = factory
        self._leds: list[Any] = []
        self._wires: list[GpioWire | GpioEncoder] = []
        self._closed = False
        self.dimmable = True
        try:
            for gpio in lights:
                with failures(f"GPIO{gpio}, the light's pin"):
                    self._leds.append(self._light(gpiozero, gpio))
            self._button = self.wire(button_gpio, "the button's pin", on_level)
        except BaseException:
            self._release()
            raise

    def show(self, color: Color) -> None:
        """Set the light; raises DeviceError when the pins fail."""
        values = color if len(self._leds) == 3 else (max(color),)
        with failures("The light's pin"):
            for led, value in zip(self._leds, values, strict=True):
                led.value = value if self.dimmable else value >= ON
                if len(getattr(led.pin, "states", ())) > MOCK_STATES:
                    led.pin.clear_states()

    def lit(self) -> Color:
        """Return what the pins carry, red, green, blue; a single light gives three equal numbers."""
        with failures("The light's pin"):
            values = [float(led.pin.state) for led in self._leds]
        return (values[0], values[1], values[2]) if len(values) == 3 else (values[0], values[0], values[0])

    def down(self) -> bool:
        """Return the button's raw level now; raises DeviceError when the pins fail."""
        return self._button.down()

    def drive_button(self, down: bool) -> None:
        """Pull a mock pin to ground (pressed) or let its pull-up lift it (released)."""
        self._button.drive(down)

    def wire(self, gpio: int, what: str, on_level: OnLevel) -> GpioWire:
        """Open one more contact to ground, which is closed with the panel."""
        wire = GpioWire(self._factory, gpio, what, on_level)
        self._wires.append(wire)
        return wire

    def encoder(self, a: int, b: int, what: str, on_turn: OnTurn) -> GpioEncoder:
        """Open a rotary encoder, which is closed with the panel."""
        encoder = GpioEncoder(self._factory, a, b, what, on_turn)
        self._wires.append(encoder)
        return encoder

    def close(self) -> None:
        """Darken the light and give the pins back; may be called again."""
        if not self._closed:
            self._closed = True
            for led in self._leds:
                led.off()
        self._release()
        self._factory.close()

    def _light(self, gpiozero: Any, gpio: int) -> Any:
        try:
            return gpiozero.PWMLED(gpio, pin_factory=self._factory)
        except gpiozero.PinPWMUnsupported:
            self.dimmable = False
            return gpiozero.LED(gpio, pin_factory=self._factory)

    def _release(self) -> None:
        while self._wires:
            self._wires.pop().close()
        while self._leds:
            self._leds.pop().close()


def _mock_factory() -> Any:
    from gpiozero.pins.mock import MockFactory, MockPWMPin  # noqa: PLC0415

    return MockFactory(pin_class=MockPWMPin)


def _lgpio_factory() -> Any:
    """Open the GPIO chip through lgpio, the one pin library that works on every Pi from Zero 2 W to 5."""
    chips = sorted(_DEV.glob("gpiochip*"))
    if not chips:
        raise DeviceError(
            'This machine has no GPIO chip (/dev/gpiochip*). Off a Raspberry Pi set panel.pins to "mock" or "none"'
        )
    if not any(os.access(chip, os.R_OK | os.W_OK) for chip in chips):
        raise DeviceError(f"No permission for {chips[0]}: add this user to the group gpio (usermod -aG gpio USER)")
    _import_lgpio()
    from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415

    try:
        return LGPIOFactory()
    except Exception as error:  # lgpio's error is a bare Exception of its own
        if type(error).__name__ == "PinUnknownPi":
            raise DeviceError(
                'This machine is not a Raspberry Pi that gpiozero knows; set panel.pins to "mock" or "none"'
            ) from error
        raise DeviceError(f"The GPIO chip could not be opened: {error}") from error


def _import_lgpio() -> None:
    """Import lgpio with its FIFO in a folder that can be written, leaving the working directory as it was.

    At import lgpio makes a FIFO in the folder that LG_WD names and moves the whole process there.
    """
    here = Path.cwd()
    if not os.environ.get("LG_WD"):
        runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        os.environ["LG_WD"] = runtime or tempfile.mkdtemp(prefix="edge-agent-gpio-")
    try:
        import lgpio  # noqa: PLC0415
    except ImportError as error:
        raise DeviceError(f"The pin library lgpio is missing ({error}): apt install python3-lgpio") from error
    except Exception as error:
        folder = os.environ["LG_WD"]
        raise DeviceError(f"The pin library lgpio does not start in {folder} (LG_WD): {error}") from error
    finally:
        os.chdir(here)
    if not hasattr(lgpio, "gpiochip_open"):
        raise DeviceError(
            "The installed lgpio is an empty stub, which pip brings where it has no build: "
            "apt install python3-lgpio, in a venv that sees system packages"
        )

"""Single wires of the panel: contacts to ground, and rotary encoders, through gpiozero on the pins of one factory.

    wire = GpioWire(factory, 24, "the mute switch's pin", on_level)
    wire.down()                     # the raw level now, read from the pin: True while the contact is closed
    wire.drive(True)                # mock pins only: close the contact
    encoder = GpioEncoder(factory, 5, 6, "the knob's pin", on_turn)
    encoder.drive(-3)               # mock pins only: three detents anticlockwise

Out: `on_level(down, t)` for each raw level change, t on `time.monotonic()`, and `on_turn(+1 or -1)` for each detent,
both called in a thread of the pin library. They must only hand over; whatever they raise is logged, never passed on.
Contacts are not debounced here. An encoder's bounces cancel out: a detent counts once both phases have gone round.

Refused with a `DeviceError` that names the pin: it is not on the board, in use, or fails.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from edge_agent.errors import DeviceError

log = logging.getLogger(__name__)

OnLevel = Callable[[bool, float], None]
OnTurn = Callable[[int], None]

_ROUND = ((True, False), (True, True), (False, True), (False, False))
"""Levels of the phases A and B through one clockwise detent, True: closed to ground."""


class Wire(Protocol):
    """A contact between a pin and ground, as the rest of the program sees it."""

    def down(self) -> bool:
        """Return the raw level now, True while it is closed; raises DeviceError when the pin fails."""

    def drive(self, down: bool) -> None:
        """Close or open it, where it hangs on a mock pin; raises DeviceError elsewhere."""


class Encoder(Protocol):
    """A rotary encoder, as the rest of the program sees it."""

    def drive(self, detents: int) -> None:
        """Turn it, clockwise where positive, where it hangs on mock pins; raises DeviceError elsewhere."""


class GpioWire:
    """One contact with the pin's own pull-up."""

    def __init__(self, factory: Any, gpio: int, what: str, on_level: OnLevel) -> None:
        import gpiozero  # noqa: PLC0415  only a device with a panel pays for it

        self._what = what
        self._on_level = on_level
        with failures(f"GPIO{gpio}, {what}"):
            # gpiozero's Button adds a thread for holds; what they mean is decided and timed elsewhere.
            self._contact = gpiozero.DigitalInputDevice(gpio, pull_up=True, bounce_time=None, pin_factory=factory)
            self._contact.when_activated = self._closed
            self._contact.when_deactivated = self._opened

    def down(self) -> bool:
        """Return the raw level now; raises DeviceError when the pin fails."""
        with failures(_begin(self._what)):
            return bool(self._contact.value)

    def drive(self, down: bool) -> None:
        """Pull a mock pin to ground or let its pull-up lift it."""
        _pull(self._contact.pin, down, self._what)

    def close(self) -> None:
        """Give the pin back; may be called again."""
        if not self._contact.closed:
            self._contact.when_activated = None
            self._contact.when_deactivated = None
            self._contact.close()

    def _closed(self) -> None:
        self._report(True)

    def _opened(self) -> None:
        self._report(False)

    def _report(self, down: bool) -> None:
        try:
            self._on_level(down, time.monotonic())
        except Exception:  # the library's thread would die of it and the contact with it
            log.exception("the level of %s could not be handed over", self._what)


class GpioEncoder:
    """A rotary encoder on two pins with their own pull-ups, its common leg to ground."""

    def __init__(self, factory: Any, a: int, b: int, what: str, on_turn: OnTurn) -> None:
        import gpiozero  # noqa: PLC0415  only a device with a panel pays for it

        self._what = what
        self._on_turn = on_turn
        with failures(f"GPIO{a} or GPIO{b}, {what}"):
            self._encoder = gpiozero.RotaryEncoder(a, b, max_steps=0, pin_factory=factory)
            self._encoder.when_rotated_clockwise = self._clockwise
            self._encoder.when_rotated_counter_clockwise = self._anticlockwise

    def drive(self, detents: int) -> None:
        """Turn mock pins through whole detents."""
        phases = (self._encoder.a.pin, self._encoder.b.pin)
        for _ in range(abs(detents)):
            for levels in _ROUND:
                for pin, down in zip(phases, levels if detents > 0 else reversed(levels), strict=True):
                    _pull(pin, down, self._what)

    def close(self) -> None:
        """Give the pins back; may be called again."""
        if not self._encoder.closed:
            self._encoder.when_rotated_clockwise = None
            self._encoder.when_rotated_counter_clockwise = None
            self._encoder.close()

    def _clockwise(self) -> None:
        self._report(1)

    def _anticlockwise(self) -> None:
        self._report(-1)

    def _report(self, detents: int) -> None:
        try:
            self._on_turn(detents)
        except Exception:  # the library's thread would die of it and the knob with it
            log.exception("a turn of %s could not be handed over", self._what)


@contextlib.contextmanager
def failures(pin: str) -> Iterator[None]:
    """Turn whatever the pin library raises into a DeviceError with a sentence about `pin`."""
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:
        text = str(error)
        if "busy" in text.lower():
            what = f"{pin}, is in use by another program or by an overlay; `gpioinfo` names the user"
            raise DeviceError(f"{what}. Stop it, or choose another pin in [panel]") from error
        if "not a valid pin" in text or type(error).__name__ == "PinInvalidPin":
            raise DeviceError(f"{pin}, is not on this board's header; choose another pin in [panel]") from error
        raise DeviceError(f"{pin}, failed: {text or type(error).__name__}") from error


def _pull(pin: Any, down: bool, what: str) -> None:
    drive = getattr(pin, "drive_low" if down else "drive_high", None)
    if drive is None:
        raise DeviceError(f'{_begin(what)} is a real one; only panel.pins = "mock" can be moved by software')
    drive()


def _begin(what: str) -> str:
    return what[0].upper() + what[1:]

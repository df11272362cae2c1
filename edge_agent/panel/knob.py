"""The volume knob: a rotary encoder, or two buttons, for louder and quieter.

    knob = open_knob("rotary", panel, [5, 6], debounce_ms=5, on_step=on_step, loop=loop)
    knob.close()                    # before the panel

`on_step(+1)` and `on_step(-1)` are called on the loop, in the order of the fingers: an encoder's once for each detent,
a button's once as it goes down and then, while it is held, as fast as a knob is turned without haste. Of two buttons
held together the one pressed last counts. A button that is down before it was watched (a thing leans against it) counts
from its next press on.

Wiring: an encoder's phases A and B each on a pin, its common leg on ground; clockwise is A before B, so that a knob
which goes the wrong way needs its two pins exchanged. Buttons each between a pin and ground, the first one is louder.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from edge_agent.errors import DeviceError
from edge_agent.panel.button import Button
from edge_agent.panel.contact import Edge
from edge_agent.panel.pins import Panel
from edge_agent.panel.wires import Encoder, Wire

HOLD_S = 0.5  # a press for one step is over by then
REPEAT_S = 0.15  # between two steps of a held button: from silent to full in under four seconds, and easily stopped


class Knob(Protocol):
    """What sets the volume by hand."""

    def close(self) -> None:
        """Stop; no step comes after this."""


def open_knob(
    kind: Literal["rotary", "buttons"],
    panel: Panel,
    gpio: Sequence[int],
    *,
    debounce_ms: float,
    on_step: Callable[[int], object],
    loop: asyncio.AbstractEventLoop,
) -> Knob:
    """Open a knob on the panel's pins.

    Args:
        kind: A rotary encoder, or two buttons.
        panel: Whose pins it hangs on.
        gpio: BCM numbers: the phases A and B, or the buttons louder and quieter.
        debounce_ms: How long a button's level must stand to count; an encoder needs none.
        on_step: Told each step on the loop, +1 louder and -1 quieter.
        loop: Where.

    Raises:
        DeviceError: a pin cannot be had; the sentence names it.
    """
    first, second = gpio
    if kind == "rotary":
        return Rotary(panel, first, second, on_step=on_step, loop=loop)
    return Buttons(panel, first, second, debounce_ms=debounce_ms, on_step=on_step, loop=loop)


class Rotary:
    """A rotary encoder."""

    def __init__(
        self, panel: Panel, a: int, b: int, *, on_step: Callable[[int], object], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._on_step = on_step
        self._loop = loop
        self._closed = False
        self.encoder: Encoder = panel.encoder(a, b, "the volume knob's pins", self._turned)

    def close(self) -> None:
        """Stop; no step comes after this."""
        self._closed = True

    def _turned(self, step: int) -> None:
        """Hand a detent over, from the pin library's thread."""
        if self._closed:
            return
        try:
            self._loop.call_soon_threadsafe(self._step, step)
        except RuntimeError:
            # The loop closed between the check and the call: the program ends, nobody waits for this step.
            self._closed = True

    def _step(self, step: int) -> None:
        if not self._closed:
            self._on_step(step)


class Buttons:
    """Two buttons that repeat while they are held."""

    def __init__(
        self,
        panel: Panel,
        louder: int,
        quieter: int,
        *,
        debounce_ms: float,
        on_step: Callable[[int], object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._on_step = on_step
        self._loop = loop
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._leaned_on: set[int] = set()
        self._buttons: dict[int, Button] = {}
        self.wires: dict[int, Wire] = {}
        """The contacts by their step, +1 and -1."""
        for step, gpio, name in ((1, louder, "louder"), (-1, quieter, "quieter")):
            edge = functools.partial(self._edge, step)
            button = self._buttons[step] = Button(debounce_ms=debounce_ms, on_edge=edge, loop=loop)
            try:
                wire = self.wires[step] = panel.wire(gpio, f"the pin of the button for {name}", button.level)
                if wire.down():
                    self._leaned_on.add(step)
                button.watch(wire)
            except DeviceError:
                self.close()
                raise

    def close(self) -> None:
        """Stop; no step comes after this."""
        self._stop()
        for button in self._buttons.values():
            button.close()

    def _edge(self, step: int, edge: Edge) -> None:
        if not edge.down:
            self._leaned_on.discard(step)
            if self._held == step:
                self._stop()
        elif step not in self._leaned_on:
            self._stop()
            self._held = step
            self._repeat(HOLD_S)

    def _repeat(self, again_s: float = REPEAT_S) -> None:
        self._timer = self._loop.call_later(again_s, self._repeat)
        self._on_step(self._held)

    def _stop(self) -> None:
        self._held = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""A button's watcher: raw levels from the pin library's thread in, debounced edges on the event loop out.

    button = Button(debounce_ms=20, on_edge=on_edge, loop=loop)
    panel = open_panel(..., on_level=button.level)
    button.watch(panel)
    ...
    button.close()

`level` may be called from any thread and only hands over. `on_edge(Edge)` is called on the loop; its `t` is the moment
from which the level stood (`time.monotonic()`, the clock asyncio's own loop runs on). When an undecided level falls
due, and twice a second while the button is down, the pin is read again: an edge that the library swallowed is not lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from edge_agent.errors import DeviceError
from edge_agent.panel.contact import Contact, Edge

log = logging.getLogger(__name__)

REREAD_S = 0.5  # a lost release ends the turn this late at worst; two wake-ups a second while held cost nothing


class Readable(Protocol):
    """What a button hangs on: the panel for its own, a wire for any other."""

    def down(self) -> bool:
        """Return the raw level now; raises DeviceError when the pin fails."""


class Button:
    """Debounces one button on a loop; `on_edge` hears each edge once."""

    def __init__(self, *, debounce_ms: float, on_edge: Callable[[Edge], None], loop: asyncio.AbstractEventLoop) -> None:
        self._contact = Contact(debounce_ms=debounce_ms)
        self._on_edge = on_edge
        self._loop = loop
        self._pin: Readable | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def down(self) -> bool:
        """The debounced level."""
        return self._contact.down

    def watch(self, pin: Readable) -> None:
        """Start with the pin's present level (a handset may be lifted already) and read it back from now on."""
        self._pin = pin
        self._take(pin.down(), self._loop.time())

    def set_debounce(self, debounce_ms: float) -> None:
        """Change the debounce time (a reload)."""
        self._contact.debounce_ms = debounce_ms
        self._arm()

    def level(self, down: bool, t: float) -> None:
        """Take a raw level seen at `t`; from any thread."""
        if self._closed:
            return
        try:
            self._loop.call_soon_threadsafe(self._take, down, t)
        except RuntimeError:
            # The loop closed between the check and the call: the program ends, nobody waits for this edge.
            self._closed = True

    def close(self) -> None:
        """Stop; no edge comes after this."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _take(self, down: bool, t: float) -> None:
        if self._closed:
            return
        self._settle(self._contact.level(down, t))

    def _settle(self, edge: Edge | None) -> None:
        self._arm()
        if edge is not None:
            self._on_edge(edge)

    def _due(self) -> None:
        seen = None
        if self._pin is not None:
            try:
                seen = self._pin.down()
            except DeviceError as error:
                log.warning("the button could not be read back, its last report counts: %s", error)
        self._settle(self._contact.check(self._loop.time(), seen))

    def _arm(self) -> None:
        deadline = self._contact.deadline
        if deadline is None and self._contact.down and self._pin is not None:
            deadline = self._loop.time() + REREAD_S
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._due)

"""The mute switch: a contact that stops the microphone the moment it moves, whatever the program is doing.

    switch = MuteSwitch(silence, closed="live", loop=loop)
    switch.watch(panel.wire(24, "the mute switch's pin", switch.level))   # reads it before it returns
    switch.check()                                                        # once a second
    switch.close()

In: raw levels, from the pin library's thread. Out: calls of a `Shutter`, which the daemon implements. `cut()` is called
in that thread, at the first level that says mute, undebounced: the event loop may be busy, a microphone that a person
has just switched off must not wait for it. `restore(...)` is called on the loop, once the contact has said live for
`STEADY_S` without a break.

Promises: a level that says mute always wins over a `restore` under way, because each `cut` has a number and a `restore`
names the newest one it knows. An edge that the library swallowed is found by `check`. A pin that cannot be read says
mute: a switch in doubt is off, and `on_failure` is told why.

Wiring: between its pin and ground, internal pull-up. With `closed="live"` a wire that breaks or comes off says mute;
with `closed="muted"` it says live, so that is for a switch that can only be wired so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, Protocol

from edge_agent.errors import DeviceError
from edge_agent.panel.button import Readable

log = logging.getLogger(__name__)

STEADY_S = 0.05
"""A contact that is being moved bounces for 5 to 20 ms; twice that, and nobody feels the wait."""


class Shutter(Protocol):
    """What the switch works on."""

    @property
    def cuts(self) -> int:
        """How often `cut` was called."""

    def cut(self) -> None:
        """Shut the microphone at once; called in any thread."""

    def restore(self, cuts: int) -> None:
        """Take that back, unless there were more than `cuts` calls of `cut`; called on the loop."""


class MuteSwitch:
    """One mute switch.

    Args:
        shutter: What it works on.
        closed: What a closed contact says.
        loop: Where it is taken back; `watch`, `check` and `close` belong to its thread.
        on_failure: Told on the loop, before the cut, why it cannot be read; "" once it can be again.
    """

    def __init__(
        self,
        shutter: Shutter,
        *,
        closed: Literal["live", "muted"],
        loop: asyncio.AbstractEventLoop,
        on_failure: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._shutter = shutter
        self._on_failure = on_failure
        self._mutes_when = closed == "muted"
        self._loop = loop
        self._pin: Readable | None = None
        self._muted = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._failure = ""

    def watch(self, pin: Readable) -> None:
        """Start with what the switch says now, and read it back from now on."""
        self._pin = pin
        self.check()

    def level(self, down: bool, _t: float) -> None:
        """Take a raw level; from any thread."""
        if self._closed:
            return
        mutes = down is self._mutes_when
        if mutes:
            self._shutter.cut()
        try:
            self._loop.call_soon_threadsafe(self._take, mutes)
        except RuntimeError:
            # The loop closed between the check and the call: the program ends, and it is the safe way round.
            self._closed = True

    def check(self) -> None:
        """Read the switch, in case a report was lost."""
        if self._closed or self._pin is None:
            return
        mutes = self._mutes()
        if mutes and not self._muted:
            self._shutter.cut()
        if mutes or self._timer is None:
            self._take(mutes)

    def close(self) -> None:
        """Stop; nothing is cut or restored after this."""
        self._closed = True
        self._stop_timer()

    def _take(self, mutes: bool) -> None:
        if self._closed:
            return
        self._stop_timer()
        if mutes:
            self._muted = True
        elif self._muted:
            self._timer = self._loop.call_later(STEADY_S, self._steady, self._shutter.cuts)

    def _steady(self, cuts: int) -> None:
        """Take the mute back if nothing cut again since the contact opened, and the pin still says so."""
        self._timer = None
        if not self._mutes():
            self._muted = False
            self._shutter.restore(cuts)

    def _mutes(self) -> bool:
        """Read what the switch says; mute, where it cannot be read."""
        if self._pin is None:
            return True
        try:
            mutes = self._pin.down() is self._mutes_when
        except DeviceError as error:
            if str(error) != self._failure:
                self._failure = str(error)
                log.warning("the mute switch cannot be read, so the microphone is off: %s", error)
                self._on_failure(self._failure)
            return True
        if self._failure:
            self._failure = ""
            self._on_failure("")
        return mutes

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

"""Who is told what goes over a connection: its listener, event by event, and a tap that sees every message whole.

    audience = Audience(protocol, on_event, tap)
    audience.sent(frame)         # the tap sees it as ("up", frame)
    audience.received(frame)     # the tap sees it as ("down", frame); then the listener is told of each event in it

What they raise must not cost the session: it goes to the loop's exception handler. A listener is told of the next event
all the same; a tap that failed is left out from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edge_agent.live.events import ServerEvent
from edge_agent.live.protocol import LiveProtocol


class Audience:
    """Listener and tap of one connection; made in the loop's thread.

    Args:
        protocol: reads what is received.
        on_event: told of every event, in order.
        tap: sees every message as `("up" or "down", message)`, before it is written or handled; None: nobody does.
    """

    def __init__(
        self,
        protocol: LiveProtocol,
        on_event: Callable[[ServerEvent], None],
        tap: Callable[[str, bytes], None] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._on_event = on_event
        self._tap = tap

    def sent(self, message: bytes) -> None:
        """Show a message that is about to be sent."""
        if self._tap is not None:
            self._show(self._tap, "up", message)

    def received(self, message: bytes | bytearray | memoryview) -> None:
        """Show a message that came, and tell what it says."""
        if self._tap is not None:
            self._show(self._tap, "down", bytes(message))
        for event in self._protocol.receive(message):
            try:
                self._on_event(event)
            except Exception as error:  # noqa: BLE001  one faulty listener must not cost the session
                self._report(f"the handler of {type(event).__name__} failed", error)

    def _show(self, tap: Callable[[str, bytes], None], direction: str, message: bytes) -> None:
        try:
            tap(direction, message)
        except Exception as error:  # noqa: BLE001  whatever a recorder raises, the talk goes on
            self._tap = None
            self._report("the tap of the connection failed and is left out", error)

    def _report(self, message: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error})

"""A connection of the twin's server: the library's, but for what a service does that the library has no word for.

    serve(..., create_connection=functools.partial(TwinConnection, rest.answer, young))
    refusal(connection, 403, "No.", page=False)     # what `process_request` returns

Pongs can be late or stay away, half a frame can be the last that is heard, and the same port takes POST requests of the
standard API, which are told from a handshake by their first bytes.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.http11 import Response

from edge_agent.simulator import handshake
from edge_agent.simulator.rest import Exchange

_POST = b"POST "
_PAGE = b"<!DOCTYPE html>\n<html><body><h1>Blocked</h1><p>Your organisation does not allow this.</p></body></html>\n"


class TwinConnection(ServerConnection):
    """A server connection whose pongs can be held back, and which leaves POST requests to the other API.

    `young` holds the connections that have not begun a handshake: the library does not end them by itself.
    """

    pong_delay: Callable[[], float | None] = staticmethod(lambda: 0.0)
    """Seconds until a ping is answered, None: never."""

    def __init__(
        self,
        answer: Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]],
        young: set[TwinConnection],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._answer = answer
        self._young = young
        self._exchange: Exchange | None = None
        self._first = b""
        self._upgrading = False
        send_frame = self.protocol.send_frame

        def later(frame: Frame) -> None:
            if self.transport is not None and not self.transport.is_closing():
                send_frame(frame)
                self.send_data()

        def send(frame: Frame) -> None:
            delay = self.pong_delay() if frame.opcode is Opcode.PONG else 0.0
            if delay is None:
                return
            if delay > 0.0:
                self.loop.call_later(delay, later, frame)
            else:
                send_frame(frame)

        self.protocol.send_frame = send  # type: ignore[method-assign]  # the library has no hook for late pongs

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is known of it yet."""
        self._young.add(self)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Look at the first bytes: a request, or a handshake."""
        if self._upgrading:
            super().data_received(data)
        elif self._exchange is not None:
            self._exchange.feed(data)
        else:
            self._first += data
            if self._first.startswith(_POST):
                self._exchange = Exchange(self.transport, self._answer)
                self._exchange.feed(self._first)
            elif not _POST.startswith(self._first):
                self._upgrading = True
                self._young.discard(self)
                super().data_received(self._first)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop answering."""
        self._young.discard(self)
        if self._exchange is not None:
            self._exchange.lost()
        super().connection_lost(exc)

    def break_off(self, size: int) -> None:
        """Write the head of a frame and half of its `size` bytes, then end the connection."""
        head = bytes([0x82, 126]) + size.to_bytes(2, "big")
        self.transport.write(head + b"{" * (size // 2))
        self.transport.close()


def refusal(connection: ServerConnection, status: int, sentence: str, *, page: bool) -> Response:
    """Return the answer to a handshake that is refused: Google's error object, or a page as of a proxy."""
    response = connection.respond(http.HTTPStatus(status), sentence)
    response.body = _PAGE if page else handshake.refusal(status, sentence)
    kind = "text/html" if page else "application/json; charset=UTF-8"
    for name, value in (("Content-Type", kind), ("Content-Length", str(len(response.body)))):
        del response.headers[name]
        response.headers[name] = value
    return response

"""One WebSocket to the Live API: websockets' sans-I/O core as an asyncio protocol, without a task of its own.

    connection = await LiveConnection.open(
        endpoint=endpoint, headers=headers(key), protocol=LiveProtocol(setup, profile),
        on_event=machine.event, on_closed=machine.closed)
    connection.send(protocol.audio(pcm))
    await connection.close()

`open` returns once the service has taken the setup, or raises one error of the tree (`causes`) within `timeout_s`, with
nothing left behind. From then on `on_event` is called in the loop's thread for every event, in order, and `on_closed`
exactly once: with None after our own `close`, else with what ended the connection. `SetupComplete` and events in the
same packet come while `open` is still awaited.

What is read is handled at once, so that an interruption never waits behind sound. What is sent goes to the kernel at
once. `writable` turns False as soon as more than one message waits, in our buffer or unsent in the kernel's, until
`on_writable` is called: what was handed over can no longer be taken back by a mute. Nothing is ever dropped here; who
ignores `writable` makes the buffers grow.

A ping goes out every `PING_INTERVAL_S`. A late pong harms nothing: the connection counts as dead only when nothing at
all has come for `dead_after_s` although pings went out. Compression is off (sound in base64 hardly shrinks, and it
costs more CPU than all the rest); messages above `MAX_MESSAGE_BYTES` end the connection.

Through a proxy TLS still goes from here to the service: the proxy sees its name and the amount of data, no more.

The key stands in the request header only. It is in no exception, log line or repr of this module, and words of the
server that contain it are scrubbed; websockets' own debug log, which would print headers and sound, is switched off
for our connections.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from edge_agent.errors import AgentError, failure
from edge_agent.live import causes, wire
from edge_agent.live.audience import Audience
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.events import ServerEvent
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.reading import MAX_MESSAGE_BYTES

OPEN_TIMEOUT_S = 10.0  # name, TCP, TLS, handshake and setupComplete together; some failures get no reply at all
PING_INTERVAL_S = 20.0  # keeps address translation in home routers alive, which forget after 30 s and more
DEAD_AFTER_S = 60.0  # the service may hold pongs back while it works, but not for a minute
CLOSE_TIMEOUT_S = 2.0  # of the five seconds in which the daemon must end
LOOK_AGAIN_S = 0.02  # the kernel does not tell when it has sent; half a message later we ask again

_log = logging.getLogger("edge_agent.live.websocket")
_log.setLevel(logging.INFO)

_DATA = (Opcode.TEXT, Opcode.BINARY)


class LiveConnection(asyncio.Protocol):
    """One open connection; make it with `open`."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        protocol: LiveProtocol,
        on_event: Callable[[ServerEvent], None],
        on_closed: Callable[[AgentError | None], None],
        dead_after_s: float = DEAD_AFTER_S,
        ping_interval_s: float = PING_INTERVAL_S,
        proxy: str = "",
        tap: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.on_writable: Callable[[], None] | None = None
        """Called when `writable` turns True again."""
        self.bytes_sent = 0
        """Bytes of WebSocket frames and handshake handed to the transport (without TLS)."""
        self.bytes_received = 0
        """Bytes that came from the transport (without TLS)."""
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._headers = headers
        self._protocol = protocol
        self._on_closed = on_closed
        self._dead_after_s = dead_after_s
        self._ping_interval_s = ping_interval_s
        self._proxy = proxy
        self._audience = Audience(protocol, on_event, tap)
        self._scrub = causes.Scrubber(headers.values())
        uri = WebSocketURI(endpoint.secure, endpoint.host, endpoint.port, endpoint.path, "")
        self._core = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES, logger=_log)
        self._core.debug = False
        self._transport: asyncio.Transport | None = None
        self._wire: asyncio.Transport | None = None
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._opened = False
        self._closing = False
        self._hurried = False
        self._cause: AgentError | None = None
        self._fragments: list[bytes | bytearray | memoryview] = []
        self._paused = False
        self._look: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def open(
        cls,
        *,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        protocol: LiveProtocol,
        on_event: Callable[[ServerEvent], None],
        on_closed: Callable[[AgentError | None], None],
        timeout_s: float = OPEN_TIMEOUT_S,
        ssl_context: ssl.SSLContext | None = None,
        dead_after_s: float = DEAD_AFTER_S,
        ping_interval_s: float = PING_INTERVAL_S,
        proxy: str = "",
        tap: Callable[[str, bytes], None] | None = None,
    ) -> LiveConnection:
        """Connect, shake hands, send the setup, and return once the service has taken it.

        Args:
            endpoint: where to.
            headers: request headers; the one with the key among them.
            protocol: a fresh session.
            on_event: told of every event, in order; what it raises is reported to the loop's exception handler.
            on_closed: told once when a connection that was opened has ended.
            timeout_s: for all of it together, in seconds.
            ssl_context: for wss; the system's trust store if None.
            dead_after_s: silence, in seconds and in spite of pings, after which the connection counts as dead.
            ping_interval_s: seconds between pings.
            proxy: URL of the proxy to go through, as `proxy.resolve` gives it; "" goes straight.
            tap: sees every message whole, as `("up" or "down", message)`, before it is written or handled; what it
                raises is reported to the loop's exception handler once, and it is not called again.

        Raises:
            NetworkError, Overloaded, Blocked, Retry: try again later, not before its `wait_s`.
            ConnectionEnded: open anew (without the resumption handle, if there was one).
            CredentialError, ProxyRefused, ServiceRefused: a person has to act.
        """
        connection = cls(
            endpoint=endpoint,
            headers=headers,
            protocol=protocol,
            on_event=on_event,
            on_closed=on_closed,
            dead_after_s=dead_after_s,
            ping_interval_s=ping_interval_s,
            proxy=proxy,
            tap=tap,
        )
        stage, taken = "timeout", False
        try:
            async with asyncio.timeout(timeout_s):
                await connection._connect(ssl_context)
                stage = "timeout-setup"
                await connection._ready
            taken = True
        except TimeoutError:
            raise failure(stage, host=endpoint.host, detail=f"{timeout_s:g}") from None
        finally:
            connection._ready.cancel()
            refused = connection._ready.cancelled() or connection._ready.exception()
            if refused or not taken:  # we may have been cancelled just after the service had taken the setup
                connection._abort()
        connection._opened = True
        if connection._gone.done():
            raise connection._cause or failure("cut-opening", host=endpoint.host)
        return connection

    def send(self, frame: bytes) -> None:
        """Write one message at once, as a text frame. After the connection has ended this does nothing."""
        if self._core.state is State.OPEN and not self._closing:
            self._send_text(frame)
            self._flush()

    @property
    def writable(self) -> bool:
        """False while more than one message waits to be sent; then hold back, `on_writable` will be called."""
        if self._paused:
            return False
        if self._wire is None or wire.unsent(self._wire) <= wire.HELD_BYTES:
            return True
        if self._look is None:
            self._look = self._loop.call_later(LOOK_AGAIN_S, self._look_again)
        return False

    @property
    def heard_at(self) -> float:
        """When the last bytes came, on the loop's clock."""
        return self._heard_at

    @property
    def is_open(self) -> bool:
        """True until the connection ends or is being closed."""
        return self._opened and not self._closing and not self._gone.done()

    async def close(self, code: int = 1000) -> None:
        """Say good-bye and wait until the connection is gone; at most 2 s, then it is cut. May be called again."""
        self._closing = True
        if self._core.state is State.OPEN:
            self._core.send_close(code)
            self._flush()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(self._gone)
        except TimeoutError:
            _log.info("The service did not answer the close frame; the connection is cut.")
        finally:
            self._abort()

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"LiveConnection({self._endpoint.host}:{self._endpoint.port}, {state})"

    # asyncio.Protocol, called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; the handshake starts when TLS stands."""
        self._transport = self._wire = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Feed the core and hand on what it found."""
        self._heard_at = self._loop.time()
        self.bytes_received += len(data)
        self._core.receive_data(data)
        for event in self._core.events_received():
            if isinstance(event, Frame):
                self._frame(event)
        if not self._protocol.setup_sent:
            self._settle_handshake()
        if self._core.writes:
            self._flush()
        if self._core.state is State.CLOSING:
            self._hurry()

    def eof_received(self) -> bool:
        """Tell the core, and let the transport close."""
        self._core.receive_eof()
        self._settle_handshake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Find out what ended the connection and tell whom it concerns."""
        self._stop_timer()
        if self._gone.done():
            return
        self._core.receive_eof()
        self._gone.set_result(None)
        error = self._cause or self._why(exc)
        self._cause = error
        if not self._ready.done():
            self._ready.set_exception(error)
        elif self._opened:
            self._on_closed(None if self._closing else error)

    def pause_writing(self) -> None:
        """Note that the line is slower than we speak."""
        self._paused = True

    def resume_writing(self) -> None:
        """Note that our own buffer is empty again."""
        self._paused = False
        self._tell_writable()

    # private

    async def _connect(self, ssl_context: ssl.SSLContext | None) -> None:
        endpoint = self._endpoint
        line = await wire.tcp(self, endpoint, proxy=self._proxy, dead_after_s=self._dead_after_s)
        if endpoint.secure:
            self._transport = await wire.tls(line, self, endpoint, ssl_context)
        request = self._core.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        self._core.send_request(request)
        self._flush()
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(self._ping_interval_s, self._tick)

    def _flush(self) -> None:
        transport = self._transport
        for data in self._core.data_to_send():
            # An empty entry asks to half-close the line; ours is closed as a whole instead.
            if data and transport is not None and not transport.is_closing():
                self.bytes_sent += len(data)
                transport.write(data)

    def _settle_handshake(self) -> None:
        """Act on the outcome of the handshake, once it is known."""
        failure = self._core.handshake_exc
        if failure is not None:
            if self._cause is None:
                self._fail(causes.handshake_error(failure, self._endpoint.host, self._scrub))
        elif self._core.state is State.OPEN and not self._protocol.setup_sent:
            self._send_text(self._protocol.setup())

    def _send_text(self, message: bytes) -> None:
        self._audience.sent(message)
        self._core.send_text(message)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode in _DATA and frame.fin:
            self._message(frame.data)
        elif frame.opcode in _DATA:
            self._fragments = [frame.data]
        elif frame.opcode is Opcode.CONT:
            self._fragments.append(frame.data)
            if frame.fin:
                whole = b"".join(self._fragments)
                self._fragments = []
                self._message(whole)

    def _message(self, data: bytes | bytearray | memoryview) -> None:
        self._audience.received(data)
        if self._protocol.ready and not self._ready.done():
            self._ready.set_result(None)

    def _why(self, exc: Exception | None) -> AgentError:
        core, host = self._core, self._endpoint.host
        if core.handshake_exc is not None:
            return causes.handshake_error(core.handshake_exc, host, self._scrub)
        if core.close_rcvd is None and core.parser_exc is not None and not isinstance(core.parser_exc, EOFError):
            return causes.broken_rules(core.parser_exc)
        if isinstance(exc, ssl.SSLError):
            return causes.tls_error(exc, host)
        code, reason = (core.close_rcvd.code, core.close_rcvd.reason) if core.close_rcvd else (1006, "")
        return causes.close_error(
            code, reason, self._scrub, ready=self._protocol.ready, resuming=self._protocol.resuming
        )

    def _fail(self, error: AgentError) -> None:
        self._cause = error
        self._abort()

    def _abort(self) -> None:
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    def _hurry(self) -> None:
        """The closing handshake has begun: the peer has a moment to finish it."""
        if not self._hurried:
            self._hurried = True
            self._stop_timer()
            self._timer = self._loop.call_later(CLOSE_TIMEOUT_S, self._abort)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _look_again(self) -> None:
        self._look = None
        self._tell_writable()

    def _tell_writable(self) -> None:
        if not self._closing and not self._gone.done() and self.writable and self.on_writable is not None:
            self.on_writable()

    def _tick(self) -> None:
        silent_s = self._loop.time() - self._heard_at
        if silent_s >= self._dead_after_s:
            self._fail(failure("silent", detail=f"{silent_s:.0f}"))
            return
        if self._core.state is State.OPEN:
            self._core.send_ping(b"")
            self._flush()
        wait_s = min(self._ping_interval_s, max(0.05, self._dead_after_s - silent_s))
        self._timer = self._loop.call_later(wait_s, self._tick)

"""One device's way to the service: opens a connection when told to, keeps the resumption handle, closes in order.

    session = Session(prepare=prepare, on_event=on_event, on_up=on_up, on_down=on_down, story=story.turns)
    session.connect(resume=False)     # returns at once; on_up or on_down will be called
    session.send(frame)
    session.disconnect()              # at once deaf; the closing handshake goes on behind
    session.forget()                  # the handle is gone: the next connection is a stranger's
    await session.close()

The old connection is closed before a new one is opened: the service refuses to resume a session that is still open.
A connection that was given up never calls back, whatever it still does. Events of a handle's kind are kept here and
also passed on.

To resume is to open with the newest handle. Where there is none, because none came, it is too old, or the service no
longer takes it, the new session is told the story so far as its history. A credential that is refused is renewed once.
Where nothing but WebSockets is blocked (`BLOCKED_MOST` times in a row), `standard` opens a connection that speaks
plain HTTPS; the live one is tried again after `BLOCKED_S`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge_agent.errors import AgentError, Blocked, ConnectionEnded, CredentialError, NetworkError, ServiceRefused
from edge_agent.live.connection import LiveConnection
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.events import Resumption, ServerEvent
from edge_agent.live.protocol import LiveProtocol

log = logging.getLogger(__name__)

HANDLE_S = 2 * 3600.0  # the service keeps what a handle stands for so long
BLOCKED_MOST = 3  # upgrades that somebody on the way answered; once may be a hiccup
BLOCKED_S = 300.0  # then the live way is tried again: five minutes of one question at a time
SOUND_S = 5.0  # a resumed session that is ended sooner will not be better the next time


@dataclass(frozen=True, slots=True)
class Order:
    """All that one connection is opened with. `headers` and `proxy` hold secrets: do not log."""

    endpoint: Endpoint
    headers: Mapping[str, str]
    protocol: LiveProtocol
    renew: Callable[[], bool] = lambda: False
    """Called when the service refuses the credential; True if a fresh one can be had for another try at once."""
    lasts_s: float = math.inf
    """How long the credential lets this connection live, seconds."""
    proxy: str = ""
    """URL of the proxy to go through; "" goes straight."""


@dataclass(frozen=True, slots=True)
class Up:
    """How a connection stands that has come up."""

    resumed: bool = False
    """It goes on with the session of a handle."""
    retold: bool = False
    """It is a new session that was told the story so far."""
    degraded: bool = False
    """It speaks plain HTTPS: one question and answer at a time."""
    lasts_s: float = math.inf
    """It can stay so long, seconds."""


class Line(Protocol):
    """A connection of either kind."""

    on_writable: Callable[[], None] | None

    @property
    def bytes_sent(self) -> int:
        """Bytes handed to it so far, without TLS."""

    @property
    def bytes_received(self) -> int:
        """Bytes that came over it so far, without TLS."""

    @property
    def writable(self) -> bool:
        """True while a message need not wait."""

    @property
    def is_open(self) -> bool:
        """True until it ends."""

    @property
    def heard_at(self) -> float:
        """When the last bytes came."""

    def send(self, frame: bytes) -> None:
        """Write a message."""

    async def close(self) -> None:
        """End it."""


Opener = Callable[[Order, Callable[[ServerEvent], None], Callable[[AgentError | None], None]], Awaitable[Line]]
"""Opens a connection for an order: told of events, told of the end."""


class Session:
    """At most one connection at a time; every method belongs to the loop's thread.

    Args:
        prepare: builds the order for a connection with this resumption handle (None: a new session), and says whether
            a story will be told first; may raise AgentError (no key, a setting the model refuses), which goes to
            `on_down`.
        on_event: told of every event of the connection that is up or coming up.
        on_up: the connection is set up.
        on_down: it could not be opened, or was lost; the error says what to do.
        story: the conversation so far as (role, text), for a session that cannot be resumed.
        standard: opens a connection without WebSockets; None where the owner wants none.
        tap: sees every message whole, as ("up" or "down", message).
        ssl_context: for wss; the system's trust store if None.
    """

    def __init__(
        self,
        *,
        prepare: Callable[[str | None, bool], Awaitable[Order]],
        on_event: Callable[[ServerEvent], None],
        on_up: Callable[[Up], None],
        on_down: Callable[[AgentError], None],
        story: Callable[[], Sequence[tuple[str, str]]] = tuple,
        standard: Callable[[], Opener | None] = lambda: None,
        tap: Callable[[str, bytes], None] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.protocol: LiveProtocol | None = None
        """Builds frames for the connection that is up; None otherwise."""
        self.on_writable: Callable[[], None] | None = None
        """Called when the line takes more again."""
        self._prepare = prepare
        self._on_event = on_event
        self._on_up = on_up
        self._on_down = on_down
        self._story = story
        self._standard = standard
        self._tap = tap
        self._ssl_context = ssl_context
        self._handle: str | None = None
        self._handle_at = 0.0
        self._blocked = 0
        self._blocked_until = 0.0
        self._connection: Line | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._number = 0
        self._resumed_at: float | None = None
        self._sent = self._received = 0

    @property
    def writable(self) -> bool:
        """True while the line takes a message without keeping it waiting."""
        return self._connection is not None and self._connection.is_open and self._connection.writable

    @property
    def handle(self) -> str | None:
        """The newest handle to a snapshot that a new connection may resume."""
        return self._handle

    def restore(self, handle: str, *, age_s: float) -> None:
        """Take a handle that was kept over a restart."""
        self._handle, self._handle_at = handle, asyncio.get_running_loop().time() - age_s

    @property
    def bytes_sent(self) -> int:
        """Bytes handed to all connections so far, without TLS."""
        return self._sent + (self._connection.bytes_sent if self._connection else 0)

    @property
    def bytes_received(self) -> int:
        """Bytes that came over all connections so far, without TLS."""
        return self._received + (self._connection.bytes_received if self._connection else 0)

    @property
    def heard_at(self) -> float:
        """When the last bytes came, on the loop's clock; 0.0 without a connection."""
        return self._connection.heard_at if self._connection is not None else 0.0

    def connect(self, *, resume: bool, retell: bool = False) -> None:
        """Begin to open a connection; the one before it is closed first.

        Args:
            resume: go on with the conversation: by its handle, else by its story.
            retell: by its story in any case.
        """
        self.disconnect()
        now = asyncio.get_running_loop().time()
        if not resume or retell or now - self._handle_at > HANDLE_S:
            self.forget()
        self._number += 1
        story = tuple(self._story()) if resume else ()
        self._opening = asyncio.get_running_loop().create_task(self._open(self._number, story))

    def send(self, frame: bytes) -> None:
        """Write a message now; without a connection it is dropped."""
        if self._connection is not None:
            self._connection.send(frame)

    def disconnect(self) -> None:
        """Give the connection up: no event of it comes any more, and its socket is closed in good order."""
        self._number += 1
        connection, self._connection, self.protocol = self._connection, None, None
        if self._opening is not None:
            self._opening.cancel()
            self._keep(self._opening)
            self._opening = None
        if connection is not None:
            self._sent += connection.bytes_sent
            self._received += connection.bytes_received
            self._keep(asyncio.get_running_loop().create_task(connection.close()))

    def forget(self) -> None:
        """Drop the resumption handle."""
        self._handle = None

    async def close(self) -> None:
        """Disconnect and wait until every socket is closed (at most about 2 s)."""
        self.disconnect()
        self.forget()
        if self._closing:
            await asyncio.wait(list(self._closing))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _open(self, number: int, story: Sequence[tuple[str, str]]) -> None:
        before = [task for task in self._closing if task is not asyncio.current_task()]
        if before:
            await asyncio.wait(before)
        handle = self._handle
        try:
            order, connection, degraded = await self._opened(number, handle, story)
            if order.protocol.history_due:
                connection.send(order.protocol.history(story))
        except AgentError as error:
            if number == self._number:
                self._opening = None
                if handle is not None and isinstance(error, ConnectionEnded):
                    self.forget()  # the service no longer takes it; the next try begins anew
                self._on_down(error)
            return
        except Exception as error:
            # Tools and settings of the owner's take part in preparing; whatever they raise must not end in waiting.
            log.exception("the connection could not be prepared")
            if number == self._number:
                self._opening = None
                self._on_down(
                    ServiceRefused(f"The connection could not be prepared ({type(error).__name__}); the log says why.")
                )
            return
        if number != self._number:
            await connection.close()
            return
        self._opening = None
        self._connection, self.protocol = connection, order.protocol
        self._resumed_at = None if handle is None or degraded else asyncio.get_running_loop().time()
        connection.on_writable = self._writable
        lasts_s = min(order.lasts_s, BLOCKED_S) if degraded else order.lasts_s
        resumed = handle is not None and not degraded
        self._on_up(Up(resumed, retold=bool(story) and not resumed, degraded=degraded, lasts_s=lasts_s))

    async def _opened(
        self, number: int, handle: str | None, story: Sequence[tuple[str, str]]
    ) -> tuple[Order, Line, bool]:
        """Return the order, the connection it led to, and whether that is only the standard way."""
        standard = self._standard()
        if standard is not None and self._known_blocked():
            return await self._opened_standard(standard, number, story)
        order = await self._prepare(handle, bool(story) and handle is None)
        try:
            connection = await self._open_live(order, number)
        except Blocked:
            self._blocked += 1
            if standard is None or self._blocked < BLOCKED_MOST:
                raise
            self._blocked_until = asyncio.get_running_loop().time() + BLOCKED_S
            return await self._opened_standard(standard, number, story)
        except CredentialError:
            self._blocked = 0
            if not order.renew():
                raise
            order = await self._prepare(handle, bool(story) and handle is None)
            connection = await self._open_live(order, number)
        except AgentError:
            self._blocked = 0
            raise
        self._blocked = 0
        return order, connection, False

    def _known_blocked(self) -> bool:
        return self._blocked >= BLOCKED_MOST and asyncio.get_running_loop().time() < self._blocked_until

    async def _opened_standard(
        self, standard: Opener, number: int, story: Sequence[tuple[str, str]]
    ) -> tuple[Order, Line, bool]:
        """Open the way without WebSockets: it knows no handles, so it is told the story so far."""
        order = await self._prepare(None, bool(story))
        connection = await standard(
            order, lambda event: self._event(number, event), lambda error: self._closed(number, error)
        )
        return order, connection, True

    async def _open_live(self, order: Order, number: int) -> Line:
        return await LiveConnection.open(
            endpoint=order.endpoint,
            headers=order.headers,
            protocol=order.protocol,
            on_event=lambda event: self._event(number, event),
            on_closed=lambda error: self._closed(number, error),
            ssl_context=self._ssl_context,
            proxy=order.proxy,
            tap=self._tap,
        )

    def _event(self, number: int, event: ServerEvent) -> None:
        if number != self._number:
            return
        if isinstance(event, Resumption) and event.resumable and event.handle:
            self._handle, self._handle_at = event.handle, asyncio.get_running_loop().time()
        self._on_event(event)

    def _closed(self, number: int, error: AgentError | None) -> None:
        if number != self._number:
            return
        if self._connection is not None:
            self._sent += self._connection.bytes_sent
            self._received += self._connection.bytes_received
        self._connection = self.protocol = None
        if isinstance(error, ConnectionEnded) and (error.code == 1007 or self._died_young()):
            self.forget()  # what the handle stands for is not to the service's liking; do not go back to it
        self._on_down(error or NetworkError("The connection to the Live API was closed."))

    def _died_young(self) -> bool:
        if self._resumed_at is None:
            return False
        return asyncio.get_running_loop().time() - self._resumed_at < SOUND_S

    def _writable(self) -> None:
        if self.on_writable is not None:
            self.on_writable()

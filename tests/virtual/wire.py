"""A network inside one process: TCP connections as pairs of transports, with the faults of real lines at will.

    network = loop.network
    network.latency_s, network.rate = 0.08, 8_000     # each way: seconds, bytes per second
    network.cut()                                     # every connection is reset, both sides are told
    network.black_hole(up=True, down=True)            # accepted by the kernel, carried nowhere, nobody is told
    network.heal()                                    # what waited is sent again, as TCP does
    network.refuse = OSError(errno.ENETUNREACH, "...")  # what the next connections end with

What it keeps of TCP: order, no loss while a connection lives, the send buffer (a sender learns of a slow line by
`pause_writing` and by the unsent bytes the kernel reports), a reader that stops the writer, FIN, RST, and
TCP_USER_TIMEOUT. What it leaves out: segments, acknowledgements, congestion. "up" is from the one that connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import random
import socket
from asyncio import protocols
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

SEND_BUFFER_BYTES = 16_384  # what a kernel takes before it lets the writer wait (the first value of tcp_wmem)
RECEIVE_BUFFER_BYTES = 65_536  # what a kernel holds for a reader that does not read
WINDOW_BYTES = 14_600  # what a sender puts on a line that carries nothing: ten segments, the first window
SEGMENT_BYTES = 1_460  # on a slow line bytes arrive in pieces of this size

_FIRST_PORT = 40_000
_FIRST_FD = 1_000_000  # no real descriptor is as high
_UNSENT = 0x894B  # SIOCOUTQNSD


class Network:
    """Listeners, connections, and the line between them; the settings hold for every connection at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.latency_s = 0.0
        """One way, seconds."""
        self.jitter_s = 0.0
        """Added to the latency: up to so many seconds, drawn anew for each piece; order is kept."""
        self.rate = math.inf
        """Bytes per second, each way."""
        self.refuse: Callable[[], OSError] | None = None
        """Makes the error that new connections end with; None: they succeed."""
        self.connections: list[Connection] = []
        """Those that live."""
        self.made = 0
        """Connections so far."""
        self.dead = {"up": False, "down": False}
        self._loop = loop
        self._listeners: dict[int, Listener] = {}
        self._ports = _FIRST_PORT
        self._healed = asyncio.Event()
        self._numbers = _FIRST_FD
        self._random = random.Random(7)  # noqa: S311  repeatable, not secret

    def black_hole(self, *, up: bool = True, down: bool = True) -> None:
        """Carry nothing any more in these directions, for old connections and new ones."""
        self.dead = {"up": up, "down": down}
        self._healed.clear()

    def heal(self) -> None:
        """Carry everything again, what waited first."""
        self.dead = {"up": False, "down": False}
        self._healed.set()
        for connection in tuple(self.connections):
            connection.kick()

    def cut(self, *, tell: bool = True, fin: bool = False) -> None:
        """End every connection: reset, or orderly with `fin`; without `tell` only the server's side learns of it."""
        for connection in tuple(self.connections):
            connection.cut(tell=tell, fin=fin)

    async def connect(self, host: str, port: int) -> tuple[End, End, Listener]:
        """Make a connection, as `loop.create_connection` asks for it."""
        if any(self.dead.values()):
            self._healed.clear()
            await self._healed.wait()
        await asyncio.sleep(2 * self.latency_s)
        if self.refuse is not None:
            raise self.refuse()
        listener = self._listeners.get(port)
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"Connect call failed ({host!r}, {port})")
        self.made += 1
        connection = Connection(self, self._loop, host, port)
        self.connections.append(connection)
        return connection.near, connection.far, listener

    def listen(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *,
        host: str,
        port: int,
        ssl: Any,
    ) -> Listener:
        """Offer a server, as `loop.create_server` asks for it."""
        if not port:
            self._ports += 1
            port = self._ports
        listener = Listener(self, loop, protocol_factory, host=host, port=port, ssl=ssl)
        self._listeners[port] = listener
        return listener

    def unlisten(self, port: int) -> None:
        """Take a server away."""
        self._listeners.pop(port, None)

    def number(self) -> int:
        """Return a descriptor that no real file has."""
        self._numbers += 1
        return self._numbers

    def delay(self) -> float:
        """Return how long the next piece travels, seconds."""
        return self.latency_s + (self._random.random() * self.jitter_s if self.jitter_s else 0.0)

    @contextlib.contextmanager
    def as_kernel(self) -> Iterator[None]:
        """Answer the question how much of a virtual connection is unsent, as the kernel does for a real one."""
        import fcntl

        real = fcntl.ioctl

        def ioctl(fd: Any, request: int, *rest: Any) -> Any:
            if isinstance(fd, int) and fd >= _FIRST_FD and request == _UNSENT:
                unsent = next((end.unsent for c in self.connections for end in c.ends if end.sock.number == fd), 0)
                return unsent.to_bytes(4, "little")
            return real(fd, request, *rest)

        with mock.patch.object(fcntl, "ioctl", ioctl):
            yield


class Sock:
    """What a transport gives as its socket: takes options, and has a number."""

    family = socket.AF_INET

    def __init__(self, number: int, name: tuple[str, int], peer: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.number = number
        self.options: dict[tuple[int, int], Any] = {}
        self._name = name
        self._peer = peer

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Remember an option."""
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int) -> Any:
        """Return an option."""
        return self.options.get((level, option), 0)

    def getsockname(self) -> tuple[str, int]:
        """Return the address."""
        return self._name

    def getpeername(self) -> tuple[str, int]:
        """Return the other side's address."""
        return self._peer

    def fileno(self) -> int:
        """Return the number; the kernel does not know it."""
        return self.number

    @property
    def user_timeout_s(self) -> float:
        """How long sent bytes may stay unanswered."""
        ms = self.options.get((socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", 18)), 0)
        return float(ms) / 1000 if ms else math.inf


class Listener(asyncio.AbstractServer):
    """A server on the virtual network."""

    def __init__(
        self,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        *,
        host: str,
        port: int,
        ssl: Any,
    ) -> None:
        self.protocol_factory = protocol_factory
        self.ssl = ssl
        self.sockets = (Sock(network.number(), (host, port)),)
        self._network = network
        self._loop = loop
        self._port = port
        self._open = True

    def close(self) -> None:
        """Take no more connections."""
        if self._open:
            self._open = False
            self._network.unlisten(self._port)

    async def wait_closed(self) -> None:
        """Return: nothing of the listener goes on."""

    def is_serving(self) -> bool:
        """Tell whether connections are taken."""
        return self._open

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop."""
        return self._loop

    async def start_serving(self) -> None:
        """Return: it serves from the beginning."""

    async def serve_forever(self) -> None:
        """Wait until cancelled."""
        await self._loop.create_future()


class Connection:
    """Two ends and the two ways between them."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        self.near = End(self, loop, Sock(network.number(), ("127.0.0.1", 0), (host, port)), peer=(host, port))
        self.far = End(self, loop, Sock(network.number(), (host, port)), peer=("127.0.0.1", 0))
        self.ends = (self.near, self.far)
        self.near.out = Way(network, loop, "up", self.near, self.far)
        self.far.out = Way(network, loop, "down", self.far, self.near)
        self._network = network

    def kick(self) -> None:
        """Look again at what waits: the line may carry it now."""
        for end in self.ends:
            end.out.kick()

    def cut(self, *, tell: bool, fin: bool) -> None:
        """End it from the middle of the line."""
        error = None if fin else ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        self.far.lose(error)
        if tell:
            self.near.lose(error, eof=fin)
        else:
            self.near.out.severed = self.far.out.severed = True

    def forget_if_over(self) -> None:
        """Leave the network when both ends are gone."""
        if all(end.lost for end in self.ends) and self in self._network.connections:
            self._network.connections.remove(self)


class Way:
    """One direction: what was written and is not yet on the line, and what is on its way."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop, name: str, sender: End, taker: End) -> None:
        self.severed = False
        """It carries nothing and never will."""
        self._network = network
        self._loop = loop
        self._name = name
        self._sender = sender
        self._taker = taker
        self._waiting: deque[bytes | None] = deque()  # None: the end of what will be sent
        self._size = 0
        self._under_way: deque[tuple[float, bytes | None]] = deque()
        self._free_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.TimerHandle | None = None
        self._giving_up: asyncio.TimerHandle | None = None
        self._carried = 0

    @property
    def waiting(self) -> int:
        """Bytes written that are not on the line."""
        return self._size

    @property
    def dead(self) -> bool:
        """True while nothing is carried."""
        return self.severed or self._network.dead[self._name]

    def put(self, data: bytes | None) -> None:
        """Take bytes, or the end (None)."""
        step = SEGMENT_BYTES if self._network.rate < math.inf else (len(data) if data else 1)
        if data is None:
            self._waiting.append(None)
        else:
            self._size += len(data)
            self._waiting.extend(data[at : at + step] for at in range(0, len(data), step))
        self.kick()

    def kick(self) -> None:
        """Put on the line what it carries."""
        if self.dead:
            self._lose_patience()
            return
        while self._waiting and self._sending is None and self._taker.room > 0:
            piece = self._waiting.popleft()
            now = self._loop.time()
            size = 0 if piece is None else len(piece)
            self._size -= size
            self._free_at = max(now, self._free_at) + size / self._network.rate
            due = self._free_at + self._network.delay()
            if self._under_way:
                due = max(due, self._under_way[-1][0])
            self._under_way.append((due, piece))
            if self._free_at > now:
                self._sending = self._loop.call_at(self._free_at, self._sent)
        self._arm()
        self._sender.drained()

    def drop(self) -> None:
        """Forget everything: the connection is gone."""
        self._waiting.clear()
        self._under_way.clear()
        self._size = 0
        for timer in (self._timer, self._sending, self._giving_up):
            if timer is not None:
                timer.cancel()
        self._timer = self._sending = self._giving_up = None

    def _sent(self) -> None:
        self._sending = None
        self.kick()

    def _arm(self) -> None:
        if self._timer is None and self._under_way:
            self._timer = self._loop.call_at(self._under_way[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        if self.dead:
            for _, piece in reversed(self._under_way):  # lost on the way: sent again when the line carries again
                self._waiting.appendleft(piece)
                self._size += 0 if piece is None else len(piece)
            self._under_way.clear()
            self._lose_patience()
            return
        if self._under_way:
            _, piece = self._under_way.popleft()
            self._carried += 1
            self._arm()
            self._taker.arrived(piece)

    def _lose_patience(self) -> None:
        """After TCP_USER_TIMEOUT without an answer the kernel gives the connection up."""
        limit = self._sender.sock.user_timeout_s
        if self._waiting and self._giving_up is None and limit < math.inf:
            self._giving_up = self._loop.call_later(limit, self._give_up, self._carried)

    def _give_up(self, carried: int) -> None:
        self._giving_up = None
        if self.dead and self._carried == carried:
            self._sender.lose(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))


class End(asyncio.Transport):
    """One side's transport."""

    _start_tls_compatible = True
    out: Way

    def __init__(
        self, connection: Connection, loop: asyncio.AbstractEventLoop, sock: Sock, *, peer: tuple[str, int]
    ) -> None:
        super().__init__({"socket": sock, "sockname": sock.getsockname(), "peername": peer})
        self.sock = sock
        self.lost = False
        """`connection_lost` was called, or will be at once."""
        self._connection = connection
        self._loop = loop
        self._protocol: asyncio.BaseProtocol | None = None
        self._held: deque[bytes | None] = deque()
        self._held_size = 0
        self._reading = True
        self._closing = False
        self._ended = False
        self._high, self._low = 65_536, 16_384
        self._paused = False

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        """Give the transport to its protocol."""
        self._protocol = protocol
        self._loop.call_soon(self._made)

    @property
    def room(self) -> int:
        """Bytes that may still arrive before the reader has read."""
        return RECEIVE_BUFFER_BYTES - self._held_size

    @property
    def unsent(self) -> int:
        """Bytes the kernel holds and has not put on the line."""
        waiting = min(self.out.waiting, SEND_BUFFER_BYTES)
        return max(0, waiting - WINDOW_BYTES) if self.out.dead else waiting

    def arrived(self, piece: bytes | None) -> None:
        """Take what came over the line; None: the other side sends no more."""
        if self.lost or self._closing:
            return
        if self._reading and not self._held:
            self._hand_on(piece)
        else:
            self._held.append(piece)
            self._held_size += 0 if piece is None else len(piece)

    def drained(self) -> None:
        """Look whether the writer may go on, or whether all is said before closing."""
        left = max(0, self.out.waiting - SEND_BUFFER_BYTES)
        if self._paused and left <= self._low:
            self._paused = False
            if isinstance(self._protocol, asyncio.Protocol | asyncio.BufferedProtocol):
                self._protocol.resume_writing()
        if self._closing and not self.lost and not self.out.waiting:
            self._lose_soon(None)

    def lose(self, error: Exception | None, *, eof: bool = False) -> None:
        """End it from outside."""
        if self.lost:
            return
        if eof:
            self._hand_on(None)
        self._lose_soon(error)

    # What asyncio calls a transport by.

    def write(self, data: Any) -> None:
        if self.lost or self._ended or not data:
            return
        self.out.put(bytes(data))
        if not self._paused and max(0, self.out.waiting - SEND_BUFFER_BYTES) > self._high:
            self._paused = True
            if self._protocol is not None:
                self._protocol.pause_writing()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not self._ended and not self.lost:
            self._ended = True
            self.out.put(None)

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._closing and not self.lost:
            self._closing = True
            if not self._ended:
                self._ended = True
                self.out.put(None)
            self.drained()

    def abort(self) -> None:
        if not self.lost:
            other = self._connection.far if self is self._connection.near else self._connection.near
            self._lose_soon(None)
            if not self.out.dead:
                delay = self._connection.near.out._network.delay()
                error = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
                self._loop.call_later(delay, other.lose, error)
            self.out.drop()

    def is_closing(self) -> bool:
        return self._closing or self.lost

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 65_536 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return max(0, self.out.waiting - SEND_BUFFER_BYTES)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if self._reading:
            return
        self._reading = True
        self._loop.call_soon(self._read_on)

    def _made(self) -> None:
        if self._protocol is not None:  # also if it is lost by now: asyncio's transports tell the one before the other
            self._protocol.connection_made(self)

    def _read_on(self) -> None:
        while self._held and self._reading and not self.lost:
            piece = self._held.popleft()
            self._held_size -= 0 if piece is None else len(piece)
            self._hand_on(piece)
        other = self._connection.far if self is self._connection.near else self._connection.near
        other.out.kick()

    def _force_close(self, _error: Exception | None) -> None:
        """Give up at once; asyncio's TLS asks for this by name."""
        self.abort()
        self._held.clear()

    def _hand_on(self, piece: bytes | None) -> None:
        try:
            self._give(piece)
        except Exception as error:  # noqa: BLE001  a real transport reports it and closes
            if not isinstance(error, OSError):
                self._loop.call_exception_handler(
                    {"message": "Fatal error: the protocol failed", "exception": error, "transport": self}
                )
            self.abort()

    def _give(self, piece: bytes | None) -> None:
        protocol = self._protocol
        if piece is None:
            stay = isinstance(protocol, asyncio.Protocol | asyncio.BufferedProtocol) and protocol.eof_received()
            if not stay:
                self.close()
        elif isinstance(protocol, asyncio.BufferedProtocol):
            protocols._feed_data_to_buffered_proto(protocol, piece)  # type: ignore[attr-defined]
        elif isinstance(protocol, asyncio.Protocol):
            protocol.data_received(piece)

    def _lose_soon(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            if error is not None:
                self.out.drop()
            self._loop.call_soon(self._lose, error)

    def _lose(self, error: Exception | None) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(error)
            self._protocol = None
        self._connection.forget_if_over()

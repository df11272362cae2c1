"""A bad line on loopback: a TCP proxy between a device and its service, with the faults of real networks at will.

    async with BadLine(twin.port) as line:
        Device(folder, twin, live={"url": line.url})
        line.cut()                       # RST to both sides; cut(fin=True): an orderly end
        line.black_hole()                # takes and forwards nothing, tells nobody; up=False: only what comes down
        line.heal()                      # carries what waited, then goes on
        line.delay_s, line.jitter_s = 0.3, 0.2
        line.rate = 8_000                # bytes per second each way; with the small buffers of a radio modem
        line.cut_after(5_000)            # so many more bytes down, then RST

It carries bytes and understands nothing of them, TLS included. It runs in the caller's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
import struct
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, Self

BUFFER_BYTES = 4_608  # what the kernel holds for a slow line, the least it grants; a message of 40 ms has 1.8 kB
PIECE_BYTES = 1_460
WAITING = 64  # pieces under way at once, per direction: with a delay a line holds what it carries in that time

Way = Literal["up", "down"]


class BadLine:
    """See the module's docstring.

    Args:
        port: where the service listens on this machine.
        rate: bytes per second each way; set before anyone connects, it also makes the kernel's buffers small.
        secure: `url` is wss://.
    """

    def __init__(self, port: int, *, rate: float = math.inf, secure: bool = False) -> None:
        self.delay_s = 0.0
        """One way, seconds."""
        self.jitter_s = 0.0
        """Added to it: up to so many seconds; order is kept."""
        self.rate = rate
        """Bytes per second, each way."""
        self.connections = 0
        """Taken so far."""
        self.carried: dict[Way, int] = {"up": 0, "down": 0}
        """Bytes, over all connections."""
        self._port = port
        self._secure = secure
        self._small = rate < math.inf
        self._listener = socket.socket()
        if self._small:
            _shrink(self._listener)
        self._listener.bind(("127.0.0.1", 0))
        self._open: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._left = math.inf
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.heal()
        self._listener.setblocking(False)
        self._listener.listen()
        self._start(self._accept())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))
        for pair in tuple(self._pairs):
            pair.close()
        self._listener.close()

    @property
    def url(self) -> str:
        """Scheme, host and port for `live.url`."""
        return f"{'wss' if self._secure else 'ws'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def black_hole(self, *, up: bool = True, down: bool = True) -> None:
        """Forward nothing in these directions; connections are still taken, and nobody is told."""
        dead: dict[Way, bool] = {"up": up, "down": down}
        for way, shut in dead.items():
            if shut:
                self._open[way].clear()
            else:
                self._open[way].set()

    def heal(self) -> None:
        """Forward everything."""
        self.black_hole(up=False, down=False)

    def cut(self, *, fin: bool = False) -> None:
        """End every connection: RST to both sides, or FIN."""
        for pair in tuple(self._pairs):
            pair.cut(fin=fin)

    def cut_after(self, size: int) -> None:
        """Carry so many more bytes down, then cut."""
        self._left = size

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            near, _ = await loop.sock_accept(self._listener)
            self._start(self._serve(near))

    async def _serve(self, near: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        far = socket.socket()
        far.setblocking(False)
        for sock in (near, far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._small:
                _shrink(sock)
        serving = asyncio.current_task()
        assert serving is not None
        pair = _Pair(near, far, serving)
        self._pairs.add(pair)
        try:
            await loop.sock_connect(far, ("127.0.0.1", self._port))
            self.connections += 1
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._carry(pair, near, far, "up"))
                ways.create_task(self._carry(pair, far, near, "down"))
        except* OSError:
            pair.hurt()  # one side broke off: the other is told so, as a line would
        finally:
            pair.close()
            self._pairs.discard(pair)

    async def _carry(self, pair: _Pair, taker: socket.socket, giver: socket.socket, way: Way) -> None:
        """Take from one side, and give to the other when the time has come."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)
        give = asyncio.create_task(self._give(under_way, giver, way))
        loop = asyncio.get_running_loop()
        free_at = due = loop.time()
        try:
            while not give.done():
                await self._open[way].wait()
                data = await loop.sock_recv(taker, PIECE_BYTES if self._small else 65_536)
                if way == "down" and self._left < math.inf:
                    data, self._left = data[: int(self._left)], self._left - len(data)
                    if self._left <= 0:
                        await under_way.put((due, data))
                        await under_way.join()
                        pair.cut(fin=False)
                        self._left = math.inf
                        return
                if self.rate < math.inf:
                    free_at = max(free_at, loop.time()) + len(data) / self.rate
                    await asyncio.sleep(free_at - loop.time())
                pause = self.delay_s + random.random() * self.jitter_s  # noqa: S311  not secret
                due = max(due, loop.time() + pause)
                await under_way.put((due, data))
                if not data:
                    break
            await give
        finally:
            give.cancel()
            await asyncio.wait([give])
            if not give.cancelled():
                give.exception()

    async def _give(self, under_way: asyncio.Queue[tuple[float, bytes]], giver: socket.socket, way: Way) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - loop.time())
            await self._open[way].wait()
            if not data:
                giver.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(giver, data)
            self.carried[way] += len(data)
            under_way.task_done()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Pair:
    """The two sockets of a connection, and the task that serves it."""

    def __init__(self, near: socket.socket, far: socket.socket, serving: asyncio.Task[None]) -> None:
        self._sockets = (near, far)
        self._serving = serving

    def cut(self, *, fin: bool) -> None:
        if not fin:
            self.hurt()
            self._serving.cancel()
            return
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def hurt(self) -> None:
        """From now on closing is a reset."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


def _shrink(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)

"""Real proxies on this machine, small enough to read: HTTP CONNECT, SOCKS 4(a) and SOCKS 5, with and without a login.

    async with http_proxy(names={"live.example": service_port}, login=("user", "word")) as proxy:
        proxy.url          # http://user:word@127.0.0.1:PORT
        proxy.asked        # what clients asked for: ["live.example:443"]

A name in `names` leads to that port of this machine, so that a test sees who resolves names; an address is taken as it
is. `answer` of the HTTP proxy replaces its reply, `pieces` cuts it up.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field


@dataclass
class TestProxy:
    """What runs, and what was asked of it."""

    __test__ = False

    scheme: str
    port: int = 0
    login: tuple[str, str] | None = None
    names: Mapping[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    refused: int = 0
    seen: bytearray = field(default_factory=bytearray)
    """What clients sent through the tunnel."""

    @property
    def url(self) -> str:
        login = f"{self.login[0]}:{self.login[1]}@" if self.login else ""
        return f"{self.scheme}://{login}127.0.0.1:{self.port}"

    async def onward(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to what the client asked for."""
        self.asked.append(f"{host}:{port}")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            if host not in self.names:
                raise OSError(-2, "no such name") from None
            host, port = "127.0.0.1", self.names[host]
        return await asyncio.open_connection(host, port)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def _running(proxy: TestProxy, serve: Serve) -> AsyncIterator[TestProxy]:
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks))
        server.close()
        await server.wait_closed()


async def _join(
    proxy: TestProxy,
    client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    service: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Carry bytes both ways until one side has ended."""

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, note: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                if note:
                    proxy.seen += data
                sink.write(data)
                await sink.drain()
        sink.close()

    ways = [
        asyncio.ensure_future(carry(client[0], service[1], note=True)),
        asyncio.ensure_future(carry(service[0], client[1], note=False)),
    ]
    try:
        await asyncio.wait(ways)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)
        service[1].transport.abort()


@contextlib.asynccontextmanager
async def http_proxy(
    *,
    names: Mapping[str, int] | None = None,
    login: tuple[str, str] | None = None,
    answer: bytes | None = None,
    pieces: int = 10_000,
) -> AsyncIterator[TestProxy]:
    """A proxy that knows CONNECT and nothing else; `answer` is said in place of any of its own."""
    proxy = TestProxy("http", login=login, names=names or {})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        proxy.heads.append(head)
        target = head.split()[1].decode()
        host, _, port = target.rpartition(":")
        service = None
        if answer is not None:
            said = answer
        elif login and base64.b64encode(":".join(login).encode()) not in head:
            said = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n"
        else:
            try:
                service = await proxy.onward(host.strip("[]"), int(port))
                said = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 small\r\n\r\n"
            except OSError:
                said = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
        for start in range(0, len(said), pieces):
            writer.write(said[start : start + pieces])
            await writer.drain()
            await asyncio.sleep(0.002 if pieces < len(said) else 0)
        if service is None:
            proxy.refused += 1
            writer.close()
            return
        await _join(proxy, (reader, writer), service)

    async with _running(proxy, serve):
        yield proxy


@contextlib.asynccontextmanager
async def socks5_proxy(
    *,
    names: Mapping[str, int] | None = None,
    login: tuple[str, str] | None = None,
    reply: int = 0,
    scheme: str = "socks5h",
) -> AsyncIterator[TestProxy]:
    """A SOCKS 5 proxy (RFC 1928, 1929); `reply` other than 0 refuses every request with that code."""
    proxy = TestProxy(scheme, login=login, names=names or {})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        offered = await reader.readexactly(count)
        wanted = 2 if login else 0
        writer.write(bytes([5, wanted if wanted in offered else 0xFF]))
        if wanted not in offered:
            proxy.refused += 1
            await writer.drain()
            return
        if login:
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            word = await reader.readexactly((await reader.readexactly(1))[0])
            right = (user.decode(), word.decode()) == login
            writer.write(bytes([1, 0 if right else 1]))
            if not right:
                proxy.refused += 1
                await writer.drain()
                return
        *_, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        code, service = reply, None
        if not code:
            try:
                service = await proxy.onward(host, port)
            except OSError:
                code = 4
        writer.write(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))
        await writer.drain()
        if service is None:
            proxy.refused += 1
            return
        await _join(proxy, (reader, writer), service)

    async with _running(proxy, serve):
        yield proxy


@contextlib.asynccontextmanager
async def socks4_proxy(
    *, names: Mapping[str, int] | None = None, reply: int = 0x5A, scheme: str = "socks4a"
) -> AsyncIterator[TestProxy]:
    """A SOCKS 4 and 4a proxy; `reply` other than 0x5A refuses every request with that code."""
    proxy = TestProxy(scheme, names=names or {})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(8)
        await reader.readuntil(b"\0")
        port, address = int.from_bytes(head[2:4], "big"), head[4:]
        host = str(ipaddress.ip_address(address))
        if address[:3] == b"\0\0\0":
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        service = await proxy.onward(host, port) if reply == 0x5A else None
        writer.write(bytes([0, reply, 0, 0, 0, 0, 0, 0]))
        await writer.drain()
        if service is None:
            proxy.refused += 1
            return
        await _join(proxy, (reader, writer), service)

    async with _running(proxy, serve):
        yield proxy

"""The virtual line keeps what TCP promises, and fails as lines fail."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual.loop import network, run

CERTIFICATE = Path(__file__).parents[1] / "live" / "data" / "cert-valid.pem"

Story = Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Queue[bytes]], Awaitable[None]]


def talk(story: Story, *, tls: bool = False) -> None:
    """Connect to a server that keeps what it hears and answers each line with the same in capitals."""

    async def served() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while line := await reader.readline():
                    await heard.put(line)
                    writer.write(line.upper())
            except OSError as error:
                await heard.put(type(error).__name__.encode())
            await heard.put(b"")
            writer.close()

        inside: ssl.SSLContext | None = None
        outside: ssl.SSLContext | None = None
        if tls:
            inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            inside.load_cert_chain(CERTIFICATE)
            outside = ssl.create_default_context(cafile=str(CERTIFICATE))
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=inside, limit=1 << 20)
        port = server.sockets[0].getsockname()[1]
        name = "localhost" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=outside, server_hostname=name, limit=1 << 20
        )
        await story(reader, writer, heard)
        writer.close()
        server.close()
        network().cut()
        await asyncio.sleep(1.0)

    run(served())


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("tls", [False, True])
def test_bytes_arrive_in_order_after_the_latency(tls: bool) -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: asyncio.Queue[bytes]) -> None:
        network().latency_s = 0.25
        began = now()
        writer.write(b"one\ntwo\n")
        assert await reader.readline() == b"ONE\n"
        assert await reader.readline() == b"TWO\n"
        assert now() - began == pytest.approx(0.5, abs=0.01)

    talk(story, tls=tls)


def test_jitter_never_changes_the_order() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: asyncio.Queue[bytes]) -> None:
        network().jitter_s = 1.0
        for n in range(50):
            writer.write(f"{n}\n".encode())
            await asyncio.sleep(0.01)
        assert [int(await reader.readline()) for _ in range(50)] == list(range(50))

    talk(story)


def test_a_slow_line_takes_its_time_and_holds_the_writer_back() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: asyncio.Queue[bytes]) -> None:
        network().rate = 8_000
        began = now()
        writer.write(b"x" * 159_999 + b"\n")
        await writer.drain()
        assert now() - began > 1.0, "the kernel takes some, then the writer waits"
        assert len(await reader.readline()) == 160_000
        assert now() - began == pytest.approx(40.0, rel=0.05), "twenty seconds each way"

    talk(story)


def test_a_black_hole_carries_nothing_and_what_waited_comes_later() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: asyncio.Queue[bytes]) -> None:
        network().black_hole()
        writer.write(b"lost?\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await reader.readline()
        network().heal()
        assert await reader.readline() == b"LOST?\n"

    talk(story)


def test_half_open_the_server_hears_and_is_not_heard() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Queue[bytes]) -> None:
        network().black_hole(up=False, down=True)
        writer.write(b"hello\n")
        assert await heard.get() == b"hello\n"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30.0):
                await reader.readline()
        network().heal()
        assert await reader.readline() == b"HELLO\n"

    talk(story)


def test_bytes_that_nobody_takes_end_the_connection_after_the_user_timeout() -> None:
    async def story(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: asyncio.Queue[bytes]) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 5_000)
        network().black_hole()
        writer.write(b"anyone?\n")
        began = now()
        with pytest.raises(OSError, match=os.strerror(errno.ETIMEDOUT)):
            await reader.readline()
        assert now() - began == pytest.approx(5.0)
        network().heal()

    talk(story)


def test_a_cut_is_a_reset_for_both_and_fin_an_end() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: asyncio.Queue[bytes]) -> None:
        writer.write(b"one\n")
        await reader.readline()
        assert await heard.get() == b"one\n"
        network().cut()
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        assert await heard.get() == b"ConnectionResetError"

    async def fin(reader: asyncio.StreamReader, _: asyncio.StreamWriter, heard: asyncio.Queue[bytes]) -> None:
        await asyncio.sleep(0.1)
        network().cut(fin=True)
        assert await reader.read() == b""
        assert await heard.get() == b""

    talk(cut)
    talk(fin)


def test_connections_are_refused_or_wait_as_the_network_is_told() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", 9)
        network().refuse = lambda: OSError(errno.ENETUNREACH, "Network is unreachable")
        with pytest.raises(OSError, match="unreachable"):
            await loop.create_connection(asyncio.Protocol, "127.0.0.1", 9)
        network().refuse = None
        network().black_hole()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10.0):
                await loop.create_connection(asyncio.Protocol, "127.0.0.1", 9)

    run(story())


def test_a_connection_cut_as_it_is_made_is_told_as_made_and_then_as_lost() -> None:
    told: list[str] = []

    def side(name: str) -> type[asyncio.Protocol]:
        class Side(asyncio.Protocol):
            def connection_made(self, _: asyncio.BaseTransport) -> None:
                told.append(f"{name} made")
                network().cut()

            def connection_lost(self, _: Exception | None) -> None:
                told.append(f"{name} lost")

        return Side

    async def story() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(side("server"), "127.0.0.1", 0)
        await loop.create_connection(side("client"), "127.0.0.1", server.sockets[0].getsockname()[1])
        await asyncio.sleep(1.0)
        server.close()

    run(story())
    for name in ("client", "server"):
        assert [entry for entry in told if entry.startswith(name)] == [f"{name} made", f"{name} lost"]


@settings(max_examples=60)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=5_000), min_size=1, max_size=12),
    rate=st.sampled_from([math.inf, 4_000.0]),
    holes=st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.1, 3.0)), max_size=3),
)
def test_no_byte_is_lost_or_doubled_while_the_connection_lives(
    pieces: list[bytes], rate: float, holes: list[tuple[float, float]]
) -> None:
    async def story() -> None:
        got = bytearray()
        closed = asyncio.Event()

        class Taker(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                got.extend(data)

            def connection_lost(self, exc: Exception | None) -> None:
                assert exc is None
                closed.set()

        loop = asyncio.get_running_loop()
        server = await loop.create_server(Taker, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", server.sockets[0].getsockname()[1])
        line = network()
        line.rate, line.jitter_s = rate, 0.3
        for after, lasts in holes:
            loop.call_later(after, line.black_hole)
            loop.call_later(after + lasts, line.heal)
        for piece in pieces:
            transport.write(piece)
            await asyncio.sleep(0.2)
        transport.close()
        async with asyncio.timeout(200.0):
            await closed.wait()
        assert bytes(got) == b"".join(pieces)
        server.close()

    run(story())

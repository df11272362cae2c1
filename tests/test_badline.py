"""The bad line fails as it says, and carries every byte otherwise."""

from __future__ import annotations

import asyncio
import fcntl
import math
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from badline import BadLine

SIOCOUTQNSD = 0x894B  # bytes in the send queue that were not put on the wire

Story = Callable[[BadLine, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(story: Story, *, rate: float = math.inf) -> None:
    """Connect over a bad line to a server that sends back what it hears."""

    async def run() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while data := await reader.read(1000):
                    writer.write(data)
                    await writer.drain()
            except OSError:
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with BadLine(server.sockets[0].getsockname()[1], rate=rate) as bad:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(bad.url.rpartition(":")[2]))
            try:
                await story(bad, reader, writer)
            finally:
                writer.close()
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(run())


def test_it_carries_bytes_and_the_end() -> None:
    async def story(line: BadLine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sound = bytes(range(256)) * 1000
        writer.write(sound)
        assert await reader.readexactly(len(sound)) == sound
        writer.write_eof()
        assert await reader.read() == b""
        assert line.carried == {"up": len(sound), "down": len(sound)}

    talk(story)


@pytest.mark.parametrize("fin", [False, True])
def test_a_cut_is_felt_at_once(fin: bool) -> None:
    async def story(line: BadLine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"a")
        await reader.readexactly(1)
        line.cut(fin=fin)
        async with asyncio.timeout(5.0):
            if fin:
                assert await reader.read() == b""
            else:
                with pytest.raises(ConnectionResetError):
                    await reader.read()

    talk(story)


def test_a_black_hole_says_nothing_and_gives_back_what_it_took() -> None:
    async def story(line: BadLine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.black_hole()
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(5), 0.3)
        line.heal()
        assert await asyncio.wait_for(reader.readexactly(5), 5.0) == b"hello"

    talk(story)


def test_half_open_it_carries_up_only() -> None:
    async def story(line: BadLine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.black_hole(up=False, down=True)
        writer.write(b"hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(5), 0.3)
        assert line.carried == {"up": 5, "down": 0}
        line.heal()
        await asyncio.wait_for(reader.readexactly(5), 5.0)

    talk(story)


def test_so_many_bytes_and_then_a_cut() -> None:
    async def story(line: BadLine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.cut_after(2_500)
        writer.write(b"x" * 10_000)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readexactly(10_000), 5.0)
        assert line.carried["down"] == 2_500

    talk(story)


def test_a_slow_line_lets_the_sender_feel_it() -> None:
    async def story(line: BadLine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = time.monotonic()
        writer.write(b"x" * 60_000)
        await asyncio.sleep(0.2)
        answer = fcntl.ioctl(writer.get_extra_info("socket").fileno(), SIOCOUTQNSD, b"\0\0\0\0")
        assert int.from_bytes(answer, sys.byteorder) > 20_000, "the line's own buffers do not swallow a second of it"
        await reader.readexactly(60_000)
        assert time.monotonic() - began > 1.0
        assert line.carried["up"] == 60_000

    talk(story, rate=40_000.0)


def test_a_delay_holds_everything_back_alike() -> None:
    async def story(line: BadLine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line.delay_s, line.jitter_s = 0.1, 0.1
        began = time.monotonic()
        for n in range(10):
            writer.write(bytes([n]))
            await asyncio.sleep(0.01)
        assert await reader.readexactly(10) == bytes(range(10))
        assert time.monotonic() - began > 0.2

    talk(story)

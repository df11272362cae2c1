"""The WebSocket: opening, talking, ending, and every way in which it can go wrong, against real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import re
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from virtual import loop as virtual
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from edge_agent.errors import (
    AgentError,
    Blocked,
    ConnectionEnded,
    CredentialError,
    Fault,
    NetworkError,
    Overloaded,
    Retry,
    ServiceRefused,
)
from edge_agent.live import connection as module
from edge_agent.live import events as e
from edge_agent.live.connection import LiveConnection
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.reading import MAX_MESSAGE_BYTES
from edge_agent.live.setup import build_setup
from edge_agent.live.wire import HELD_BYTES

DATA = Path(__file__).parent / "data"
KEY = "AIzaTest-0123456789_abcdefghijklmnopqrs"
READY = b'{"setupComplete":{}}'
OVER = b'{"serverContent":{"turnComplete":true}}'
QUIET = logging.getLogger("test.server")
QUIET.addHandler(logging.NullHandler())
QUIET.setLevel(logging.CRITICAL)

Handler = Callable[[ServerConnection], Awaitable[None]]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def session(**wishes: Any) -> LiveProtocol:
    profile = profile_for("gemini-3.8-live")
    return LiveProtocol(build_setup(model="gemini-3.8-live", profile=profile, **wishes), profile)


class Talk:
    """One connection under test and what it reported."""

    def __init__(self, **wishes: Any) -> None:
        self.protocol = session(**wishes)
        self.events: list[e.ServerEvent] = []
        self.ends: list[AgentError | None] = []
        self.arrived = asyncio.Event()
        self.ended = asyncio.Event()
        self.connection: LiveConnection | None = None

    def on_event(self, event: e.ServerEvent) -> None:
        self.events.append(event)
        self.arrived.set()

    def on_closed(self, error: AgentError | None) -> None:
        self.ends.append(error)
        self.ended.set()

    async def open(self, endpoint: Endpoint, **more: Any) -> LiveConnection:
        self.connection = await LiveConnection.open(
            endpoint=endpoint,
            headers={"x-goog-api-key": KEY},
            protocol=self.protocol,
            on_event=self.on_event,
            on_closed=self.on_closed,
            **{"timeout_s": 5.0, **more},
        )
        return self.connection

    async def until(self, count: int) -> list[e.ServerEvent]:
        async with asyncio.timeout(10):
            while len(self.events) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return self.events

    async def end(self) -> AgentError | None:
        async with asyncio.timeout(10):
            await self.ended.wait()
        (error,) = self.ends
        return error


@contextlib.asynccontextmanager
async def service(handler: Handler, context: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Endpoint]:
    """A WebSocket server on this machine that runs `handler` for each client."""
    async with serve(handler, "127.0.0.1", 0, ssl=context, logger=QUIET, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield Endpoint.resolve(f"{'wss' if context else 'ws'}://127.0.0.1:{port}")


@contextlib.asynccontextmanager
async def raw_service(handler: Raw) -> AsyncIterator[Endpoint]:
    """A TCP server that runs `handler` for each client."""
    running: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running[asyncio.current_task()] = writer
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield Endpoint.resolve(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        for task, writer in running.items():
            writer.transport.abort()
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        server.close()
        await server.wait_closed()


async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the handshake and the setup by hand; what follows is the handler's: no pong is sent by itself."""
    core = ServerProtocol(logger=QUIET)
    core.receive_data(await reader.readuntil(b"\r\n\r\n"))
    (request,) = core.events_received()
    assert isinstance(request, Request)
    core.send_response(core.accept(request))
    writer.writelines(core.data_to_send())
    await reader.read(1)  # the first byte of the setup
    writer.write(text(READY))


def text(payload: bytes, opcode: Opcode = Opcode.TEXT, *, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin).serialize(mask=False)


async def answer_setup(ws: ServerConnection) -> None:
    """Take the setup, then ignore everything until the client goes."""
    await ws.recv()
    await ws.send(READY)
    with contextlib.suppress(Exception):
        async for _ in ws:
            pass


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(bounded())


def test_a_conversation_in_frames_of_every_kind() -> None:
    heard: list[str | bytes] = []
    requests: list[Request] = []

    async def handler(ws: ServerConnection) -> None:
        assert ws.request is not None
        requests.append(ws.request)
        heard.append(await ws.recv())
        await ws.send(READY)  # binary, as the real service does
        heard.extend([await ws.recv(), await ws.recv()])
        await ws.send(OVER.decode())  # text
        await ws.send([OVER[:5], OVER[5:20], OVER[20:]])  # fragments
        await ws.send(b"")
        await ws.recv()

    async def scenario() -> None:
        async with service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            assert talk.events == [e.SetupComplete()]
            connection.send(talk.protocol.audio(b"\1\2" * 640))
            connection.send(talk.protocol.audio_stream_end())
            over = e.TurnComplete("", True)
            assert (await talk.until(4))[1:] == [over, over, e.Ignored("an empty message")]
            assert connection.is_open
            assert connection.bytes_sent > 1700
            assert connection.bytes_received > 2 * len(OVER)
            await connection.close()
            assert not connection.is_open
            assert talk.ends == [None]

    run(scenario)
    assert all(isinstance(message, str) for message in heard)  # our frames are text frames
    assert [next(iter(json.loads(message))) for message in heard] == ["setup", "realtimeInput", "realtimeInput"]
    (request,) = requests
    assert request.path == Endpoint.resolve().path
    assert request.headers["x-goog-api-key"] == KEY
    assert "Sec-WebSocket-Extensions" not in request.headers


def test_events_in_the_packet_of_setup_complete_are_not_lost() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        writer.write(text(OVER, Opcode.BINARY) + text(OVER[:9], Opcode.BINARY, fin=False) + text(OVER[9:], Opcode.CONT))
        while not (await reader.read(1000)).startswith(b"\x88"):
            pass
        writer.close()

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            assert len(await talk.until(3)) == 3
            await connection.close()

    run(scenario)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ServiceRefused),
        (401, CredentialError),
        (403, Blocked),
        (404, ServiceRefused),
        (429, Overloaded),
        (500, Retry),
        (503, Retry),
        (200, Blocked),
    ],
)
def test_a_refused_handshake_is_told_apart_by_status(status: int, kind: type[AgentError]) -> None:
    def refuse(ws: ServerConnection, request: Request) -> Response:
        return ws.respond(HTTPStatus(status), f"the key {request.headers['x-goog-api-key']} is bad\n")

    async def scenario() -> None:
        async with service(answer_setup, process_request=refuse) as endpoint:
            talk = Talk()
            with pytest.raises(kind) as refusal:
                await talk.open(endpoint)
            assert type(refusal.value) is kind
            assert KEY not in str(refusal.value)
            assert kind is Blocked or "[secret] is bad" in str(refusal.value)
            assert talk.ends == []

    run(scenario)


def test_the_wait_that_the_service_asks_for_reaches_the_caller() -> None:
    def refuse(ws: ServerConnection, _: Request) -> Response:
        response = ws.respond(HTTPStatus.TOO_MANY_REQUESTS, "slowly\n")
        response.headers["Retry-After"] = "41"
        return response

    async def scenario() -> None:
        async with service(answer_setup, process_request=refuse) as endpoint:
            with pytest.raises(Overloaded) as refusal:
                await Talk().open(endpoint)
            assert refusal.value.wait_s == 41.0

    run(scenario)


@pytest.mark.parametrize("code", [1000, 1007, 1008, 1011, 1013])
@pytest.mark.parametrize("ready", [False, True])
def test_a_close_code_becomes_what_to_do(code: int, ready: bool) -> None:
    reason = "Internal error" if code == 1011 else ""

    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        if ready:
            await ws.send(READY)
            await ws.recv()
        await ws.close(code, reason)

    async def scenario() -> None:
        async with service(handler) as endpoint:
            talk = Talk()
            expected = {1007: ServiceRefused, 1008: ConnectionEnded if ready else ServiceRefused, 1013: Overloaded}
            kind = expected.get(code, ConnectionEnded)
            if not ready:
                with pytest.raises(kind):
                    await talk.open(endpoint)
                assert talk.ends == []
                return
            connection = await talk.open(endpoint)
            connection.send(talk.protocol.audio_stream_end())
            error = await talk.end()
            assert type(error) is kind
            if isinstance(error, ConnectionEnded):
                assert (error.code, error.reason) == (code, reason)
            assert not connection.is_open
            connection.send(talk.protocol.audio_stream_end())  # too late: nothing happens
            await connection.close()
            assert len(talk.ends) == 1

    run(scenario)


def test_a_refused_resumption_asks_for_a_fresh_session() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.close(1007, "Request contains an invalid argument.")

    async def scenario() -> None:
        async with service(handler) as endpoint:
            with pytest.raises(ConnectionEnded) as ended:
                await Talk(handle="stale").open(endpoint)
            assert ended.value.code == 1007

    run(scenario)


def test_a_service_that_says_nothing_is_given_up_in_time() -> None:
    async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def no_setup(ws: ServerConnection) -> None:
        with contextlib.suppress(Exception):
            async for _ in ws:
                pass

    async def scenario() -> None:
        async with raw_service(mute) as endpoint:
            with pytest.raises(NetworkError, match=r"waited 0\.2 s"):
                await Talk().open(endpoint, timeout_s=0.2)
        async with service(no_setup) as endpoint:
            with pytest.raises(NetworkError, match="does not answer the setup"):
                await Talk().open(endpoint, timeout_s=0.3)

    run(scenario)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", NetworkError),
        (b"HTTP/1.1 101 Swit", NetworkError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ServiceRefused),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", ServiceRefused),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf", ServiceRefused),
        (b"A" * 100_000, ServiceRefused),
    ],
)
def test_what_is_no_websocket_service_is_named(said: bytes, kind: type[AgentError]) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            with pytest.raises((NetworkError, ServiceRefused)) as refusal:
                await Talk().open(endpoint)
            if b"Content-Length" not in said:
                assert type(refusal.value) is kind

    run(scenario)


def test_what_is_no_websocket_service_is_not_waited_for() -> None:
    async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async def scenario() -> None:
        async with raw_service(chatty) as endpoint:
            with pytest.raises(ServiceRefused, match="does not speak WebSocket"):
                await Talk().open(endpoint)

    run(scenario)


def test_a_port_that_nobody_serves_is_a_network_error() -> None:
    async def scenario() -> None:
        async with service(answer_setup) as endpoint:
            pass
        with pytest.raises(NetworkError, match="refuses connections"):
            await Talk().open(endpoint)

    run(scenario)


def test_a_session_lost_right_after_the_setup_raises_and_is_not_reported_twice() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        writer.close()

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            try:
                await talk.open(endpoint)
            except NetworkError:
                assert talk.ends == []
            else:
                assert isinstance(await talk.end(), NetworkError)

    run(scenario)


def test_a_session_lost_while_the_setup_is_taken_raises_and_is_not_reported_as_well() -> None:
    class Fragile(LiveConnection):
        def _message(self, data: bytes | bytearray | memoryview) -> None:
            self._abort()
            super()._message(data)

    async def scenario() -> None:
        async with service(answer_setup) as endpoint:
            talk = Talk()
            with pytest.raises(NetworkError):
                await Fragile.open(
                    endpoint=endpoint,
                    headers={},
                    protocol=talk.protocol,
                    on_event=talk.on_event,
                    on_closed=talk.on_closed,
                )
            assert talk.events == [e.SetupComplete()]
            assert talk.ends == []

    run(scenario)


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        (text(OVER)[:10], NetworkError, 0),
        (b"\xff\xff\xff\xff\xff\xff", ConnectionEnded, 1002),
        (b"\x82\x7f" + struct.pack("!Q", MAX_MESSAGE_BYTES + 1), ConnectionEnded, 1009),
    ],
    ids=["cut in mid-frame", "against the rules", "oversize"],
)
def test_a_stream_that_breaks_ends_the_connection(said: bytes, kind: type[AgentError], code: int) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        await reader.read(10)
        writer.write(said)
        await writer.drain()
        writer.close()

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            (await talk.open(endpoint)).send(talk.protocol.audio_stream_end())
            error = await talk.end()
            assert type(error) is kind
            assert not isinstance(error, ConnectionEnded) or error.code == code

    run(scenario)


def test_a_long_message_within_the_bound_arrives_whole() -> None:
    pcm = "A" * (MAX_MESSAGE_BYTES - 1000) + "=" * 0
    pcm = pcm[: len(pcm) // 4 * 4]
    message = f'{{"serverContent":{{"modelTurn":{{"parts":[{{"inlineData":{{"data":"{pcm}"}}}}]}}}}}}'

    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(READY)
        await ws.send([message[n : n + 500_000] for n in range(0, len(message), 500_000)])
        await ws.wait_closed()

    async def scenario() -> None:
        async with service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            event = (await talk.until(2))[1]
            assert isinstance(event, e.Audio)
            assert len(event.pcm) == len(pcm) // 4 * 3
            await connection.close()

    run(scenario)


def unsent(connection: LiveConnection) -> int:
    """Bytes the kernel holds of us that were never put on the wire (Linux: SIOCOUTQNSD)."""
    assert connection._transport is not None
    sock = connection._transport.get_extra_info("socket")
    return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), 0x894B, b"\0\0\0\0"))[0])


@pytest.mark.parametrize("secure", [False, True])
def test_a_slow_line_is_noticed_at_once_and_nothing_is_lost(secure: bool) -> None:
    context = server_context("cert-valid") if secure else None

    async def scenario() -> None:
        go_on = asyncio.Event()
        received: list[str | bytes] = []

        async def slow(ws: ServerConnection) -> None:
            await ws.recv()
            await ws.send(READY)
            ws.transport.pause_reading()
            await go_on.wait()
            ws.transport.resume_reading()
            received.extend([message async for message in ws])

        async with service(slow, context) as endpoint:
            talk = Talk()
            writable_again = asyncio.Event()
            connection = await talk.open(endpoint, ssl_context=client_context("cert-valid") if secure else None)
            connection.on_writable = writable_again.set
            assert connection.writable
            sent = 0
            while connection.writable:
                connection.send(talk.protocol.text(f"{sent} " + "x" * 1700))
                sent += 1
                await asyncio.sleep(0)
                assert sent < 20_000
            # What was handed over cannot be taken back, so no more may wait than one message and the one just written.
            assert unsent(connection) <= 2 * 2048
            assert connection._transport is not None
            assert connection._transport.get_write_buffer_size() == 0
            go_on.set()
            async with asyncio.timeout(10):
                await writable_again.wait()
            assert connection.writable
            await connection.close()
        numbers = [int(re.findall(r'"text":"(\d+) ', str(message))[0]) for message in received]
        assert numbers == list(range(sent))

    run(scenario)


@pytest.mark.parametrize("secure", [False, True])
def test_a_large_still_holds_back_what_follows_until_it_is_gone(secure: bool) -> None:
    context = server_context("cert-valid") if secure else None

    async def scenario() -> None:
        go_on = asyncio.Event()

        async def slow(ws: ServerConnection) -> None:
            await ws.recv()
            await ws.send(READY)
            ws.transport.pause_reading()
            await go_on.wait()
            ws.transport.resume_reading()
            await ws.recv()
            await ws.wait_closed()

        async with service(slow, context, max_size=None) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint, ssl_context=client_context("cert-valid") if secure else None)
            waiting = asyncio.Event()

            def on_writable() -> None:
                assert connection._transport is not None
                assert connection._transport.get_write_buffer_size() == 0
                waiting.set()

            connection.on_writable = on_writable
            connection.send(talk.protocol.image(b"\xff\xd8" + b"x" * 9_000_000))
            assert not connection.writable
            await asyncio.sleep(0.1)
            assert not connection.writable
            assert not waiting.is_set()
            go_on.set()
            async with asyncio.timeout(10):
                await waiting.wait()
            await connection.close()

    run(scenario)


def test_a_line_whose_kernel_cannot_be_asked_counts_its_own_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with service(answer_setup) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            wire = connection._wire
            assert wire is not None
            monkeypatch.setattr(wire, "get_extra_info", lambda _name, default=None: default)
            assert connection.writable
            monkeypatch.setattr(wire, "get_write_buffer_size", lambda: HELD_BYTES + 1)
            assert not connection.writable
            await connection.close()

    run(scenario)


def test_a_late_pong_harms_nothing_while_something_else_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.1)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        while True:
            await asyncio.sleep(0.02)
            writer.write(text(OVER))

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint, ping_interval_s=0.03, dead_after_s=0.3)
            await talk.until(40)  # 0.8 s without a single pong
            assert talk.ends == []
            await connection.close()

    run(scenario)


def test_a_pong_that_takes_35_s_never_ends_a_session() -> None:
    """An hour in virtual time, with the pings and the patience of the device as it is shipped."""
    pings: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        while data := await reader.read(10_000):
            if data.startswith(b"\x89\x80"):  # and not what is left of the setup
                pings.append(data)
                asyncio.get_running_loop().call_later(35.0, writer.write, b"\x8a\x00")

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            await asyncio.sleep(3590.0)
            assert connection.is_open
            assert talk.ends == []
            assert len(pings) == 179
            await connection.close()

    virtual.run(scenario())


@pytest.mark.parametrize("every_s", [1.0, 59.0])
def test_pongs_that_never_come_never_end_a_session_that_hears_something_else(every_s: float) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        while True:
            await asyncio.sleep(every_s)
            writer.write(text(OVER))

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            await asyncio.sleep(3600.0)
            assert connection.is_open
            assert len(talk.events) > 3600 / every_s - 2
            await connection.close()

    virtual.run(scenario())


def test_a_black_hole_is_noticed_after_a_minute_and_not_before() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        while await reader.read(1000):
            pass

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with raw_service(handler) as endpoint:
            talk = Talk()
            await talk.open(endpoint)
            heard_at = loop.time()
            async with asyncio.timeout(100):
                await talk.ended.wait()
            assert loop.time() - heard_at == pytest.approx(60.0, abs=1.0)
            (error,) = talk.ends
            assert isinstance(error, NetworkError)
            assert error.kind == "silent"

    virtual.run(scenario())


def test_a_line_on_which_nothing_comes_back_is_dead() -> None:
    pings: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        while data := await reader.read(1000):
            pings.append(data)

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            await talk.open(endpoint, ping_interval_s=0.05, dead_after_s=0.2)
            error = await talk.end()
            assert isinstance(error, NetworkError)
            assert error.fault is Fault.NETWORK
            assert "Nothing came" in str(error)

    run(scenario)
    assert b"\x89\x80" in b"".join(pings)  # we did ask


def test_pongs_keep_a_silent_session_alive_and_pings_are_answered() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(READY)
        for _ in range(10):
            await (await ws.ping())
            await asyncio.sleep(0.05)
        await ws.send(OVER)
        await ws.wait_closed()

    async def scenario() -> None:
        async with service(handler, ping_interval=None) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint, ping_interval_s=0.05, dead_after_s=0.2)
            await talk.until(2)
            await asyncio.sleep(0.3)
            assert talk.ends == []
            await connection.close()

    run(scenario)


def test_closing_ends_in_time_whatever_the_service_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.1)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        while await reader.read(1000):
            pass
        await asyncio.sleep(10)

    async def scenario() -> None:
        async with raw_service(deaf) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            await asyncio.gather(connection.close(), connection.close(1001))
            assert await talk.end() is None
            await connection.close()
            assert talk.ends == [None]

    run(scenario)


def test_a_service_that_says_goodbye_and_stays_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_TIMEOUT_S", 0.1)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await shake_hands(reader, writer)
        writer.write(Frame(Opcode.CLOSE, struct.pack("!H", 1001) + b"restart").serialize(mask=False))
        while True:
            await asyncio.sleep(0.02)
            writer.write(b"\0" * 10)

    async def scenario() -> None:
        async with raw_service(handler) as endpoint:
            talk = Talk()
            with contextlib.suppress(ConnectionEnded):
                await talk.open(endpoint)
                error = await talk.end()
                assert isinstance(error, ConnectionEnded)
                assert (error.code, error.reason) == (1001, "restart")

    run(scenario)


def test_the_close_code_is_the_one_we_gave() -> None:
    codes: list[int | None] = []

    async def handler(ws: ServerConnection) -> None:
        await answer_setup(ws)
        codes.append(ws.close_code)

    async def scenario() -> None:
        async with service(handler) as endpoint:
            connection = await Talk().open(endpoint)
            await connection.close(1001)

    run(scenario)
    assert codes == [1001]


def test_a_cancelled_opening_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def no_setup(ws: ServerConnection) -> None:
            with contextlib.suppress(Exception):
                async for _ in ws:
                    pass
            gone.set()

        async with service(no_setup) as endpoint:
            talk = Talk()
            opening = asyncio.ensure_future(talk.open(endpoint))
            await asyncio.sleep(0.1)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            async with asyncio.timeout(5):
                await gone.wait()
            assert talk.ends == []

    run(scenario)


def test_an_opening_cancelled_in_the_moment_it_succeeds_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def taken(ws: ServerConnection) -> None:
            await answer_setup(ws)
            await ws.wait_closed()
            gone.set()

        async with service(taken) as endpoint:
            talk = Talk()
            loop = asyncio.get_running_loop()
            talk.on_event = lambda _event: loop.call_soon(opening.cancel)  # type: ignore[assignment, method-assign]
            opening = asyncio.ensure_future(talk.open(endpoint))
            with pytest.raises(asyncio.CancelledError):
                await opening
            async with asyncio.timeout(5):
                await gone.wait()

    run(scenario)


def test_a_listener_that_fails_is_reported_and_the_session_goes_on() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(READY)
        await ws.recv()
        await ws.send(OVER)
        await ws.send(OVER)
        await ws.wait_closed()

    async def scenario() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        async with service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            healthy = talk.on_event

            def faulty(event: e.ServerEvent) -> None:
                healthy(event)
                raise KeyError("a bug of ours")

            connection._audience._on_event = faulty
            connection.send(talk.protocol.audio_stream_end())
            assert len(await talk.until(3)) == 3
            assert connection.is_open
            await connection.close()
        assert [type(report["exception"]) for report in reports] == [KeyError, KeyError]

    run(scenario)


def test_a_tap_sees_every_message_and_cannot_hurt_the_session() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(READY)
        await ws.recv()
        await ws.send([OVER[:9], OVER[9:]])
        await ws.recv()
        await ws.send(OVER)
        await ws.wait_closed()

    seen: list[tuple[str, bytes]] = []
    reported: list[Any] = []

    def tap(direction: str, message: bytes) -> None:
        seen.append((direction, message))
        if len(seen) == 4:
            raise RuntimeError("the disk is full")

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        async with service(handler) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint, tap=tap)
            frame = talk.protocol.audio_stream_end()
            connection.send(frame)
            await talk.until(2)
            setup = seen[0][1]
            assert b'"setup"' in setup
            assert seen == [("up", setup), ("down", READY), ("up", frame), ("down", OVER)]
            connection.send(frame)
            await talk.until(3)
            assert len(seen) == 4
            assert connection.is_open
            await connection.close()

    run(scenario)
    assert [str(one) for one in reported] == ["the disk is full"]


def server_context(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / f"{name}.pem")
    return context


def client_context(name: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(DATA / f"{name}.pem"))


def test_tls_with_a_certificate_we_were_told_to_trust() -> None:
    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(READY)
        await ws.recv()
        await ws.send(OVER)
        await ws.wait_closed()

    async def scenario() -> None:
        async with service(handler, server_context("cert-valid")) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint, ssl_context=client_context("cert-valid"))
            connection.send(talk.protocol.audio(b"\0\0" * 640))
            assert (await talk.until(2))[1] == e.TurnComplete("", True)
            await connection.close()
            assert talk.ends == [None]

    run(scenario)


@pytest.mark.parametrize(
    ("name", "trusted", "fault", "words"),
    [
        ("cert-valid", False, Fault.NETWORK, "cannot be trusted"),
        ("cert-not-yet-valid", True, Fault.CLOCK, "clock is wrong"),
        ("cert-expired", True, Fault.NETWORK, "has expired"),
    ],
)
def test_a_certificate_that_cannot_be_trusted(name: str, trusted: bool, fault: Fault, words: str) -> None:
    async def scenario() -> None:
        async with service(answer_setup, server_context(name)) as endpoint:
            context = client_context(name) if trusted else None
            with pytest.raises(NetworkError, match=words) as refusal:
                await Talk().open(endpoint, ssl_context=context)
            assert refusal.value.fault is fault

    run(scenario)


def test_a_service_without_tls_where_tls_was_wanted() -> None:
    async def scenario() -> None:
        async with service(answer_setup) as plain:
            endpoint = Endpoint.resolve(str(plain).replace("ws://", "wss://"))
            with pytest.raises(NetworkError, match=r"broke off|No safe"):
                await Talk().open(endpoint)

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.close()

        async with raw_service(hang_up) as plain:
            endpoint = Endpoint.resolve(str(plain).replace("ws://", "wss://"))
            with pytest.raises(NetworkError, match=r"broke off|No safe"):
                await Talk().open(endpoint)

    run(scenario)


def test_the_key_is_in_no_log_exception_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="edge_agent.live.websocket")

    async def telltale(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(READY)
        await ws.recv()
        await ws.close(1008, f"API key {KEY} not valid")

    def refuse(ws: ServerConnection, request: Request) -> Response:
        return ws.respond(HTTPStatus.FORBIDDEN, json.dumps({"error": {"status": KEY, "message": str(request)}}))

    async def scenario() -> None:
        shown: list[str] = []
        async with service(telltale) as endpoint:
            talk = Talk()
            connection = await talk.open(endpoint)
            shown.append(repr(connection))
            connection.send(talk.protocol.audio_stream_end())
            error = await talk.end()
            assert isinstance(error, CredentialError)
            shown += traceback.format_exception(error)
        async with service(telltale, process_request=refuse) as endpoint:
            with pytest.raises(CredentialError) as refusal:
                await Talk().open(endpoint)
            shown += traceback.format_exception(refusal.value)
        assert not [line for line in shown if KEY in line]

    run(scenario)
    assert KEY not in caplog.text

"""The twin as a server: a thin WebSocket shell around `session`, one `Session` per connection.

    async with Twin(script=Script(...), key="test-key", port=0, tls=None) as twin:
        twin.url                        # "ws://127.0.0.1:40123", to put into live.url
        await twin.answer(Say("Yes."))  # what the next turn gets, before any rule
        await twin.perform(GoAway(5))   # now, on every open session
        twin.drop_connections()         # cut, no close frame
        await twin.wait_for(lambda t: t.sessions and t.sessions[0].texts)
        twin.sessions[0].audio          # see `record`

Plain `ws://` is offered on loopback only; with an `ssl.SSLContext` it is `wss://`. The handshake is refused as Google
refuses it: unknown path 404, no key 403, wrong key 400, wrong token 401. A key in the query works and is noted in the
record. Keys never enter the record or the log.

The same port answers requests of the standard API (`rest`); they are kept in `twin.requests`. With `twin.blocked_with`
every upgrade meets a page of HTML with this HTTP status, as behind a proxy that lets only requests pass.

Text of `Say` steps is spoken before it is needed, in a worker thread; the loop never waits for espeak-ng.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import http
import ipaddress
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response

from edge_agent.simulator import frames, handshake, scriptfile, voice
from edge_agent.simulator.performer import Answer
from edge_agent.simulator.record import Handles, Limits, Mark, SessionRecord
from edge_agent.simulator.replay import Connection as Recorded
from edge_agent.simulator.replay import Recording, Refused, ReplaySession
from edge_agent.simulator.rest import Exchange, HttpRequest, Rest
from edge_agent.simulator.script import Call, Rule, Rules, Say, Script, Step, Turn
from edge_agent.simulator.session import Session

log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.WARNING)  # below, the library would log handshake headers, keys included

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # a still of 10 MB in base64
CLOSE_TIMEOUT_S = 1.0

_POST = b"POST "
_PAGE = b"<!DOCTYPE html>\n<html><body><h1>Blocked</h1><p>Your organisation does not allow this.</p></body></html>\n"
_SLOW_BUFFER_BYTES = 4096  # the least the kernel grants; a message of 40 ms has 1.8 kB


class Twin:
    """The Live API twin; see the module docstring.

    Args:
        script: what it does, or the path of a script file.
        key: the API key, access token or ephemeral token it accepts.
        host: where it listens; without `tls` a loopback address.
        port: 0 takes a free one.
        tls: makes it `wss://`.
        limits: bounds what each session's record keeps.
        clock: seconds, monotonic.
        on_mark: called in the loop with the session's number for every entry of the log, as it is made.
        replay: a recording whose connections are played before the script serves any.
    """

    def __init__(
        self,
        script: Script | Path | None = None,
        *,
        key: str = "test-key",
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_mark: Callable[[int, Mark], None] | None = None,
        replay: Recording | None = None,
    ) -> None:
        if tls is None and not _loopback(host):
            raise ValueError(f"without TLS the twin listens on this machine only, not on {host}: give a certificate")
        self.script = scriptfile.load(script) if isinstance(script, Path) else script or Script()
        self.sessions: list[SessionRecord] = []
        self.refused: list[int] = []  # HTTP status of every refused handshake
        self.errors: list[BaseException] = []  # what brains raised
        self.refuse_with: int | None = self.script.handshake_status  # HTTP status for the handshakes to come
        self.blocked_with: int | None = self.script.blocked_status  # HTTP status of the page that upgrades meet
        self.clock = clock
        self._host, self._port, self._tls = host, port, tls
        self._limits = limits or Limits()
        self._on_mark = on_mark
        self._attempts = deque(replay.attempts if replay is not None else ())
        self._rules = Rules(self.script)
        self._handles = Handles()
        self._rest = Rest(lambda: self.script, self._rules, key=key, voiced=_voiced, on_request=self._tell_waiters)
        self._young: set[_Connection] = set()
        self._lines: set[_Line] = set()
        self._waiters: list[tuple[Callable[[Twin], Any], asyncio.Future[Any]]] = []
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        rules = [dataclasses.replace(rule, steps=await _voiced(rule.steps)) for rule in self.script.rules]
        self._rules.replace(rules)
        self._server = await serve(
            self._connected,
            self._host,
            self._port,
            ssl=self._tls,
            process_request=self._check_handshake,
            create_connection=functools.partial(_Connection, self._rest.answer, self._young),  # type: ignore[arg-type]  # it is called only
            compression="deflate" if self.script.deflate else None,
            ping_interval=None,
            open_timeout=None,  # a request may take its time; who never sends a handshake is cut with the twin
            max_queue=1 if self.script.uplink_bytes_per_s else 16,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_MESSAGE_BYTES,
            server_header=None,
            logger=_wire_log,
        )
        for listener in self._server.sockets:
            self._port = listener.getsockname()[1]
            if self.script.uplink_bytes_per_s:  # connections inherit it; the sender then feels the slow line
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SLOW_BUFFER_BYTES)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            for connection in tuple(self._young):
                connection.transport.abort()
            self._server.close(close_connections=True)
            await self._server.wait_closed()
            self._server = None

    @property
    def url(self) -> str:
        """Scheme, host and port, as `live.url` wants it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'ws' if self._tls is None else 'wss'}://{host}:{self._port}"

    @property
    def requests(self) -> list[HttpRequest]:
        """Every request of the standard API, in order."""
        return self._rest.requests

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def key(self) -> str:
        """The key or token that the handshakes to come must show; open sessions live on."""
        return self._rest.key

    @key.setter
    def key(self, key: str) -> None:
        self._rest.key = key

    @property
    def session(self) -> SessionRecord:
        """The newest session's record."""
        return self.sessions[-1]

    async def answer(self, *steps: Step) -> None:
        """Answer the next turn of any session with these steps, before any rule; several calls make a queue."""
        self._rules.next.append(await _voiced(steps))

    async def add_rule(self, rule: Rule) -> None:
        """Put a rule before all others."""
        self._rules.add(dataclasses.replace(rule, steps=await _voiced(rule.steps)))

    async def perform(self, *steps: Step, session: int | None = None) -> None:
        """Do steps now, outside any turn, on the session of this number, or on every open one."""
        voiced = await _voiced(steps)
        for line in tuple(self._lines):
            if session in (None, line.session.record.number):
                line.session.perform(voiced, self.clock())
                line.kick()

    def drop_connections(self) -> None:
        """Cut every connection without a close frame."""
        for line in tuple(self._lines):
            line.cut()

    async def wait_for(self, condition: Callable[[Twin], Any], *, timeout_s: float = 10.0) -> Any:
        """Return the first true value of `condition(twin)`, asked whenever something was received or sent.

        An IndexError, such as from `twin.session` before anyone connected, counts as "not yet".

        Raises:
            TimeoutError: it did not become true in time; says what the log last held.
        """
        value = self._ask(condition)
        if value:
            return value
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            tail = list(self.sessions[-1].marks)[-12:] if self.sessions else []
            seen = " ".join(f"{mark.who[0]}:{mark.kind}" for mark in tail) or "no session"
            raise TimeoutError(f"the twin waited {timeout_s:g} s in vain; it last saw: {seen}") from None
        finally:
            self._waiters.remove(entry)

    def changed(self, record: SessionRecord, seen: int) -> int:
        """Tell waiters and the observer what was logged beyond `seen` entries; returns the new count."""
        new = min(record.marked - seen, len(record.marks))
        if self._on_mark is not None and new:
            for mark in list(record.marks)[-new:]:
                self._on_mark(record.number, mark)
        self._tell_waiters()
        return record.marked

    def _tell_waiters(self) -> None:
        for condition, future in tuple(self._waiters):
            if future.done():
                continue
            try:
                value = self._ask(condition)
            except Exception as error:  # noqa: BLE001  the condition is the caller's: it hears of it
                future.set_exception(error)
                continue
            if value:
                future.set_result(value)

    def _ask(self, condition: Callable[[Twin], Any]) -> Any:
        try:
            return condition(self)
        except IndexError:
            return None

    def _check_handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        recorded = self._attempts[0] if self._attempts else None
        if isinstance(recorded, Refused):
            self._attempts.popleft()
            self.refused.append(recorded.status)
            if not recorded.status:
                connection.transport.abort()
            return _response(connection, recorded.status or 503, "As recorded.", page=recorded.page)
        status, sentence = handshake.judge(request.path, request.headers, key=self.key)
        if self.refuse_with is not None:
            status, sentence = self.refuse_with, "The twin was told to refuse."
        if self.blocked_with is not None:
            status = self.blocked_with
        if status == http.HTTPStatus.OK:
            return None
        self.refused.append(status)
        return _response(connection, status, sentence, page=self.blocked_with is not None)

    async def _connected(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None:
            return
        target = handshake.read(request.path)
        record = SessionRecord(
            number=len(self.sessions) + 1,
            path=target.path,
            headers=handshake.redact(request.headers.raw_items()),
            key_in_query=target.key_in_query,
            limits=self._limits,
        )
        self.sessions.append(record)
        session: Session | ReplaySession
        recorded = self._attempts.popleft() if self._attempts else None
        if isinstance(recorded, Recorded):
            session = ReplaySession(recorded, record=record, platform=target.platform)
        else:
            session = Session(
                self.script,
                record=record,
                handles=self._handles,
                rules=self._rules,
                api_version=target.api_version,
                platform=target.platform,
            )
        line = _Line(self, connection, session)
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)


class _Connection(ServerConnection):
    """A server connection whose pongs can be held back, and which leaves POST requests to the other API.

    `young` holds the connections that have not begun a handshake: the library does not end them by itself.
    """

    pong_delay: Callable[[], float | None] = staticmethod(lambda: 0.0)
    """Seconds until a ping is answered, None: never."""

    def __init__(
        self,
        answer: Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, bytes]]],
        young: set[_Connection],
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


class _Line:
    """One connection: a reader, and a pump that sends what the session has due."""

    def __init__(self, twin: Twin, connection: ServerConnection, session: Session | ReplaySession) -> None:
        self.session = session
        self._twin = twin
        self._connection = connection
        self._wake = asyncio.Event()
        self._brains: set[asyncio.Task[None]] = set()
        self._seen = 0
        self._cut = False
        if isinstance(connection, _Connection):
            connection.pong_delay = self._pong_delay

    def kick(self) -> None:
        """Let the pump look at the session again."""
        self._wake.set()

    def cut(self) -> None:
        """Abort the TCP connection."""
        self._cut = True
        self._connection.transport.abort()

    async def run(self) -> None:
        """Serve until the connection has ended."""
        pump = asyncio.create_task(self._pump())
        try:
            await self._read()
        finally:
            pump.cancel()
            for task in (*self._brains, pump):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                    await task
            self._note_end()

    async def _read(self) -> None:
        rate = self._twin.script.uplink_bytes_per_s
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await self._connection.recv()
                if rate:
                    await asyncio.sleep(len(frame) / rate)
                self.session.receive(frame, self._twin.clock())
                self._after()

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for out in self.session.tick(self._twin.clock()):
                await self._put(out)
            self._after(kick=False)
            due = self.session.due
            timer = None if due is None else loop.call_later(max(0.0, due - self._twin.clock()), self._wake.set)
            await self._wake.wait()
            self._wake.clear()
            if timer is not None:
                timer.cancel()

    def _after(self, *, kick: bool = True) -> None:
        self._seen = self._twin.changed(self.session.record, self._seen)
        wanted, self.session.wanted = self.session.wanted, None
        if wanted is not None:
            task = asyncio.create_task(self._think(*wanted))
            self._brains.add(task)
            task.add_done_callback(self._brains.discard)
        if kick:
            self._wake.set()

    async def _think(self, answer: Answer, turn: Turn) -> None:
        think = self._twin.script.brain
        if think is None:
            return
        steps = think(turn)
        try:
            async for step in steps:
                self.session.feed(answer, await _voiced((step,)), self._twin.clock())
                self._wake.set()
                if isinstance(step, Call) and step.wait:
                    await self._twin.wait_for(lambda _: answer.hungry or not self.session.alive(answer), timeout_s=3600)
                if not self.session.alive(answer):
                    return
        except Exception as error:  # a brain is the user's code: the session ends as the service would end it
            log.exception("the twin's brain failed")
            self._twin.errors.append(error)
            await self._connection.close(1011, "Internal error encountered.")
        finally:
            close = getattr(steps, "aclose", None)
            if close is not None:
                await close()
            self.session.finish(answer, self._twin.clock())
            self._wake.set()

    async def _put(self, out: frames.Out) -> None:
        match out:
            case frames.Emit():
                await self._connection.send(out.data, text=not out.binary)
            case frames.Close():
                self.session.record.closed_by = "server"
                await self._connection.close(out.code, out.reason)
            case frames.Cut():
                self.cut()
            case frames.HalfFrame():
                self._cut = True
                head = bytes([0x82, 126]) + out.size.to_bytes(2, "big")
                self._connection.transport.write(head + b"{" * (out.size // 2))
                self._connection.transport.close()

    def _pong_delay(self) -> float | None:
        pong = self._twin.script.pong
        if pong == "never" or self.session.stalled(self._twin.clock()):
            return None
        return 0.0 if pong == "normal" else float(pong)

    def _note_end(self) -> None:
        record = self.session.record
        code = 1006 if self._cut else self._connection.close_code or 1006
        record.closed = (code, self._connection.close_reason or "")
        if self._cut or record.closed_by == "server":
            record.closed_by = "server"
        else:
            record.closed_by = "client"
        self.session.lost(self._twin.clock())
        self._seen = self._twin.changed(record, self._seen)


def _response(connection: ServerConnection, status: int, sentence: str, *, page: bool) -> Response:
    response = connection.respond(http.HTTPStatus(status), sentence)
    response.body = _PAGE if page else handshake.refusal(status, sentence)
    kind = "text/html" if page else "application/json; charset=UTF-8"
    for name, value in (("Content-Type", kind), ("Content-Length", str(len(response.body)))):
        del response.headers[name]
        response.headers[name] = value
    return response


async def _voiced(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps with the sound of their text, spoken in a worker thread."""
    voiced: list[Step] = []
    for step in steps:
        if isinstance(step, Say) and step.sound is None:
            voiced.append(dataclasses.replace(step, sound=await asyncio.to_thread(voice.speak, step.text)))
        elif isinstance(step, Call) and step.reply:
            voiced.append(dataclasses.replace(step, reply=await _voiced(step.reply)))
        else:
            voiced.append(step)
    return tuple(voiced)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

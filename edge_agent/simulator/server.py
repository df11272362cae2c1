"""The twin as a server: who may come in, and one `Line` with its `Session` per connection.

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
import dataclasses
import functools
import http
import ipaddress
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from edge_agent.simulator import handshake, scriptfile, voice
from edge_agent.simulator.connection import TwinConnection, refusal
from edge_agent.simulator.line import Line
from edge_agent.simulator.record import Handles, Limits, Mark, SessionRecord
from edge_agent.simulator.replay import Connection as Recorded
from edge_agent.simulator.replay import Recording, Refused, ReplaySession
from edge_agent.simulator.rest import HttpRequest, Rest
from edge_agent.simulator.script import Rule, Rules, Script, Step
from edge_agent.simulator.session import Session

_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.WARNING)  # below, the library would log handshake headers, keys included

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # a still of 10 MB in base64
CLOSE_TIMEOUT_S = 1.0

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
        self._rest = Rest(lambda: self.script, self._rules, key=key, on_request=self._tell_waiters)
        self._young: set[TwinConnection] = set()
        self._lines: set[Line] = set()
        self._waiters: list[tuple[Callable[[Twin], Any], asyncio.Future[Any]]] = []
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        rules = [dataclasses.replace(rule, steps=await voice.voiced(rule.steps)) for rule in self.script.rules]
        self._rules.replace(rules)
        self._server = await serve(
            self._connected,
            self._host,
            self._port,
            ssl=self._tls,
            process_request=self._check_handshake,
            create_connection=functools.partial(TwinConnection, self._rest.answer, self._young),  # type: ignore[arg-type]  # it is called only
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
        self._rules.next.append(await voice.voiced(steps))

    async def add_rule(self, rule: Rule) -> None:
        """Put a rule before all others."""
        self._rules.add(dataclasses.replace(rule, steps=await voice.voiced(rule.steps)))

    async def perform(self, *steps: Step, session: int | None = None) -> None:
        """Do steps now, outside any turn, on the session of this number, or on every open one."""
        voiced = await voice.voiced(steps)
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
            return refusal(connection, recorded.status or 503, "As recorded.", page=recorded.page)
        status, sentence = handshake.judge(request.path, request.headers, key=self.key)
        if self.refuse_with is not None:
            status, sentence = self.refuse_with, "The twin was told to refuse."
        if self.blocked_with is not None:
            status = self.blocked_with
        if status == http.HTTPStatus.OK:
            return None
        self.refused.append(status)
        return refusal(connection, status, sentence, page=self.blocked_with is not None)

    async def _connected(self, connection: ServerConnection) -> None:
        request = connection.request
        if request is None:
            return
        assert isinstance(connection, TwinConnection)  # noqa: S101  for the type checker
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
        line = Line(self, connection, session)
        self._lines.add(line)
        try:
            await line.run()
        finally:
            self._lines.discard(line)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

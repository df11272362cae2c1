"""One open connection of the twin: what comes in goes to its session, and what the session has due goes out in time.

    line = Line(twin, connection, session)
    await line.run()            # until the connection has ended
    line.kick()                 # the session was told something: look again
    line.cut()                  # no close frame

It also runs the script's brain for a turn that no rule answers. All else is the session's, which knows no socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosed

from edge_agent.simulator import frames, voice
from edge_agent.simulator.connection import TwinConnection
from edge_agent.simulator.performer import Answer
from edge_agent.simulator.record import SessionRecord
from edge_agent.simulator.replay import ReplaySession
from edge_agent.simulator.script import Call, Script, Turn
from edge_agent.simulator.session import Session

log = logging.getLogger(__name__)


class Host(Protocol):
    """What a line asks of its twin."""

    script: Script
    clock: Callable[[], float]
    errors: list[BaseException]

    def changed(self, record: SessionRecord, seen: int) -> int:
        """Tell who waits what was logged beyond `seen` entries; returns the new count."""

    async def wait_for(self, condition: Callable[[Any], Any], *, timeout_s: float = ...) -> Any:
        """Return the first true value of the condition."""


class Line:
    """One connection: a reader, and a pump that sends what the session has due."""

    def __init__(self, host: Host, connection: TwinConnection, session: Session | ReplaySession) -> None:
        self.session = session
        self._host = host
        self._connection = connection
        self._wake = asyncio.Event()
        self._brains: set[asyncio.Task[None]] = set()
        self._seen = 0
        self._cut = False
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
        rate = self._host.script.uplink_bytes_per_s
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = await self._connection.recv()
                if rate:
                    await asyncio.sleep(len(frame) / rate)
                self.session.receive(frame, self._host.clock())
                self._after()

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            for out in self.session.tick(self._host.clock()):
                await self._put(out)
            self._after(kick=False)
            due = self.session.due
            timer = None if due is None else loop.call_later(max(0.0, due - self._host.clock()), self._wake.set)
            await self._wake.wait()
            self._wake.clear()
            if timer is not None:
                timer.cancel()

    def _after(self, *, kick: bool = True) -> None:
        self._seen = self._host.changed(self.session.record, self._seen)
        wanted, self.session.wanted = self.session.wanted, None
        if wanted is not None:
            task = asyncio.create_task(self._think(*wanted))
            self._brains.add(task)
            task.add_done_callback(self._brains.discard)
        if kick:
            self._wake.set()

    async def _think(self, answer: Answer, turn: Turn) -> None:
        think = self._host.script.brain
        if think is None:
            return
        steps = think(turn)
        try:
            async for step in steps:
                self.session.feed(answer, await voice.voiced((step,)), self._host.clock())
                self._wake.set()
                if isinstance(step, Call) and step.wait:
                    await self._host.wait_for(lambda _: answer.hungry or not self.session.alive(answer), timeout_s=3600)
                if not self.session.alive(answer):
                    return
        except Exception as error:  # a brain is the user's code: the session ends as the service would end it
            log.exception("the twin's brain failed")
            self._host.errors.append(error)
            await self._connection.close(1011, "Internal error encountered.")
        finally:
            close = getattr(steps, "aclose", None)
            if close is not None:
                await close()
            self.session.finish(answer, self._host.clock())
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
                self._connection.break_off(out.size)

    def _pong_delay(self) -> float | None:
        pong = self._host.script.pong
        if pong == "never" or self.session.stalled(self._host.clock()):
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
        self.session.lost(self._host.clock())
        self._seen = self._host.changed(record, self._seen)

r"""The control socket: what `edge-agent ctl`, scripts and tests use to drive the running daemon.

JSON lines over a Unix stream socket. A request is one object on one line, the answer too:

    {"do": "press"}                 {"ok": true, ...}     or     {"ok": false, "error": "a sentence"}

After `{"do": "watch"}` is answered, every event follows as a line of its own (`{"event": "state", ...}`); the same
connection may go on asking, answers are the lines with "ok". A watcher that reads too slowly loses the oldest
events and is told how many: `{"event": "lost", "count": 12}`.

    server = ControlServer(path, handle)
    await server.start()
    server.publish({"event": "state", "state": "idle"})
    await server.close()

Promises: who may connect is decided by file permission alone (mode 0660). A socket file left by a dead daemon is
replaced, one on which somebody answers is not, and anything that is no socket is never touched. A request that was read
completely is carried out even if its sender is gone. Lines, peers and queues are bounded. Nothing a peer sends
raises: it is answered with a sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import stat
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.errors import AgentError, ConfigError
from edge_agent.service.verbs import refusal

log = logging.getLogger(__name__)

MAX_LINE = 64 * 1024  # bytes of one request; a long typed question is a tenth of that
MAX_PEERS = 32  # a person, a status page and a few scripts; more is a script gone wild
MAX_EVENTS = 512  # waiting for one watcher: most of a minute with level events at 10 per second
MAX_PATH = 107  # bytes; sun_path holds 108 with its final zero

Handle = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes a well-formed request other than `watch`; returns the fields of the answer or raises AgentError."""


class ControlServer:
    """Serves the control socket on the running event loop.

    Args:
        path: Path of the socket file.
        handle: Carries out a request; an answer without "ok" gets `"ok": true`. An AgentError is answered by its
            sentence, any other exception is logged and answered by its name.
        watch: Gives the events a new watcher should see first (such as the present state).
        on_watchers: Told the number of watchers when it changes, so that level events are made only for someone.
    """

    def __init__(
        self,
        path: Path,
        handle: Handle,
        *,
        watch: Callable[[], Iterable[dict[str, Any]]] | None = None,
        on_watchers: Callable[[int], None] | None = None,
    ) -> None:
        self.path = path
        self._handle = handle
        self._watch = watch
        self._on_watchers = on_watchers
        self._server: asyncio.Server | None = None
        self._inode: tuple[int, int] | None = None
        self._peers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._watchers: set[_Watcher] = set()

    @property
    def watchers(self) -> int:
        """How many peers watch."""
        return len(self._watchers)

    async def start(self) -> None:
        """Open the socket.

        Raises:
            ConfigError: the path cannot be used; the sentence says why and what to do.
        """
        sock = _bind(self.path)
        found = self.path.lstat()
        self._inode = (found.st_dev, found.st_ino)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_LINE, backlog=MAX_PEERS)

    def publish(self, event: dict[str, Any]) -> None:
        """Send an event to every watcher; never blocks. Numbers that JSON lacks (infinities, NaN) become null."""
        if not self._watchers:
            return
        line = msgspec.json.encode(event) + b"\n"
        for watcher in self._watchers:
            watcher.put(line)

    async def close(self) -> None:
        """Close every connection and remove the socket file, if it is still ours."""
        if self._server is None:
            return
        self._server.close()
        with contextlib.suppress(FileNotFoundError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._inode:
                self.path.unlink()
        peers = dict(self._peers)
        for task in peers:
            task.cancel()
        if peers:
            await asyncio.wait(peers)
        for writer in peers.values():
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # a peer that does not read must not hold up the end of the daemon
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._peers) >= MAX_PEERS:
            await _answer(writer, {"ok": False, "error": f"{MAX_PEERS} others are connected already; try again later"})
            writer.close()
            return
        self._peers[task] = writer
        watcher = _Watcher(writer)
        try:
            await self._converse(reader, writer, watcher)
        except (ConnectionError, TimeoutError) as error:
            log.debug("a control peer left: %s", error)
        except asyncio.CancelledError:
            log.debug("control socket closes")  # only `close` cancels; the task ends here, and quietly
        finally:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
                self._count_watchers()
            with contextlib.suppress(asyncio.CancelledError):  # `close` may come while the last of it is put away
                await watcher.stop()
            writer.close()
            del self._peers[task]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watcher: _Watcher) -> None:
        while True:
            try:
                line = await reader.readline()  # the last line may lack its line break
            except ValueError:
                sentence = f"the line is longer than {MAX_LINE // 1024} KiB; nothing was done, and the connection ends"
                await _answer(writer, {"ok": False, "error": sentence})
                return
            if not line:
                return
            if line.strip():
                await self._request(line, writer, watcher)

    async def _request(self, line: bytes, writer: asyncio.StreamWriter, watcher: _Watcher) -> None:
        try:
            request = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            await _answer(writer, {"ok": False, "error": f"not a line of JSON: {error}"})
            return
        sentence = refusal(request)
        if sentence:
            await _answer(writer, {"ok": False, "error": sentence})
        elif request["do"] == "watch":
            await _answer(writer, {"ok": True})
            self._start_watching(watcher)
        else:
            await _answer(writer, await self._carry_out(request))

    async def _carry_out(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True, **await self._handle(request)}
        except AgentError as error:
            return {"ok": False, "error": str(error)}
        except Exception as error:
            log.exception("the control request %s failed", request["do"])
            return {
                "ok": False,
                "error": f"{request['do']} failed inside the daemon ({type(error).__name__}); see its log",
            }

    def _start_watching(self, watcher: _Watcher) -> None:
        if watcher in self._watchers:
            return
        for event in self._watch() if self._watch else ():
            watcher.put(msgspec.json.encode(event) + b"\n")
        watcher.start()
        self._watchers.add(watcher)
        self._count_watchers()

    def _count_watchers(self) -> None:
        if self._on_watchers:
            self._on_watchers(len(self._watchers))


class _Watcher:
    """The bounded queue of one watcher and the task that empties it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def put(self, line: bytes) -> None:
        if len(self._lines) >= MAX_EVENTS:
            self._lines.popleft()
            self._lost += 1
        self._lines.append(line)
        self._filled.set()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._pump())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _pump(self) -> None:
        try:
            while True:
                await self._filled.wait()
                while self._lines:
                    if self._lost:
                        lost, self._lost = self._lost, 0
                        self._writer.write(msgspec.json.encode({"event": "lost", "count": lost}) + b"\n")
                    self._writer.write(self._lines.popleft())
                    await self._writer.drain()
                self._filled.clear()
        except ConnectionError as error:
            log.debug("a watcher left: %s", error)


async def _answer(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    with contextlib.suppress(ConnectionError):  # the asker need not wait for the answer
        await writer.drain()


def _bind(path: Path) -> socket.socket:
    """Return a bound socket that does not listen yet, so that its permission is right before anyone can connect."""
    where = f"control.socket = {path}"
    if len(os.fsencode(path)) > MAX_PATH:
        raise ConfigError(
            f"{where}: the path is longer than the {MAX_PATH} bytes a socket may have; choose a shorter one"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        _remove_stale(path, where)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except PermissionError:
        raise ConfigError(f"{where}: {_no_permission(path)}") from None
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror}") from None
    try:
        sock.bind(str(path))
        path.chmod(0o660)
    except PermissionError:
        sock.close()
        raise ConfigError(f"{where}: {_no_permission(path)}") from None
    except OSError as error:
        sock.close()
        raise ConfigError(f"{where}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def _no_permission(path: Path) -> str:
    return (
        f"user {os.geteuid()} may not make files in {path.parent}; "
        f"choose a path you may write, such as {os.environ.get('XDG_RUNTIME_DIR', '/tmp')}/edge-agent.sock"  # noqa: S108  a hint
    )


def _remove_stale(path: Path, where: str) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{where}: a file that is no socket lies there; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(
            False
        )  # a Unix connection is made or refused at once; a full queue says EAGAIN: someone lives
        outcome = probe.connect_ex(str(path))
    if outcome in {errno.ECONNREFUSED, errno.ENOENT}:
        path.unlink(missing_ok=True)
        return
    if outcome == errno.EACCES:
        raise PermissionError
    raise ConfigError(f"{where}: another edge-agent answers there; end it first or give this one another path")

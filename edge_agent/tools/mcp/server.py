"""One MCP server: a session that is kept open, what the server listed, and what is wrong with it.

    server = Server("home", table, deadline_s=10, read_secret=read_token)
    server.start()                       # a task that opens the session, and again whenever it is lost
    server.tools, server.complaints      # what is known now
    await server.call("HassTurnOn", {"name": "lamp"})
    task = server.stop()

`servers` tells what is promised of a server; `child` and `http` are the two ways to reach one, `words` reads
its answers. Everything here runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from edge_agent.config.mcp import McpServer
from edge_agent.errors import ConfigError, NetworkError, Stop
from edge_agent.tools.declare import CannotDeclare, Options
from edge_agent.tools.mcp import child, http
from edge_agent.tools.mcp.words import MAX_SENTENCE, Lost, first_error, reason, refusal, value
from edge_agent.tools.schema import SchemaTool, plain, remote_tool

log = logging.getLogger(__name__)

OPEN_S = 15.0  # until a server has started, shaken hands and listed its tools; interpreters on a Pi need ten
STEADY_S = 60.0  # a session that lasted this long was a good one; the next loss is retried quickly
MAX_WAIT_S = 60.0  # between two attempts
REFUSED_S = 600.0  # until a refused token is tried again
MAX_PAGES = 16  # of a list of tools
_NOISY = ("mcp", "client", "httpx2", "httpcore2")  # they log each request, and errors with their stack


class Server:
    """One server: its session, what it listed, and what is wrong with it."""

    def __init__(self, name: str, table: McpServer, *, deadline_s: float, read_secret: Callable[[str], str]) -> None:
        self.name = name
        self.table = table
        self.tools: Mapping[str, SchemaTool] = {}
        """What it listed last, by the name the model calls; replaced whole."""
        self.tried = asyncio.Event()
        """Set once the first attempt is over."""
        self._deadline_s = deadline_s
        self._read_secret = read_secret
        self._log = log.getChild(name)
        self._fault = ""
        self._skipped: list[str] = []
        self._session: Any = None
        self._status = 0
        self._over = ""
        self._stale = False
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._down = asyncio.Event()
        self._token = ""
        self._refused_until = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def complaints(self) -> list[str]:
        """What is wrong now, one sentence each."""
        return [self._fault, *self._skipped] if self._fault else list(self._skipped)

    def start(self) -> None:
        """Begin to hold a session open, if that has not begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"mcp {self.name}")

    def stop(self) -> asyncio.Task[None] | None:
        """Begin to end the session; return the task that does."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    async def call(self, tool: str, arguments: dict[str, Any]) -> Any:
        """Call a tool and return plain JSON.

        Raises:
            AgentError: a sentence for the model: the server is away, refused, or the tool failed.
        """
        session = self._session
        if session is None:
            self._wanted.set()
            raise NetworkError(self._fault or f"{self.name} is not connected yet; try again in a moment")
        from mcp import types  # noqa: PLC0415  loaded already: there is a session
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415

        self._status = 0
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=arguments))
        try:
            result = await session.send_request(request, types.CallToolResult)
        except MCPError as error:
            if error.code == types.CONNECTION_CLOSED:  # why is told after the requests it took along
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._down.wait(), 1.0)
            if self._session is not session and self._fault:
                raise NetworkError(self._fault) from None
            if self._status:
                raise Stop(f"{self.name}: {refusal(self._status)}") from None
            raise Stop(plain(f"{self.name}: {error.message}", MAX_SENTENCE)) from None
        except ValueError:  # the package's own check of what came
            raise Stop(f"{self.name} answered {tool} with something that is no tool's answer") from None
        return value(self.name, result.model_dump(by_alias=True, mode="json", exclude_none=True))

    # Keeping the session.

    async def _keep(self) -> None:
        """Hold a session open for ever."""
        wait_s = 1.0
        while True:
            begin = time.monotonic()
            try:
                await self._serve()
            except asyncio.CancelledError:
                raise
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  it may fail in any way; the daemon goes on
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise asyncio.CancelledError from None
                self._complain(self._over or reason(error))
                again = not isinstance(first_error(error), ConfigError | ImportError)
            finally:
                self._session = None
                self.tried.set()
                self._down.set()
            wait_s = 1.0 if time.monotonic() - begin > STEADY_S else wait_s
            await self._pause(wait_s * random.uniform(0.5, 1.0) if again else MAX_WAIT_S)  # noqa: S311  no secret
            wait_s = min(2 * wait_s, MAX_WAIT_S)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the model wants one of the tools meanwhile; half a second at least."""
        self._wanted.clear()
        await asyncio.sleep(min(0.5, seconds))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()

    async def _serve(self) -> None:
        """Open a session and stay until it is lost; always raises."""
        await asyncio.to_thread(_load)
        self._status, self._over, self._stale = 0, "", False
        self._news.clear()
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(OPEN_S):
                    session = await self._open(stack)
                    await self._list(session)
            except TimeoutError:
                raise Lost("it does not answer") from None
            except Exception as error:
                if self._status or self._over:
                    raise Lost(self._over or refusal(self._status)) from error
                raise
            self._session = session
            self._down.clear()
            self.tried.set()
            self._well()
            while not self._over:
                if self._stale:
                    self._stale = False
                    async with asyncio.timeout(OPEN_S):
                        await self._list(session)
                await self._news.wait()
                self._news.clear()
            raise Lost(self._over)

    async def _open(self, stack: contextlib.AsyncExitStack) -> Any:
        from mcp import types  # noqa: PLC0415  `_load` has brought it
        from mcp.client.session import ClientSession  # noqa: PLC0415
        from mcp.shared.exceptions import MCPError  # noqa: PLC0415

        from edge_agent import __version__  # noqa: PLC0415

        read, write = await stack.enter_async_context(await self._transport())
        session = await stack.enter_async_context(
            ClientSession(
                read,
                write,
                message_handler=self._told,
                client_info=types.Implementation(name="edge-agent", version=__version__),
            )
        )
        try:
            await session.initialize()
        except MCPError as error:
            if self._status not in {0, 400} or error.code not in {types.METHOD_NOT_FOUND, -32022}:
                raise
            await session.discover()  # a server of 2026 and later that has no handshake
        return session

    async def _transport(self) -> contextlib.AbstractAsyncContextManager[tuple[Any, Any]]:
        table = self.table
        if table.command:
            pairs = [entry.partition("=") for entry in table.env]
            values = {name: await self._resolved(value) for name, _, value in pairs}
            return child.child(table.command, values, self._lose, self._log)
        token = await asyncio.to_thread(self._read_secret, table.token) if table.token else ""
        if token == self._token and time.monotonic() < self._refused_until:
            raise Lost(refusal(401))
        self._token = token
        return http.connection(table.url, token, read_s=self._deadline_s + OPEN_S, told=self._refused)

    async def _resolved(self, value: str) -> str:
        return await asyncio.to_thread(self._read_secret, value) if value.startswith(("file:", "env:")) else value

    async def _list(self, session: Any) -> None:
        """Take what the server lists, as far as it is allowed."""
        listed = [one async for one in _pages(session)]
        everything = self.table.allow == ["*"]
        tools: dict[str, SchemaTool] = {}
        skipped = []
        for one in listed:
            name = str(one.get("name", ""))
            if not everything and name not in self.table.allow:
                continue
            try:
                made = self._tool(name, one)
            except (CannotDeclare, RecursionError) as error:
                skipped.append(f"a tool of {self.name} is not offered: {error}")
                continue
            if made.name in tools:
                skipped.append(f"{plain(name, 60)} of {self.name} is not offered: {made.name} is taken by another")
            else:
                tools[made.name] = made
        names = {str(one.get("name", "")) for one in listed}
        absent = [] if everything else [name for name in self.table.allow if name not in names]
        skipped += [f"mcp.{self.name}.allow names {name}, which the server does not offer" for name in absent]
        for sentence in skipped:
            if sentence not in self._skipped:
                log.warning("%s", sentence)
        self.tools, self._skipped = tools, skipped

    def _tool(self, name: str, listed: Mapping[str, Any]) -> SchemaTool:
        async def call(**arguments: Any) -> Any:
            return await self.call(name, arguments)

        table = self.table
        options = Options(
            behaviour=table.behaviour or None,
            scheduling=table.scheduling or None,
            deadline_s=table.deadline_s or None,
        )
        return remote_tool(listed, call, prefix=table.prefix, options=options, source=f"mcp {self.name}")

    # What the transports and the package tell.

    async def _told(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self._stale = True
            self._news.set()
        elif isinstance(message, Exception):
            self._log.debug("%r", message)

    def _refused(self, status: int) -> None:
        self._status = status
        if status in {401, 403}:
            self._refused_until = time.monotonic() + REFUSED_S
        if status in {401, 403} or (status == 404 and self._session is not None):
            self._lose(refusal(status))

    def _lose(self, why: str) -> None:
        if self._task is None:
            return  # we are leaving, and it does as it is told
        self._over = self._over or why
        self._news.set()
        if self._session is not None:
            self._session = None  # from now on calls are answered at once
            self._complain(why)

    def _complain(self, why: str) -> None:
        sentence = f"{self.name} is not available: {why}"
        if sentence != self._fault:
            log.warning("the MCP server %s", sentence)
        self._fault = sentence

    def _well(self) -> None:
        if self._fault:
            log.info("the MCP server %s is available again", self.name)
        self._fault = ""


async def _pages(session: Any) -> AsyncIterator[Mapping[str, Any]]:
    from mcp import types  # noqa: PLC0415  loaded already: there is a session

    cursor = None
    for _ in range(MAX_PAGES):
        page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor) if cursor else None)
        for one in page.tools:
            yield one.model_dump(by_alias=True, mode="json", exclude_none=True)
        cursor = page.next_cursor
        if not cursor:
            return


def _load() -> None:
    """Load the package, which takes seconds on a small machine; quiet unless we are asked for details."""
    importlib.import_module("mcp.client.session")
    importlib.import_module("mcp.client.streamable_http")
    if not hasattr(importlib.import_module("mcp.types"), "jsonrpc_message_adapter"):
        raise ImportError("mcp 1.x")
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.NOTSET if log.isEnabledFor(logging.DEBUG) else logging.CRITICAL)

"""Tools of MCP servers: kept within reach, declared to the model, and called like any other tool.

    servers = McpTools(config.mcp, deadline_s=config.tools.deadline_s)
    await servers.start()                  # returns at once; the servers are opened in the background
    find_tools(..., extra=servers.tools()) # what is known now; a server that comes later counts at the next connection
    servers.complaints                     # sentences: which server is not there, and why
    servers.replace(fresh.mcp)             # after a reload: only servers that changed are opened again
    await servers.close()                  # within two seconds, child processes included

One session per server is kept open, tried again after 1 to 60 s when it is lost, and at once when the model calls one
of its tools meanwhile. Tools that were listed once stay declared while their server is away: a call is then answered
with a sentence the model can pass on. A loss is logged once, and so is the return. A token is read afresh for every
attempt, so that a renewed one needs no restart; one that was refused is not sent again for ten minutes, because servers
count refusals and shut out who makes too many.

What a server says is bounded and cleaned (`schema`), its pictures and sounds are not passed on, and only names in its
`allow` are offered. A call that is cancelled or takes too long is cancelled at the server as well.

The package `mcp` (extra `edge-agent[mcp]`) is loaded, in a thread, when a server is configured; it takes about 50 MiB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from edge_agent.config.mcp import McpServer
from edge_agent.service import keys
from edge_agent.tools.declare import Tool
from edge_agent.tools.mcp.server import Server

CLOSE_S = 1.8  # for all servers together


def read_token(reference: str) -> str:
    """Return what `file:NAME`, `file:PATH` or `env:NAME` in a server's table refers to; see `keys.read`."""
    return keys.read(reference, what="token", setting="the value in [mcp.NAME]")


class McpTools:
    """The tools of all configured servers.

    Args:
        tables: The servers by the name of their table.
        deadline_s: Seconds a call may take where its server's table says nothing.
        read_secret: Reads what `file:NAME` and `env:NAME` refer to; in a thread.
    """

    def __init__(
        self,
        tables: Mapping[str, McpServer],
        *,
        deadline_s: float = 10.0,
        read_secret: Callable[[str], str] = read_token,
    ) -> None:
        self._deadline_s = deadline_s
        self._read_secret = read_secret
        self._servers = {name: self._server(name, table) for name, table in tables.items()}
        self._started = False
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def complaints(self) -> list[str]:
        """What is wrong now: servers that are not there, tools that cannot be offered; one sentence each."""
        found = [one for server in self._servers.values() for one in server.complaints]
        return found + self._merged()[1]

    async def start(self) -> None:
        """Begin to open every server; returns at once."""
        self._started = True
        for server in self._servers.values():
            server.start()

    async def close(self) -> None:
        """End every session and every child process, within two seconds."""
        self._started = False
        for server in self._servers.values():
            self._leave(server)
        await _ended(self._leaving)

    def replace(self, tables: Mapping[str, McpServer]) -> None:
        """Take other tables: servers whose table is the same keep their session."""
        before = self._servers
        self._servers = {
            name: before[name] if name in before and before[name].table == table else self._server(name, table)
            for name, table in tables.items()
        }
        for name, server in before.items():
            if self._servers.get(name) is not server:
                self._leave(server)
        if self._started:
            for server in self._servers.values():
                server.start()

    def tools(self) -> Mapping[str, Tool]:
        """Return the tools that are known now, by the name the model calls; may be called from any thread."""
        return self._merged()[0]

    async def ready(self, within_s: float) -> None:
        """Wait until every server has been tried once, at most `within_s` seconds."""
        waiting = [asyncio.ensure_future(server.tried.wait()) for server in self._servers.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=within_s)
            for one in late:
                one.cancel()

    def _server(self, name: str, table: McpServer) -> Server:
        return Server(name, table, deadline_s=table.deadline_s or self._deadline_s, read_secret=self._read_secret)

    def _leave(self, server: Server) -> None:
        task = server.stop()
        if task is not None:
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _merged(self) -> tuple[dict[str, Tool], list[str]]:
        tools: dict[str, Tool] = {}
        clashes = []
        for server in self._servers.values():
            for name, one in server.tools.items():
                if name in tools:
                    clashes.append(
                        f"{name} of {one.source} is not offered: {tools[name].source} has a tool of this name already; "
                        f"give mcp.{server.name} a prefix"
                    )
                else:
                    tools[name] = one
        return tools, clashes


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Wait for tasks that were cancelled; what is polite for too long is cancelled again."""
    for seconds in (CLOSE_S, 0.2):
        if tasks:
            await asyncio.wait(set(tasks), timeout=seconds)
        for task in tasks:
            task.cancel()

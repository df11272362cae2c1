"""An MCP server over streamable HTTP that replays an exchange file, and can be revoked, silent, or gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any, Self


class ReplayServer:
    """Answers each request with the first exchange that matches; stateless, one JSON answer for each POST.

    Args:
        exchanges: A file such as `tests/tools/data/home-assistant.json`.
    """

    def __init__(self, exchanges: Path) -> None:
        tree = json.loads(exchanges.read_text())
        self.path: str = tree["path"]
        self.token: str = tree["token"]
        self.accepted = {self.token}
        """Tokens that are good now; empty it to revoke."""
        self.silent = False
        """True: requests are read and never answered."""
        self.session = ""
        """A session id to hand out and insist on; empty: stateless, as Home Assistant is."""
        self.body = b""
        """Sent instead of any answer to tools/call, if set."""
        self.seen: list[dict[str, Any]] = []
        """Every message that came with a good token."""
        self.refusals = 0
        """How many were answered with 401."""
        self.port = 0
        self._exchanges = tree["exchanges"]
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    def methods(self) -> list[str]:
        """The methods of what was seen, in order."""
        return [one["method"] for one in self.seen]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split()
                fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                status, answer, more = self._answer(method, path, fields, body)
                if self.silent:
                    await reader.read()  # until the client hangs up, or we stop
                    break
                kind = "application/json" if answer[:1] in {b"{", b"["} else "text/plain"
                lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(answer)}", *more]
                writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + answer)
                await writer.drain()
        self._open.discard(writer)
        writer.close()

    def _answer(  # noqa: PLR0911  one for each answer
        self, method: str, path: str, fields: dict[str, str], body: bytes
    ) -> tuple[int, bytes, list[str]]:
        if fields.get("authorization", "").removeprefix("Bearer ") not in self.accepted:
            self.refusals += 1
            return 401, b"401: Unauthorized", []
        if path != self.path:
            return 404, b"404: Not Found", []
        if method != "POST":
            return (200, b"", []) if method == "DELETE" else (405, b"405: Method Not Allowed", ["allow: POST"])
        message = json.loads(body)
        self.seen.append(message)
        if self.session and message["method"] != "initialize" and fields.get("mcp-session-id") != self.session:
            return 404, b"404: Not Found", []
        more = [f"mcp-session-id: {self.session}"] if self.session else []
        if "id" not in message:
            return 202, b"", more
        if self.body and message["method"] == "tools/call":
            return 200, self.body, more
        for exchange in self._exchanges:
            wanted = exchange["request"]
            if wanted["method"] == message["method"] and _within(wanted.get("params", {}), message.get("params", {})):
                reply = {"jsonrpc": "2.0", "id": message["id"], **exchange["response"]}
                return 200, json.dumps(reply).encode(), more
        error = {"code": -32601, "message": "Method not found"}
        return 200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode(), more


def _within(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(_within(value, given.get(name)) for name, value in wanted.items())
    return bool(wanted == given)

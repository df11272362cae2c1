"""An MCP server at an address: streamable HTTP, with a token that is shown to nobody, and with bounds.

    async with connection(url, token, read_s=30, told=heard_status) as (read, write):
        session = ClientSession(read, write)

`told` gets the status of every request that the server refused, which the package itself keeps from its callers. An
answer over 4 MiB is cut off. Proxies of the environment are used for https:// only: what goes to the local network
does not leave it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

MAX_ANSWER_BYTES = 4 << 20  # the runner passes on 16 KiB; a list of tools may be longer
CONNECT_S = 5.0


@contextlib.asynccontextmanager
async def connection(
    url: str, token: str, *, read_s: float, told: Callable[[int], None]
) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the two streams an MCP `ClientSession` takes; nothing is sent before that asks for it.

    Args:
        url: Where the server is.
        token: Bearer token; empty for none.
        read_s: Seconds of silence within one answer after which the connection counts as lost.
        told: Called on the event loop with the HTTP status of each refused message.
    """
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415  loaded where a server is configured

    client = await asyncio.to_thread(_client, url, token, read_s, told)  # reads the system's certificates
    async with client, streamable_http_client(url, http_client=client) as streams:
        yield streams[0], streams[1]


def _client(url: str, token: str, read_s: float, told: Callable[[int], None]) -> Any:
    import httpx2  # noqa: PLC0415  what the package speaks HTTP with

    class Bounded(httpx2.AsyncByteStream):
        """An answer's body, as far as it is taken."""

        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            seen = 0
            async for chunk in self._stream:
                seen += len(chunk)
                if seen > MAX_ANSWER_BYTES:
                    raise httpx2.StreamError(f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")
                yield chunk

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def look(response: Any) -> None:
        if response.request.method == "POST":
            response.stream = Bounded(response.stream)
            if response.status_code >= 400:
                told(response.status_code)

    return httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"} if token else {},
        timeout=httpx2.Timeout(CONNECT_S, read=read_s),
        event_hooks={"response": [look]},
        trust_env=url.startswith("https://"),
    )

"""Requests to the service over HTTPS, by httpx: one client for one conversation, errors of the tree.

    requests = Requests(endpoint, headers, "gemini-3.6-flash", siblings="models/gemini-3.8-live")
    await requests.connect(proxy="", ssl_context=None)
    answer = await requests.post("generateContent", body)
    await requests.close()

They go to the host of the Live API, in its version, and to a model beside the Live model. The key stands in the
request header only; what the service says is scrubbed of it. An answer above `MAX_MESSAGE_BYTES` is refused, a
redirection is not followed, and nothing is taken from the environment: the proxy is given. httpx is imported by the
first `connect`, and its logs kept to warnings. Deadlines are the caller's: cancelling `post` drops the request.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import logging
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from edge_agent.errors import AgentError, NetworkError, ServiceRefused
from edge_agent.live import causes
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.reading import MAX_MESSAGE_BYTES

_VERSION = re.compile(r"\.(v\d[0-9a-z]*)\.")
_STATUS = re.compile(r"([2-5]\d\d)\b")


@functools.cache
def _default_context() -> ssl.SSLContext:
    """The trust store once more: httpx writes its own wishes into the context, which a WebSocket must not inherit."""
    return ssl.create_default_context()


class Requests:
    """One client.

    Args:
        endpoint: of the Live API.
        headers: request headers; the one with the key among them.
        model: id of the model that is asked.
        siblings: resource name of the Live model; what stands in it before `models/` stands before the other too.
    """

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], model: str, *, siblings: str) -> None:
        self.bytes_sent = 0
        """Bytes of request bodies, without headers and TLS."""
        self.bytes_received = 0
        """Bytes of answers as they came over the line."""
        self.heard_at = 0.0
        """When the last bytes came, on the loop's clock."""
        self._endpoint = endpoint
        self._headers = headers
        self._model = model
        self._scrub = causes.Scrubber(headers.values())
        version = _VERSION.search(endpoint.path)
        self._path = f"/{version[1] if version else 'v1beta'}/{siblings.rpartition('models/')[0]}models/{model}"
        self._loop = asyncio.get_running_loop()
        self._proxy = ""
        self._client: Any = None

    async def connect(self, proxy: str, ssl_context: ssl.SSLContext | None) -> None:
        """Make the client; nothing is sent yet.

        Raises:
            ServiceRefused: the proxy is of a kind that requests cannot go through.
        """
        httpx = await self._loop.run_in_executor(None, _import_httpx)
        context = ssl_context
        if context is None and self._endpoint.secure:
            context = await self._loop.run_in_executor(None, _default_context)
        host = f"[{self._endpoint.host}]" if ":" in self._endpoint.host else self._endpoint.host
        self._proxy = proxy
        try:
            self._client = httpx.AsyncClient(
                base_url=f"{'https' if self._endpoint.secure else 'http'}://{host}:{self._endpoint.port}",
                headers={**self._headers, "content-type": "application/json"},
                verify=False if context is None else context,  # without TLS there is nothing to verify
                # Names are resolved by a SOCKS5 proxy either way here.
                proxy=proxy.replace("socks5h://", "socks5://", 1) or None,
                trust_env=False,
                timeout=None,
                follow_redirects=False,
            )
        except (ValueError, ImportError):
            raise ServiceRefused(
                "Requests cannot go through this kind of proxy; set link.proxy to an http:// or socks5:// proxy."
            ) from None

    async def post(self, method: str, body: bytes) -> bytes:
        """Return the answer to one request; `method` is `generateContent` or `countTokens`.

        Raises:
            NetworkError, Overloaded, Blocked, Retry: try again later.
            CredentialError, ServiceRefused: a person has to act.
        """
        import httpx  # noqa: PLC0415  in memory since `connect`

        answer, counted = bytearray(), 0
        self.bytes_sent += len(body)
        try:
            async with self._client.stream("POST", f"{self._path}:{method}", content=body) as response:
                self.heard_at = self._loop.time()
                async for piece in response.aiter_bytes():
                    self.heard_at = self._loop.time()
                    answer += piece
                    self.bytes_received += response.num_bytes_downloaded - counted
                    counted = response.num_bytes_downloaded
                    if len(answer) > MAX_MESSAGE_BYTES:
                        raise NetworkError("The answer to a question was larger than this device takes; it is dropped.")
        except httpx.HTTPError as error:
            raise self._lost(error, proxy=isinstance(error, httpx.ProxyError)) from None
        if response.status_code != 200:
            raise self._refused(response.status_code, bytes(answer), response.headers)
        return bytes(answer)

    async def close(self) -> None:
        """Close the client; may be called again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _refused(self, status: int, answer: bytes, headers: Mapping[str, str]) -> AgentError:
        error = causes.http_error(status, answer, self._scrub, host=self._endpoint.host, headers=headers)
        if status == 404 and isinstance(error, ServiceRefused):
            return ServiceRefused(
                f'There is no model "{self._model[:60]}" for requests (HTTP 404); check live.fallback.'
            )
        return error

    def _lost(self, error: BaseException, *, proxy: bool) -> AgentError:
        """Find the system's error under httpx's."""
        host, port = self._endpoint.host, self._endpoint.port
        way = urlsplit(self._proxy)
        if proxy:
            status = _STATUS.match(str(error))
            if status:
                return causes.connect_status_error(int(status[1]), way.hostname or "")
            return causes.socks_error(None, self._scrub(str(error)), way.hostname or "", way.port or 0)
        below: BaseException | None = error
        while below is not None:
            if isinstance(below, ssl.SSLError):
                return causes.tls_error(below, host)
            if isinstance(below, OSError):
                if self._proxy:
                    return causes.connect_error(below, way.hostname or "", way.port or 0, proxy=True)
                return causes.connect_error(below, host, port)
            below = below.__cause__ or below.__context__
        return NetworkError(f"A request to {host} failed on the way ({type(error).__name__}).")


def _import_httpx() -> Any:
    for chatty in ("httpx", "httpcore"):  # below warnings they print addresses, and headers with the key
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return importlib.import_module("httpx")

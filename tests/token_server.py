"""Who gives tokens, as a server of a test's own: a token broker, or Google's token service.

    with TokenServer(broker_answer("auth_tokens/one")) as server:
        server.url            # "http://127.0.0.1:40123"
        server.answer = (403, {}, b"")
        server.asked[0].headers["Authorization"]

It runs in threads, so that a client which blocks can ask it too; they have ended when the block is left.
"""

from __future__ import annotations

import datetime as dt
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CERTIFICATES = Path(__file__).parent / "live" / "data"

Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    certificate: dict[str, Any] | None
    """What the client showed, in a TLS connection where it had to."""


class TokenServer:
    """See the module docstring; `answer` is one for all requests, or makes one from each."""

    def __init__(self, answer: Answer | Callable[[Asked], Answer], *, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.released = threading.Event()
        """An answer whose status is 0 is held back until this is set."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer._handle(self)

            do_GET = do_POST  # noqa: N815  the library's name

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, _request: Any, _address: Any) -> None:
                """A client that breaks off is what some tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            # The handshake belongs to the connection's thread, not to the one that accepts.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._tls = tls is not None
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        scheme, name = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{name}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        connection = handler.connection
        asked = Asked(
            handler.command,
            handler.path,
            dict(handler.headers.items()),
            handler.rfile.read(int(handler.headers.get("Content-Length", 0))),
            connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None,
        )
        self.asked.append(asked)
        status, headers, body = self.answer(asked) if callable(self.answer) else self.answer
        if not status:
            self.released.wait(10.0)
            return
        handler.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)


def server_tls(name: str = "cert-valid", *, client: str = "") -> ssl.SSLContext:
    """TLS of the server, with one of the suite's certificates; `client` is the one it wants to be shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    if client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATES / f"{client}.pem")
    return context


def json_answer(tree: Any, **headers: str) -> Answer:
    return 200, {"Content-Type": "application/json", **headers}, json.dumps(tree).encode()


def broker_answer(
    name: str, *, lasts_s: float = 1800, opens_s: float = 60, now: dt.datetime | None = None, **more: Any
) -> Answer:
    """What Google's auth_tokens answers, `now` by the broker's clock."""
    now = now or dt.datetime.now(dt.UTC)

    def at(seconds: float) -> str:
        return (now + dt.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")

    date = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return json_answer(
        {"name": name, "expireTime": at(lasts_s), "newSessionExpireTime": at(opens_s), **more}, Date=date
    )

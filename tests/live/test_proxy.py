"""Which proxy leads to the service, and that the tunnel through a real one carries the whole session."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import logging
import socket
import ssl
import struct
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from live.proxies import TestProxy, http_proxy, socks4_proxy, socks5_proxy
from websockets.asyncio.server import ServerConnection, serve

from edge_agent import config
from edge_agent.errors import AgentError, Blocked, ConfigError, CredentialError, NetworkError, ProxyRefused
from edge_agent.live import proxy, wire
from edge_agent.live.connection import LiveConnection
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.events import ServerEvent, SetupComplete, TurnComplete
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.setup import build_setup
from edge_agent.service import logs

DATA = Path(__file__).parent / "data"
KEY = "AIzaTest-0123456789_abcdefghijklmnopqrs"
WORD = "Zw1ebelfisch-Kuchen"
LOGIN = ("agent", WORD)
READY = b'{"setupComplete":{}}'
OVER = b'{"serverContent":{"turnComplete":true}}'
QUIET = logging.getLogger("test.server")
QUIET.addHandler(logging.NullHandler())
QUIET.setLevel(logging.CRITICAL)

GOOGLE = Endpoint.resolve("")
Opener = Callable[..., contextlib.AbstractAsyncContextManager[TestProxy]]


@pytest.mark.parametrize(
    ("setting", "environ", "url"),
    [
        ("", {}, ""),
        ("none", {"https_proxy": "http://a:1"}, ""),
        ("http://a:1", {"https_proxy": "http://b:2"}, "http://a:1"),
        ("http://a:1", {"no_proxy": "*"}, "http://a:1"),
        ("", {"HTTPS_PROXY": "http://b:2"}, "http://b:2"),
        ("", {"https_proxy": "http://c:3", "HTTPS_PROXY": "http://b:2"}, "http://c:3"),
        ("", {"https_proxy": "", "HTTPS_PROXY": " http://b:2 "}, "http://b:2"),
        ("", {"https_proxy": "b:2"}, "http://b:2"),
        ("", {"ALL_PROXY": "socks5h://d:4", "https_proxy": "http://c:3"}, "http://c:3"),
        ("", {"ALL_PROXY": "socks5h://d:4"}, "socks5h://d:4"),
        ("", {"HTTP_PROXY": "http://e:5", "http_proxy": "http://e:5"}, ""),
        ("", {"https_proxy": "http://b:2", "no_proxy": "example.org, .googleapis.com"}, ""),
        ("", {"https_proxy": "http://b:2", "NO_PROXY": "googleapis.com:443"}, ""),
        ("", {"https_proxy": "http://b:2", "NO_PROXY": "*.GoogleAPIs.com"}, ""),
        ("", {"https_proxy": "http://b:2", "no_proxy": "googleapis.com:8443,apis.com,,10.0.0.0/8"}, "http://b:2"),
        ("", {"https_proxy": "http://b:2", "no_proxy": "*"}, ""),
    ],
)
def test_the_setting_wins_over_the_environment(setting: str, environ: Mapping[str, str], url: str) -> None:
    assert proxy.resolve(setting, GOOGLE, environ) == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "twin.localhost"])
def test_this_machine_is_never_reached_through_a_proxy(host: str) -> None:
    endpoint = Endpoint.resolve(f"wss://{host}:8443")
    assert proxy.resolve("http://a:1", endpoint, {}) == ""
    assert proxy.resolve("", endpoint, {"https_proxy": "http://a:1"}) == ""


@pytest.mark.parametrize(
    ("host", "no_proxy", "straight"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "1.2.3", False),
        ("[2001:db8::7]", "2001:db8::/32", True),
        ("[2001:db8::7]", "[2001:db8::7]:443", True),
        ("[2001:db8::7]", "[2001:db8::7]", True),
        ("[2001:db8::7]", "10.0.0.0/8", False),
        ("office.example", "fice.example", False),
    ],
)
def test_no_proxy_names_addresses_and_networks(host: str, no_proxy: str, straight: bool) -> None:
    endpoint = Endpoint.resolve(f"wss://{host}")
    assert (proxy.resolve("", endpoint, {"https_proxy": "http://b:2", "no_proxy": no_proxy}) == "") is straight


WRONG = [
    "proxy:3128",
    "https://proxy:3128",
    "ftp://proxy",
    "http://",
    "http://proxy:0",
    "http://proxy:70000",
    "http://proxy:port",
    "http://proxy/path",
    "http://proxy?x=1",
    "None",
]
WRONG_LOGIN = [
    f"http://us%3Aer:{WORD}@proxy",
    f"http://agent:{WORD * 20}@proxy",
    f"socks5://%C3%BC:{WORD}@proxy",
    f"http://agent:{WORD}%FF@proxy",
]


@pytest.mark.parametrize("url", WRONG + WRONG_LOGIN)
def test_what_is_no_proxy_is_refused_by_name_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match=r"link\.proxy") as refusal:
        proxy.resolve(url, GOOGLE, {})
    assert WORD not in "".join(traceback.format_exception(refusal.value))
    with pytest.raises(ConfigError, match="The environment variable HTTPS_PROXY"):
        proxy.resolve("", GOOGLE, {"HTTPS_PROXY": "http://:1" if "://" not in url else url})


def test_the_url_may_lie_in_a_credential(tmp_path: Path) -> None:
    url = f"http://agent:{WORD}@proxy.example:3128"
    (tmp_path / "proxy").write_text(f"{url}\n")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path), "WAY": f" {url}"}
    for setting in ("file:proxy", "env:WAY"):
        assert config.parse({"link": {"proxy": setting}}, source="config.toml").link.proxy == setting
        assert proxy.resolve(setting, GOOGLE, environ) == url
    with pytest.raises(CredentialError, match=r"link\.proxy: There is no credential nothing"):
        proxy.resolve("file:nothing", GOOGLE, environ)
    with pytest.raises(ConfigError, match=r"link\.proxy: the environment variable NOTHING is not a proxy's URL"):
        proxy.resolve("env:NOTHING", GOOGLE, environ)


def test_a_login_is_masked_in_the_log_in_every_form_in_which_it_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    masked = logs.Secrets()
    monkeypatch.setattr(logs, "secrets", masked)
    word = "Kä se/kuchen"
    url = f"http://agent:{quote(word, safe='')}@proxy.example:3128"
    proxy.resolve("", GOOGLE, {"https_proxy": url})
    basic = base64.b64encode(f"agent:{word}".encode()).decode()
    for form in (url, word, quote(word, safe=""), f"Proxy-Authorization: Basic {basic}"):
        shown = masked.mask(f"said {form} loudly")
        assert logs.MASK in shown
        assert "kuchen" not in shown
        assert basic not in shown
    proxy.resolve("http://proxy.example:3128", GOOGLE, {})
    assert masked.mask("http://proxy.example:3128") == "http://proxy.example:3128"


@pytest.mark.parametrize("url", [*WRONG, f"https://agent:{WORD}@proxy", f"http://agent:{WORD}@proxy/path"])
def test_the_configuration_refuses_it_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match=r"link\.proxy") as refusal:
        config.parse({"link": {"proxy": url}}, source="config.toml")
    assert WORD not in str(refusal.value)


@pytest.mark.parametrize(
    "url", ["", "none", "http://p", "http://a:b@p:1/", "socks5://p", "socks5h://[::1]:9", "socks4://p", "socks4a://p"]
)
def test_the_configuration_takes_what_the_connection_takes(url: str) -> None:
    assert config.parse({"link": {"proxy": url}}, source="config.toml").link.proxy == url
    assert proxy.resolve(url, GOOGLE, {}) == ("" if url == "none" else url)


@given(user=st.text(min_size=1, max_size=20), word=st.text(min_size=6, max_size=20))
def test_a_login_is_shown_nowhere(user: str, word: str) -> None:
    word = f"#{word}"
    url = f"http://{quote(user, safe='')}:{quote(word, safe='')}@proxy.example:3128"
    if ":" in user:
        return
    parsed = proxy.Proxy.parse(url)
    assert (parsed.user, parsed.password) == (user, word)
    assert proxy.shown(url) == str(parsed) == "http://proxy.example:3128"
    assert word not in repr(parsed)
    assert {quote(word, safe=""), word} <= set(proxy.secrets(url))


def test_there_are_no_secrets_without_a_login() -> None:
    assert list(proxy.secrets("http://p:1")) == list(proxy.secrets("")) == []
    assert proxy.shown("") == ""
    assert proxy.shown("socks5h://[::1]") == "socks5h://[::1]:1080"


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await scenario()

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def twin() -> AsyncIterator[int]:
    """The service on this machine behind TLS: takes the setup, answers each message with the end of a turn."""

    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(READY)
        async for _ in ws:
            await ws.send(OVER)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(DATA / "cert-valid.pem")
    async with serve(handler, "127.0.0.1", 0, ssl=context, logger=QUIET) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def open_through(
    url: str, endpoint: Endpoint, on_event: Callable[[ServerEvent], None] = lambda _: None, **more: Any
) -> LiveConnection:
    profile = profile_for("gemini-3.8-live")
    return await LiveConnection.open(
        endpoint=endpoint,
        headers={"x-goog-api-key": KEY},
        protocol=LiveProtocol(build_setup(model="gemini-3.8-live", profile=profile), profile),
        on_event=on_event,
        on_closed=lambda _: None,
        ssl_context=ssl.create_default_context(cafile=str(DATA / "cert-valid.pem")),
        proxy=url,
        **{"timeout_s": 5.0, **more},
    )


@pytest.mark.parametrize(
    ("opener", "options", "host", "asked"),
    [
        (http_proxy, {}, "localhost", "localhost"),
        (http_proxy, {"login": LOGIN}, "localhost", "localhost"),
        (http_proxy, {"pieces": 1}, "localhost", "localhost"),
        (http_proxy, {}, "127.0.0.1", "127.0.0.1"),
        (socks5_proxy, {}, "localhost", "localhost"),
        (socks5_proxy, {"login": LOGIN}, "localhost", "localhost"),
        (socks5_proxy, {"scheme": "socks5"}, "localhost", "127.0.0.1"),
        (socks4_proxy, {}, "localhost", "localhost"),
        (socks4_proxy, {"scheme": "socks4"}, "localhost", "127.0.0.1"),
    ],
)
def test_a_session_through_a_proxy(
    opener: Opener, options: dict[str, Any], host: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS goes through to the service: the proxy sees a name and a handshake, and the key never."""

    async def scenario() -> None:
        async with twin() as port, opener(names={"localhost": port}, **options) as way:
            if asked == "127.0.0.1" and host == "localhost":  # IPv6 of localhost leads nowhere here
                loop = asyncio.get_running_loop()
                found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

                async def resolve(*_: Any, **__: Any) -> list[Any]:
                    return found

                monkeypatch.setattr(loop, "getaddrinfo", resolve)
            events: asyncio.Queue[ServerEvent] = asyncio.Queue()
            connection = await open_through(way.url, Endpoint.resolve(f"wss://{host}:{port}"), events.put_nowait)
            assert await events.get() == SetupComplete()
            connection.send(b'{"realtimeInput":{"audioStreamEnd":true}}')
            assert await events.get() == TurnComplete("", True)
            assert connection.writable
            assert way.asked == [f"{asked}:{port}"]
            assert way.seen[:1] == b"\x16"  # a TLS record
            assert KEY.encode() not in way.seen
            transport = connection._transport
            assert transport is not None
            sock = transport.get_extra_info("socket")
            assert sock.getpeername() == ("127.0.0.1", way.port)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == wire.HELD_BYTES
            await connection.close()

    run(scenario)


def wrong(url: str) -> str:
    return url.replace(WORD, "another-word")


def bare(url: str) -> str:
    return url.replace(f"{LOGIN[0]}:{WORD}@", "")


@pytest.mark.parametrize(
    ("opener", "options", "change", "kind", "words"),
    [
        (http_proxy, {"login": LOGIN}, wrong, ProxyRefused, "user name and password"),
        (http_proxy, {"login": LOGIN}, bare, ProxyRefused, "user name and password"),
        (socks5_proxy, {"login": LOGIN}, wrong, ProxyRefused, "user name and password"),
        (socks5_proxy, {"login": LOGIN}, bare, ProxyRefused, "user name and password"),
        (http_proxy, {"answer": b"HTTP/1.1 403 Forbidden\r\n\r\n<html>no</html>"}, str, Blocked, "HTTP 403"),
        (http_proxy, {"answer": b"HTTP/1.0 405 No\n\n"}, str, Blocked, "HTTP 405"),
        (http_proxy, {"names": {}}, str, NetworkError, "cannot reach the service"),
        (http_proxy, {"answer": b""}, str, NetworkError, "broke off"),
        (http_proxy, {"answer": b"HTTP/1.1 200 O"}, str, NetworkError, "broke off"),
        (http_proxy, {"answer": b"SSH-2.0-OpenSSH_9.2\r\n"}, str, ProxyRefused, "is no such proxy"),
        (http_proxy, {"answer": b"HTTP/1.1 abc\r\n\r\n"}, str, ProxyRefused, "is no such proxy"),
        (http_proxy, {"answer": b"HTTP/1.1 200 OK\r\n\r\n<html>"}, str, ProxyRefused, "is no such proxy"),
        (http_proxy, {"answer": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 9000}, str, ProxyRefused, "is no such proxy"),
        (socks5_proxy, {"reply": 2}, str, Blocked, "not allowed"),
        (socks5_proxy, {"reply": 5}, str, NetworkError, "cannot reach the service"),
        (socks5_proxy, {"names": {}}, str, NetworkError, "cannot reach the service"),
        (socks4_proxy, {"reply": 0x5B}, str, NetworkError, "cannot reach the service"),
        (http_proxy, {}, lambda url: url.replace("http", "socks5h"), NetworkError, "cannot be reached"),
    ],
)
def test_a_proxy_that_does_not_let_us_through(  # noqa: PLR0917  one row of the table above
    opener: Opener,
    options: dict[str, Any],
    change: Callable[[str], str],
    kind: type[AgentError],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario() -> None:
        async with opener(**options) as way:
            with pytest.raises(kind, match=words) as refusal:
                await open_through(change(way.url), Endpoint.resolve("wss://live.example"), timeout_s=1.0)
            assert type(refusal.value) is kind
            assert WORD not in "".join(traceback.format_exception(refusal.value))

    run(scenario)
    assert WORD not in caplog.text


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h", "socks4"])
def test_a_proxy_that_is_not_there(scheme: str) -> None:
    async def scenario() -> None:
        url = f"{scheme}://agent:{WORD}@127.0.0.1:{closed_port()}"
        with pytest.raises(NetworkError, match=r"The proxy 127\.0\.0\.1 port \d+ refuses connections") as refusal:
            await open_through(url, Endpoint.resolve("wss://192.0.2.1"))
        assert WORD not in "".join(traceback.format_exception(refusal.value))

    run(scenario)


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_a_proxy_whose_name_is_unknown(scheme: str) -> None:
    async def scenario() -> None:
        with pytest.raises(NetworkError, match=r"name of the proxy proxy\.invalid cannot be resolved"):
            await open_through(f"{scheme}://proxy.invalid:1", Endpoint.resolve("wss://192.0.2.1"))

    run(scenario)


def test_a_service_whose_name_the_device_itself_cannot_resolve() -> None:
    async def scenario() -> None:
        async with socks5_proxy(scheme="socks5") as way:
            with pytest.raises(NetworkError, match=r"The name live\.invalid cannot be resolved"):
                await open_through(way.url, Endpoint.resolve("wss://live.invalid"))

    run(scenario)


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks4a"])
def test_a_proxy_that_says_nothing_is_given_up_in_time_and_its_socket_closed(scheme: str) -> None:
    async def scenario() -> None:
        gone = asyncio.Event()

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while await reader.read(1000):
                    pass
            writer.close()
            gone.set()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        async with server:
            url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            with pytest.raises(NetworkError, match="cannot be reached"):
                await open_through(url, Endpoint.resolve("wss://live.example"), timeout_s=0.2)
            await gone.wait()

    run(scenario)


def test_a_second_address_of_the_proxy_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with twin() as port, http_proxy(names={"localhost": port}) as way:
            loop = asyncio.get_running_loop()
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", closed_port())),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", way.port)),
            ]

            async def resolve(*_: Any, **__: Any) -> list[Any]:
                return found

            monkeypatch.setattr(loop, "getaddrinfo", resolve)
            connection = await open_through(
                f"http://proxy.example:{way.port}", Endpoint.resolve(f"wss://localhost:{port}")
            )
            assert connection.is_open
            await connection.close()

    run(scenario)


def test_a_slow_tunnel_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel holds unsent on the way to the proxy counts as on a straight line."""
    held = {"bytes": 0}

    def ioctl(_fd: int, request: int, _argument: bytes) -> bytes:
        assert request == 0x894B
        return struct.pack("=i", held["bytes"])

    async def scenario() -> None:
        async with twin() as port, http_proxy(names={"localhost": port}) as way:
            connection = await open_through(way.url, Endpoint.resolve(f"wss://localhost:{port}"))
            monkeypatch.setattr(fcntl, "ioctl", ioctl)
            assert connection.writable
            held["bytes"] = wire.HELD_BYTES + 1
            assert not connection.writable
            writable = asyncio.Event()
            connection.on_writable = writable.set
            held["bytes"] = 0
            await writable.wait()
            await connection.close()

    run(scenario)

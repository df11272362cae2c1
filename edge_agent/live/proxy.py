"""The way through a proxy: which one, and the tunnel through it.

    url = resolve(config.link.proxy, endpoint, os.environ)     # "" goes straight
    sock = await tunnel(url, endpoint.host, endpoint.port)     # a socket that ends at the service
    shown(url)                                                 # "http://proxy.example:3128", without user and password

`resolve` takes the setting `link.proxy` before the environment: a URL, or "none" for no proxy whatever the environment
says. Empty, it reads what curl and others read: `https_proxy`, then `all_proxy`, small letters before capitals, and
`no_proxy`, a list of names (with all names below them), addresses, networks such as 10.0.0.0/8, each perhaps with
`:port`, or `*`. This machine itself is never reached through a proxy.

    http://[user:password@]host[:port]       CONNECT; port 8080 if none is given
    socks5h://...   socks4a://...            SOCKS, the proxy resolves the service's name; port 1080
    socks5://...    socks4://...             SOCKS, this device resolves it
    file:NAME       env:NAME                 such a URL in a credential, file or variable, as with live.credential

User name and password are percent-encoded in the URL. A proxy that is itself spoken to with TLS (`https://`) is
refused.

The tunnel carries bytes and nothing else: TLS goes through it to the service. What goes wrong is raised as an error of
the tree (`causes`), within the caller's deadline, with nothing left behind. Name and password are in no exception,
sentence or repr, and what `resolve` returns is masked in the log.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from edge_agent.errors import AgentError, ConfigError, CredentialError, ServiceRefused, failure
from edge_agent.live import causes
from edge_agent.live.endpoint import LOOPBACK, Endpoint
from edge_agent.service import keys, logs

ALLOWED = 'allowed are "", "none", file:NAME, env:NAME, and http://, socks5://, socks5h://, socks4:// or socks4a://[user:password@]host:port'
MAX_LOGIN_BYTES = 255  # what SOCKS 5 can carry of a name, and of a password
MAX_ANSWER_BYTES = 16_384  # of a proxy's header; some send a dozen lines, none a page
ADDRESS_TIMEOUT_S = 3.0  # a proxy with two addresses, one of them dead, costs no more than this

_PORTS = {"http": 8080, "socks5": 1080, "socks5h": 1080, "socks4": 1080, "socks4a": 1080}
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r\n]")


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address; `user` and `password` are empty where it wants none."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str, *, source: str = "link.proxy") -> Proxy:
        """Read a proxy's URL.

        Raises:
            ConfigError: one sentence that names `source` and what is allowed, and never quotes the URL.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
            user, password = (unquote(part or "", errors="strict") for part in (parts.username, parts.password))
        except (ValueError, UnicodeError):
            raise ConfigError(f"{source} is not a proxy's URL; {ALLOWED}") from None
        if parts.scheme == "https":
            raise ConfigError(f"{source} names a proxy that is spoken to with TLS, which is not supported; {ALLOWED}")
        if parts.scheme not in _PORTS or not host or port == 0:
            raise ConfigError(f"{source} is not a proxy's URL; {ALLOWED}")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ConfigError(f"{source} holds more than a proxy's address; {ALLOWED}")
        if ":" in user or any(len(part.encode()) > MAX_LOGIN_BYTES for part in (user, password)):
            raise ConfigError(f"{source}: a proxy's user name and password have 255 bytes at most, the name no colon")
        if parts.scheme != "http" and not (user + password).isascii():
            raise ConfigError(f"{source}: user name and password of a SOCKS proxy are plain ASCII")
        return cls(parts.scheme, host, port or _PORTS[parts.scheme], user, password)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def resolve(setting: str, endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """Return the URL of the proxy that leads to `endpoint`, or "" to go straight. It may hold a password.

    Args:
        setting: the value of `link.proxy`.
        endpoint: where to.
        environ: the environment.

    Raises:
        ConfigError: setting, file or variable is no proxy this program can go through; one sentence.
        CredentialError: the file that the setting names cannot be read.
    """
    if setting == "none" or _is_this_machine(endpoint.host):
        return ""
    if setting:
        return _noted(*_named(setting, environ))
    if _excepted(endpoint, _variable(environ, "no_proxy")[1]):
        return ""
    for name in ("https_proxy", "all_proxy"):
        variable, url = _variable(environ, name)
        if url:
            url = url if "://" in url else f"http://{url}"
            return _noted(url, f"The environment variable {variable}")
    return ""


def shown(url: str) -> str:
    """Return a proxy's URL without user name and password, for logs; "" for no proxy."""
    return str(Proxy.parse(url)) if url else ""


def secrets(url: str) -> Iterable[str]:
    """Return what must be masked wherever it might be printed: the login in each form in which it travels."""
    if not url:
        return []
    proxy = Proxy.parse(url)
    forms = [urlsplit(url).password or "", proxy.password, _basic(proxy) if proxy.user else ""]
    return [form for form in dict.fromkeys(forms) if form]


async def tunnel(url: str, host: str, port: int) -> socket.socket:
    """Return a non-blocking socket through which the proxy forwards to `host`:`port`.

    Raises:
        NetworkError: the proxy, or through it the service, cannot be reached.
        Blocked: the proxy forbids this way.
        ProxyRefused: it wants another name and password, or is no such proxy.
        ConfigError: the URL is none.
    """
    proxy = Proxy.parse(url)
    if proxy.scheme != "http":
        return await _through_socks(proxy, host, port)
    sock = await _reach(proxy)
    try:
        await _ask_to_connect(sock, proxy, host, port)
    except AgentError:
        sock.close()
        raise  # one of ours, which may be an OSError as well
    except OSError:
        sock.close()
        raise failure("proxy-cut", host=proxy.host) from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _reach(proxy: Proxy) -> socket.socket:
    """Connect to the proxy, one address after the other."""
    loop = asyncio.get_running_loop()
    last = OSError("no address")
    try:
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise causes.connect_error(error, proxy.host, proxy.port, proxy=True) from None
    for family, kind, number, _, address in found:
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(ADDRESS_TIMEOUT_S):
                await loop.sock_connect(sock, address)
        except OSError as error:  # TimeoutError is one
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise causes.connect_error(last, proxy.host, proxy.port, proxy=True)


async def _ask_to_connect(sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask an HTTP proxy for the tunnel, and read its answer to the last byte of the header, however it is cut up."""
    loop = asyncio.get_running_loop()
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", "User-Agent: edge-agent"]
    if proxy.user:
        lines.append(f"Proxy-Authorization: Basic {_basic(proxy)}")
    await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
    head = b""
    while (end := _END.search(head)) is None:
        more = await loop.sock_recv(sock, MAX_ANSWER_BYTES)
        head += more
        if not _could_be_http(head) or len(head) > MAX_ANSWER_BYTES:
            raise failure("proxy-none", host=proxy.host, port=proxy.port)
        if not more:
            raise failure("proxy-cut", host=proxy.host)
    status = _STATUS.match(head)
    code = int(status[1]) if status else 0
    # The service waits for us to speak: bytes behind the header of a tunnel that stands are not from it.
    if not code or (200 <= code < 300 and len(head) > end.end()):
        raise failure("proxy-none", host=proxy.host, port=proxy.port)
    if not 200 <= code < 300:
        raise causes.connect_status_error(code, proxy.host)


def _could_be_http(head: bytes) -> bool:
    return head[:5] == b"HTTP/"[: len(head)]


async def _through_socks(proxy: Proxy, host: str, port: int) -> socket.socket:
    try:
        from python_socks import ProxyConnectionError, ProxyError, ProxyType  # noqa: PLC0415  few devices need it
        from python_socks.async_.asyncio import Proxy as Way  # noqa: PLC0415
    except ImportError:
        raise ServiceRefused("SOCKS proxies need the package python-socks; install edge-agent again.") from None
    kind = ProxyType.SOCKS5 if proxy.scheme.startswith("socks5") else ProxyType.SOCKS4
    theirs = proxy.scheme in {"socks5h", "socks4a"}
    way = Way(kind, proxy.host, proxy.port, proxy.user, proxy.password, rdns=theirs)
    try:
        return await way.connect(host, port)
    except ProxyConnectionError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        raise causes.connect_error(cause, proxy.host, proxy.port, proxy=True) from None
    except ProxyError as error:
        if error.__cause__ is not None and type(error.__cause__).__name__ == "IncompleteReadError":
            raise failure("proxy-cut", host=proxy.host) from None
        raise causes.socks_error(error.error_code, str(error), proxy.host, proxy.port) from None
    except socket.gaierror as error:
        raise causes.connect_error(error, host, port) from None  # the service's name, which is ours to resolve
    except OSError:
        raise failure("proxy-cut", host=proxy.host) from None


def _named(setting: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL that the setting is or names, and what to call it."""
    kind, _, name = setting.partition(":")
    if kind == "env":
        return environ.get(name, "").strip(), f"link.proxy: the environment variable {name}"
    if kind != "file":
        return setting, "link.proxy"
    try:
        return keys.read_file(setting, environ=environ).strip(), f"link.proxy: the file {name}"
    except CredentialError as error:
        raise CredentialError(f"link.proxy: {error}") from None


def _noted(url: str, source: str) -> str:
    """Return a URL that is right, its login masked in the log from now on."""
    Proxy.parse(url, source=source)
    for form in secrets(url):
        logs.secrets.add(form)
    return url


def _basic(proxy: Proxy) -> str:
    return base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()


def _variable(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return the name under which a variable is set, and its value."""
    for spelled in (name, name.upper()):
        if value := environ.get(spelled, "").strip():
            return spelled, value
    return name, ""


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    return host in LOOPBACK or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _excepted(endpoint: Endpoint, no_proxy: str) -> bool:
    return any(_matches(entry.strip().lower(), endpoint) for entry in no_proxy.split(","))


def _matches(entry: str, endpoint: Endpoint) -> bool:
    """Tell whether an entry of no_proxy means this endpoint."""
    if entry == "*":
        return True
    address = _address(endpoint.host)
    if address is not None:
        try:
            if address in ipaddress.ip_network(entry.strip("[]"), strict=False):
                return True
        except ValueError:
            pass  # no network; perhaps an address with a port
    name, _, port = entry.rpartition(":") if re.fullmatch(r"[^:]+:\d+|\[.*\]:\d+", entry) else (entry, "", "")
    if port and int(port) != endpoint.port:
        return False
    name = name.strip("[]").removeprefix("*").removeprefix(".")
    host = endpoint.host.lower()
    return bool(name) and (host == name or (address is None and host.endswith(f".{name}")))

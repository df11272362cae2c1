"""What an address, a proxy or a credential may look like: checks for `setting(check=...)`.

Each takes a string and returns what is allowed when it is refused, None when it is fine; `bare_url` and `reach` are
what those of URLs are made of. A secret is named by where it lies (`file:NAME`, `env:NAME`), so that a configuration
can be shown, sent and kept.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Literal
from urllib.parse import SplitResult, urlsplit

_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,99}/[a-z][a-z0-9-]{1,39}")
_LOCAL_ENDINGS = (".local", ".lan", ".home", ".home.arpa", ".internal")  # names that no public server has
_PROXIES = {"http", "socks5", "socks5h", "socks4", "socks4a"}


def live_url(value: str) -> str | None:
    """Allow the address of the Live API: encrypted, or a twin on this machine."""
    if not value:
        return None
    parts = bare_url(value)
    if parts is None:
        return "scheme, host (an IPv6 address in [ ]) and port (1 to 65535) only; keys never stand in a URL"
    host = parts.hostname or ""
    if host and (parts.scheme == "wss" or (parts.scheme == "ws" and reach(host) == "machine")):
        return None
    return "wss://HOST[:PORT], or ws:// to this machine only"


def credential(value: str) -> str | None:
    """Allow a credential of any kind, by where it lies and never itself."""
    kind, _, rest = value.partition(":")
    if kind == "ephemeral" and rest:
        return _broker_url(rest)
    if kind == "vertex" and rest:
        return None if _PLACE.fullmatch(rest) else "vertex:PROJECT/LOCATION, such as vertex:museum-1/europe-west4"
    if kind in {"file", "env"} and rest:
        return None
    return "file:NAME, env:NAME, ephemeral:URL or vertex:PROJECT/LOCATION"


def proxy(value: str) -> str | None:
    """Allow a proxy, or where its address stands."""
    try:
        parts = urlsplit(value)
        known = parts.scheme in _PROXIES and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if value in {"", "none"} or (known and parts.path in {"", "/"} and not parts.query and not parts.fragment):
        return None
    if value.startswith(("file:", "env:")) and "@" not in value and value.partition(":")[2]:
        return None
    return '"", "none", file:NAME, env:NAME, or http://, socks5://, socks5h://, socks4:// or socks4a://[user:password@]host:port'


def secret(value: str) -> str | None:
    """Allow where a secret lies."""
    kind, _, rest = value.partition(":")
    if not value or (kind in {"file", "env"} and rest):
        return None
    return "file:NAME, file:PATH, env:NAME or nothing; the secret itself does not go there"


def file(value: str) -> str | None:
    """Allow where a file of certificates or keys lies."""
    kind, _, rest = value.partition(":")
    return None if not value or (kind == "file" and rest) else "file:NAME, file:PATH or nothing"


def bare_url(value: str) -> SplitResult | None:
    """Take a URL apart; None if it is none, or holds more than scheme, host, port and path."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return None
    more = parts.username or parts.password or parts.query or parts.fragment
    return None if port == 0 or more else parts


def reach(host: str) -> Literal["machine", "network", "public"]:
    """Tell how far away a host of a URL is: this machine, the local network, or anywhere.

    A name without a dot and one under .local, .lan, .home, .home.arpa or .internal is of the local network: no public
    name server knows it.
    """
    if host == "localhost":
        return "machine"
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "network" if "." not in host or host.endswith(_LOCAL_ENDINGS) else "public"
    if address.is_loopback:
        return "machine"
    return "network" if address.is_private and not address.is_unspecified else "public"


def _broker_url(value: str) -> str | None:
    parts = bare_url(value)
    if parts is None:
        return "ephemeral:https://HOST[:PORT][/PATH] and nothing more; secrets never stand in a URL, see [broker]"
    host = parts.hostname or ""
    if host and (parts.scheme == "https" or (parts.scheme == "http" and reach(host) == "machine")):
        return None
    return "ephemeral:https://HOST[:PORT][/PATH], or http:// to this machine only"

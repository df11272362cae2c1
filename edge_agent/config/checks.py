"""What an address, a proxy or a credential may look like: checks for `setting(check=...)`.

Each takes a string and returns what is allowed when it is refused, None when it is fine. A secret is named by where it
lies (`file:NAME`, `env:NAME`), so that a configuration can be shown, sent and kept.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,99}/[a-z][a-z0-9-]{1,39}")
_PROXIES = {"http", "socks5", "socks5h", "socks4", "socks4a"}


def live_url(value: str) -> str | None:
    """Allow the address of the Live API: encrypted, or a twin on this machine."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError as error:
        return f"a URL ({error})"
    loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if port == 0 or parts.username or parts.password or parts.query or parts.fragment:
        return "scheme, host and port (1 to 65535) only; keys never stand in a URL"
    if parts.scheme == "wss" and parts.hostname:
        return None
    if parts.scheme == "ws" and loopback:
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
    return "file:NAME, env:NAME or nothing; the secret itself does not go there"


def file(value: str) -> str | None:
    """Allow where a file of certificates or keys lies."""
    kind, _, rest = value.partition(":")
    return None if not value or (kind == "file" and rest) else "file:NAME, file:PATH or nothing"


def _broker_url(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "ephemeral:https://HOST[:PORT][/PATH]"
    if port == 0 or parts.username or parts.password or parts.query or parts.fragment:
        return "ephemeral: with scheme, host, port and path only; secrets never stand in a URL, see [broker]"
    loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        return None
    return "ephemeral:https://HOST[:PORT][/PATH], or http:// to this machine only"

"""Where the Live API is: scheme, host, port and path of the WebSocket, from the settings of the table [live].

    Endpoint.resolve("", "v1beta")                        # Google's service, wss, port 443, the standard path
    Endpoint.resolve("ws://127.0.0.1:8765", "v1beta")     # a twin on this machine, the same path
    Endpoint.resolve("wss://proxy.example/live", "v1")    # a proxy; its own path replaces the standard one

Plain ws:// is allowed to this machine only, and a URL holds no key, user, query or fragment: `str(endpoint)` is safe
to log.

Source of the path: the Live API's guide to raw WebSockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from edge_agent.errors import ConfigError

GOOGLE_HOST = "generativelanguage.googleapis.com"
API_VERSIONS = ("v1beta", "v1alpha", "v1")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of one WebSocket service; `host` without brackets, `path` with its leading slash."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def resolve(cls, url: str = "", api_version: str = "v1beta") -> Endpoint:
        """Return the endpoint that `live.url` and `live.api_version` name.

        Raises:
            ConfigError: one sentence with the key and what is allowed.
        """
        if api_version not in API_VERSIONS:
            raise ConfigError(f'live.api_version = "{api_version[:40]}": allowed are {", ".join(API_VERSIONS)}')
        standard = f"/ws/google.ai.generativelanguage.{api_version}.GenerativeService.BidiGenerateContent"
        if not url:
            return cls(secure=True, host=GOOGLE_HOST, port=443, path=standard)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ConfigError("live.url is not a URL; allowed is wss://HOST[:PORT][/PATH]") from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigError("live.url holds more than scheme, host, port and path; keys never stand in a URL")
        if not host or parts.scheme not in {"wss", "ws"}:
            raise ConfigError(f'live.url = "{url[:80]}": allowed is wss://HOST[:PORT][/PATH], or ws:// to this machine')
        secure = parts.scheme == "wss"
        if not secure and host not in LOOPBACK:
            raise ConfigError(f'live.url = "{url[:80]}": ws:// goes to this machine only, as it would show the key')
        try:
            ascii_host = host.encode("idna").decode()
        except UnicodeError:
            raise ConfigError(f'live.url = "{url[:80]}": the host name is not valid') from None
        path = quote(parts.path, safe="/:@!$&'()*+,;=~%-._") if parts.path not in {"", "/"} else standard
        return cls(secure=secure, host=ascii_host, port=port or (443 if secure else 80), path=path)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.secure else 'ws'}://{host}:{self.port}{self.path}"

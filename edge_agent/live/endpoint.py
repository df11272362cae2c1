"""Where the Live API is: scheme, host, port and path of the WebSocket, from the settings of the table [live].

    Endpoint.resolve("", "v1beta")                        # Google's service, wss, port 443, the standard path
    Endpoint.resolve("ws://127.0.0.1:8765", "v1beta")     # a twin on this machine, the same path
    Endpoint.resolve("wss://proxy.example/live", "v1")    # a proxy; its own path replaces the standard one
    Endpoint.resolve(constrained=True)                    # what takes ephemeral tokens; it exists in v1alpha only
    Endpoint.resolve(place=Place.of("vertex:museum-1/europe-west4"))    # the Agent Platform, in that region

Plain ws:// is allowed to this machine only, and a URL holds no key, user, query or fragment: `str(endpoint)` is safe
to log.

Source of the paths: the Live API's guides to raw WebSockets and to ephemeral tokens, and the reference of the Live API
on the Agent Platform (formerly Vertex AI).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from edge_agent.errors import ConfigError

GOOGLE_HOST = "generativelanguage.googleapis.com"
API_VERSIONS = ("v1beta", "v1alpha", "v1")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

PLATFORM_HOST = "aiplatform.googleapis.com"
MULTI_REGIONS = frozenset({"us", "eu"})
PLATFORM_VERSIONS = {"v1": "v1", "v1beta": "v1beta1"}  # our setting's value, the Agent Platform's name for it

_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,99}/[a-z][a-z0-9-]{1,39}")


@dataclass(frozen=True, slots=True)
class Place:
    """A project of Google Cloud and the location that serves it, such as `museum-1` and `europe-west4`."""

    project: str
    location: str

    @classmethod
    def of(cls, credential: str) -> Place | None:
        """Return the place that `live.credential` names; None unless it is vertex:PROJECT/LOCATION.

        Raises:
            ConfigError: what stands after vertex: is something else.
        """
        kind, _, rest = credential.partition(":")
        if kind != "vertex":
            return None
        if not _PLACE.fullmatch(rest):
            raise ConfigError("live.credential: allowed after vertex: is PROJECT/LOCATION, such as museum-1/global")
        project, _, location = rest.partition("/")
        return cls(project, location)

    @property
    def host(self) -> str:
        """The host that serves this location: a region's, that of "us" or "eu" as a whole, or the one of "global"."""
        if self.location in MULTI_REGIONS:
            return f"aiplatform.{self.location}.rep.googleapis.com"
        return PLATFORM_HOST if self.location == "global" else f"{self.location}-{PLATFORM_HOST}"

    @property
    def models(self) -> str:
        """What stands before the id of a model in its resource name."""
        return f"projects/{self.project}/locations/{self.location}/publishers/google/models"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of one WebSocket service; `host` without brackets, `path` with its leading slash."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def resolve(
        cls, url: str = "", api_version: str = "v1beta", *, constrained: bool = False, place: Place | None = None
    ) -> Endpoint:
        """Return the endpoint that `live.url` and `live.api_version` name.

        Args:
            url: "" for Google's service.
            api_version: one of API_VERSIONS; on the Agent Platform v1beta stands for its v1beta1.
            constrained: for ephemeral tokens, whatever the version.
            place: of the Agent Platform; None for the Gemini API.

        Raises:
            ConfigError: one sentence with the key and what is allowed.
        """
        standard = _standard_path(api_version, constrained=constrained, platform=place is not None)
        if not url:
            return cls(secure=True, host=GOOGLE_HOST if place is None else place.host, port=443, path=standard)
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


def _standard_path(api_version: str, *, constrained: bool, platform: bool) -> str:
    if api_version not in API_VERSIONS:
        raise ConfigError(f'live.api_version = "{api_version[:40]}": allowed are {", ".join(API_VERSIONS)}')
    if platform:
        if api_version not in PLATFORM_VERSIONS:
            raise ConfigError(f'live.api_version = "{api_version}": the Agent Platform has v1 and v1beta only')
        version = PLATFORM_VERSIONS[api_version]
        return f"/ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent"
    if constrained:
        return "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained"
    return f"/ws/google.ai.generativelanguage.{api_version}.GenerativeService.BidiGenerateContent"

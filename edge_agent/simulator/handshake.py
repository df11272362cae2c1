"""Who may open a session: the twin's judgement of a WebSocket handshake, pure.

An unknown path is 404, no key 403, a wrong key 400, a wrong token 401, as at Google's door. Keys come in the header
`x-goog-api-key` or the query (`key=`). The path for ephemeral tokens (`...Constrained`) takes those only, as
`Authorization: Token` or `access_token=`; elsewhere a token is a Google Cloud account's, as `Authorization: Bearer`.
`redact` and `read` keep what may be remembered; `refusal` is what a refused client gets to read.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_PATHS = re.compile(
    r"/ws/google\.ai\.generativelanguage\.(?P<version>v1|v1beta|v1alpha)\.GenerativeService\."
    r"BidiGenerateContent(?P<constrained>Constrained)?"
    r"|/ws/google\.cloud\.aiplatform\.(?P<platform>v1|v1beta1)\.LlmBidiService/BidiGenerateContent"
)
_STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
           429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}  # fmt: skip
_SECRET_HEADERS = frozenset({"x-goog-api-key", "authorization", "cookie", "proxy-authorization"})


@dataclass(frozen=True, slots=True)
class Target:
    """What a request's path says, without its secrets."""

    path: str  # without the query
    api_version: str
    platform: bool  # the Agent Platform's service
    constrained: bool  # for ephemeral tokens
    key_in_query: bool
    known: bool


def read(target: str) -> Target:
    """Read a request target such as `/ws/...BidiGenerateContent?key=...`."""
    parts = urlsplit(target)
    found = _PATHS.fullmatch(parts.path)
    return Target(
        path=parts.path,
        api_version=(found and (found["version"] or found["platform"])) or "v1beta",
        platform=bool(found and found["platform"]),
        constrained=bool(found and found["constrained"]),
        key_in_query=bool(parse_qs(parts.query).keys() & {"key", "access_token"}),
        known=found is not None,
    )


def judge(target: str, headers: Mapping[str, str], *, key: str) -> tuple[int, str]:
    """Return the HTTP status (200: come in) and a sentence for a handshake; `headers` ignore case."""
    request = read(target)
    if not request.known:
        return 404, "The requested URL was not found on this server."
    query = parse_qs(urlsplit(target).query)
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if request.constrained and not token:
        scheme, token = "Token", query.get("access_token", [""])[0]
    if token or request.constrained:
        wanted = "Token" if request.constrained else "Bearer"
        good = scheme == wanted and _same(token, key)
        return (200, "") if good else (401, "Request had invalid authentication credentials.")
    offered = headers.get("x-goog-api-key", "") or query.get("key", [""])[0]
    if not offered:
        return 403, "Method doesn't allow unregistered callers (callers without established identity)."
    return (200, "") if _same(offered, key) else (400, "API key not valid. Please pass a valid API key.")


def refusal(status: int, sentence: str) -> bytes:
    """Return the body of a refusal: the error object of Google's services, by which it is told from a proxy's."""
    name = _STATUS.get(status, "INTERNAL")
    return json.dumps({"error": {"code": status, "message": sentence, "status": name}}).encode()


def redact(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by lower-case name, with secrets replaced."""
    return {n.lower(): "<redacted>" if n.lower() in _SECRET_HEADERS else value for n, value in headers}


def _same(offered: str, key: str) -> bool:
    return hmac.compare_digest(offered.encode(), key.encode())

"""What it means that a connection failed or ended: statuses, close codes and exceptions, read into rows of `FAILURES`.

Each function returns the error to raise; its class says what to do (try again, open anew, stop), its sentence what a
person should read, `wait_s` of what may be tried again the least wait. Words that come from the network are shortened,
made printable, and freed of our secrets by the caller's `Scrubber` before they stand in a sentence.

What is read here and stands in no table:

- HTTP: an answer that carries the service's own error (JSON, or a page of Google's front end) is the service's; another
  one of 200 to 399, 403, 405, 407, 426, 511 or a page of HTML with 5xx comes from something on the way (`Blocked`).
  401 and 404 are taken for the service's whoever says them: a person has to look at key and address anyway.
- 400, 401, 403: the words tell a refused key from a place or project without access.
- 1007, 1008 and unknown codes: in a resumed session perhaps only the handle is refused; before the setup was taken the
  setup is wrong; later 1007 is a wrong message, the others a fault that a new session does not have.
- Quota: the least wait is the service's own (`Retry-After`, `retryDelay`, "retry in 37 s"), an hour at most.
"""

from __future__ import annotations

import email.utils
import json
import re
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from websockets.exceptions import InvalidStatus, PayloadTooBig

from edge_agent.errors import AgentError, failure

MAX_WAIT_S = 3600.0  # no header makes the device deaf for longer: it asks again, and is told again

_X509_NOT_YET_VALID = 9  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID
_X509_EXPIRED = 10  # OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED

_KEY_WORDS = (
    "api key",
    "api_key",
    "unauthenticated",
    "credential",
    "permission denied",
    "permission_denied",
    "reported as leaked",
)
_QUOTA_WORDS = ("resource_exhausted", "resource exhausted", "quota", "rate limit", "too many")
_ACCESS_WORDS = ("location is not supported", "has not been used in project", "is disabled", "service_disabled")
_DAY_WORDS = ("perday", "per day", "per_day", "daily")
_ON_THE_WAY = {403, 405, 407, 426, 511}  # besides 200 to 399: what proxies, filters and sign-in pages answer
_RETRY_IN = re.compile(r"retry in (\d+(?:\.\d+)?) ?(ms|s)\b", re.IGNORECASE)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s?")

_NO_ROAD = {1, 3, 4, 5, 6, 0x5B}  # SOCKS 5: failure, network, host, refused, time; SOCKS 4: rejected or failed
_WHO_ARE_YOU = {0x5C, 0x5D}  # SOCKS 4: the name cannot be proved, or is another


class Scrubber:
    """Takes secrets out of words that a server sent back, and makes them fit for a sentence."""

    def __init__(self, secrets: Iterable[str]) -> None:
        # Values shorter than a key's are words such as "application/json".
        self._secrets = sorted({s for value in secrets for s in value.split() if len(s) >= 8}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return at most 200 printable characters of `text`, secrets replaced."""
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
            for length in range(len(secret) - 1, 7, -1):  # a close reason is cut at 123 bytes, perhaps within the key
                if text.endswith(secret[:length]):
                    text = text[:-length] + "[secret]"
        printable = "".join(c if c.isprintable() else " " for c in text)
        return " ".join(printable.split())[:200]

    def __repr__(self) -> str:
        return "Scrubber(...)"


def http_error(
    status: int,
    body: bytes | bytearray,
    scrub: Scrubber,
    *,
    host: str = "the service",
    headers: Mapping[str, str] | None = None,
) -> AgentError:
    """Return what an HTTP answer instead of a WebSocket (or of any other service) means.

    Args:
        status: HTTP's.
        body: the answer's, as far as it was read.
        scrub: takes our secrets out of the words.
        host: whom we asked.
        headers: the answer's, case-insensitive or with HTTP's usual capitals; for the wait that is asked for.
    """
    tree = _tree(body)
    error = tree if isinstance(tree, dict) else None  # others write a mere text there, or nothing
    words = scrub(_message(body, tree))
    lower = words.lower()
    wait_s = _wait(headers or {}, error, words)
    theirs = error is not None or _front_end(body)
    row = "http-other"
    if status == 429:
        row = "http-429-day" if _of_the_day(error, lower) else "http-429"
    elif 200 <= status < 400 or (status in _ON_THE_WAY and not theirs):
        row = "http-blocked"
    elif status >= 500 or status == 408:
        row = "http-blocked" if status >= 500 and not theirs and _is_page(body) else "http-busy"
    elif status in {400, 401, 403}:
        if any(word in lower for word in _ACCESS_WORDS):
            row = "http-access"
        elif status != 400 or any(word in lower for word in _KEY_WORDS):
            row = "http-key"
    elif status == 404:
        row = "http-404"
    return failure(row, code=status, host=host, said=words, wait_s=wait_s)


def close_error(code: int, reason: str, scrub: Scrubber, *, ready: bool, resuming: bool) -> AgentError:
    """Return what the end of a WebSocket means.

    Args:
        code: the close code; 1006 where the line was cut without one.
        reason: the peer's reason, at most 123 bytes by the WebSocket protocol.
        scrub: takes our secrets out of the reason.
        ready: whether the setup had been taken.
        resuming: whether the setup carried a resumption handle.
    """
    words = scrub(reason)
    row = _close_row(code, words.lower(), ready=ready, resuming=resuming)
    return failure(row, code=code, reason=words, said=words, wait_s=_wait({}, None, words))


def handshake_error(problem: Exception, host: str, scrub: Scrubber) -> AgentError:
    """Return what a failed WebSocket handshake means; `problem` is the exception websockets kept."""
    if isinstance(problem, InvalidStatus):
        response = problem.response
        return http_error(
            response.status_code, response.body or b"", scrub, host=host, headers=dict(response.headers.raw_items())
        )
    if isinstance(problem, EOFError) or isinstance(problem.__cause__, EOFError):
        return failure("cut-opening", host=host)
    return failure("no-websocket", host=host)


def broken_rules(problem: Exception) -> AgentError:
    """Return what it means that we closed because of what the service sent."""
    if isinstance(problem, PayloadTooBig):
        return failure("own-1009", code=1009, reason="message too big")
    return failure("own-1002", code=1002, reason="protocol error")


def tls_error(error: ssl.SSLError, host: str) -> AgentError:
    """Return what a failed TLS handshake means; a certificate "not yet valid" is our clock's fault."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _X509_NOT_YET_VALID:
            return failure("tls-early", host=host)
        if error.verify_code == _X509_EXPIRED:
            return failure("tls-expired", host=host)
        return failure("tls-untrusted", host=host, detail=error.verify_message)
    return failure("tls", host=host, detail=error.reason or "TLS error")


def connect_error(error: OSError, host: str, port: int, *, proxy: bool = False) -> AgentError:
    """Return what it means that no TCP connection to the service, or to the proxy, came about."""
    row = "unreachable"
    if isinstance(error, socket.gaierror):
        row = "name"
    elif isinstance(error, ConnectionRefusedError):
        row = "refused"
    return failure(
        f"proxy-{row}" if proxy else row, host=host, port=port, detail=error.strerror or type(error).__name__
    )


def connect_status_error(status: int, host: str) -> AgentError:
    """Return what it means that the HTTP proxy `host` answered CONNECT with another status than 2xx."""
    if status == 407:
        return failure("proxy-password", host=host)
    row = "proxy-no-way" if status >= 500 or status in {404, 408, 429} else "proxy-denied"
    return failure(row, host=host, detail=f"HTTP {status}")


def socks_error(code: int | None, words: str, host: str, port: int) -> AgentError:
    """Return what it means that the SOCKS proxy refused; `code` is its reply, None where it got not so far."""
    if code in _WHO_ARE_YOU or "authentication" in words.lower():
        return failure("proxy-password", host=host)
    if code is None:
        return failure("proxy-none", host=host, port=port)
    return failure("proxy-no-way" if code in _NO_ROAD else "proxy-denied", host=host, detail=words)


def _close_row(code: int, lower: str, *, ready: bool, resuming: bool) -> str:  # noqa: PLR0911  one per rule
    if code in {1000, 1001, 1005, 1012}:
        return "close-ended"
    if code == 1006:
        return "close-cut"
    if any(word in lower for word in _QUOTA_WORDS):
        return "close-quota"
    if code == 1013:
        return "close-1013"
    if code == 1008 and any(word in lower for word in _KEY_WORDS):
        return "close-key"
    if code == 1008 and "is not found for api version" in lower and not ready:
        return "close-model"
    if code == 1011:
        return "close-deadline" if "deadline" in lower else "close-internal"
    if resuming:
        return "close-handle"
    if not ready:
        return "close-setup"
    return "close-message" if code == 1007 else "close-broken-off"


def _tree(body: bytes | bytearray) -> Any:
    """Return the `error` member of a JSON object, or of the first one of a list; None where the body is no such."""
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(tree, list) and tree:
        tree = tree[0]
    return tree.get("error") if isinstance(tree, dict) else None


def _message(body: bytes | bytearray, tree: Any) -> str:
    """Return the words of an error object or a plain text; a page of HTML or other JSON helps no one."""
    if isinstance(tree, dict):
        return f"{tree.get('status', '')} {tree.get('message', '')}".strip()
    if isinstance(tree, str):
        return tree
    text = bytes(body[:1000]).decode("utf-8", "replace").strip()
    return "" if text.startswith(("<", "{", "[")) else text


def _is_page(body: bytes | bytearray) -> bool:
    return bytes(body[:100]).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _front_end(body: bytes | bytearray) -> bool:
    """Tell whether this is the page Google's own front end shows when it has an error."""
    return b"//www.google.com/" in body and b"an error." in body


def _of_the_day(error: dict[str, Any] | None, lower: str) -> bool:
    """Tell whether the quota that is used up is one of a day: its name says so, or the message."""
    quotas = [str(violation.get("quotaId", "")).lower() for violation in _violations(error)]
    return any(word in text for text in [*quotas, lower] for word in _DAY_WORDS)


def _details(error: dict[str, Any] | None) -> list[dict[str, Any]]:
    details = error.get("details") if error is not None else None
    return [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []


def _violations(error: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    for detail in _details(error):
        violations = detail.get("violations")
        if isinstance(violations, list):
            yield from (one for one in violations if isinstance(one, dict))


def _wait(headers: Mapping[str, str], error: dict[str, Any] | None, words: str) -> float | None:
    """Return the least wait that the service asks for, seconds; None where it asks for none."""
    asked = []
    fields = {name.lower(): value.strip() for name, value in headers.items()}
    after = fields.get("retry-after", "")
    if after.isascii() and after.isdigit():
        asked.append(float(after))
    elif after:
        asked.append(_until(after, fields.get("date", "")))
    delays = [_SECONDS.fullmatch(str(detail.get("retryDelay", ""))) for detail in _details(error)]
    asked += [float(match[1]) for match in delays if match]
    if match := _RETRY_IN.search(words):
        asked.append(float(match[1]) / (1000 if match[2].lower() == "ms" else 1))
    return min(max(asked), MAX_WAIT_S) if asked and max(asked) > 0 else None


def _until(after: str, date: str) -> float:
    """Return the seconds from the answer's own date to the one it names: our clock may be wrong."""
    try:
        return (email.utils.parsedate_to_datetime(after) - email.utils.parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return 0.0

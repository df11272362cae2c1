"""What it means that a connection failed or ended: HTTP statuses, close codes and TLS errors as errors of our tree.

Each function returns the error to raise; its class says what to do (try again, open anew, stop), its sentence
what a person should read. Words that come from the network are shortened, made printable, and freed of our secrets by
the caller's `Scrubber` before they stand in a sentence.

Rules for close codes (the Live API's documentation and what its users report):

    1000, 1001, 1012   orderly end, also when time or context ran out       ConnectionEnded   resume
    1006               no close frame: the line was cut                     NetworkError      resume after a pause
    1007               our setup or message is wrong                        ServiceRefused    ...
                       ... in a resumed session: perhaps only the handle    ConnectionEnded   open without the handle
    1008               a key that is refused                                CredentialError
                       before the setup was taken                           ServiceRefused    ... as 1007
                       later (a tool's fault, an aborted operation)         ConnectionEnded
    1011               quota used up                                        Overloaded
                       else, an internal error                              ConnectionEnded
    1013               come back later                                      Overloaded
    others             by the same rule as 1008, without keys
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterable

from websockets.exceptions import InvalidStatus, PayloadTooBig

from edge_agent.errors import (
    AgentError,
    ConnectionEnded,
    CredentialError,
    Fault,
    NetworkError,
    Overloaded,
    Retry,
    ServiceRefused,
)

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


def http_error(status: int, body: bytes | bytearray, scrub: Scrubber) -> AgentError:  # noqa: PLR0911  one per rule
    """Return what a refused WebSocket handshake means; `status` is HTTP's, `body` the answer's."""
    words = scrub(_message(body))
    said = f' The service says: "{words}"' if words else ""
    lower = words.lower()
    if status == 429:
        return Overloaded(f"The Live API has no capacity or quota left for us at the moment (HTTP 429).{said}")
    if status >= 500 or status == 408:
        return Retry(f"The Live API is not available at the moment (HTTP {status}).{said}", fault=Fault.SERVICE)
    if status in {400, 401, 403}:
        if any(word in lower for word in _ACCESS_WORDS):
            return ServiceRefused(f"The Live API is not open to this project or place (HTTP {status}).{said}")
        if status != 400 or any(word in lower for word in _KEY_WORDS):
            return CredentialError(
                f"The Live API refuses the key (HTTP {status}); check live.credential and the key's project.{said}"
            )
        return ServiceRefused(f"The Live API refuses the connection (HTTP 400); check the table [live].{said}")
    if status == 404:
        return ServiceRefused(
            f"There is no Live API at this address (HTTP 404); check live.url, live.api_version and live.model.{said}"
        )
    if 200 <= status < 400:
        return ServiceRefused(
            f"What answers at this address is not the Live API (HTTP {status}); "
            "check live.url, and whether the network wants a sign-in."
        )
    return ServiceRefused(f"The Live API refuses the connection (HTTP {status}); check the table [live].{said}")


def close_error(  # noqa: PLR0911  one return per rule of the table above
    code: int, reason: str, scrub: Scrubber, *, ready: bool, resuming: bool
) -> AgentError:
    """Return what the end of a WebSocket means.

    Args:
        code: the close code; 1006 where the line was cut without one.
        reason: the peer's reason, at most 123 bytes by the WebSocket protocol.
        scrub: takes our secrets out of the reason.
        ready: whether the setup had been taken.
        resuming: whether the setup carried a resumption handle.
    """
    words = scrub(reason)
    said = f' The service says: "{words}"' if words else ""
    lower = words.lower()

    def ended(sentence: str) -> ConnectionEnded:
        return ConnectionEnded(sentence, code=code, reason=words)

    if code in {1000, 1001, 1005, 1012}:
        return ended(f"The Live API ended the session (code {code}).{said}")
    if code == 1006:
        return NetworkError("The connection to the Live API was cut; it is opened again when the network is back.")
    if any(word in lower for word in _QUOTA_WORDS) or code == 1013:
        return Overloaded(f"The Live API has no capacity or quota left for us at the moment (code {code}).{said}")
    if code == 1008 and any(word in lower for word in _KEY_WORDS):
        return CredentialError(f"The Live API refuses the key; check live.credential and the key's project.{said}")
    if code == 1011:
        return ended(f"The Live API had an internal error (code 1011).{said}")
    if resuming and not (code == 1008 and "is not found for api version" in lower):
        return ended(f"The Live API did not continue the earlier session (code {code}).{said}")
    if code == 1007 or not ready:
        return ServiceRefused(
            f"The Live API does not accept our {'message' if ready else 'setup'} (code {code}); "
            f"check live.model and the table [live].{said}"
        )
    return ended(f"The Live API broke the session off (code {code}).{said}")


def handshake_error(failure: Exception, host: str, scrub: Scrubber) -> AgentError:
    """Return what a failed WebSocket handshake means; `failure` is the one websockets kept."""
    if isinstance(failure, InvalidStatus):
        return http_error(failure.response.status_code, failure.response.body or b"", scrub)
    if isinstance(failure, EOFError) or isinstance(failure.__cause__, EOFError):
        return NetworkError(f"{host} broke off during the handshake.")
    return ServiceRefused(
        f"What answers at {host} does not speak WebSocket; check live.url, and whether the network wants a sign-in."
    )


def broken_rules(failure: Exception) -> ConnectionEnded:
    """Return what it means that we closed because of what the service sent."""
    if isinstance(failure, PayloadTooBig):
        return ConnectionEnded(
            "The service sent a message larger than this device takes, so the connection was closed.",
            code=1009,
            reason="message too big",
        )
    return ConnectionEnded(
        "The service broke the rules of WebSocket, so the connection was closed.", code=1002, reason="protocol error"
    )


def tls_error(error: ssl.SSLError, host: str) -> NetworkError:
    """Return what a failed TLS handshake means; a certificate "not yet valid" is our clock's fault."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _X509_NOT_YET_VALID:
            return NetworkError(
                f"The certificate of {host} is not yet valid, so this device's clock is wrong; it waits for the time.",
                fault=Fault.CLOCK,
            )
        if error.verify_code == _X509_EXPIRED:
            return NetworkError(f"The certificate of {host} has expired; check this device's clock and the network.")
        return NetworkError(
            f"The certificate of {host} cannot be trusted ({error.verify_message}); "
            "something between here and the service may be reading along."
        )
    return NetworkError(f"No safe connection to {host} could be made ({error.reason or 'TLS error'}).")


def connect_error(error: OSError, host: str, port: int) -> NetworkError:
    """Return what it means that no TCP connection came about."""
    if isinstance(error, socket.gaierror):
        return NetworkError(f"The name {host} cannot be resolved; check the network and its name server.")
    if isinstance(error, ConnectionRefusedError):
        return NetworkError(f"{host} port {port} refuses connections; check live.url and the network.")
    return NetworkError(f"{host} port {port} cannot be reached ({error.strerror or type(error).__name__}).")


def _message(body: bytes | bytearray) -> str:
    """Return the message of Google's JSON error object, else nothing: a page of HTML helps no one."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        text = bytes(body).decode("utf-8", "replace").strip()
        return "" if text.startswith("<") else text
    if isinstance(error, list) and error:
        error = error[0]
    inner = error.get("error") if isinstance(error, dict) else None
    if isinstance(inner, dict):
        return f"{inner.get('status', '')} {inner.get('message', '')}".strip()
    return str(inner or "")

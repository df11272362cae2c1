"""What statuses, close codes and TLS errors mean, and that no sentence carries a secret."""

from __future__ import annotations

import json
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from edge_agent.live import causes

KEY = "AIzaTest-0123456789_abcdefghijklmnopqrs"
SCRUB = causes.Scrubber([KEY, "application/json", f"Token {KEY}x"])


def google(status: str, message: str) -> bytes:
    return json.dumps({"error": {"code": 400, "status": status, "message": message}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "fault"),
    [
        (400, google("INVALID_ARGUMENT", "API key not valid."), CredentialError, Fault.CREDENTIAL),
        (400, google("FAILED_PRECONDITION", "User location is not supported."), ServiceRefused, Fault.SERVICE),
        (400, b"", ServiceRefused, Fault.SERVICE),
        (401, b"", CredentialError, Fault.CREDENTIAL),
        (403, google("PERMISSION_DENIED", "no"), CredentialError, Fault.CREDENTIAL),
        (403, google("PERMISSION_DENIED", "API has not been used in project 1"), ServiceRefused, Fault.SERVICE),
        (404, b"<html>404</html>", ServiceRefused, Fault.SERVICE),
        (429, b"", Overloaded, Fault.LIMIT),
        (408, b"", Retry, Fault.SERVICE),
        (500, b"\xff", Retry, Fault.SERVICE),
        (503, json.dumps([{"error": {"message": "busy"}}]).encode(), Retry, Fault.SERVICE),
        (200, b"<html>Please sign in</html>", ServiceRefused, Fault.SERVICE),
        (302, b"", ServiceRefused, Fault.SERVICE),
        (418, b'{"error": "teapot"}', ServiceRefused, Fault.SERVICE),
        (500, b"[" * 100_000, Retry, Fault.SERVICE),
    ],
)
def test_a_refused_handshake(status: int, body: bytes, kind: type[AgentError], fault: Fault) -> None:
    error = causes.http_error(status, body, SCRUB)
    assert type(error) is kind
    assert error.fault is fault
    assert "<html>" not in str(error)


FRESH = {"ready": False, "resuming": False}
RESUMED = {"ready": False, "resuming": True}
TALKING = {"ready": True, "resuming": False}
NOT_FOUND = "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent"


@pytest.mark.parametrize(
    ("code", "reason", "when", "kind"),
    [
        (1000, "", TALKING, ConnectionEnded),
        (1001, "", TALKING, ConnectionEnded),
        (1005, "", TALKING, ConnectionEnded),
        (1012, "", TALKING, ConnectionEnded),
        (1006, "", TALKING, NetworkError),
        (1007, "Request contains an invalid argument.", FRESH, ServiceRefused),
        (1007, "Request contains an invalid argument.", TALKING, ServiceRefused),
        (1007, "Request contains an invalid argument.", RESUMED, ConnectionEnded),
        (1008, NOT_FOUND, FRESH, ServiceRefused),
        (1008, NOT_FOUND, RESUMED, ServiceRefused),
        (1008, "API key not valid", FRESH, CredentialError),
        (1008, "API key not valid", RESUMED, CredentialError),
        (1008, "Requested entity was not found.", FRESH, ServiceRefused),
        (1008, "Requested entity was not found.", RESUMED, ConnectionEnded),
        (1008, "Operation is not implemented, or supported, or enabled.", FRESH, ServiceRefused),
        (1008, "Operation is not implemented, or supported, or enabled.", TALKING, ConnectionEnded),
        (1008, "The operation was aborted.", TALKING, ConnectionEnded),
        (1011, "Internal error encountered.", TALKING, ConnectionEnded),
        (1011, "Internal error encountered.", RESUMED, ConnectionEnded),
        (1011, "Deadline expired before operation could complete.", TALKING, ConnectionEnded),
        (1011, "You exceeded your current quota", TALKING, Overloaded),
        (1011, "RESOURCE_EXHAUSTED", FRESH, Overloaded),
        (1013, "", TALKING, Overloaded),
        (4000, "private", FRESH, ServiceRefused),
        (4000, "private", TALKING, ConnectionEnded),
    ],
)
def test_a_close_code(code: int, reason: str, when: dict[str, bool], kind: type[AgentError]) -> None:
    error = causes.close_error(code, reason, SCRUB, **when)
    assert type(error) is kind
    if isinstance(error, ConnectionEnded):
        assert (error.code, error.reason) == (code, reason)
    assert reason in str(error)


def test_a_certificate_that_is_not_yet_valid_is_our_clock() -> None:
    error = ssl.SSLCertVerificationError(1, "bad")
    error.verify_code, error.verify_message = 9, "certificate is not yet valid"
    assert causes.tls_error(error, "host").fault is Fault.CLOCK
    error.verify_code = 18
    assert causes.tls_error(error, "host").fault is Fault.NETWORK


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "cannot be resolved"),
        (ConnectionRefusedError(111, "Connection refused"), "refuses connections"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (OSError("Multiple exceptions"), "cannot be reached (OSError)"),
    ],
)
def test_no_connection_says_why(error: OSError, words: str) -> None:
    assert words in str(causes.connect_error(error, "host", 443))


@given(before=st.text(max_size=150), after=st.text(max_size=50), code=st.sampled_from([1000, 1007, 1008, 1011, 1013]))
def test_a_key_that_the_service_sends_back_is_never_shown(before: str, after: str, code: int) -> None:
    for said in (before + KEY + after, f"{before} Token {KEY}x {after}"):
        for error in (
            causes.close_error(code, said, SCRUB, ready=False, resuming=False),
            causes.http_error(403, google("PERMISSION_DENIED", said), SCRUB),
            causes.http_error(500, said.encode("utf-8", "replace"), SCRUB),
        ):
            assert KEY not in str(error)
            assert KEY not in repr(error.__dict__)
            assert str(error).isprintable()


def test_the_scrubber_shows_nothing_and_leaves_plain_words() -> None:
    assert KEY not in repr(SCRUB)
    assert SCRUB("the word is\n" + KEY) == "the word is [secret]"
    assert len(SCRUB("x" * 1000)) == 200


@pytest.mark.parametrize("length", range(8, len(KEY)))
def test_a_key_cut_by_the_end_of_a_close_reason_is_not_shown_in_part(length: int) -> None:
    assert SCRUB("refused: " + KEY[:length]) == "refused: [secret]"

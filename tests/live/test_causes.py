"""What statuses, close codes and TLS errors mean, and that no sentence carries a secret."""

from __future__ import annotations

import json
import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import (
    FAILURES,
    AgentError,
    Blocked,
    ConnectionEnded,
    CredentialError,
    Fault,
    NetworkError,
    Overloaded,
    ProxyRefused,
    Retry,
    ServiceRefused,
)
from edge_agent.live import causes

KEY = "AIzaTest-0123456789_abcdefghijklmnopqrs"
SCRUB = causes.Scrubber([KEY, "application/json", f"Token {KEY}x"])


def google(status: str, message: str) -> bytes:
    return json.dumps({"error": {"code": 400, "status": status, "message": message}}).encode()


GOOGLE_PAGE = (
    b"<!DOCTYPE html>\n<html lang=en><title>Error 403 (Forbidden)!!1</title>"
    b"<style>*{background:url(//www.google.com/images/errors/robot.png)}</style>"
    b"<p><b>403.</b> <ins>That\xe2\x80\x99s an error.</ins>"
)


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
        (200, b"<html>Please sign in</html>", Blocked, Fault.NETWORK),
        (302, b"", Blocked, Fault.NETWORK),
        (403, b"<html>Web filter: category voice assistants</html>", Blocked, Fault.NETWORK),
        (403, b"", Blocked, Fault.NETWORK),
        (403, GOOGLE_PAGE, CredentialError, Fault.CREDENTIAL),
        (405, b"", Blocked, Fault.NETWORK),
        (407, b"<html>log in</html>", Blocked, Fault.NETWORK),
        (426, b"upgrade required", Blocked, Fault.NETWORK),
        (426, google("INVALID_ARGUMENT", "no"), ServiceRefused, Fault.SERVICE),
        (502, b"\xef\xbb\xbf\r\n<!DOCTYPE html><p>squid</p>", Blocked, Fault.NETWORK),
        (502, GOOGLE_PAGE, Retry, Fault.SERVICE),
        (502, b"", Retry, Fault.SERVICE),
        (511, b"", Blocked, Fault.NETWORK),
        (401, b"<html>who are you</html>", CredentialError, Fault.CREDENTIAL),
        (418, b'{"error": "teapot"}', ServiceRefused, Fault.SERVICE),
        (500, b"[" * 100_000, Retry, Fault.SERVICE),
    ],
)
def test_a_refused_handshake(status: int, body: bytes, kind: type[AgentError], fault: Fault) -> None:
    error = causes.http_error(status, body, SCRUB)
    assert type(error) is kind
    assert error.fault is fault
    assert "<" not in str(error)
    assert FAILURES[error.kind].error is kind


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
        (1008, NOT_FOUND, TALKING, ConnectionEnded),
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


@pytest.mark.parametrize(
    ("code", "reason", "row"),
    [
        (1008, NOT_FOUND, "close-model"),
        (1011, "Deadline expired before operation could complete.", "close-deadline"),
        (1011, "You exceeded your current quota", "close-quota"),
        (1011, "", "close-internal"),
        (1013, "", "close-1013"),
    ],
)
def test_a_close_code_with_two_meanings_is_told_apart_by_its_reason(code: int, reason: str, row: str) -> None:
    assert causes.close_error(code, reason, SCRUB, ready=False, resuming=False).kind == row


def quota(message: str = "", *, quota_id: str = "", delay: str = "") -> bytes:
    """The error Google sends with 429, as far as it is read."""
    details: list[object] = ["not an object", {"@type": "type.googleapis.com/google.rpc.Help"}]
    if quota_id:
        details.append({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]})
    if delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message, "details": details}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    ("body", "headers", "wait_s"),
    [
        (b"", {}, FAILURES["http-429"].wait_s),
        (b"", {"Retry-After": "17"}, 17.0),
        (b"", {"retry-after": " 17 "}, 17.0),
        (b"", {"Retry-After": "0"}, FAILURES["http-429"].wait_s),
        (b"", {"Retry-After": "soon"}, FAILURES["http-429"].wait_s),
        (b"", {"Retry-After": "Sun, 22 Nov 2026 10:01:30 GMT"}, FAILURES["http-429"].wait_s),
        (
            b"",
            {"Retry-After": "Sun, 22 Nov 2026 10:01:30 GMT", "Date": "Sun, 22 Nov 2026 10:00:00 GMT"},
            90.0,
        ),
        (b"", {"Retry-After": "9" * 400}, causes.MAX_WAIT_S),
        (quota(delay="37s"), {}, 37.0),
        (quota(delay="36.909497888s"), {"Retry-After": "5"}, 36.909497888),
        (quota("Please retry in 36.5s."), {}, 36.5),
        (quota("Please retry in 250ms."), {}, 0.25),
        (quota(delay="tomorrow"), {}, FAILURES["http-429"].wait_s),
        (quota(quota_id="GenerateRequestsPerMinutePerProjectPerModel"), {}, FAILURES["http-429"].wait_s),
        (quota(quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier"), {}, FAILURES["http-429-day"].wait_s),
        (quota("Quota exceeded for requests per day"), {}, FAILURES["http-429-day"].wait_s),
    ],
)
def test_a_used_up_quota_says_how_long_to_wait(body: bytes, headers: dict[str, str], wait_s: float) -> None:
    error = causes.http_error(429, body, SCRUB, headers=headers)
    assert isinstance(error, Overloaded)
    assert error.wait_s == wait_s


def test_a_busy_service_and_a_close_reason_may_ask_for_time_too() -> None:
    busy = causes.http_error(503, google("UNAVAILABLE", "overloaded"), SCRUB, headers={"Retry-After": "8"})
    assert type(busy) is Retry
    assert busy.wait_s == 8.0
    closed = causes.close_error(
        1011, "RESOURCE_EXHAUSTED: quota. Please retry in 21s.", SCRUB, ready=True, resuming=False
    )
    assert isinstance(closed, Overloaded)
    assert closed.wait_s == 21.0
    cut = causes.close_error(1006, "", SCRUB, ready=True, resuming=False)
    assert isinstance(cut, NetworkError)
    assert cut.wait_s == 0.0


@given(
    body=st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "details", "violations", "retryDelay", "quotaId", "message", "status"]), inner
            )
        ),
        max_leaves=12,
    ),
    status=st.integers(100, 599),
)
def test_whatever_json_comes_it_is_an_error_of_the_tree(body: object, status: int) -> None:
    error = causes.http_error(status, json.dumps(body).encode(), SCRUB)
    assert error.kind in FAILURES
    assert str(error).isprintable()
    assert 0.0 <= getattr(error, "wait_s", 0.0) <= causes.MAX_WAIT_S


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (407, ProxyRefused, "user name and password"),
        (403, Blocked, "HTTP 403"),
        (405, Blocked, "HTTP 405"),
        (302, Blocked, "HTTP 302"),
        (502, NetworkError, "cannot reach the service (HTTP 502)"),
        (504, NetworkError, "HTTP 504"),
    ],
)
def test_a_proxy_that_refuses_the_tunnel(status: int, kind: type[AgentError], words: str) -> None:
    error = causes.connect_status_error(status, "proxy.example")
    assert type(error) is kind
    assert "proxy.example" in str(error)
    assert words in str(error)
    assert error.fault is Fault.NETWORK


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (None, "No acceptable authentication methods were offered", ProxyRefused),
        (None, "Username and password authentication failure", ProxyRefused),
        (0x5D, "Request rejected because the client program and identd report different user-ids", ProxyRefused),
        (None, "Unexpected SOCKS version number: 72", ProxyRefused),
        (2, "Connection not allowed by ruleset", Blocked),
        (4, "Host unreachable", NetworkError),
        (0x5B, "Request rejected or failed", NetworkError),
    ],
)
def test_a_socks_proxy_that_refuses(code: int | None, words: str, kind: type[AgentError]) -> None:
    assert type(causes.socks_error(code, words, "proxy.example", 1080)) is kind


def test_a_proxy_that_cannot_be_reached_is_not_taken_for_the_service() -> None:
    for cause in (socket.gaierror(-2, "no name"), ConnectionRefusedError(111, "refused"), OSError(113, "No route")):
        error = causes.connect_error(cause, "proxy.example", 3128, proxy=True)
        assert type(error) is NetworkError
        assert "proxy proxy.example" in str(error)
        assert "link.proxy" in str(error)


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

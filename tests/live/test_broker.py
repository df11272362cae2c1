"""Short-lived tokens: when the broker is asked, what it may answer, and what each of its failures says."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
import shutil
import socket
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_server import CERTIFICATES, Answer, Asked, TokenServer, broker_answer, json_answer, server_tls

from edge_agent.errors import AgentError, CredentialError, Fault, NetworkError, Retry
from edge_agent.live import fetching
from edge_agent.live.broker import MAX_ANSWER_BYTES, Broker
from edge_agent.live.credentials import Access
from edge_agent.service import logs

SECRET = "what-this-device-shows-the-broker"


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def numbered(**more: Any) -> Any:
    """Answer with another token each time."""
    given = iter(range(1, 100))
    return lambda _asked: broker_answer(f"auth_tokens/number-{next(given)}", **more)


def token(access: Access) -> str:
    return access.headers["Authorization"].removeprefix("Token auth_tokens/number-")


def get(broker: Broker, *, resuming: bool = False) -> Access:
    return asyncio.run(broker.access(resuming=resuming))


def refusal(broker: Broker) -> AgentError:
    with pytest.raises(AgentError) as caught:
        get(broker)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return caught.value


def private(tmp_path: Path, name: str) -> str:
    copy = tmp_path / f"{name}.pem"
    shutil.copy(CERTIFICATES / f"{name}.pem", copy)
    copy.chmod(0o600)
    return f"file:{copy}"


def test_a_token_comes_by_post_and_goes_into_the_header_the_service_wants(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    with TokenServer(broker_answer("auth_tokens/abcdefgh")) as server:
        access = get(Broker(f"{server.url}/token", secret=f"file:{secret}"))
    assert access.headers == {"Authorization": "Token auth_tokens/abcdefgh"}
    assert 1790 < access.lasts_s <= 1800
    (asked,) = server.asked
    assert (asked.method, asked.path, json.loads(asked.body)) == ("POST", "/token", {})
    assert asked.headers["Authorization"] == f"Bearer {SECRET}"
    assert "abcdefgh" not in repr(access)
    assert "***" in logs.secrets.mask("it is abcdefgh")


@pytest.mark.parametrize(
    "answer",
    [
        {"token": "auth_tokens/number-1", "expires_at": 4102444800},
        {"token": "auth_tokens/number-1", "expires_at": "2100-01-01T00:00:00Z"},
        {"token": "auth_tokens/number-1", "expires_at": "2100-01-01T00:00:00"},
        {"name": "auth_tokens/number-1", "expireTime": "2100-01-01T00:00:00.123456789Z", "newSessionExpireTime": None},
    ],
)
def test_the_shorter_forms_of_an_answer(answer: dict[str, Any]) -> None:
    with TokenServer(json_answer(answer)) as server:
        access = get(Broker(server.url))
    assert token(access) == "1"
    assert access.lasts_s > 1e9


def test_what_is_not_said_is_the_services_default() -> None:
    clock = Clock()
    with TokenServer(json_answer({"name": "auth_tokens/number-1"})) as server:
        broker = Broker(server.url, clock=clock)
        assert get(broker).lasts_s == 1800
        get(broker)
        assert len(server.asked) == 2, "one use, one minute"


def test_a_token_with_one_use_opens_one_session_and_resumes_it_while_it_lives() -> None:
    clock = Clock()
    with TokenServer(numbered(opens_s=900)) as server:
        broker = Broker(server.url, clock=clock)
        assert token(get(broker)) == "1"
        clock.now += 1000
        resumed = get(broker, resuming=True)
        assert token(resumed) == "1"
        assert 790 < resumed.lasts_s <= 800
        assert token(get(broker)) == "2", "a new session takes a new token"
        assert token(get(broker, resuming=True)) == "2"
        clock.now += 1501
        assert token(get(broker, resuming=True)) == "3", "one that ends soon would make the session resume again"
        assert token(get(broker)) == "3", "resuming used nothing up"


def test_a_token_with_many_uses_is_kept_until_a_minute_before_new_sessions_end() -> None:
    clock = Clock()
    with TokenServer(numbered(opens_s=600, uses=0)) as server:
        broker = Broker(server.url, clock=clock)
        assert [token(get(broker)) for _ in range(5)] == ["1"] * 5
        clock.now += 538
        assert token(get(broker)) == "1"
        clock.now += 2.5
        assert token(get(broker)) == "2"


def test_a_refused_token_is_replaced_once_but_not_at_its_first_showing() -> None:
    with TokenServer(numbered(opens_s=600, uses=5)) as server:
        broker = Broker(server.url)
        first = get(broker)
        second = get(broker)
        assert token(second) == "1"
        assert second.renew(), "it had been good before"
        third = get(broker)
        assert token(third) == "2"
        assert not third.renew(), "another fresh one would fare no better"
        assert token(get(broker)) == "3", "but it is not shown again either"
        assert not first.renew() or token(get(broker)) == "3", "an old refusal does not drop a new token"


def test_the_brokers_clock_counts_not_ours() -> None:
    then = dt.datetime(2014, 5, 6, tzinfo=dt.UTC)
    with TokenServer(broker_answer("auth_tokens/number-1", lasts_s=1000, now=then)) as server:
        assert 990 <= get(Broker(server.url)).lasts_s <= 1000


def test_both_sides_show_who_they_are(tmp_path: Path) -> None:
    ca = f"file:{CERTIFICATES}/cert-valid.pem"
    with TokenServer(numbered(), tls=server_tls(client="cert-valid")) as server:
        own = private(tmp_path, "cert-valid")
        assert token(get(Broker(server.url, ca=ca, certificate=own))) == "1"
        assert token(get(Broker(server.url, ca=ca, certificate=own, key=own))) == "2"
        assert server.asked[0].certificate
        for wrong in ("", private(tmp_path, "cert-expired")):
            # Whether the broker's word or the end of the line is seen first is not ours to say.
            assert isinstance(refusal(Broker(server.url, ca=ca, certificate=wrong)), CredentialError | NetworkError)
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", CredentialError, "refuses this device's certificate"),
        ("TLSV1_ALERT_UNKNOWN_CA", CredentialError, "refuses this device's certificate"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", CredentialError, "refuses this device's certificate"),
        ("TLSV1_ALERT_INTERNAL_ERROR", NetworkError, "No safe connection to broker.example"),
    ],
)
def test_what_the_broker_says_about_our_certificate(reason: str, kind: type[AgentError], words: str) -> None:
    alert = ssl.SSLError(1, f"[SSL: {reason}] alert")
    alert.reason = reason
    wrapped = OSError("the library's word for it")
    wrapped.__context__ = alert
    error = fetching.unreachable(wrapped, "The token broker broker.example", "broker.example")
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("name", "trusted", "fault", "words"),
    [
        ("cert-valid", False, Fault.NETWORK, "cannot be trusted"),
        ("cert-not-yet-valid", True, Fault.CLOCK, "clock is wrong"),
        ("cert-expired", True, Fault.NETWORK, "has expired"),
    ],
)
def test_a_broker_whose_certificate_is_no_good(name: str, trusted: bool, fault: Fault, words: str) -> None:
    with TokenServer(numbered(), tls=server_tls(name)) as server:
        error = refusal(Broker(server.url, ca=f"file:{CERTIFICATES}/{name}.pem" if trusted else ""))
    assert isinstance(error, NetworkError)
    assert error.fault is fault
    assert words in str(error)
    assert not server.asked


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((401, {}, b""), CredentialError, "refuses this device"),
        ((403, {}, b"<html>"), CredentialError, "refuses this device"),
        ((404, {}, b""), CredentialError, "no token at this address"),
        ((302, {"Location": "https://elsewhere.example/"}, b""), CredentialError, "points elsewhere"),
        ((429, {}, b""), Retry, "not available at the moment"),
        ((503, {}, b""), Retry, "not available at the moment"),
        ((200, {}, b""), CredentialError, "not JSON"),
        ((200, {}, b"<html>sign in</html>"), CredentialError, "not JSON"),
        ((200, {}, b"[" * 9000), CredentialError, "not JSON"),
        ((200, {}, b"[]"), CredentialError, "not a JSON object"),
        ((200, {}, b" " * (MAX_ANSWER_BYTES + 1)), CredentialError, "larger than"),
        (json_answer({}), CredentialError, '"name" nor a "token"'),
        (json_answer({"name": 7}), CredentialError, '"name" nor a "token"'),
        (json_answer({"name": "auth_tokens/a b"}), CredentialError, '"name" nor a "token"'),
        (json_answer({"name": "auth_tokens/a\r\nX-Evil: 1"}), CredentialError, '"name" nor a "token"'),
        (json_answer({"token": "AIzaAnApiKeyByMistake"}), CredentialError, 'begin with "auth_tokens/"'),
        (json_answer({"token": "auth_tokens/"}), CredentialError, 'begin with "auth_tokens/"'),
        (json_answer({"name": "auth_tokens/abc", "expireTime": "soon"}), CredentialError, '"expireTime" is not a time'),
        (json_answer({"name": "auth_tokens/abc", "expires_at": True}), CredentialError, '"expires_at" is not a time'),
        ((200, {}, b'{"name": "auth_tokens/abc", "expires_at": 1e999}'), CredentialError, "is not a time"),
        (json_answer({"name": "auth_tokens/abc", "expires_at": 10**400}), CredentialError, "token"),
        (json_answer({"name": "auth_tokens/abc", "uses": -1}), CredentialError, '"uses" is not a number'),
        (json_answer({"name": "auth_tokens/abc", "expires_at": 1}), CredentialError, "expired already"),
    ],
)
def test_every_answer_that_is_no_token_is_a_sentence(answer: Answer, kind: type[AgentError], words: str) -> None:
    with TokenServer(answer) as server:
        error = refusal(Broker(server.url))
    assert type(error) is kind
    assert words in str(error)
    assert "AIza" not in str(error)
    assert len(server.asked) == 1, "no redirect is followed"


def test_a_broker_that_is_not_there_or_says_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = refusal(Broker(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert isinstance(error, NetworkError)
    assert "refuses connections" in str(error)
    with TokenServer((0, {}, b"")) as server:
        error = refusal(Broker(server.url, timeout_s=0.5))
    assert isinstance(error, NetworkError)
    assert "did not answer in 0.5 s" in str(error)


def test_a_broker_that_breaks_off() -> None:
    with TokenServer((200, {"Content-Length": "500"}, b"{")) as server:
        assert isinstance(refusal(Broker(server.url)), NetworkError)


def test_the_environments_proxy_is_not_the_brokers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with TokenServer(numbered()) as server:
        assert token(get(Broker(server.url))) == "1"


def test_the_proxy_that_is_given_is_gone_through() -> None:
    def relay(asked: Asked) -> Answer:
        assert asked.path == "http://broker.invalid/token"
        return broker_answer("auth_tokens/number-7")

    with TokenServer(relay) as proxy:
        broker = Broker("http://broker.invalid/token", proxy=lambda: proxy.url.replace("//", "//user:pass-word@"))
        assert token(get(broker)) == "7"
        assert proxy.asked[0].headers["Proxy-Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("setting", "content", "words"),
    [
        ("certificate", "no certificate", "broker.certificate and broker.key"),
        ("ca", "no certificate", "broker.ca"),
        ("secret", "two words", "something else than one key"),
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path: Path, setting: str, content: str, words: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    path.chmod(0o600)
    wanted: dict[str, Any] = {setting: f"file:{path}"}
    with TokenServer(numbered()) as server:
        assert words in str(refusal(Broker(server.url, **wanted)))
        absent: dict[str, Any] = {setting: f"file:{tmp_path}/absent"}
        assert "absent" in str(refusal(Broker(server.url, **absent)))
    assert not server.asked


def test_a_private_key_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    own = private(tmp_path, "cert-valid")
    (tmp_path / "cert-valid.pem").chmod(0o644)
    assert "chmod 600" in str(refusal(Broker("https://localhost:9", certificate=own)))
    assert "chmod 600" in str(refusal(Broker("https://localhost:9", certificate=own, key=own)))


@given(
    lasts_s=st.floats(1, 72_000),
    opens_s=st.floats(1, 72_000),
    uses=st.integers(0, 4),
    steps=st.lists(st.tuples(st.booleans(), st.floats(0, 4000), st.booleans()), max_size=12),
)
def test_no_token_is_shown_that_would_be_refused_by_its_own_words(
    lasts_s: float, opens_s: float, uses: int, steps: list[tuple[bool, float, bool]]
) -> None:
    """Any order of new sessions, resumptions, refusals and waiting."""
    clock = Clock()
    given_at: dict[str, float] = {}
    opened: dict[str, int] = {}

    class Offline(Broker):
        async def _fetch(self) -> Any:
            name = f"auth_tokens/{len(given_at)}"
            given_at[name] = clock.now
            return self._read(
                *(
                    json.dumps(
                        {"name": name, "expires_at": lasts_s, "new_session_expires_at": opens_s, "uses": uses}
                    ).encode(),
                ),
                dt.datetime.fromtimestamp(0, dt.UTC),
            )

    async def run() -> None:
        broker = Offline("https://broker.example", clock=clock)
        for resuming, wait_s, refused in steps:
            asked = len(given_at)
            access = await broker.access(resuming=resuming)
            name = access.headers["Authorization"].removeprefix("Token ")
            age_s = clock.now - given_at[name]
            fresh = len(given_at) > asked
            assert age_s < lasts_s
            assert math.isclose(access.lasts_s, lasts_s - age_s, abs_tol=1e-5)
            if not resuming:
                opened[name] = opened.get(name, 0) + 1
                assert not uses or opened[name] <= uses
                assert fresh or age_s < opens_s - 60
            if refused:
                assert access.renew() is not fresh
            clock.now += wait_s

    asyncio.run(run())

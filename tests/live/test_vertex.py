"""Google Cloud accounts: real google-auth code against a token service of our own, and what each failure says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from token_server import Answer, TokenServer, json_answer

from edge_agent.errors import AgentError, CredentialError, Fault, NetworkError, Retry
from edge_agent.live import vertex
from edge_agent.live.credentials import Access
from edge_agent.live.vertex import KEEP_S, Account
from edge_agent.service import logs


@pytest.fixture(scope="module")
def private_key() -> str:
    """A key of a service account, as Google's files hold it."""
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return made.stdout.decode()


@pytest.fixture(autouse=True)
def no_account_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Look for default credentials nowhere but in the test's folder; ask no metadata server."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_QUOTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def account_file(tmp_path: Path, tree: dict[str, Any] | str) -> str:
    path = tmp_path / "account.json"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    path.chmod(0o600)
    return f"file:{path}"


def service_account(private_key: str, token_uri: str, **more: str) -> dict[str, Any]:
    return {
        "type": "service_account",
        "project_id": "museum-1",
        "private_key_id": "0123456789abcdef",
        "private_key": private_key,
        "client_email": "device-7@museum-1.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": token_uri,
        **more,
    }


def numbered(expires_in: int = 3599) -> Any:
    given = iter(range(1, 100))
    return lambda _asked: json_answer(
        {"access_token": f"ya29.token-number-{next(given)}", "expires_in": expires_in, "token_type": "Bearer"}
    )


def get(account: Account) -> Access:
    return asyncio.run(account.access(resuming=False))


def refusal(account: Account) -> AgentError:
    with pytest.raises(AgentError) as caught:
        get(account)
    assert "PRIVATE KEY" not in "".join(traceback.format_exception(caught.value))
    return caught.value


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_service_account_signs_for_a_token_and_shows_it_as_a_bearer(tmp_path: Path, private_key: str) -> None:
    with TokenServer(numbered()) as google:
        account = Account(account_file(tmp_path, service_account(private_key, f"{google.url}/token")))
        access = get(account)
    assert access.headers == {"Authorization": "Bearer ya29.token-number-1"}
    assert access.lasts_s == float("inf"), "a token is looked at only when the connection opens"
    (asked,) = google.asked
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert form["assertion"][0].count(".") == 2
    assert "ya29" not in repr(access)
    for secret in ("ya29.token-number-1", private_key.strip(), json.dumps(private_key.strip())[1:-1]):
        assert logs.secrets.mask(secret) == "***"


def test_a_token_serves_half_of_its_life_and_resuming_too(tmp_path: Path, private_key: str) -> None:
    clock = Clock()
    with TokenServer(numbered()) as google:
        account = Account(account_file(tmp_path, service_account(private_key, google.url)), clock=clock)
        get(account)
        clock.now += KEEP_S - 1
        assert asyncio.run(account.access(resuming=True)).headers["Authorization"].endswith("-1")
        clock.now += 2
        assert get(account).headers["Authorization"].endswith("-2")
        google.answer = numbered(expires_in=400)
        clock.now += KEEP_S + 1
        get(account)
        clock.now += 101
        get(account)
        assert len(google.asked) == 4, "a short token is shown for a short time"


def test_a_refused_token_is_replaced_once_but_not_at_its_first_showing(tmp_path: Path, private_key: str) -> None:
    with TokenServer(numbered()) as google:
        account = Account(account_file(tmp_path, service_account(private_key, google.url)))
        first = get(account)
        second = get(account)
        assert second.headers == first.headers
        assert second.renew()
        third = get(account)
        assert third.headers != first.headers
        assert not third.renew()
        assert get(account).headers != third.headers


def test_a_project_that_pays_is_named(tmp_path: Path, private_key: str) -> None:
    with TokenServer(numbered()) as google:
        info = service_account(private_key, google.url, quota_project_id="museum-billing")
        assert get(Account(account_file(tmp_path, info))).headers["x-goog-user-project"] == "museum-billing"


def test_a_workload_identity_exchanges_a_token_of_somebody_elses(tmp_path: Path) -> None:
    subject = tmp_path / "subject"
    subject.write_text("a-token-of-the-factory")
    with TokenServer(numbered()) as google:
        info = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/f",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{google.url}/v1/token",
            "credential_source": {"file": str(subject)},
        }
        assert get(Account(account_file(tmp_path, info))).headers["Authorization"] == "Bearer ya29.token-number-1"
        assert parse_qs(google.asked[0].body.decode())["subject_token"] == ["a-token-of-the-factory"]


def test_a_persons_own_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TokenServer(numbered()) as google:
        monkeypatch.setattr("google.oauth2.credentials._GOOGLE_OAUTH2_TOKEN_ENDPOINT", google.url)
        info = {
            "type": "authorized_user",
            "client_id": "c",
            "client_secret": "secret-of-the-client",
            "refresh_token": "refresh-token-of-the-person",
        }
        assert get(Account(account_file(tmp_path, info))).headers["Authorization"] == "Bearer ya29.token-number-1"
    assert logs.secrets.mask("refresh-token-of-the-person") == "***"


def test_default_credentials_are_looked_for_where_googles_programs_do(
    tmp_path: Path, private_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no application default credentials" in str(refusal(Account()))
    with TokenServer(numbered()) as google:
        named = account_file(tmp_path, service_account(private_key, google.url)).removeprefix("file:")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", named)
        assert get(Account()).headers["Authorization"] == "Bearer ya29.token-number-1"


@pytest.mark.parametrize(
    ("answer", "kind", "fault", "words"),
    [
        (
            (400, {}, b'{"error":"invalid_grant","error_description":"Invalid grant: account not found"}'),
            CredentialError,
            Fault.CREDENTIAL,
            "invalid_grant: Invalid grant: account not found",
        ),
        (
            (400, {}, b'{"error":"invalid_grant","error_description":"Invalid JWT: ... in a reasonable timeframe."}'),
            NetworkError,
            Fault.CLOCK,
            "waits for the clock",
        ),
        ((401, {}, b"<html>"), CredentialError, Fault.CREDENTIAL, "gives this account no token"),
        (json_answer({"expires_in": 5}), CredentialError, Fault.CREDENTIAL, "no token"),
        (json_answer({"access_token": "a b\r\nX: 1"}), CredentialError, Fault.CREDENTIAL, "without a token"),
    ],
)
def test_every_refusal_is_a_sentence(  # noqa: PLR0917  a table of cases
    tmp_path: Path, private_key: str, answer: Answer, kind: type[AgentError], fault: Fault, words: str
) -> None:
    with TokenServer(answer) as google:
        error = refusal(Account(account_file(tmp_path, service_account(private_key, google.url))))
    assert type(error) is kind
    assert error.fault is fault
    assert words in str(error)


def test_a_busy_token_service_is_asked_again_later(
    tmp_path: Path, private_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("google.auth._exponential_backoff.time.sleep", lambda _seconds: None)
    with TokenServer((503, {}, b"busy")) as google:
        error = refusal(Account(account_file(tmp_path, service_account(private_key, google.url))))
    assert isinstance(error, Retry)
    assert "not available at the moment" in str(error)
    assert isinstance(
        refusal(Account(account_file(tmp_path, service_account(private_key, google.url)))), NetworkError
    ), "the server has gone"


def test_a_token_service_that_says_nothing(tmp_path: Path, private_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vertex, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(vertex, "REQUEST_S", 0.4)
    with TokenServer((0, {}, b"")) as google:
        error = refusal(Account(account_file(tmp_path, service_account(private_key, google.url))))
        google.released.set()
    assert isinstance(error, NetworkError)
    assert "did not answer in 0.3 s" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not the file of a Google Cloud account"),
        ("[]", "not the file of a Google Cloud account"),
        ("[" * 9000, "not the file of a Google Cloud account"),
        ('{"type": "impersonated"}', "not the file of a Google Cloud account"),
        ('{"type": ["service_account"]}', "not the file of a Google Cloud account"),
        ('{"type": "service_account"}', "not complete (service_account)"),
        ('{"type": "authorized_user"}', "not complete (authorized_user)"),
        ('{"type": "external_account"}', "not complete (external_account)"),
        ('{"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "no key"}', "not complete"),
    ],
)
def test_a_file_that_is_no_account_is_named(tmp_path: Path, content: str, words: str) -> None:
    error = refusal(Account(account_file(tmp_path, content)))
    assert isinstance(error, CredentialError)
    assert words in str(error)
    assert "account.json" in str(error)


def test_a_file_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    named = account_file(tmp_path, "{}")
    (tmp_path / "account.json").chmod(0o644)
    assert "chmod 600" in str(refusal(Account(named)))


def test_without_google_auth_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth.exceptions", None)
    assert "edge-agent[vertex]" in str(refusal(Account()))


def test_a_proxy_is_gone_through(tmp_path: Path, private_key: str) -> None:
    with TokenServer(numbered()) as proxy:
        info = service_account(private_key, "http://oauth2.invalid/token")
        get(Account(account_file(tmp_path, info), proxy=lambda: proxy.url))
    assert proxy.asked[0].path == "http://oauth2.invalid/token"

"""Access to the Agent Platform (formerly Vertex AI): tokens of a Google Cloud account, by way of google-auth.

    source = Account(account="file:device-account.json")    # a service account, or a workload identity
    source = Account()                                       # application default credentials
    access = await source.access(resuming=False)

A token lives for about an hour and is looked at by the service when a connection opens, not later; a connection may
outlive it, so `Access.lasts_s` is unlimited. One token serves every connection of its first `KEEP_S`, and a fresh one
is fetched for the next. A refused token is dropped; one that was refused at its first showing is not replaced at once.

The account's file is read again for every token, so a new key counts within `KEEP_S`. It holds one of

    service_account         a key of its own: whoever has the file is the account
    external_account        workload identity federation: exchanges a token of somebody else's (file, URL, X.509)
    authorized_user         what `gcloud auth application-default login` wrote

Without a file google-auth looks where all programs of Google Cloud look: $GOOGLE_APPLICATION_CREDENTIALS, gcloud's own
login, the metadata server of a machine in the cloud. All of it runs in a worker thread, each request with a deadline of
its own. google-auth is the extra `vertex`, imported when a token is fetched.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from edge_agent.errors import AgentError, CredentialError, Fault, NetworkError, Retry
from edge_agent.live import fetching
from edge_agent.live.causes import Scrubber
from edge_agent.live.credentials import Access, Secret
from edge_agent.service import keys, logs

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
KEEP_S = 1800.0  # half of a token's life
MARGIN_S = 300.0  # a token that ends sooner is not shown to the service any more; Google's library thinks alike
REQUEST_S = 8.0  # one request to a token service; the library tries up to three times
TIMEOUT_S = 20.0  # all of it, the metadata server's search included

_LONG = re.compile(r"[^\s\"',;]{40,}")
_WHO = "Google's token service"


class Account:
    """Tokens of one Google Cloud account.

    Args:
        account: `file:NAME` or `file:PATH`; "" for application default credentials.
        proxy: URL of an HTTP proxy to go through, "" goes straight; called for each token.
        environ: where $CREDENTIALS_DIRECTORY is looked up; the process's own if None.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        account: str = "",
        *,
        proxy: Callable[[], str] = str,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account = account
        self._proxy = proxy
        self._environ = environ
        self._clock = clock
        self._token: _Token | None = None

    async def access(self, *, resuming: bool = False) -> Access:  # noqa: ARG002  a token opens any session
        """Return the headers that open the next connection.

        Raises:
            CredentialError: the account is not there, not readable or refused.
            Retry: no token can be had now.
        """
        token, fresh = self._token, False
        if token is None or self._clock() >= token.until:
            now = self._clock()
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    token, fresh = await asyncio.to_thread(self._fetch, now), True
            except TimeoutError:
                raise NetworkError(f"{_WHO} did not answer in {TIMEOUT_S:g} s; it is tried again.") from None
            self._token = token
        headers = {"Authorization": f"Bearer {token.value.reveal()}"}
        if token.billed:
            headers["x-goog-user-project"] = token.billed
        shown = token
        return Access(headers, renew=lambda: self._refused(shown, fresh=fresh))

    def _refused(self, token: _Token, *, fresh: bool) -> bool:
        if self._token is token:
            self._token = None
        return not fresh

    def _fetch(self, now: float) -> _Token:
        """Fetch a token; in a worker thread."""
        try:
            import google.auth.exceptions as failed  # noqa: PLC0415  an extra; half a second on a Pi
            import requests  # noqa: PLC0415  comes with the extra
            from google.auth.transport.requests import Request  # noqa: PLC0415
        except ImportError:
            raise CredentialError(
                "vertex: credentials need google-auth; type: pip install 'edge-agent[vertex]', or use file: or env:."
            ) from None
        with requests.Session() as session:
            session.trust_env = False
            proxy = self._proxy()
            session.proxies = {"https": proxy, "http": proxy} if proxy else {}
            request = functools.partial(Request(session), timeout=REQUEST_S)
            try:
                account = self._load(request)
                account.refresh(request)  # type: ignore[no-untyped-call]  # google-auth annotates it in part
            except failed.RefreshError as error:
                raise _refusal(error) from None
            except failed.TransportError as error:
                raise fetching.unreachable(error, _WHO, "Google's token service") from None
            except failed.DefaultCredentialsError:
                raise CredentialError(
                    "There are no application default credentials; put a service account's key into a file and name "
                    "it in vertex.account, or set GOOGLE_APPLICATION_CREDENTIALS."
                ) from None
            except (failed.GoogleAuthError, requests.RequestException) as error:
                raise CredentialError(f"The Google Cloud account cannot be used ({type(error).__name__}).") from None
        return self._checked(account, now)

    def _checked(self, account: Credentials, now: float) -> _Token:
        value = account.token
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value:
            raise CredentialError(f"{_WHO} answered without a token; check vertex.account.")
        logs.secrets.add(value, passing=True)
        lasts_s = 2 * KEEP_S
        if account.expiry is not None:  # naive, in UTC, by our own clock: only the difference counts
            lasts_s = (account.expiry - dt.datetime.now(dt.UTC).replace(tzinfo=None)).total_seconds()
        billed = getattr(account, "quota_project_id", None) or ""
        return _Token(Secret(value), now + min(KEEP_S, lasts_s - MARGIN_S), billed)

    def _load(self, request: Any) -> Credentials:
        import google.auth  # noqa: PLC0415  as above

        if not self._account:
            found, _ = google.auth.default(scopes=[SCOPE], request=request)
            return found
        text = keys.read_file(self._account, environ=self._environ)
        name = self._account.partition(":")[2]
        try:
            info = json.loads(text)
            kind = info.get("type") if isinstance(info, dict) else None
        except (ValueError, RecursionError):
            info, kind = {}, None
        for secret in ("private_key", "refresh_token", "client_secret"):
            if isinstance(info, dict) and isinstance(info.get(secret), str):
                logs.secrets.add(info[secret])
        try:
            account: Any = _account(str(kind), info)  # not every kind has a project that pays, by its type
        except KeyError:
            raise CredentialError(
                f"{name} is not the file of a Google Cloud account; allowed are the key of a service account, and "
                "the configuration of a workload identity (JSON)."
            ) from None
        except (ValueError, TypeError, google.auth.exceptions.GoogleAuthError):
            raise CredentialError(f"{name} is not complete ({kind}); download it again from Google Cloud.") from None
        billed = str(info.get("quota_project_id") or "")
        return cast("Credentials", account.with_quota_project(billed) if billed else account)


class _Token:
    """A token, until when it may be shown (on the clock of its source), and the project that pays for it."""

    __slots__ = ("billed", "until", "value")

    def __init__(self, value: Secret, until: float, billed: str) -> None:
        self.value, self.until, self.billed = value, until, billed


def _account(kind: str, info: dict[str, Any]) -> Credentials:
    """Build the credentials of one kind; KeyError for any other."""
    build: Callable[..., Any]  # google-auth annotates in part
    if kind == "service_account":
        from google.oauth2 import service_account  # noqa: PLC0415  as above

        build = service_account.Credentials.from_service_account_info
    elif kind == "authorized_user":
        from google.oauth2 import credentials as user  # noqa: PLC0415

        build = user.Credentials.from_authorized_user_info
    elif kind == "external_account":
        from google.auth import identity_pool  # noqa: PLC0415

        build = identity_pool.Credentials.from_info
    else:
        raise KeyError(kind)
    return cast("Credentials", build(info, scopes=[SCOPE]))


def _refusal(error: Any) -> AgentError:
    """Return what it means that no token was given; the library puts the answer's JSON beside its own sentence."""
    answer = error.args[1] if len(error.args) > 1 else None
    words = ""
    if isinstance(answer, dict):
        words = f"{answer.get('error', '')}: {answer.get('error_description', '')}"
    # A long word is no word: some servers repeat what they were sent, signed and good for an hour.
    said = Scrubber(())(_LONG.sub("[...]", logs.secrets.mask(words))).strip(": ")
    if "reasonable timeframe" in words:
        return NetworkError("Google refuses this device's time; it waits for the clock to be set.", fault=Fault.CLOCK)
    if error.retryable:
        return Retry(f"{_WHO} is not available at the moment.", fault=Fault.SERVICE)
    reason = f' It says: "{said}"' if said else ""
    return CredentialError(f"Google gives this account no token; check vertex.account and the account's roles.{reason}")

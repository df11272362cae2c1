"""Short-lived tokens from a broker: the device holds no API key, only what proves to the broker who it is.

    source = Broker("https://broker.example/token", certificate="file:device.pem", secret="env:BROKER_SECRET")
    access = await source.access(resuming=False)

The broker is a service of the owner's that keeps the API key, and makes an ephemeral token with it for each device it
knows. It is asked by POST with an empty JSON object, and answers with what Google's `auth_tokens` gave it,

    {"name": "auth_tokens/...", "expireTime": "2026-11-22T12:30:00Z", "newSessionExpireTime": "...", "uses": 1}

or shorter, `{"token": "auth_tokens/...", "expires_at": "..."}` with `new_session_expires_at` and `uses` if they are not
the service's defaults; times are RFC 3339, or seconds since 1970. What is not said is taken to be the service's
default: 30 minutes, one minute for new sessions, one use. Times count from the answer's Date, not from our clock.

A token serves a new session while it has a use left and new sessions are open to it for more than `MARGIN_S`; with the
defaults that is never twice, so each new session asks the broker. Resuming costs no use: the token that opened the
session serves as long as it lives for `RESUME_S`; after that a fresh one is asked for, whose use is not counted
either. A use is counted when the token is given out, whether or not the connection came about. A refused token is
dropped; one that was refused at its first showing is not replaced at once, as the next would fare no better.

The broker is spoken to over https (http to this machine), through no proxy but the one given, with no redirect
followed, at most `MAX_ANSWER_BYTES` read, and within one deadline. Nothing of its answer but a short error is shown.

Source of names, defaults and rules of use: the Live API's guide to ephemeral tokens.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import math
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from edge_agent import __version__
from edge_agent.errors import AgentError, CredentialError, Fault, NetworkError, Retry
from edge_agent.live import fetching
from edge_agent.live.credentials import Access
from edge_agent.service import keys, logs

if TYPE_CHECKING:
    import httpx

MAX_ANSWER_BYTES = 16_384  # a token has some hundred bytes
TIMEOUT_S = 8.0
MARGIN_S = 60.0  # what may pass between the choice of a token and the service's look at it, clocks included
RESUME_S = 300.0  # a session is not resumed with a token that would soon make it resume again

TOKEN_LASTS_S = 1800.0  # the service's default for expireTime
TOKEN_OPENS_S = 60.0  # and for newSessionExpireTime

_PREFIX = "auth_tokens/"


@dataclass(slots=True)
class Token:
    """A token as the broker gave it. Times in seconds from the moment it was given."""

    name: str = field(repr=False)
    lasts_s: float = TOKEN_LASTS_S
    """Until no connection lives on it any more."""
    opens_s: float = TOKEN_OPENS_S
    """Until no new session is opened with it."""
    uses: float = 1
    """New sessions it may open; `math.inf`: any number."""


class Broker:
    """Tokens from one broker.

    Args:
        url: https, or http to this machine; no query.
        certificate, key, ca: PEM files (`file:...`) for TLS in which both sides show who they are; "" for none.
        secret: `file:...` or `env:...` of what goes to the broker as a bearer token; "" for none.
        timeout_s: for the whole exchange.
        proxy: URL of an HTTP proxy to go through, "" goes straight; called for each exchange.
        environ: where `env:` and $CREDENTIALS_DIRECTORY are looked up; the process's own if None.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        url: str,
        *,
        certificate: str = "",
        key: str = "",
        ca: str = "",
        secret: str = "",
        timeout_s: float = TIMEOUT_S,
        proxy: Callable[[], str] = str,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._certificate, self._key, self._ca, self._secret = certificate, key, ca, secret
        self._timeout_s = timeout_s
        self._proxy = proxy
        self._environ = environ
        self._clock = clock
        self._token: Token | None = None
        self._given = 0.0

    async def access(self, *, resuming: bool) -> Access:
        """Return a token that opens the next connection, asking the broker where none is at hand.

        Raises:
            CredentialError: the broker does not know us, or does not answer as one.
            Retry: it cannot be reached, or not now.
        """
        token, fresh = self._kept(resuming=resuming), False
        if token is None:
            asked_at = self._clock()
            token, fresh = await self._fetch(), True
            self._token, self._given = token, asked_at
        if not resuming:
            token.uses -= 1
        return Access(
            {"Authorization": f"Token {token.name}"},
            renew=lambda: self._refused(token, fresh=fresh),
            lasts_s=max(0.0, token.lasts_s - self._age_s()),
        )

    def _kept(self, *, resuming: bool) -> Token | None:
        token = self._token
        if token is None:
            return None
        age_s = self._age_s()
        if resuming:
            return token if token.lasts_s - age_s > RESUME_S else None
        opens = token.uses >= 1 and min(token.opens_s, token.lasts_s) - age_s > MARGIN_S
        return token if opens else None

    def _age_s(self) -> float:
        return self._clock() - self._given

    def _refused(self, token: Token, *, fresh: bool) -> bool:
        if self._token is token:
            self._token = None
        return not fresh

    async def _fetch(self) -> Token:
        try:
            async with asyncio.timeout(self._timeout_s):
                # Importing the library and reading certificates takes a while on a slow card.
                client, headers = await asyncio.to_thread(self._client)
                async with client:
                    status, date, body = await _exchange(client, self._url, headers)
        except TimeoutError:
            raise NetworkError(f"{self._name} did not answer in {self._timeout_s:g} s; it is tried again.") from None
        if status != 200:
            raise self._refusal(status)
        token = self._read(body, fetching.sent_at(date))
        logs.secrets.add(token.name, passing=True)
        return token

    @property
    def _name(self) -> str:
        return f"The token broker {self._host}"

    def _client(self) -> tuple[httpx.AsyncClient, dict[str, str]]:
        import httpx  # noqa: PLC0415  a third of a second on a Pi, and only a device with a broker needs it

        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"edge-agent/{__version__}",
        }
        if self._secret:
            secret = keys.read(self._secret, setting="broker.secret", environ=self._environ)
            headers["Authorization"] = f"Bearer {secret}"
        client = httpx.AsyncClient(
            verify=self._context(),
            trust_env=False,
            proxy=self._proxy() or None,
            follow_redirects=False,
            timeout=None,  # noqa: S113  the deadline of `_fetch` covers all of it
        )
        return client, headers

    def _context(self) -> ssl.SSLContext:
        try:
            authority = keys.read_file(self._ca, environ=self._environ, secret=False) if self._ca else None
            context = ssl.create_default_context(cadata=authority)
        except (OSError, ValueError):  # SSLError is an OSError
            raise CredentialError("The file of broker.ca holds no certificate (PEM); put the broker's there.") from None
        if not self._certificate:
            return context
        certificate = keys.locate(self._certificate, environ=self._environ, secret=not self._key)
        key = keys.locate(self._key, environ=self._environ) if self._key else None
        try:
            context.load_cert_chain(certificate, key, password=_no_passphrase)
        except (OSError, ValueError):  # SSLError is an OSError
            raise CredentialError(
                "The files of broker.certificate and broker.key are no certificate and its private key (PEM, without "
                "a passphrase); check both."
            ) from None
        return context

    def _refusal(self, status: int) -> AgentError:
        if status in {401, 403}:
            return CredentialError(
                f"{self._name} refuses this device (HTTP {status}); check the table [broker], and whether it knows us."
            )
        if status == 429 or status >= 500 or status == 408:
            return Retry(f"{self._name} is not available at the moment (HTTP {status}).", fault=Fault.SERVICE)
        if 300 <= status < 400:
            return CredentialError(
                f"{self._name} points elsewhere (HTTP {status}), which is not followed; "
                "put its own address into live.credential."
            )
        return CredentialError(f"{self._name} gives no token at this address (HTTP {status}); check live.credential.")

    def _read(self, body: bytes, sent: dt.datetime) -> Token:
        def wrong(what: str) -> NoReturn:
            raise CredentialError(f"{self._name} does not answer with a token: {what}.")

        if len(body) > MAX_ANSWER_BYTES:
            wrong(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            wrong("its answer is not JSON")
        if not isinstance(answer, dict):
            wrong("its answer is not a JSON object")
        name = answer.get("name", answer.get("token"))
        if not isinstance(name, str) or not name.isascii() or not name.isprintable() or " " in name:
            wrong('it has neither a "name" nor a "token"')
        if not name.startswith(_PREFIX) or name == _PREFIX:
            wrong(f'what it gives does not begin with "{_PREFIX}"')
        try:
            lasts_s = _left_s(answer, ("expireTime", "expires_at"), sent, TOKEN_LASTS_S)
            opens_s = _left_s(answer, ("newSessionExpireTime", "new_session_expires_at"), sent, TOKEN_OPENS_S)
            uses = _uses(answer.get("uses"))
        except (ValueError, OverflowError) as error:
            wrong(f"{error}")
        if min(lasts_s, opens_s) <= 0:
            wrong("it has expired already; check the broker's clock")
        return Token(name, lasts_s, opens_s, uses)


async def _exchange(client: httpx.AsyncClient, url: str, headers: dict[str, str]) -> tuple[int, str | None, bytes]:
    import httpx  # noqa: PLC0415  as above

    host = urlsplit(url).hostname or ""
    body = bytearray()
    try:
        async with client.stream("POST", url, json={}, headers=headers) as response:
            if response.status_code == 200:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        break
            return response.status_code, response.headers.get("date"), bytes(body)
    except (httpx.HTTPError, OSError) as failure:  # an alert of TLS comes as it is
        raise fetching.unreachable(failure, f"The token broker {host}", host) from None


def _left_s(answer: Mapping[str, Any], names: tuple[str, ...], sent: dt.datetime, default: float) -> float:
    name = next((name for name in names if answer.get(name) is not None), None)
    if name is None:
        return default
    value = answer[name]
    if isinstance(value, str):
        try:
            at = dt.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f'its "{name}" is not a time') from None
        if at.tzinfo is None:
            at = at.replace(tzinfo=dt.UTC)
        return (at - sent).total_seconds()
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value) - sent.timestamp()
    raise ValueError(f'its "{name}" is not a time')


def _uses(value: Any) -> float:
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError('its "uses" is not a number of sessions')
    return value or math.inf


def _no_passphrase() -> str:
    """Refuse: a daemon cannot type one, and OpenSSL would ask at the terminal."""
    raise ValueError("the private key has a passphrase")

"""The key to the Live API, and the types that carry it and never show it.

    source = KeySource("file:gemini-key")         # or file:PATH, env:NAME: `service.keys` says where each lies
    access = await source.access(resuming=False)  # read again for each connection: a changed key counts at the next
    connection = await LiveConnection.open(headers=access.headers, ...)
    access.renew()                                # after a refusal: True if another key lies there by now

Every failure is a `CredentialError` whose sentence says what to do and never quotes the key. The key travels in the
header `x-goog-api-key`, never in a URL. The other kinds of source are `broker.Broker` (short-lived tokens) and
`vertex.Account` (Google Cloud).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from edge_agent.errors import CredentialError
from edge_agent.service import keys


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Access:
    """What opens one connection."""

    headers: Mapping[str, str] = field(repr=False)
    """Request headers with the secret: do not log."""
    renew: Callable[[], bool] = _never
    """To be called once when the service refused these headers; True if the next access will have others."""
    lasts_s: float = math.inf
    """How long the credential lets the connection live, seconds."""


class Source(Protocol):
    """Gives access, connection by connection; used from one event loop."""

    async def access(self, *, resuming: bool) -> Access:
        """Return what opens the next connection; `resuming` continues a session.

        Raises:
            CredentialError: a person has to act.
            Retry: whoever gives the credential cannot be reached now.
        """


class Secret:
    """A string that is shown only by `reveal()`: not by str, repr, format, pickle or a traceback's locals."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the string itself, for the one header it belongs in."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __str__(self) -> str:
        return "[secret]"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


class KeySource:
    """An API key in a file or in the environment."""

    def __init__(self, credential: str, *, environ: Mapping[str, str] | None = None) -> None:
        self._credential = credential
        self._environ = environ

    async def access(self, *, resuming: bool = False) -> Access:  # noqa: ARG002  a key opens any session
        """Read the key; see `keys.read` for the errors."""
        key = await asyncio.to_thread(self._read)
        return Access(headers(key), renew=lambda: self._changed(key))

    def _changed(self, refused: Secret) -> bool:
        try:
            return self._read().reveal() != refused.reveal()
        except CredentialError:
            return True  # the next access says what has become of it

    def _read(self) -> Secret:
        return Secret(keys.read(self._credential, setting="live.credential", environ=self._environ))


def headers(key: Secret) -> dict[str, str]:
    """Return the request header that carries the key. Do not log it."""
    return {"x-goog-api-key": key.reveal()}

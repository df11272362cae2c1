"""What fetching a token has in common, from a broker or from Google: the way, the failures, and the clock.

    except httpx.TransportError as failure:
        raise unreachable(failure, "The token broker broker.example") from None

The libraries wrap the cause of a failure several times; what counts is a TLS error somewhere below, because a
certificate "not yet valid" means that this device's clock is wrong, and waiting for the time helps.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote, urlsplit

from edge_agent.errors import AgentError, CredentialError, NetworkError
from edge_agent.live import causes, proxy
from edge_agent.live.endpoint import Endpoint

Kind = TypeVar("Kind", bound=BaseException)

_MOST = 50  # errors looked at: requests wraps urllib3, which wraps ssl, in six levels


def unreachable(failure: BaseException, what: str, host: str) -> AgentError:
    """Return what it means that a request got no answer.

    Args:
        failure: as the library raised it.
        what: who was asked, as a sentence begins: "The token broker broker.example".
        host: its name.
    """
    tls = find(failure, ssl.SSLError)
    if tls is not None:
        if "ALERT" in (tls.reason or "") and any(word in tls.reason for word in ("CERTIFICATE", "UNKNOWN_CA")):
            return CredentialError(f"{what} refuses this device's certificate ({tls.reason}); renew it.")
        return causes.tls_error(tls, host)
    if find(failure, socket.gaierror) is not None:
        return NetworkError(f"{what} cannot be found; check the network and its name server.")
    if find(failure, ConnectionRefusedError) is not None:
        return NetworkError(f"{what} refuses connections; it is tried again.")
    return NetworkError(f"{what} cannot be reached ({type(failure).__name__}); it is tried again.")


def proxy_for(setting: str, url: str, environ: Mapping[str, str]) -> str:
    """Return the URL of the proxy through which `url` is asked, port included; "" goes straight. It may hold a login.

    Args:
        setting: the value of `link.proxy`.
        url: what is asked, https or http.
        environ: the environment.

    Raises:
        ConfigError: the setting or a variable is no proxy.
        CredentialError: it is a SOCKS proxy, through which only the talk itself can go.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    endpoint = Endpoint(secure, parts.hostname or "", parts.port or (443 if secure else 80), parts.path)
    found = proxy.resolve(setting, endpoint, environ)
    if not found:
        return ""
    address = proxy.Proxy.parse(found)
    if address.scheme != "http":
        raise CredentialError(
            f"{endpoint.host} gives the credential, and cannot be asked through a SOCKS proxy; use an HTTP proxy, or "
            "except the name by no_proxy."
        )
    login = f"{quote(address.user, safe='')}:{quote(address.password, safe='')}@" if address.user else ""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"http://{login}{host}:{address.port}"


def find(failure: BaseException, kind: type[Kind]) -> Kind | None:
    """Return the first error of this kind among `failure` and what caused it."""
    return next((error for error in _below(failure) if isinstance(error, kind)), None)


def sent_at(date: str | None) -> dt.datetime:
    """Return when an answer was given, by the clock of who gave it (HTTP's Date), else by our own; in UTC.

    A token's remaining time is counted from this, so that a device whose clock is wrong keeps it neither too long nor
    not at all. Date has whole seconds, so the answer is as old as the next one.
    """
    try:
        told = email.utils.parsedate_to_datetime(date or "")
    except ValueError:
        return dt.datetime.now(dt.UTC)
    return (told if told.tzinfo is not None else told.replace(tzinfo=dt.UTC)) + dt.timedelta(seconds=1)


def _below(failure: BaseException) -> Iterator[BaseException]:
    """Yield the failure and all that it was made from, nearest first; libraries link them in four ways."""
    waiting, seen = [failure], 0
    while waiting and seen < _MOST:
        error = waiting.pop(0)
        seen += 1
        yield error
        links = (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args)
        waiting += [link for link in links if isinstance(link, BaseException)]

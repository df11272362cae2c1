"""The key to the Live API: where it lies, and types that never show it.

    source = KeySource("file:gemini-key")         # $CREDENTIALS_DIRECTORY/gemini-key (systemd's LoadCredential)
    source = KeySource("file:/etc/edge-agent/gemini-key")   # a file of our own: not readable by other users
    source = KeySource("env:GEMINI_API_KEY")
    access = await source.access(resuming=False)  # read again for each connection: a changed key counts at the next
    connection = await LiveConnection.open(headers=access.headers, ...)
    access.renew()                                # after a refusal: True if another key lies there by now

Every failure is a `CredentialError` whose sentence says what to do and never quotes the key. The key travels in the
header `x-goog-api-key`, never in a URL. What is read here is masked in the log from then on. The other kinds of source
are `broker.Broker` (short-lived tokens) and `vertex.Account` (Google Cloud).
"""

from __future__ import annotations

import asyncio
import math
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, Protocol

from edge_agent.errors import CredentialError
from edge_agent.service import logs

MAX_KEY_BYTES = 4096  # a key has 39 characters; a file larger than this is something else
MAX_FILE_BYTES = 65_536  # certificates with their chain, a service account's key


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
        """Read the key; see `load` for the errors."""
        key = await asyncio.to_thread(load, self._credential, environ=self._environ)
        return Access(headers(key), renew=lambda: self._changed(key))

    def _changed(self, refused: Secret) -> bool:
        try:
            return load(self._credential, environ=self._environ).reveal() != refused.reveal()
        except CredentialError:
            return True  # the next access says what has become of it


def load(credential: str, *, environ: Mapping[str, str] | None = None, setting: str = "live.credential") -> Secret:
    """Read the key that a setting names, and have it masked in the log.

    Args:
        credential: `file:NAME`, `file:PATH` or `env:NAME`.
        environ: the environment; the process's own if None.
        setting: its name, for the error.

    Raises:
        CredentialError: with the sentence a person should read.
    """
    environment = os.environ if environ is None else environ
    kind, _, rest = credential.partition(":")
    if kind == "file" and rest:
        return _checked(read_file(credential, environ=environment, limit=MAX_KEY_BYTES), f"The file {rest}")
    if kind == "env" and rest:
        if rest not in environment:
            raise CredentialError(f"The environment variable {rest} is not set; put the key there, or name a file.")
        return _checked(environment[rest], f"The environment variable {rest}")
    # The value is not quoted: people paste the key itself here.
    raise CredentialError(f"{setting} must be file:NAME, file:PATH or env:NAME; the key itself does not go there.")


def read_file(
    reference: str, *, environ: Mapping[str, str] | None = None, limit: int = MAX_FILE_BYTES, secret: bool = True
) -> str:
    """Return the text of a file that a setting names.

    Args:
        reference: `file:NAME` (in $CREDENTIALS_DIRECTORY, else here) or `file:PATH`.
        environ: the environment; the process's own if None.
        limit: bytes that it may have at most.
        secret: it is refused if every user can read it; False for certificates.

    Raises:
        CredentialError: with the sentence a person should read.
    """
    environment = os.environ if environ is None else environ
    return _read_file(reference.partition(":")[2], environment, limit=limit, secret=secret)


def locate(reference: str, *, environ: Mapping[str, str] | None = None, secret: bool = True) -> Path:
    """Return the path of a file that a setting names, for a library that reads files only; checked as `read_file` does.

    Raises:
        CredentialError: with the sentence a person should read.
    """
    environment = os.environ if environ is None else environ
    read_file(reference, environ=environment, secret=secret)
    return _path(reference.partition(":")[2], environment)[0]


def headers(key: Secret) -> dict[str, str]:
    """Return the request header that carries the key. Do not log it."""
    return {"x-goog-api-key": key.reveal()}


def _read_file(name: str, environ: Mapping[str, str], *, limit: int, secret: bool) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    path, given = _path(name, environ)
    what = "key" if secret else "certificate"
    try:
        # Non-blocking, so that a named pipe cannot hold the start up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CredentialError(_absent(name, path, directory, what)) from None
    except OSError as error:
        raise CredentialError(
            f"The {what} file {path} cannot be opened ({error.strerror}); "
            "it must be readable by the user edge-agent runs as."
        ) from None
    try:
        _check_kind(path, os.fstat(descriptor), what, guarded=given or not secret)
        content = os.read(descriptor, limit + 1)
    except OSError as error:
        raise CredentialError(f"The {what} file {path} cannot be read: {error.strerror}.") from None
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise CredentialError(f"{path} is larger than {limit} bytes; that is not a {what}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CredentialError(f"{path} is not a text file; it must hold the {what} and nothing else.") from None


def _path(name: str, environ: Mapping[str, str]) -> tuple[Path, bool]:
    """Return where a file lies, and whether systemd gave it."""
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if "/" not in name and directory:
        return Path(directory) / name, True
    return Path(name), bool(directory) and Path(name).resolve().is_relative_to(Path(directory).resolve())


def _check_kind(path: Path, status: os.stat_result, what: str, *, guarded: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise CredentialError(f"{path} is a directory; name the file in it that holds the {what}.")
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError(f"{path} is not a regular file; put the key into one.")
    # systemd guards its credentials directory by the directory's own permissions.
    if not guarded and status.st_mode & 0o006:
        raise CredentialError(f"Every user can read or change the key file {path}; type: chmod 600 {path}")


def _absent(name: str, path: Path, directory: str, what: str) -> str:
    if "/" in name:
        return f"There is no {what} file {path}; put the {what} there, readable by the service only (chmod 600)."
    if directory:
        return f"There is no credential {name} in {directory}; add LoadCredential={name}:PATH to the systemd unit."
    return (
        f"There is no {what} file {name} here and $CREDENTIALS_DIRECTORY is not set; "
        "under systemd use LoadCredential=, else name the file with its path or use env:NAME."
    )


def _checked(text: str, source: str) -> Secret:
    key = text.strip()
    if not key:
        raise CredentialError(f"{source} is empty; put the key there.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialError(
            f"{source} holds something else than one key (spaces, several lines or characters no key has)."
        )
    logs.secrets.add(key)
    return Secret(key)

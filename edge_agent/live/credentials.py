"""The key to the Live API: where it lies, and a type that never shows it.

    key = load("file:gemini-key")                 # $CREDENTIALS_DIRECTORY/gemini-key (systemd's LoadCredential)
    key = load("file:/etc/edge-agent/gemini-key") # a file of our own: not readable by other users
    key = load("env:GEMINI_API_KEY")
    connection = await LiveConnection.open(headers=headers(key), ...)

Every failure is a `CredentialError` whose sentence says what to do and never quotes the key. The key travels in the
header `x-goog-api-key`, never in a URL. Short-lived tokens (`ephemeral:`) and Google Cloud accounts (`vertex:`) come
with a later version and say so.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from edge_agent.errors import CredentialError

MAX_KEY_BYTES = 4096  # a key has 39 characters; a file larger than this is something else


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


def load(credential: str, *, environ: Mapping[str, str] | None = None) -> Secret:
    """Read the key that `live.credential` names.

    Args:
        credential: `file:NAME`, `file:PATH` or `env:NAME`.
        environ: the environment; the process's own if None.

    Raises:
        CredentialError: with the sentence a person should read.
    """
    environment = os.environ if environ is None else environ
    kind, _, rest = credential.partition(":")
    if kind == "file" and rest:
        return _checked(_read_file(rest, environment), f"The file {rest}")
    if kind == "env" and rest:
        if rest not in environment:
            raise CredentialError(f"The environment variable {rest} is not set; put the key there, or name a file.")
        return _checked(environment[rest], f"The environment variable {rest}")
    if kind in {"ephemeral", "vertex"} and rest:
        raise CredentialError(
            f"{kind}: credentials come with a later version of edge-agent; use file:NAME or env:NAME with an API key."
        )
    # The value is not quoted: people paste the key itself here.
    raise CredentialError("live.credential must be file:NAME, file:PATH or env:NAME; the key itself does not go there.")


def headers(key: Secret) -> dict[str, str]:
    """Return the request header that carries the key. Do not log it."""
    return {"x-goog-api-key": key.reveal()}


def _read_file(name: str, environ: Mapping[str, str]) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if "/" not in name and directory:
        path, given = Path(directory) / name, True
    else:
        path, given = Path(name), bool(directory) and Path(name).resolve().is_relative_to(Path(directory).resolve())
    try:
        # Non-blocking, so that a named pipe cannot hold the start up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CredentialError(_absent(name, path, directory)) from None
    except OSError as error:
        raise CredentialError(
            f"The key file {path} cannot be opened ({error.strerror}); "
            "it must be readable by the user edge-agent runs as."
        ) from None
    try:
        _check_kind(path, os.fstat(descriptor), given_by_systemd=given)
        content = os.read(descriptor, MAX_KEY_BYTES + 1)
    except OSError as error:
        raise CredentialError(f"The key file {path} cannot be read: {error.strerror}.") from None
    finally:
        os.close(descriptor)
    if len(content) > MAX_KEY_BYTES:
        raise CredentialError(f"{path} is larger than {MAX_KEY_BYTES} bytes; that is not a key.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CredentialError(f"{path} is not a text file; it must hold the key and nothing else.") from None


def _check_kind(path: Path, status: os.stat_result, *, given_by_systemd: bool) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise CredentialError(f"{path} is a directory; name the file in it that holds the key.")
    if not stat.S_ISREG(status.st_mode):
        raise CredentialError(f"{path} is not a regular file; put the key into one.")
    # systemd guards its credentials directory by the directory's own permissions.
    if not given_by_systemd and status.st_mode & 0o006:
        raise CredentialError(f"Every user can read or change the key file {path}; type: chmod 600 {path}")


def _absent(name: str, path: Path, directory: str) -> str:
    if "/" in name:
        return f"There is no key file {path}; put the key there, readable by the service only (chmod 600)."
    if directory:
        return f"There is no credential {name} in {directory}; add LoadCredential={name}:PATH to the systemd unit."
    return (
        f"There is no key file {name} here and $CREDENTIALS_DIRECTORY is not set; "
        "under systemd use LoadCredential=, else name the file with its path or use env:NAME."
    )


def _checked(text: str, source: str) -> Secret:
    key = text.strip()
    if not key:
        raise CredentialError(f"{source} is empty; put the API key there.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialError(
            f"{source} holds something else than one key (spaces, several lines or characters no key has)."
        )
    return Secret(key)

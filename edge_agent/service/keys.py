"""Keys, tokens and certificates: read from where a setting says they lie, and never shown.

    key = read("file:gemini-key", setting="live.credential")      # $CREDENTIALS_DIRECTORY (systemd's LoadCredential)
    key = read("file:/etc/edge-agent/gemini-key", setting=...)    # a file of our own: not readable by other users
    token = read("env:HA_TOKEN", what="token", setting="mcp.home.token")
    chain = read_file("file:broker-ca.pem", secret=False)
    path = locate("file:device.pem")                              # for a library that reads files only

Every failure is a `CredentialError` whose sentence says what to do and never quotes what was read. What `read` returns
is masked in the log from then on. All of it may wait for a disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from edge_agent.errors import CredentialError
from edge_agent.service import logs

MAX_KEY_BYTES = 16 * 1024  # a key has 39 characters, a signed token one or two KiB; a larger file is something else
MAX_FILE_BYTES = 65_536  # certificates with their chain, a service account's key


def read(reference: str, *, what: str = "key", setting: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the key or token that a setting names, and have it masked in the log.

    Args:
        reference: `file:NAME`, `file:PATH` or `env:NAME`.
        what: what a person calls it, for the error.
        setting: the setting's name, for the error.
        environ: the environment; the process's own if None.

    Raises:
        CredentialError: with the sentence a person should read.
    """
    environment = os.environ if environ is None else environ
    kind, _, rest = reference.partition(":")
    if kind == "file" and rest:
        text, source = _read_file(rest, environment, what, limit=MAX_KEY_BYTES, secret=True), f"The file {rest}"
    elif kind == "env" and rest:
        if rest not in environment:
            raise CredentialError(f"The environment variable {rest} is not set; put the {what} there, or name a file.")
        text, source = environment[rest], f"The environment variable {rest}"
    else:
        # The value is not quoted: people paste the key itself here.
        raise CredentialError(
            f"{setting} must be file:NAME, file:PATH or env:NAME; the {what} itself does not go there."
        )
    key = text.strip()
    if not key:
        raise CredentialError(f"{source} is empty; put the {what} there.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CredentialError(
            f"{source} holds something else than one {what} (spaces, several lines or characters no {what} has)."
        )
    logs.secrets.add(key)
    return key


def read_file(reference: str, *, environ: Mapping[str, str] | None = None, secret: bool = True) -> str:
    """Return the text of a file that a setting names.

    Args:
        reference: `file:NAME` (in $CREDENTIALS_DIRECTORY, else here) or `file:PATH`.
        environ: the environment; the process's own if None.
        secret: it is refused if every user can read it; False for certificates.

    Raises:
        CredentialError: with the sentence a person should read.
    """
    environment = os.environ if environ is None else environ
    what = "key" if secret else "certificate"
    return _read_file(reference.partition(":")[2], environment, what, limit=MAX_FILE_BYTES, secret=secret)


def locate(reference: str, *, environ: Mapping[str, str] | None = None, secret: bool = True) -> Path:
    """Return the path of a file that a setting names, for a library that reads files only; checked as `read_file` does.

    Raises:
        CredentialError: with the sentence a person should read.
    """
    environment = os.environ if environ is None else environ
    read_file(reference, environ=environment, secret=secret)
    return _path(reference.partition(":")[2], environment)[0]


def _read_file(name: str, environ: Mapping[str, str], what: str, *, limit: int, secret: bool) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    path, given = _path(name, environ)
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
        raise CredentialError(f"{path} is not a regular file; put the {what} into one.")
    # systemd guards its credentials directory by the directory's own permissions.
    if not guarded and status.st_mode & 0o006:
        raise CredentialError(f"Every user can read or change the {what} file {path}; type: chmod 600 {path}")


def _absent(name: str, path: Path, directory: str, what: str) -> str:
    if "/" in name:
        return f"There is no {what} file {path}; put the {what} there, readable by the service only (chmod 600)."
    if directory:
        return f"There is no credential {name} in {directory}; add LoadCredential={name}:PATH to the systemd unit."
    return (
        f"There is no {what} file {name} here and $CREDENTIALS_DIRECTORY is not set; "
        "under systemd use LoadCredential=, else name the file with its path or use env:NAME."
    )

"""Read what a tool server is to be told in confidence, from where the configuration says it lies.

    token = read("file:ha-token")            # $CREDENTIALS_DIRECTORY/ha-token (systemd's LoadCredential), or a path
    token = read("env:HA_TOKEN")

What is read is registered with the log, which masks it from then on. Every failure is a `CredentialError` that names
file or variable and what to do, and never quotes the content.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge_agent.errors import CredentialError
from edge_agent.service import logs

MAX_BYTES = 16 * 1024  # a signed token has one or two KiB; a file larger than this is something else


def read(reference: str) -> str:
    """Return the secret that `file:NAME`, `file:PATH` or `env:NAME` names; may wait for a disk.

    Raises:
        CredentialError: absent, unreadable, readable by every user, or not one printable word.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in os.environ:
            raise CredentialError(f"the environment variable {name} is not set; put the token there, or name a file")
        text, source = os.environ[name], f"the environment variable {name}"
    else:
        text, source = _file(name), f"the file {name}"
    secret = text.strip()
    if not secret:
        raise CredentialError(f"{source} is empty; put the token there")
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise CredentialError(f"{source} holds something else than one token (spaces, lines, or unusual characters)")
    logs.secrets.add(secret)
    return secret


def _file(name: str) -> str:
    directory = os.environ.get("CREDENTIALS_DIRECTORY", "")
    given = bool(directory) and "/" not in name
    path = Path(directory) / name if given else Path(name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a named pipe must not hold us up
    except OSError as error:
        hint = f"; add LoadCredential={name}:PATH to the systemd unit" if given else "; name the file with its path"
        raise CredentialError(f"the token file {path} cannot be opened: {error.strerror}{hint}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise CredentialError(f"{path} is not a regular file; put the token into one")
        # systemd guards its credentials directory by the directory's own permissions.
        if not given and status.st_mode & 0o006:
            raise CredentialError(f"every user can read or change the token file {path}; type: chmod 600 {path}")
        content = os.read(descriptor, MAX_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise CredentialError(f"{path} is larger than {MAX_BYTES >> 10} KiB; that is no token")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CredentialError(f"{path} is not a text file; it must hold the token and nothing else") from None

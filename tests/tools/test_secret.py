"""Where a token for a server of tools may lie, and what is said when it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.errors import CredentialError
from edge_agent.service import logs
from edge_agent.tools import secret


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "secrets", logs.Secrets())


def _file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_each_place_is_read_and_masked_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path / "ha-token", b"token-from-systemd\n", 0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("HA_TOKEN", " token-from-variable ")
    assert secret.read("file:ha-token") == "token-from-systemd"
    assert secret.read("env:HA_TOKEN") == "token-from-variable"
    assert secret.read(f"file:{_file(tmp_path / 'other', b'token-from-path')}") == "token-from-path"
    assert logs.secrets.mask("token-from-systemd token-from-variable token-from-path") == "*** *** ***"


@pytest.mark.parametrize(
    ("content", "mode", "part"),
    [
        (b"", 0o600, "is empty"),
        (b"two words", 0o600, "something else than one token"),
        (b"abc\x00def", 0o600, "something else than one token"),
        (b"\xff\xfe\x00", 0o600, "is not a text file"),
        (b"x" * 20_000, 0o600, "larger than 16 KiB"),
        (b"hunter2-hunter2", 0o644, "chmod 600"),
    ],
)
def test_what_is_refused_is_named_and_not_quoted(tmp_path: Path, content: bytes, mode: int, part: str) -> None:
    path = _file(tmp_path / "token", content, mode)
    with pytest.raises(CredentialError, match=part) as caught:
        secret.read(f"file:{path}")
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_absent_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialError, match="NO_SUCH_TOKEN is not set"):
        secret.read("env:NO_SUCH_TOKEN")
    with pytest.raises(CredentialError, match="name the file with its path"):
        secret.read("file:ha-token-that-is-not-there")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(CredentialError, match="LoadCredential=ha-token:PATH"):
        secret.read("file:ha-token")


def test_a_pipe_or_folder_cannot_hold_the_start_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(CredentialError, match="not a regular file"):
            secret.read(f"file:{path}")

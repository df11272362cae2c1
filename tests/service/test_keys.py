"""Where a key, a token or a certificate may lie, what is said when it does not, and that nothing shows it."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest

from edge_agent.errors import CredentialError, Fault
from edge_agent.service import logs
from edge_agent.service.keys import MAX_KEY_BYTES, locate, read, read_file

KEY = "AIzaTest-0123456789_abcdefghijklmnopqrs"


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def refusal(credential: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(CredentialError) as caught:
        read(credential, setting="live.credential", environ=environ or {})
    assert caught.value.fault is Fault.CREDENTIAL
    shown = "".join(traceback.format_exception(caught.value))
    assert KEY not in shown
    return str(caught.value)


def test_systemds_directory_comes_first_and_its_modes_are_not_ours_to_judge(tmp_path: Path) -> None:
    write(tmp_path / "gemini-key", f"{KEY}\n".encode(), 0o444)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read("file:gemini-key", setting="live.credential", environ=environ) == KEY
    assert read(f"file:{tmp_path}/gemini-key", setting="live.credential", environ=environ) == KEY


@pytest.mark.parametrize("content", [KEY, f"  {KEY}\r\n\n", f"\ufeff{KEY}\n"])
def test_what_editors_leave_around_a_key_is_taken_off(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "key", content.encode())
    assert read(f"file:{path}", setting="live.credential", environ={}) == KEY


def test_the_environment() -> None:
    assert read("env:MY_KEY", setting="live.credential", environ={"MY_KEY": KEY}) == KEY
    assert "MY_KEY is not set" in refusal("env:MY_KEY")
    assert "empty" in refusal("env:MY_KEY", {"MY_KEY": "  "})


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_that_others_can_read_is_refused_with_the_command_to_type(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "key", KEY.encode(), mode)
    assert f"chmod 600 {path}" in refusal(f"file:{path}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (f"{KEY} {KEY}".encode(), "something else than one key"),
        (f"{KEY}\n{KEY}".encode(), "something else than one key"),
        (f"{KEY}\x07".encode(), "something else than one key"),
        (f"{KEY}\u00e9".encode(), "something else than one key"),
        (b"\xff\xfe" + KEY.encode("utf-16-le"), "not a text file"),
        (b"k" * (MAX_KEY_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_key_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(f"file:{write(tmp_path / 'key', content)}")


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is a directory" in refusal(f"file:{tmp_path}")
    assert "not a regular file" in refusal(f"file:{tmp_path}/pipe")
    assert "no key file" in refusal(f"file:{tmp_path}/absent")
    assert "LoadCredential=absent:PATH" in refusal("file:absent", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "$CREDENTIALS_DIRECTORY is not set" in refusal("file:absent-for-sure")


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be opened" in refusal(f"file:{tmp_path}/loop")


@pytest.mark.parametrize("credential", ["", "file:", "env:", KEY, f"key:{KEY}", f"vertex:{KEY}"])
def test_a_key_pasted_into_the_setting_is_not_shown(credential: str) -> None:
    assert "file:NAME" in refusal(credential)


def test_what_was_read_is_masked_in_the_log(tmp_path: Path) -> None:
    read(f"file:{write(tmp_path / 'key', b'AIzaMaskedAsSoonAsItIsRead')}", setting="live.credential", environ={})
    assert logs.secrets.mask("key AIzaMaskedAsSoonAsItIsRead!") == "key ***!"


def test_a_certificate_may_be_read_by_everybody_but_a_key_may_not(tmp_path: Path) -> None:
    path = write(tmp_path / "pem", b"-----BEGIN", 0o644)
    assert locate(f"file:{path}", environ={}, secret=False) == path
    assert read_file(f"file:{path}", environ={}, secret=False) == "-----BEGIN"
    with pytest.raises(CredentialError, match="chmod 600"):
        locate(f"file:{path}", environ={})
    write(tmp_path / "own.pem", b"-----BEGIN", 0o444)
    assert locate("file:own.pem", environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == tmp_path / "own.pem"


def test_a_token_is_called_a_token(tmp_path: Path) -> None:
    for reference, words in (
        (f"file:{write(tmp_path / 'two', b'two words')}", "something else than one token"),
        (f"file:{write(tmp_path / 'open', b'hunter2-hunter2', 0o644)}", "read or change the token file"),
        (f"file:{tmp_path}/absent", "no token file"),
        ("env:NO_SUCH_TOKEN", "put the token there"),
        ("hunter2-hunter2", "mcp.home.token must be file:NAME"),
    ):
        with pytest.raises(CredentialError, match=words) as caught:
            read(reference, what="token", setting="mcp.home.token", environ={})
        assert "hunter2" not in str(caught.value)

"""The key to the Live API: read again for each connection, and shown by nothing."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from pathlib import Path

import pytest

from edge_agent.errors import CredentialError
from edge_agent.live.credentials import Access, KeySource, Secret

KEY = "AIzaTest-0123456789_abcdefghijklmnopqrs"


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_secret_is_shown_by_nothing_but_reveal() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {secret:>20} {[secret]} {secret!s}" + "%s %r" % (secret, secret)  # noqa: UP031
    assert KEY not in shown
    for attempt in (pickle.dumps, copy.copy, json.dumps):
        with pytest.raises(TypeError):
            attempt(secret)
    assert not hasattr(secret, "__dict__")


def test_a_changed_key_counts_at_the_next_connection_and_a_refused_one_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "key", KEY.encode())
    source = KeySource(f"file:{path}", environ={})

    async def run() -> None:
        access = await source.access()
        assert access.headers == {"x-goog-api-key": KEY}
        assert not access.renew(), "the same key would be refused again"
        write(path, b"AIzaAnother-key-of-the-same-museum")
        assert access.renew()
        fresh = await source.access()
        assert fresh.headers == {"x-goog-api-key": "AIzaAnother-key-of-the-same-museum"}
        assert not fresh.renew()
        path.unlink()
        assert fresh.renew(), "the next access says what is wrong"
        with pytest.raises(CredentialError, match="no key file"):
            await source.access()

    asyncio.run(run())


def test_an_access_shows_no_secret() -> None:
    access = Access({"x-goog-api-key": KEY})
    assert KEY not in f"{access} {access!r}"
    assert access.lasts_s == float("inf")
    assert not access.renew()

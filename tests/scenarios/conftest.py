"""Fixtures of the scenarios; the device itself is `harness.Device`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.simulator import SyncTwin


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Volume and mute of one test are not another's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def twin() -> Iterator[SyncTwin]:
    """A twin that answers every turn; `twin.answer(...)` and `twin.twin.script` steer it."""
    with SyncTwin() as running:
        yield running
        assert not running.twin.errors

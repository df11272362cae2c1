"""A device's configuration in a folder, and a twin that answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.simulator import Rule, Say, Script, SyncTwin
from edge_agent.simulator.sound import noise

QUICK = Script(rules=(Rule((Say("Yes.", noise(0.2, seed=1), pace=0),)),), think_s=0.0, turn_complete="sent")


@pytest.fixture
def twin() -> Iterator[SyncTwin]:
    """Answers "Yes." at once; every session must have kept to the service's rules."""
    with SyncTwin(QUICK) as running:
        yield running
        assert not running.twin.errors
        assert not [violation for session in running.sessions for violation in session.violations]


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Path]:
    """Write persona, key and configuration for a twin; `more` is TOML to follow. Returns the file's path."""

    def write(twin: SyncTwin, more: str = "") -> Path:
        key = tmp_path / "key"
        key.write_text("test-key")
        key.chmod(0o600)
        persona = tmp_path / "otto"
        (persona / "knowledge").mkdir(parents=True, exist_ok=True)
        (persona / "instruction.md").write_text("You are Otto, guide of the museum.")
        (persona / "knowledge" / "hours.md").write_text("The museum opens at ten.")
        (persona / "persona.toml").write_text('voice = "Kore"\nlanguage = "en-GB"\n')
        path = tmp_path / "config.toml"
        path.write_text(
            f'persona = "{persona}"\n{more}\n[live]\nurl = "{twin.url}"\ncredential = "file:{key}"\n'
            f'[tools]\nfolder = "{tmp_path / "no-tools"}"\n[conversation]\nanswer_timeout_s = 1.0\n'
        )
        return path

    return write

"""An agent that is built but not run, with a sound thread that does what a test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config as settings
from edge_agent.agent import Agent


class StillSound:
    """In place of the sound thread: no device, no thread; its heartbeats are whatever a test sets."""

    input_age = 0.0
    output_age = 0.0
    capture_s = 1.0
    audio_s = 1.0
    xruns = 0
    stops = True

    def __init__(self, **wanted: Any) -> None:
        self.wanted = wanted
        self.counters = dict.fromkeys(("input_xruns", "output_xruns", "output_fill_ms"), 0.0)

    def start(self) -> None:
        """Begin nothing."""

    def stop(self, _timeout: float = 2.0) -> bool:
        return self.stops

    def input_age_s(self, _now: float) -> float:
        return self.input_age

    def output_age_s(self, _now: float) -> float:
        return self.output_age

    def sample_at(self, _now: float) -> int:
        return 16_000

    def captured_at(self, _sample: int) -> float:
        return 0.0


class Left(BaseException):
    """The process would have ended here."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Exit codes with which the agent wanted to leave the process at once."""
    codes: list[int] = []
    monkeypatch.setattr(Agent, "_leave", lambda _self, code: codes.append(code))
    return codes


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Agent]:
    """Builds an agent inside a running loop; tables of the configuration as keywords."""
    monkeypatch.setattr("edge_agent.agent.agent.Sound", StillSound)

    def built(config_path: Path | None = None, **tables: Any) -> Agent:
        tree: dict[str, Any] = {
            "live": {"url": "ws://127.0.0.1:9"},
            "audio": {"input": "silence:", "output": "null:", "cues": False},
            "panel": {"pins": "mock"},
            "tools": {"folder": str(tmp_path / "no-tools")},
            "control": {"socket": str(tmp_path / "c.sock")},
        }
        for name, table in tables.items():
            tree[name] = {**tree.get(name, {}), **table} if isinstance(table, dict) else table
        return Agent(settings.parse(tree, source="test"), config_path=config_path)

    return built

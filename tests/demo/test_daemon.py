"""The demo's daemon is the real one, tells of itself in the journal, and never outlives the demo."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from edge_agent.demo.daemon import Daemon, socket_path
from edge_agent.demo.journal import Journal
from edge_agent.demo.settings import demo_config
from edge_agent.errors import Stop


def daemon(folder: Path, journal: Journal, *, url: str = "ws://127.0.0.1:9") -> Daemon:
    config = demo_config(url=url, microphone="silence:", loudspeaker="null:", camera=folder, socket=socket_path(folder))
    return Daemon(folder, config, journal, env={"EDGE_AGENT_DEMO_KEY": "k"}, log=folder / "daemon.log")


def test_it_runs_answers_tells_and_ends_in_order(tmp_path: Path) -> None:
    journal = Journal()
    with daemon(tmp_path, journal) as one:
        status = one.call({"do": "status"})
        assert status["mode"] == "kiosk"
        before = time.monotonic()
        one.call({"do": "mute"})
        told = journal.wait(lambda e: e.event == "mute", after=before - 1, timeout_s=5.0)
        assert told is not None
        assert told.source == "device"
        assert abs(told.t - before) < 5.0  # the daemon's clock is ours
        with pytest.raises(Stop, match="refused to volume"):
            one.call({"do": "volume", "volume": 400})
    assert one.exit_code == 0
    assert journal.failure == ""


def test_a_daemon_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    one = daemon(tmp_path, Journal(), url="http://nonsense")
    with pytest.raises(Stop, match=r"did not become ready.*live\.url"), one:
        pass
    assert one.exit_code == 78


def test_a_daemon_that_dies_ends_every_wait(tmp_path: Path) -> None:
    journal = Journal()
    with daemon(tmp_path, journal) as one:
        assert one._process is not None
        os.kill(one._process.pid, signal.SIGKILL)
        assert journal.wait(lambda e: e.event == "never", after=0.0, timeout_s=30.0) is None
    assert "ended unasked" in journal.failure


def test_it_is_ended_when_the_demo_fails(tmp_path: Path) -> None:
    journal = Journal()
    one = daemon(tmp_path, journal)
    with pytest.raises(RuntimeError, match="a fault of the demo"), one:
        raise RuntimeError("a fault of the demo")
    assert one.exit_code == 0

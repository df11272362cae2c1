"""The daemon under measurement is started, watched and ended; what it says when it does not start is passed on."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from edge_agent.bench import start
from edge_agent.bench.children import Child, NotMeasured, certificate, environment
from edge_agent.bench.daemon import Daemon, Settings, configuration
from edge_agent.config import Config, parse


def test_settings_become_a_configuration_the_daemon_takes() -> None:
    text = configuration(
        {
            "mode": "speaker",
            "audio": {"input": 'wav:/a "b"?loop', "mic_gain_db": 0.0, "cues": False},
            "live": {"url": "ws://127.0.0.1:1"},
        }
    )
    config: Config = parse(tomllib.loads(text), source="test")
    assert (config.mode, config.audio.input, config.audio.cues) == ("speaker", 'wav:/a "b"?loop', False)


def test_a_daemon_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(NotMeasured, match=r"did not start: .*audio\.inputt"):
        Daemon(tmp_path, {"audio": {"inputt": "silence:"}}, ca=tmp_path / "ca.pem")


def test_a_daemon_is_ready_answers_and_ends(tmp_path: Path) -> None:
    settings: Settings = {"mode": "kiosk", "audio": {"input": "silence:", "output": "null:"}, "panel": {"pins": "mock"}}
    ca, _ = certificate(tmp_path)
    with Daemon(tmp_path / "run", settings, ca=ca) as daemon:
        assert daemon.start_ms > 0
        assert daemon.memory_mb > 5
        assert daemon.waited_s >= 0
        assert daemon.call("status")["state"] == "idle"
        assert daemon.figures()["process_cpu_seconds"] > 0
        with pytest.raises(NotMeasured, match="refused"):
            daemon.call("volume", volume=1000)
        with pytest.raises(NotMeasured, match="did not come to"):
            daemon.await_status({"state": "speaking"}, timeout=0.0)
        assert "READY=1" not in daemon.last_words()


def test_a_child_without_an_answer_gives_its_last_words(tmp_path: Path) -> None:
    import sys

    command = [sys.executable, "-c", "import sys; sys.exit('the microphone is gone')"]
    with Child(command, folder=tmp_path) as child, pytest.raises(NotMeasured, match="the microphone is gone"):
        child.answer()


def test_a_measured_process_finds_this_package_first() -> None:
    import edge_agent

    first = environment({"X": "1"})["PYTHONPATH"].split(":")[0]
    assert Path(first) == Path(edge_agent.__file__).parents[1]
    assert environment({"X": "1"})["X"] == "1"


def test_the_interpreters_account_of_imports_is_read() -> None:
    log = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:      1500 |       9000 | numpy\n"
        "import time:       300 |        300 |   edge_agent.simulator.voice\n"
        "12:00:00 info edge_agent: state state=idle\n"
    )
    modules, slowest = start.imported(log)
    assert modules == {"numpy", "edge_agent.simulator.voice"}
    assert slowest.startswith("numpy 2 ms")
    row = start.modules_row(modules)
    assert (row.verdict, row.figure, row.note) == ("over", "1 of 2", "edge_agent.simulator.voice")


def test_a_name_that_only_begins_alike_is_not_forbidden() -> None:
    assert start.modules_row({"richness", "googled", "edge_agent.benches"}).verdict == "ok"
    assert start.modules_row({"rich"}).verdict == "over"


def test_an_interpreter_that_told_nothing_is_not_taken_for_a_clean_one() -> None:
    assert start.modules_row(set()).verdict == "not measured here"
